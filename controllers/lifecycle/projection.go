package lifecycle

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/gitsource/forge"
)

// A shown is a phase of deliveries that commits are told of.
type shown struct {
	phase lifecyclev1.Phase
	// has says whether a delivery has anything to do in the phase.
	has func(*lifecyclev1.KeptnAppVersionSpec) bool
}

// A statusContext is what commits show of some phases: the first of them that did not
// pass, or the gravest of those that did.
type statusContext struct {
	name   string
	phases []shown
	// waiting is what is shown before the first of the phases begins; empty where
	// nothing is shown then, as it begins at once.
	waiting string
}

// contexts are those of an app, below <prefix>/<environment>/<app>/, in the order of
// their phases. Their names are public API: branch protection refers to them.
var contexts = []statusContext{
	{"pre-deployment", []shown{
		{lifecyclev1.PhaseAppPreDeployTasks, func(s *lifecyclev1.KeptnAppVersionSpec) bool { return len(s.PreDeploymentTasks) > 0 }},
		{lifecyclev1.PhaseAppPreDeployEvaluations, func(s *lifecyclev1.KeptnAppVersionSpec) bool { return len(s.PreDeploymentEvaluations) > 0 }},
	}, ""},
	{deploymentContext, []shown{
		{lifecyclev1.PhaseAppDeploy, func(*lifecyclev1.KeptnAppVersionSpec) bool { return true }},
	}, waitingForRollout},
	{"post-deployment", []shown{
		{lifecyclev1.PhaseAppSoak, func(s *lifecyclev1.KeptnAppVersionSpec) bool { return s.Soak != nil }},
		{lifecyclev1.PhaseAppPostDeployTasks, func(s *lifecyclev1.KeptnAppVersionSpec) bool { return len(s.PostDeploymentTasks) > 0 }},
		{lifecyclev1.PhaseAppPostDeployEvaluations, func(s *lifecyclev1.KeptnAppVersionSpec) bool {
			return len(s.PostDeploymentEvaluations) > 0 || s.Problem != ""
		}},
	}, waitingForRollout},
	{"promotion", []shown{
		{lifecyclev1.PhasePromotion, func(s *lifecyclev1.KeptnAppVersionSpec) bool {
			return len(s.PromotionTasks) > 0 || s.PullRequest != nil
		}},
	}, "waiting for the checks"},
}

const (
	deploymentContext       = "deployment"
	waitingForRollout       = "waiting for the rollout"
	waitingForPreDeployment = "waiting for pre-deployment"
)

// A projection is how deliveries are shown: the contexts' first part, and where more
// on a delivery is to be seen.
type projection struct{ prefix, detailsURL string }

// of is what the commits of an app should show. It reads no clock and no
// cluster. Deliveries are newest first, and so are commits; running says that
// what runs is what the newest commit renders to.
func (p projection) of(commits []gitopsv1alpha1.AppCommit, deliveries []lifecyclev1.KeptnAppVersion, running bool) []forge.Status {
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
		said := p.commitStatuses(c, kav, superseding)
		for j := range said {
			said[j].Commit = c.SHA
			said[j].Context = p.prefix + "/" + said[j].Context
		}
		statuses = append(statuses, said...)
		if kav != nil && wasApplied(&kav.Spec) {
			superseding = &successor{kav.Spec.Version, kav.CreationTimestamp.Time}
		}
	}
	return statuses
}

// wasApplied says whether what a delivery delivers was rolled out, or was there
// before: one that was asked for begins earlier.
func wasApplied(spec *lifecyclev1.KeptnAppVersionSpec) bool {
	return spec.RolloutStartedAt != nil || !slices.ContainsFunc(spec.Workloads, func(ref lifecyclev1.KeptnWorkloadRef) bool {
		return ref.TemplateHash == ""
	})
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

func (p projection) commitStatuses(c *gitopsv1alpha1.AppCommit, kav *lifecyclev1.KeptnAppVersion, superseding *successor) []forge.Status {
	switch {
	case kav != nil:
		return p.deliveryStatuses(kav, superseding)
	case !c.ChangesWorkloads:
		return []forge.Status{{Context: deploymentContext, State: forge.Success, Description: "workloads unchanged", Time: c.SeenAt.Time}}
	case superseding != nil:
		return []forge.Status{{
			Context: deploymentContext, State: forge.Success, Time: latestOf(c.SeenAt.Time, superseding.since),
			Description: "superseded by " + superseding.version,
		}}
	default:
		return []forge.Status{{Context: deploymentContext, State: forge.Pending, Description: waitingForRollout, Time: c.SeenAt.Time}}
	}
}

// deliveryStatuses is what the commit of a delivery should show.
func (p projection) deliveryStatuses(kav *lifecyclev1.KeptnAppVersion, superseding *successor) []forge.Status {
	var statuses []forge.Status
	for i := range contexts {
		c := &contexts[i]
		rec := c.decisive(kav)
		if rec == nil || rec.State == lifecyclev1.StatePending && rec.StartTime == nil && c.waiting == "" {
			continue
		}
		status := forge.Status{
			Context:     c.name,
			State:       phaseStates[rec.State],
			Description: c.described(kav, rec, superseding),
			Time:        timeOf(kav, rec),
		}
		if p.detailsURL != "" {
			status.TargetURL = detailsURL(p.detailsURL, kav, c.name)
		}
		statuses = append(statuses, status)
	}
	return statuses
}

// decisive is the phase that speaks for a context: the first of those that the
// delivery has which did not pass, else the gravest; nil where it has none of them.
func (c *statusContext) decisive(kav *lifecyclev1.KeptnAppVersion) *lifecyclev1.PhaseRecord {
	var decisive *lifecyclev1.PhaseRecord
	for _, of := range c.phases {
		rec := kav.Status.Phase(of.phase)
		if rec == nil {
			rec = &lifecyclev1.PhaseRecord{Name: of.phase, State: lifecyclev1.StatePending}
		}
		if !of.has(&kav.Spec) && (kav.Spec.Problem == "" || !stopped(rec)) {
			continue
		}
		if !rec.State.Passed() {
			return rec
		}
		if decisive == nil || decisive.State != lifecyclev1.StateWarning {
			decisive = rec
		}
	}
	return decisive
}

// stopped says whether a phase ended what it is part of.
func stopped(rec *lifecyclev1.PhaseRecord) bool {
	return rec.State == lifecyclev1.StateFailed || rec.State == lifecyclev1.StateUnknown
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

// described is what a context of a delivery says, of which a phase decides.
func (c *statusContext) described(kav *lifecyclev1.KeptnAppVersion, rec *lifecyclev1.PhaseRecord, superseding *successor) string {
	deploys := rec.Name == lifecyclev1.PhaseAppDeploy
	switch {
	case rec.Reason == phase.Superseded && superseding != nil:
		return fmt.Sprintf("superseded by %s before it was done", superseding.version)
	case rec.State.Completed():
		return rec.Message
	case deploys && rec.StartTime == nil && contexts[0].decisive(kav) != nil:
		return waitingForPreDeployment
	case rec.StartTime == nil, deploys && !wasApplied(&kav.Spec):
		return c.waiting
	case deploys:
		return "rolling out" // how far is in the record: a commit is not told of every pod
	default:
		return rec.Message
	}
}

// timeOf is when the state of a phase came about, as far as the record tells. An
// attempt that begins is later than the verdict of the one before it, and what was
// not begun is as it is since the last thing that happened.
func timeOf(kav *lifecyclev1.KeptnAppVersion, rec *lifecyclev1.PhaseRecord) time.Time {
	switch {
	case rec.EndTime != nil:
		return rec.EndTime.Time
	case rec.StartTime != nil:
		return rec.StartTime.Time
	}
	last := kav.CreationTimestamp.Time
	for i := range kav.Status.Phases {
		for _, at := range []*metav1.Time{kav.Status.Phases[i].StartTime, kav.Status.Phases[i].EndTime} {
			if at != nil {
				last = latestOf(last, at.Time)
			}
		}
	}
	return last
}

// latestOf is the later of two times: clocks of different machines must not make
// what follows come before what it follows from.
func latestOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
