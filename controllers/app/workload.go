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
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/workload"
)

// Workload makes a KeptnWorkloadVersion of each version and each revision that a
// KeptnWorkload comes to have, also where it had it before: a rollback is checked
// again. Other checks for what is delivered already begin nothing.
type Workload struct {
	client.Client

	Events events.EventRecorder
}

// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnworkloads,verbs=get;list;watch
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnworkloads/status,verbs=patch
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnworkloadversions,verbs=get;list;watch;create;delete

// SetupWithManager registers the reconciler.
func (r *Workload) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("keptnworkload").
		For(&lifecyclev1.KeptnWorkload{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&lifecyclev1.KeptnWorkloadVersion{}, builder.WithPredicates(onlyDeletes())).
		WithOptions(opts).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// onlyDeletes lets deletions through and nothing else.
func onlyDeletes() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// Reconcile makes the record of what a KeptnWorkload is now, where there is none.
func (r *Workload) Reconcile(ctx context.Context, kw *lifecyclev1.KeptnWorkload) (reconcile.Result, error) {
	return result(r.follow(ctx, kw))
}

func (r *Workload) follow(ctx context.Context, kw *lifecyclev1.KeptnWorkload) error {
	if !kw.DeletionTimestamp.IsZero() || kw.Spec.Version == "" {
		return nil
	}
	var records lifecyclev1.KeptnWorkloadVersionList
	if err := find(ctx, r.Client, &records, kw.Namespace, workload.ByController, string(kw.UID)); err != nil {
		return err
	}
	newest := slices.SortedFunc(slices.Values(records.Items), func(a, b lifecyclev1.KeptnWorkloadVersion) int {
		return cmp.Or(cmp.Compare(b.Spec.WorkloadGeneration, a.Spec.WorkloadGeneration), b.CreationTimestamp.Compare(a.CreationTimestamp.Time))
	})
	if len(newest) == 0 || !delivers(&newest[0], kw) {
		if err := r.create(ctx, kw); err != nil {
			return err
		}
	}
	before := kw.DeepCopy()
	kw.Status.CurrentVersion = kw.Spec.Version
	if _, err := apply.Status(ctx, r.Client, before, kw); err != nil {
		return err
	}
	return prune(ctx, r.Client, newest,
		func(kwv *lifecyclev1.KeptnWorkloadVersion) client.Object { return kwv },
		func(kwv *lifecyclev1.KeptnWorkloadVersion) bool { return kwv.Status.Status.Completed() })
}

// delivers says whether a record is of the version and the revision that a
// KeptnWorkload has now. What Keptn itself recorded names no revision.
func delivers(kwv *lifecyclev1.KeptnWorkloadVersion, kw *lifecyclev1.KeptnWorkload) bool {
	was, is := kwv.Spec.ResourceReference, kw.Spec.ResourceReference
	old := kwv.Spec.WorkloadGeneration == 0 && was.Revision == ""
	return kwv.Spec.Version == kw.Spec.Version && was.UID == is.UID && (was.Revision == is.Revision || old)
}

// create creates the record of what a KeptnWorkload is now.
func (r *Workload) create(ctx context.Context, kw *lifecyclev1.KeptnWorkload) error {
	name := workload.ResourceName(kw.Name, kw.Spec.Version)
	record := &lifecyclev1.KeptnWorkloadVersion{
		ObjectMeta: metav1.ObjectMeta{Namespace: kw.Namespace, Name: name},
		Spec: lifecyclev1.KeptnWorkloadVersionSpec{
			KeptnWorkloadSpec:  *kw.Spec.DeepCopy(),
			WorkloadName:       kw.Name,
			WorkloadGeneration: kw.Generation,
			PreviousVersion:    previous(kw.Status.CurrentVersion, kw.Spec.Version),
			TraceID:            traceOf(kw),
		},
	}
	known := &lifecyclev1.KeptnWorkloadVersion{}
	err := create(ctx, r.Client, creation{
		owner: kw, record: record, manager: "keptnworkload",
		known: known, same: func() bool { return known.Spec.WorkloadGeneration == kw.Generation },
		spare: workload.ResourceName(kw.Name, kw.Spec.Version, workload.Digest(8, string(kw.UID), strconv.FormatInt(kw.Generation, 10))),
	})
	createWorkloadVersionFailed.tell(r.Events, record, kw.Spec.Version, err)
	return err
}

// previous is the version before, where there was another one.
func previous(was, is string) string {
	if was == is {
		return ""
	}
	return was
}
