package lifecycle

import (
	"context"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// wake maps an object to the Lifecycles that an index finds for it.
func (r *Reconciler) wake(index string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		return r.find(ctx, client.MatchingFields{index: client.ObjectKeyFromObject(obj).String()})
	})
}

func (r *Reconciler) wakeByWorkload(kind string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		return r.find(ctx, client.MatchingFields{byWorkload: workloadKey(kind, obj.GetNamespace(), obj.GetName())})
	})
}

func (r *Reconciler) wakeByNamespace() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		return r.find(ctx, client.MatchingFields{byNamespace: obj.GetName()})
	})
}

func (r *Reconciler) find(ctx context.Context, fields client.MatchingFields) []reconcile.Request {
	var found gitopsv1alpha1.LifecycleList
	if err := r.List(ctx, &found, fields); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List lifecycles by index", "fields", fields)
		return nil
	}
	return requestsFor(found.Items, func(lc *gitopsv1alpha1.Lifecycle) client.Object { return lc })
}

// requestsFor asks for a reconcile of each item.
func requestsFor[T any](items []T, object func(*T) client.Object) []reconcile.Request {
	requests := make([]reconcile.Request, len(items))
	for i := range items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(object(&items[i]))
	}
	return requests
}

func lifecycleOfDelivery(_ context.Context, obj client.Object) []reconcile.Request {
	kav, ok := obj.(*lifecyclev1.KeptnAppVersion)
	if !ok || kav.Spec.Lifecycle == nil {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{
		Namespace: kav.Spec.Lifecycle.Namespace, Name: kav.Spec.Lifecycle.Name,
	}}}
}

// changedByOthers lets through what others change of an object: its spec, its
// labels and annotations.
func changedByOthers() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, predicate.LabelChangedPredicate{})
}

// newGeneration lets through workloads that come, go, or get another spec.
func newGeneration() predicate.Predicate { return predicate.GenerationChangedPredicate{} }

// newRevision lets through sources that have another revision, or another spec,
// or can be read again.
func newRevision() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*gitopsv1alpha1.GitSource)
			after, ok2 := e.ObjectNew.(*gitopsv1alpha1.GitSource)
			return ok && ok2 && (before.Status.ObservedRevision != after.Status.ObservedRevision || !isReady(before) && isReady(after))
		},
	})
}

func isReady(source *gitopsv1alpha1.GitSource) bool {
	return apimeta.IsStatusConditionTrue(source.Status.Conditions, meta.ReadyCondition)
}
