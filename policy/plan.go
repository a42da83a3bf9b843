package policy

import (
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
)

// A Plan is how often a policy measures, and how the results of its measurements
// become one. It reads no clock: a caller waits.
type Plan struct {
	// Count is how many measurements there are, 1 at least.
	Count int
	// FailureLimit and InconclusiveLimit are how many of them may fail, or be
	// inconclusive, without deciding the verdict.
	FailureLimit, InconclusiveLimit int
	// Interval is the time between the begins of two measurements; 0 where there is
	// one only.
	Interval time.Duration
}

// PlanOf is the plan of a policy.
func PlanOf(spec v1alpha1.SLOPolicySpec) Plan {
	p := Plan{
		Count:             max(int(spec.Count), 1),
		FailureLimit:      int(spec.FailureLimit),
		InconclusiveLimit: int(spec.InconclusiveLimit),
	}
	if spec.Interval != nil {
		p.Interval = spec.Interval.Duration
	}
	return p
}

// Decide is the verdict of the measurements so far, in their order, and whether it
// is final. It is Fail as soon as more than FailureLimit have failed, and
// Inconclusive as soon as more than InconclusiveLimit were, whichever comes first.
// Otherwise, after Count measurements, it is Warning where one was not Pass, also one
// that a limit let pass, and else Pass. It is final as soon as no further measurement
// could change it. Until then it is what it would be if the others passed.
func (p Plan) Decide(results []Result) (verdict Result, done bool) {
	results = results[:min(len(results), max(p.Count, 1))]
	failed, inconclusive, warned := 0, 0, 0
	for _, r := range results {
		switch r {
		case Pass:
		case Warning:
			warned++
		case Fail:
			failed++
		default:
			inconclusive++
		}
		switch {
		case failed > p.FailureLimit:
			return Fail, true
		case inconclusive > p.InconclusiveLimit:
			return Inconclusive, true
		}
	}
	left := max(p.Count, 1) - len(results)
	if failed+inconclusive+warned == 0 {
		return Pass, left == 0
	}
	return Warning, failed+left <= p.FailureLimit && inconclusive+left <= p.InconclusiveLimit || left == 0
}
