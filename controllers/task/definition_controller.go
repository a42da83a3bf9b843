package task

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
)

// DefinitionReconciler keeps the scripts of KeptnTaskDefinitions where pods can
// mount them, in ConfigMaps. Of the ConfigMaps of a cluster it keeps no more in
// memory than their names.
type DefinitionReconciler struct {
	client.Client

	// APIReader reads ConfigMaps from the API server itself.
	APIReader client.Reader
	Events    events.EventRecorder
}

// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptntaskdefinitions,verbs=get;list;watch
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptntaskdefinitions/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;patch

// SetupWithManager registers the reconciler. A ConfigMap that comes, goes or changes
// wakes the definitions that refer to it.
func (r *DefinitionReconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("keptntaskdefinition").
		For(&lifecyclev1.KeptnTaskDefinition{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(r.referring), builder.OnlyMetadata).
		WithOptions(opts).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// referring are the definitions that refer to a ConfigMap.
func (r *DefinitionReconciler) referring(ctx context.Context, of client.Object) []reconcile.Request {
	var found lifecyclev1.KeptnTaskDefinitionList
	if err := r.List(ctx, &found, client.InNamespace(of.GetNamespace()), client.MatchingFields{byConfigMap: of.GetName()}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List definitions by their ConfigMap", "configMap", of.GetName())
		return nil
	}
	requests := make([]reconcile.Request, len(found.Items))
	for i := range found.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&found.Items[i])
	}
	return requests
}

// Reconcile keeps the scripts of a definition, and says in its status where they
// are, once all of them are there.
func (r *DefinitionReconciler) Reconcile(ctx context.Context, d *lifecyclev1.KeptnTaskDefinition) (reconcile.Result, error) {
	if !d.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	before := d.DeepCopy()
	d.Status.Function.ConfigMap = ""
	there, err := r.referredTo(ctx, d)
	if err == nil && there {
		there, err = r.keep(ctx, d)
	}
	if err != nil {
		return apply.Result(0, err)
	}
	if there {
		d.Status.Function.ConfigMap = keptIn(d)
	}
	_, err = apply.Status(ctx, r.Client, before, d)
	return apply.Result(0, client.IgnoreNotFound(err))
}

// referredTo says whether all ConfigMaps that a definition refers to are there,
// with a script in each.
func (r *DefinitionReconciler) referredTo(ctx context.Context, d *lifecyclev1.KeptnTaskDefinition) (bool, error) {
	for _, name := range referenced(&d.Spec) {
		found, err := r.configMap(ctx, d.Namespace, name)
		if err != nil {
			return false, err
		}
		if _, ok := found.Data[code]; !ok {
			return false, nil
		}
	}
	return true, nil
}

// keep writes the scripts that a definition holds itself into a ConfigMap that goes
// with it. It says no where another's ConfigMap has that name.
func (r *DefinitionReconciler) keep(ctx context.Context, d *lifecyclev1.KeptnTaskDefinition) (bool, error) {
	data := inlined(&d.Spec)
	if len(data) == 0 {
		return true, nil
	}
	name := scriptsName(d.Name)
	have, err := r.configMap(ctx, d.Namespace, name)
	if err != nil {
		return false, err
	}
	exists := have.Name != ""
	if exists && !metav1.IsControlledBy(have, d) {
		r.failed(d, "could not update configmap: "+name+" is there already, and not of this definition: delete it, or give the definition another name")
		return false, nil
	}
	if exists && maps.Equal(have.Data, data) {
		return true, nil
	}
	kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: name}, Data: data}
	if err := apply.Own(d, kept, r.Scheme()); err != nil {
		return false, err
	}
	err = apply.Object(ctx, r.Client, kept, "keptntaskdefinition")
	if err != nil && !apply.Terminating(err) {
		verb := "create"
		if exists {
			verb = "update"
		}
		r.failed(d, fmt.Sprintf("could not %s configmap: %v", verb, err))
	}
	return err == nil, err
}

// configMap is a ConfigMap as it is now, empty where there is none.
func (r *DefinitionReconciler) configMap(ctx context.Context, namespace, name string) (*corev1.ConfigMap, error) {
	found := &corev1.ConfigMap{}
	if err := r.APIReader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, found); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("ConfigMap %s/%s: %w", namespace, name, err)
	}
	return found, nil
}

func (r *DefinitionReconciler) failed(d *lifecyclev1.KeptnTaskDefinition, why string) {
	tell(r.Events, d, reconcileTask, "Failed", corev1.EventTypeWarning, why)
}
