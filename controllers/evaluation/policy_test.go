package evaluation_test

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/evaluation"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/metric"
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

// repeating measures metrics.a, which has to be below 10.
func repeating(count, failureLimit int32) *gitopsv1alpha1.SLOPolicySpec {
	spec := every(count, 10*time.Second)
	spec.FailureLimit, spec.InconclusiveLimit = failureLimit, failureLimit
	spec.Metrics = []gitopsv1alpha1.Metric{{Name: "a", Provider: &gitopsv1alpha1.ProviderReference{Name: "p"}, Query: "a"}}
	return spec
}

func verdicts(e *lifecyclev1.KeptnEvaluation) string {
	all := make([]string, len(e.Status.Repeated))
	for i, r := range e.Status.Repeated {
		all[i] = r.At.UTC().Format("04:05") + " " + string(r.Verdict)
	}
	return strings.Join(all, ", ")
}

func TestMeasurementsAreRepeatedAlsoOverRestarts(t *testing.T) {
	cases := map[string]struct {
		reason   string
		spec     *gitopsv1alpha1.SLOPolicySpec
		values   map[int]float64 // by minute; NaN-free, 1 by default
		missing  int             // the minute in which there is no data
		verdicts string
		verdict  lifecyclev1.Verdict
		summary  string
	}{
		"All":     {"Each is an interval after the one before.", repeating(3, 0), nil, -1, "00:00 pass, 01:00 pass, 02:00 pass", "pass", "3 pass of 3 measurements"},
		"Early":   {"A failure that decides ends it.", repeating(3, 0), map[int]float64{1: 11}, -1, "00:00 pass, 01:00 fail", "fail", "1 fail, 1 pass of 3 measurements"},
		"Limit":   {"One that may be does not.", repeating(3, 1), map[int]float64{1: 11}, -1, "00:00 pass, 01:00 fail, 02:00 pass", "warning", "1 fail, 2 pass of 3 measurements"},
		"NoData":  {"What cannot decide is tried until its timeout.", repeating(3, 0), nil, 1, "00:00 pass, 01:10 inconclusive", "inconclusive", "1 inconclusive, 1 pass of 3 measurements"},
		"Certain": {"It ends as soon as nothing can change it.", repeating(5, 4), map[int]float64{0: 11}, -1, "00:00 fail, 01:00 pass", "warning", "1 fail, 1 pass of 5 measurements"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			answer := func(q metric.Query) (float64, error) {
				minute := int(q.At.Sub(noon()) / time.Minute)
				if minute == tc.missing {
					return 0, metric.ErrNoData
				}
				if value, ok := tc.values[minute]; ok {
					return value, nil
				}
				return 1, nil
			}
			c := newCluster(t, tc.spec, answer)
			e, wait := c.reconcile(t)
			for tries := 0; wait > 0 && tries < 20; tries++ {
				c.restart(t, answer)
				if again, left := c.reconcile(t); again.Status.RetryCount != e.Status.RetryCount || left != wait {
					t.Fatalf("a restart measures once more than is due: %d, not %d", again.Status.RetryCount, e.Status.RetryCount)
				}
				c.clock.Step(wait)
				e, wait = c.reconcile(t)
			}
			s := e.Status
			if got := verdicts(e); got != tc.verdicts || s.Verdict != tc.verdict || !strings.HasPrefix(s.Summary, tc.summary) {
				t.Errorf("%s: %s: %s, %q", tc.reason, got, s.Verdict, s.Summary)
			}
			count := s.RetryCount
			c.clock.Step(time.Hour)
			if e, wait = c.reconcile(t); wait != 0 || e.Status.RetryCount != count || e.Status.Verdict != tc.verdict {
				t.Errorf("a verdict is final (R75): %+v", e.Status)
			}
		})
	}
}

func TestAQueryMayTakeAsLongAsItsProviderSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, repeating(1, 0), func(metric.Query) (float64, error) {
			time.Sleep(45 * time.Second) // 20 s are the default
			return 1, nil
		})
		var p metricsv1.KeptnMetricsProvider
		if err := c.Client.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "p"}, &p); err != nil {
			t.Fatal(err)
		}
		p.Spec.Timeout = &metav1.Duration{Duration: time.Minute}
		if err := c.Client.Update(t.Context(), &p); err != nil {
			t.Fatal(err)
		}
		if e, _ := c.reconcile(t); e.Status.Verdict != lifecyclev1.VerdictPass {
			t.Errorf("%q, %s", e.Status.Verdict, e.Status.Summary)
		}
	})
}

func TestAPolicyThatCannotBeEvaluatedEndsAtOnce(t *testing.T) {
	e, wait := newCluster(t, every(1, time.Second), nil).reconcile(t)
	if wait != 0 || e.Status.Verdict != lifecyclev1.VerdictInconclusive || !strings.Contains(e.Status.Summary, "metrics.a is not declared") {
		t.Errorf("%+v", e.Status)
	}
}

func TestAPolicyThatNeverBecomesCertainEnds(t *testing.T) {
	reading := func(provider string) *gitopsv1alpha1.SLOPolicySpec {
		spec := repeating(1, 0) // of 10 s
		spec.Metrics[0].Provider.Name = provider
		return spec
	}
	cases := map[string]struct {
		reason string
		spec   *gitopsv1alpha1.SLOPolicySpec
		answer querier
		says   string
	}{
		"NoData":     {"The query never yields anything.", reading("p"), func(metric.Query) (float64, error) { return 0, metric.ErrNoData }, "no data"},
		"NotANumber": {"0/0 is no evidence, however often it is measured.", reading("p"), func(metric.Query) (float64, error) { return math.NaN(), nil }, "undecided"},
		"NoProvider": {"The provider never comes.", reading("missing"), nil, `no KeptnMetricsProvider "missing"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, tc.spec, tc.answer)
			e, wait := c.reconcile(t)
			for tries := 0; wait > 0 && tries < 20; tries++ {
				if s := e.Status; s.OverallStatus != lifecyclev1.StateProgressing || s.Verdict != "" || !strings.Contains(s.Summary, "trying again") {
					t.Fatalf("%s While it is tried: %s %q, %s", tc.reason, s.OverallStatus, s.Verdict, s.Summary)
				}
				c.clock.Step(wait)
				e, wait = c.reconcile(t)
			}
			s := e.Status
			if s.OverallStatus != lifecyclev1.StateUnknown || s.Verdict != lifecyclev1.VerdictInconclusive || !strings.Contains(s.Summary, tc.says) {
				t.Errorf("%s It ends %s %q: %s", tc.reason, s.OverallStatus, s.Verdict, s.Summary)
			}
			if took := s.EndTime.Sub(noon()); took != 10*time.Second {
				t.Errorf("%s It ends after %s, not with its timeout", tc.reason, took)
			}
			want := []string{
				"Normal ReconcileEvaluationStatusChanged Reconcile Evaluation: evaluation status changed from Pending to Progressing / Namespace: shop, Name: e",
				"Normal ReconcileEvaluationStatusChanged Reconcile Evaluation: evaluation status changed from Progressing to Unknown / Namespace: shop, Name: e",
				"Warning ReconcileEvaluationFailed Reconcile Evaluation: inconclusive: " + s.Summary + " / Namespace: shop, Name: e",
			}
			if diff := cmp.Diff(want, c.told()); diff != "" {
				t.Errorf("%s Events (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTheRetriesOfAnEvaluationAreNotThoseOfAPolicy(t *testing.T) {
	c := newCluster(t, repeating(1, 0), func(metric.Query) (float64, error) { return 0, metric.ErrNoData })
	e, _ := c.reconcile(t)
	e.Spec.Retries, e.Spec.RetryInterval.Duration = 1, time.Hour
	if err := c.Client.Update(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	c.clock.Step(2 * time.Second)
	if e, wait := c.reconcile(t); e.Status.RetryCount != 2 || wait != 2*time.Second {
		t.Errorf("%d tries, the next in %s", e.Status.RetryCount, wait)
	}
}
