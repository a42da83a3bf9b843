package policy_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
)

// chain is a policy whose variables x0, x1, … are the expressions, of which the
// last is repeated until there are n, with the variable before it in place of $. Its
// rule reads the last.
func chain(n int, rule string, expressions ...string) v1alpha1.SLOPolicySpec {
	s := spec(v1alpha1.Rule{Name: "r", Expression: strings.ReplaceAll(rule, "$", fmt.Sprintf("variables.x%d", n-1))})
	for i := range n {
		e := expressions[min(i, len(expressions)-1)]
		s.Variables = append(s.Variables, v1alpha1.Variable{Name: fmt.Sprintf("x%d", i), Expression: strings.ReplaceAll(e, "$", fmt.Sprintf("variables.x%d", i-1))})
	}
	return s
}

func TestAnEvaluationTakesLittleMemoryWhateverIsWritten(t *testing.T) {
	letters := "'" + strings.Repeat("a", 160) + "'"
	in := policy.Input{
		Metrics: map[string]policy.Value{"a": policy.Vector(make([]policy.Series, policy.MaxSeries)), "b": policy.Vector(make([]policy.Series, 250))},
		Commit:  &policy.Commit{Message: strings.Repeat("m", 100_000)},
	}
	cases := map[string]struct {
		reason string
		spec   v1alpha1.SLOPolicySpec
	}{
		"Replace":     {"Each letter becomes a whole text: 160, 25,600, 4 million, 655 million.", chain(4, "$ != ''", letters, "$.replace('a', variables.x0)")},
		"ReplaceSome": {"Likewise where their number is limited.", chain(4, "$ != ''", letters, "$.replace('a', variables.x0, 1000000)")},
		"ReplaceNone": {"Between any two letters there is nothing to replace.", chain(4, "$ != ''", letters, "$.replace('', variables.x0)")},
		"Add":         {"Twice as long 40 times.", chain(40, "$ != ''", letters, "$ + $")},
		"AddBytes":    {"Bytes as well.", chain(40, "$ != b''", "b'aaaaaaaaaaaaaaaa'", "$ + $")},
		"AddDynamic":  {"And what could be anything.", chain(40, "$ != ''", "dyn("+letters+")", "$ + $")},
		"Join":        {"One long text for each of many.", chain(2, "$ != ''", "commit.message", "series.a.map(s, $).join(',')")},
		"JoinBy":      {"A long text between each of many.", chain(2, "$ != ''", "commit.message", "commits.map(c, '').join($)")},
		"JoinLists":   {"A list that is long by being joined with itself holds little and yields much.", chain(40, "$.join('') != ''", "[commit.message]", "$ + $")},
		"Format":      {"A list that holds a list twice, 40 times over.", chain(40, "'%s'.format([$]) != ''", "[commit.message]", "[$, $].map(x, dyn(x))")},
		"FormatMap":   {"A map likewise.", chain(40, "'%s'.format([$]) != ''", "dyn({'a': 'b'})", "dyn({'a': $, 'b': $})")},
		"Equal":       {"To compare such a list takes longer than anybody waits.", chain(40, "$ == [$].map(x, x)[0]", "dyn([1])", "dyn([$, $])")},
		"In":          {"So does looking for one in it.", chain(40, "dyn(1) in $", "dyn([2])", "dyn([$, $])")},
		"Split":       {"Each letter of a long text becomes an element.", chain(9, "$.size() > 0", "commit.message", "commit.message.split('').join('') + string($.size())")},
		"Index":       {"To look for a long text in a long one.", chain(1, "(commit.message + 'x').indexOf(commit.message.substring(0, 50000) + 'y') > 0", "1")},
		"Quote":       {"Quotes are escaped, over and over.", chain(40, "$ != ''", `'"'`, "strings.quote($)")},
		"Literals":    {"A list of many in a loop.", chain(1, "$.size() > 0", "series.a.map(s, ["+strings.TrimSuffix(strings.Repeat("s,", 200), ",")+"])")},
		"Nested":      {"A loop in a loop.", chain(1, "$.size() > 0", "commits.map(c, commits.map(d, [d, d, d, d]))")},
	}
	in.Commits = make([]policy.Commit, policy.MaxCommits)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p, err := policy.Compile("p", tc.spec)
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got := p.Evaluate(t.Context(), in)
			runtime.ReadMemStats(&after)
			if allocated := (after.TotalAlloc - before.TotalAlloc) >> 20; allocated >= 32 {
				t.Errorf("%s: allocated %d MiB, %s", tc.reason, allocated, got.Rules[0].Message)
			}
			if got.Result != policy.Inconclusive || !strings.Contains(got.Rules[0].Message, "limit was reached") {
				t.Errorf("%s: %s, %q, want inconclusive by a limit", tc.reason, got.Result, got.Rules[0].Message)
			}
		})
	}
}

func TestWhatIsMadeWithinTheLimitsIsLikeCELs(t *testing.T) {
	in := numbers(1, 2, 3)
	in.Commit = &policy.Commit{Message: "fix: x", Files: []string{"a", "b"}}
	for _, expression := range []string{
		"commit.message.replace('f', 'gg') == 'ggix: x' && commit.message.replace('x', 'y', 0) == 'fix: x'",
		"commit.message.replace('', '-', 2) == '-f-ix: x'",
		"commit.files.map(f, f + '!').join() == 'a!b!' && commit.files.join(', ') == 'a, b'",
		"'%s has %d files, %.1f'.format([commit.message, commit.files.size(), metrics.a]) == 'fix: x has 2 files, 1.0'",
		"commit.message.split(': ') == ['fix', 'x'] && commit.message.split(':', 1) == ['fix: x']",
		"commit.message.upperAscii().lowerAscii().reverse() == 'x :xif' && commit.message.substring(5) == 'x'",
		"string(b'a' + b'b') == 'ab' && bytes('a') == b'a' && string(metrics.a) == '1' && string(true) == 'true'",
		"strings.quote(commit.message) == '\"fix: x\"' && commit.message.indexOf('x', 3) == 5 && commit.message.lastIndexOf('x') == 5",
		"'a' in commit.files && !('c' in commit.files) && 'k' in {'k': commit.message} && commit.files != ['a']",
		"commit.files + ['c'] == ['a', 'b', 'c'] && [[1, 2], [3]] == [[1, 2], [3]] && dyn(1) == dyn(1.0)",
		"commit.files.map(f, [f]).map(l, l + l) == [['a', 'a'], ['b', 'b']]",
	} {
		if got := compile(t, spec(rule(expression))).Explain(t.Context(), in).Rules[0]; got.Result != policy.Pass {
			t.Errorf("%s: %s, %s", expression, got.Result, got.Message)
		}
	}
	for expression, because := range map[string]string{
		"dyn(1) + dyn('x') == 'x'":          "no such overload",
		"dyn(true).replace('a', 'b') == ''": "no such overload",
		"[dyn(1)].map(x, x).join() == ''":   "no such overload",
	} {
		if got := compile(t, spec(rule(expression))).Evaluate(t.Context(), in).Rules[0]; got.Result != policy.Inconclusive || !strings.Contains(got.Message, because) {
			t.Errorf("%s: %s, %s, want %s", expression, got.Result, got.Message, because)
		}
	}
}

func TestManySeriesFitIntoTheMemory(t *testing.T) {
	series := make([]policy.Series, policy.MaxSeries)
	for i := range series {
		series[i] = policy.Series{Labels: map[string]string{"pod": fmt.Sprintf("checkout-%d", i)}, Value: 1}
	}
	s := spec(v1alpha1.Rule{Name: "r", Expression: "variables.worst.size() == 10000", Message: "'worst: ' + variables.worst.join(', ')"})
	s.Variables = []v1alpha1.Variable{{Name: "worst", Expression: "series.a.filter(s, s.value > 0).map(s, s.labels.pod + ' ' + percent(s.value))"}}
	got := compile(t, s).Evaluate(t.Context(), policy.Input{Metrics: map[string]policy.Value{"a": policy.Vector(series)}})
	if got.Result != policy.Pass || !strings.HasPrefix(got.Rules[0].Message, "worst: checkout-0 100%, checkout-1 ") {
		t.Errorf("%s, %q", got.Result, got.Rules[0].Message)
	}
}
