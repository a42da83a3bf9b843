package evaluation

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// MaxObject is how large a record may be.
const MaxObject = maxObject

// ByDefinition is the name of an index.
const ByDefinition = byDefinition

// What is decided without a cluster, for tests.
var (
	Due            = due
	Slot           = slot
	Record         = record
	ExplainLines   = explainLines
	MeasurementsOf = measurementsOf
	ObjectivesOf   = objectivesOf
	Conclusion     = conclusion
	End            = end
	Fit            = fit
	Compared       = compared
	ProblemOf      = problemOf
	RetriesOf      = retriesOf
	Free           = free[int]
	AnalysisName   = analysisName
	AnalysisOf     = analysisOf
	DefinitionOf   = definitionOf
)

// Met says whether a value is as a target says.
func Met(target string, value float64) (bool, error) {
	t, err := parseTarget(target)
	return err == nil && t.met(value), err
}

// MeasureOnce measures once and judges.
func (r *Reconciler) MeasureOnce(ctx context.Context, e *lifecyclev1.KeptnEvaluation, now time.Time) {
	r.measureOnce(ctx, e, now)
}

// KeptnMetric is the newest value of a KeptnMetric.
func (r *Reconciler) KeptnMetric(ctx context.Context, key types.NamespacedName) (float64, time.Time, error) {
	return r.keptnMetric(ctx, key)
}

// Evaluating are the evaluations under way that a definition may serve.
func (r *Reconciler) Evaluating(ctx context.Context, definition client.Object) []reconcile.Request {
	return r.evaluating(ctx, definition)
}
