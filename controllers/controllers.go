// Package controllers starts everything that runs in the cluster: it makes the
// reconcilers, joins them, and registers them with one manager.
package controllers

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/evaluation"
	"github.com/keptn/gitops/controllers/gitops"
	"github.com/keptn/gitops/controllers/lifecycle"
	"github.com/keptn/gitops/controllers/metrics"
	"github.com/keptn/gitops/controllers/provider"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/serving"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/policy/metric/fabric"
	metricprovider "github.com/keptn/gitops/policy/metric/provider"
	"github.com/keptn/gitops/telemetry"
)

// Options are what the program's flags decide.
type Options struct {
	// Store keeps Git's objects.
	Store *gitsource.Store
	// Cluster names this cluster in Git notes.
	Cluster string
	// Concurrent is how many objects of a kind are reconciled at a time.
	Concurrent int
	// Queue are the options of the queues to the forges.
	Queue []forge.Option
	// Providers says which metrics providers may be reached, and how.
	Providers provider.Options
	// OneNamespace keeps Analyses from naming objects of other namespaces.
	OneNamespace bool
	// Serving says where KeptnMetrics are served.
	Serving serving.Options
	// Tracer, Events and Metrics are told of deliveries.
	Tracer  *telemetry.Tracer
	Events  *telemetry.Events
	Metrics *telemetry.Metrics
}

// NewScheme returns a scheme with every kind that the controllers handle.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, gitopsv1alpha1.AddToScheme, lifecyclev1.AddToScheme, metricsv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("build scheme: %w", err)
		}
	}
	return scheme, nil
}

// ManagerOptions sets what the reconcilers need of a manager: Secrets are never
// cached, and of managed fields only those of workloads are kept, since they
// tell when a rollout began.
func ManagerOptions(scheme *runtime.Scheme) ctrl.Options {
	whole := cache.ByObject{Transform: func(obj any) (any, error) { return obj, nil }}
	return ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&appsv1.Deployment{}: whole, &appsv1.StatefulSet{}: whole, &appsv1.DaemonSet{}: whole,
			},
		},
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
	}
}

// Setup registers all reconcilers with the manager.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	if err := lifecycle.AddIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	wall := clock.RealClock{}
	c := mgr.GetClient()
	repositories := repository.New(c, o.Store, o.Cluster)
	reporter := report.New(wall, o.Queue...)
	sources := &gitops.Reconciler{
		Client: c, Clock: wall, Events: mgr.GetEventRecorder("keptn-gitsource"),
		Repositories: repositories, Reporter: reporter,
	}
	if err := register(mgr, o.Concurrent,
		sources,
		&gitops.PolicyReconciler{Client: c},
		&lifecycle.Reconciler{
			Client: c, Clock: wall, Events: mgr.GetEventRecorder("keptn-lifecycle"),
			Repositories: repositories, Reporter: reporter, Fetch: sources.Fetch,
		},
		&lifecycle.AppVersionReconciler{
			Client: c, Clock: wall, Events: mgr.GetEventRecorder("keptnappversion-controller"),
			Observers: observers(o),
		},
	); err != nil {
		return err
	}
	if err := setupMetrics(mgr, o); err != nil {
		return err
	}
	if o.Events != nil {
		if err := mgr.Add(o.Events); err != nil {
			return fmt.Errorf("set up CloudEvents: %w", err)
		}
	}
	return mgr.Add(reporter)
}

// asking is how many objects of a kind are reconciled at a time that ask metrics
// providers: they do little but wait.
const asking = 64

// setupMetrics registers what asks metrics providers, and what serves the answers.
func setupMetrics(mgr ctrl.Manager, o Options) error {
	wall := clock.RealClock{}
	c := mgr.GetClient()
	values := metrics.NewValues(c)
	providers, err := provider.New(c, fabric.New(metricprovider.Open), wall, o.Providers)
	if err != nil {
		return err
	}
	if err := register(mgr, asking,
		&evaluation.Reconciler{
			Client: c, Clock: wall, Events: mgr.GetEventRecorder("keptnevaluation-controller"),
			Providers: providers, Metrics: values,
		},
		&metrics.AnalysisReconciler{
			Client: c, Clock: wall, Events: mgr.GetEventRecorder("analysis-controller"),
			Providers: providers, Foreign: !o.OneNamespace,
		},
	); err != nil {
		return err
	}
	if err := register(mgr, o.Concurrent, &metrics.MetricReconciler{
		Client: c, Events: mgr.GetEventRecorder("keptnmetric-controller"),
		Providers: providers, Values: values,
	}); err != nil {
		return err
	}
	o.Serving.Collectors = append(o.Serving.Collectors, metrics.NewCollector(c))
	if err := serving.Setup(mgr, values, o.Serving); err != nil {
		return fmt.Errorf("set up the serving of metrics: %w", err)
	}
	return nil
}

// A registrar is a reconciler that registers itself.
type registrar interface {
	SetupWithManager(mgr ctrl.Manager, opts controller.Options) error
}

// register registers reconcilers, each of which works on so many objects at a time.
func register(mgr ctrl.Manager, concurrent int, reconcilers ...registrar) error {
	for _, r := range reconcilers {
		if err := r.SetupWithManager(mgr, controller.Options{MaxConcurrentReconciles: concurrent}); err != nil {
			return fmt.Errorf("set up %T: %w", r, err)
		}
	}
	return nil
}

// observers tell of deliveries whoever is configured.
func observers(o Options) []lifecycle.Observer {
	var all []lifecycle.Observer
	ended := func(before, after *lifecyclev1.KeptnAppVersion) bool {
		return !before.Status.Status.Completed() && after.Status.Status.Completed()
	}
	if o.Tracer != nil {
		all = append(all, func(ctx context.Context, before, after *lifecyclev1.KeptnAppVersion, evaluations []lifecyclev1.KeptnEvaluation) {
			if ended(before, after) {
				o.Tracer.Delivery(ctx, after, evaluations)
			}
		})
	}
	if o.Events != nil {
		all = append(all, func(ctx context.Context, before, after *lifecyclev1.KeptnAppVersion, _ []lifecyclev1.KeptnEvaluation) {
			o.Events.Send(ctx, telemetry.EventsOf(before, after)...)
		})
	}
	if o.Metrics != nil {
		all = append(all, func(ctx context.Context, before, after *lifecyclev1.KeptnAppVersion, _ []lifecyclev1.KeptnEvaluation) {
			if ended(before, after) {
				o.Metrics.DeliveryEnded(ctx, after)
			}
		})
	}
	return all
}
