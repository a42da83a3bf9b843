package metrics

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/serving"
	"github.com/keptn/gitops/policy/analysis"
)

// What is decided without a cluster, for tests.
var (
	Observe      = observe
	WorthWriting = worthWriting
	Begin        = begin
	Postpone     = postpone
	Complete     = complete
)

// Of is the value of a KeptnMetric that is served.
func (v *Values) Of(m *metricsv1.KeptnMetric) serving.Value { return v.of(m) }

// Values are the values of an Analysis's objectives.
func (r *AnalysisReconciler) Values(ctx context.Context, a *metricsv1.Analysis, d *metricsv1.AnalysisDefinition) map[metricsv1.ObjectReference]analysis.Value {
	return r.values(ctx, a, d)
}

// Asking are the KeptnMetrics that ask a provider.
func (r *MetricReconciler) Asking(ctx context.Context, of client.Object) []reconcile.Request {
	return r.asking(ctx, of)
}
