package app

import (
	"cmp"
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/options"
	"github.com/keptn/gitops/controllers/workload"
)

// appDiscoverer is who writes KeptnApps.
const appDiscoverer = "keptnapp-discovery"

// DefaultQuiet is how long no new workload has to show up before an app is complete.
const DefaultQuiet = 2 * time.Second

// Options say how apps are discovered.
type Options struct {
	// Quiet is how long no new version of a workload has to show up before an app is
	// complete; DefaultQuiet where it is zero. It is measured by times of one second's
	// resolution, so that up to a second less may pass.
	Quiet time.Duration
}

// Discovery makes a KeptnApp of the KeptnWorkloads that name the same app, once no
// more of them show up. An app of a single workload that names none is made at once.
// KeptnApps of people are left alone.
type Discovery struct {
	client.Client

	Clock   clock.PassiveClock
	Events  events.EventRecorder
	Options Options
}

// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnworkloads;keptnworkloadversions,verbs=get;list;watch
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnapps,verbs=get;list;watch;create;patch;delete

// SetupWithManager registers the reconciler, whose requests name an app, and what
// wakes it: a new record of a workload; and once that has been quiet, a workload or
// a KeptnApp that went.
func (r *Discovery) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named(appDiscoverer).
		Watches(&lifecyclev1.KeptnWorkloadVersion{}, handler.Funcs{CreateFunc: created}).
		Watches(&lifecyclev1.KeptnWorkload{}, handler.Funcs{UpdateFunc: r.moved, DeleteFunc: r.gone}).
		Watches(&lifecyclev1.KeptnApp{}, handler.Funcs{CreateFunc: created, DeleteFunc: r.gone}).
		WithOptions(opts).
		Complete(r)
}

// A queue is what wakes a reconciler.
type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// requestFor asks for a look at the app that an object is, or names.
func requestFor(obj client.Object) reconcile.Request {
	name := obj.GetName()
	for _, app := range workload.AppOf(obj) {
		name = app
	}
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: obj.GetNamespace(), Name: name}}
}

func created(_ context.Context, e event.CreateEvent, q queue) { q.Add(requestFor(e.Object)) }

// moved has an app looked at that a workload left for another one. The record of the
// other one tells by itself.
func (r *Discovery) moved(_ context.Context, e event.UpdateEvent, q queue) {
	if left := requestFor(e.ObjectOld); left != requestFor(e.ObjectNew) {
		q.AddAfter(left, r.quiet())
	}
}

// gone has an app looked at when there was time for all of it to go: no two
// deliveries begin since two workloads went.
func (r *Discovery) gone(_ context.Context, e event.DeleteEvent, q queue) {
	q.AddAfter(requestFor(e.Object), r.quiet())
}

func (r *Discovery) quiet() time.Duration { return cmp.Or(r.Options.Quiet, DefaultQuiet) }

// Reconcile brings the KeptnApp of one app up to date.
func (r *Discovery) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	wait, err := r.follow(ctx, req.Namespace, req.Name)
	if err == nil && wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	return result(err)
}

func (r *Discovery) follow(ctx context.Context, namespace, app string) (time.Duration, error) {
	seen, err := r.see(ctx, namespace, app)
	if err != nil {
		return 0, err
	}
	config, err := options.Config(ctx, r.Client)
	if err != nil {
		return 0, err
	}
	todo := seen.decide(patience{
		quiet: r.quiet(),
		bound: time.Duration(config.KeptnAppCreationRequestTimeoutSeconds) * time.Second, //nolint:gosec // a day at most
	}, r.Clock.Now())
	switch {
	case todo.wait > 0:
		return todo.wait, nil
	case todo.drop:
		err := r.Delete(ctx, seen.app, client.Preconditions{UID: &seen.app.UID, ResourceVersion: &seen.app.ResourceVersion})
		if client.IgnoreNotFound(err) != nil {
			return 0, fmt.Errorf("delete KeptnApp %s: %w", client.ObjectKeyFromObject(seen.app), err)
		}
		return 0, nil
	case todo.write:
		return 0, r.write(ctx, namespace, app, seen.app, todo)
	default:
		return 0, nil
	}
}

// see reads what there is of an app.
func (r *Discovery) see(ctx context.Context, namespace, app string) (view, error) {
	var workloads lifecyclev1.KeptnWorkloadList
	if err := find(ctx, r.Client, &workloads, namespace, workload.ByApp, app); err != nil {
		return view{}, err
	}
	var records lifecyclev1.KeptnWorkloadVersionList
	if err := find(ctx, r.Client, &records, namespace, workload.ByApp, app); err != nil {
		return view{}, err
	}
	seen := view{workloads: workloads.Items, records: records.Items, app: &lifecyclev1.KeptnApp{}}
	err := r.Get(ctx, types.NamespacedName{Namespace: namespace, Name: workload.ResourceName(app)}, seen.app)
	if apierrors.IsNotFound(err) {
		seen.app, err = nil, nil
	}
	return seen, err
}

// write creates the KeptnApp, or changes the one that there is.
func (r *Discovery) write(ctx context.Context, namespace, app string, there *lifecyclev1.KeptnApp, todo plan) error {
	if there == nil {
		there = &lifecyclev1.KeptnApp{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: workload.ResourceName(app)}}
		todo.fill(there)
		err := r.Create(ctx, there, client.FieldOwner(appDiscoverer))
		createAppFailed.tell(r.Events, there, todo.version, err)
		return err
	}
	before := there.DeepCopy()
	todo.fill(there)
	err := patch(ctx, r.Client, before, there, appDiscoverer)
	updateAppFailed.tell(r.Events, there, todo.version, err)
	return err
}

// fill writes into a KeptnApp what is planned.
func (p plan) fill(app *lifecyclev1.KeptnApp) {
	kind := lifecyclev1.MultiService
	if p.single {
		kind = lifecyclev1.SingleService
	}
	metav1.SetMetaDataLabel(&app.ObjectMeta, lifecyclev1.K8sRecommendedManagedByAnnotation, lifecyclev1.ManagedByKeptn)
	metav1.SetMetaDataAnnotation(&app.ObjectMeta, lifecyclev1.AppTypeAnnotation, kind)
	app.Spec.Version, app.Spec.Workloads = p.version, p.workloads
}
