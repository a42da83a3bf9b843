package trace

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Outcomes of a span, as the metric keptn.span.count shows them.
const (
	outcomeExported = "exported" // the collector took it
	outcomeFailed   = "failed"   // the collector did not
	outcomeDropped  = "dropped"  // too many waited
)

const outcomeKey = attribute.Key("keptn.span.outcome")

// processor hands spans on to the SDK's, unless so many wait already that one would be
// dropped there without a word.
type processor struct {
	sdktrace.SpanProcessor
	exporter *exporter
	limit    int64
}

// exporter counts what becomes of the spans of a processor, and logs exports that
// failed, which the SDK would hand to a handler that is global to the process.
type exporter struct {
	ctx     context.Context // for counting, which ends with nothing
	to      sdktrace.SpanExporter
	log     logr.Logger
	count   metric.Int64Counter
	waiting atomic.Int64
}

func newProcessor(ctx context.Context, to sdktrace.SpanExporter, log logr.Logger, meters metric.MeterProvider) (*processor, error) {
	count, err := meters.Meter("keptn/task").Int64Counter("keptn.span.count",
		metric.WithDescription("Spans, by what became of them"))
	if err != nil {
		return nil, fmt.Errorf("create the metric of spans: %w", err)
	}
	e := &exporter{ctx: context.WithoutCancel(ctx), to: to, log: log, count: count}
	return &processor{SpanProcessor: sdktrace.NewBatchSpanProcessor(e), exporter: e, limit: queueSize()}, nil
}

// queueSize is how many spans the SDK's processor takes.
func queueSize() int64 {
	if n, err := strconv.ParseInt(os.Getenv("OTEL_BSP_MAX_QUEUE_SIZE"), 10, 32); err == nil && n > 0 {
		return n
	}
	return sdktrace.DefaultMaxQueueSize
}

// OnEnd implements sdktrace.SpanProcessor.
func (p *processor) OnEnd(span sdktrace.ReadOnlySpan) {
	if e := p.exporter; e.waiting.Add(1) > p.limit {
		e.waiting.Add(-1)
		e.count.Add(e.ctx, 1, metric.WithAttributes(outcomeKey.String(outcomeDropped)))
		return
	}
	p.SpanProcessor.OnEnd(span)
}

// ExportSpans implements sdktrace.SpanExporter.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	n := int64(len(spans))
	defer e.waiting.Add(-n)
	outcome := outcomeExported
	if err := e.to.ExportSpans(ctx, spans); err != nil {
		e.log.Error(err, "Could not export spans; they are lost", "spans", n)
		outcome = outcomeFailed
	}
	e.count.Add(ctx, n, metric.WithAttributes(outcomeKey.String(outcome)))
	return nil
}

// Shutdown implements sdktrace.SpanExporter.
func (e *exporter) Shutdown(ctx context.Context) error { return e.to.Shutdown(ctx) }
