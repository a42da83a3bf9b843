// Package controllers starts everything that runs in the cluster: it makes the
// reconcilers, joins them, and registers them with one manager.
package controllers

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
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
	optionsv1alpha1 "github.com/keptn/gitops/api/options/v1alpha1"
	"github.com/keptn/gitops/controllers/app"
	"github.com/keptn/gitops/controllers/delivery"
	"github.com/keptn/gitops/controllers/evaluation"
	"github.com/keptn/gitops/controllers/evidence"
	"github.com/keptn/gitops/controllers/gate"
	"github.com/keptn/gitops/controllers/gitops"
	"github.com/keptn/gitops/controllers/lifecycle"
	"github.com/keptn/gitops/controllers/measure"
	"github.com/keptn/gitops/controllers/optional"
	"github.com/keptn/gitops/controllers/promoter"
	"github.com/keptn/gitops/controllers/provenance"
	"github.com/keptn/gitops/controllers/pullrequest"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/serving"
	"github.com/keptn/gitops/controllers/shard"
	"github.com/keptn/gitops/controllers/task"
	"github.com/keptn/gitops/controllers/webhook"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/image"
	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/telemetry"
)

// Options are what the program's flags decide.
type Options struct {
	// Namespace is Keptn's own: definitions are looked up there that a namespace does
	// not have.
	Namespace string
	// Store keeps Git's objects.
	Store *gitsource.Store
	// Cluster names this cluster in Git notes.
	Cluster string
	// Shard is which GitSources this controller reads; one with a name does nothing else.
	Shard shard.Shard
	// Concurrent is how many objects of a kind are reconciled at a time.
	Concurrent int
	// Queue are the options of the queues to the forges.
	Queue []forge.Option
	// DetailsURL is where statuses of commits lead; lifecycle.Reconciler says what it
	// may hold.
	DetailsURL string
	// Tasks says what tasks run in. Its namespace is Namespace.
	Tasks task.Options
	// Apps says how apps are discovered.
	Apps app.Options
	// Addresses that metrics providers, forges, registries and whatever else tenants name
	// may have; those of repositories are the Store's.
	Addresses outbound.Addresses
	// AmbientCredentials lets metrics providers use the identity that the process has in
	// its cloud.
	AmbientCredentials bool
	// OneNamespace keeps Analyses from naming objects of other namespaces.
	OneNamespace bool
	// Serving says where KeptnMetrics are served, and with them the gate of deliveries,
	// and what takes in incidents and alerts.
	Serving serving.Options
	// GateToken has callers of the gate show a token.
	GateToken bool
	// Teller tells others of deliveries, tasks and evaluations; nil tells nobody.
	Teller *telemetry.Teller
}

// NewScheme returns a scheme with every kind that the controllers handle.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, gitopsv1alpha1.AddToScheme, lifecyclev1.AddToScheme, metricsv1.AddToScheme, optionsv1alpha1.AddToScheme,
		sourcev1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("build scheme: %w", err)
		}
	}
	return scheme, nil
}

// ManagerOptions sets what the reconcilers need of a manager: Secrets are never
// cached, of managed fields only those of workloads are kept, since they tell when
// a rollout began, and of pods only those that are not scheduled, since they may
// wait for us. Who has written reads what was written.
func ManagerOptions(scheme *runtime.Scheme) ctrl.Options {
	stripped := cache.ByObject{Transform: workload.Strip}
	return ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&appsv1.Deployment{}: stripped, &appsv1.StatefulSet{}: stripped, &appsv1.DaemonSet{}: stripped,
				&corev1.ConfigMap{}:   {Transform: task.NamesOnly},
				optional.Definition(): {Transform: optional.NameOnly},
				&appsv1.ReplicaSet{}:  stripped, &appsv1.ControllerRevision{}: stripped,
				&corev1.Pod{}: {Field: fields.OneTermEqualSelector("spec.nodeName", ""), Transform: cache.TransformStripManagedFields()},
			},
		},
		Client: client.Options{Cache: &client.CacheOptions{
			Unstructured: true, DisableFor: []client.Object{&corev1.Secret{}}, EnableReadYourWritesConsistency: new(true),
		}},
	}
}

// Setup registers all reconcilers with the manager.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	for _, add := range []func(context.Context, client.FieldIndexer) error{
		workload.AddIndexes, app.AddIndexes, delivery.AddIndexes, task.AddIndexes, evaluation.AddIndexes, gate.AddIndexes, lifecycle.AddIndexes,
		gitops.AddIndexes, webhook.AddIndexes, report.AddIndexes,
	} {
		if err := add(ctx, mgr.GetFieldIndexer()); err != nil {
			return err
		}
	}
	mgr = newDiscreet(ctx, mgr, o.Teller)
	wall := clock.RealClock{}
	c := mgr.GetClient()
	kinds := optional.New(mgr)
	images := evidence.NewImages(mgr.GetAPIReader(), image.New(image.WithTransport(registryTransport(o.Addresses))))
	repositories := repository.New(mgr.GetAPIReader(), kinds, o.Store, o.Cluster, o.Addresses)
	reporter := report.New(wall, func(host string, outcome forge.Outcome) {
		o.Teller.CommitStatus(ctx, host, strings.ToLower(string(outcome)))
	}, o.Queue...)
	sources := &gitops.Reconciler{
		Client: c, Clock: wall, Events: mgr.GetEventRecorder("keptn-gitsource"),
		Repositories: repositories, Reporter: reporter, Kinds: kinds, Shard: o.Shard,
	}
	asked, err := newAsked(mgr, o)
	if err != nil {
		return err
	}
	if err := register(mgr, o.Concurrent,
		sources,
		&lifecycle.Reconciler{
			Client: c, APIReader: mgr.GetAPIReader(), Kinds: kinds, Images: images, Clock: wall, Events: mgr.GetEventRecorder("keptn-lifecycle"),
			Repositories: repositories, Reporter: reporter, Fetch: sources.Fetch, DetailsURL: o.DetailsURL, Cluster: o.Cluster, Shard: o.Shard,
		},
		&provenance.Reconciler{Client: c, Clock: wall, Images: images, Repositories: repositories, Fetch: sources.Fetch, Shard: o.Shard},
		&measure.Reconciler{Client: c, Clock: wall, Repositories: repositories, Cluster: o.Cluster, Shard: o.Shard},
		&pullrequest.Reconciler{
			Client: c, Clock: wall, Repositories: repositories, Reporter: reporter, Evaluate: asked.dry(wall), Shard: o.Shard,
		},
		kinds,
	); err != nil {
		return err
	}
	if o.Shard == "" {
		if err := setupUnsharded(ctx, mgr, o, repositories, kinds, asked); err != nil {
			return err
		}
	}
	if o.Teller != nil {
		if err := mgr.Add(o.Teller); err != nil {
			return fmt.Errorf("set up telemetry: %w", err)
		}
	}
	return mgr.Add(reporter)
}

// setupUnsharded registers what one controller alone does, however many read Git:
// deliveries with their checks, gates, metrics, and what is served.
func setupUnsharded(ctx context.Context, mgr ctrl.Manager, o Options, repositories *repository.Repositories, kinds *optional.Kinds, asked *asked) error {
	if err := register(mgr, o.Concurrent,
		&gitops.PolicyReconciler{Client: mgr.GetClient()},
		&promoter.Reconciler{Client: mgr.GetClient(), Kinds: kinds, Details: detailsOf(o.DetailsURL)},
	); err != nil {
		return err
	}
	if err := setupDeliveries(ctx, mgr, o, repositories); err != nil {
		return err
	}
	if err := setupGates(mgr, o); err != nil {
		return err
	}
	if err := setupMetrics(mgr, o, repositories, asked); err != nil {
		return err
	}
	if o.Teller != nil {
		o.Teller.Observe(sourcesOf(mgr, asked.values))
	}
	return nil
}

// registryTransport reaches the registries of images, at allowed addresses only.
func registryTransport(allowed outbound.Addresses) http.RoundTripper {
	return allowed.Transport(&http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   2,
		IdleConnTimeout:       time.Minute,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 10 * time.Second,
	})
}

// detailsOf returns what tells the address with more on the verdict of a delivery.
func detailsOf(address string) func(*lifecyclev1.KeptnAppVersion) string {
	return func(kav *lifecyclev1.KeptnAppVersion) string {
		return lifecycle.DetailsURL(address, kav, string(lifecyclev1.StagePostDeployment))
	}
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
