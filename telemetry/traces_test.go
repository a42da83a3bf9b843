package telemetry_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry"
)

// keeping is an in-memory exporter that keeps its spans over its shutdown.
type keeping struct{ *tracetest.InMemoryExporter }

func (keeping) Shutdown(context.Context) error { return nil }

// spansOf writes the deliveries' traces, each with the evaluations, and returns
// the spans.
func spansOf(t *testing.T, evaluations []lifecyclev1.KeptnEvaluation, deliveries ...*lifecyclev1.KeptnAppVersion) tracetest.SpanStubs {
	t.Helper()
	memory := tracetest.NewInMemoryExporter()
	tracer, err := telemetry.NewTracer(t.Context(), "v1.2.3", logr.Discard(), telemetry.WithSpanExporter(keeping{memory}))
	if err != nil {
		t.Fatal(err)
	}
	for _, kav := range deliveries {
		tracer.Delivery(t.Context(), kav, evaluations)
	}
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	return memory.GetSpans()
}

// line is what a test compares of a span.
type line struct {
	Name, Parent string
	Start, End   time.Time
	Status       sdktrace.Status
	Events       []string
}

func lines(spans tracetest.SpanStubs) []line {
	names := map[trace.SpanID]string{}
	for _, s := range spans {
		names[s.SpanContext.SpanID()] = s.Name
	}
	var out []line
	for _, s := range spans {
		l := line{Name: s.Name, Parent: names[s.Parent.SpanID()], Start: s.StartTime, End: s.EndTime, Status: s.Status}
		for _, e := range s.Events {
			l.Events = append(l.Events, e.Name)
		}
		out = append(out, l)
	}
	return out
}

func TestATraceTellsWhatTheRecordHolds(t *testing.T) {
	const root = "checkout-4b825dc-1a2b3c4d"
	ok := sdktrace.Status{Code: codes.Ok}
	cases := map[string]struct {
		reason      string
		kav         *lifecyclev1.KeptnAppVersion
		evaluations []lifecyclev1.KeptnEvaluation
		want        []line
	}{
		"Succeeded": {
			"Phases lie below the delivery, evaluations below their phase; a warning is no error.",
			delivered(), []lifecyclev1.KeptnEvaluation{evaluation()},
			[]line{
				{root, "", at(0).Time, at(100).Time, ok, []string{"error ratio 0.7 %"}},
				{"AppDeploy", root, at(0).Time, at(30).Time, ok, []string{"3 of 3 replicas run 4b825dc"}},
				{"AppSoak", root, at(30).Time, at(90).Time, ok, nil},
				{"AppPostDeployEvaluations", root, at(90).Time, at(100).Time, ok, []string{"error ratio 0.7 %"}},
				{"post-eval-checkout-slo-1", "AppPostDeployEvaluations", at(91).Time, at(99).Time, ok, []string{"error ratio 0.7 %"}},
			},
		},
		"EvaluationOfNoPhase": {
			"An evaluation of a kind that no phase runs lies below the delivery.",
			failed(), []lifecyclev1.KeptnEvaluation{evaluationOf("on-demand")},
			[]line{
				{root, "", at(0).Time, at(30).Time, sdktrace.Status{Code: codes.Error, Description: "1 of 3 replicas available after 5m"}, []string{"1 of 3 replicas available after 5m"}},
				{"AppDeploy", root, at(0).Time, at(30).Time, sdktrace.Status{Code: codes.Error, Description: "1 of 3 replicas available after 5m"}, []string{"1 of 3 replicas available after 5m"}},
				{"post-eval-checkout-slo-1", root, at(91).Time, at(99).Time, ok, []string{"error ratio 0.7 %"}},
			},
		},
		"Failed": {
			"What failed says why, and a phase that never ran is not in the trace.",
			failed(), nil,
			[]line{
				{root, "", at(0).Time, at(30).Time, sdktrace.Status{Code: codes.Error, Description: "1 of 3 replicas available after 5m"}, []string{"1 of 3 replicas available after 5m"}},
				{"AppDeploy", root, at(0).Time, at(30).Time, sdktrace.Status{Code: codes.Error, Description: "1 of 3 replicas available after 5m"}, []string{"1 of 3 replicas available after 5m"}},
			},
		},
		"Inconclusive": {
			"A gate that could not decide needs somebody to look, as an error does.",
			undecided(), nil,
			[]line{
				{root, "", at(0).Time, at(100).Time, sdktrace.Status{Code: codes.Error, Description: "errors: no data"}, []string{"errors: no data"}},
				{"AppPostDeployEvaluations", root, at(90).Time, at(100).Time, sdktrace.Status{Code: codes.Error, Description: "errors: no data"}, []string{"errors: no data"}},
			},
		},
		"Superseded": {
			"Being given up for a newer delivery is neither success nor error.",
			superseded(), nil,
			[]line{
				{root, "", at(0).Time, at(45).Time, sdktrace.Status{}, []string{"superseded by 8d1c8b6"}},
				{"AppDeploy", root, at(0).Time, at(30).Time, ok, []string{"3 of 3 replicas run 4b825dc"}},
				{"AppSoak", root, at(30).Time, at(45).Time, sdktrace.Status{}, []string{"superseded by 8d1c8b6"}},
			},
		},
		"Running": {
			"A delivery that has not ended has no trace yet.",
			running(), nil, nil,
		},
		"Unfinished": {
			"What a delivery left running when it ended, ended with it, and an end before the start is cut.",
			unfinished(), []lifecyclev1.KeptnEvaluation{unfinishedEvaluation(), neverRan()},
			[]line{
				{root, "", at(50).Time, at(50).Time, ok, []string{"3 of 3 replicas run 4b825dc"}},
				{"AppDeploy", root, at(40).Time, at(50).Time, sdktrace.Status{}, []string{"3 of 3 replicas run 4b825dc"}},
				{"post-eval-checkout-slo-1", root, at(91).Time, at(91).Time, sdktrace.Status{}, nil},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, lines(spansOf(t, tc.evaluations, tc.kav))); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// running is delivered, before its end.
func running() *lifecyclev1.KeptnAppVersion {
	kav := delivered()
	kav.Status.EndTime.Reset()
	return kav
}

// unfinished ended in the middle of a rollout, and lost its own start.
func unfinished() *lifecyclev1.KeptnAppVersion {
	kav := delivered()
	kav.Status.StartTime.Reset()
	kav.Status.EndTime = at(50)
	kav.Status.Phases = kav.Status.Phases[:1]
	kav.Status.Phases[0].State = lifecyclev1.StateProgressing
	kav.Status.Phases[0].StartTime, kav.Status.Phases[0].EndTime = ptr(at(40)), nil
	return kav
}

func unfinishedEvaluation() lifecyclev1.KeptnEvaluation {
	e := evaluation()
	e.Status.EndTime.Reset()
	e.Status.OverallStatus, e.Status.Summary = lifecyclev1.StateProgressing, ""
	return e
}

func evaluationOf(kind lifecyclev1.CheckType) lifecyclev1.KeptnEvaluation {
	e := evaluation()
	e.Spec.Type = kind
	return e
}

func neverRan() lifecyclev1.KeptnEvaluation {
	e := evaluation()
	e.Status = lifecyclev1.KeptnEvaluationStatus{}
	return e
}

func TestSpansCarryKeptnsAttributesAndTheCommit(t *testing.T) {
	spans := spansOf(t, []lifecyclev1.KeptnEvaluation{evaluation()}, delivered())
	common := map[attribute.Key]string{
		"keptn.deployment.app.name":      "checkout",
		"keptn.deployment.app.version":   "4b825dc",
		"keptn.deployment.app.namespace": "shop",
		"deployment.environment.name":    "production",
		"vcs.ref.head.revision":          sha,
		"vcs.repository.url.full":        "https://git.example.com/acme/shop",
	}
	own := map[string]map[attribute.Key]string{
		"checkout-4b825dc-1a2b3c4d": {"keptn.deployment.app.status": "Succeeded"},
		"post-eval-checkout-slo-1": {
			"keptn.deployment.evaluation.name":   "post-eval-checkout-slo-1",
			"keptn.deployment.evaluation.type":   "post-eval",
			"keptn.deployment.evaluation.status": "Warning",
		},
	}
	for _, s := range spans {
		want := map[attribute.Key]string{}
		for _, attributes := range []map[attribute.Key]string{common, own[s.Name]} {
			for k, v := range attributes {
				want[k] = v
			}
		}
		got := map[attribute.Key]string{}
		for _, kv := range s.Attributes {
			got[kv.Key] = kv.Value.AsString()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("attributes of %s, -want +got:\n%s", s.Name, diff)
		}
	}
}

func TestWritingATraceAgainMakesTheSameSpans(t *testing.T) {
	evaluations := []lifecyclev1.KeptnEvaluation{evaluation()}
	once := spansOf(t, evaluations, delivered())
	afterRestart := spansOf(t, evaluations, delivered())
	if diff := cmp.Diff(contexts(once), contexts(afterRestart)); diff != "" {
		t.Errorf("ids changed, -first +second:\n%s", diff)
	}
	seen := map[trace.SpanID]string{}
	for _, s := range once {
		if other, dup := seen[s.SpanContext.SpanID()]; dup {
			t.Errorf("%s and %s have the same span id", s.Name, other)
		}
		seen[s.SpanContext.SpanID()] = s.Name
	}
}

func contexts(spans tracetest.SpanStubs) []string {
	var out []string
	for _, s := range spans {
		out = append(out, s.Name+" "+s.SpanContext.TraceID().String()+" "+s.SpanContext.SpanID().String())
	}
	return out
}

func TestAnotherDeliveryOfTheSameNameIsAnotherTrace(t *testing.T) {
	second := delivered()
	second.UID = "c0ffee00-0000-4000-8000-000000000001"
	spans := spansOf(t, nil, delivered(), second)
	if first, last := spans[0].SpanContext.TraceID(), spans[len(spans)-1].SpanContext.TraceID(); first == last {
		t.Errorf("both deliveries are in trace %s", first)
	}
}

func TestTraceparentNamesTheRootSpan(t *testing.T) {
	carrier := propagation.MapCarrier{"traceparent": telemetry.Traceparent(uid)}
	got := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(t.Context(), carrier))
	want := spansOf(t, nil, delivered())[0].SpanContext
	if want := "00-90cbb52ec3cd5f5364882cbc4a44cb70-3c05e127e7c2413b-01"; carrier["traceparent"] != want {
		t.Errorf("Traceparent = %q, want %q, by sha256sum of the UID", carrier["traceparent"], want)
	}
	if !got.IsValid() || got.TraceID() != want.TraceID() || got.SpanID() != want.SpanID() || !got.IsSampled() {
		t.Errorf("Traceparent = %q, want the context of the root span, %s-%s, sampled", carrier["traceparent"], want.TraceID(), want.SpanID())
	}
}

func TestADeliverysTraceIsItsOwnAlsoWithinAnother(t *testing.T) {
	memory := tracetest.NewInMemoryExporter()
	tracer, err := telemetry.NewTracer(t.Context(), "v1.2.3", logr.Discard(), telemetry.WithSpanExporter(keeping{memory}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := sdktrace.NewTracerProvider().Tracer("reconciler").Start(t.Context(), "reconcile")
	defer span.End()
	tracer.Delivery(ctx, failed(), nil)
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if root := memory.GetSpans()[0]; root.Parent.IsValid() || root.SpanContext.TraceID() == span.SpanContext().TraceID() {
		t.Errorf("the delivery's root span hangs below %s of trace %s", root.Parent.SpanID(), root.SpanContext.TraceID())
	}
}
