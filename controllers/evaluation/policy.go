package evaluation

import (
	"context"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/policy"
)

// How a measurement that cannot decide is repeated.
const (
	defaultTimeout = 2 * time.Minute
	firstRetry     = 2 * time.Second
	lastRetry      = 15 * time.Second
)

// judge measures what a policy reads and has it judge, where it is time to, and
// returns when it is again. A policy repeats measurements as it says itself:
// spec.retries and spec.retryInterval are not for it.
func (r *Reconciler) judge(ctx context.Context, e *lifecyclev1.KeptnEvaluation, now time.Time) time.Duration {
	if early := due(e).Sub(now); early > 0 {
		return early
	}
	r.measureOnce(ctx, e, now)
	if e.Status.OverallStatus.Completed() {
		return 0
	}
	return max(due(e).Sub(r.Clock.Now()), time.Millisecond)
}

// measureOnce measures once and judges, and brings the status up to date.
func (r *Reconciler) measureOnce(ctx context.Context, e *lifecyclev1.KeptnEvaluation, now time.Time) {
	begin(e, now)
	s := &e.Status
	at := metav1.NewTime(now)
	s.EvaluatedAt = &at
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
		proceed(e, lifecyclev1.StateProgressing, reasonInconclusive, verdict.Summary(maxSummary)+"; trying again")
		return
	}
	s.Repeated = append(s.Repeated, lifecyclev1.RepeatedVerdict{
		At: at, Verdict: lifecyclev1.Verdict(verdict.Result), Summary: condition.Bounded(verdict.Summary(maxSummary), maxPart),
	})
	plan := policy.PlanOf(*e.Spec.Policy)
	result, done := plan.Decide(results(e))
	if !done {
		proceed(e, lifecyclev1.StateProgressing, reasonMeasuring, progress(e, plan, verdict))
		return
	}
	explained := p.Explain(ctx, in)
	record(s, explained)
	explainLines(s, measured)
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

// results are the verdicts of the measurements so far.
func results(e *lifecyclev1.KeptnEvaluation) []policy.Result {
	all := make([]policy.Result, len(e.Status.Repeated))
	for i, r := range e.Status.Repeated {
		all[i] = policy.Result(r.Verdict)
	}
	return all
}

// progress says how far an evaluation of several measurements has come.
func progress(e *lifecyclev1.KeptnEvaluation, plan policy.Plan, last policy.Verdict) string {
	return fmt.Sprintf("%d of %d measurements; the last: %s", len(e.Status.Repeated), plan.Count, last.Summary(maxSummary))
}

// conclusion is the verdict in one line: that of the newest measurement, or of how
// many it is.
func conclusion(e *lifecyclev1.KeptnEvaluation, plan policy.Plan, last policy.Verdict) string {
	if plan.Count <= 1 {
		return last.Summary(maxSummary)
	}
	counts := map[policy.Result]int{}
	for _, r := range results(e) {
		counts[r]++
	}
	var parts []string
	for _, result := range []policy.Result{policy.Fail, policy.Inconclusive, policy.Warning, policy.Pass} {
		if n := counts[result]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, result))
		}
	}
	return fmt.Sprintf("%s of %d measurements; the last: %s", strings.Join(parts, ", "), plan.Count, last.Summary(maxSummary))
}
