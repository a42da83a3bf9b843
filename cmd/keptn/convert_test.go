package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

func TestConvertPrintsTodaysResourcesAndSaysWhatIsLeftOut(t *testing.T) {
	dir := folder(t, map[string]string{
		"sli.yaml":  "indicators: {throughput: 'count(x{app=\"$SERVICE\"})', response_time: p95}\n",
		"slo.yaml":  "objectives: [{sli: response_time, pass: [{criteria: ['<=+10%', '<600']}]}]\ntotal_score: {pass: 90%, warning: 75%}\n",
		"left.yaml": "indicators: {a: 'x{handler=\"$handler\"}'}\n",
		"old.yaml":  "{apiVersion: metrics.keptn.sh/v1alpha3, kind: KeptnMetric, metadata: {name: cpu}, spec: {query: cpu}}\n",
	})
	cases := map[string]struct {
		reason         string
		args           []string
		stdout, stderr string
		code           int
	}{
		"SLI": {"One template an indicator, in their order.", []string{"sli", "sli.yaml", "--provider", "prometheus"}, `apiVersion: metrics.keptn.sh/v1
kind: AnalysisValueTemplate
metadata:
  name: response-time
spec:
  provider:
    name: prometheus
  query: p95
---
apiVersion: metrics.keptn.sh/v1
kind: AnalysisValueTemplate
metadata:
  name: throughput
spec:
  provider:
    name: prometheus
  query: count(x{app="{{.service}}"})
`, "", 0},
		"SLO": {"What is left out is told beside the result.", []string{"slo", "slo.yaml", "--name", "cart", "--template-namespace", "shop"}, `apiVersion: metrics.keptn.sh/v1
kind: AnalysisDefinition
metadata:
  name: cart
spec:
  objectives:
  - analysisValueTemplateRef:
      name: response-time
      namespace: shop
    target:
      failure:
        greaterThanOrEqual:
          fixedValue: "600"
  totalScore:
    passPercentage: 90
    warningPercentage: 75
`, `slo.yaml: objectives[0] "response_time": pass criterion "<=+10%" is left out: an Analysis compares with no earlier result` + "\n", 0},
		"Resources": {"The version becomes today's.", []string{"resources", "old.yaml"}, `apiVersion: metrics.keptn.sh/v1
kind: KeptnMetric
metadata:
  name: cpu
spec:
  query: cpu
`, "", 0},
		"Left": {"What is no placeholder is told.", []string{"sli", "left.yaml", "--provider", "p"}, `apiVersion: metrics.keptn.sh/v1
kind: AnalysisValueTemplate
metadata:
  name: a
spec:
  provider:
    name: p
  query: x{handler="$handler"}
`, "left.yaml: indicator \"a\": $handler is left as it is\n", 0},
		"WrongFile":  {"A file of another kind is named.", []string{"slo", "sli.yaml", "--name", "cart"}, "", "keptn: sli.yaml: read SLO file: it has no objectives: there is nothing to convert\n", 2},
		"NoFile":     {"What is not there cannot be read.", []string{"sli", "none.yaml", "--provider", "p"}, "", "keptn: read file: open none.yaml: no such file or directory\n", 2},
		"NoProvider": {"A template needs a provider.", []string{"sli", "sli.yaml"}, "", "keptn: required flag(s) \"provider\" not set\n", 2},
		"Format":     {"An unknown format is no YAML.", []string{"resources", "old.yaml", "-o", "text"}, "", "keptn: -o \"text\": has to be yaml or json\n", 2},
	}
	t.Chdir(dir)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := keptn(t, append([]string{"convert"}, tc.args...)...)
			if stdout != tc.stdout || stderr != tc.stderr || code != tc.code {
				t.Errorf("%s: exit code %d, want %d; it said:\n%s%s\nwant:\n%s%s", tc.reason, code, tc.code, stdout, stderr, tc.stdout, tc.stderr)
			}
		})
	}
}

func TestConvertPrintsOneJSONObject(t *testing.T) {
	dir := folder(t, map[string]string{
		"one.yaml": "indicators: {a: x}\n",
		"two.yaml": "indicators: {a: x, b: 'a<b'}\n",
	})
	for file, kind := range map[string]string{"one.yaml": "AnalysisValueTemplate", "two.yaml": "List"} {
		stdout, stderr, code := keptn(t, "convert", "sli", filepath.Join(dir, file), "--provider", "p", "-o", "json")
		var got struct{ Kind string }
		if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 || got.Kind != kind {
			t.Errorf("%s: exit code %d, kind %q, %v: %s%s", file, code, got.Kind, err, stdout, stderr)
		}
	}
}

func TestConvertListsItsCommands(t *testing.T) {
	stdout, _, code := keptn(t, "convert")
	for _, want := range []string{"sli", "slo", "resources"} {
		if !strings.Contains(stdout, want) || code != 0 {
			t.Errorf("exit code %d, %q is not in:\n%s", code, want, stdout)
		}
	}
}
