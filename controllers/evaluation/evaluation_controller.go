// Package evaluation judges deliveries: it measures what a policy reads, has the
// policy judge it, and records the verdict with all that led there
// (KeptnEvaluation). When a delivery is judged, and what follows from it, is
// package lifecycle's matter.
package evaluation

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	"github.com/keptn/gitops/controllers/provider"
	"github.com/keptn/gitops/controllers/serving"
	"github.com/keptn/gitops/policy"
)

// How a measurement that cannot decide is repeated.
const (
	defaultTimeout = 2 * time.Minute
	firstRetry     = 2 * time.Second
	lastRetry      = 15 * time.Second
)

// maxSummary is how much of a verdict's summary a record keeps, in runes.
const maxSummary = 500

// Reconciler evaluates a policy for a delivery, which is a KeptnEvaluation, until
// there is a verdict. A verdict is final.
type Reconciler struct {
	client.Client

	Clock  clock.PassiveClock
	Events events.EventRecorder
	// Providers are asked.
	Providers *provider.Providers
	// Metrics are the values of KeptnMetrics.
	Metrics serving.Source

	policies policies
}

// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnevaluations,verbs=get;list;watch
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnevaluations/status,verbs=patch

// SetupWithManager registers the reconciler.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("keptnevaluation").
		For(&lifecyclev1.KeptnEvaluation{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(opts).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile measures once, where it is time to, and says when to measure again.
func (r *Reconciler) Reconcile(ctx context.Context, e *lifecyclev1.KeptnEvaluation) (reconcile.Result, error) {
	if e.Status.OverallStatus.Completed() {
		return reconcile.Result{}, nil
	}
	now := r.Clock.Now().Truncate(time.Second)
	if early := due(e).Sub(now); early > 0 {
		return reconcile.Result{RequeueAfter: early}, nil
	}
	before := e.DeepCopy()
	r.evaluate(ctx, e, now)
	fit(e)
	if ctx.Err() != nil {
		return reconcile.Result{}, ctx.Err()
	}
	written, err := apply.Status(ctx, r.Client, before, e)
	if err != nil {
		return apply.Result(0, err)
	}
	if !e.Status.OverallStatus.Completed() {
		return reconcile.Result{RequeueAfter: max(due(e).Sub(r.Clock.Now()), time.Millisecond)}, nil
	}
	if written {
		r.announce(e)
	}
	return reconcile.Result{}, nil
}

// evaluate measures once and judges, and brings the status up to date, in memory.
func (r *Reconciler) evaluate(ctx context.Context, e *lifecyclev1.KeptnEvaluation, now time.Time) {
	s := &e.Status
	s.ObservedGeneration = e.Generation
	at := metav1.NewTime(now)
	if s.StartTime.IsZero() {
		s.StartTime = at
	}
	s.EvaluatedAt = &at
	if e.Spec.Policy == nil {
		end(e, now, policy.Inconclusive, "no policy to evaluate: spec.policy is not set")
		return
	}
	p, err := r.policies.compile(e.Spec.EvaluationDefinition, *e.Spec.Policy)
	if err != nil {
		end(e, now, policy.Inconclusive, err.Error())
		return
	}
	s.RetryCount++
	measured := r.measure(ctx, e, p, now)
	in := input(e, measured)
	verdict := p.Evaluate(ctx, in)
	s.Measurements, s.SLOs = measurementsOf(measured), objectivesOf(measured)
	record(s, verdict)
	if verdict.Result == policy.Inconclusive && now.Before(slot(e).Add(timeoutOf(e))) {
		proceed(e, reasonInconclusive, verdict.Summary(maxSummary)+"; trying again")
		return
	}
	s.Repeated = append(s.Repeated, lifecyclev1.RepeatedVerdict{
		At: at, Verdict: lifecyclev1.Verdict(verdict.Result), Summary: condition.Bounded(verdict.Summary(maxSummary), maxRepeatedSummary),
	})
	plan := policy.PlanOf(*e.Spec.Policy)
	result, done := plan.Decide(results(e))
	if !done {
		proceed(e, reasonMeasuring, progress(e, plan, verdict))
		return
	}
	explained := p.Explain(ctx, in)
	record(s, explained)
	explainLines(s, measured)
	bound(s)
	end(e, now, result, conclusion(e, plan, explained))
}

// due is when to measure next.
func due(e *lifecyclev1.KeptnEvaluation) time.Time {
	last := e.Status.EvaluatedAt
	if last == nil {
		return time.Time{}
	}
	if n := len(e.Status.Repeated); n > 0 && e.Status.Repeated[n-1].At.Equal(last) {
		return slot(e)
	}
	return earlier(last.Add(backoff(last.Sub(slot(e)))), slot(e).Add(timeoutOf(e)))
}

// slot is when the measurement that is under way was due.
func slot(e *lifecyclev1.KeptnEvaluation) time.Time {
	n := len(e.Status.Repeated)
	if n == 0 {
		return e.Status.StartTime.Time
	}
	return e.Status.Repeated[n-1].At.Add(policy.PlanOf(*e.Spec.Policy).Interval)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func timeoutOf(e *lifecyclev1.KeptnEvaluation) time.Duration {
	if t := e.Spec.Policy.Timeout; t != nil {
		return t.Duration
	}
	return defaultTimeout
}

// backoff is the wait after a try so long after its measurement was due: it doubles.
func backoff(elapsed time.Duration) time.Duration {
	return min(max(elapsed, firstRetry), lastRetry)
}

// announce emits the event of a verdict.
func (r *Reconciler) announce(e *lifecyclev1.KeptnEvaluation) {
	kind, reason := corev1.EventTypeNormal, "ReconcileEvaluationFinished"
	if !e.Status.OverallStatus.Passed() {
		kind, reason = corev1.EventTypeWarning, "ReconcileEvaluationFailed"
	}
	r.Events.Eventf(e, nil, kind, reason, "Evaluate", "%s", condition.Note(string(e.Status.Verdict)+": "+e.Status.Summary))
}
