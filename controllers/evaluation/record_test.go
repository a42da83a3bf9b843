package evaluation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/evaluation"
	"github.com/keptn/gitops/controllers/provider"
	"github.com/keptn/gitops/controllers/serving"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/measure"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/fabric"
	"github.com/keptn/gitops/policy/slo"
)

// A querier answers every query.
type querier func(q metric.Query) (float64, error)

// Query implements metric.Querier.
func (f querier) Query(_ context.Context, q metric.Query) (metric.Result, error) {
	value, err := f(q)
	if err != nil {
		return metric.Result{}, err
	}
	return metric.Result{Series: []metric.Series{{Samples: []metric.Sample{{Time: q.At, Value: value}}}}}, nil
}

// A cluster has an evaluation e in namespace shop, a provider p, and a clock.
type cluster struct {
	client.Client
	*evaluation.Reconciler

	clock  *clocktesting.FakeClock
	events *events.FakeRecorder
}

func newCluster(t *testing.T, spec *gitopsv1alpha1.SLOPolicySpec, answer querier) *cluster {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(metricsv1.AddToScheme(scheme), lifecyclev1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	e := &lifecyclev1.KeptnEvaluation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "e"},
		Spec:       lifecyclev1.KeptnEvaluationSpec{EvaluationDefinition: "checkout", Policy: spec},
	}
	p := &metricsv1.KeptnMetricsProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"},
		Spec:       metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: "http://p", Limits: &metricsv1.ProviderLimits{QueriesPerSecond: 100_000}},
	}
	c := &cluster{clock: clocktesting.NewFakeClock(noon()), events: events.NewFakeRecorder(10)}
	c.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(e, p).WithStatusSubresource(e).Build()
	c.restart(t, answer)
	return c
}

// restart replaces the reconciler by one that remembers nothing.
func (c *cluster) restart(t *testing.T, answer querier) {
	t.Helper()
	open := func(connect.Server) (metric.Querier, error) { return answer, nil }
	providers, err := provider.New(c, fabric.New(open), c.clock, provider.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.Reconciler = &evaluation.Reconciler{Client: c.Client, Clock: c.clock, Events: c.events, Providers: providers}
}

// reconcile reconciles once, and returns the evaluation and when to look again.
func (c *cluster) reconcile(t *testing.T) (*lifecyclev1.KeptnEvaluation, time.Duration) {
	t.Helper()
	var e lifecyclev1.KeptnEvaluation
	key := types.NamespacedName{Namespace: "shop", Name: "e"}
	if err := c.Client.Get(t.Context(), key, &e); err != nil {
		t.Fatal(err)
	}
	result, err := c.Reconcile(t.Context(), &e)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Client.Get(t.Context(), key, &e); err != nil {
		t.Fatal(err)
	}
	return &e, result.RequeueAfter
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
	wrong := every(1, time.Second)
	for says, spec := range map[string]*gitopsv1alpha1.SLOPolicySpec{"spec.policy is not set": nil, "metrics.a is not declared": wrong} {
		e, wait := newCluster(t, spec, nil).reconcile(t)
		if wait != 0 || e.Status.Verdict != lifecyclev1.VerdictInconclusive || !strings.Contains(e.Status.Summary, says) {
			t.Errorf("%s: %+v", says, e.Status)
		}
	}
}

// one is a Source of one KeptnMetric.
type one struct {
	serving.Value
	err error
}

// Get implements serving.Source.
func (o one) Get(context.Context, types.NamespacedName) (serving.Value, error) { return o.Value, o.err }

// List implements serving.Source.
func (o one) List(context.Context, string, labels.Selector) ([]serving.Value, error) {
	return []serving.Value{o.Value}, o.err
}

func TestAKeptnMetricIsReadOrIsNoData(t *testing.T) {
	gone := apierrors.NewNotFound(schema.GroupResource{}, "p95")
	cases := map[string]struct {
		reason string
		metric one
		err    error
		says   string
	}{
		"Value":   {"A value counts as of its time.", one{Value: serving.Value{HasValue: true, Value: 4, Time: noon()}}, nil, ""},
		"Stale":   {"What could not be measured again is no evidence of today.", one{Value: serving.Value{HasValue: true, Value: 4, Time: noon(), Reason: "unreachable"}}, metric.ErrStale, "2026-11-01T12:00:00Z: unreachable"},
		"Missing": {"It can be created yet.", one{err: gone}, metric.ErrNoData, `no KeptnMetric "p95" in namespace "shop"`},
		"New":     {"It can be measured yet.", one{}, metric.ErrNoData, "not been measured yet"},
		"Failing": {"The author reads why.", one{Value: serving.Value{Reason: "unreachable"}}, metric.ErrNoData, "unreachable"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := &evaluation.Reconciler{Metrics: tc.metric}
			value, at, err := r.KeptnMetric(t.Context(), types.NamespacedName{Namespace: "shop", Name: "p95"})
			if !errors.Is(err, tc.err) || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("%s: error %v, want %v with %q", tc.reason, err, tc.err, tc.says)
			}
			if err == nil && (value != 4 || !at.Equal(noon())) {
				t.Errorf("%s: %g of %s", tc.reason, value, at)
			}
		})
	}
}

func TestARecordNamesWhatWasAsked(t *testing.T) {
	got := evaluation.MeasurementsOf(measure.Measured{Records: []measure.Record{
		{For: measure.Metrics, Name: "a", Provider: "p", Query: "up", At: noon(), From: noon(), Value: "4", Series: 1},
		{For: measure.Baseline, Name: "a", Query: "up", At: noon(), From: noon().Add(-time.Hour), Step: time.Minute, Reason: "NoData", Message: "no data"},
		{For: measure.SLO, Name: "errors", Part: "bad", Query: strings.Repeat("x", 256<<10), At: noon(), From: noon()},
	}})
	want := []lifecyclev1.Measurement{
		{Name: "a", Provider: "p", Query: "up", At: after(0), Value: "4", Series: 1},
		{Name: "baseline.a", Query: "up", From: after(-time.Hour), At: after(0), Step: &metav1.Duration{Duration: time.Minute}, Reason: "NoData", Message: "no data"},
		{Name: "slo.errors.bad", Query: strings.Repeat("x", 97) + "…", At: after(0)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARecordHasTheObjectivesSorted(t *testing.T) {
	got := evaluation.ObjectivesOf(measure.Measured{SLOs: map[string]slo.State{
		"late":   {Missing: "no data"},
		"errors": {ErrorRatio: 0.0005, BudgetRemaining: -0.25, Burn: map[time.Duration]float64{time.Hour: 14.4}},
	}})
	want := []lifecyclev1.SLOStatus{
		{Name: "errors", ErrorRatio: "0.05%", BudgetRemaining: "-25%", BurnRates: map[string]string{"1h": "14.4"}},
		{Name: "late", Message: "no data"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheExplanationsOfRulesThatHoldGoFirst(t *testing.T) {
	long := func(result policy.Result, n int) policy.RuleResult {
		return policy.RuleResult{Name: fmt.Sprintf("%s-%d", result, n), Result: result, Explain: []policy.Explanation{{Expr: "x", Value: strings.Repeat("v", 100<<10)}}}
	}
	var s lifecyclev1.KeptnEvaluationStatus
	evaluation.Record(&s, policy.Verdict{Score: 0.5, MaxScore: 3, Rules: []policy.RuleResult{
		long(policy.Pass, 1), long(policy.Pass, 2), long(policy.Fail, 1), long(policy.Inconclusive, 1),
	}})
	evaluation.Bound(&s)
	var explained []string
	for name, item := range s.EvaluationStatus {
		if len(item.Explain) > 0 {
			explained = append(explained, name)
		}
	}
	slices.Sort(explained)
	if diff := cmp.Diff([]string{"fail-1", "inconclusive-1"}, explained); diff != "" || s.Score != "0.5" || s.MaxScore != "3" {
		t.Errorf("score %s of %s, explained (-want +got):\n%s", s.Score, s.MaxScore, diff)
	}
}

func TestLogLinesExplainTheRulesThatReadTheirMetric(t *testing.T) {
	var s lifecyclev1.KeptnEvaluationStatus
	evaluation.Record(&s, policy.Verdict{Rules: []policy.RuleResult{
		{Name: "reads", Result: policy.Fail, Explain: []policy.Explanation{{Expr: "metrics.errors", Value: "3"}}},
		{Name: "other", Result: policy.Pass, Explain: []policy.Explanation{{Expr: "metrics.load", Value: "1"}}},
	}})
	evaluation.ExplainLines(&s, measure.Measured{Records: []measure.Record{{For: measure.Metrics, Name: "errors", Lines: []string{"boom", "bang"}}}})
	if diff := cmp.Diff([]lifecyclev1.ExpressionValue{{Expr: "metrics.errors", Value: "3"}, {Expr: "log of errors", Value: "boom\nbang"}}, s.EvaluationStatus["reads"].Explain); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := s.EvaluationStatus["other"].Explain; len(got) != 1 {
		t.Errorf("a rule that does not read it has %v", got)
	}
}

// largest is a policy with as much in it as a lifecycle.yaml can hold.
func largest() *gitopsv1alpha1.SLOPolicySpec {
	p := &gitopsv1alpha1.ProviderReference{Name: "p"}
	spec := &gitopsv1alpha1.SLOPolicySpec{Count: 1000, FailureLimit: 999, Interval: &metav1.Duration{Duration: time.Minute}}
	for i := range 64 {
		spec.Metrics = append(spec.Metrics, gitopsv1alpha1.Metric{Name: fmt.Sprintf("m%d", i), Provider: p, Query: fmt.Sprintf("q%d %s", i, strings.Repeat("x", 4<<10)), Baseline: &gitopsv1alpha1.Baseline{Offset: "7d"}})
	}
	for i := range 16 {
		spec.SLOs = append(spec.SLOs, gitopsv1alpha1.SLO{
			Name: fmt.Sprintf("s%d", i), Objective: 99.9, Window: &gitopsv1alpha1.SLOWindow{Rolling: "30d"},
			Ratio: &gitopsv1alpha1.RatioIndicator{Provider: *p, Bad: strings.Repeat("b", 4<<10) + "{{.window}}", Total: strings.Repeat("t", 4<<10) + "{{.window}}"},
		})
	}
	for i := range 64 {
		parts := []string{fmt.Sprintf("metrics.m%d + baseline.m%d < 1.0", i, i)}
		for w := range 16 {
			parts = append(parts, fmt.Sprintf("slo.s%d.burnRate('%dm') < 1.0", i%16, i*16+w+1))
		}
		spec.Rules = append(spec.Rules, gitopsv1alpha1.Rule{Name: fmt.Sprintf("r%d", i), Expression: strings.Join(parts, " && ")})
	}
	return spec
}

func TestTheLargestRecordFitsIntoAnObject(t *testing.T) {
	for reason, answer := range map[string]querier{
		"With all values.": func(metric.Query) (float64, error) { return 2, nil },
		"With none.": func(metric.Query) (float64, error) {
			return 0, fmt.Errorf("%w: %s", metric.ErrBadQuery, strings.Repeat("<", 1000))
		},
	} {
		c := newCluster(t, largest(), answer)
		e := &lifecyclev1.KeptnEvaluation{Spec: lifecyclev1.KeptnEvaluationSpec{EvaluationDefinition: "largest", Policy: largest()}}
		e.Namespace = "shop"
		e.Status.StartTime = *after(-1000 * time.Minute)
		for i := range 999 {
			e.Status.Repeated = append(e.Status.Repeated, lifecyclev1.RepeatedVerdict{At: *after(time.Duration(i-999) * time.Minute), Verdict: "fail", Summary: strings.Repeat("<", 200)})
		}
		c.Evaluate(t.Context(), e, noon())
		evaluation.Fit(e)
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		s := e.Status
		if len(text) > evaluation.MaxObject {
			t.Errorf("%s The record has %d bytes", reason, len(text))
		}
		if s.Summary == "" || len(s.EvaluationStatus) != 64 || len(s.Repeated) < 999 || len(s.Measurements) < 128 || len(s.SLOs) != 16 {
			t.Errorf("%s %d rules, %d measurements, %d objectives and %d repetitions are left: %s", reason, len(s.EvaluationStatus), len(s.Measurements), len(s.SLOs), len(s.Repeated), s.Summary)
		}
	}
}

func TestARecordThatFitsIsLeftAsItIs(t *testing.T) {
	e := &lifecyclev1.KeptnEvaluation{}
	evaluation.Record(&e.Status, policy.Verdict{Rules: []policy.RuleResult{{Name: "r", Explain: []policy.Explanation{{Expr: "x", Value: "1"}}}}})
	before := e.DeepCopy()
	evaluation.Fit(e)
	if diff := cmp.Diff(before, e); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestAProvidersRemarksAreKeptAFewAndShort(t *testing.T) {
	remarks := []string{"partial", strings.Repeat("x", 1000), "3", "4", "5", "6"}
	kept := evaluation.MeasurementsOf(measure.Measured{Records: []measure.Record{{Name: "errors", Warnings: remarks}}})[0].Warnings
	if len(kept) != 5 || kept[0] != "partial" || len(kept[1]) > 200 {
		t.Errorf("kept %q", kept)
	}
}
