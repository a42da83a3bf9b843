package check_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/check"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/manifest"
)

func problem(file string, severity manifest.Severity, message string) manifest.Problem {
	return manifest.Problem{File: file, Line: 3, Column: 5, Severity: severity, Message: message}
}

func appNamed(name string) manifest.App {
	a := manifest.App{}
	a.Lifecycle.Name = name
	return a
}

func TestACommitIsValidIfNothingInItIsWrong(t *testing.T) {
	wrong := problem("a/lifecycle.yaml", manifest.Error, "unknown\nfield")
	shownHint := forge.Problem{File: "f", Line: 3, Column: 5, Message: "hm", Warning: true}
	shownWrong := forge.Problem{File: "a/lifecycle.yaml", Line: 3, Column: 5, Message: "unknown field"}
	shop := appNamed("checkout")
	shop.Lifecycle.Spec.App = "shop"
	cases := map[string]struct {
		reason string
		found  manifest.Found
		want   forge.Status
	}{
		"Nothing":  {"A repository need not have an app.", manifest.Found{}, forge.Status{State: forge.Success, Description: "no lifecycle.yaml found"}},
		"Valid":    {"The apps are named.", manifest.Found{Apps: []manifest.App{appNamed("a"), shop}}, forge.Status{State: forge.Success, Description: "valid: a, shop"}},
		"Warnings": {"A warning blocks no merge.", manifest.Found{Apps: []manifest.App{appNamed("a")}, Problems: manifest.Problems{problem("f", manifest.Warning, "hm")}}, forge.Status{State: forge.Success, Description: "valid: a", Problems: []forge.Problem{shownHint}}},
		"Wrong":    {"The place and the mistake, in one line.", manifest.Found{Problems: manifest.Problems{wrong}}, forge.Status{State: forge.Failure, Description: "a/lifecycle.yaml:3:5: unknown field", Problems: []forge.Problem{shownWrong}}},
		"Several":  {"They are counted, and the first one is shown.", manifest.Found{Problems: manifest.Problems{problem("f", manifest.Warning, "hm"), wrong, wrong}}, forge.Status{State: forge.Failure, Description: "2 problems: a/lifecycle.yaml:3:5: unknown field", Problems: []forge.Problem{shownHint, shownWrong, shownWrong}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, check.Validity(&tc.found)); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}
