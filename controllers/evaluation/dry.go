package evaluation

import (
	"context"
	"time"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/policy"
)

// Dry measures once what the policy of an evaluation reads, and judges it as an evaluation
// of a delivery is judged. It needs Providers and Metrics alone, repeats nothing, and
// records nothing: the evaluation need not be an object of the cluster, and stays as it is.
// An error is one of the policy.
func (r *Reconciler) Dry(ctx context.Context, e *lifecyclev1.KeptnEvaluation, now time.Time) (policy.Verdict, error) {
	p, err := r.policies.compile(e.Spec.EvaluationDefinition, *e.Spec.Policy)
	if err != nil {
		return policy.Verdict{}, err
	}
	return p.Explain(ctx, input(e, r.measure(ctx, e, p, now))), nil
}
