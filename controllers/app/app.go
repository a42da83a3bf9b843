package app

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/workload"
)

// App makes a KeptnAppVersion of each generation of a KeptnApp, with a copy of the
// KeptnAppContext of its name as it is then. What becomes of the deliveries before it
// is the matter of who walks them.
type App struct {
	client.Client

	Events events.EventRecorder
}

// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnapps;keptnappcontexts,verbs=get;list;watch
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnapps/status,verbs=patch
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnappversions,verbs=get;list;watch;create;delete

// SetupWithManager registers the reconciler. KeptnAppContexts are read, and wake
// nothing: a change counts from the next delivery on.
func (r *App) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("keptnapp").
		For(&lifecyclev1.KeptnApp{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&lifecyclev1.KeptnAppVersion{}, builder.WithPredicates(onlyDeletes())).
		WithOptions(opts).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile makes the record of the generation that a KeptnApp has, where there is
// none.
func (r *App) Reconcile(ctx context.Context, app *lifecyclev1.KeptnApp) (reconcile.Result, error) {
	return result(r.follow(ctx, app))
}

func (r *App) follow(ctx context.Context, app *lifecyclev1.KeptnApp) error {
	if !app.DeletionTimestamp.IsZero() || app.Spec.Version == "" {
		return nil
	}
	var records lifecyclev1.KeptnAppVersionList
	if err := find(ctx, r.Client, &records, app.Namespace, workload.ByController, string(app.UID)); err != nil {
		return err
	}
	name := appVersionName(app)
	if !slices.ContainsFunc(records.Items, func(kav lifecyclev1.KeptnAppVersion) bool {
		return kav.Spec.AppGeneration == app.Generation || kav.Name == name
	}) {
		if err := r.create(ctx, app, name); err != nil {
			return err
		}
	}
	before := app.DeepCopy()
	app.Status.CurrentVersion = app.Spec.Version
	if _, err := apply.Status(ctx, r.Client, before, app); err != nil {
		return err
	}
	newest := slices.SortedFunc(slices.Values(records.Items), func(a, b lifecyclev1.KeptnAppVersion) int {
		return cmp.Or(cmp.Compare(b.Spec.AppGeneration, a.Spec.AppGeneration), b.CreationTimestamp.Compare(a.CreationTimestamp.Time))
	})
	return prune(ctx, r.Client, newest,
		func(kav *lifecyclev1.KeptnAppVersion) client.Object { return kav },
		func(kav *lifecyclev1.KeptnAppVersion) bool { return kav.Status.Status.Completed() })
}

// appVersionName is Keptn's name of the record of a KeptnApp's generation.
func appVersionName(app *lifecyclev1.KeptnApp) string {
	return workload.ResourceName(app.Name, app.Spec.Version, workload.Digest(8, strconv.FormatInt(app.Generation, 10)))
}

// create creates the record of the generation that a KeptnApp has.
func (r *App) create(ctx context.Context, app *lifecyclev1.KeptnApp, name string) error {
	appContext := &lifecyclev1.KeptnAppContext{}
	if err := r.Get(ctx, client.ObjectKeyFromObject(app), appContext); client.IgnoreNotFound(err) != nil {
		return err
	}
	record := &lifecyclev1.KeptnAppVersion{
		ObjectMeta: metav1.ObjectMeta{Namespace: app.Namespace, Name: name},
		Spec: lifecyclev1.KeptnAppVersionSpec{
			AppName:             app.Name,
			Version:             app.Spec.Version,
			Revision:            app.Spec.Revision,
			Workloads:           references(app.Spec.Workloads),
			PreviousVersion:     previous(app.Status.CurrentVersion, app.Spec.Version),
			KeptnAppContextSpec: appContext.Spec,
			TraceID:             traceOf(app),
			AppGeneration:       app.Generation,
		},
	}
	known := &lifecyclev1.KeptnAppVersion{}
	err := create(ctx, r.Client, creation{
		owner: app, record: record, manager: "keptnapp",
		known: known, same: func() bool { return known.Spec.AppGeneration == app.Generation },
		spare: workload.ResourceName(app.Name, app.Spec.Version, workload.Digest(8, string(app.UID), strconv.FormatInt(app.Generation, 10))),
	})
	createAppVersionFailed.tell(r.Events, record, app.Spec.Version, err)
	return err
}

// references are the workloads of an app as its delivery lists them.
func references(workloads []lifecyclev1.KeptnAppWorkload) []lifecyclev1.KeptnWorkloadRef {
	var refs []lifecyclev1.KeptnWorkloadRef
	for _, w := range workloads {
		refs = append(refs, lifecyclev1.KeptnWorkloadRef{Name: w.Name, Version: w.Version})
	}
	return refs
}
