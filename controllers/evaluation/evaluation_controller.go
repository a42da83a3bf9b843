// Package evaluation carries out KeptnEvaluations: one check of a delivery, and the
// record of its verdict with all that led there. What is judged by is an SLOPolicy
// (policy.go), an AnalysisDefinition (analysis.go), or the objectives of a
// KeptnEvaluationDefinition (objectives.go). When a delivery is judged, and what
// follows from it, is not decided here.
package evaluation

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/provider"
	"github.com/keptn/gitops/controllers/serving"
	"github.com/keptn/gitops/telemetry"
)

// fieldOwner owns what this package creates.
const fieldOwner = "keptnevaluation"

// maxSummary is how much of a verdict's summary a record keeps, in runes.
const maxSummary = 500

// A MetricReader has the newest values of KeptnMetrics.
type MetricReader interface {
	// Get returns one KeptnMetric; where there is none the error is one for which
	// IsNotFound of k8s.io/apimachinery/pkg/api/errors holds. A KeptnMetric that
	// has not been measured yet is no error: its HasValue is false.
	Get(ctx context.Context, name types.NamespacedName) (serving.Value, error)
}

// Reconciler carries out KeptnEvaluations until there is a verdict. A verdict is
// final.
type Reconciler struct {
	client.Client

	Clock  clock.PassiveClock
	Events events.EventRecorder
	// Providers are asked.
	Providers *provider.Providers
	// Metrics are the values of KeptnMetrics.
	Metrics MetricReader
	// OwnNamespace is the one that Keptn runs in: it has the definitions and
	// KeptnMetrics that an evaluation's own namespace lacks. Where it is empty there
	// are none.
	OwnNamespace string
	// Teller is told of every change of an evaluation once it is recorded.
	Teller *telemetry.Teller

	policies policies
}

// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnevaluations;keptnevaluationdefinitions,verbs=get;list;watch
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnevaluations/status,verbs=patch
// +kubebuilder:rbac:groups=metrics.keptn.sh,resources=analyses,verbs=get;list;watch;create
// +kubebuilder:rbac:groups=metrics.keptn.sh,resources=keptnmetrics,verbs=get;list;watch

// SetupWithManager registers the reconciler, which needs the indexes of AddIndexes.
// A definition that comes or changes wakes the evaluations of it, and an Analysis
// the evaluation that it was made for.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	return ctrl.NewControllerManagedBy(mgr).
		Named("keptnevaluation").
		For(&lifecyclev1.KeptnEvaluation{}, changed).
		Owns(&metricsv1.Analysis{}).
		Watches(&lifecyclev1.KeptnEvaluationDefinition{}, handler.EnqueueRequestsFromMapFunc(r.evaluating), changed).
		WithOptions(opts).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// byDefinition finds evaluations under way by the name of the
// KeptnEvaluationDefinition that they look for.
const byDefinition = "evaluationDefinition"

// AddIndexes registers the field indexes that the reconciler uses.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	if err := indexer.IndexField(ctx, &lifecyclev1.KeptnEvaluation{}, byDefinition, definitionOf); err != nil {
		return fmt.Errorf("index KeptnEvaluations by %s: %w", byDefinition, err)
	}
	return nil
}

func definitionOf(obj client.Object) []string {
	e, ok := obj.(*lifecyclev1.KeptnEvaluation)
	if !ok || e.Status.OverallStatus.Completed() || e.Spec.Policy != nil || e.Spec.AnalysisDefinition != nil {
		return nil
	}
	return []string{e.Spec.EvaluationDefinition}
}

// evaluating are the evaluations under way that a KeptnEvaluationDefinition may
// serve: those of its namespace, and of all namespaces if it is Keptn's own.
func (r *Reconciler) evaluating(ctx context.Context, definition client.Object) []reconcile.Request {
	options := []client.ListOption{client.MatchingFields{byDefinition: definition.GetName()}, client.UnsafeDisableDeepCopy}
	if definition.GetNamespace() != r.OwnNamespace {
		options = append(options, client.InNamespace(definition.GetNamespace()))
	}
	var found lifecyclev1.KeptnEvaluationList
	if err := r.List(ctx, &found, options...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing KeptnEvaluations")
		return nil
	}
	requests := make([]reconcile.Request, len(found.Items))
	for i := range found.Items {
		requests[i] = reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&found.Items[i])}
	}
	return requests
}

// Reconcile brings an evaluation as far as it comes now, and says when to go on.
func (r *Reconciler) Reconcile(ctx context.Context, e *lifecyclev1.KeptnEvaluation) (reconcile.Result, error) {
	if e.Status.OverallStatus.Completed() || !e.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	before := e.DeepCopy()
	recheck, err := r.evaluate(ctx, e, r.Clock.Now().Truncate(time.Second))
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	fit(e)
	written, err := apply.Status(ctx, r.Client, before, e)
	if err == nil && written {
		r.announce(before.Status.OverallStatus, e)
		r.Teller.Evaluation(ctx, before, e)
	}
	return apply.Result(recheck, err)
}

// evaluate brings the status up to date, in memory, by the kind of definition that
// the evaluation has. It returns when to go on if no event will tell.
func (r *Reconciler) evaluate(ctx context.Context, e *lifecyclev1.KeptnEvaluation, now time.Time) (time.Duration, error) {
	switch {
	case e.Spec.Policy != nil:
		return r.judge(ctx, e, now), nil
	case e.Spec.AnalysisDefinition != nil:
		return 0, r.analyse(ctx, e, now)
	default:
		return r.look(ctx, e, now)
	}
}

// announce emits the events of a status that was written: that it changed, and the
// verdict with what failed.
func (r *Reconciler) announce(before lifecyclev1.KeptnState, e *lifecyclev1.KeptnEvaluation) {
	version := cmp.Or(e.Spec.WorkloadVersion, e.Spec.AppVersion)
	emit := func(kind, reason, format string, args ...any) {
		note := fmt.Sprintf("Reconcile Evaluation: %s / Namespace: %s, Name: %s", fmt.Sprintf(format, args...), e.Namespace, e.Name)
		if version != "" {
			note += ", Version: " + version
		}
		r.Events.Eventf(e, nil, kind, "ReconcileEvaluation"+reason, "Evaluate", "%s", condition.Note(note))
	}
	s := &e.Status
	if before = cmp.Or(before, lifecyclev1.StatePending); before != s.OverallStatus {
		emit(corev1.EventTypeNormal, "StatusChanged", "evaluation status changed from %s to %s", before, s.OverallStatus)
	}
	if !s.OverallStatus.Completed() {
		return
	}
	if exhausted(e) {
		emit(corev1.EventTypeWarning, "ReconcileTimeout", "retryCount exceeded")
	}
	if s.OverallStatus.Passed() {
		emit(corev1.EventTypeNormal, "Finished", "%s: %s", s.Verdict, s.Summary)
		return
	}
	emit(corev1.EventTypeWarning, "Failed", "%s", strings.Join(append([]string{fmt.Sprintf("%s: %s", s.Verdict, s.Summary)}, failures(e)...), "\n"))
}

// failures are the objectives that failed, as Keptn tells of them. The summary of a
// policy has them already.
func failures(e *lifecyclev1.KeptnEvaluation) []string {
	if e.Spec.Policy != nil {
		return nil
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(e.Status.EvaluationStatus)) {
		if item := e.Status.EvaluationStatus[name]; item.Status == lifecyclev1.StateFailed {
			lines = append(lines, fmt.Sprintf("evaluation of '%s' failed with value: '%s' and reason: '%s'", name, item.Value, item.Message))
		}
	}
	return lines
}
