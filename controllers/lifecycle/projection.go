package lifecycle

import (
	"fmt"
	"time"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/gitsource/forge"
)

// The contexts of an app, below <prefix>/<environment>/<app>/. They are public
// API: branch protection refers to them.
const (
	deploymentContext     = "deployment"
	postDeploymentContext = "post-deployment"
)

// projected is what the commits of an app should show. It reads no clock and no
// cluster. Deliveries are newest first, and so are commits; running says that
// what runs is what the newest commit renders to.
func projected(prefix string, commits []gitopsv1alpha1.AppCommit, deliveries []lifecyclev1.KeptnAppVersion, running bool) []forge.Status {
	var statuses []forge.Status
	var superseding *successor // the nearest newer commit that runs, or ran
	for i := range commits {
		c := &commits[i]
		kav := deliveryOf(deliveries, c.SHA)
		if kav == nil && i == 0 && running {
			// What the commit asks for was there before it, as after a revert.
			c = &gitopsv1alpha1.AppCommit{SHA: c.SHA, SeenAt: c.SeenAt}
			superseding = &successor{short(c.SHA), c.SeenAt.Time}
		}
		said := commitStatuses(c, kav, superseding)
		for j := range said {
			said[j].Commit = c.SHA
			said[j].Context = prefix + "/" + said[j].Context
		}
		statuses = append(statuses, said...)
		if kav != nil {
			superseding = &successor{kav.Spec.Version, kav.CreationTimestamp.Time}
		}
	}
	return statuses
}

// successor is a commit, in short, whose content runs since a time, so that an
// older one never will.
type successor struct {
	version string
	since   time.Time
}

// deliveryOf returns the newest delivery of a commit, or nil.
func deliveryOf(deliveries []lifecyclev1.KeptnAppVersion, sha string) *lifecyclev1.KeptnAppVersion {
	for i := range deliveries {
		if c := deliveries[i].Spec.Commit; c != nil && c.SHA == sha {
			return &deliveries[i]
		}
	}
	return nil
}

func commitStatuses(c *gitopsv1alpha1.AppCommit, kav *lifecyclev1.KeptnAppVersion, superseding *successor) []forge.Status {
	switch {
	case kav != nil:
		return deliveryStatuses(kav, superseding)
	case !c.ChangesWorkloads:
		return []forge.Status{{Context: deploymentContext, State: forge.Success, Description: "workloads unchanged", Time: c.SeenAt.Time}}
	case superseding != nil:
		return []forge.Status{{
			Context: deploymentContext, State: forge.Success, Time: latestOf(c.SeenAt.Time, superseding.since),
			Description: "superseded by " + superseding.version,
		}}
	default:
		return []forge.Status{{Context: deploymentContext, State: forge.Pending, Description: "waiting for the rollout", Time: c.SeenAt.Time}}
	}
}

// deliveryStatuses is what the commit of a delivery should show.
func deliveryStatuses(kav *lifecyclev1.KeptnAppVersion, superseding *successor) []forge.Status {
	statuses := []forge.Status{phaseStatus(kav, superseding, deploymentContext, lifecyclev1.PhaseAppDeploy)}
	if hasChecks(kav) {
		decisive := lifecyclev1.PhaseAppPostDeployEvaluations
		if soak := kav.Phase(lifecyclev1.PhaseAppSoak); soak != nil && !soak.State.Passed() {
			decisive = lifecyclev1.PhaseAppSoak
		}
		statuses = append(statuses, phaseStatus(kav, superseding, postDeploymentContext, decisive))
	}
	return statuses
}

// hasChecks says whether anything is checked after the rollout.
func hasChecks(kav *lifecyclev1.KeptnAppVersion) bool {
	return len(kav.Spec.PostDeploymentPolicies) > 0 || kav.Spec.Soak != nil || kav.Spec.Problem != ""
}

// phaseStates are the states of a phase in the words of forges.
var phaseStates = map[lifecyclev1.KeptnState]forge.State{
	lifecyclev1.StatePending:     forge.Pending,
	lifecyclev1.StateProgressing: forge.Pending,
	lifecyclev1.StateSucceeded:   forge.Success,
	lifecyclev1.StateWarning:     forge.Warning,
	lifecyclev1.StateFailed:      forge.Failure,
	lifecyclev1.StateUnknown:     forge.Error,
	lifecyclev1.StateDeprecated:  forge.Error,
}

func phaseStatus(kav *lifecyclev1.KeptnAppVersion, superseding *successor, context string, name lifecyclev1.Phase) forge.Status {
	rec := kav.Phase(name)
	if rec == nil {
		rec = &lifecyclev1.PhaseRecord{State: lifecyclev1.StatePending}
	}
	return forge.Status{
		Context:     context,
		State:       phaseStates[rec.State],
		Description: described(rec, superseding),
		Time:        timeOf(kav, rec),
	}
}

func described(rec *lifecyclev1.PhaseRecord, superseding *successor) string {
	switch {
	case rec.Reason == reasonSuperseded && superseding != nil:
		return fmt.Sprintf("superseded by %s before it was done", superseding.version)
	case rec.State == lifecyclev1.StatePending:
		return "waiting for the rollout"
	case rec.Name == lifecyclev1.PhaseAppDeploy && !rec.State.Completed():
		return "rolling out" // how far is in the record: a commit is not told of every pod
	default:
		return rec.Message
	}
}

// timeOf is when the state of a phase came about, as far as the record tells. An
// attempt that begins is later than the verdict of the one before it.
func timeOf(kav *lifecyclev1.KeptnAppVersion, rec *lifecyclev1.PhaseRecord) time.Time {
	switch {
	case rec.EndTime != nil:
		return rec.EndTime.Time
	case rec.StartTime != nil:
		return rec.StartTime.Time
	default:
		return kav.CreationTimestamp.Time
	}
}

// latestOf is the later of two times: clocks of different machines must not make
// what follows come before what it follows from.
func latestOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
