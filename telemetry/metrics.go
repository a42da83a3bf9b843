package telemetry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// meterName is Keptn's.
const meterName = "keptn/task"

// Metrics counts and times deliveries. It is safe for concurrent use.
//
//	keptn.app.count     keptn_app_count_total        deliveries that ended
//	keptn.app.duration  keptn_app_duration_seconds   from their start to their end
//	keptn.lead_time     keptn_lead_time_seconds      from the commit's author time
//	                                                 to the end of a success
//
// The attributes are keptn.deployment.app.name, keptn.deployment.app.namespace and
// deployment.environment.name, and of the first two also
// keptn.deployment.app.status. The commit and the version are none of them: there
// is a new one with every delivery, and each would stay a time series for good.
type Metrics struct {
	provider *sdkmetric.MeterProvider
	count    metric.Int64Counter
	duration metric.Float64Histogram
	leadTime metric.Float64Histogram
}

// NewMetrics returns a Metrics that shows at the registerer, by the Prometheus
// names above. The version is that of the program, and shows in target_info. One
// registerer takes one Metrics: a second would show every series twice, which
// Prometheus refuses when it gathers them.
func NewMetrics(ctx context.Context, version string, registerer prometheus.Registerer) (*Metrics, error) {
	exporter, err := otelprometheus.New(
		otelprometheus.WithRegisterer(registerer),
		otelprometheus.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes),
	)
	if err != nil {
		return nil, fmt.Errorf("register the metrics with Prometheus: %w", err)
	}
	res, err := newResource(ctx, version)
	if err != nil {
		return nil, err
	}
	m := &Metrics{provider: sdkmetric.NewMeterProvider(
		sdkmetric.WithReader(exporter), sdkmetric.WithResource(res),
		sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter), // nothing is measured within a span, and room for them is 4 KB per app
	)}
	if err := m.instrument(m.provider.Meter(meterName)); err != nil {
		return nil, fmt.Errorf("create the metrics of deliveries: %w", err)
	}
	return m, nil
}

func (m *Metrics) instrument(meter metric.Meter) error {
	var errs [3]error
	m.count, errs[0] = meter.Int64Counter("keptn.app.count",
		metric.WithDescription("Deliveries of apps that have ended"))
	m.duration, errs[1] = meter.Float64Histogram("keptn.app.duration",
		metric.WithUnit("s"),
		metric.WithDescription("Time from the start of a delivery to its end"),
		// Keptn's.
		metric.WithExplicitBucketBoundaries(0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000))
	m.leadTime, errs[2] = meter.Float64Histogram("keptn.lead_time",
		metric.WithUnit("s"),
		metric.WithDescription("Change lead time: from the commit's author time to the end of its successful delivery"),
		metric.WithExplicitBucketBoundaries(leadTimeBuckets()...))
	return errors.Join(errs[:]...)
}

// leadTimeBuckets run from a minute to thirty days, in seconds. An hour, a day,
// a week and a month are where DORA's reports draw their lines.
func leadTimeBuckets() []float64 {
	const day = 24 * time.Hour
	var seconds []float64
	for _, d := range []time.Duration{
		time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour,
		day, 2 * day, 4 * day, 7 * day, 14 * day, 30 * day,
	} {
		seconds = append(seconds, d.Seconds())
	}
	return seconds
}

// MeterProvider returns the provider of the meters, for those who have more to
// show at the same place, such as [Events].
func (m *Metrics) MeterProvider() metric.MeterProvider { return m.provider }

// DeliveryEnded counts a delivery that has ended, its duration, and its lead time
// where the record has one. A duration that would be negative is left out.
//
// It adds one at every call. That each delivery counts once, also over restarts,
// is for the caller to see to: call it exactly when the end was written to the
// record, after the write succeeded, and never for an end that was read.
func (m *Metrics) DeliveryEnded(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) {
	app := []attribute.KeyValue{
		appNameKey.String(kav.Spec.AppName),
		appNamespaceKey.String(kav.Namespace),
		semconv.DeploymentEnvironmentNameKey.String(kav.Spec.Environment),
	}
	if lead := kav.Status.LeadTime; lead != nil {
		m.leadTime.Record(ctx, lead.Seconds(), metric.WithAttributes(app...))
	}
	ofStatus := metric.WithAttributes(append(app, appStatusKey.String(string(kav.Status.Status)))...)
	m.count.Add(ctx, 1, ofStatus)
	start, end := kav.Status.StartTime.Time, kav.Status.EndTime.Time
	if !start.IsZero() && !end.Before(start) {
		m.duration.Record(ctx, end.Sub(start).Seconds(), ofStatus)
	}
}
