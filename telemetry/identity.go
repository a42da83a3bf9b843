package telemetry

import (
	"context"
	"crypto/sha256"

	"go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/types"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// Traceparent is the W3C trace context of a delivery: the traceparent header
// value that names the root span of its trace
// (https://www.w3.org/TR/trace-context/#traceparent-header). It follows from the
// UID of the delivery's record alone, so it is known before the trace is sent: the
// trace id is the first 16 bytes of the UID's SHA-256, the span id the next 8. The sampled flag is always set, as every delivery is traced.
func Traceparent(delivery types.UID) string { return identify(delivery).traceparent() }

// PhaseTraceparent is [Traceparent] for the span of one phase of a delivery: what the
// phase starts elsewhere continues the trace from there.
func PhaseTraceparent(delivery types.UID, phase lifecyclev1.Phase) string {
	return identify(delivery, string(phase)).traceparent()
}

// spanIDs place one span of a delivery's trace.
type spanIDs struct {
	trace trace.TraceID
	span  trace.SpanID
}

// identify derives the ids of a delivery's span by SHA-256. The path leads to
// the span from the root: none for the root itself, then a phase, then an
// evaluation.
func identify(delivery types.UID, path ...string) spanIDs {
	var ids spanIDs
	root := sha256.Sum256([]byte(delivery))
	copy(ids.trace[:], root[:])

	key := []byte(delivery)
	for _, name := range path {
		// Neither a UID nor the name of an object or a phase holds a NUL.
		key = append(append(key, 0), name...)
	}
	digest := sha256.Sum256(key)
	copy(ids.span[:], digest[len(ids.trace):])
	return ids
}

// traceparent names the span as a header of W3C's trace context does.
func (ids spanIDs) traceparent() string {
	return "00-" + ids.trace.String() + "-" + ids.span.String() + "-" + trace.FlagsSampled.String()
}

type spanIDsKey struct{}

// recordedIDs is an sdktrace.IDGenerator that hands out the ids that its caller
// derived from the record. The context is the only way to reach a generator.
type recordedIDs struct{}

func withSpanIDs(ctx context.Context, ids spanIDs) context.Context {
	return context.WithValue(ctx, spanIDsKey{}, ids)
}

func (recordedIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	ids, _ := ctx.Value(spanIDsKey{}).(spanIDs)
	return ids.trace, ids.span
}

func (recordedIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	ids, _ := ctx.Value(spanIDsKey{}).(spanIDs)
	return ids.span
}
