package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
)

// comparisons are n comparisons that hold, joined.
func comparisons(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("metrics.a > %d", -i)
	}
	return strings.Join(all, " && ")
}

func TestAnExplanationIsBounded(t *testing.T) {
	s := spec()
	for i := range 64 {
		s.Rules = append(s.Rules, v1alpha1.Rule{Name: fmt.Sprintf("r%d", i), Expression: comparisons(50)})
	}
	total := 0
	for _, r := range compile(t, s).Explain(t.Context(), numbers(1, 2, 3)).Rules {
		total += len(r.Explain)
		last := r.Explain[len(r.Explain)-1]
		if len(r.Explain) > 20 || last.Expr != "…" || !strings.HasSuffix(last.Value, " more") {
			t.Errorf("rule %s has %d values, the last is %v", r.Name, len(r.Explain), last)
		}
		if utf8.RuneCountInString(r.Message) > 500 {
			t.Errorf("the message of rule %s has %d characters", r.Name, utf8.RuneCountInString(r.Message))
		}
	}
	if total > 200 || total < 150 {
		t.Errorf("the verdict has %d values, want almost 200", total)
	}
}

func TestWhatIsJoinedIsLeftOutFirst(t *testing.T) {
	got := compile(t, spec(rule(comparisons(25)))).Explain(t.Context(), numbers(1, 2, 3)).Rules[0].Explain
	want := []policy.Explanation{{Expr: "metrics.a", Value: "1"}}
	for i := range 18 {
		want = append(want, policy.Explanation{Expr: fmt.Sprintf("metrics.a > %d", -i), Value: "true"})
	}
	// The 7 comparisons that are left, and what joins them and the others: CEL
	// balances a chain of 25 into a tree of 24 joints.
	want = append(want, policy.Explanation{Expr: "…", Value: "31 more"})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnExplanationIsShort(t *testing.T) {
	in := policy.Input{Commit: &policy.Commit{Message: strings.Repeat("ö", 1000)}}
	expression := "commit.message != '" + strings.Repeat("ä", 1000) + "'"
	for _, x := range compile(t, spec(rule(expression))).Explain(t.Context(), in).Rules[0].Explain {
		if utf8.RuneCountInString(x.Expr) > 120 || utf8.RuneCountInString(x.Value) > 200 {
			t.Errorf("%q is %q", x.Expr, x.Value)
		}
	}
}

func TestAnExplanationShowsObjects(t *testing.T) {
	cases := map[string]struct{ reason, expression, part, want string }{
		"Commit":    {"By its name.", "commits[0].sha == 'b'", "commits[0]", "b fix: b"},
		"Commits":   {"How many.", "commits.size() == 2", "commits", "list of 2"},
		"SLO":       {"By its budget.", "slo.availability.burnRate('1h') > 0", "slo.availability", "99.9% objective, 50% of the error budget left, 3.1% burned by the rollout"},
		"NoBudget":  {"Where there is one.", "slo.latency.burnRate('1h') > 0", "slo.latency", "no data: the history is too short"},
		"Series":    {"By its labels.", "series.avg[0].value > 0", "series.avg[0]", "map[code:200 pod:a] 120"},
		"Duration":  {"As people write it.", "slo.availability.exhaustedIn('1h') > duration('1h')", `slo.availability.exhaustedIn("1h")`, "25h0m0s"},
		"Timestamp": {"Likewise.", "rollout.startedAt < now", "rollout.startedAt", "2026-01-02T15:20:00Z"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			shown := map[string]string{}
			for _, x := range compile(t, full(rule(tc.expression))).Explain(t.Context(), everything()).Rules[0].Explain {
				shown[x.Expr] = x.Value
			}
			if shown[tc.part] != tc.want {
				t.Errorf("%s: %q of %v, want %q", tc.reason, shown[tc.part], shown, tc.want)
			}
		})
	}
}
