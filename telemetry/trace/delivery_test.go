package trace_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/record"
	"github.com/keptn/gitops/telemetry/recordtest"
	"github.com/keptn/gitops/telemetry/trace"
)

// keeping is an in-memory exporter that keeps its spans over its shutdown.
type keeping struct{ *tracetest.InMemoryExporter }

func (keeping) Shutdown(context.Context) error { return nil }

// a change is a step in the life of a delivery.
type change struct {
	before, after record.Delivery
	facts         record.Facts
}

func whole(kav *lifecyclev1.KeptnAppVersion, evaluations ...lifecyclev1.KeptnEvaluation) change {
	return change{record.OfApp(nil), record.OfApp(kav), record.Facts{Evaluations: evaluations}}
}

// spansOf tells of changes, by a new Tracer as after a restart for each, and returns the
// spans.
func spansOf(t *testing.T, changes ...change) tracetest.SpanStubs {
	t.Helper()
	memory := tracetest.NewInMemoryExporter()
	for _, c := range changes {
		tracer, err := trace.New(t.Context(), "v1.2.3", logr.Discard(), trace.WithSpanExporter(keeping{memory}))
		if err != nil {
			t.Fatal(err)
		}
		tracer.Delivery(t.Context(), c.before, c.after, c.facts)
		if err := tracer.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
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
	names := map[oteltrace.SpanID]string{}
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

const root = "checkout-4b825dc-1a2b3c4d"

var ok = sdktrace.Status{Code: codes.Ok}

func failed(why string) sdktrace.Status { return sdktrace.Status{Code: codes.Error, Description: why} }

func at(seconds int) time.Time { return recordtest.At(seconds).Time }

func TestATraceTellsWhatTheRecordHolds(t *testing.T) {
	const stuck = "1 of 3 replicas available after 5m"
	deploy := line{"AppDeploy", root, at(0), at(30), ok, []string{"App Deployment has succeeded", "3 of 3 replicas run 4b825dc"}}
	notDeployed := line{"AppDeploy", root, at(0), at(30), failed(stuck), []string{"App Deployment has failed", stuck}}
	cases := map[string]struct {
		reason string
		kav    *lifecyclev1.KeptnAppVersion
		facts  []lifecyclev1.KeptnEvaluation
		want   []line
	}{
		"Succeeded": {
			"Phases lie below the delivery, evaluations below their phase; a warning is no error.",
			recordtest.Delivered(), []lifecyclev1.KeptnEvaluation{recordtest.Evaluation()},
			[]line{
				deploy,
				{"AppSoak", root, at(30), at(90), ok, []string{"App Soak has succeeded"}},
				{"AppPostDeployEvaluations", root, at(90), at(100), ok, []string{"App Post-Deployment Evaluations has succeeded", "error ratio 0.7 %"}},
				{"post-eval-checkout-slo-1", "AppPostDeployEvaluations", at(91), at(99), ok, []string{"error ratio 0.7 %"}},
				{root, "", at(0), at(100), ok, []string{root + " has finished", "error ratio 0.7 %"}},
			},
		},
		"Failed": {
			"What failed says why, and a phase that never ran is not in the trace.",
			recordtest.Failed(), nil,
			[]line{notDeployed, {root, "", at(0), at(30), failed(stuck), []string{root + " has failed", stuck}}},
		},
		"Inconclusive": {
			"A gate that could not decide needs somebody to look, as an error does.",
			recordtest.Undecided(), nil,
			[]line{
				{"AppPostDeployEvaluations", root, at(90), at(100), failed("errors: no data"), []string{"App Post-Deployment Evaluations has failed", "errors: no data"}},
				{"post-eval-checkout-slo-1", "AppPostDeployEvaluations", at(91), at(99), ok, nil},
				{root, "", at(0), at(100), failed("errors: no data"), []string{root + " has failed", "errors: no data"}},
			},
		},
		"Superseded": {
			"Being given up for a newer delivery is neither success nor error.",
			recordtest.Superseded(), nil,
			[]line{
				deploy,
				{"AppSoak", root, at(30), at(45), sdktrace.Status{}, []string{"superseded by 8d1c8b6"}},
				{root, "", at(0), at(45), sdktrace.Status{}, []string{"superseded by 8d1c8b6"}},
			},
		},
		"Unfinished": {
			"What a delivery left running when it ended, ended with it, and an end before the start is cut.",
			unfinished(), nil,
			[]line{
				{"AppDeploy", root, at(40), at(50), sdktrace.Status{}, []string{"3 of 3 replicas run 4b825dc"}},
				{root, "", at(50), at(50), ok, []string{root + " has finished", "3 of 3 replicas run 4b825dc"}},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, lines(spansOf(t, whole(tc.kav, tc.facts...)))); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// unfinished ended in the middle of a rollout, and lost its own start.
func unfinished() *lifecyclev1.KeptnAppVersion {
	kav := recordtest.Delivered()
	kav.Status.StartTime.Reset()
	kav.Status.EndTime = recordtest.At(50)
	kav.Status.Phases = kav.Status.Phases[:1]
	kav.Status.Phases[0].State = lifecyclev1.StateProgressing
	kav.Status.Phases[0].StartTime, kav.Status.Phases[0].EndTime = recordtest.Ptr(recordtest.At(40)), nil
	return kav
}

// steps are the changes of a delivery that is told of after each phase.
func steps(kav *lifecyclev1.KeptnAppVersion, facts record.Facts) []change {
	var all []change
	before := record.OfApp(nil)
	for n := range kav.Status.Phases {
		step := kav.DeepCopy()
		step.Status.Phases = step.Status.Phases[:n+1]
		if n < len(kav.Status.Phases)-1 {
			step.Status.EndTime.Reset()
		}
		after := record.OfApp(step)
		all = append(all, change{before, after, facts})
		before = after
	}
	return all
}

func TestASpanIsExportedOnceWhenItEndsAlsoOverRestarts(t *testing.T) {
	facts := record.Facts{Evaluations: []lifecyclev1.KeptnEvaluation{recordtest.Evaluation()}}
	atOnce := lines(spansOf(t, whole(recordtest.Delivered(), recordtest.Evaluation())))
	stepByStep := lines(spansOf(t, steps(recordtest.Delivered(), facts)...))
	if diff := cmp.Diff(atOnce, stepByStep); diff != "" {
		t.Errorf("-at once +step by step:\n%s", diff)
	}
	if got := spansOf(t, change{record.OfApp(recordtest.Delivered()), record.OfApp(recordtest.Delivered()), facts}); len(got) != 0 {
		t.Errorf("what had ended before was exported again: %v", lines(got))
	}
}

func TestPhasesAreExportedWhileTheDeliveryGoesOn(t *testing.T) {
	first := steps(recordtest.Delivered(), record.Facts{})[:1]
	got := spansOf(t, first...)
	if len(got) != 1 || got[0].Name != "AppDeploy" || got[0].Parent.SpanID() != first[0].after.Root().SpanID() {
		t.Errorf("exported %v, want the rollout, below a root that comes later", lines(got))
	}
}

func TestARetryIsToldBesideTheFirstAttempt(t *testing.T) {
	failed, retrying := record.OfApp(recordtest.Failed()), record.OfApp(recordtest.Retrying())
	spans := spansOf(t,
		whole(recordtest.Failed()),
		change{before: failed, after: retrying},
		change{before: retrying, after: record.OfApp(recordtest.Retried())})
	type placed struct{ Name, Parent string }
	var got []placed
	ids := map[oteltrace.SpanID]string{}
	for i, l := range lines(spans) {
		got = append(got, placed{l.Name, l.Parent})
		if other, twice := ids[spans[i].SpanContext.SpanID()]; twice {
			t.Errorf("%s and %s have the same id", other, l.Name)
		}
		ids[spans[i].SpanContext.SpanID()] = l.Name
		if spans[i].SpanContext.TraceID() != spans[0].SpanContext.TraceID() {
			t.Errorf("%s is in another trace", l.Name)
		}
	}
	retry := root + " (retry 1)"
	want := []placed{
		{"AppDeploy", root}, {root, ""},
		{"AppDeploy", retry}, {"AppSoak", retry}, {"AppPostDeployEvaluations", retry},
		{"post-eval-checkout-slo-1", "AppPostDeployEvaluations"}, {retry, root},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	last := spans[len(spans)-1]
	if last.StartTime != at(200) || last.EndTime != at(300) || last.Status.Code != codes.Ok {
		t.Errorf("the retry is from %s to %s with %v, want its own times and result", last.StartTime, last.EndTime, last.Status)
	}
	if len(last.Links) != 1 || last.Links[0].SpanContext.SpanID() != failed.Root().SpanID() {
		t.Errorf("the retry has the links %v, want one to the attempt before", last.Links)
	}
}

func TestAWorkloadIsToldBelowTheRolloutOfItsApp(t *testing.T) {
	app := recordtest.Delivered()
	facts := record.Facts{Tasks: []lifecyclev1.KeptnTask{recordtest.Task()}}
	spans := spansOf(t,
		change{record.OfWorkload(nil, app), record.OfWorkload(recordtest.Workload(), app), facts}, whole(app))
	const why = "migrate: it crashed"
	want := []line{
		{"checkout-web/WorkloadPreDeployTasks", "checkout-web-1.2", at(0), at(25), failed(why), []string{"Workload Pre-Deployment Tasks has failed", why}},
		{"pre-migrate-1", "checkout-web/WorkloadPreDeployTasks", at(1), at(21), failed("it crashed"), []string{"task 'pre-migrate-1' failed with reason: 'it crashed'", "it crashed"}},
		{"checkout-web-1.2", "AppDeploy", at(0), at(25), failed(why), []string{"WorkloadVersion Pre-Deployment Tasks started", "checkout-web-1.2 has failed", why}},
	}
	if diff := cmp.Diff(want, lines(spans)[:3]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	alone := spansOf(t, change{record.OfWorkload(nil, nil), record.OfWorkload(recordtest.Workload(), nil), facts})
	if last := alone[len(alone)-1]; last.Parent.IsValid() {
		t.Errorf("a workload of no app lies below %s, want a root", last.Parent.SpanID())
	}
}

func TestSpansCarryKeptnsAttributes(t *testing.T) {
	evaluation := recordtest.Evaluation()
	evaluation.Status.RetryCount, evaluation.Status.Score, evaluation.Status.MaxScore = 1, "80", "100"
	spans := slices.Concat(
		spansOf(t, whole(recordtest.Delivered(), evaluation)),
		spansOf(t, change{record.OfWorkload(nil, nil), record.OfWorkload(recordtest.Workload(), nil), record.Facts{Tasks: []lifecyclev1.KeptnTask{recordtest.Task()}}}))
	want := map[string]map[string]string{
		root:               {"keptn.deployment.app.status": "Succeeded"},
		"checkout-web-1.2": {"keptn.deployment.workload.status": "Failed"},
		"post-eval-checkout-slo-1": {
			"keptn.deployment.evaluation.name": "post-eval-checkout-slo-1", "keptn.deployment.evaluation.type": "post-eval",
			"keptn.deployment.evaluation.status": "Warning", "keptn.deployment.evaluation.definition": "checkout-slo",
			"keptn.deployment.evaluation.retries": "1", "keptn.deployment.evaluation.score": "80/100",
		},
		"pre-migrate-1": {
			"keptn.deployment.task.name": "pre-migrate-1", "keptn.deployment.task.type": "pre", "keptn.deployment.task.status": "Failed",
			"keptn.deployment.task.definition": "migrate", "keptn.deployment.task.exit_code": "3", "keptn.deployment.task.retries": "2",
		},
	}
	for _, s := range spans {
		common := record.OfApp(recordtest.Delivered()).Attributes()
		if s.Name == "pre-migrate-1" || s.Name == "checkout-web-1.2" || s.Name == "checkout-web/WorkloadPreDeployTasks" {
			common = record.OfWorkload(recordtest.Workload(), nil).Attributes()
		}
		if diff := cmp.Diff(texts(common), texts(s.Attributes[:len(common)])); diff != "" {
			t.Errorf("%s: what all have in common, -want +got:\n%s", s.Name, diff)
		}
		if diff := cmp.Diff(want[s.Name], texts(s.Attributes[len(common):])); diff != "" {
			t.Errorf("%s: its own, -want +got:\n%s", s.Name, diff)
		}
		if s.SpanKind != oteltrace.SpanKindConsumer {
			t.Errorf("%s has kind %s, want Keptn's", s.Name, s.SpanKind)
		}
	}
}

func texts(kvs []attribute.KeyValue) map[string]string {
	var all map[string]string
	for _, kv := range kvs {
		if all == nil {
			all = map[string]string{}
		}
		all[string(kv.Key)] = kv.Value.String()
	}
	return all
}

func TestAnEvaluationTellsWhichObjectivesFailed(t *testing.T) {
	e := recordtest.Evaluation()
	e.Status.OverallStatus = lifecyclev1.StateFailed
	e.Status.EvaluationStatus = map[string]lifecyclev1.EvaluationStatusItem{
		"latency": {Value: "10", Status: lifecyclev1.StateFailed, Message: "value '10' did not meet objective '<5'\n"},
		"errors":  {Value: "1", Status: lifecyclev1.StateSucceeded},
	}
	for _, l := range lines(spansOf(t, whole(recordtest.Delivered(), e))) {
		if l.Name == e.Name {
			want := []string{"evaluation of 'latency' failed with value: '10' and reason: 'value '10' did not meet objective '<5''", "error ratio 0.7 %"}
			if diff := cmp.Diff(want, l.Events); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			return
		}
	}
	t.Error("the evaluation has no span")
}

func TestADeliveryIsLinkedToWhatLedToIt(t *testing.T) {
	const stage, pipeline = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-aaaaaaaaaaaaaaaa-01", "00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-bbbbbbbbbbbbbbbb-00"
	kav := recordtest.Delivered()
	kav.Spec.SpanLinks = []string{stage, "nonsense"}
	kav.Spec.Commit.Trailers = map[string][]string{"traceparent": {pipeline}, "signed-off-by": {"me"}}
	spans := spansOf(t, whole(kav))
	var got []string
	for _, link := range spans[len(spans)-1].Links {
		got = append(got, link.SpanContext.TraceID().String()[:2]+" "+texts(link.Attributes)["opentracing.ref_type"])
	}
	if diff := cmp.Diff([]string{"aa follows-from", "bb follows-from"}, got); diff != "" {
		t.Errorf("links of the root, -want +got:\n%s", diff)
	}
	for _, s := range spans[:len(spans)-1] {
		if len(s.Links) > 0 {
			t.Errorf("%s has links, want them at the root alone", s.Name)
		}
	}
}

func TestADeliverysTraceGoesOnFromItsSpecAndFromNothingElse(t *testing.T) {
	const remote = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	within := recordtest.Failed()
	within.Spec.TraceID = map[string]string{"traceparent": remote}
	spans := spansOf(t, whole(within))
	last := spans[len(spans)-1]
	if last.Parent.SpanID().String() != "b7ad6b7169203331" || spans[0].SpanContext.TraceID().String() != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("the root lies below %s of trace %s, want what the spec names", last.Parent.SpanID(), last.SpanContext.TraceID())
	}

	memory := tracetest.NewInMemoryExporter()
	tracer, err := trace.New(t.Context(), "v1.2.3", logr.Discard(), trace.WithSpanExporter(keeping{memory}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := sdktrace.NewTracerProvider().Tracer("reconciler").Start(t.Context(), "reconcile")
	defer span.End()
	tracer.Delivery(ctx, record.OfApp(nil), record.OfApp(recordtest.Failed()), record.Facts{})
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	spans = memory.GetSpans()
	if last := spans[len(spans)-1]; last.Parent.IsValid() || last.SpanContext.TraceID() == span.SpanContext().TraceID() {
		t.Errorf("the root lies below the span that the context happened to be in")
	}
}

func TestTheTraceparentsNameTheSpans(t *testing.T) {
	d := record.OfApp(recordtest.Retried())
	spans := spansOf(t, change{before: record.OfApp(recordtest.Retrying()), after: d})
	for name, header := range map[string]string{
		root + " (retry 1)": d.Traceparent(),
		"AppDeploy":         d.PhaseTraceparent(lifecyclev1.PhaseAppDeploy), "AppSoak": d.PhaseTraceparent(lifecyclev1.PhaseAppSoak),
	} {
		i := slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return s.Name == name })
		if want := record.Remote(header); spans[i].SpanContext.SpanID() != want.SpanID() || spans[i].SpanContext.TraceID() != want.TraceID() {
			t.Errorf("%s is %s, its trace parent says %s", name, spans[i].SpanContext.SpanID(), header)
		}
	}
}
