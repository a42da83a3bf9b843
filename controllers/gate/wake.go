package gate

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/workload"
)

// Field indexes, so that an event finds whom it concerns without a search.
const (
	// byGate finds pods by the name of our gate.
	byGate = "schedulingGate"
	// byNamespace finds Lifecycles with workloads in a namespace.
	byNamespace = "gatedNamespace"
)

// AddIndexes registers the field indexes that the reconciler reads by, beside those
// of package lifecycle and package workload.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, &corev1.Pod{}, byGate, func(obj client.Object) []string {
		if pod, ok := obj.(*corev1.Pod); ok && isGated(pod) {
			return []string{lifecyclev1.SchedulingGate}
		}
		return nil
	})
	if err == nil {
		err = indexer.IndexField(ctx, &gitopsv1alpha1.Lifecycle{}, byNamespace, func(obj client.Object) []string {
			return namespacesOf(obj)
		})
	}
	if err != nil {
		return fmt.Errorf("index for gates: %w", err)
	}
	return nil
}

func isGated(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool {
		return g.Name == lifecyclev1.SchedulingGate
	})
}

// namespacesOf are the namespaces in which an object decides over gates, if it is of
// a kind that names them.
func namespacesOf(obj client.Object) []string {
	var namespaces []string
	switch o := obj.(type) {
	case *gitopsv1alpha1.Lifecycle:
		for _, w := range o.Status.Workloads {
			namespaces = append(namespaces, w.Namespace)
		}
	case *lifecyclev1.KeptnAppVersion:
		for _, w := range o.Spec.Workloads {
			namespaces = append(namespaces, cmp.Or(w.Namespace, o.Namespace))
		}
	case *corev1.Namespace:
		return []string{o.Name}
	default:
		return []string{obj.GetNamespace()}
	}
	slices.Sort(namespaces)
	return slices.Compact(namespaces)
}

// +kubebuilder:rbac:groups="",resources=namespaces;pods,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets;replicasets;controllerrevisions,verbs=get;list;watch
// +kubebuilder:rbac:groups=argoproj.io,resources=rollouts,verbs=get;list;watch
// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=gitsources;lifecycles,verbs=get;list;watch
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnappversions;keptnworkloadversions,verbs=get;list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingadmissionpolicies;mutatingadmissionpolicybindings,resourceNames=keptn-gate,verbs=get;list;watch

// SetupWithManager registers the reconciler and what wakes it: gated pods, decisions
// over revisions, what names workloads from Git, revisions that run out, the consent
// of namespaces, and the admission policy itself.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	policies, err := r.policies(mgr)
	if err != nil {
		return err
	}
	b := ctrl.NewControllerManagedBy(mgr).
		Named("keptn-gate").
		For(&corev1.Namespace{}, builder.WithPredicates(r.consent())).
		Watches(&corev1.Pod{}, wake(), builder.WithPredicates(comes(isGated))).
		Watches(&lifecyclev1.KeptnWorkloadVersion{}, wake(), builder.WithPredicates(decides((*lifecyclev1.KeptnWorkloadVersion).Released))).
		Watches(&lifecyclev1.KeptnAppVersion{}, wake(), builder.WithPredicates(decides(releasedFromGit))).
		Watches(&gitopsv1alpha1.Lifecycle{}, wake(), builder.WithPredicates(speaks())).
		Watches(&gitopsv1alpha1.GitSource{}, r.wakeBySource(), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&appsv1.ReplicaSet{}, wake(), builder.WithPredicates(changes(drained))).
		WithOptions(opts)
	for kind, object := range workload.Committed {
		b = b.Watches(object(), r.wakeByWorkload(kind))
	}
	if policies != nil {
		b = b.WatchesRawSource(policyChanges(r, policies, &admissionv1.MutatingAdmissionPolicy{})).
			WatchesRawSource(policyChanges(r, policies, &admissionv1.MutatingAdmissionPolicyBinding{}))
	}
	return b.Complete(r)
}

// wake wakes all namespaces in which an object decides over gates.
func wake() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, obj client.Object) []reconcile.Request {
		return requests(namespacesOf(obj))
	})
}

func requests(namespaces []string) []reconcile.Request {
	all := make([]reconcile.Request, len(namespaces))
	for i, name := range namespaces {
		all[i].NamespacedName = types.NamespacedName{Name: name}
	}
	return all
}

// wakeBySource wakes the namespaces of all Lifecycles of a GitSource.
func (r *Reconciler) wakeBySource() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, obj client.Object) []reconcile.Request {
		var lifecycles gitopsv1alpha1.LifecycleList
		err := r.List(ctx, &lifecycles, client.MatchingFields{repository.SourceIndex: client.ObjectKeyFromObject(obj).String()}, shared)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "List lifecycles of a GitSource")
			return nil
		}
		var all []reconcile.Request
		for i := range lifecycles.Items {
			all = append(all, requests(namespacesOf(&lifecycles.Items[i]))...)
		}
		return all
	})
}

// policyChanges wakes all namespaces when the admission policy comes or goes.
func policyChanges[T client.Object](r *Reconciler, policies cache.Cache, obj T) source.Source {
	return source.Kind(policies, obj, handler.TypedEnqueueRequestsFromMapFunc(func(ctx context.Context, _ T) []reconcile.Request {
		r.look(ctx, policies)
		var namespaces corev1.NamespaceList
		if err := r.List(ctx, &namespaces, shared); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "List namespaces")
			return nil
		}
		var all []reconcile.Request
		for i := range namespaces.Items {
			all = append(all, requests(namespacesOf(&namespaces.Items[i]))...)
		}
		return all
	}))
}

// comes lets an object through when it appears as asked for.
func comes[T client.Object](asked func(T) bool) predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool {
			obj, ok := e.Object.(T)
			return ok && asked(obj)
		},
		UpdateFunc: func(event.UpdateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}

// decides lets deliveries through when they release what they deliver, when what
// they have released changes, and when they go.
func decides[T client.Object](released func(T) bool) predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool {
			obj, ok := e.Object.(T)
			return ok && released(obj)
		},
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(T)
			after, ok2 := e.ObjectNew.(T)
			return ok && ok2 && (released(before) != released(after) ||
				released(after) && before.GetGeneration() != after.GetGeneration())
		},
	}
}

func releasedFromGit(kav *lifecyclev1.KeptnAppVersion) bool {
	return kav.Spec.Lifecycle != nil && kav.Released()
}

// speaks lets Lifecycles through when what they say of their workloads changes.
func speaks() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*gitopsv1alpha1.Lifecycle)
		after, ok2 := e.ObjectNew.(*gitopsv1alpha1.Lifecycle)
		return ok && ok2 && (!equality.Semantic.DeepEqual(before.Status.Workloads, after.Status.Workloads) ||
			!equality.Semantic.DeepEqual(before.Status.Delivery, after.Status.Delivery) ||
			unmatched(before) != unmatched(after) ||
			before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero())
	}}
}

// changes lets updates through by which an object changes as asked for.
func changes[T client.Object](asked func(before, after T) bool) predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(T)
			after, ok2 := e.ObjectNew.(T)
			return ok && ok2 && asked(before, after)
		},
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}

// drained says whether a ReplicaSet is to have no pods any more, so that it loses
// its release unless it is the newest.
func drained(before, after *appsv1.ReplicaSet) bool {
	return wants(before) && !wants(after)
}

func wants(rs *appsv1.ReplicaSet) bool { return rs.Spec.Replicas == nil || *rs.Spec.Replicas > 0 }
