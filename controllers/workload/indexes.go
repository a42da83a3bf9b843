package workload

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// Field indexes of what workloads have and of what is recorded of them, for all who
// follow them.
const (
	// ByController finds revisions and records by the UID of what they are of.
	ByController = "controller"
	// ByApp finds records by the name of their app.
	ByApp = "app"
)

// AddIndexes registers these field indexes.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for _, i := range []struct {
		field   string
		keys    client.IndexerFunc
		objects []client.Object
	}{
		{ByController, controllerOf, []client.Object{
			&appsv1.ReplicaSet{}, &appsv1.ControllerRevision{}, &lifecyclev1.KeptnAppVersion{}, &lifecyclev1.KeptnWorkloadVersion{},
		}},
		{ByApp, AppOf, []client.Object{
			&lifecyclev1.KeptnWorkload{}, &lifecyclev1.KeptnAppVersion{}, &lifecyclev1.KeptnWorkloadVersion{},
		}},
	} {
		for _, object := range i.objects {
			if err := indexer.IndexField(ctx, object, i.field, i.keys); err != nil {
				return fmt.Errorf("index %T by %s: %w", object, i.field, err)
			}
		}
	}
	return nil
}

func controllerOf(obj client.Object) []string {
	if owner := metav1.GetControllerOf(obj); owner != nil {
		return []string{string(owner.UID)}
	}
	return nil
}

// AppOf names the app of a record, if it is of a kind that does.
func AppOf(obj client.Object) []string {
	switch o := obj.(type) {
	case *lifecyclev1.KeptnWorkload:
		return []string{o.Spec.AppName}
	case *lifecyclev1.KeptnAppVersion:
		return []string{o.Spec.AppName}
	case *lifecyclev1.KeptnWorkloadVersion:
		return []string{o.Spec.AppName}
	default:
		return nil
	}
}
