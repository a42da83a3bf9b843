package telemetry_test

import (
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry"
)

func TestPhaseTraceparentNamesThePhasesSpan(t *testing.T) {
	carrier := propagation.MapCarrier{"traceparent": telemetry.PhaseTraceparent(uid, lifecyclev1.PhaseAppDeploy)}
	got := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(t.Context(), carrier))
	for _, span := range spansOf(t, nil, delivered()) {
		if span.Name == string(lifecyclev1.PhaseAppDeploy) {
			if want := span.SpanContext; got.TraceID() != want.TraceID() || got.SpanID() != want.SpanID() || !got.IsSampled() {
				t.Errorf("PhaseTraceparent = %q, want %s-%s, sampled", carrier["traceparent"], want.TraceID(), want.SpanID())
			}
			return
		}
	}
	t.Error("the delivery has no span of that phase")
}
