package metric_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/metric"
	"github.com/keptn/gitops/telemetry/record"
	"github.com/keptn/gitops/telemetry/recordtest"
)

func newMetrics(t *testing.T) (*metric.Metrics, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	metrics, err := metric.New(t.Context(), "v1.2.3", registry, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	return metrics, registry
}

// ended tells of a delivery that nothing was known of before.
func ended(t *testing.T, metrics *metric.Metrics, kav *lifecyclev1.KeptnAppVersion) {
	t.Helper()
	metrics.Delivery(t.Context(), record.OfApp(nil), record.OfApp(kav))
}

const scope = `otel_scope_name="keptn/task",otel_scope_schema_url="",otel_scope_version=""`

// expect compares metrics with what Prometheus should be shown.
func expect(t *testing.T, registry *prometheus.Registry, want string, names ...string) {
	t.Helper()
	if err := testutil.GatherAndCompare(registry, strings.NewReader(strings.ReplaceAll(want, "SCOPE", scope)), names...); err != nil {
		t.Error(err)
	}
}

func TestDeliveriesAreCountedByAppEnvironmentNamespaceAndStatus(t *testing.T) {
	metrics, registry := newMetrics(t)
	nextCommit := recordtest.Delivered()
	nextCommit.UID, nextCommit.Spec.Version, nextCommit.Spec.Commit.SHA = "other", "8d1c8b6", "8d1c8b6"
	for _, kav := range []*lifecyclev1.KeptnAppVersion{recordtest.Delivered(), nextCommit, recordtest.Failed(), recordtest.Superseded()} {
		ended(t, metrics, kav)
	}
	const labels = `deployment_environment_name="production",keptn_deployment_app_name="checkout",keptn_deployment_app_namespace="shop",`
	expect(t, registry, `
# HELP keptn_app_count_total How many deliveries of apps have ended
# TYPE keptn_app_count_total counter
keptn_app_count_total{`+labels+`keptn_deployment_app_status="Deprecated",SCOPE} 1
keptn_app_count_total{`+labels+`keptn_deployment_app_status="Failed",SCOPE} 1
keptn_app_count_total{`+labels+`keptn_deployment_app_status="Succeeded",SCOPE} 2
`, "keptn_app_count_total")
}

func TestWorkloadsTasksAndEvaluationsAreCountedOnceEach(t *testing.T) {
	metrics, registry := newMetrics(t)
	workload, app := recordtest.Workload(), recordtest.Delivered()
	task, evaluation := recordtest.Task(), recordtest.Evaluation()
	for range 2 { // the second time as after a restart: it is read, not written
		metrics.Delivery(t.Context(), record.OfWorkload(workload, app), record.OfWorkload(workload, app))
		metrics.Task(t.Context(), &task, &task)
		metrics.Evaluation(t.Context(), &evaluation, &evaluation)
	}
	metrics.Delivery(t.Context(), record.OfWorkload(nil, app), record.OfWorkload(workload, app))
	metrics.Task(t.Context(), &lifecyclev1.KeptnTask{}, &task)
	metrics.Evaluation(t.Context(), nil, &evaluation)
	expect(t, registry, `
# HELP keptn_deployment_count_total How many deliveries of workloads have ended
# TYPE keptn_deployment_count_total counter
keptn_deployment_count_total{deployment_environment_name="production",keptn_deployment_app_name="checkout",keptn_deployment_workload_name="checkout-web",keptn_deployment_workload_namespace="shop",keptn_deployment_workload_status="Failed",SCOPE} 1
# HELP keptn_evaluation_count_total How many evaluations have ended
# TYPE keptn_evaluation_count_total counter
keptn_evaluation_count_total{keptn_deployment_app_name="checkout",keptn_deployment_app_namespace="shop",keptn_deployment_evaluation_name="checkout-slo",keptn_deployment_evaluation_status="Warning",keptn_deployment_evaluation_type="post-eval",keptn_deployment_workload_name="",SCOPE} 1
# HELP keptn_task_count_total How many tasks have ended
# TYPE keptn_task_count_total counter
keptn_task_count_total{keptn_deployment_app_name="checkout",keptn_deployment_app_namespace="shop",keptn_deployment_task_name="migrate",keptn_deployment_task_status="Failed",keptn_deployment_task_type="pre",keptn_deployment_workload_name="checkout-web",SCOPE} 1
`, "keptn_deployment_count_total", "keptn_task_count_total", "keptn_evaluation_count_total")
	for name, want := range map[string]float64{
		"keptn_deployment_duration_seconds": 25, "keptn_task_duration_seconds": 20, "keptn_evaluation_duration_seconds": 8,
	} {
		if got := sums(t, registry, name); len(got) != 1 || got[0] != want {
			t.Errorf("%s sums up to %v, want %v", name, got, want)
		}
	}
}

func TestEachAttemptCounts(t *testing.T) {
	metrics, registry := newMetrics(t)
	failed, retrying, retried := record.OfApp(recordtest.Failed()), record.OfApp(recordtest.Retrying()), record.OfApp(recordtest.Retried())
	metrics.Delivery(t.Context(), record.OfApp(nil), failed)
	metrics.Delivery(t.Context(), failed, retrying)
	metrics.Delivery(t.Context(), retrying, retried)
	if got := sums(t, registry, "keptn_app_duration_seconds"); !slices.Equal(got, []float64{30, 100}) {
		t.Errorf("durations %v, want that of each attempt", got)
	}
}

func TestPromotionsCountWhereThereIsSomethingToPromote(t *testing.T) {
	promoted := func(tasks ...string) *lifecyclev1.KeptnAppVersion {
		kav := recordtest.Delivered()
		kav.Spec.PromotionTasks = tasks
		kav.Status.Phases = append(kav.Status.Phases, lifecyclev1.PhaseRecord{
			Name: lifecyclev1.PhasePromotion, State: lifecyclev1.StateSucceeded,
			StartTime: recordtest.Ptr(recordtest.At(100)), EndTime: recordtest.Ptr(recordtest.At(100)),
		})
		return kav
	}
	metrics, registry := newMetrics(t)
	ended(t, metrics, promoted("open-pull-request"))
	ended(t, metrics, promoted())
	expect(t, registry, `
# HELP keptn_promotion_count_total Promotions of apps that have ended
# TYPE keptn_promotion_count_total counter
keptn_promotion_count_total{deployment_environment_name="production",keptn_deployment_app_name="checkout",keptn_deployment_app_namespace="shop",keptn_deployment_app_status="Succeeded",SCOPE} 1
`, "keptn_promotion_count_total")
}

func TestDurationsAndLeadTimesAreInSeconds(t *testing.T) {
	backwards, annotated := recordtest.Delivered(), recordtest.Failed()
	backwards.Status.StartTime, backwards.Status.EndTime = recordtest.At(100), recordtest.At(0)
	annotated.Spec.Environment = ""
	cases := map[string]struct {
		reason   string
		kav      *lifecyclev1.KeptnAppVersion
		duration []float64
		leadTime []float64
	}{
		"Succeeded": {"A success has both.", recordtest.Delivered(), []float64{100}, []float64{1500}},
		"Failed":    {"A failure delivered nothing, so it has no lead time.", recordtest.Failed(), []float64{30}, nil},
		"Annotated": {"An app that does not come from Git has a duration.", annotated, []float64{30}, nil},
		"Backwards": {"A duration that cannot be true would take from the sum.", backwards, nil, []float64{1500}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			metrics, registry := newMetrics(t)
			ended(t, metrics, tc.kav)
			got := [][]float64{sums(t, registry, "keptn_app_duration_seconds"), sums(t, registry, "keptn_lead_time_seconds")}
			if diff := cmp.Diff([][]float64{tc.duration, tc.leadTime}, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestHistogramsHaveTheirBuckets(t *testing.T) {
	metrics, registry := newMetrics(t)
	ended(t, metrics, recordtest.Delivered())
	keptns := []float64{0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000}
	if diff := cmp.Diff(keptns, buckets(t, registry, "keptn_app_duration_seconds")); diff != "" {
		t.Errorf("Keptn's buckets of durations, -want +got:\n%s", diff)
	}
	got := buckets(t, registry, "keptn_lead_time_seconds")
	for _, line := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour} {
		if !slices.Contains(got, line.Seconds()) {
			t.Errorf("buckets of lead times are %v, want one at %s", got, line)
		}
	}
}

func TestNoCounterIsLabelledByWhatIsNewWithEveryDelivery(t *testing.T) {
	metrics, registry := newMetrics(t)
	kav, kwv, task, evaluation := recordtest.Delivered(), recordtest.Workload(), recordtest.Task(), recordtest.Evaluation()
	ended(t, metrics, kav)
	metrics.Delivery(t.Context(), record.OfWorkload(nil, kav), record.OfWorkload(kwv, kav))
	metrics.Task(t.Context(), nil, &task)
	metrics.Evaluation(t.Context(), nil, &evaluation)
	for _, family := range gather(t, registry) {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				for _, fresh := range []string{kav.Spec.Version, kav.Name, string(kav.UID), kwv.Name, kwv.Spec.Version, task.Name, evaluation.Name} {
					if label.GetName() != "service_version" && strings.Contains(label.GetValue(), fresh) {
						t.Errorf("%s has the label %s=%q", family.GetName(), label.GetName(), label.GetValue())
					}
				}
			}
		}
	}
}

func TestTheProgramAndItsVersionShow(t *testing.T) {
	_, registry := newMetrics(t)
	if got := family(t, registry, "keptn_lifecycle_active_total").GetMetric()[0].GetCounter().GetValue(); got != 1 {
		t.Errorf("keptn_lifecycle_active_total is %v, want 1", got)
	}
	for _, label := range family(t, registry, "target_info").GetMetric()[0].GetLabel() {
		if label.GetName() == "service_version" && label.GetValue() == "v1.2.3" {
			return
		}
	}
	t.Errorf("target_info has no service_version v1.2.3")
}

func TestOthersShowAtTheSamePlace(t *testing.T) {
	metrics, registry := newMetrics(t)
	counter, err := metrics.MeterProvider().Meter("keptn/task").Int64Counter("keptn.cloudevent.count")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 1)
	if got := family(t, registry, "keptn_cloudevent_count_total").GetMetric()[0].GetCounter().GetValue(); got != 1 {
		t.Errorf("keptn_cloudevent_count_total is %v, want 1", got)
	}
}

func TestNilMeasuresNothing(t *testing.T) {
	var metrics *metric.Metrics
	task, evaluation := recordtest.Task(), recordtest.Evaluation()
	ended(t, metrics, recordtest.Delivered())
	metrics.Task(t.Context(), nil, &task)
	metrics.Evaluation(t.Context(), nil, &evaluation)
	metrics.Observe(metric.Sources{})
	if err := metrics.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func gather(t *testing.T, registry *prometheus.Registry) []*dto.MetricFamily {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func family(t *testing.T, registry *prometheus.Registry, name string) *dto.MetricFamily {
	t.Helper()
	for _, f := range gather(t, registry) {
		if f.GetName() == name {
			return f
		}
	}
	t.Fatalf("no metric %s", name)
	return nil
}

// sums are the sums of a histogram's series, none where nothing was recorded.
func sums(t *testing.T, registry *prometheus.Registry, name string) []float64 {
	t.Helper()
	var out []float64
	for _, f := range gather(t, registry) {
		for _, m := range f.GetMetric() {
			if f.GetName() == name {
				out = append(out, m.GetHistogram().GetSampleSum())
			}
		}
	}
	return out
}

func buckets(t *testing.T, registry *prometheus.Registry, name string) []float64 {
	t.Helper()
	var out []float64
	for _, b := range family(t, registry, name).GetMetric()[0].GetHistogram().GetBucket() {
		out = append(out, b.GetUpperBound())
	}
	return out
}
