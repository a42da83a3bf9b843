// Package metrics keeps KeptnMetrics fresh and carries Analyses out. It joins the
// objects with the poller and the providers, and decides by package policy/metric
// and policy/analysis; how values are served is package serving's matter.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/provider"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/poll"
)

// MetricReconciler keeps the status of KeptnMetrics at what was measured last.
type MetricReconciler struct {
	client.Client

	Events    events.EventRecorder
	Providers *provider.Providers
	// Values is where the newest values are kept for those that are served.
	Values *Values

	poller *poll.Poller[types.NamespacedName, target]
	queue  atomic.Pointer[queue]
}

// A target is a KeptnMetricsProvider as it is now: one that came, went or was
// changed is another, which is asked at once.
type target struct {
	types.NamespacedName

	uid        types.UID // empty where there is none
	generation int64
}

// A queue is what wakes a reconciler.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// +kubebuilder:rbac:groups=metrics.keptn.sh,resources=keptnmetrics,verbs=get;list;watch
// +kubebuilder:rbac:groups=metrics.keptn.sh,resources=keptnmetrics/status,verbs=patch

// SetupWithManager registers the reconciler, and the poller that wakes it. A
// provider that comes, goes or changes wakes the KeptnMetrics that ask it.
func (r *MetricReconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	r.poller = poll.New(r.ask, r.wake)
	if err := mgr.Add(poller{r.poller}); err != nil {
		return err
	}
	readings := source.TypedFunc[reconcile.Request](func(_ context.Context, q queue) error {
		r.queue.Store(&q)
		return nil
	})
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	return ctrl.NewControllerManagedBy(mgr).
		Named("keptnmetric").
		For(&metricsv1.KeptnMetric{}, changed).
		Watches(&metricsv1.KeptnMetricsProvider{}, handler.EnqueueRequestsFromMapFunc(r.asking), changed).
		WatchesRawSource(readings).
		WithOptions(opts).
		Complete(r)
}

// asking are the KeptnMetrics that ask a provider.
func (r *MetricReconciler) asking(ctx context.Context, of client.Object) []reconcile.Request {
	var all metricsv1.KeptnMetricList
	if err := r.List(ctx, &all, client.InNamespace(of.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing KeptnMetrics")
		return nil
	}
	var requests []reconcile.Request
	for i := range all.Items {
		if m := &all.Items[i]; m.Spec.Provider.Name == of.GetName() {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(m)})
		}
	}
	return requests
}

// ask asks a provider, as it is now.
func (r *MetricReconciler) ask(ctx context.Context, t target, q metric.Query) (metric.Result, error) {
	return r.Providers.Query(ctx, t.NamespacedName, q)
}

// afterAll is the priority of a reading: below that of the objects that are there
// at the start, since those are not measured until their turn comes, and writing
// what was read of others may take all the time there is.
const afterAll = handler.LowPriority - 1

// wake has a new reading of a KeptnMetric served at once, and written in its turn.
func (r *MetricReconciler) wake(key types.NamespacedName) {
	if reading, ok := r.poller.Latest(key); ok {
		r.Values.read(key, reading)
	}
	q := r.queue.Load()
	if q == nil {
		return
	}
	request := reconcile.Request{NamespacedName: key}
	if ordered, ok := (*q).(priorityqueue.PriorityQueue[reconcile.Request]); ok {
		ordered.AddWithOpts(priorityqueue.AddOpts{Priority: new(afterAll)}, request)
		return
	}
	(*q).Add(request)
}

// A poller runs with the manager, where this process leads.
type poller struct {
	*poll.Poller[types.NamespacedName, target]
}

// Start implements manager.Runnable.
func (p poller) Start(ctx context.Context) error { return p.Run(ctx) }

// Reconcile has the poller follow the spec, and writes what it read last.
func (r *MetricReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var m metricsv1.KeptnMetric
	if err := r.Get(ctx, req.NamespacedName, &m); err != nil {
		if apierrors.IsNotFound(err) {
			r.poller.Forget(req.NamespacedName)
			r.Values.forget(req.NamespacedName)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, err
	}
	r.Values.expect(req.NamespacedName, m.Spec.Range)
	of, err := r.target(ctx, &m)
	if err != nil {
		return reconcile.Result{}, err
	}
	r.poller.Follow(req.NamespacedName, subjectOf(&m, of), m.Status.LastUpdated.Time)
	reading, ok := r.poller.Latest(req.NamespacedName)
	if !ok {
		return reconcile.Result{}, nil
	}
	r.Values.read(req.NamespacedName, reading)
	before := m.DeepCopy()
	observe(&m, reading)
	if !worthWriting(before, &m) {
		return reconcile.Result{}, nil
	}
	written, err := apply.Status(ctx, r.Client, before, &m)
	if err != nil {
		return apply.Result(0, err)
	}
	if written {
		r.announce(before, &m)
	}
	return reconcile.Result{}, nil
}

// target is the provider that a KeptnMetric asks.
func (r *MetricReconciler) target(ctx context.Context, m *metricsv1.KeptnMetric) (target, error) {
	of := target{NamespacedName: types.NamespacedName{Namespace: m.Namespace, Name: m.Spec.Provider.Name}}
	var found metricsv1.KeptnMetricsProvider
	err := r.Get(ctx, of.NamespacedName, &found, client.UnsafeDisableDeepCopy)
	switch {
	case apierrors.IsNotFound(err):
		return of, nil
	case err != nil:
		return of, fmt.Errorf("KeptnMetricsProvider %s: %w", of.NamespacedName, err)
	}
	of.uid, of.generation = found.UID, found.Generation
	return of, nil
}

// subjectOf is what a KeptnMetric asks, of whom, and how often.
func subjectOf(m *metricsv1.KeptnMetric, of target) poll.Subject[target] {
	subject := poll.Subject[target]{
		Target:   of,
		Expr:     m.Spec.Query,
		Interval: intervalOf(m),
	}
	if window := m.Spec.Range; window != nil {
		subject.Window, subject.Step = length(window.Interval), length(window.Step)
		subject.Reducer = metric.Reducer(window.Aggregation)
	}
	return subject
}

// intervalOf is how often a KeptnMetric is measured.
func intervalOf(m *metricsv1.KeptnMetric) time.Duration {
	return time.Duration(max(1, m.Spec.FetchIntervalSeconds)) * time.Second
}

// length is a duration as the API writes it. The API refuses what is none.
func length(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return d
}

// announce emits an event where the KeptnMetric began or ceased to have a value.
func (r *MetricReconciler) announce(before, after *metricsv1.KeptnMetric) {
	for _, change := range condition.Changes(before.Status.Conditions, after.Status.Conditions) {
		r.Events.Eventf(after, nil, change.EventType(), change.Reason, "Measure", "%s", condition.Note(change.Message))
	}
}

// unmeasured is why a KeptnMetric has no new value. What may pass by itself is
// waited for.
func unmeasured(err error) condition.Outcome {
	reason := metric.Reason(err)
	var missing *provider.NotFoundError
	if errors.As(err, &missing) {
		reason = "ProviderNotFound"
	}
	for _, passing := range []error{metric.ErrNoData, metric.ErrStale, metric.ErrRateLimited, metric.ErrTimeout, metric.ErrUnreachable} {
		if errors.Is(err, passing) {
			return condition.Waiting(reason, "%v", err)
		}
	}
	return condition.Failed(reason, "%v", err)
}
