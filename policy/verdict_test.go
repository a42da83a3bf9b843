package policy_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
)

func TestASummaryNamesWhatDecided(t *testing.T) {
	const holds, fails, unknown = "metrics.a == 1", "metrics.a == 2", "metrics.b == 1"
	named := func(name, expression string) v1alpha1.Rule {
		return v1alpha1.Rule{Name: name, Expression: expression}
	}
	warns := v1alpha1.Rule{Name: "warns", Expression: holds, Warning: "metrics.a > 0"}
	cases := map[string]struct {
		reason string
		rules  []v1alpha1.Rule
		score  *v1alpha1.Score
		max    int
		want   string
	}{
		"OneHolds": {"A single rule speaks for itself.",
			[]v1alpha1.Rule{named("x", holds)}, nil, 140, "x 1 = 1"},
		"AllHold": {"Several are counted.",
			[]v1alpha1.Rule{named("x", holds), named("y", holds)}, nil, 140, "2 rules hold: x 1 = 1"},
		"OneFails": {"What failed comes first, whatever stands above it.",
			[]v1alpha1.Rule{named("x", holds), warns, named("u", unknown), named("y", fails)}, nil, 140,
			"y 1 ≠ 2; u is undecided: metrics.b has no data; warns 1 > 0"},
		"Warning": {"Then the warnings.",
			[]v1alpha1.Rule{named("x", holds), warns}, nil, 140, "warns 1 > 0"},
		"OwnMessage": {"An author's message is told to which rule it belongs.",
			[]v1alpha1.Rule{{Name: "x", Expression: fails, Message: "'too slow'"}}, nil, 140, "x: too slow"},
		"PassDespiteAFailure": {"Where the score decides otherwise than the worst rule, it is said.",
			[]v1alpha1.Rule{{Name: "x", Expression: holds, Weight: ptr.To[int64](9)}, named("y", fails)}, &v1alpha1.Score{Pass: 90}, 140,
			"score 9 of 10: y 1 ≠ 2"},
		"FailByScore": {"Two warnings can be too few points.",
			[]v1alpha1.Rule{warns}, &v1alpha1.Score{Pass: 90}, 140, "score 0.5 of 1: warns 1 > 0"},
		"Cut": {"A commit status has little room.",
			[]v1alpha1.Rule{named("y", fails), named("u", unknown)}, nil, 20, "y 1 ≠ 2; u is undec…"},
		"NoRoom": {"Nor is there always any.",
			[]v1alpha1.Rule{named("y", fails)}, nil, 0, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := spec(tc.rules...)
			s.Score = tc.score
			v := compile(t, s).Evaluate(t.Context(), policy.Input{Metrics: map[string]policy.Value{"a": policy.Number(1)}})
			if got := v.Summary(tc.max); got != tc.want {
				t.Errorf("%s: %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestASummaryEndsWithWhatTheRolloutBurned(t *testing.T) {
	one := policy.Verdict{Result: policy.Pass, Rules: []policy.RuleResult{{Name: "x", Result: policy.Pass, Message: "x 1 = 1"}}}
	cases := map[string]struct {
		reason string
		burned map[string]float64
		max    int
		want   string
	}{
		"Unknown": {"Nothing is said of what is not known.", nil, 140, "x 1 = 1"},
		"One":     {"As people read it.", map[string]float64{"availability": 0.031}, 140, "x 1 = 1; burned 3.1% of availability's budget"},
		"Little":  {"Hardly anything is not nothing.", map[string]float64{"availability": 0.0000123}, 140, "x 1 = 1; burned 0.001% of availability's budget"},
		"None":    {"Nothing is worth saying.", map[string]float64{"availability": 0, "latency": 0}, 140, "x 1 = 1; burned no error budget"},
		"Two":     {"The most first; what burned nothing is left out.", map[string]float64{"a": 0.1, "b": 2.5, "c": 0}, 140, "x 1 = 1; burned 250% of b's budget, 10% of a's"},
		"Many":    {"A line has little room.", map[string]float64{"a": 0.1, "b": 0.1, "c": 0.02, "d": 0.01}, 140, "x 1 = 1; burned 10% of a's budget, 10% of b's and some of 2 more"},
		"Fits":    {"To the last character.", map[string]float64{"a": 0.1}, 33, "x 1 = 1; burned 10% of a's budget"},
		"NoRoom":  {"Half of it would mislead.", map[string]float64{"a": 0.1}, 32, "x 1 = 1"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := one
			v.BudgetBurned = tc.burned
			if got := v.Summary(tc.max); got != tc.want {
				t.Errorf("%s: %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestAVerdictHasWhatTheRolloutBurned(t *testing.T) {
	in := everything()
	in.SLOs["undeclared"] = in.SLOs["availability"]
	got := compile(t, full(rule("true"))).Explain(t.Context(), in)
	if diff := cmp.Diff(map[string]float64{"availability": 0.031}, got.BudgetBurned); diff != "" {
		t.Error(diff)
	}
}

func TestASummaryIsNeverTooLong(t *testing.T) {
	v := policy.Verdict{Result: policy.Fail, BudgetBurned: map[string]float64{"ü": 0.1}, Rules: []policy.RuleResult{{Name: "ä", Result: policy.Fail, Message: strings.Repeat("ö ≥ ", 100)}}}
	for n := range 200 {
		if got := utf8.RuneCountInString(v.Summary(n)); got > n {
			t.Errorf("Summary(%d) has %d characters", n, got)
		}
	}
}

func TestNumbersAreShownToPeople(t *testing.T) {
	cases := map[string]struct {
		reason, rule, expression string
		a                        float64
		want                     string
	}{
		"Whole":            {"No decimals without need.", "p95", "metrics.a < 300", 412, "p95 412 ≥ 300"},
		"Large":            {"No exponent either.", "bytes", "metrics.a < 1000000", 12345678.9, "bytes 12345679 ≥ 1000000"},
		"Small":            {"Four digits are enough.", "delay", "metrics.a < 0.01", 0.0123456, "delay 0.01235 ≥ 0.01"},
		"Tiny":             {"An exponent where there are too many zeros.", "delay", "metrics.a < 0.01", 0.0000123456, "delay 1.235e-05 < 0.01"},
		"Close":            {"More digits where it takes them to tell two numbers apart.", "p95", "metrics.a < 412.1", 412.1000001, "p95 412.1000001 ≥ 412.1"},
		"Percent":          {"A ratio is read as a percentage.", "error-ratio", "metrics.a < 0.01", 0.031, "error-ratio 3.1% ≥ 1%"},
		"PercentRate":      {"So is a rate of errors.", "error-rate", "metrics.a < 0.01", 0.0312345, "error-rate 3.12% ≥ 1%"},
		"PercentClose":     {"Availability is in the decimals.", "availability", "metrics.a >= 0.9995", 0.99949, "availability 99.949% < 99.95%"},
		"PercentNotWhole":  {"Almost all is not all.", "availability", "metrics.a > 0.5", 0.999999, "availability 99.9999% > 50%"},
		"PercentNotZero":   {"Almost none is not none.", "error-ratio", "metrics.a < 0.5", 0.000001, "error-ratio 0.0001% < 50%"},
		"PercentZero":      {"None is.", "error-ratio", "metrics.a < 0.01", 0, "error-ratio 0% < 1%"},
		"PercentBurned":    {"What is burned is a part of the budget.", "budget-burned", "metrics.a < 0.2", 0.031, "budget-burned 3.1% < 20%"},
		"RateOfRequests":   {"A rate of anything else is per second.", "request-rate", "metrics.a > 0.5", 0.7, "request-rate 0.7 > 0.5"},
		"PercentageItself": {"What is above 1 is no fraction.", "error-ratio", "metrics.a < 5", 3, "error-ratio 3 < 5"},
		"PercentOfName":    {"What is a percentage already is not multiplied again.", "error-percent", "metrics.a < 1", 0.5, "error-percent 0.5 < 1"},
		"Negative":         {"Numbers can be negative.", "balance", "metrics.a > -1", -2.5, "balance -2.5 ≤ -1"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := compile(t, spec(v1alpha1.Rule{Name: tc.rule, Expression: tc.expression}))
			if got := p.Evaluate(t.Context(), numbers(tc.a, 0, 0)).Rules[0].Message; got != tc.want {
				t.Errorf("%s: %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestPercentIsAFunctionOfTheLanguage(t *testing.T) {
	for expression, want := range map[string]string{
		"percent(metrics.a)":   "3.1%",
		"percent(metrics.a*2)": "6.2%",
		"percent(1)":           "100%",
		"percent(0.99999)":     "99.999%",
		"percent(-0.5)":        "-50%",
	} {
		p := compile(t, spec(v1alpha1.Rule{Name: "r", Expression: "true", Message: expression}))
		if got := p.Evaluate(t.Context(), numbers(0.031, 0, 0)).Rules[0].Message; got != want {
			t.Errorf("%s = %q, want %q", expression, got, want)
		}
	}
}
