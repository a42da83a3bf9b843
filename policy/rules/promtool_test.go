package rules_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/rules"
)

// promtool runs the command over files in a directory.
func promtool(t *testing.T, dir string, args ...string) {
	t.Helper()
	binary, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("there is no promtool on PATH")
	}
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func write(t *testing.T, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPromtoolAcceptsTheRules(t *testing.T) {
	t.Parallel()
	slos := []v1alpha1.SLO{
		availability(), latency(),
		with(availability(), func(s *v1alpha1.SLO) {
			s.Name, s.Window = "good", &v1alpha1.SLOWindow{Calendar: "quarter"}
			s.Ratio = &v1alpha1.RatioIndicator{Good: "increase(ok_total[{{.window}}])\n# by pod", Total: requests}
		}),
		with(latency(), func(s *v1alpha1.SLO) {
			s.Name = "cold"
			s.Threshold = &v1alpha1.ThresholdIndicator{Query: "temperature{room=\"}{\"} # °C", Op: "gte", Value: -1e-7}
		}),
		with(availability(), func(s *v1alpha1.SLO) { s.Name, s.Window = "short", &v1alpha1.SLOWindow{Rolling: "1d"} }),
	}
	groups, err := rulesFor(slos...)
	if err != nil {
		t.Fatal(err)
	}
	file, err := groups.YAML()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "rules.yaml", file)
	promtool(t, dir, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml")
}

// A ruleTest is a file of promtool test rules
// (https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/).
type ruleTest struct {
	RuleFiles          []string `json:"rule_files"`
	EvaluationInterval string   `json:"evaluation_interval"`
	Tests              []series `json:"tests"`
}

type series struct {
	Interval string       `json:"interval"`
	Name     string       `json:"name"`
	Input    []input      `json:"input_series"`
	Queries  []expression `json:"promql_expr_test"`
}

type input struct {
	Series string `json:"series"`
	Values string `json:"values"`
}

type expression struct {
	Expr string   `json:"expr"`
	At   string   `json:"eval_time"`
	Want []sample `json:"exp_samples"`
}

type sample struct {
	Labels string  `json:"labels"`
	Value  float64 `json:"value"`
}

// testRules lets promtool evaluate the rules each 5 minutes.
func testRules(t *testing.T, groups rules.Groups, tests ...series) {
	t.Helper()
	file, err := groups.YAML()
	if err != nil {
		t.Fatal(err)
	}
	content, err := yaml.Marshal(ruleTest{RuleFiles: []string{"rules.yaml"}, EvaluationInterval: "5m", Tests: tests})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "rules.yaml", file)
	write(t, dir, "test.yaml", content)
	promtool(t, dir, "test", "rules", "test.yaml")
}

// alerts expects which alerts are firing.
func alerts(at string, severities ...string) expression {
	e := expression{Expr: `count by (severity) (ALERTS{alertname="SLOErrorBudgetBurn",alertstate="firing",slo!=""})`, At: at}
	for _, severity := range severities {
		e.Want = append(e.Want, sample{fmt.Sprintf("{severity=%q}", severity), 1})
	}
	return e
}

// holds expects that an expression, whose value is 1 then, does.
func holds(at, expr string) expression {
	return expression{Expr: fmt.Sprintf("count((%s) == 1)", expr), At: at, Want: []sample{{"{}", 1}}}
}

func TestAlertsOfARatio(t *testing.T) {
	t.Parallel()
	requests := func(good, bad string) []input {
		return []input{{`http_requests_total{code="200"}`, good}, {`http_requests_total{code="500"}`, bad}}
	}
	test := func(name string, in []input, queries ...expression) series {
		return series{Interval: "1m", Name: name, Input: in, Queries: queries}
	}
	tests := []series{
		test("An outage pages within minutes, and stops paging soon after its end.",
			requests("0+1000x299 299000+500x29 313500+1000x180", "0+0x299 0+500x29 14500+0x180"),
			alerts("4h55m"), alerts("5h10m", "page", "ticket"), alerts("6h20m", "ticket")),
		test("Three times the pace is worth a ticket.", requests("0+9970x480", "0+30x480"), alerts("7h", "ticket")),
		test("Seven times the pace over 6 hours is worth a page.", requests("0+9930x480", "0+70x480"), alerts("7h", "page", "ticket")),
		test("Half the pace is fine.", requests("0+19990x480", "0+10x480"), alerts("7h"),
			holds("7h", `abs(slo:period_burn_rate:ratio - 0.5) < bool 0.001`),
			holds("7h", `abs(slo:period_error_budget_remaining:ratio - 0.5) < bool 0.001`),
			holds("7h", `abs(slo:current_burn_rate:ratio - 0.5) < bool 0.001`),
			holds("7h", `slo:error_budget:ratio == bool 0.001`),
			holds("7h", `slo:objective:ratio == bool 0.999`),
			holds("7h", `slo:time_period:days == bool 30`)),
		test("Good traffic has a budget, though no event was ever bad.",
			[]input{{`http_requests_total{code="200"}`, "0+100x480"}}, alerts("7h"),
			holds("7h", `slo:period_error_budget_remaining:ratio == bool 1`)),
		test("No traffic burns nothing.", requests("5+0x480", "7+0x480"), alerts("7h"),
			expression{Expr: "slo:sli_error:ratio_rate1h", At: "7h"}),
		// The mean of the ratios of 5 minutes would be about a half.
		test("A quiet half hour that fails weighs less than a busy one that does not.",
			requests("0+0x30 0+10000x30", "0+10x30 300+0x30"),
			holds("1h", `abs(slo:sli_error:ratio_rate1h - 0.001) < bool 0.0005`)),
	}
	bad, err := rulesFor(availability())
	if err != nil {
		t.Fatal(err)
	}
	testRules(t, bad, tests...)
	good, err := rulesFor(with(availability(), func(s *v1alpha1.SLO) {
		s.Ratio = &v1alpha1.RatioIndicator{Good: `increase(http_requests_total{code="200"}[{{.window}}])`, Total: s.Ratio.Total}
	}))
	if err != nil {
		t.Fatal(err)
	}
	testRules(t, good, tests[0], tests[4],
		test("Where none was ever good, all failed.", []input{{`http_requests_total{code="500"}`, "0+100x480"}}, alerts("1h", "page", "ticket")))
}

func TestAlertsOfAThreshold(t *testing.T) {
	t.Parallel()
	groups, err := rulesFor(with(latency(), func(s *v1alpha1.SLO) {
		// 99 stands for no number, which the notation of the tests has not.
		s.Threshold = &v1alpha1.ThresholdIndicator{Query: `latency_seconds * 0 / (latency_seconds != bool 99) + latency_seconds`, Op: "lt", Value: 0.5}
	}))
	if err != nil {
		t.Fatal(err)
	}
	test := func(name, a, b string, queries ...expression) series {
		return series{Interval: "1m", Name: name, Queries: queries, Input: []input{{`latency_seconds{pod="a"}`, a}, {`latency_seconds{pod="b"}`, b}}}
	}
	testRules(t, groups,
		test("One of two slow pods is half of all samples.", "0.1x299 0.9x60", "0.1x360", alerts("4h50m"), alerts("5h20m", "page", "ticket"),
			holds("5h30m", `abs(slo:sli_error:ratio_rate5m - 0.5) < bool 0.001`)),
		test("The limit itself is not below it.", "0.5x60", "0.4x60", holds("30m", `slo:sli_error:ratio_rate5m == bool 0.5`)),
		test("What is no number is no evidence.", "99x360", "0.1x360", alerts("5h"),
			holds("5h", `slo:period_error_budget_remaining:ratio == bool 1`), holds("5h", `slo:events:count == bool 1`)),
		test("All is fast.", "0.1x360", "0.2x360", alerts("5h")))
}
