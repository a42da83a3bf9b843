package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
)

func TestMistakesOfAnExpressionAreReportedWhereTheyAre(t *testing.T) {
	cases := map[string]struct {
		reason, expression string
		want               []string
	}{
		"UnknownMetric": {"A typo names what there is.", "metrics.typo < 1",
			[]string{"1:1: metrics.typo is not declared: the metrics are a, b, c"}},
		"UnknownBaseline": {"A baseline has the metrics' names.", "metrics.a < baseline.x * 1.1",
			[]string{"1:13: baseline.x is not declared: the metrics are a, b, c"}},
		"UnknownSeries": {"So have series.", "has(series.x)",
			[]string{"1:5: series.x is not declared: the metrics are a, b, c"}},
		"UnknownVariable": {"A variable that is nowhere.", "variables.x < 1",
			[]string{"1:1: variables.x is not declared: the policy has no variables"}},
		"UnknownCommitField": {"A commit has few fields.", "commit.tree == ''",
			[]string{"1:1: commit.tree is not declared: the fields of a commit are author, body, email, files, message, sha, subject, time, trailers, type"}},
		"UnknownByIndex": {"The other way to write it.", "metrics['x'] == null",
			[]string{"1:1: metrics.x is not declared: the metrics are a, b, c"}},
		"UnknownSeveral": {"All problems at once, also those of types.", "metrics.x < 1 &&\n  metrics.y < 1 && metrics.a",
			[]string{"1:1: metrics.x is not declared: the metrics are a, b, c", "2:3: metrics.y is not declared: the metrics are a, b, c", "2:27: expected type 'bool' but found 'double'"}},
		"Undeclared": {"A name with no root.", "a < 1",
			[]string{"1:1: undeclared reference to 'a': expressions read metrics, baseline, series, slo, params, variables, commit, commits, rollout and now"}},
		"UnknownFunction": {"A function there is not.", "isNaN(metrics.a)",
			[]string{"1:6: undeclared reference to 'isNaN': there is no such function"}},
		"Bare": {"A root is no value.", "metrics == baseline",
			[]string{"1:1: metrics is no value by itself: write metrics.<name>", "1:12: baseline is no value by itself: write baseline.<name>"}},
		"Type": {"A double is no text.", "metrics.a < 'x'",
			[]string{"1:11: found no matching overload for '_<_' applied to '(double, string)'"}},
		"TypeOfEquality": {"Nor is it equal to one.", "metrics.a == 'x'",
			[]string{"1:11: found no matching overload for '_==_' applied to '(double, string)'"}},
		"TypeOfBranches": {"Nor are they two branches.", "(metrics.a > 1 ? metrics.a : 'x') == 1",
			[]string{"1:16: found no matching overload for '_?_:_' applied to '(bool, double, string)'"}},
		"VariableIsNeverNull": {"Only measurements can be missing.", "metrics.a + 1 == null",
			[]string{"1:15: found no matching overload for '_==_' applied to '(double, null)'"}},
		"SeriesField": {"A series has labels and a value.", "series.a.all(s, s.vlaue < 1)",
			[]string{"1:18: undefined field 'vlaue'; did you mean `value`?"}},
		"HidingLoop": {"A loop variable must not change what a name means.", "series.a.all(now, now.value < 1)",
			[]string{"1:7: the loop variable now hides what now means: choose another name"}},
		"NotBool": {"A number decides nothing.", "metrics.a",
			[]string{"1:1: the expression is of type double, and it has to be a bool"}},
		"NotSurelyBool": {"Nor does what could be anything.", "dyn(true)",
			[]string{"1:1: the expression is of type dyn, and it has to be a bool"}},
		"Syntax": {"The column is that of the text.", "metrics.a < < 1",
			[]string{"1:13: Syntax error: extraneous input '<'"}},
		"Columns": {"Columns count characters, not bytes.", "'äöü' == metrics.x",
			[]string{"1:10: metrics.x is not declared: the metrics are a, b, c"}},
		"Empty": {"Nothing is no expression.", " \n",
			[]string{"the expression is empty"}},
		"Duration": {"A literal that cannot be.", "now > now - duration('5 minutes')",
			[]string{"1:22: invalid duration argument"}},
		"Regex": {"A pattern that cannot be.", "series.a.all(s, s.labels.pod.matches('('))",
			[]string{"1:38: invalid matches argument"}},
		"Long": {"The API's bound of an expression.", "metrics.a < 1 " + strings.Repeat("|| metrics.a < 1 ", 300),
			[]string{"1:1: expression code point size exceeds limit: size: 5114, limit 4096"}},
		"Nested": {"What would take a deep stack.", strings.Repeat("!(", 200) + "true" + strings.Repeat(")", 200),
			[]string{"1:1: expression recursion limit exceeded: 100"}},
		"Cost": {"A loop in a loop over thousands.", "series.a.all(s, series.a.all(t, s.value <= t.value))",
			[]string{"1:1: the expression can cost 800050002 units with 10000 series, and the limit is 10000000: loop over fewer series, or aggregate them in the query"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, w := range tc.want {
				sep := ":"
				if w[0] < '0' || w[0] > '9' {
					sep = ": "
				}
				want = append(want, "spec.rules[0].expression"+sep+w)
			}
			if diff := cmp.Diff(want, texts(problems(t, spec(rule(tc.expression))))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func texts(problems policy.Problems) (all []string) {
	for _, p := range problems {
		all = append(all, p.String())
	}
	return all
}

func TestMistakesOfAPolicyAreReportedAllAtOnce(t *testing.T) {
	s := v1alpha1.SLOPolicySpec{
		Metrics: []v1alpha1.Metric{{Name: "a"}, {Name: "a"}, {Name: ""}, {Name: "b-c"}},
		Variables: []v1alpha1.Variable{
			{Name: "v", Expression: "variables.w"},
			{Name: "w", Expression: "variables.w + 1"},
			{Name: "w", Expression: "metrics.a +"},
			{Name: "x", Expression: "has(variables.v)"},
		},
		Rules: []v1alpha1.Rule{
			{Name: "r", Expression: "metrics.a < 1 && variables.v", Warning: "1", Message: "1", Weight: ptr.To[int64](-1)},
			{Name: "r", Expression: "metrics.a < 1", Weight: ptr.To[int64](1_000_001)},
			{Name: "-", Expression: "", Message: "'a' + metrics.a"},
		},
		Score: &v1alpha1.Score{Pass: 101, Warning: ptr.To[int32](102)},
	}
	want := []string{
		`spec.metrics[1].name: there are two metrics named "a": spec.metrics[0] is the other; rename one`,
		`spec.metrics[2].name: the metric has no name`,
		`spec.metrics[3].name: "b-c" is no name of a metric: it has to match ^[a-zA-Z_][a-zA-Z0-9_]*$`,
		`spec.variables[0].expression:1:1: variables.w is not known here: a variable can read those above it only; move it up`,
		`spec.variables[1].expression:1:1: variables.w is not known here: a variable can read those above it only; move it up`,
		`spec.variables[2].name: there are two variables named "w": spec.variables[1] is the other; rename one`,
		`spec.variables[2].expression:1:12: Syntax error: mismatched input '<EOF>'`,
		`spec.variables[3].expression:1:5: has(variables.v) has no meaning: ask for data where the metric is read, as in metrics.x != null`,
		`spec.rules[0].warning:1:1: the expression is of type int, and it has to be a bool`,
		`spec.rules[0].message:1:1: the expression is of type int, and it has to be a string`,
		`spec.rules[0].weight: -1 is not from 0 to 1000000`,
		`spec.rules[1].name: there are two rules named "r": spec.rules[0] is the other; rename one`,
		`spec.rules[1].weight: 1000001 is not from 0 to 1000000`,
		`spec.rules[2].name: "-" is no name of a rule: it has to match ^[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?$`,
		`spec.rules[2].expression: the expression is empty`,
		`spec.rules[2].message:1:5: found no matching overload for '_+_' applied to '(string, double)'`,
		`spec.score.pass: 101 is no percentage: give 0 to 100`,
		`spec.score.warning: 102 is not from 0 to 101: it is the lower of the two percentages`,
	}
	if diff := cmp.Diff(want, texts(problems(t, s))); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestAPolicyWithoutRulesIsAMistake(t *testing.T) {
	want := policy.Problems{{Path: "spec.rules", Message: "there is no rule: a policy needs at least one"}}
	if diff := cmp.Diff(want, problems(t, spec())); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestTheErrorNamesThePolicyOnce(t *testing.T) {
	_, err := policy.Compile("checkout-slo", spec(rule("metrics.x < 1")))
	const want = `policy "checkout-slo": spec.rules[0].expression:1:1: metrics.x is not declared: the metrics are a, b, c`
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestACostLimitCountsTheVariables(t *testing.T) {
	s := spec(rule("variables.sum < 1"))
	s.Variables = []v1alpha1.Variable{{Name: "sum", Expression: "series.a.map(x, x.value).size() + series.b.map(x, x.value).size()"}}
	if _, err := policy.Compile("test", s); err != nil {
		t.Errorf("with the default limit: %v", err)
	}
	got := problems(t, s, policy.CostLimit(1000))
	if len(got) != 1 || got[0].Path != "spec.rules[0].expression" || !strings.Contains(got[0].Message, "the limit is 1000") {
		t.Errorf("with a limit of 1000: %v", got)
	}
}

// Each variable reads the two above it. Were a variable counted once for each way
// to it, this would be a cost of billions.
func TestAVariableCountsOnceInACost(t *testing.T) {
	s := spec(rule("variables.v63 < 1"))
	for i := range 64 {
		expression := "metrics.a"
		if i >= 2 {
			expression = fmt.Sprintf("variables.v%d + variables.v%d", i-1, i-2)
		}
		s.Variables = append(s.Variables, v1alpha1.Variable{Name: fmt.Sprintf("v%d", i), Expression: expression})
	}
	if _, err := policy.Compile("test", s, policy.CostLimit(1000)); err != nil {
		t.Error(err)
	}
}

// FuzzCompile compiles expressions, of a policy that declares something of each
// kind, or what the YAML of a whole policy says.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		benchmarkedExpression, "metrics.a == null || metrics.a < 10", "series.a.all(s, s.labels.pod != '' && s.value / 2 < 1)",
		"(metrics.a > 1 ? 0 : (metrics.b > 1 ? metrics.c : 1) * 2) == 3", "metrics['a'] in [1.0, 2.0]", "!(has(metrics.a))",
		"variables.v == 1 ? 'a' : 'b'", "percent(1) + string(now)", "metrics.a +", "[[[[", "((((((1))))))", "'\\u00e4' == metrics.x",
		"series.a.exists_one(metrics, true)", "{'a': metrics.a}.a < 1", "metrics.a < 1 ?", "-9223372036854775808 == metrics.a",
		"slo.availability.burnRate('1h') < 14 && slo['latency'].budgetRemaining > 0", "commits.all(c, c.files.exists(f, f.glob('a/**')) || c.type == 'fix')",
		"now.within('Fri 14:00', 'Mon 08:00', 'Europe/Vienna')", "semverCompare(rollout.version, rollout.previousVersion) > 0", "semverMatches(params.tier, '^1')",
		"series.avg.filter(s, s.value > 1).sum() + [metrics.rate].max() < 1", "commits + commits == commits", "dyn(slo.latency).good > 1", "commit.trailers['risk'][0] == 'high'",
		"commits[1] == commits[0]", "type(slo.latency) == type(commits[0])", "string(slo.latency.exhaustedIn('5m'))", "dyn(commits).size()", "size(commits) in [size(commits)]",
	} {
		f.Add(seed, seed, "")
	}
	f.Add("true", "1", "metrics: [{name: a, query: '{{.app}}', reducer: rate, maxAge: 1m}]\nslos: [{name: a, objective: 99, window: {rolling: 30d}, composite: [{slo: a}]}]\ncount: 3")
	f.Add("true", "1", "rules: [{name: r, expression: 'slo.a.good > 1'}]\nslos: [{name: a, openSLO: x}, {name: b, timeslices: {}, threshold: {op: lt}}]\nparams: [{name: p}]")
	f.Fuzz(func(t *testing.T, expression, variable, text string) {
		s := full(v1alpha1.Rule{Name: "r", Expression: expression, Warning: variable, Message: variable})
		s.Variables = []v1alpha1.Variable{{Name: "v", Expression: variable}}
		if text != "" {
			if err := yaml.Unmarshal([]byte(text), &s); err != nil {
				return
			}
		}
		start := time.Now()
		p, err := policy.Compile("fuzz", s)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("compiling %q and %q took %s", expression, variable, took)
		}
		if err != nil {
			var mistakes policy.Problems
			if !errors.As(err, &mistakes) || len(mistakes) == 0 {
				t.Fatalf("error %v, want Problems", err)
			}
			for _, m := range mistakes {
				if m.Path == "" || m.Message == "" || strings.ContainsAny(m.Message, "\n@") && !strings.ContainsAny(expression+variable+text, "@") && text == "" {
					t.Errorf("problem %q", m)
				}
			}
			return
		}
		in := everything()
		for _, in.CommitsTruncated = range []bool{false, true} {
			evaluated, explained := p.Evaluate(t.Context(), in), p.Explain(t.Context(), in)
			if diff := cmp.Diff(evaluated.Result, explained.Result); diff != "" {
				t.Errorf("Evaluate and Explain differ: %s", diff)
			}
			for _, r := range explained.Rules {
				if strings.Contains(r.Message, "internal error") {
					t.Errorf("%q, %q: %s", expression, variable, r.Message)
				}
			}
		}
	})
}
