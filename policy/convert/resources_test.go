package convert_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/policy/convert"
)

func TestResourcesOfOlderVersionsBecomeThoseOfToday(t *testing.T) {
	data, err := os.ReadFile("testdata/resources.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects, notes, err := convert.Resources(data)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, object := range objects {
		text, err := yaml.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString("---\n" + string(text))
	}
	want, err := os.ReadFile("testdata/resources.want.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wantNotes := []string{
		`KeptnMetricsProvider "search": secretKeyRef.key is the key in the Secret here, while Keptn took it for the API key itself: put the API key into the Secret`,
		`Deployment "cart": it is left as it is`,
		`KeptnApp "podtato-head": its tasks and evaluations are in a KeptnAppContext of the same name now`,
		`KeptnApp "found": it is left out: it was discovered from annotations, and will be again`,
		`KeptnTaskDefinition "notify": function is named deno now`,
		`KeptnEvaluationDefinition "cpu": its queries are KeptnMetrics of their own now`,
		`KeptnTask "pre-notify-12345": it is left out: it is a record, and the controller makes its own`,
	}
	if diff := cmp.Diff(wantNotes, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

func TestTwoResourcesThatBecomeOfOneNameAreToldOf(t *testing.T) {
	const file = `{apiVersion: lifecycle.keptn.sh/v1alpha3, kind: KeptnApp, metadata: {name: shop, namespace: NS}, spec: {version: "1", preDeploymentTasks: [a], workloads: [{name: web, version: "1"}]}}
---
{apiVersion: lifecycle.keptn.sh/v1beta1, kind: KeptnAppContext, metadata: {name: shop, namespace: one}, spec: {preDeploymentTasks: [b]}}
`
	for namespace, want := range map[string]bool{"one": true, "two": false} {
		_, notes, err := convert.Resources([]byte(strings.ReplaceAll(file, "NS", namespace)))
		if told := slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "join them") }); err != nil || told != want {
			t.Errorf("in %s: told of it %t, want %t: %q %v", namespace, told, want, notes, err)
		}
	}
}

func TestResourcesThatCannotBeConvertedAreRefused(t *testing.T) {
	cases := map[string]struct{ reason, file, want string }{
		"Empty":    {"Nothing to convert is a mistake.", "# nothing\n", "nothing to convert"},
		"NoYAML":   {"A text is no resource.", "invalid", "read resources"},
		"NoKind":   {"An SLI file is no resource.", "indicators: {a: b}", "no apiVersion"},
		"NoObject": {"A list holds objects.", "{apiVersion: v1, kind: List, items: [{apiVersion: v1}]}", "no apiVersion or no kind"},
		"Version":  {"What is newer is not known.", "{apiVersion: metrics.keptn.sh/v9, kind: KeptnMetric}", `version "v9"`},
		"Type":     {"A provider of an unknown type cannot be asked.", "{apiVersion: metrics.keptn.sh/v1alpha2, kind: KeptnMetricsProvider, metadata: {name: mine}, spec: {targetServer: x}}", `KeptnMetricsProvider "mine": type "mine"`},
		"NoSource": {"A query is asked of a provider.", "{apiVersion: lifecycle.keptn.sh/v1alpha2, kind: KeptnEvaluationDefinition, metadata: {name: cpu}, spec: {objectives: [{name: a, query: b}]}}", "no spec.source"},
		"NoSpec":   {"Nor can one without a spec.", "{apiVersion: metrics.keptn.sh/v1alpha2, kind: KeptnMetricsProvider}", "no spec"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			objects, _, err := convert.Resources([]byte(tc.file))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: got %v, %v, want %q", tc.reason, objects, err, tc.want)
			}
		})
	}
}

// What was converted once is not changed by converting it again.
func FuzzResources(f *testing.F) {
	data, err := os.ReadFile("testdata/resources.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, _, err := convert.Resources(data)
		if err != nil || len(objects) == 0 {
			return
		}
		text, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": objects})
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := convert.Resources(text)
		if err != nil {
			t.Fatalf("%v, in\n%s", err, text)
		}
		if diff := cmp.Diff(objects, again); diff != "" {
			t.Fatalf("(-once +twice):\n%s", diff)
		}
	})
}
