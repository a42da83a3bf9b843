package lifecycle

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/evidence"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/workload"
)

// Field indexes, so that an event finds whom it concerns without a search.
const (
	// byWorkload finds the Lifecycle that renders a workload.
	byWorkload = "workload"
	// byNamespace finds Lifecycles with workloads in a namespace.
	byNamespace = "workloadNamespace"
	// byRelease finds the Lifecycles that render to a HelmRelease.
	byRelease = "release"
	// byApplier finds workloads that were applied by a Kustomization, a HelmRelease or
	// an Application.
	byApplier = "applier"
	// bySource finds what was read from Git by the GitSource that read it.
	bySource = repository.SourceIndex
)

func workloadKey(kind, namespace, name string) string {
	return kind + "/" + namespace + "/" + name
}

// AddIndexes registers the field indexes that this package's reconcilers use.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for _, i := range []struct {
		object client.Object
		field  string
		keys   client.IndexerFunc
	}{
		{&gitopsv1alpha1.Lifecycle{}, byWorkload, workloadsOf},
		{&gitopsv1alpha1.Lifecycle{}, byNamespace, namespacesOf},
		{&gitopsv1alpha1.Lifecycle{}, byRelease, releasesOf},
		{&gitopsv1alpha1.Lifecycle{}, bySource, sourceOf},
		{&gitopsv1alpha1.SLOPolicy{}, bySource, sourceOf},
	} {
		if err := indexer.IndexField(ctx, i.object, i.field, i.keys); err != nil {
			return fmt.Errorf("index %T by %s: %w", i.object, i.field, err)
		}
	}
	for kind, object := range workload.Committed {
		appliers := func(obj client.Object) []string { return evidence.Appliers(kind, obj) }
		if err := indexer.IndexField(ctx, object(), byApplier, appliers); err != nil {
			return fmt.Errorf("index %s by %s: %w", kind, byApplier, err)
		}
	}
	return nil
}

func workloadsOf(obj client.Object) []string {
	lc, ok := obj.(*gitopsv1alpha1.Lifecycle)
	if !ok {
		return nil
	}
	keys := make([]string, len(lc.Status.Workloads))
	for i, w := range lc.Status.Workloads {
		keys[i] = workloadKey(w.Kind, w.Namespace, w.Name)
	}
	return keys
}

func releasesOf(obj client.Object) []string {
	lc, ok := obj.(*gitopsv1alpha1.Lifecycle)
	if !ok {
		return nil
	}
	keys := make([]string, len(lc.Status.Releases))
	for i, of := range lc.Status.Releases {
		keys[i] = evidence.ReleaseKey(types.NamespacedName{Namespace: of.Namespace, Name: of.Name})
	}
	return keys
}

func namespacesOf(obj client.Object) []string {
	lc, ok := obj.(*gitopsv1alpha1.Lifecycle)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	var keys []string
	for _, w := range lc.Status.Workloads {
		if !seen[w.Namespace] {
			seen[w.Namespace] = true
			keys = append(keys, w.Namespace)
		}
	}
	return keys
}

func sourceOf(obj client.Object) []string {
	if source := obj.GetLabels()[gitopsv1alpha1.SourceLabel]; source != "" {
		return []string{obj.GetNamespace() + "/" + source}
	}
	return nil
}
