package evaluation_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/evaluation"
	"github.com/keptn/gitops/controllers/serving"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/measure"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/slo"
)

// one is a MetricReader of one KeptnMetric.
type one struct {
	serving.Value
	err error
}

// Get implements evaluation.MetricReader.
func (o one) Get(context.Context, types.NamespacedName) (serving.Value, error) { return o.Value, o.err }

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
		{For: measure.SLO, Name: "errors", Part: "bad", Query: "down", At: noon(), From: noon()},
	}})
	want := []lifecyclev1.Measurement{
		{Name: "a", Provider: "p", Query: "up", At: after(0), Value: "4", Series: 1},
		{Name: "baseline.a", Query: "up", From: after(-time.Hour), At: after(0), Step: &metav1.Duration{Duration: time.Minute}, Reason: "NoData", Message: "no data"},
		{Name: "slo.errors.bad", Query: "down", At: after(0)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARecordHasTheObjectivesSorted(t *testing.T) {
	got := evaluation.ObjectivesOf(measure.Measured{SLOs: map[string]slo.State{
		"late":   {Missing: "no data"},
		"errors": {ErrorRatio: 0.0005, BudgetRemaining: -0.25, Burned: new(0.0312345678), Burn: map[time.Duration]float64{time.Hour: 14.4}},
		"new":    {BudgetRemaining: 1, MissingBurned: "total: no data"},
	}})
	want := []lifecyclev1.SLOStatus{
		{Name: "errors", ErrorRatio: "0.05%", BudgetRemaining: "-25%", BudgetBurned: "3.12346%", BurnRates: map[string]string{"1h": "14.4"}},
		{Name: "late", Message: "no data"},
		{Name: "new", ErrorRatio: "0%", BudgetRemaining: "100%", Message: "budget burned: total: no data"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
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

func TestAProvidersRemarksAreKeptAFewAndShort(t *testing.T) {
	remarks := []string{"partial", strings.Repeat("x", 1000), "3", "4", "5", "6"}
	kept := evaluation.MeasurementsOf(measure.Measured{Records: []measure.Record{{Name: "errors", Warnings: remarks}}})[0].Warnings
	if len(kept) != 5 || kept[0] != "partial" || len(kept[1]) > 200 {
		t.Errorf("kept %q", kept)
	}
}
