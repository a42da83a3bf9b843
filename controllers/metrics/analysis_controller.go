package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/provider"
	"github.com/keptn/gitops/policy/analysis"
)

// maxAsking is how long one try may take.
const maxAsking = 2 * time.Minute

// How an Analysis whose values cannot be had is repeated.
const (
	defaultTimeout = 10 * time.Minute
	firstRetry     = 2 * time.Second
	lastRetry      = 30 * time.Second
)

// The reasons of an Analysis's conditions.
const (
	reasonPassed  = "Passed"
	reasonWarning = "Warning"
	reasonFailed  = "Failed"
	reasonWaiting = "WaitingForValues"
)

// AnalysisReconciler carries out Analyses: each judges one window of time, once.
type AnalysisReconciler struct {
	client.Client

	Clock     clock.PassiveClock
	Events    events.EventRecorder
	Providers *provider.Providers
	// Foreign lets an Analysis, and its definition, name objects of other
	// namespaces.
	Foreign bool
}

// +kubebuilder:rbac:groups=metrics.keptn.sh,resources=analyses;analysisdefinitions;analysisvaluetemplates,verbs=get;list;watch
// +kubebuilder:rbac:groups=metrics.keptn.sh,resources=analyses/status,verbs=patch

// SetupWithManager registers the reconciler. A definition, a template or a provider
// that comes or changes wakes the Analyses that are not completed.
func (r *AnalysisReconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	unfinished := handler.EnqueueRequestsFromMapFunc(r.unfinished)
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	return ctrl.NewControllerManagedBy(mgr).
		Named("analysis").
		For(&metricsv1.Analysis{}, changed).
		Watches(&metricsv1.AnalysisDefinition{}, unfinished, changed).
		Watches(&metricsv1.AnalysisValueTemplate{}, unfinished, changed).
		Watches(&metricsv1.KeptnMetricsProvider{}, unfinished, changed).
		WithOptions(opts).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// unfinished are the Analyses that are not completed.
func (r *AnalysisReconciler) unfinished(ctx context.Context, _ client.Object) []reconcile.Request {
	var all metricsv1.AnalysisList
	if err := r.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing Analyses")
		return nil
	}
	var requests []reconcile.Request
	for i := range all.Items {
		if a := &all.Items[i]; a.Status.State == metricsv1.StateProgressing {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(a)})
		}
	}
	return requests
}

// Reconcile brings an Analysis as far as it comes, and says when to try again.
func (r *AnalysisReconciler) Reconcile(ctx context.Context, a *metricsv1.Analysis) (reconcile.Result, error) {
	if a.Status.State == metricsv1.StateCompleted {
		return reconcile.Result{}, nil
	}
	before := a.DeepCopy()
	recheck, err := r.analyse(ctx, a)
	if err != nil || ctx.Err() != nil {
		return reconcile.Result{}, err
	}
	written, err := apply.Status(ctx, r.Client, before, a)
	if err != nil {
		return apply.Result(0, err)
	}
	if written && a.Status.State == metricsv1.StateCompleted {
		r.announce(a)
	}
	return reconcile.Result{RequeueAfter: recheck}, nil
}

// analyse brings the status up to date, in memory, and returns when to try again.
func (r *AnalysisReconciler) analyse(ctx context.Context, a *metricsv1.Analysis) (time.Duration, error) {
	now := r.Clock.Now()
	begin(a, now, r.Providers.Instant)
	definition, missing, err := r.definition(ctx, a)
	if err != nil {
		return 0, err
	}
	if missing != nil {
		return postpone(a, now, analysis.Result{ObjectiveResults: []analysis.ObjectiveResult{}}, missing)
	}
	asking, cancel := context.WithTimeout(ctx, maxAsking)
	defer cancel()
	values := r.values(asking, a, definition)
	result := analysis.Evaluate(&definition.Spec, values)
	if err := result.Err(); err != nil {
		return postpone(a, now, result, err)
	}
	return 0, complete(a, result, "")
}

// begin fixes the window that is judged, when an Analysis is seen first. Analyses
// of the recent past that begin together judge the same window, and so ask the
// same queries.
func begin(a *metricsv1.Analysis, now time.Time, instant func(now time.Time, tolerance time.Duration) time.Time) {
	s := &a.Status
	s.ObservedGeneration = a.Generation
	if !s.Timeframe.To.IsZero() {
		return
	}
	s.StartTime = metav1.NewTime(now.Truncate(time.Second))
	s.State = metricsv1.StateProgressing
	s.Timeframe = metricsv1.Timeframe{From: a.Spec.Timeframe.From, To: a.Spec.Timeframe.To}
	if recent := a.Spec.Timeframe.Recent.Duration; recent > 0 {
		to := instant(now, min(max(recent/150, time.Second), 5*time.Second))
		s.Timeframe.From, s.Timeframe.To = metav1.NewTime(to.Add(-recent)), metav1.NewTime(to)
	}
}

// definition is the AnalysisDefinition, or why there is none.
func (r *AnalysisReconciler) definition(ctx context.Context, a *metricsv1.Analysis) (found *metricsv1.AnalysisDefinition, missing, err error) {
	key, err := r.key(a.Spec.AnalysisDefinition, a.Namespace)
	if err != nil {
		return nil, err, nil
	}
	found = &metricsv1.AnalysisDefinition{}
	err = r.Get(ctx, key, found)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("no AnalysisDefinition %q in namespace %q: create it there", key.Name, key.Namespace), nil
	}
	return found, nil, err
}

// postpone notes what is missing, and says when to try again; when the time is
// over it completes the Analysis without pass.
func postpone(a *metricsv1.Analysis, now time.Time, result analysis.Result, missing error) (time.Duration, error) {
	elapsed := now.Sub(a.Status.StartTime.Time)
	left := timeoutOf(a) - elapsed
	if left <= 0 {
		result.Pass, result.Warning = false, false
		return 0, complete(a, result, fmt.Sprintf("no result within %s: %v", timeoutOf(a), missing))
	}
	a.Status.Message = condition.Bounded(missing.Error(), maxMessage)
	condition.Summarize(a, condition.Waiting(reasonWaiting, "%s; trying again", a.Status.Message))
	return min(max(firstRetry, elapsed), lastRetry, left), nil
}

func timeoutOf(a *metricsv1.Analysis) time.Duration {
	if t := a.Spec.Timeout; t != nil {
		return t.Duration
	}
	return defaultTimeout
}

// complete writes the verdict, which is final.
func complete(a *metricsv1.Analysis, result analysis.Result, problem string) error {
	raw, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	s := &a.Status
	s.State, s.Raw, s.Pass, s.Warning, s.StoredValues = metricsv1.StateCompleted, string(raw), result.Pass, result.Warning, nil
	s.Message = fmt.Sprintf("%s of %s points, %.4g%%", points(result.TotalScore), points(result.MaximumScore), result.Percentage())
	if problem != "" {
		s.Message = condition.Bounded(problem, maxMessage)
	}
	switch {
	case s.Pass:
		condition.Summarize(a, condition.Ready(reasonPassed, "passed: %s", s.Message))
	case s.Warning:
		condition.Summarize(a, condition.Ready(reasonWarning, "warning: %s", s.Message))
	default:
		condition.Summarize(a, condition.Failed(reasonFailed, "failed: %s", s.Message))
	}
	return nil
}

// points is a score as people write it.
func points(score float64) string { return strconv.FormatFloat(score, 'f', -1, 64) }

// announce emits the event of a verdict.
func (r *AnalysisReconciler) announce(a *metricsv1.Analysis) {
	kind, reason := corev1.EventTypeNormal, reasonPassed
	if !a.Status.Pass {
		kind, reason = corev1.EventTypeWarning, reasonFailed
	}
	if a.Status.Warning {
		reason = reasonWarning
	}
	r.Events.Eventf(a, nil, kind, reason, "Analyse", "%s", condition.Note(a.Status.Message))
}
