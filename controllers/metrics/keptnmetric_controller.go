// Package metrics keeps KeptnMetrics fresh and carries Analyses out. It joins the
// objects with the poller and the providers, and decides by package policy/metric
// and policy/analysis; how values are served is package serving's matter.
package metrics

import (
	"context"
	"errors"
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

	poller *poll.Poller[types.NamespacedName, types.NamespacedName]
	queue  atomic.Pointer[queue]
}

// A queue is what wakes a reconciler.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// +kubebuilder:rbac:groups=metrics.keptn.sh,resources=keptnmetrics,verbs=get;list;watch
// +kubebuilder:rbac:groups=metrics.keptn.sh,resources=keptnmetrics/status,verbs=patch

// SetupWithManager registers the reconciler, and the poller that wakes it.
func (r *MetricReconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	r.poller = poll.New(r.Providers.Query, r.wake)
	if err := mgr.Add(poller{r.poller}); err != nil {
		return err
	}
	readings := source.TypedFunc[reconcile.Request](func(_ context.Context, q queue) error {
		r.queue.Store(&q)
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("keptnmetric").
		For(&metricsv1.KeptnMetric{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(readings).
		WithOptions(opts).
		Complete(r)
}

// wake has a KeptnMetric reconciled, since there is a new reading.
func (r *MetricReconciler) wake(key types.NamespacedName) {
	if q := r.queue.Load(); q != nil {
		(*q).Add(reconcile.Request{NamespacedName: key})
	}
}

// A poller runs with the manager, where this process leads.
type poller struct {
	*poll.Poller[types.NamespacedName, types.NamespacedName]
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
	r.poller.Follow(req.NamespacedName, subjectOf(&m), m.Status.LastUpdated.Time)
	reading, ok := r.poller.Latest(req.NamespacedName)
	if !ok {
		return reconcile.Result{}, nil
	}
	before := m.DeepCopy()
	observe(&m, reading)
	if m.Status.ErrMsg == "" {
		r.Values.set(req.NamespacedName, m.Status.Value, reading.At)
	}
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

// subjectOf is what a KeptnMetric asks, of whom, and how often.
func subjectOf(m *metricsv1.KeptnMetric) poll.Subject[types.NamespacedName] {
	subject := poll.Subject[types.NamespacedName]{
		Target:   types.NamespacedName{Namespace: m.Namespace, Name: m.Spec.Provider.Name},
		Expr:     m.Spec.Query,
		Interval: intervalOf(m),
	}
	if window := m.Spec.Range; window != nil {
		subject.Window, subject.Step = length(window.Interval), length(window.Step)
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
