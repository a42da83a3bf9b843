package lifecycle

import (
	"cmp"
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/repository"
)

// Field indexes, so that an event finds whom it concerns without a search.
const (
	// byWorkload finds what deals with a workload: deliveries under way, and the
	// Lifecycle that renders it.
	byWorkload = "workload"
	// byNamespace finds Lifecycles with workloads in a namespace.
	byNamespace = "workloadNamespace"
	// byLifecycle finds the deliveries of a Lifecycle.
	byLifecycle = "lifecycle"
	// byMissingPolicy finds deliveries under way that a policy of the namespace may serve.
	byMissingPolicy = "missingPolicy"
	// byOwner finds objects by the UID of their controller.
	byOwner = "owner"
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
		{&lifecyclev1.KeptnAppVersion{}, byWorkload, workloadsUnderWay},
		{&lifecyclev1.KeptnAppVersion{}, byLifecycle, lifecycleOf},
		{&lifecyclev1.KeptnAppVersion{}, byMissingPolicy, missingPolicies},
		{&lifecyclev1.KeptnEvaluation{}, byOwner, controllerOf},
		{&gitopsv1alpha1.Lifecycle{}, byWorkload, workloadsOf},
		{&gitopsv1alpha1.Lifecycle{}, byNamespace, namespacesOf},
		{&gitopsv1alpha1.Lifecycle{}, bySource, sourceOf},
		{&gitopsv1alpha1.SLOPolicy{}, bySource, sourceOf},
	} {
		if err := indexer.IndexField(ctx, i.object, i.field, i.keys); err != nil {
			return fmt.Errorf("index %T by %s: %w", i.object, i.field, err)
		}
	}
	return nil
}

func workloadsUnderWay(obj client.Object) []string {
	kav, ok := obj.(*lifecyclev1.KeptnAppVersion)
	if !ok || kav.Status.Status.Completed() {
		return nil
	}
	keys := make([]string, len(kav.Spec.Workloads))
	for i, w := range kav.Spec.Workloads {
		keys[i] = workloadKey(w.Kind, cmp.Or(w.Namespace, kav.Namespace), w.Name)
	}
	return keys
}

func lifecycleOf(obj client.Object) []string {
	kav, ok := obj.(*lifecyclev1.KeptnAppVersion)
	if !ok || kav.Spec.Lifecycle == nil {
		return nil
	}
	return []string{kav.Spec.Lifecycle.Namespace + "/" + kav.Spec.Lifecycle.Name}
}

func missingPolicies(obj client.Object) []string {
	kav, ok := obj.(*lifecyclev1.KeptnAppVersion)
	if !ok || kav.Spec.Lifecycle == nil || kav.Status.Status.Completed() {
		return nil
	}
	var keys []string
	for _, p := range kav.Spec.PostDeploymentPolicies {
		if p.Spec == nil {
			keys = append(keys, kav.Spec.Lifecycle.Namespace+"/"+p.Name)
		}
	}
	return keys
}

func controllerOf(obj client.Object) []string {
	if owner := metav1.GetControllerOf(obj); owner != nil {
		return []string{string(owner.UID)}
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

// onlyDeletes lets deletions through and nothing else.
func onlyDeletes() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}
