package gate

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

// wakeByWorkload wakes the namespace of a workload whose newest revision becomes
// known, in case a Lifecycle waits for it; and where a StatefulSet comes to the end
// of a revision, or what a workload's annotations ask for changes.
func (r *Reconciler) wakeByWorkload(kind string) handler.EventHandler {
	return handler.Funcs{UpdateFunc: func(ctx context.Context, e event.UpdateEvent, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) {
		before, after := e.ObjectOld, e.ObjectNew
		if revisionsOf(before) != revisionsOf(after) || r.manages(kind, before) != r.manages(kind, after) ||
			!settled(before) && settled(after) && r.named(ctx, after.GetNamespace()) {
			for _, request := range requests(namespacesOf(after)) {
				queue.Add(request)
			}
		}
	}}
}

// revisionsOf are the old and the new revision of a StatefulSet; of others the
// ReplicaSets, and their own word on the newest, tell.
func revisionsOf(obj client.Object) [2]string {
	if s, ok := obj.(*appsv1.StatefulSet); ok {
		return [2]string{s.Status.CurrentRevision, s.Status.UpdateRevision}
	}
	return [2]string{}
}

func (r *Reconciler) manages(kind string, obj client.Object) bool {
	w, err := plain(top{kind, obj.GetName()}, obj)
	return err == nil && r.Managed(w)
}

// settled says whether the status of a workload speaks of its spec.
func settled(obj client.Object) bool {
	switch o := obj.(type) {
	case *appsv1.Deployment:
		return o.Status.ObservedGeneration >= o.Generation
	case *appsv1.StatefulSet:
		return o.Status.ObservedGeneration >= o.Generation
	case *appsv1.DaemonSet:
		return o.Status.ObservedGeneration >= o.Generation
	default:
		return true
	}
}

// named says whether a Lifecycle names workloads of a namespace.
func (r *Reconciler) named(ctx context.Context, namespace string) bool {
	var lifecycles gitopsv1alpha1.LifecycleList
	if err := r.List(ctx, &lifecycles, client.MatchingFields{byNamespace: namespace}, shared, client.Limit(1)); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List lifecycles by namespace")
		return true
	}
	return len(lifecycles.Items) > 0
}

// Governed says whether a Lifecycle in Git has a say over a workload, so that its
// annotations have none.
func (r *Reconciler) Governed(ctx context.Context, kind, namespace, name string) (bool, error) {
	var lifecycles gitopsv1alpha1.LifecycleList
	if err := r.List(ctx, &lifecycles, client.MatchingFields{byNamespace: namespace}, shared); err != nil {
		return false, err
	}
	for i := range lifecycles.Items {
		lc := &lifecycles.Items[i]
		for _, w := range lc.Status.Workloads {
			if w.Kind != kind || w.Namespace != namespace || w.Name != name {
				continue
			}
			if may, err := r.governs(ctx, lc, namespace); may || err != nil {
				return may, err
			}
		}
	}
	return false, nil
}

// unmatched says whether the time is over to find a commit that explains what runs.
func unmatched(lc *gitopsv1alpha1.Lifecycle) bool {
	c := apimeta.FindStatusCondition(lc.Status.Conditions, gitopsv1alpha1.MatchedCondition)
	return c != nil && c.Status == metav1.ConditionFalse && c.Reason == gitopsv1alpha1.UnmatchedReason
}

// consent lets namespaces through when they come, when they ask for gates or no
// longer do, when they agree to be governed from elsewhere, and when somebody else
// changes our annotations.
func (r *Reconciler) consent() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*corev1.Namespace)
			after, ok2 := e.ObjectNew.(*corev1.Namespace)
			return ok && ok2 && (enabled(before) != enabled(after) ||
				before.Annotations[gitopsv1alpha1.AllowFromAnnotation] != after.Annotations[gitopsv1alpha1.AllowFromAnnotation] ||
				r.changedByOthers(before, after))
		},
	}
}

func (r *Reconciler) changedByOthers(before, after *corev1.Namespace) bool {
	if before.Annotations[GatedAnnotation] == after.Annotations[GatedAnnotation] &&
		before.Annotations[ReleasedAnnotation] == after.Annotations[ReleasedAnnotation] {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said[after.Name].version != after.ResourceVersion
}
