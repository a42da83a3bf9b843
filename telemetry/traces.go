package telemetry

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// The attributes of Keptn's spans and metrics.
const (
	appNameKey          = attribute.Key("keptn.deployment.app.name")
	appVersionKey       = attribute.Key("keptn.deployment.app.version")
	appNamespaceKey     = attribute.Key("keptn.deployment.app.namespace")
	appStatusKey        = attribute.Key("keptn.deployment.app.status")
	evaluationNameKey   = attribute.Key("keptn.deployment.evaluation.name")
	evaluationTypeKey   = attribute.Key("keptn.deployment.evaluation.type")
	evaluationStatusKey = attribute.Key("keptn.deployment.evaluation.status")
)

const (
	// serviceName and tracerName are Keptn's, so that dashboards that look its
	// traces up still find them.
	serviceName = "lifecycle-operator"
	tracerName  = "keptn/lifecycle-operator/appversion"
)

// Tracer writes one trace per delivery. It is safe for concurrent use.
type Tracer struct {
	tracer   trace.Tracer
	exports  bool
	shutdown func(context.Context) error
}

// Exports says whether traces go anywhere: then it is of use to hand trace parents on.
// A nil Tracer exports nothing.
func (t *Tracer) Exports() bool { return t != nil && t.exports }

// TracerOption changes a Tracer under construction.
type TracerOption func(*tracerOptions)

type tracerOptions struct {
	exporter sdktrace.SpanExporter
}

// WithSpanExporter sends the spans to the exporter. The default is OTLP over gRPC,
// as the environment has it.
func WithSpanExporter(e sdktrace.SpanExporter) TracerOption {
	return func(o *tracerOptions) { o.exporter = e }
}

// NewTracer returns a Tracer that exports by OTLP over gRPC in the background, in
// batches, from a bounded queue: what does not fit is dropped, and an export that
// fails is logged. The version is that of the program.
//
// It is configured by OpenTelemetry's environment variables: the endpoint by
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT, the rest by
// OTEL_EXPORTER_OTLP_* (https://opentelemetry.io/docs/specs/otel/protocol/exporter/),
// the queue by OTEL_BSP_*, the service's name by OTEL_SERVICE_NAME (default
// "lifecycle-operator", as Keptn's) and OTEL_RESOURCE_ATTRIBUTES. Without an
// endpoint, and without WithSpanExporter, the Tracer does nothing. There is no
// sampling: deliveries are few.
//
// NewTracer fails where the environment asks for what cannot be had: an endpoint
// that does not parse, or a protocol other than grpc.
func NewTracer(ctx context.Context, version string, log logr.Logger, opts ...TracerOption) (*Tracer, error) {
	var o tracerOptions
	for _, opt := range opts {
		opt(&o)
	}
	if o.exporter == nil && !endpointInEnvironment() {
		return &Tracer{
			tracer:   noop.NewTracerProvider().Tracer(tracerName),
			shutdown: func(context.Context) error { return nil },
		}, nil
	}
	if o.exporter == nil {
		exporter, err := exporterFromEnvironment(ctx)
		if err != nil {
			return nil, err
		}
		o.exporter = exporter
	}
	res, err := newResource(ctx, version)
	if err != nil {
		return nil, err
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(loggingExporter{SpanExporter: o.exporter, log: log}),
		sdktrace.WithIDGenerator(recordedIDs{}),
		sdktrace.WithSampler(sdktrace.AlwaysSample()),
		sdktrace.WithResource(res),
	)
	tracer := provider.Tracer(tracerName, trace.WithSchemaURL(semconv.SchemaURL))
	return &Tracer{tracer: tracer, exports: true, shutdown: provider.Shutdown}, nil
}

// Delivery writes the trace of a delivery that has ended; of any other it writes
// nothing. The root span is named after the record, a child span after each phase
// that ran, and below a phase a span after each of its evaluations. A span has
// the status Ok where the phase passed, also with a warning, Error with the message
// where it failed or could not be decided, and none where it was given up for a
// newer delivery.
//
// Ids follow from the record's UID: a second call writes the same spans again,
// which a trace store takes for the ones it has. Delivery never blocks.
func (t *Tracer) Delivery(ctx context.Context, kav *lifecyclev1.KeptnAppVersion, evaluations []lifecyclev1.KeptnEvaluation) {
	if !ended(kav) {
		return
	}
	root := t.write(ctx, trace.SpanContext{}, deliverySpan(kav))
	phases := map[lifecyclev1.Phase]trace.SpanContext{}
	for i := range kav.Status.Phases {
		if p := &kav.Status.Phases[i]; p.StartTime != nil {
			phases[p.Name] = t.write(ctx, root, phaseSpan(kav, p))
		}
	}
	for i := range evaluations {
		e := &evaluations[i]
		if e.Status.StartTime.IsZero() {
			continue
		}
		parent, ok := phases[phaseOf(e)]
		if !ok {
			parent = root
		}
		t.write(ctx, parent, evaluationSpan(kav, e))
	}
}

// Shutdown sends what waits, and frees what the Tracer holds. It gives up when
// the context ends, and returns its error.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if err := t.shutdown(ctx); err != nil {
		return fmt.Errorf("shut down the exporter of traces: %w", err)
	}
	return nil
}

// A spanRecord is what a record says of one span.
type spanRecord struct {
	name       string
	ids        spanIDs
	start, end time.Time
	state      lifecyclev1.KeptnState
	message    string
	attributes []attribute.KeyValue
}

// write writes a span below its parent, and returns what names it in turn. A
// parent of zero makes it a root, whatever span the context is in.
func (t *Tracer) write(ctx context.Context, parent trace.SpanContext, r spanRecord) trace.SpanContext {
	ctx = trace.ContextWithSpanContext(withSpanIDs(ctx, r.ids), parent)
	_, span := t.tracer.Start(ctx, r.name,
		trace.WithTimestamp(r.start),
		trace.WithSpanKind(trace.SpanKindConsumer), // as Keptn's
		trace.WithAttributes(r.attributes...),
	)
	switch r.state {
	case lifecyclev1.StateSucceeded, lifecyclev1.StateWarning:
		span.SetStatus(codes.Ok, "")
	case lifecyclev1.StateFailed, lifecyclev1.StateUnknown:
		span.SetStatus(codes.Error, r.message)
	case lifecyclev1.StatePending, lifecyclev1.StateProgressing, lifecyclev1.StateDeprecated:
		// It came to no result, good or bad.
	}
	if r.end.Before(r.start) {
		r.end = r.start
	}
	if r.message != "" {
		// Only the status Error has room for a message.
		span.AddEvent(r.message, trace.WithTimestamp(r.end))
	}
	span.End(trace.WithTimestamp(r.end))
	return span.SpanContext()
}

func deliverySpan(kav *lifecyclev1.KeptnAppVersion) spanRecord {
	start := kav.Status.StartTime.Time
	if start.IsZero() {
		start = kav.Status.EndTime.Time
	}
	_, message := conclusion(kav)
	return spanRecord{
		name:       kav.Name,
		ids:        identify(kav.UID),
		start:      start,
		end:        kav.Status.EndTime.Time,
		state:      kav.Status.Status,
		message:    message,
		attributes: append(deliveryAttributes(kav), appStatusKey.String(string(kav.Status.Status))),
	}
}

func phaseSpan(kav *lifecyclev1.KeptnAppVersion, p *lifecyclev1.PhaseRecord) spanRecord {
	end := kav.Status.EndTime.Time
	if p.EndTime != nil {
		end = p.EndTime.Time
	}
	return spanRecord{
		name:       string(p.Name),
		ids:        identify(kav.UID, string(p.Name)),
		start:      p.StartTime.Time,
		end:        end,
		state:      p.State,
		message:    p.Message,
		attributes: deliveryAttributes(kav),
	}
}

func evaluationSpan(kav *lifecyclev1.KeptnAppVersion, e *lifecyclev1.KeptnEvaluation) spanRecord {
	end := e.Status.EndTime.Time
	if end.IsZero() {
		end = kav.Status.EndTime.Time
	}
	return spanRecord{
		name:    e.Name,
		ids:     identify(kav.UID, string(phaseOf(e)), e.Name),
		start:   e.Status.StartTime.Time,
		end:     end,
		state:   e.Status.OverallStatus,
		message: e.Status.Summary,
		attributes: append(deliveryAttributes(kav),
			evaluationNameKey.String(e.Name),
			evaluationTypeKey.String(string(e.Spec.Type)),
			evaluationStatusKey.String(string(e.Status.OverallStatus)),
		),
	}
}

// phaseOf is the phase that an evaluation belongs to, or none.
func phaseOf(e *lifecyclev1.KeptnEvaluation) lifecyclev1.Phase {
	if e.Spec.Type == lifecyclev1.PostDeploymentEvaluationCheckType {
		return lifecyclev1.PhaseAppPostDeployEvaluations
	}
	return ""
}

// deliveryAttributes are common to all spans of a delivery.
func deliveryAttributes(kav *lifecyclev1.KeptnAppVersion) []attribute.KeyValue {
	attributes := []attribute.KeyValue{
		appNameKey.String(kav.Spec.AppName),
		appVersionKey.String(kav.Spec.Version),
		appNamespaceKey.String(kav.Namespace),
	}
	if kav.Spec.Environment != "" {
		attributes = append(attributes, semconv.DeploymentEnvironmentNameKey.String(kav.Spec.Environment))
	}
	if c := kav.Spec.Commit; c != nil {
		attributes = append(attributes, semconv.VCSRefHeadRevision(c.SHA))
		if repository := PublicURL(c.Repository); repository != "" {
			// The convention asks for the URL without Git's extension.
			attributes = append(attributes, semconv.VCSRepositoryURLFull(strings.TrimSuffix(repository, ".git")))
		}
	}
	return attributes
}
