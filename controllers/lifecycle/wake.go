package lifecycle

import (
	"context"
	"fmt"
	"slices"

	"github.com/fluxcd/pkg/apis/meta"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/evidence"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/workload"
)

// wake maps an object to the Lifecycles that an index finds for it.
func (r *Reconciler) wake(index string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		return r.find(ctx, client.MatchingFields{index: client.ObjectKeyFromObject(obj).String()})
	})
}

func (r *Reconciler) wakeByWorkload(kind string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		requests := r.find(ctx, client.MatchingFields{byWorkload: workloadKey(kind, obj.GetNamespace(), obj.GetName())})
		if of, named := evidence.ReleaseOf(obj); named {
			requests = append(requests, r.find(ctx, client.MatchingFields{byRelease: evidence.ReleaseKey(of)})...)
		}
		return requests
	})
}

// watchAppliers has Lifecycles look again once those who apply say what they did.
func (r *Reconciler) watchAppliers(c controller.Controller) error {
	for _, applier := range evidence.Kinds() {
		if err := r.Kinds.Watch(c, applier, handler.EnqueueRequestsFromMapFunc(r.untiedOf)); err != nil {
			return fmt.Errorf("watch %s: %w", applier.GetKind(), err)
		}
	}
	return nil
}

// untiedOf are the Lifecycles with workloads of an applier that are not tied to a commit
// yet.
func (r *Reconciler) untiedOf(ctx context.Context, obj client.Object) []reconcile.Request {
	applier, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	var requests []reconcile.Request
	for _, key := range evidence.Concerned(applier) {
		for kind := range workload.Committed {
			found, err := r.untiedAmong(ctx, kind, key)
			if err != nil {
				ctrl.LoggerFrom(ctx).Error(err, "Find lifecycles by applier", "applier", key)
			}
			requests = append(requests, found...)
		}
	}
	return requests
}

// untiedAmong are the Lifecycles with workloads of one kind that name an applier, and
// that are not tied to a commit as they are now.
func (r *Reconciler) untiedAmong(ctx context.Context, kind, applier string) ([]reconcile.Request, error) {
	applied, err := r.appliedBy(ctx, kind, applier)
	if err != nil {
		return nil, err
	}
	var requests []reconcile.Request
	for _, live := range applied {
		seen, err := workload.Observe(kind, live)
		if err != nil {
			return requests, err
		}
		found, err := r.untiedTo(ctx, seen)
		if err != nil {
			return requests, err
		}
		requests = append(requests, found...)
	}
	return requests, nil
}

// untiedTo are the Lifecycles of a workload that do not say yet which commit it is of, as
// it is now. With releases they are also those that say it is of another commit than the
// newest, which may have left it as it was.
func (r *Reconciler) untiedTo(ctx context.Context, w *workload.Workload) ([]reconcile.Request, error) {
	var found gitopsv1alpha1.LifecycleList
	if err := r.List(ctx, &found, client.MatchingFields{byWorkload: workloadKey(w.Kind, w.Namespace, w.Name)}); err != nil {
		return nil, fmt.Errorf("list lifecycles of %s: %w", w, err)
	}
	if of, named := releaseOf(w); named {
		var more gitopsv1alpha1.LifecycleList
		if err := r.List(ctx, &more, client.MatchingFields{byRelease: evidence.ReleaseKey(of)}); err != nil {
			return nil, fmt.Errorf("list lifecycles of the HelmRelease of %s: %w", w, err)
		}
		found.Items = append(found.Items, more.Items...)
	}
	tied := func(lc gitopsv1alpha1.Lifecycle) bool {
		status := statusOf(lc.Status.Workloads, w)
		return status != nil && status.Commit != "" && status.TemplateHash == w.TemplateHash &&
			(len(lc.Status.Releases) == 0 || lc.Status.Delivery == nil || lc.Status.Delivery.Commit == status.Commit && !waits(&lc))
	}
	return requestsFor(slices.DeleteFunc(found.Items, tied), func(lc *gitopsv1alpha1.Lifecycle) client.Object { return lc }), nil
}

// wakeUnmatched wakes the Lifecycles of a namespace with workloads that no commit
// explains: a commit of another source may refer to theirs.
func (r *Reconciler) wakeUnmatched() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		var found gitopsv1alpha1.LifecycleList
		if err := r.List(ctx, &found, client.InNamespace(obj.GetNamespace())); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "List lifecycles", "namespace", obj.GetNamespace())
			return nil
		}
		matched := func(lc gitopsv1alpha1.Lifecycle) bool { return lc.Status.UnmatchedSince == nil }
		return requestsFor(slices.DeleteFunc(found.Items, matched), func(lc *gitopsv1alpha1.Lifecycle) client.Object { return lc })
	})
}

// wakeSame wakes the Lifecycles of the sources that have the contexts of another one.
func (r *Reconciler) wakeSame() handler.EventHandler {
	same := report.WakeSame(r)
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		var requests []reconcile.Request
		for _, source := range same(ctx, obj) {
			requests = append(requests, r.find(ctx, client.MatchingFields{bySource: source.String()})...)
		}
		return requests
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

// newRevision lets through sources that have another revision, repository or spec, can be
// read again, or may know other keys.
func newRevision() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*gitopsv1alpha1.GitSource)
			after, ok2 := e.ObjectNew.(*gitopsv1alpha1.GitSource)
			return ok && ok2 && (before.Status.ObservedRevision != after.Status.ObservedRevision ||
				before.Status.URL != after.Status.URL || !isReady(before) && isReady(after) ||
				isVerified(before) != isVerified(after) || wasLookedAt(before, after))
		},
	})
}

// wasLookedAt says whether a source that asks for signatures was looked at because somebody
// had asked for it: other keys may be known by now.
func wasLookedAt(before, after *gitopsv1alpha1.GitSource) bool {
	return apimeta.FindStatusCondition(after.Status.Conditions, gitopsv1alpha1.SourceVerifiedCondition) != nil &&
		before.Status.LastHandledReconcileAt != after.Status.LastHandledReconcileAt
}

func isVerified(source *gitopsv1alpha1.GitSource) bool {
	return apimeta.IsStatusConditionTrue(source.Status.Conditions, gitopsv1alpha1.SourceVerifiedCondition)
}

func isReady(source *gitopsv1alpha1.GitSource) bool {
	return apimeta.IsStatusConditionTrue(source.Status.Conditions, meta.ReadyCondition)
}
