package evaluation_test

import (
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/evaluation"
	"github.com/keptn/gitops/policy"
)

// noon is when a test begins.
func noon() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

func after(d time.Duration) *metav1.Time { return new(metav1.NewTime(noon().Add(d))) }

// every is a policy that measures count times, a minute apart.
func every(count int32, timeout time.Duration) *gitopsv1alpha1.SLOPolicySpec {
	return &gitopsv1alpha1.SLOPolicySpec{
		Count: count, Interval: &metav1.Duration{Duration: time.Minute}, Timeout: &metav1.Duration{Duration: timeout},
		Rules: []gitopsv1alpha1.Rule{{Name: "holds", Expression: "metrics.a < 10.0"}},
	}
}

// measured are the verdicts of measurements, each taken so long after noon.
func measured(at ...time.Duration) []lifecyclev1.RepeatedVerdict {
	all := make([]lifecyclev1.RepeatedVerdict, len(at))
	for i, a := range at {
		all[i] = lifecyclev1.RepeatedVerdict{At: *after(a), Verdict: lifecyclev1.VerdictPass}
	}
	return all
}

func TestAMeasurementIsDue(t *testing.T) {
	const s, min = time.Second, time.Minute
	cases := map[string]struct {
		reason   string
		last     *metav1.Time
		repeated []lifecyclev1.RepeatedVerdict
		timeout  time.Duration
		slot     time.Duration
		due      *metav1.Time // nil for at once
	}{
		"First":         {"Nothing was measured yet.", nil, nil, 2 * min, 0, nil},
		"Undecided":     {"What could not decide is tried again soon.", after(0), nil, 2 * min, 0, after(2 * s)},
		"Doubled":       {"Then after as long as it has been tried.", after(8 * s), nil, 2 * min, 0, after(16 * s)},
		"Most":          {"But every 15 s at least.", after(40 * s), nil, 2 * min, 0, after(55 * s)},
		"Timeout":       {"The last time when the time is over.", after(115 * s), nil, 2 * min, 0, after(2 * min)},
		"ShortTimeout":  {"However short that is.", after(0), nil, s, 0, after(s)},
		"Next":          {"The next measurement is an interval after the last.", after(3 * s), measured(3 * s), 2 * min, min + 3*s, after(min + 3*s)},
		"NextUndecided": {"A measurement that is due is tried again soon, however often the one before was.", after(min), measured(0), 2 * min, min, after(min + 2*s)},
		"NextTimeout":   {"Its timeout begins when it was due.", after(3*min - s), measured(0), 2 * min, min, after(3 * min)},
		"Late":          {"A controller that was down measures at once, and goes on from there.", after(10 * min), measured(0, 10*min), 2 * min, 11 * min, after(11 * min)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e := &lifecyclev1.KeptnEvaluation{Spec: lifecyclev1.KeptnEvaluationSpec{Policy: every(3, tc.timeout)}}
			e.Status = lifecyclev1.KeptnEvaluationStatus{StartTime: *after(0), EvaluatedAt: tc.last, Repeated: tc.repeated, RetryCount: 30}
			if got := evaluation.Slot(e); !got.Equal(noon().Add(tc.slot)) {
				t.Errorf("%s: the slot is %s", tc.reason, got)
			}
			want := time.Time{}
			if tc.due != nil {
				want = tc.due.Time
			}
			if got := evaluation.Due(e); !got.Equal(want) {
				t.Errorf("%s: due at %s, want %s", tc.reason, got, want)
			}
		})
	}
}

func TestAConclusionCountsMeasurements(t *testing.T) {
	verdict := policy.Verdict{Result: policy.Fail, Rules: []policy.RuleResult{{Name: "holds", Result: policy.Fail, Message: "holds 11 ≥ 10"}}}
	e := &lifecyclev1.KeptnEvaluation{}
	if got := evaluation.Conclusion(e, policy.Plan{Count: 1}, verdict); got != "holds 11 ≥ 10" {
		t.Errorf("of one measurement: %q", got)
	}
	for _, v := range []lifecyclev1.Verdict{"pass", "fail", "pass", "warning", "inconclusive", "fail"} {
		e.Status.Repeated = append(e.Status.Repeated, lifecyclev1.RepeatedVerdict{Verdict: v})
	}
	const want = "2 fail, 1 inconclusive, 1 warning, 2 pass of 9 measurements; the last: holds 11 ≥ 10"
	if got := evaluation.Conclusion(e, policy.Plan{Count: 9}, verdict); got != want {
		t.Errorf("of several: %q, want %q", got, want)
	}
}

func TestAnEndIsSaidToAll(t *testing.T) {
	cases := map[policy.Result]struct {
		reason string
		state  lifecyclev1.KeptnState
		ready  string
	}{
		policy.Pass:         {"All is well.", lifecyclev1.StateSucceeded, "True Succeeded"},
		policy.Warning:      {"A warning holds up nobody (R36).", lifecyclev1.StateWarning, "True Warning"},
		policy.Fail:         {"A failure is one.", lifecyclev1.StateFailed, "False Failed"},
		policy.Inconclusive: {"What is not known is no pass.", lifecyclev1.StateUnknown, "False Inconclusive"},
	}
	for result, tc := range cases {
		e := &lifecyclev1.KeptnEvaluation{}
		evaluation.End(e, noon(), result, "it was so")
		ready := condition.Of(e, meta.ReadyCondition)
		if got := string(ready.Status) + " " + ready.Reason; got != tc.ready || e.Status.OverallStatus != tc.state {
			t.Errorf("%s %s: %s, %s", tc.reason, result, got, e.Status.OverallStatus)
		}
		if s := e.Status; string(s.Verdict) != string(result) || s.Summary != "it was so" || !s.EndTime.Time.Equal(noon()) {
			t.Errorf("%s %s: %+v", tc.reason, result, s)
		}
		if !e.Status.OverallStatus.Completed() {
			t.Errorf("%s is no end: it would be judged again", result)
		}
	}
}
