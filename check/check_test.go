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

// What the schema of the API cannot tell stands where it is written, too.
func TestAMistakeInAnyFieldOfAPolicyIsShownWhereItIsWritten(t *testing.T) {
	const policies = `apiVersion: gitops.keptn.sh/v1alpha1
kind: Lifecycle
metadata: {name: shop}
---
apiVersion: gitops.keptn.sh/v1alpha1
kind: SLOPolicy
metadata: {name: slo}
spec:
  metrics:
    - name: errors
      provider: {name: prometheus}
      query: |
        sum(
          errors{region="{{.params.regoin}}"})
    - {name: p95, provider: {name: prometheus}, query: "{{range 9}}x{{end}}"}
  slos:
    - name: availability
      objective: 99.9
      window: {rolling: 30d}
      ratio:
        provider: {name: prometheus}
        good: "good[{{.window}}]"
        total: "total[{{.widnow}}]"
    - name: both
      objective: 99
      window: {rolling: 30d}
      composite: [{slo: availability}, {slo: latency}]
    - name: latency
      objective: 99
      window: {calendar: month, timeZone: Europe/Graz}
      threshold:
        provider: {name: prometheus}
        query: '{{.window}}'
        op: lt
        value: 1
  params: [{name: region}]
  rules:
    - {name: r, expression: "slo.availability.burnRate('31d') < 1"}
    - name: s
      expression: |
        slo.availability.budgetRemaining > 0.1 ||
        commits.all(c, c.tipe == 'fix')
`
	want := []string{
		"14:28 spec.metrics[0].query", "15:65 spec.metrics[1].query",
		"23:25 spec.slos[0].ratio.total", "27:46 spec.slos[1].composite[1].slo",
		"30:43 spec.slos[2].window.timeZone", "33:19 spec.slos[2].threshold.query",
		"38:56 spec.rules[0].expression", "42:25 spec.rules[1].expression",
	}
	tree := fstest.MapFS{
		"shop/lifecycle.yaml":  {Data: []byte(policies)},
		"shop/deployment.yaml": {Data: []byte(workload)},
	}
	found, err := check.Tree(t.Context(), tree, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range found.Problems {
		path, _, _ := strings.Cut(strings.TrimPrefix(p.Message, `policy "slo": `), ": ")
		got = append(got, fmt.Sprintf("%d:%d %s", p.Line, p.Column, path))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAMistakeInAPolicyIsNoMistakeOfAnotherApp(t *testing.T) {
	tree := fstest.MapFS{
		"shop/lifecycle.yaml":  {Data: []byte(app + "wrong")},
		"shop/deployment.yaml": {Data: []byte(workload)},
		"cart/lifecycle.yaml":  {Data: []byte("apiVersion: gitops.keptn.sh/v1alpha1\nkind: Lifecycle\nmetadata: {name: cart}\n")},
		"cart/deployment.yaml": {Data: []byte(workload)},
		"till/lifecycle.yaml":  {Data: []byte(strings.ReplaceAll(app, "name: shop", "name: till") + "metrics.errors < 1\n")},
		"till/deployment.yaml": {Data: []byte(workload)},
	}
	found, err := check.Tree(t.Context(), tree, nil)
	if err != nil {
		t.Fatal(err)
	}
	wrong := map[string]bool{}
	for _, a := range found.Apps {
		wrong[a.Lifecycle.Name] = a.Problems.HasErrors()
	}
	if diff := cmp.Diff(map[string]bool{"shop": true, "cart": false, "till": false}, wrong); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatTasksRunIsCheckedAndFoundInTheTree(t *testing.T) {
	tree := fstest.MapFS{
		"shop/deployment.yaml": {Data: []byte(workload)},
		"shop/lifecycle.yaml": {Data: []byte(`apiVersion: gitops.keptn.sh/v1alpha1
kind: Lifecycle
metadata: {name: shop}
spec:
  preDeployment: {tasks: [migrate, absent]}
  promotion: {tasks: [{name: tell, deno: {functionRef: {name: migrate}}}]}
`)},
		"tasks/lifecycle.yaml": {Data: []byte(`apiVersion: lifecycle.keptn.sh/v1
kind: KeptnTaskDefinition
metadata: {name: migrate}
spec: {container: {image: "migrate:1"}}
---
apiVersion: lifecycle.keptn.sh/v1
kind: KeptnTaskDefinition
metadata: {name: wrong}
spec: {container: {imag: "a"}}
`)},
	}
	found, err := check.Tree(t.Context(), tree, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range found.Problems {
		got = append(got, p.String())
	}
	want := []string{
		`shop/lifecycle.yaml:5:36: warning: KeptnTaskDefinition "absent" is not in this repository: write it, or see that the cluster has it`,
		`shop/lifecycle.yaml:6:63: functionRef names the KeptnTaskDefinition "migrate", which is no script in Deno or Python`,
		`tasks/lifecycle.yaml:9:8: spec.container.image is required`,
		`tasks/lifecycle.yaml:9:20: unknown field "spec.container.imag", did you mean "image"?`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAFolderOfNothingButAHelmReleaseIsFine(t *testing.T) {
	tree := fstest.MapFS{
		"shop/lifecycle.yaml": {Data: []byte(app + "metrics.errors < 1\n")},
		"shop/release.yaml": {Data: []byte("apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: cart}\n" +
			"spec: {chart: {spec: {chart: ./charts/cart, sourceRef: {kind: GitRepository, name: shop}}}}\n")},
	}
	found, err := check.Tree(t.Context(), tree, nil)
	if err != nil || len(found.Problems) > 0 || len(found.Apps) != 1 || len(found.Apps[0].Rendered.Releases) != 1 {
		t.Errorf("got %+v, %v, want one app with one release, and no problem", found, err)
	}
}
