package evaluation_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/evaluation"
	"github.com/keptn/gitops/controllers/serving"
)

func TestATargetIsAnOperatorAndANumber(t *testing.T) {
	cases := map[string]struct {
		reason string
		target string
		below  bool // 4.5 is met
		equal  bool // 5 is met
		above  bool // 5.5 is met
	}{
		"Less":           {"As in Keptn.", "<5", true, false, false},
		"Greater":        {"As in Keptn.", ">5", false, false, true},
		"LessOrEqual":    {"What users would expect.", "<=5", true, true, false},
		"GreaterOrEqual": {"What users would expect.", ">=5", false, true, true},
		"Equal":          {"What users would expect.", "==5", false, true, false},
		"Blanks":         {"People write them.", " <= 5.0 ", true, true, false},
		"Exponent":       {"So do programs.", "<0.5e1", true, false, false},
		"Negative":       {"A number may be negative.", "> -5", true, true, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for value, want := range map[float64]bool{4.5: tc.below, 5: tc.equal, 5.5: tc.above, math.NaN(): false} {
				if got, err := evaluation.Met(tc.target, value); err != nil || got != want {
					t.Errorf("%s %g %s: %t, %v", tc.reason, value, tc.target, got, err)
				}
			}
		})
	}
}

func TestATargetThatCannotBeReadSaysWhatIsWrong(t *testing.T) {
	cases := map[string]string{
		"":           "invalid operator",
		"5":          "invalid operator",
		"=5":         "invalid operator",
		"=<5":        "invalid operator",
		"<>5":        "invalid operator",
		"===5":       "invalid operator",
		"!=5":        "invalid operator",
		"less than":  "invalid operator",
		"<":          "invalid syntax",
		"<five":      "invalid syntax",
		"< 5 6":      "invalid syntax",
		"<5%":        "invalid syntax",
		"<NaN":       "invalid syntax",
		">-Infinity": "invalid syntax",
		"<1e999":     "invalid syntax",
	}
	for target, says := range cases {
		met, err := evaluation.Met(target, 1)
		if met || err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "'"+target+"'") {
			t.Errorf("%q: %t, %v, want %s", target, met, err, says)
		}
	}
}

func TestAnObjectiveSaysWhatWasCompared(t *testing.T) {
	value := serving.Value{Text: "7", Value: 7, HasValue: true}
	cases := map[string]struct {
		reason  string
		target  string
		value   serving.Value
		problem string
		want    lifecyclev1.EvaluationStatusItem
	}{
		"Met":     {"Keptn's message.", "<11", value, "", lifecyclev1.EvaluationStatusItem{Value: "7", Status: "Succeeded", Message: "value '7' met objective '<11'"}},
		"NotMet":  {"Keptn's message.", "<5", value, "", lifecyclev1.EvaluationStatusItem{Value: "7", Status: "Failed", Message: "value '7' did not meet objective '<5'"}},
		"Target":  {"The author reads what to mend, whatever the value is.", "7", value, "empty value for: a", lifecyclev1.EvaluationStatusItem{Value: "7", Status: "Failed", Message: "invalid operator in evaluationTarget '7': write one of <, <=, >, >= and ==, and a number"}},
		"Problem": {"A value with a problem is never compared.", "<11", value, "empty value for: a", lifecyclev1.EvaluationStatusItem{Value: "7", Status: "Failed", Message: "empty value for: a"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, evaluation.Compared(tc.target, tc.value, tc.problem)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
	if got := evaluation.Compared("<11", serving.Value{}, strings.Repeat("x", 1<<20)); len(got.Message) > 2000 {
		t.Errorf("a message of %d bytes is kept", len(got.Message))
	}
}

func TestAValueThatCannotBeComparedIsAProblem(t *testing.T) {
	cases := map[string]struct {
		reason string
		value  serving.Value
		want   string
	}{
		"Value":      {"A number is none.", serving.Value{Text: "0", HasValue: true}, ""},
		"Empty":      {"Keptn's message.", serving.Value{}, "empty value for: a"},
		"Failing":    {"The author reads why.", serving.Value{Reason: "unreachable"}, "empty value for: a: unreachable"},
		"Stale":      {"What could not be measured again is no evidence of today.", serving.Value{Text: "1", Value: 1, HasValue: true, Time: noon(), Reason: "unreachable"}, "no value since 2026-11-01T12:00:00Z for: a: unreachable"},
		"Text":       {"A text cannot be compared.", serving.Value{Text: "up"}, "value 'up' of a is not a number"},
		"NotANumber": {"0/0 is no evidence.", serving.Value{Text: "NaN", Value: math.NaN(), HasValue: true}, "value 'NaN' of a is not a number"},
		"Infinite":   {"Nor is 1/0.", serving.Value{Text: "+Inf", Value: math.Inf(1), HasValue: true}, "value '+Inf' of a is not a number"},
	}
	for name, tc := range cases {
		if got := evaluation.ProblemOf(tc.value, "a"); got != tc.want {
			t.Errorf("%s: %s %q, want %q", name, tc.reason, got, tc.want)
		}
	}
}
