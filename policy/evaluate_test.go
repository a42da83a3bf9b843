package policy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
)

// numbers are the metrics a, b and c.
func numbers(a, b, c float64) policy.Input {
	return policy.Input{Metrics: map[string]policy.Value{"a": policy.Number(a), "b": policy.Number(b), "c": policy.Number(c)}}
}

func TestAVerdictIsPublicJSON(t *testing.T) {
	v := compile(t, spec(rule("metrics.a < 1"))).Explain(t.Context(), numbers(0.5, 0, 0))
	got, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"verdict":"pass","score":1,"maxScore":1,"rules":[{"name":"r","result":"pass","message":"r 0.5 \u003c 1",` +
		`"explain":[{"expr":"metrics.a","value":"0.5"},{"expr":"metrics.a \u003c 1","value":"true"}]}]}`
	if string(got) != want {
		t.Errorf("JSON\n%s, want\n%s", got, want)
	}
}

func TestExpressionsReadTheCommitAndTheTime(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	commit := &policy.Commit{SHA: "abc", Author: "Ada", Email: "ada@example.org", Message: "fix: x\n", Time: now.Add(-time.Hour)}
	all := policy.Input{Commit: commit, Now: now}
	cases := map[string]struct {
		reason, expression string
		in                 policy.Input
		want               policy.Result
	}{
		"Commit": {"All fields of the commit.",
			"commit.sha == 'abc' && commit.author == 'Ada' && commit.email.endsWith('@example.org') && commit.message.startsWith('fix') && commit.time < now", all, policy.Pass},
		"Time":             {"Times subtract to durations.", "now - commit.time == duration('1h') && now.getHours() == 3", all, policy.Pass},
		"NoCommit":         {"Without a commit what reads it is undecided.", "commit.sha == 'abc'", policy.Input{}, policy.Inconclusive},
		"NoCommitAskedFor": {"Whether there is one is decided.", "!has(commit.sha) && commit.author == null", policy.Input{}, policy.Pass},
		"NoTime":           {"The clock is the caller's: there is no other.", "now > timestamp('2020-01-01T00:00:00Z')", policy.Input{}, policy.Inconclusive},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := compile(t, spec(rule(tc.expression))).Evaluate(t.Context(), tc.in); got.Result != tc.want {
				t.Errorf("%s: %s (%s), want %s", tc.reason, got.Result, got.Rules[0].Message, tc.want)
			}
		})
	}
}

func TestUnusableDataSaysWhy(t *testing.T) {
	cases := map[string]struct {
		reason string
		value  policy.Value
		want   string
	}{
		"Zero":     {"The zero Value.", policy.Value{}, "metrics.a has no data"},
		"NoData":   {"The caller's reason is passed on.", policy.NoData("prometheus answers 503"), "metrics.a has no data: prometheus answers 503"},
		"Stale":    {"Old data is no data to judge by.", policy.Stale("12m old"), "metrics.a is stale: 12m old"},
		"NoSeries": {"A vector without series.", policy.Vector(nil), "metrics.a has no data"},
		"NaN":      {"0/0 in the query.", policy.Number(math.NaN()), "metrics.a is NaN"},
		"Infinity": {"1/0 in the query.", policy.Vector([]policy.Series{{Value: math.Inf(-1)}}), "metrics.a is -Inf"},
		"Several":  {"Which one is meant?", policy.Vector(make([]policy.Series, 2)), "metrics.a has several series"},
	}
	p := compile(t, spec(rule("metrics.a < 1")))
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := p.Evaluate(t.Context(), policy.Input{Metrics: map[string]policy.Value{"a": tc.value}})
			if got.Result != policy.Inconclusive || !strings.HasPrefix(got.Rules[0].Message, "r is undecided: "+tc.want) {
				t.Errorf("%s: %s, %q, want inconclusive, %q", tc.reason, got.Result, got.Rules[0].Message, tc.want)
			}
		})
	}
}

// Only no data is null: of stale data nobody knows that it is gone, so that the
// usual guard against missing data does not let it pass.
func TestStaleDataIsNotNull(t *testing.T) {
	p := compile(t, spec(rule("metrics.a == null || metrics.a < 1"), v1alpha1.Rule{Name: "s", Expression: "series.a == null || series.a.all(s, s.value < 1)"}))
	got := p.Evaluate(t.Context(), policy.Input{Metrics: map[string]policy.Value{"a": policy.Stale("")}})
	for _, r := range got.Rules {
		if r.Result != policy.Inconclusive {
			t.Errorf("rule %s is %s, want inconclusive", r.Name, r.Result)
		}
	}
}

func TestTheMessageIsOneLine(t *testing.T) {
	s := spec(v1alpha1.Rule{Name: "r", Expression: "metrics.a < 1", Message: "'a\\nb' + commit.message"})
	in := numbers(0, 0, 0)
	in.Commit = &policy.Commit{Message: strings.Repeat("x", 5000)}
	got := compile(t, s).Evaluate(t.Context(), in).Rules[0].Message
	if !strings.HasPrefix(got, "a bx") || len([]rune(got)) != 500 {
		t.Errorf("message of %d characters: %.20q…", len([]rune(got)), got)
	}
}

func TestACostLimitReachedInTheEvaluationIsInconclusive(t *testing.T) {
	many := make([]policy.Series, policy.MaxSeries*3/2)
	in := policy.Input{Metrics: map[string]policy.Value{"a": policy.Vector(many), "b": policy.Vector(many[:1])}}
	const loop = "series.a.all(s, s.value <= 0 && s.value >= 0 && s.value == 0)"
	variables := func(rule string, expressions ...string) v1alpha1.SLOPolicySpec {
		s := spec(v1alpha1.Rule{Name: "r", Expression: rule})
		for i, e := range expressions {
			s.Variables = append(s.Variables, v1alpha1.Variable{Name: fmt.Sprintf("v%d", i), Expression: e})
		}
		return s
	}
	doubling := []string{"'aaaaaaaa'"}
	for i := range 40 {
		doubling = append(doubling, fmt.Sprintf("string(variables.v%d + variables.v%d)", i, i))
	}
	cases := map[string]struct {
		reason string
		spec   v1alpha1.SLOPolicySpec
		limit  uint64 // enough for what is assumed: MaxSeries
	}{
		"Rule":      {"The loop of the rule itself.", spec(rule(loop)), 130_000},
		"Variable":  {"A variable's loop.", variables("variables.v0", loop), 130_000},
		"Variables": {"The loops of two variables, neither of which is too much by itself.", variables("variables.v0 && variables.v1", loop, loop+" || false"), 250_000},
		"Text":      {"Text that doubles with each step, where the estimate loses sight of it.", variables("variables.v40 != ''", doubling...), 20_000},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.spec.Rules = append(tc.spec.Rules, v1alpha1.Rule{Name: "cheap", Expression: "metrics.b < 1"})
			p := compile(t, tc.spec, policy.CostLimit(tc.limit))
			got := p.Evaluate(t.Context(), in)
			if r := got.Rules[0]; r.Result != policy.Inconclusive || !strings.Contains(r.Message, "cost limit") {
				t.Errorf("%s: %s, %q, want inconclusive by the cost limit", tc.reason, r.Result, r.Message)
			}
			if r := got.Rules[1]; r.Result != policy.Pass {
				t.Errorf("%s: the other rule is %s, want pass", tc.reason, r.Result)
			}
			if got := p.Explain(t.Context(), in); got.Rules[0].Result != policy.Inconclusive {
				t.Errorf("%s: explained, the rule is %s", tc.reason, got.Rules[0].Result)
			}
		})
	}
}

// interrupted is a context that is done although its Err does not say so at first,
// as when the deadline passes in the middle of a loop.
type interrupted struct {
	context.Context
	done  chan struct{}
	asked int
}

func (c *interrupted) Done() <-chan struct{} { return c.done }

func (c *interrupted) Err() error {
	if c.asked++; c.asked == 1 {
		return nil
	}
	return context.DeadlineExceeded
}

func TestADeadlineIsInconclusive(t *testing.T) {
	in := policy.Input{Metrics: map[string]policy.Value{"a": policy.Vector(make([]policy.Series, 1000))}}
	p := compile(t, spec(rule("series.a.map(s, s.value).size() >= 0"), v1alpha1.Rule{Name: "s", Expression: "true"}))
	t.Run("Before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, r := range p.Evaluate(ctx, in).Rules {
			if r.Result != policy.Inconclusive || !strings.Contains(r.Message, "context canceled") {
				t.Errorf("rule %s is %s, %q", r.Name, r.Result, r.Message)
			}
		}
	})
	t.Run("InALoop", func(t *testing.T) {
		ctx := &interrupted{Context: t.Context(), done: make(chan struct{})}
		close(ctx.done)
		got := p.Evaluate(ctx, in)
		if r := got.Rules[0]; r.Result != policy.Inconclusive || !strings.Contains(r.Message, "interrupted") {
			t.Errorf("the loop is %s, %q", r.Result, r.Message)
		}
	})
}

// A policy is compiled once and used by many.
func TestAPolicyIsSafeForConcurrentUse(t *testing.T) {
	s := spec(
		v1alpha1.Rule{Name: "r", Expression: "variables.v < 1 && metrics.c < 1", Message: "'is ' + string(variables.v)"},
		v1alpha1.Rule{Name: "s", Expression: "series.a.all(s, s.value < 1)", Warning: "metrics.nothing == null"})
	s.Metrics = append(s.Metrics, v1alpha1.Metric{Name: "nothing"})
	s.Variables = []v1alpha1.Variable{{Name: "v", Expression: "metrics.a / metrics.b"}}
	p := compile(t, s)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			in := numbers(float64(i), float64(i%2), 0)
			want := p.Evaluate(t.Context(), in)
			for range 50 {
				explained := p.Explain(t.Context(), in)
				for i := range explained.Rules {
					explained.Rules[i].Explain = []policy.Explanation{}
				}
				if diff := cmp.Diff(want, explained); diff != "" {
					t.Errorf("verdict of %d (-first +later):\n%s", i, diff)
					return
				}
			}
		})
	}
	wg.Wait()
}

// FuzzEvaluate compares rules that read all their metrics with the same in Go: a
// NaN or an infinity anywhere makes the rule inconclusive, and never passes it.
func FuzzEvaluate(f *testing.F) {
	type formula struct {
		expression string
		holds      func(a, b, c float64) (steps []float64, holds bool)
	}
	formulas := []formula{
		{"metrics.a / metrics.b < metrics.c", func(a, b, c float64) ([]float64, bool) {
			return []float64{a / b}, a/b < c
		}},
		{"!(metrics.a - metrics.b >= metrics.c * 2)", func(a, b, c float64) ([]float64, bool) {
			return []float64{a - b, c * 2}, !(a-b >= c*2)
		}},
		{"1 / (metrics.a * metrics.b) != metrics.c + 1", func(a, b, c float64) ([]float64, bool) {
			return []float64{a * b, 1 / (a * b), c + 1}, 1/(a*b) != c+1
		}},
		{"variables.v <= metrics.c && variables.v <= metrics.c", func(a, b, c float64) ([]float64, bool) {
			return []float64{a + b, (a + b) / c}, (a+b)/c <= c
		}},
		{"series.a[0].value + series.b[0].value > metrics.c", func(a, b, c float64) ([]float64, bool) {
			return []float64{a + b}, a+b > c
		}},
		{"math.greatest(metrics.a, metrics.b) >= -metrics.c", func(a, b, c float64) ([]float64, bool) {
			return nil, max(a, b) >= -c
		}},
		{"[metrics.a, metrics.b].avg() < metrics.c", func(a, b, c float64) ([]float64, bool) {
			return []float64{(a + b) / 2}, (a+b)/2 < c
		}},
		{"(series.a + series.b).min() <= metrics.c", func(a, b, c float64) ([]float64, bool) {
			return nil, min(a, b) <= c
		}},
	}
	s := spec(v1alpha1.Rule{})
	s.Variables = []v1alpha1.Variable{{Name: "v", Expression: "(metrics.a + metrics.b) / metrics.c"}}
	var compiled []*policy.Policy
	for _, x := range formulas {
		s.Rules[0] = rule(x.expression)
		p, err := policy.Compile("fuzz", s)
		if err != nil {
			f.Fatal(err)
		}
		compiled = append(compiled, p)
	}
	extremes := []float64{0, math.Copysign(0, -1), 1, -3.5, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64}
	for _, a := range extremes {
		for _, b := range extremes {
			for _, c := range extremes {
				f.Add(a, b, c)
			}
		}
	}
	f.Fuzz(func(t *testing.T, a, b, c float64) {
		for i, x := range formulas {
			steps, holds := x.holds(a, b, c)
			want := policy.Fail
			if holds {
				want = policy.Pass
			}
			for _, v := range append(steps, a, b, c) {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					want = policy.Inconclusive
				}
			}
			if got := compiled[i].Evaluate(t.Context(), numbers(a, b, c)); got.Result != want {
				t.Errorf("%s of %v, %v, %v is %s (%s), want %s", x.expression, a, b, c, got.Result, got.Rules[0].Message, want)
			}
		}
	})
}
