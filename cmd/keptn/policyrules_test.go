package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/policy/rules"
)

const ruledPolicy = `apiVersion: gitops.keptn.sh/v1alpha1
kind: SLOPolicy
metadata:
  name: checkout-slo
spec:
  params: [{name: region, default: eu}, {name: team}]
  slos:
    - name: availability
      objective: 99.9
      window: {rolling: 30d}
      ratio:
        provider: {name: prometheus}
        bad: sum(increase(http_requests_total{app="{{.app}}",region="{{.params.region}}",code=~"5.."}[{{.window}}]))
        total: sum(increase(http_requests_total{app="{{.app}}",region="{{.params.region}}"}[{{.window}}]))
    - name: sliced
      objective: 99
      window: {rolling: 7d}
      threshold: {provider: {name: prometheus}, query: latency_seconds, op: lt, value: 0.5}
      timeslices: {duration: 5m, target: 90}
  rules:
    - {name: budget, expression: slo.availability.budgetRemaining > 0.1}
`

func TestPolicyRulesArePrometheusRules(t *testing.T) {
	file := filepath.Join(folder(t, map[string]string{"slo.yaml": ruledPolicy}), "slo.yaml")
	flags := []string{"policy", "rules", "--policy", file, "--app", "checkout", "--param", "region=us"}
	const filledIn = `http_requests_total{app="checkout",region="us"}[5m]`
	const note = `slo "sliced": timeslices have no rules`

	stdout, stderr, code := keptn(t, flags...)
	var groups rules.Groups
	if err := yaml.UnmarshalStrict([]byte(stdout), &groups); err != nil || code != 0 || stderr != "" {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if !strings.HasPrefix(stdout, "# "+note) || !strings.Contains(stdout, filledIn) || groups.Groups[0].Rules[0].Labels["app"] != "checkout" {
		t.Errorf("rules:\n%s", stdout)
	}
	if promtool, err := exec.LookPath("promtool"); err == nil {
		written := filepath.Join(t.TempDir(), "rules.yaml")
		if err := os.WriteFile(written, []byte(stdout), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", written).CombinedOutput(); err != nil {
			t.Errorf("promtool: %v\n%s", err, out)
		}
	}

	object, stderr, code := keptn(t, append(flags, "-o", "prometheusrule", "--label", "release=monitoring")...)
	var rule struct {
		Kind     string
		Metadata struct {
			Name   string
			Labels map[string]string
		}
		Spec rules.Groups
	}
	if err := yaml.Unmarshal([]byte(object), &rule); err != nil || code != 0 || rule.Kind != "PrometheusRule" || rule.Metadata.Name != "checkout-slo" || rule.Metadata.Labels["release"] != "monitoring" || len(rule.Spec.Groups) != 1 {
		t.Errorf("exit code %d, %v: %s%s", code, err, object, stderr)
	}

	stdout, stderr, code = keptn(t, append(flags, "-o", "json")...)
	var got rules.Groups
	decoder := json.NewDecoder(bytes.NewBufferString(stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil || code != 0 || len(got.Groups) != 1 || !strings.Contains(stderr, file+": "+note) {
		t.Errorf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
}

func TestRulesThatCannotBeMadeSayWhy(t *testing.T) {
	with := func(old, replacement string) string { return strings.Replace(ruledPolicy, old, replacement, 1) }
	cases := map[string]struct {
		reason, policy string
		args           []string
		want           string
	}{
		"NoApp":     {"An empty app would select nothing.", ruledPolicy, nil, `slo "availability": its query reads .app: give --app`},
		"Namespace": {"Nor would an empty namespace.", with("{{.app}}", "{{.namespace}}"), []string{"--app", "a"}, "its query reads .namespace: give --namespace"},
		"Version":   {"A version passes, and rules stay.", with("{{.app}}", "{{.version}}"), []string{"--app", "a"}, "its query reads .version: rules serve all versions"},
		"NoParam":   {"A param without default is to be given.", with("{{.params.region}}", "{{.params.team}}"), []string{"--app", "a"}, "params.team is neither set nor has a default"},
		"Param":     {"A param that is misspelled is not ignored.", ruledPolicy, []string{"--param", "regoin=eu"}, "--param regoin: the policy declares no such param: it has region, team"},
		"NoSLO":     {"A policy without slos has no rules.", goodLifecycle, nil, `policy "slo" has no slos`},
		"Name":      {"A policy that is not there.", ruledPolicy, []string{"--name", "x"}, `holds no policy "x": it has checkout-slo`},
		"Broken":    {"A policy with a mistake has no rules.", with("budgetRemaining", "budget_remaining"), nil, "slo.yaml:21:"},
		"Label":     {"A rule file has no place for labels.", ruledPolicy, []string{"--label", "a=b"}, "--label is for -o prometheusrule"},
		"Format":    {"A format that is none.", ruledPolicy, []string{"-o", "text"}, `-o "text": has to be yaml, json or prometheusrule`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(folder(t, map[string]string{"slo.yaml": tc.policy}), "slo.yaml")
			stdout, stderr, code := keptn(t, append([]string{"policy", "rules", "--policy", file}, tc.args...)...)
			if code != exitError || stdout != "" || !strings.Contains(stderr, tc.want) {
				t.Errorf("%s: exit code %d, want %q in: %s%s", tc.reason, code, tc.want, stdout, stderr)
			}
		})
	}
}

func TestEveryCommandOfPolicyHasHelpWithAnExample(t *testing.T) {
	for _, name := range []string{"test", "rules"} {
		stdout, _, code := keptn(t, "policy", name, "--help")
		if code != 0 || !strings.Contains(stdout, "Examples:\n  keptn policy "+name) {
			t.Errorf("%s: exit code %d: %s", name, code, stdout)
		}
	}
}
