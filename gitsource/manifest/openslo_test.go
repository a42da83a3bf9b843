package manifest_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/manifest"
)

// openSLO is an OpenSLO document in short.
func openSLO(kind, name string) string {
	return "---\napiVersion: openslo/v1\nkind: " + kind + "\nmetadata:\n  name: " + name + "\nspec:\n  query: >-\n    one\n    two\n"
}

func TestOpenSLODocumentsArePartOfAFile(t *testing.T) {
	f, problems := manifest.Parse("f", []byte(lifecycle("cart")+openSLO("SLO", "a")+openSLO("Service", "a")))
	if len(problems) > 0 || len(f.OpenSLO) != 2 || len(f.Lifecycles) != 1 {
		t.Fatalf("problems %v, %d documents, %d Lifecycles", problems, len(f.OpenSLO), len(f.Lifecycles))
	}
	if _, problems := manifest.Parse("f", []byte(openSLO("SLO", "a"))); len(problems) > 0 {
		t.Errorf("a file of nothing else has these problems: %v", problems)
	}
	d := f.OpenSLO[0]
	cases := map[string]struct{ reason, got, want string }{
		"Value":  {"A field is where its value is.", d.Place("metadata.name", false).String(), "f:8:9"},
		"Key":    {"Or its name.", d.Place("metadata.name", true).String(), "f:8:3"},
		"Absent": {"The field above stands for one that is not there.", d.Place("metadata.labels.team", false).String(), "f:7:1"},
		"Whole":  {"The kind stands for the document.", d.Place("", false).String(), "f:6:7"},
		"Inside": {"A place in a text is in its line.", d.Inside("spec.query", 1, 5).String(), "f:12:5"},
		"None":   {"In what is no text it is the field.", d.Inside("spec", 1, 5).String(), "f:10:3"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.got != tc.want {
				t.Errorf("%s\ngot %s, want %s", tc.reason, tc.got, tc.want)
			}
		})
	}
}

func TestFilesBesideAreReadOnlyWhereOpenSLOIsCalledFor(t *testing.T) {
	slos := `
-- a/slo.yaml --
` + openSLO("SLO", "errors") + `
-- a/other.yml --
DEPLOY(x)
-- a/a_test.yaml --
apiVersion: openslo/v1
-- a/below/slo.yaml --
` + openSLO("SLO", "deep") + `
-- a/kustomization.yaml --
resources: [deployment.yaml]
-- a/deployment.yaml --
DEPLOY(web)
-- a/lifecycle.yaml --
`
	beside := []string{"a/other.yml", "a/slo.yaml"}
	policies := lifecycle("a") + "spec: {postDeployment: {policies: [errors]}}\n"
	reference := "---\napiVersion: gitops.keptn.sh/v1alpha1\nkind: SLOPolicy\nmetadata: {name: p}\nspec: {slos: [{name: a, openSLO: errors}], rules: [{name: r, expression: slo.a.budgetRemaining > 0}]}\n"
	cases := map[string]struct {
		reason, file string
		want         []string // read, of those beside
		slos         []string // of the app
	}{
		"Nothing":   {"A file that has nothing to do with it.", lifecycle("a") + slo("errors"), nil, nil},
		"Policy":    {"A policy's name is an SLOPolicy.", policies + slo("errors"), nil, nil},
		"Name":      {"A policy's name is no SLOPolicy.", policies, beside, []string{"errors a/lifecycle.yaml:4:36"}},
		"Reference": {"A policy refers to an SLO.", lifecycle("a") + reference, beside, nil},
		"Document":  {"A document may need others.", lifecycle("a") + openSLO("SLO", "x"), beside, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			fsys := &counting{MapFS: tree(slos + tc.file), expected: map[string]bool{}}
			found, err := manifest.Discover(t.Context(), fsys, nil, manifest.Limits{})
			if err != nil || len(found.Problems) > 0 {
				t.Fatal(err, lines(found.Problems))
			}
			var read []string
			for _, file := range []string{"a/a_test.yaml", "a/below/slo.yaml", "a/other.yml", "a/slo.yaml"} {
				if slices.Contains(fsys.read, file) {
					read = append(read, file)
				}
				if slices.Contains(tc.want, file) && !fsys.expected[file] {
					t.Errorf("%s was read one by one", file)
				}
			}
			if diff := cmp.Diff(tc.want, read); diff != "" {
				t.Errorf("%s\nread (-want +got):\n%s", tc.reason, diff)
			}
			var names []string
			for _, n := range found.Apps[0].OpenSLO {
				names = append(names, n.Name+" "+n.At.String())
			}
			if diff := cmp.Diff(tc.slos, names); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}
