package app

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// Field indexes, so that an event finds whom it concerns without a search.
const (
	// byOwner finds KeptnWorkloads by the UIDs of their owners.
	byOwner = "appOwner"
	// byController finds records by the UID of what they are a record of.
	byController = "appController"
	// byApp finds KeptnWorkloads and KeptnWorkloadVersions by the app that they name.
	byApp = "appName"
)

// AddIndexes registers the field indexes that this package's reconcilers use, beside
// those of package workload.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for _, i := range []struct {
		object client.Object
		field  string
		keys   client.IndexerFunc
	}{
		{&lifecyclev1.KeptnWorkload{}, byOwner, ownersOf},
		{&lifecyclev1.KeptnWorkload{}, byApp, appOf},
		{&lifecyclev1.KeptnWorkloadVersion{}, byApp, appOf},
		{&lifecyclev1.KeptnWorkloadVersion{}, byController, controllerOf},
		{&lifecyclev1.KeptnAppVersion{}, byController, controllerOf},
	} {
		if err := indexer.IndexField(ctx, i.object, i.field, i.keys); err != nil {
			return fmt.Errorf("index %T by %s: %w", i.object, i.field, err)
		}
	}
	return nil
}

func ownersOf(obj client.Object) []string {
	var uids []string
	for _, owner := range obj.GetOwnerReferences() {
		uids = append(uids, string(owner.UID))
	}
	return uids
}

func controllerOf(obj client.Object) []string {
	if owner := metav1.GetControllerOf(obj); owner != nil {
		return []string{string(owner.UID)}
	}
	return nil
}

func appOf(obj client.Object) []string {
	switch o := obj.(type) {
	case *lifecyclev1.KeptnWorkload:
		return []string{o.Spec.AppName}
	case *lifecyclev1.KeptnWorkloadVersion:
		return []string{o.Spec.AppName}
	default:
		return nil
	}
}

// find lists the objects of a namespace that an index has under a value. They are
// the cache's own, and not to be changed.
func find(ctx context.Context, r client.Reader, into client.ObjectList, namespace, index, value string) error {
	err := r.List(ctx, into, client.InNamespace(namespace), client.MatchingFields{index: value}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("list %T by %s %q: %w", into, index, value, err)
	}
	return nil
}
