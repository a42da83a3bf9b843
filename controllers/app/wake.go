package app

import (
	"context"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/workload"
)

// Key names a workload.
type Key struct {
	// Kind is Deployment, StatefulSet, DaemonSet, ReplicaSet or Rollout.
	Kind string
	// Namespace of the workload.
	Namespace string
	// Name of the workload.
	Name string
}

// keyed are the kinds that are a workload, or a revision of one.
func keyed() []client.Object {
	return []client.Object{
		&appsv1.Deployment{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{},
		&appsv1.ReplicaSet{}, &appsv1.ControllerRevision{},
	}
}

// SetupWithManager registers the reconciler and what wakes it: a workload, a new
// revision of one, the consent of a namespace, what a Lifecycle governs, and a
// KeptnWorkload that somebody else changed. Rollouts are watched where the API
// server has them now.
func (r *Workloads) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	b := builder.TypedControllerManagedBy[Key](mgr).
		Named("keptn-discovery").
		WithOptions(controller.TypedOptions[Key]{MaxConcurrentReconciles: opts.MaxConcurrentReconciles}).
		Watches(&corev1.Namespace{}, wake(r.keysOfNamespace), builder.WithPredicates(consent())).
		Watches(&gitopsv1alpha1.Lifecycle{}, wake(keysOfLifecycle), builder.WithPredicates(otherWorkloads())).
		Watches(&lifecyclev1.KeptnWorkload{}, wake(keysOfRecord), builder.WithPredicates(changedOrGone()))
	watched := keyed()
	_, err := mgr.GetRESTMapper().RESTMapping(workload.RolloutKind.GroupKind(), workload.RolloutKind.Version)
	switch {
	case err == nil:
		rollout, _ := workload.New(workload.Rollout)
		watched, r.rollouts = append(watched, rollout), true
	case apimeta.IsNoMatchError(err):
		mgr.GetLogger().Info("Argo Rollouts are not watched: the API server does not have them", "kind", workload.RolloutKind.String())
	default:
		return fmt.Errorf("look for %s: %w", workload.RolloutKind, err)
	}
	for _, obj := range watched {
		b = b.Watches(obj, wake(keysOf), builder.WithPredicates(newState()))
	}
	return b.Complete(r)
}

func wake(keys handler.TypedMapFunc[client.Object, Key]) handler.TypedEventHandler[client.Object, Key] {
	return handler.TypedEnqueueRequestsFromMapFunc(keys)
}

func keysOf(_ context.Context, obj client.Object) []Key {
	kind, name, ok := workload.Subject(obj)
	if !ok {
		return nil
	}
	return []Key{{Kind: kind, Namespace: obj.GetNamespace(), Name: name}}
}

// keysOfNamespace are the workloads of a namespace.
func (r *Workloads) keysOfNamespace(ctx context.Context, ns client.Object) []Key {
	lists := []client.ObjectList{&appsv1.DeploymentList{}, &appsv1.StatefulSetList{}, &appsv1.DaemonSetList{}, &appsv1.ReplicaSetList{}}
	if r.rollouts {
		lists = append(lists, workload.NewRollouts())
	}
	found := map[Key]bool{}
	for _, list := range lists {
		err := r.List(ctx, list, client.InNamespace(ns.GetName()), client.UnsafeDisableDeepCopy)
		if err == nil {
			err = apimeta.EachListItem(list, func(item runtime.Object) error {
				if obj, ok := item.(client.Object); ok {
					for _, key := range keysOf(ctx, obj) {
						found[key] = true
					}
				}
				return nil
			})
		}
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "List the workloads of a namespace", "namespace", ns.GetName())
		}
	}
	return slices.Collect(maps.Keys(found))
}

func keysOfLifecycle(_ context.Context, obj client.Object) []Key { return governed(obj) }

func governed(obj client.Object) []Key {
	lc, ok := obj.(*gitopsv1alpha1.Lifecycle)
	if !ok {
		return nil
	}
	keys := make([]Key, len(lc.Status.Workloads))
	for i, w := range lc.Status.Workloads {
		keys[i] = Key{Kind: w.Kind, Namespace: w.Namespace, Name: w.Name}
	}
	return keys
}

// keysOfRecord are the workloads that own a KeptnWorkload.
func keysOfRecord(_ context.Context, obj client.Object) []Key {
	var keys []Key
	for _, owner := range obj.GetOwnerReferences() {
		if _, known := workload.New(owner.Kind); known {
			keys = append(keys, Key{Kind: owner.Kind, Namespace: obj.GetNamespace(), Name: owner.Name})
		}
	}
	return keys
}

// newState lets through what is new, and what says something else than it did.
func newState() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool { return workload.Changed(e.ObjectOld, e.ObjectNew) },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}

// consent lets through namespaces that begin to be opted in.
func consent() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool { return !enabled(e.ObjectOld) && enabled(e.ObjectNew) },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}

// enabled says whether a namespace is opted in, and stays.
func enabled(ns client.Object) bool {
	return ns.GetAnnotations()[lifecyclev1.NamespaceEnabledAnnotation] == "enabled" && ns.GetDeletionTimestamp().IsZero()
}

// otherWorkloads lets through Lifecycles that govern other workloads than before.
func otherWorkloads() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := governed(e.ObjectOld), governed(e.ObjectNew)
		return !slices.Equal(before, after)
	}}
}

// changedOrGone lets through what got another spec, or was deleted.
func changedOrGone() predicate.Predicate {
	return predicate.And(predicate.GenerationChangedPredicate{}, predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
	})
}
