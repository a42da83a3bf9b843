package record_test

import (
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/record"
	"github.com/keptn/gitops/telemetry/recordtest"
)

const pipeline = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTheTraceparentFollowsFromTheUID(t *testing.T) {
	got := record.OfApp(recordtest.Delivered()).Traceparent()
	if want := "00-90cbb52ec3cd5f5364882cbc4a44cb70-3c05e127e7c2413b-01"; got != want {
		t.Errorf("Traceparent = %q, want %q, by sha256sum of the UID", got, want)
	}
}

func TestEverySpanOfATraceHasAnIDOfItsOwn(t *testing.T) {
	first, second := record.OfApp(recordtest.Failed()), record.OfApp(recordtest.Retried())
	deploy := second.Progress.Phase(lifecyclev1.PhaseAppDeploy)
	soak := second.Progress.Phase(lifecyclev1.PhaseAppSoak)
	spans := []trace.SpanContext{
		first.Root(), second.Root(), first.PhaseSpan(first.Progress.Phase(lifecyclev1.PhaseAppDeploy)), second.PhaseSpan(deploy),
		second.PhaseSpan(soak), second.CheckSpan(lifecyclev1.PhaseAppPostDeployEvaluations, "post-eval-1"),
		record.OfWorkload(recordtest.Workload(), recordtest.Delivered()).Root(),
	}
	var seen []trace.SpanID
	for i, sc := range spans {
		if slices.Contains(seen, sc.SpanID()) || sc.TraceID() != first.Root().TraceID() || !sc.IsSampled() {
			t.Errorf("span %d is %s of trace %s, want its own of %s", i, sc.SpanID(), sc.TraceID(), first.Root().TraceID())
		}
		seen = append(seen, sc.SpanID())
	}
	if !second.Previous().Equal(first.Root()) || !second.Parent().Equal(first.Root()) || first.Previous().IsValid() || first.Parent().IsValid() {
		t.Error("the second attempt does not lie below the first, or the first below something")
	}
}

func TestTheTraceGoesOnFromWhatTheSpecNames(t *testing.T) {
	kav := recordtest.Delivered()
	kav.Spec.TraceID = map[string]string{"traceparent": pipeline, "tracestate": "vendor=x"}
	d := record.OfApp(kav)
	parent := d.Parent()
	if !parent.IsRemote() || parent.SpanID().String() != "b7ad6b7169203331" || parent.TraceState().String() != "vendor=x" {
		t.Errorf("parent is %+v", parent)
	}
	for name, header := range map[string]string{
		"root": d.Traceparent(), "phase": d.PhaseTraceparent(lifecyclev1.PhaseAppDeploy), "phase to come": d.PhaseTraceparent(lifecyclev1.PhasePromotion),
		"workload": record.OfWorkload(recordtest.Workload(), kav).Traceparent(),
	} {
		if !strings.HasPrefix(header, "00-0af7651916cd43dd8448eb211c80319c-") {
			t.Errorf("%s is %s, of another trace", name, header)
		}
	}
}

func TestAWorkloadLiesBelowTheRolloutOfItsApp(t *testing.T) {
	app, kwv := recordtest.Retried(), recordtest.Workload()
	kwv.Spec.TraceID = map[string]string{"traceparent": pipeline}
	deploy := record.OfApp(app).PhaseSpan(app.Status.Phase(lifecyclev1.PhaseAppDeploy))
	cases := map[string]struct {
		reason string
		got    trace.SpanContext
		want   trace.SpanContext
	}{
		"OfAnApp": {"The run of the app's rollout that it is part of goes before its own spec.", record.OfWorkload(kwv, app).Parent(), deploy},
		"Alone":   {"Without an app, what its spec names.", record.OfWorkload(kwv, nil).Parent(), record.Remote(pipeline)},
		"Nothing": {"A workload of no app is a root.", record.OfWorkload(recordtest.Workload(), nil).Parent(), trace.SpanContext{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if !tc.got.Equal(tc.want) {
				t.Errorf("%s\nparent is %+v, want %+v", tc.reason, tc.got, tc.want)
			}
		})
	}
}

func TestHeadersAreReadAsOpenTelemetryReadsThem(t *testing.T) {
	for _, header := range []string{
		pipeline, " " + pipeline + " ", "", "x", "00-0-0-01",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-zz",
	} {
		carrier := propagation.MapCarrier{"traceparent": strings.TrimSpace(header)}
		want := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(t.Context(), carrier))
		if got := record.Remote(header); !got.Equal(want) {
			t.Errorf("Remote(%q) = %+v, want %+v", header, got, want)
		}
	}
}

func FuzzWhatIsNoHeaderIsNotValid(f *testing.F) {
	f.Add(pipeline)
	f.Add("00--b7ad6b7169203331-01")
	f.Fuzz(func(t *testing.T, header string) {
		if sc := record.Remote(header); sc.IsValid() && !strings.Contains(strings.ToLower(header), sc.TraceID().String()) {
			t.Errorf("Remote(%q) is of trace %s", header, sc.TraceID())
		}
	})
}
