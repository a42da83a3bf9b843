package telemetry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/event"
	"github.com/keptn/gitops/telemetry/metric"
	"github.com/keptn/gitops/telemetry/record"
	"github.com/keptn/gitops/telemetry/trace"
)

// Family is a family of CloudEvents, see package event.
type Family string

// The families.
const (
	// FamilyDelivery are our own events, of every transition.
	FamilyDelivery Family = "delivery"
	// FamilyKeptn are Keptn's, one for each Kubernetes event.
	FamilyKeptn Family = "keptn"
	// FamilyCDEvents are CDEvents.
	FamilyCDEvents Family = "cdevents"
)

// Options say who is told. Traces, and metrics that are pushed, are configured by
// OpenTelemetry's environment variables alone, see package otlp.
type Options struct {
	// Version of the program.
	Version string
	// Registerer is where metrics show for Prometheus.
	Registerer prometheus.Registerer
	Log        logr.Logger
	// CloudEvents are posted to Endpoint, where it is set.
	CloudEvents CloudEvents
	// FluxAddress is where Flux's notification-controller takes events; empty: none.
	FluxAddress string
}

// CloudEvents say which are sent, and how.
type CloudEvents struct {
	// Endpoint is an absolute http or https URL; empty: none are sent.
	Endpoint string
	// Families that are sent; none: FamilyDelivery.
	Families []Family
	// Mode is how they are written. The default is event.Binary.
	Mode event.Mode
	// TokenFile holds the receiver's bearer token; empty: none.
	TokenFile string
}

// ParseFamilies reads a list of families that commas separate.
func ParseFamilies(list string) ([]Family, error) {
	var families []Family
	for name := range strings.SplitSeq(list, ",") {
		switch family := Family(strings.TrimSpace(name)); family {
		case FamilyDelivery, FamilyKeptn, FamilyCDEvents:
			families = append(families, family)
		default:
			return nil, fmt.Errorf("%q is no family of CloudEvents; write %s, %s or %s, with commas between several", name, FamilyDelivery, FamilyKeptn, FamilyCDEvents)
		}
	}
	return families, nil
}

// Teller tells whoever is configured. Its methods never block and are safe for
// concurrent use; nil tells nobody, and so does a part that is nil.
//
// Every method that takes what was before and what is after is to be called once for
// each write of a record that succeeded, with the record as it was read and as it was
// written: then each change is told once, also over restarts.
type Teller struct {
	Tracer  *trace.Tracer
	Metrics *metric.Metrics
	Events  *event.Events
	// Families of the events; none: FamilyDelivery.
	Families []Family
	Flux     *event.Flux
}

// New returns a Teller that tells whoever the options and the environment name. It fails
// where they ask for what cannot be had; no error quotes a password.
func New(ctx context.Context, o Options) (*Teller, error) {
	t := &Teller{Families: o.CloudEvents.Families}
	var err error
	if t.Metrics, err = metric.New(ctx, o.Version, o.Registerer, o.Log.WithName("metrics")); err != nil {
		return nil, err
	}
	meters := t.Metrics.MeterProvider()
	if t.Tracer, err = trace.New(ctx, o.Version, o.Log.WithName("traces"), trace.WithMeterProvider(meters)); err != nil {
		return nil, err
	}
	options := []event.Option{event.WithMeterProvider(meters)}
	if t.Flux, err = event.NewFlux(o.FluxAddress, o.Log.WithName("flux"), options...); err != nil {
		return nil, err
	}
	if o.CloudEvents.TokenFile != "" {
		options = append(options, event.WithTokenFile(o.CloudEvents.TokenFile))
	}
	if o.CloudEvents.Mode != "" {
		options = append(options, event.WithMode(o.CloudEvents.Mode))
	}
	t.Events, err = event.NewEvents(o.CloudEvents.Endpoint, o.Log.WithName("cloudevents"), options...)
	return t, err
}

// Traces says whether traces go anywhere: then it is of use to hand trace parents on.
func (t *Teller) Traces() bool { return t != nil && t.Tracer.Exports() }

// Observe sets what the gauges show.
func (t *Teller) Observe(s metric.Sources) {
	if t != nil {
		t.Metrics.Observe(s)
	}
}

// App tells of a change of the record of an app's delivery. Nil before is a delivery
// that nothing was known of. The facts are needed where [AppNeedsFacts] says so.
func (t *Teller) App(ctx context.Context, before, after *lifecyclev1.KeptnAppVersion, facts record.Facts) {
	t.delivery(ctx, record.OfApp(before), record.OfApp(after), facts)
}

// Workload tells of a change of the record of a workload's delivery, which is part of
// the delivery of an app, if that is not nil. The facts are needed where
// [WorkloadNeedsFacts] says so.
func (t *Teller) Workload(ctx context.Context, before, after *lifecyclev1.KeptnWorkloadVersion, app *lifecyclev1.KeptnAppVersion, facts record.Facts) {
	t.delivery(ctx, record.OfWorkload(before, app), record.OfWorkload(after, app), facts)
}

func (t *Teller) delivery(ctx context.Context, before, after record.Delivery, facts record.Facts) {
	if t == nil {
		return
	}
	t.Tracer.Delivery(ctx, before, after, facts)
	t.Metrics.Delivery(ctx, before, after)
	if t.sends(FamilyDelivery) {
		t.Events.Send(ctx, event.OfDelivery(before, after)...)
	}
	if t.sends(FamilyCDEvents) {
		t.Events.Send(ctx, event.CDEventsOf(before, after, facts)...)
	}
	if t.Flux.On() {
		t.Flux.Send(ctx, event.OfFlux(before, after, facts)...)
	}
}

// Task tells of a change of a task. Its span is written with that of its phase.
func (t *Teller) Task(ctx context.Context, before, after *lifecyclev1.KeptnTask) {
	if t == nil {
		return
	}
	t.Metrics.Task(ctx, before, after)
	if t.sends(FamilyDelivery) {
		t.Events.Send(ctx, event.OfTask(before, after)...)
	}
}

// Evaluation tells of a change of an evaluation. Its span is written with that of its
// phase.
func (t *Teller) Evaluation(ctx context.Context, before, after *lifecyclev1.KeptnEvaluation) {
	if t == nil {
		return
	}
	t.Metrics.Evaluation(ctx, before, after)
	if t.sends(FamilyDelivery) {
		t.Events.Send(ctx, event.OfEvaluation(before, after)...)
	}
}

// CommitStatus counts an attempt to have the host of a forge show a status of a commit, by
// what became of it.
func (t *Teller) CommitStatus(ctx context.Context, host, outcome string) {
	if t != nil {
		t.Metrics.CommitStatus(ctx, host, outcome)
	}
}

// KubernetesEvent tells of a Kubernetes event in Keptn's words.
func (t *Teller) KubernetesEvent(ctx context.Context, told event.Told) {
	if t.sends(FamilyKeptn) {
		t.Events.Send(ctx, event.OfKubernetes(told))
	}
}

// Incident tells that an incident was detected or resolved.
func (t *Teller) Incident(ctx context.Context, i event.Incident) {
	if t.sends(FamilyCDEvents) {
		t.Events.Send(ctx, event.OfIncident(i))
	}
}

// sends says whether events of a family are sent.
func (t *Teller) sends(family Family) bool {
	if t == nil || !t.Events.On() {
		return false
	}
	return slices.Contains(t.Families, family) || len(t.Families) == 0 && family == FamilyDelivery
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica takes
// incidents in, and tells of those.
func (t *Teller) NeedLeaderElection() bool { return false }

// Start sends what is told until the context ends, and for up to five seconds more what
// is left.
func (t *Teller) Start(ctx context.Context) error {
	if t == nil {
		return nil
	}
	var running sync.WaitGroup
	if t.Events.On() {
		running.Go(func() { _ = t.Events.Start(ctx) }) // which has no error
	}
	if t.Flux.On() {
		running.Go(func() { _ = t.Flux.Start(ctx) })
	}
	<-ctx.Done()
	running.Wait()
	return nil
}

// Shutdown exports what waits of traces, and of metrics where those are pushed. It gives
// up when the context ends, and returns its error. Meanwhile it sends, for up to five
// seconds, what was told since Start ended: a manager stops what needs no election before
// the controllers and servers that tell.
func (t *Teller) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() { _ = t.Start(over) }) // which has no error
	return errors.Join(t.Tracer.Shutdown(ctx), t.Metrics.Shutdown(ctx))
}

// LogValues are keys and values for a logger that speaks of a delivery: its commit, and
// by trace_id and span_id its trace where there is one, as log stores expect it.
func (t *Teller) LogValues(d record.Delivery) []any {
	var values []any
	if t.Traces() {
		root := d.Root()
		values = append(values, "trace_id", root.TraceID().String(), "span_id", root.SpanID().String())
	}
	if d.Commit != nil {
		values = append(values, "commit", d.Commit.SHA)
	}
	return values
}
