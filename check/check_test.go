package check_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/check"
)

const app = `apiVersion: gitops.keptn.sh/v1alpha1
kind: Lifecycle
metadata: {name: shop}
spec:
  postDeployment: {policies: [slo]}
---
apiVersion: gitops.keptn.sh/v1alpha1
kind: SLOPolicy
metadata: {name: slo}
spec:
  metrics:
    - {name: errors, provider: {name: prometheus}, query: errors}
  rules:
    - name: few
      expression: `

const workload = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {containers: [{name: c, image: "c:1"}]}
`

func TestAMistakeInAnExpressionIsShownWhereItIsWritten(t *testing.T) {
	cases := map[string]struct {
		reason, expression string
		want               []string
	}{
		"None":         {"Nothing is wrong.", "metrics.errors < 1\n", nil},
		"Plain":        {"In the line itself.", "metrics.eror < 1\n", []string{"15:19"}},
		"Quoted":       {"A quotation mark is no part of it.", "\"metrics.eror < 1\"\n", []string{"15:20"}},
		"Literal":      {"In a block, line by line.", "|\n        metrics.errors < 1 &&\n        metrics.eror < 1\n", []string{"17:9"}},
		"FirstOfBlock": {"The first line of a block too.", "|\n        metrics.eror < 1\n", []string{"16:9"}},
		"Type":         {"A rule has to be true or false.", "metrics.errors\n", []string{"15:19"}},
		"Several":      {"All mistakes are shown, in their order.", "metrics.a < metrics.b\n", []string{"15:19", "15:31"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tree := fstest.MapFS{
				"shop/lifecycle.yaml":  {Data: []byte(app + tc.expression)},
				"shop/deployment.yaml": {Data: []byte(workload)},
			}
			found, err := check.Tree(t.Context(), tree, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range found.Problems {
				got = append(got, fmt.Sprintf("%d:%d", p.Line, p.Column))
				if want := `policy "slo": spec.rules[0].expression: `; p.File != "shop/lifecycle.yaml" || !strings.HasPrefix(p.Message, want) {
					t.Errorf("%s\ngot %s", tc.reason, p)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
			if found.Apps[0].Problems.HasErrors() != (len(tc.want) > 0) {
				t.Errorf("%s\nthe app that uses the policy has these problems: %v", tc.reason, found.Apps[0].Problems)
			}
		})
	}
}

func TestAMistakeInAPolicyIsNoMistakeOfAnotherApp(t *testing.T) {
	tree := fstest.MapFS{
		"shop/lifecycle.yaml":  {Data: []byte(app + "wrong")},
		"shop/deployment.yaml": {Data: []byte(workload)},
		"cart/lifecycle.yaml":  {Data: []byte("apiVersion: gitops.keptn.sh/v1alpha1\nkind: Lifecycle\nmetadata: {name: cart}\n")},
		"cart/deployment.yaml": {Data: []byte(workload)},
	}
	found, err := check.Tree(t.Context(), tree, nil)
	if err != nil {
		t.Fatal(err)
	}
	wrong := map[string]bool{}
	for _, a := range found.Apps {
		wrong[a.Lifecycle.Name] = a.Problems.HasErrors()
	}
	if diff := cmp.Diff(map[string]bool{"shop": true, "cart": false}, wrong); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
