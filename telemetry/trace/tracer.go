package trace

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/keptn/gitops/telemetry/otlp"
)

// tracerName is Keptn's, so that dashboards that look its traces up still find them.
const tracerName = "keptn/lifecycle-operator/appversion"

// Tracer writes traces of deliveries. It is safe for concurrent use, and nil is one that
// writes nothing.
type Tracer struct {
	tracer   trace.Tracer
	exports  bool
	shutdown func(context.Context) error
}

// Exports says whether traces go anywhere: then it is of use to hand trace parents on.
func (t *Tracer) Exports() bool { return t != nil && t.exports }

// Option changes a Tracer under construction.
type Option func(*options)

type options struct {
	exporter sdktrace.SpanExporter
	meters   metric.MeterProvider
}

// WithSpanExporter sends the spans to the exporter. The default is OTLP, as the
// environment has it.
func WithSpanExporter(e sdktrace.SpanExporter) Option {
	return func(o *options) { o.exporter = e }
}

// WithMeterProvider counts the spans in keptn.span.count, by what became of them:
// keptn.span.outcome is exported, failed (the collector did not take it) or dropped (too
// many waited). The default is not to count.
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(o *options) { o.meters = p }
}

// New returns a Tracer that exports in the background, in batches, from a bounded queue:
// what does not fit is dropped, an export that fails is logged, and both are counted.
// The version is that of the program.
//
// It is configured by OpenTelemetry's environment variables, see [otlp.Spans]; the queue
// by OTEL_BSP_*. Where they ask for no traces, and without WithSpanExporter, the Tracer
// writes nothing. There is no sampling: deliveries are few. New fails where the
// environment asks for what cannot be had.
func New(ctx context.Context, version string, log logr.Logger, opts ...Option) (*Tracer, error) {
	o := options{meters: noopmetric.NewMeterProvider()}
	for _, opt := range opts {
		opt(&o)
	}
	if o.exporter == nil {
		exporter, err := otlp.Spans(ctx)
		if err != nil {
			return nil, err
		}
		o.exporter = exporter
	}
	if o.exporter == nil {
		return &Tracer{
			tracer:   noop.NewTracerProvider().Tracer(tracerName),
			shutdown: func(context.Context) error { return nil },
		}, nil
	}
	res, err := otlp.Resource(ctx, version)
	if err != nil {
		return nil, err
	}
	processor, err := newProcessor(ctx, o.exporter, log, o.meters)
	if err != nil {
		return nil, err
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(processor),
		sdktrace.WithIDGenerator(recordedIDs{}),
		sdktrace.WithSampler(sdktrace.AlwaysSample()),
		sdktrace.WithResource(res),
	)
	tracer := provider.Tracer(tracerName, trace.WithSchemaURL(semconv.SchemaURL))
	return &Tracer{tracer: tracer, exports: true, shutdown: provider.Shutdown}, nil
}

// Shutdown sends what waits, and frees what the Tracer holds. It gives up when
// the context ends, and returns its error.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.shutdown(ctx); err != nil {
		return fmt.Errorf("shut down the exporter of traces: %w", err)
	}
	return nil
}

type spanKey struct{}

// recordedIDs is an sdktrace.IDGenerator that hands out the ids that its caller
// derived from the record. The context is the only way to reach a generator.
type recordedIDs struct{}

func withIDs(ctx context.Context, ids trace.SpanContext) context.Context {
	return context.WithValue(ctx, spanKey{}, ids)
}

// NewIDs implements sdktrace.IDGenerator.
func (recordedIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	ids, _ := ctx.Value(spanKey{}).(trace.SpanContext)
	return ids.TraceID(), ids.SpanID()
}

// NewSpanID implements sdktrace.IDGenerator.
func (recordedIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	ids, _ := ctx.Value(spanKey{}).(trace.SpanContext)
	return ids.SpanID()
}
