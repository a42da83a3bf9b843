package evaluation

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// MaxObject is how large a record may be.
const MaxObject = maxObject

// What is decided without a cluster, for tests.
var (
	Due            = due
	Slot           = slot
	Record         = record
	Bound          = bound
	ExplainLines   = explainLines
	MeasurementsOf = measurementsOf
	ObjectivesOf   = objectivesOf
	Conclusion     = conclusion
	End            = end
	InputOf        = input
	Fit            = fit
)

// Evaluate measures once and judges.
func (r *Reconciler) Evaluate(ctx context.Context, e *lifecyclev1.KeptnEvaluation, now time.Time) {
	r.evaluate(ctx, e, now)
}

// KeptnMetric is the newest value of a KeptnMetric.
func (r *Reconciler) KeptnMetric(ctx context.Context, key types.NamespacedName) (float64, time.Time, error) {
	return r.keptnMetric(ctx, key)
}
