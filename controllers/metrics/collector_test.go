package metrics_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/metrics"
	"github.com/keptn/gitops/policy/analysis"
)

// inCluster is a cluster with these objects.
func inCluster(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := metricsv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
}

// judged is an Analysis of the hour before noon with a result.
func judged(t *testing.T, name string, state metricsv1.AnalysisState, result any) *metricsv1.Analysis {
	t.Helper()
	raw, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	a := &metricsv1.Analysis{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	a.Status.State, a.Status.Raw = state, string(raw)
	a.Status.Timeframe.From, a.Status.Timeframe.To = metav1.NewTime(noon().Add(-1e9*3600)), metav1.NewTime(noon())
	return a
}

func TestCompletedAnalysesAreTold(t *testing.T) {
	weight := int64(3)
	errors := analysis.ObjectiveResult{Value: 0.5, Score: 3, Objective: metricsv1.Objective{
		AnalysisValueTemplateRef: metricsv1.ObjectReference{Name: "errors", Namespace: "slis"}, Weight: &weight, KeyObjective: true,
	}}
	latency := analysis.ObjectiveResult{Value: 7, Objective: metricsv1.Objective{AnalysisValueTemplateRef: metricsv1.ObjectReference{Name: "latency"}}}
	missing := analysis.ObjectiveResult{Error: "no data", Objective: metricsv1.Objective{AnalysisValueTemplateRef: metricsv1.ObjectReference{Name: "missing"}}}
	result := analysis.Result{TotalScore: 3, MaximumScore: 4, ObjectiveResults: []analysis.ObjectiveResult{errors, latency, latency, missing}}
	done := judged(t, "done", metricsv1.StateCompleted, result)
	c := inCluster(t, done,
		judged(t, "under-way", metricsv1.StateProgressing, result),
		judged(t, "written-by-others", metricsv1.StateCompleted, "text"))
	const want = `
# HELP keptn_analysis_result Result of Analysis
# TYPE keptn_analysis_result gauge
keptn_analysis_result{from="2026-11-01T11:00:00Z",name="done",namespace="shop",to="2026-11-01T12:00:00Z"} 75
# HELP keptn_objective_result Result of the Analysis Objective
# TYPE keptn_objective_result gauge
keptn_objective_result{analysis_name="done",analysis_namespace="shop",from="2026-11-01T11:00:00Z",key_objective="false",name="latency",namespace="",to="2026-11-01T12:00:00Z",weight="1"} 7
keptn_objective_result{analysis_name="done",analysis_namespace="shop",from="2026-11-01T11:00:00Z",key_objective="true",name="errors",namespace="slis",to="2026-11-01T12:00:00Z",weight="3"} 0.5
`
	collector := metrics.NewCollector(c)
	if err := testutil.CollectAndCompare(collector, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if err := c.Delete(t.Context(), done); err != nil {
		t.Fatal(err)
	}
	if got := testutil.CollectAndCount(collector); got != 0 {
		t.Errorf("%d series are left of an Analysis that is gone", got)
	}
}
