package delivery

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/workload"
)

// A finder finds the deliveries that an event of an object concerns.
type finder func(ctx context.Context, r client.Reader, obj client.Object) []reconcile.Request

// wake asks for a reconcile of what a finder finds.
func wake(r client.Reader, find finder) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		return find(ctx, r, obj)
	})
}

// deliveries makes an empty list of one kind of delivery.
type deliveries func() client.ObjectList

var (
	appVersions      deliveries = func() client.ObjectList { return &lifecyclev1.KeptnAppVersionList{} }
	workloadVersions deliveries = func() client.ObjectList { return &lifecyclev1.KeptnWorkloadVersionList{} }
)

// by finds deliveries by an index.
func (l deliveries) by(ctx context.Context, r client.Reader, field, key string, opts ...client.ListOption) []reconcile.Request {
	list := l()
	if err := r.List(ctx, list, append(opts, client.MatchingFields{field: key})...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List deliveries by index", "field", field, "key", key)
		return nil
	}
	var requests []reconcile.Request
	_ = apimeta.EachListItem(list, func(item runtime.Object) error {
		if obj, ok := item.(client.Object); ok {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(obj)})
		}
		return nil
	})
	return requests
}

// definitions are the kinds that checks are defined by.
func definitions() []client.Object {
	return []client.Object{
		&lifecyclev1.KeptnTaskDefinition{}, &lifecyclev1.KeptnEvaluationDefinition{},
		&gitopsv1alpha1.SLOPolicy{}, &metricsv1.AnalysisDefinition{},
	}
}

// waitingFor finds the deliveries under way that name a definition as a check.
func (l deliveries) waitingFor(ctx context.Context, r client.Reader, obj client.Object) []reconcile.Request {
	return l.by(ctx, r, byCheck, obj.GetName())
}

// appsOfWorkload finds the deliveries of the app that a delivery of a workload is of.
func appsOfWorkload(ctx context.Context, r client.Reader, obj client.Object) []reconcile.Request {
	kwv, ok := obj.(*lifecyclev1.KeptnWorkloadVersion)
	if !ok {
		return nil
	}
	return appVersions.by(ctx, r, workload.ByApp, kwv.Spec.AppName, client.InNamespace(kwv.Namespace))
}

// workloadsOfApp finds the deliveries of workloads of the app that is delivered.
func workloadsOfApp(ctx context.Context, r client.Reader, obj client.Object) []reconcile.Request {
	kav, ok := obj.(*lifecyclev1.KeptnAppVersion)
	if !ok || kav.Spec.Lifecycle != nil {
		return nil
	}
	return workloadVersions.by(ctx, r, workload.ByApp, kav.Spec.AppName, client.InNamespace(kav.Namespace))
}

// sameWorkload finds the deliveries of the same workload.
func sameWorkload(ctx context.Context, r client.Reader, obj client.Object) []reconcile.Request {
	return workloadVersions.by(ctx, r, workload.ByController, string(uidOf(obj)), client.InNamespace(obj.GetNamespace()))
}

// sameApp finds the deliveries of the same app.
func sameApp(ctx context.Context, r client.Reader, obj client.Object) []reconcile.Request {
	kav, ok := obj.(*lifecyclev1.KeptnAppVersion)
	if !ok {
		return nil
	}
	return appVersions.by(ctx, r, workload.ByApp, kav.Spec.AppName, client.InNamespace(kav.Namespace))
}

// ofLifecycle finds the deliveries of a Lifecycle.
func ofLifecycle(ctx context.Context, r client.Reader, obj client.Object) []reconcile.Request {
	return appVersions.by(ctx, r, ByLifecycle, client.ObjectKeyFromObject(obj).String())
}

// ofCommitted finds the deliveries from Git that a workload is part of.
func ofCommitted(kind string) finder {
	return func(ctx context.Context, r client.Reader, obj client.Object) []reconcile.Request {
		return appVersions.by(ctx, r, byWorkload, workloadKey(kind, obj.GetNamespace(), obj.GetName()))
	}
}

// ofResource finds the deliveries of a workload that is seen: those of everything it
// owns that owns pods.
func ofResource(ctx context.Context, r client.Reader, obj client.Object) []reconcile.Request {
	requests := workloadVersions.by(ctx, r, byResource, string(obj.GetUID()), client.InNamespace(obj.GetNamespace()))
	switch obj.(type) {
	case *appsv1.StatefulSet, *appsv1.DaemonSet, *appsv1.ReplicaSet:
		return requests
	}
	owned, err := workload.ReplicaSetsOf(ctx, r, obj)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List the ReplicaSets of a workload", "name", obj.GetName())
	}
	for i := range owned {
		requests = append(requests, workloadVersions.by(ctx, r, byResource, string(owned[i].UID), client.InNamespace(obj.GetNamespace()))...)
	}
	return requests
}

// ofRevision finds the deliveries of the workload that a ControllerRevision is of.
func ofRevision(ctx context.Context, r client.Reader, obj client.Object) []reconcile.Request {
	return workloadVersions.by(ctx, r, byResource, string(uidOf(obj)), client.InNamespace(obj.GetNamespace()))
}

// asked lets through what people ask of a delivery: its spec, and its annotations.
func asked() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
}

// onlyDeletes lets deletions through and nothing else.
func onlyDeletes() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// revised lets through ControllerRevisions that come, and those that become the
// newest again, as with a rollback.
func revised() predicate.Predicate {
	p := onlyCreates()
	p.UpdateFunc = func(e event.UpdateEvent) bool { return workload.Changed(e.ObjectOld, e.ObjectNew) }
	return p
}

// onlyCreates lets through what comes, and nothing else.
func onlyCreates() predicate.Funcs {
	return predicate.Funcs{
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}
