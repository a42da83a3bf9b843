package measure

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitname"
)

// How much of the record a Lifecycle keeps.
const (
	maxDeployments = 200
	keptFor        = 90 * dora.Day
)

// Deployment is what a delivery comes to for the metrics, and whether it comes to one:
// it has a commit and has ended, and what it delivers ran. What failed or was given up
// before its rollout was done never reached anybody, unless it was the rollout that
// failed; what could not be decided, or was cancelled, has not failed by that; and that it
// was not promoted is no failure of it.
//
// It begins with the rollout, and ends when the last check before the promotion did. What
// was there before it was watched, which is what was adopted, ran from its beginning on:
// nobody saw its rollout, and no check of today speaks of it.
func Deployment(kav *lifecyclev1.KeptnAppVersion, cluster string) (d dora.Deployment, deployed bool) {
	s, commit := &kav.Status.Delivery, kav.Spec.Commit
	rollout := s.Phase(lifecyclev1.PhaseAppDeploy)
	if commit == nil || !s.Status.Completed() || rollout == nil || rollout.StartTime == nil || rollout.EndTime == nil {
		return dora.Deployment{}, false
	}
	began := kav.Spec.RolloutStartedAt
	d = dora.Deployment{
		App: kav.Spec.AppName, Environment: kav.Spec.Environment, Commit: commit.SHA, Cluster: cluster,
		StartedAt: rollout.StartTime.UTC(), FinishedAt: rollout.EndTime.UTC(), Result: dora.Success,
	}
	if began != nil && began.Before(rollout.EndTime) {
		d.StartedAt = began.UTC()
	}
	switch {
	case kav.Spec.Adopted:
		d.FinishedAt = d.StartedAt
		return d, rollout.State.Passed()
	case rollout.State.Passed():
		judge(&d, s)
		return d, true
	default:
		d.Result, d.FailedBy = dora.Failure, dora.CauseRollout
		return d, began != nil && rollout.State == lifecyclev1.StateFailed && rollout.Reason != phase.Cancelled
	}
}

// judge adds what the checks before the promotion found. One that was given up found
// nothing.
func judge(d *dora.Deployment, s *lifecyclev1.Delivery) {
	for _, name := range lifecyclev1.AppPhasesUntil(lifecyclev1.StagePostDeployment) {
		rec := s.Phase(name)
		if rec == nil || rec.EndTime == nil || rec.State == lifecyclev1.StateDeprecated {
			continue
		}
		if end := rec.EndTime.UTC(); end.After(d.FinishedAt) {
			d.FinishedAt = end
		}
		if rec.State == lifecyclev1.StateFailed && rec.Reason != phase.Cancelled {
			d.Result, d.FailedBy = dora.Failure, dora.CauseVerdict
		}
	}
}

// known are the deployments of the record.
func (s *scope) known() []dora.Deployment {
	known := make([]dora.Deployment, len(s.lc.Status.Deployments))
	for i, d := range s.lc.Status.Deployments {
		known[i] = dora.Deployment{
			App: s.lc.Spec.App, Environment: s.origin.Environment, Commit: d.Commit, Cluster: d.Cluster,
			StartedAt: d.StartedAt.Time, FinishedAt: d.FinishedAt.Time,
			Result: dora.Result(d.Result), FailedBy: dora.Cause(d.FailedBy),
		}
		if len(d.Code) > 0 {
			s.code[keyOf(&known[i])] = d.Code
		}
	}
	return known
}

// sound says whether a deployment that Git notes tell of can have been: anybody who may
// push can write there. Of two clocks one may be ahead.
func sound(d *dora.Deployment, now time.Time) bool {
	return gitname.IsCommit(d.Commit) && len(d.Cluster) <= maxCluster && d.StartedAt.Unix() > 0 && !d.FinishedAt.After(now.Add(dora.Day))
}

// maxCluster is how many bytes the name of a cluster may have that others noted.
const maxCluster = 253

// newest are the deployments that are kept, the one that finished last first: those of
// the longest window, and the newest success before it, which they are compared with.
// Times are kept in seconds, as the record has them. Of one that is there several times
// what dora.Evaluate takes is kept.
func newest(all []dora.Deployment, now time.Time) []dora.Deployment {
	for i := range all {
		all[i].StartedAt, all[i].FinishedAt = all[i].StartedAt.UTC().Truncate(time.Second), all[i].FinishedAt.UTC().Truncate(time.Second)
	}
	slices.SortStableFunc(all, func(a, b dora.Deployment) int {
		return cmp.Or(
			b.FinishedAt.Compare(a.FinishedAt), b.StartedAt.Compare(a.StartedAt),
			cmp.Compare(a.Commit, b.Commit), cmp.Compare(a.Result, b.Result), // failure, then success
		)
	})
	seen := map[deploymentKey]bool{}
	var kept []dora.Deployment
	for _, d := range all {
		k := keyOf(&d)
		if seen[k] {
			continue
		}
		seen[k] = true
		kept = append(kept, d)
		if len(kept) == maxDeployments || now.Sub(d.FinishedAt) >= keptFor && d.Result == dora.Success {
			break
		}
	}
	return kept
}

// recorded is the record as the status has it, with what became of each deployment.
func recorded(deployments []dora.Deployment, services []dora.Service, built code) []gitopsv1alpha1.Deployment {
	records := make([]gitopsv1alpha1.Deployment, len(deployments))
	for i, d := range deployments {
		records[i] = gitopsv1alpha1.Deployment{
			Commit: d.Commit, Cluster: d.Cluster, Result: string(d.Result), FailedBy: string(d.FailedBy),
			StartedAt: metav1.NewTime(d.StartedAt), FinishedAt: metav1.NewTime(d.FinishedAt), Code: built[keyOf(&d)],
		}
	}
	for _, service := range services {
		for j := range service.Outcomes {
			became(records, &service.Outcomes[j])
		}
	}
	return records
}

// became notes in the record of a deployment what became of it.
func became(records []gitopsv1alpha1.Deployment, o *dora.Outcome) {
	i := slices.IndexFunc(records, func(d gitopsv1alpha1.Deployment) bool {
		return d.Commit == o.Commit && d.StartedAt.Time.Equal(o.StartedAt)
	})
	if i < 0 {
		return
	}
	records[i].Kind = string(o.Kind)
	records[i].Delivered = int32(min(len(o.Delivered), maxCounted)) //nolint:gosec // bounded
	for _, cause := range o.Causes {
		records[i].Causes = append(records[i].Causes, string(cause))
	}
	if o.Problem != nil {
		records[i].Problem = o.Problem.Error()
	}
}

// maxCounted is the highest number of commits that a record shows.
const maxCounted = 1_000_000
