// Package metricstest gathers every metric that the controller exports, with every label
// and every value of those that have few, for tests of what reads metrics: boards, alerts
// and pages. It lets the real code tell of records of each kind; nothing is listed here.
package metricstest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/telemetry"
	"github.com/keptn/gitops/telemetry/event"
	"github.com/keptn/gitops/telemetry/metric"
	"github.com/keptn/gitops/telemetry/record"
	"github.com/keptn/gitops/telemetry/recordtest"
	"github.com/keptn/gitops/telemetry/trace"
)

// Gather returns all that is at port 8080: what telemetry tells of deliveries, and what
// controller-runtime tells of a controller and its queue.
func Gather(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	t.Setenv("OTEL_SDK_DISABLED", "true") // whatever the machine's own environment asks for
	registry := prometheus.NewRegistry()
	metrics, err := metric.New(t.Context(), "1.2.3", registry, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	tell(t, metrics)
	sendEvents(t, metrics)
	exportSpans(t, metrics)
	for _, outcome := range []forge.Outcome{forge.Sent, forge.Adopted, forge.Superseded, forge.Retrying, forge.Failed} {
		metrics.CommitStatus(t.Context(), "git.example.com", strings.ToLower(string(outcome)))
	}
	control(t)
	families, err := prometheus.Gatherers{registry, ctrlmetrics.Registry}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// ends are all states in which something can end.
func ends() []lifecyclev1.KeptnState {
	return []lifecyclev1.KeptnState{
		lifecyclev1.StateSucceeded, lifecyclev1.StateWarning, lifecyclev1.StateFailed,
		lifecyclev1.StateUnknown, lifecyclev1.StateDeprecated,
	}
}

// tell tells of a delivery of an app and of a workload, of a task and of an evaluation,
// with each of their ends, and shows gauges of them.
func tell(t *testing.T, metrics *metric.Metrics) {
	t.Helper()
	app, workload := recordtest.Delivered(), recordtest.Workload()
	task, evaluation := recordtest.Task(), recordtest.Evaluation()
	app.Spec.PromotionTasks = []string{"promote"}
	app.Status.Phases = append(app.Status.Phases, lifecyclev1.PhaseRecord{
		Name: lifecyclev1.PhasePromotion, StartTime: recordtest.Ptr(recordtest.At(98)), EndTime: recordtest.Ptr(recordtest.At(100)),
	})
	app.Spec.PreviousVersion = "0"
	for _, end := range ends() {
		app.Status.Status, workload.Status.Status, task.Status.Status, evaluation.Status.OverallStatus = end, end, end, end
		app.Status.Phases[len(app.Status.Phases)-1].State = end
		metrics.Delivery(t.Context(), record.OfApp(nil), record.OfApp(app))
		metrics.Delivery(t.Context(), record.OfWorkload(nil, app), record.OfWorkload(workload, app))
		metrics.Task(t.Context(), &lifecyclev1.KeptnTask{}, &task)
		metrics.Evaluation(t.Context(), nil, &evaluation)
	}
	before, workloadBefore := app.DeepCopy(), workload.DeepCopy()
	before.UID, before.Spec.Version, before.Status.StartTime, before.Status.EndTime = "before", "0", recordtest.At(-100), recordtest.At(-50)
	workloadBefore.UID, workloadBefore.Spec.Version = "before", workload.Spec.PreviousVersion
	workloadBefore.Status.StartTime, workloadBefore.Status.EndTime = recordtest.At(-100), recordtest.At(-50)
	metrics.Observe(metric.Sources{
		Records: func(context.Context) (metric.Records, error) {
			return metric.Records{
				Apps:      []lifecyclev1.KeptnAppVersion{*app, *before},
				Workloads: []lifecyclev1.KeptnWorkloadVersion{*workload, *workloadBefore},
				Tasks:     []lifecyclev1.KeptnTask{task}, Evaluations: []lifecyclev1.KeptnEvaluation{evaluation},
			}, nil
		},
		DORA: func(context.Context) ([]metric.DORA, error) {
			return []metric.DORA{{App: "checkout", Namespace: "shop", Environment: "production", Window: "30d"}}, nil
		},
	})
}

// receiver takes one request, and refuses the next.
type receiver struct{ requests int }

func (r *receiver) RoundTrip(request *http.Request) (*http.Response, error) {
	r.requests++
	code := http.StatusOK
	if r.requests > 1 {
		code = http.StatusBadRequest
	}
	return &http.Response{StatusCode: code, Body: http.NoBody, Request: request}, nil
}

// sendEvents sends more events than can wait.
func sendEvents(t *testing.T, metrics *metric.Metrics) {
	t.Helper()
	teller := &telemetry.Teller{}
	var err error
	options := func() []event.Option {
		return []event.Option{event.WithTransport(&receiver{}), event.WithMeterProvider(metrics.MeterProvider())}
	}
	if teller.Events, err = event.NewEvents("http://broker.example.com", logr.Discard(), options()...); err != nil {
		t.Fatal(err)
	}
	if teller.Flux, err = event.NewFlux("http://flux.example.com", logr.Discard(), options()...); err != nil {
		t.Fatal(err)
	}
	for range 1100 {
		teller.App(t.Context(), nil, recordtest.Delivered(), record.Facts{})
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := teller.Start(stopped); err != nil { // which sends what waits
		t.Fatal(err)
	}
}

// collector takes the first spans once it is let, and then none.
type collector struct {
	sdktrace.SpanExporter
	let   chan struct{}
	takes bool
}

func (c *collector) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	<-c.let
	if c.takes = !c.takes; c.takes {
		return nil
	}
	return errors.New("the collector is full")
}

func (*collector) Shutdown(context.Context) error { return nil }

// exportSpans exports more spans than can wait.
func exportSpans(t *testing.T, metrics *metric.Metrics) {
	t.Helper()
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "2")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	c := &collector{let: make(chan struct{})}
	tracer, err := trace.New(t.Context(), "1.2.3", logr.Discard(), trace.WithSpanExporter(c), trace.WithMeterProvider(metrics.MeterProvider()))
	if err != nil {
		t.Fatal(err)
	}
	tracer.Delivery(t.Context(), record.OfApp(nil), record.OfApp(recordtest.Delivered()), record.Facts{})
	close(c.let)
	if err := tracer.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Lease is the name of the lease that the controller holds.
const Lease = "keptn-gitops"

// control runs a controller that has nothing to do, and stands for election.
func control(t *testing.T) {
	t.Helper()
	skip := true // another test of the process may have had one of this name
	c, err := controller.NewUnmanaged("gitsource", controller.Options{
		SkipNameValidation: &skip,
		LogConstructor:     func(*reconcile.Request) logr.Logger { return logr.Discard() },
		Reconciler: reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) {
			return reconcile.Result{}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := c.Start(stopped); err != nil {
		t.Fatal(err)
	}
	_, err = leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Name: Lease, Lock: &resourcelock.LeaseLock{LockConfig: resourcelock.ResourceLockConfig{Identity: "test"}}, LeaseDuration: 3, RenewDeadline: 2, RetryPeriod: 1,
		Callbacks: leaderelection.LeaderCallbacks{OnStartedLeading: func(context.Context) {}, OnStoppedLeading: func() {}},
	})
	if err != nil {
		t.Fatal(err)
	}
}
