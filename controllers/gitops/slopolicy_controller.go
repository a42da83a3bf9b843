package gitops

import (
	"context"

	"github.com/fluxcd/pkg/apis/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/policy"
)

// PolicyReconciler says of every SLOPolicy whether it compiles. Who uses a
// policy compiles it for himself.
type PolicyReconciler struct {
	client.Client
}

// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=slopolicies/status,verbs=patch

// SetupWithManager registers the reconciler.
func (r *PolicyReconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("slopolicy").
		For(&gitopsv1alpha1.SLOPolicy{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(opts).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile compiles the policy.
func (r *PolicyReconciler) Reconcile(ctx context.Context, p *gitopsv1alpha1.SLOPolicy) (reconcile.Result, error) {
	before := p.DeepCopy()
	p.Status.ObservedGeneration = p.Generation
	if _, err := policy.Compile(p.Name, p.Spec); err != nil {
		condition.Summarize(p, condition.Failed(gitopsv1alpha1.InvalidPolicyReason, "%v", err))
	} else {
		condition.Summarize(p, condition.Ready(meta.SucceededReason, "%d rules over %d metrics", len(p.Spec.Rules), len(p.Spec.Metrics)))
	}
	_, err := apply.Status(ctx, r.Client, before, p)
	return apply.Result(0, err)
}
