package delivery

import (
	"cmp"
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/workload"
)

// Field indexes, so that an event finds whom it concerns without a search. Those
// with "underWay" hold only deliveries that have not ended.
const (
	// ByLifecycle finds the deliveries of a Lifecycle, by its namespace/name.
	ByLifecycle = "lifecycle"
	// byWorkload finds deliveries from Git under way, by kind/namespace/name.
	byWorkload = "underWay.workload"
	// byResource finds deliveries of workloads under way, by what owns the pods.
	byResource = "underWay.resource"
	// byCheck finds deliveries under way by the name of a check of theirs.
	byCheck = "underWay.check"
	// byWorkloadName finds deliveries of a workload by its app and its name.
	byWorkloadName = "workloadName"
	// byOwner finds tasks and evaluations by the UID of the delivery that they are for.
	byOwner = "owner"
)

// AddIndexes registers the field indexes that this package's reconcilers use, beside
// those of package workload.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for _, i := range []struct {
		object client.Object
		field  string
		keys   client.IndexerFunc
	}{
		{&lifecyclev1.KeptnAppVersion{}, ByLifecycle, ofApp(lifecycleOf)},
		{&lifecyclev1.KeptnAppVersion{}, byWorkload, ofApp(workloadsUnderWay)},
		{&lifecyclev1.KeptnAppVersion{}, byCheck, ofApp(checksOfApp)},
		{&lifecyclev1.KeptnWorkloadVersion{}, byCheck, ofWorkload(checksOfWorkload)},
		{&lifecyclev1.KeptnWorkloadVersion{}, byWorkloadName, ofWorkload(workloadNameOf)},
		{&lifecyclev1.KeptnWorkloadVersion{}, byResource, ofWorkload(resourceOf)},
		{&lifecyclev1.KeptnEvaluation{}, byOwner, controllerOf},
		{&lifecyclev1.KeptnTask{}, byOwner, controllerOf},
	} {
		if err := indexer.IndexField(ctx, i.object, i.field, i.keys); err != nil {
			return fmt.Errorf("index %T by %s: %w", i.object, i.field, err)
		}
	}
	return nil
}

func ofApp(keys func(*lifecyclev1.KeptnAppVersion) []string) client.IndexerFunc {
	return func(obj client.Object) []string {
		if kav, ok := obj.(*lifecyclev1.KeptnAppVersion); ok {
			return keys(kav)
		}
		return nil
	}
}

func ofWorkload(keys func(*lifecyclev1.KeptnWorkloadVersion) []string) client.IndexerFunc {
	return func(obj client.Object) []string {
		if kwv, ok := obj.(*lifecyclev1.KeptnWorkloadVersion); ok {
			return keys(kwv)
		}
		return nil
	}
}

func lifecycleOf(kav *lifecyclev1.KeptnAppVersion) []string {
	if kav.Spec.Lifecycle == nil {
		return nil
	}
	return []string{kav.Spec.Lifecycle.Namespace + "/" + kav.Spec.Lifecycle.Name}
}

func workloadKey(kind, namespace, name string) string { return kind + "/" + namespace + "/" + name }

func workloadsUnderWay(kav *lifecyclev1.KeptnAppVersion) []string {
	if kav.Spec.Lifecycle == nil || kav.Status.Status.Completed() {
		return nil
	}
	keys := make([]string, len(kav.Spec.Workloads))
	for i, ref := range kav.Spec.Workloads {
		keys[i] = workloadKey(ref.Kind, namespaceOf(ref, kav), ref.Name)
	}
	return keys
}

func namespaceOf(ref lifecyclev1.KeptnWorkloadRef, kav *lifecyclev1.KeptnAppVersion) string {
	return cmp.Or(ref.Namespace, kav.Namespace)
}

func checksOfApp(kav *lifecyclev1.KeptnAppVersion) []string {
	if kav.Status.Status.Completed() {
		return nil
	}
	return unique(allOf(lifecyclev1.AppPhases(), kav.Spec.Asked))
}

func checksOfWorkload(kwv *lifecyclev1.KeptnWorkloadVersion) []string {
	if kwv.Status.Status.Completed() {
		return nil
	}
	return unique(allOf(lifecyclev1.WorkloadPhases(), kwv.Spec.Asked))
}

// allOf are the names of what any of the phases is asked to check.
func allOf(phases []lifecyclev1.Phase, asked func(lifecyclev1.Phase) []string) []string {
	var names []string
	for _, p := range phases {
		names = append(names, asked(p)...)
	}
	return names
}

// workloadNameKey is a workload of an app; the workload is named as the app names it.
func workloadNameKey(app, name string) string {
	return app + "/" + workload.ResourceName(app, name)
}

func workloadNameOf(kwv *lifecyclev1.KeptnWorkloadVersion) []string {
	return []string{kwv.Spec.AppName + "/" + kwv.Spec.WorkloadName}
}

func resourceOf(kwv *lifecyclev1.KeptnWorkloadVersion) []string {
	if kwv.Status.Status.Completed() {
		return nil
	}
	return []string{string(kwv.Spec.ResourceReference.UID)}
}

// controllerOf is an index by the UID of an object's controller.
func controllerOf(obj client.Object) []string {
	if owner := metav1.GetControllerOf(obj); owner != nil {
		return []string{string(owner.UID)}
	}
	return nil
}

// sameController says whether two deliveries are of one making.
func sameController(a, b *lifecyclev1.KeptnAppVersion) bool {
	return uidOf(a) == uidOf(b) && a.Spec.Lifecycle != nil == (b.Spec.Lifecycle != nil) &&
		(a.Spec.Lifecycle == nil || *a.Spec.Lifecycle == *b.Spec.Lifecycle)
}

func uidOf(obj client.Object) types.UID {
	if owner := metav1.GetControllerOf(obj); owner != nil {
		return owner.UID
	}
	return ""
}
