package policy

import (
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/slo"
)

// Input is what one evaluation judges. The names are those that the policy
// declares: one that is missing is no data, and one that is not declared is ignored.
type Input struct {
	// Metrics are the measurements.
	Metrics map[string]Value
	// Baseline are the same metrics for the previous good rollout.
	Baseline map[string]Value
	// SLOs are what is known of the objectives, with the burn rates over the
	// windows of Policy.BurnWindows.
	SLOs map[string]slo.State
	// Params are the texts that were set; the policy's own defaults stand behind
	// them.
	Params map[string]string
	// Commit is the judged commit. Without one, what reads it is undecided.
	Commit *Commit
	// Commits are what the rollout delivers: the commits since the previous good
	// one, newest first. Where it is nil they are not known, and what reads them is
	// undecided; a rollout that delivers none has an empty list. Only a policy that
	// ReadsCommits needs them.
	Commits []Commit
	// CommitsTruncated says that there are more commits than Commits holds. What
	// the others could change is undecided then.
	CommitsTruncated bool
	// Rollout is the judged rollout. Without one, what reads it is undecided.
	Rollout *Rollout
	// Now is the time of the evaluation. When it is zero, what reads it is
	// undecided.
	Now time.Time
}

// Params are the texts of the params that a policy declares: those that are set,
// else the defaults. One that is neither set nor has a default is not among them.
func Params(spec v1alpha1.SLOPolicySpec, set map[string]string) map[string]string {
	params := make(map[string]string, len(spec.Params))
	for _, p := range spec.Params {
		if text, ok := set[p.Name]; ok {
			params[p.Name] = text
		} else if p.Default != "" {
			params[p.Name] = p.Default
		}
	}
	return params
}
