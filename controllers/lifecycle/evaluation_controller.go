package lifecycle

import (
	"context"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/policy"
)

// How an evaluation that cannot decide is repeated.
const (
	defaultEvaluationTimeout = 2 * time.Minute
	firstRetry               = 2 * time.Second
	lastRetry                = 15 * time.Second
)

// maxSummary is how much of a verdict's summary a record keeps, in runes.
const maxSummary = 500

// EvaluationReconciler evaluates a policy for a delivery, which is a
// KeptnEvaluation, until there is a verdict or its time is over. A verdict is
// final.
type EvaluationReconciler struct {
	client.Client

	Clock  clock.PassiveClock
	Events events.EventRecorder
	// Measure asks the providers.
	Measure *Measurer
}

// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnevaluations/status,verbs=patch

// SetupWithManager registers the reconciler.
func (r *EvaluationReconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("keptnevaluation").
		For(&lifecyclev1.KeptnEvaluation{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(opts).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile evaluates the policy once, and says when to try again.
func (r *EvaluationReconciler) Reconcile(ctx context.Context, e *lifecyclev1.KeptnEvaluation) (reconcile.Result, error) {
	if e.Status.OverallStatus.Completed() {
		return reconcile.Result{}, nil
	}
	before := e.DeepCopy()
	recheck := r.evaluate(ctx, e)
	if ctx.Err() != nil {
		return reconcile.Result{}, ctx.Err()
	}
	written, err := apply.Status(ctx, r.Client, before, e)
	if err != nil {
		return apply.Result(0, err)
	}
	if written && e.Status.OverallStatus.Completed() {
		r.announce(e)
	}
	return reconcile.Result{RequeueAfter: recheck}, nil
}

// evaluate brings the status up to date, in memory, and returns when to try
// again.
func (r *EvaluationReconciler) evaluate(ctx context.Context, e *lifecyclev1.KeptnEvaluation) time.Duration {
	now := r.Clock.Now()
	s := &e.Status
	s.ObservedGeneration = e.Generation
	s.EvaluatedAt = timestamp(now)
	if s.StartTime.IsZero() {
		s.StartTime = *timestamp(now)
	}
	if e.Spec.Policy == nil {
		end(e, now, policy.Inconclusive, "no policy to evaluate: spec.policy is not set")
		return 0
	}
	p, err := policy.Compile(e.Spec.EvaluationDefinition, *e.Spec.Policy)
	if err != nil {
		end(e, now, policy.Inconclusive, err.Error())
		return 0
	}
	s.RetryCount++
	in := policy.Input{Baseline: baselineValues(e.Spec.Baseline), Commit: commitOf(e.Spec.Commit), Now: now}
	in.Metrics, s.Measurements = r.Measure.All(ctx, e.Namespace, e.Spec.Policy.Metrics, now)
	return weigh(e, p.Explain(ctx, in), now)
}

// weigh records the verdict, and ends the evaluation unless more data could
// still decide it.
func weigh(e *lifecyclev1.KeptnEvaluation, v policy.Verdict, now time.Time) time.Duration {
	record(&e.Status, v)
	summary := v.Summary(maxSummary)
	if v.Result != policy.Inconclusive {
		end(e, now, v.Result, summary)
		return 0
	}
	left := e.Status.StartTime.Add(timeoutOf(e)).Sub(now)
	if left <= 0 {
		end(e, now, v.Result, summary)
		return 0
	}
	e.Status.OverallStatus = lifecyclev1.StateProgressing
	e.Status.Summary = summary
	condition.Summarize(e, condition.Waiting(reasonInconclusive, "%s; trying again", summary))
	return min(backoff(e.Status.RetryCount), left)
}

func timeoutOf(e *lifecyclev1.KeptnEvaluation) time.Duration {
	if t := e.Spec.Policy.Timeout; t != nil {
		return t.Duration
	}
	return defaultEvaluationTimeout
}

// backoff is the wait after the nth try.
func backoff(tries int) time.Duration {
	wait := firstRetry
	for range tries - 1 {
		wait = min(2*wait, lastRetry)
	}
	return wait
}

// record writes what the verdict says of each rule.
func record(s *lifecyclev1.KeptnEvaluationStatus, v policy.Verdict) {
	s.Score = strconv.FormatFloat(v.Score, 'f', -1, 64)
	s.MaxScore = strconv.FormatFloat(v.MaxScore, 'f', -1, 64)
	s.EvaluationStatus = make(map[string]lifecyclev1.EvaluationStatusItem, len(v.Rules))
	for _, rule := range v.Rules {
		item := lifecyclev1.EvaluationStatusItem{
			Value:   string(rule.Result),
			Status:  stateOf(rule.Result),
			Message: rule.Message,
		}
		for _, x := range rule.Explain {
			item.Explain = append(item.Explain, lifecyclev1.ExpressionValue{Expr: x.Expr, Value: x.Value})
		}
		s.EvaluationStatus[rule.Name] = item
	}
}

// end makes the evaluation final.
func end(e *lifecyclev1.KeptnEvaluation, now time.Time, result policy.Result, summary string) {
	s := &e.Status
	s.OverallStatus = stateOf(result)
	s.Verdict = lifecyclev1.Verdict(result)
	s.Summary = summary
	s.EndTime = *timestamp(now)
	o := condition.Ready(reasonSucceeded, "%s", summary)
	switch result {
	case policy.Pass:
	case policy.Warning:
		o.Reason = reasonWarning
	case policy.Fail:
		o = condition.Failed(reasonFailed, "%s", summary)
	case policy.Inconclusive:
		o = condition.Failed(reasonInconclusive, "%s", summary)
	}
	condition.Summarize(e, o)
}

func stateOf(r policy.Result) lifecyclev1.KeptnState {
	switch r {
	case policy.Pass:
		return lifecyclev1.StateSucceeded
	case policy.Warning:
		return lifecyclev1.StateWarning
	case policy.Fail:
		return lifecyclev1.StateFailed
	case policy.Inconclusive:
		return lifecyclev1.StateUnknown
	default:
		return lifecyclev1.StateUnknown
	}
}

// announce emits the event of a verdict.
func (r *EvaluationReconciler) announce(e *lifecyclev1.KeptnEvaluation) {
	kind, reason := corev1.EventTypeNormal, "ReconcileEvaluationFinished"
	if !e.Status.OverallStatus.Passed() {
		kind, reason = corev1.EventTypeWarning, "ReconcileEvaluationFailed"
	}
	r.Events.Eventf(e, nil, kind, reason, "Evaluate", "%s", condition.Note(string(e.Status.Verdict)+": "+e.Status.Summary))
}

func commitOf(c *lifecyclev1.Commit) *policy.Commit {
	if c == nil {
		return nil
	}
	return &policy.Commit{SHA: c.SHA, Author: c.Author, Email: c.Email, Message: c.Message, Time: c.AuthoredAt.Time}
}
