package gitops

import (
	"context"
	"fmt"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/repository"
)

// byLender is the field index of GitSources by the object that they borrow from.
const byLender = "lender"

// AddIndexes registers the field index that this package's reconcilers use, beside that
// of package lifecycle.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, &gitopsv1alpha1.GitSource{}, byLender, func(obj client.Object) []string {
		source, ok := obj.(*gitopsv1alpha1.GitSource)
		if !ok {
			return nil
		}
		kind, name, borrows := repository.Lender(source)
		if !borrows {
			return nil
		}
		return []string{kind + "/" + name.String()}
	})
	if err != nil {
		return fmt.Errorf("index GitSources by %s: %w", byLender, err)
	}
	return nil
}

// wakeBorrowers wakes the sources that borrow from an object.
func (r *Reconciler) wakeBorrowers(kind string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		var sources gitopsv1alpha1.GitSourceList
		err := r.List(ctx, &sources, client.MatchingFields{byLender: kind + "/" + client.ObjectKeyFromObject(obj).String()})
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "List the sources that borrow from an object", "kind", kind)
			return nil
		}
		requests := make([]reconcile.Request, len(sources.Items))
		for i := range sources.Items {
			requests[i].NamespacedName = client.ObjectKeyFromObject(&sources.Items[i])
		}
		return requests
	})
}

// lendsOtherwise lets objects through that come, that go, or that change what they lend
// or to whom. Of an Application the status is written often, with a new generation.
func lendsOtherwise() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.GetAnnotations(), e.ObjectNew.GetAnnotations()
		return before[gitopsv1alpha1.AllowFromAnnotation] != after[gitopsv1alpha1.AllowFromAnnotation] ||
			!equality.Semantic.DeepEqual(specOf(e.ObjectOld), specOf(e.ObjectNew))
	}}
}

func specOf(obj client.Object) any {
	switch o := obj.(type) {
	case *sourcev1.GitRepository:
		return o.Spec
	case *unstructured.Unstructured:
		return o.Object["spec"]
	}
	return nil
}
