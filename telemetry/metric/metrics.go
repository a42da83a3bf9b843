package metric

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/otlp"
	"github.com/keptn/gitops/telemetry/record"
)

// meterName is Keptn's.
const meterName = "keptn/task"

// Metrics is all that is measured. It is safe for concurrent use; nil measures nothing.
type Metrics struct {
	provider                        *sdkmetric.MeterProvider
	app, workload, task, evaluation ended
	promotions, statuses            metric.Int64Counter
	leadTime                        metric.Float64Histogram
	sources                         atomic.Pointer[Sources]
	log                             logr.Logger
	now                             func() time.Time
}

// ended counts and times one kind of what ends.
type ended struct {
	count    metric.Int64Counter
	duration metric.Float64Histogram
}

// New returns a Metrics that shows at the registerer, by the names that Prometheus gives
// OpenTelemetry's, and pushes by OTLP where the environment asks for it, see
// [otlp.Metrics]: each minute, or as often as OTEL_METRIC_EXPORT_INTERVAL says. A push
// that fails is logged, once until the next that does not. The version is that of the
// program, and shows in target_info. One registerer takes one Metrics: a second would
// show every series twice, which Prometheus refuses when it gathers them.
//
// New fails where the environment asks for what cannot be had.
func New(ctx context.Context, version string, registerer prometheus.Registerer, log logr.Logger) (*Metrics, error) {
	pulled, err := otelprometheus.New(
		otelprometheus.WithRegisterer(registerer),
		otelprometheus.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes),
	)
	if err != nil {
		return nil, fmt.Errorf("register the metrics with Prometheus: %w", err)
	}
	res, err := otlp.Resource(ctx, version)
	if err != nil {
		return nil, err
	}
	m := &Metrics{log: log, now: time.Now}
	options := []sdkmetric.Option{
		sdkmetric.WithReader(pulled), sdkmetric.WithResource(res),
		sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter), // nothing is measured within a span, and room for them is 4 KB per app
		sdkmetric.WithCardinalityLimit(0),                      // the objects are the limit, and what has no limit is no label
	}
	exporter, err := otlp.Metrics(ctx)
	if err != nil {
		return nil, err
	}
	if exporter != nil {
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(
			&pushing{Exporter: exporter, log: log}, sdkmetric.WithProducer(m.keptnMetrics()))))
	}
	m.provider = sdkmetric.NewMeterProvider(options...)
	if err := m.instrument(ctx, m.provider.Meter(meterName)); err != nil {
		return nil, fmt.Errorf("create the metrics of deliveries: %w", err)
	}
	return m, nil
}

func (m *Metrics) instrument(ctx context.Context, meter metric.Meter) error {
	var errs [9]error
	m.app, errs[0] = newEnded(meter, "keptn.app", "deliveries of apps")
	m.workload, errs[1] = newEnded(meter, "keptn.deployment", "deliveries of workloads")
	m.task, errs[2] = newEnded(meter, "keptn.task", "tasks")
	m.evaluation, errs[3] = newEnded(meter, "keptn.evaluation", "evaluations")
	m.promotions, errs[4] = meter.Int64Counter("keptn.promotion.count",
		metric.WithDescription("Promotions of apps that have ended"))
	m.leadTime, errs[5] = meter.Float64Histogram("keptn.lead_time",
		metric.WithUnit("s"),
		metric.WithDescription("Change lead time: from the commit's author time to the end of its successful delivery"),
		metric.WithExplicitBucketBoundaries(leadTimeBuckets()...))
	var active metric.Int64Counter
	active, errs[6] = meter.Int64Counter("keptn_lifecycle_active",
		metric.WithDescription("Always 1: Keptn is there"))
	m.statuses, errs[7] = meter.Int64Counter("keptn.commitstatus.count",
		metric.WithDescription("Statuses of commits, by what became of each attempt to have a forge show them"))
	errs[8] = m.observe(meter)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	active.Add(ctx, 1)
	return nil
}

func newEnded(meter metric.Meter, prefix, what string) (ended, error) {
	count, countErr := meter.Int64Counter(prefix+".count", metric.WithDescription("How many "+what+" have ended"))
	duration, durationErr := meter.Float64Histogram(prefix+".duration",
		metric.WithUnit("s"),
		metric.WithDescription("How long "+what+" took, from start to end"),
		// Keptn's.
		metric.WithExplicitBucketBoundaries(0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000))
	return ended{count, duration}, errors.Join(countErr, durationErr)
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
// show at the same place.
func (m *Metrics) MeterProvider() metric.MeterProvider { return m.provider }

// Shutdown pushes a last time where metrics are pushed. It gives up when the context
// ends, and returns its error.
func (m *Metrics) Shutdown(ctx context.Context) error {
	if m == nil {
		return nil
	}
	if err := m.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("shut down the metrics: %w", err)
	}
	return nil
}

// The labels of statuses of commits.
const (
	statusOutcome attribute.Key = "keptn.commitstatus.outcome"
	forgeHost     attribute.Key = "server.address"
)

// CommitStatus counts an attempt to have a forge, or a Git server that keeps notes, show
// a status of a commit, by the host and by what became of it.
func (m *Metrics) CommitStatus(ctx context.Context, host, outcome string) {
	if m != nil {
		m.statuses.Add(ctx, 1, metric.WithAttributes(forgeHost.String(host), statusOutcome.String(outcome)))
	}
}

// Delivery counts what ended between two records of a delivery: the delivery, or the
// attempt at it, with its duration, its lead time where it has one, and its promotion
// where it has something to promote. A duration that would be negative is left out.
//
// That each counts once, also over restarts, is for the caller to see to: tell of a
// change after it was written to the record, and never of what was only read.
func (m *Metrics) Delivery(ctx context.Context, before, after record.Delivery) {
	if m == nil {
		return
	}
	if rec := record.Promoted(before, after); rec != nil {
		m.promotions.Add(ctx, 1, metric.WithAttributes(append(kindOf(after), record.AppStatus.String(string(rec.State)))...))
	}
	if !record.Ended(before, after) {
		return
	}
	attributes, of, status := kindOf(after), m.app, record.AppStatus
	if !after.IsApp() {
		of, status = m.workload, record.WorkloadStatus
	}
	if lead := after.LeadTime; lead != nil {
		m.leadTime.Record(ctx, lead.Seconds(), metric.WithAttributes(attributes...))
	}
	duration, known := after.Duration()
	of.add(ctx, duration, known, append(attributes, status.String(string(after.Progress.Status)))...)
}

// kindOf are the attributes of all deliveries of the same app, or workload, to the same
// environment.
func kindOf(d record.Delivery) []attribute.KeyValue {
	environment := semconv.DeploymentEnvironmentNameKey.String(d.Environment)
	if d.IsApp() {
		return []attribute.KeyValue{record.AppName.String(d.AppName), record.AppNamespace.String(d.Namespace), environment}
	}
	return []attribute.KeyValue{
		record.AppName.String(d.AppName), record.WorkloadName.String(d.WorkloadName),
		record.WorkloadNamespace.String(d.Namespace), environment,
	}
}

// Task counts a task that ended between two records of it, and its duration, as
// [Metrics.Delivery] does.
func (m *Metrics) Task(ctx context.Context, before, after *lifecyclev1.KeptnTask) {
	if m == nil || !record.TaskEnded(before, after) {
		return
	}
	of, s := after.Spec.Context, &after.Status
	duration, known := between(s.StartTime.Time, s.EndTime.Time)
	m.task.add(ctx, duration, known,
		record.AppName.String(of.AppName), record.AppNamespace.String(after.Namespace), record.WorkloadName.String(of.WorkloadName),
		record.TaskName.String(after.Spec.TaskDefinition), record.TaskType.String(string(after.Spec.Type)), record.TaskStatus.String(string(s.Status)))
}

// Evaluation counts an evaluation that ended between two records of it, and its
// duration, as [Metrics.Delivery] does.
func (m *Metrics) Evaluation(ctx context.Context, before, after *lifecyclev1.KeptnEvaluation) {
	if m == nil || !record.EvaluationEnded(before, after) {
		return
	}
	of, s := &after.Spec, &after.Status
	duration, known := between(s.StartTime.Time, s.EndTime.Time)
	m.evaluation.add(ctx, duration, known,
		record.AppName.String(of.AppName), record.AppNamespace.String(after.Namespace), record.WorkloadName.String(of.Workload),
		record.EvaluationName.String(of.EvaluationDefinition), record.EvaluationType.String(string(of.Type)), record.EvaluationStatus.String(string(s.OverallStatus)))
}

func between(start, end time.Time) (time.Duration, bool) {
	return end.Sub(start), !start.IsZero() && !end.Before(start)
}

func (e ended) add(ctx context.Context, duration time.Duration, known bool, attributes ...attribute.KeyValue) {
	of := metric.WithAttributes(attributes...)
	e.count.Add(ctx, 1, of)
	if known {
		e.duration.Record(ctx, duration.Seconds(), of)
	}
}
