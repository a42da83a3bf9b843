package app

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// byOwner finds KeptnWorkloads by the UIDs of their owners.
const byOwner = "appOwner"

// AddIndexes registers the field index that this package's reconcilers use, beside
// those of package workload.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &lifecyclev1.KeptnWorkload{}, byOwner, ownersOf); err != nil {
		return fmt.Errorf("index KeptnWorkloads by %s: %w", byOwner, err)
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

// find lists the objects of a namespace that an index has under a value. They are
// the cache's own, and not to be changed.
func find(ctx context.Context, r client.Reader, into client.ObjectList, namespace, index, value string) error {
	err := r.List(ctx, into, client.InNamespace(namespace), client.MatchingFields{index: value}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("list %T by %s %q: %w", into, index, value, err)
	}
	return nil
}
