package telemetry_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry"
)

func newMetrics(t *testing.T) (*telemetry.Metrics, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	metrics, err := telemetry.NewMetrics(t.Context(), "v1.2.3", registry)
	if err != nil {
		t.Fatal(err)
	}
	return metrics, registry
}

func TestDeliveriesAreCountedByAppEnvironmentNamespaceAndStatus(t *testing.T) {
	metrics, registry := newMetrics(t)
	nextCommit := delivered()
	nextCommit.UID, nextCommit.Spec.Version, nextCommit.Spec.Commit.SHA = "other", "8d1c8b6", "8d1c8b6"
	for _, kav := range []*lifecyclev1.KeptnAppVersion{delivered(), nextCommit, failed(), superseded()} {
		metrics.DeliveryEnded(t.Context(), kav)
	}
	const labels = `deployment_environment_name="production",keptn_deployment_app_name="checkout",keptn_deployment_app_namespace="shop",`
	const scope = `,otel_scope_name="keptn/task",otel_scope_schema_url="",otel_scope_version=""`
	want := `
# HELP keptn_app_count_total Deliveries of apps that have ended
# TYPE keptn_app_count_total counter
keptn_app_count_total{` + labels + `keptn_deployment_app_status="Deprecated"` + scope + `} 1
keptn_app_count_total{` + labels + `keptn_deployment_app_status="Failed"` + scope + `} 1
keptn_app_count_total{` + labels + `keptn_deployment_app_status="Succeeded"` + scope + `} 2
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "keptn_app_count_total"); err != nil {
		t.Error(err)
	}
}

func TestDurationsAndLeadTimesAreInSeconds(t *testing.T) {
	backwards, annotated, startless := delivered(), failed(), failed()
	startless.Status.StartTime.Reset()
	backwards.Status.StartTime, backwards.Status.EndTime = at(100), at(0)
	annotated.Spec.Environment = ""
	cases := map[string]struct {
		reason   string
		kav      *lifecyclev1.KeptnAppVersion
		duration []float64
		leadTime []float64
	}{
		"Succeeded": {"A success has both.", delivered(), []float64{100}, []float64{1500}},
		"Failed":    {"A failure delivered nothing, so it has no lead time.", failed(), []float64{30}, nil},
		"Annotated": {"An app that does not come from Git has a duration.", annotated, []float64{30}, nil},
		"NoStart":   {"What began at no known time took no known time.", startless, nil, nil},
		"Backwards": {"A duration that cannot be true would take from the sum.", backwards, nil, []float64{1500}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			metrics, registry := newMetrics(t)
			metrics.DeliveryEnded(t.Context(), tc.kav)
			got := [][]float64{sums(t, registry, "keptn_app_duration_seconds"), sums(t, registry, "keptn_lead_time_seconds")}
			if diff := cmp.Diff([][]float64{tc.duration, tc.leadTime}, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestHistogramsHaveTheirBuckets(t *testing.T) {
	metrics, registry := newMetrics(t)
	metrics.DeliveryEnded(t.Context(), delivered())
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

func TestNoMetricIsLabelledByWhatIsNewWithEveryDelivery(t *testing.T) {
	metrics, registry := newMetrics(t)
	kav := delivered()
	metrics.DeliveryEnded(t.Context(), kav)
	for _, family := range gather(t, registry) {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				for _, fresh := range []string{kav.Spec.Version, kav.Name, string(kav.UID)} {
					if strings.Contains(label.GetValue(), fresh) {
						t.Errorf("%s has the label %s=%q", family.GetName(), label.GetName(), label.GetValue())
					}
				}
			}
		}
	}
}

func TestTheVersionOfTheProgramShows(t *testing.T) {
	metrics, registry := newMetrics(t)
	metrics.DeliveryEnded(t.Context(), delivered())
	for _, label := range family(t, registry, "target_info").GetMetric()[0].GetLabel() {
		if label.GetName() == "service_version" && label.GetValue() == "v1.2.3" {
			return
		}
	}
	t.Errorf("target_info has no service_version v1.2.3")
}

func TestEventsAreCountedAtTheSamePlace(t *testing.T) {
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
