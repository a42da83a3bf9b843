package record

import (
	"crypto/sha256"
	"errors"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/types"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// Traceparent names the root span of the delivery's attempt as a header of W3C's trace
// context does (https://www.w3.org/TR/trace-context/#traceparent-header). It follows
// from the record alone, so it is known before the trace is sent: the trace id is that
// of the trace parent in the record's spec, else the first 16 bytes of the SHA-256 of
// its UID; the span id the next 8. The sampled flag is always set, as every delivery is
// traced.
func (d Delivery) Traceparent() string { return traceparent(d.Root()) }

// PhaseTraceparent is [Delivery.Traceparent] for the span of one phase: what the phase
// starts elsewhere continues the trace from there.
func (d Delivery) PhaseTraceparent(phase lifecyclev1.Phase) string {
	return traceparent(d.phaseContext(d.Progress.Phase(phase), phase))
}

// Parent is what the root span of the attempt lies below: what the record's spec names,
// the app's rollout for a workload, the first attempt for those after it, or nothing.
func (d Delivery) Parent() trace.SpanContext {
	if d.Attempt() > 0 {
		return d.rootOf(0)
	}
	return d.parent
}

// Root names the root span of the attempt.
func (d Delivery) Root() trace.SpanContext { return d.rootOf(d.Attempt()) }

// Previous names the root span of the attempt before, or nothing at the first.
func (d Delivery) Previous() trace.SpanContext {
	if d.Attempt() == 0 {
		return trace.SpanContext{}
	}
	return d.rootOf(d.Attempt() - 1)
}

// PhaseSpan names the span of a run of a phase.
func (d Delivery) PhaseSpan(rec *lifecyclev1.PhaseRecord) trace.SpanContext {
	return d.phaseContext(rec, rec.Name)
}

// CheckSpan names the span of a check, by the name of the object that ran it.
func (d Delivery) CheckSpan(phase lifecyclev1.Phase, name string) trace.SpanContext {
	return d.span(string(phase), name)
}

func (d Delivery) rootOf(attempt int) trace.SpanContext {
	if attempt == 0 {
		return d.span()
	}
	return d.span(again(attempt))
}

// phaseContext is [Delivery.PhaseSpan] of a phase that may have no record yet.
func (d Delivery) phaseContext(rec *lifecyclev1.PhaseRecord, phase lifecyclev1.Phase) trace.SpanContext {
	if rec == nil || rec.Attempt == 0 {
		return d.span(string(phase))
	}
	return d.span(string(phase), again(int(rec.Attempt)))
}

// again distinguishes a further attempt: no object's name holds a blank.
func again(attempt int) string { return "retry " + strconv.Itoa(attempt) }

// span names a span of the delivery's trace, by the path that leads to it from the
// root: none for the root itself, then a phase, then a check.
func (d Delivery) span(path ...string) trace.SpanContext {
	sc := Identify(d.UID, path...)
	if d.parent.IsValid() {
		sc = sc.WithTraceID(d.parent.TraceID())
	}
	return sc
}

// Identify derives the name of a span by SHA-256 from the UID of a record and the path
// to the span from the root of the record's trace.
func Identify(uid types.UID, path ...string) trace.SpanContext {
	root := sha256.Sum256([]byte(uid))
	key := []byte(uid)
	for _, name := range path {
		// Neither a UID nor the name of an object or a phase holds a NUL.
		key = append(append(key, 0), name...)
	}
	own := sha256.Sum256(key)
	c := trace.SpanContextConfig{TraceFlags: trace.FlagsSampled}
	copy(c.TraceID[:], root[:])
	copy(c.SpanID[:], own[len(c.TraceID):])
	return trace.NewSpanContext(c)
}

func traceparent(sc trace.SpanContext) string {
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + sc.TraceFlags().String()
}

// Remote reads the value of a traceparent header; what is none is not valid.
func Remote(header string) trace.SpanContext {
	parts := strings.Split(strings.ToLower(strings.TrimSpace(header)), "-")
	if len(parts) < 4 || len(parts[0]) != 2 || parts[0] == "ff" || parts[0] == "00" && len(parts) > 4 || len(parts[3]) != 2 {
		return trace.SpanContext{}
	}
	traceID, traceErr := trace.TraceIDFromHex(parts[1])
	spanID, spanErr := trace.SpanIDFromHex(parts[2])
	flags, flagsErr := strconv.ParseUint(parts[3], 16, 8)
	if errors.Join(traceErr, spanErr, flagsErr) != nil {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: spanID, TraceFlags: trace.TraceFlags(flags) & trace.FlagsSampled, Remote: true,
	})
}

// remote reads the trace parent of a record's spec.
func remote(carrier map[string]string) trace.SpanContext {
	sc := Remote(carrier[lifecyclev1.TraceParentAnnotation])
	if state, err := trace.ParseTraceState(carrier["tracestate"]); err == nil {
		sc = sc.WithTraceState(state)
	}
	return sc
}
