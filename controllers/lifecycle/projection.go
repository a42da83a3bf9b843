package lifecycle

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource/forge"
)

const (
	waitingForRollout       = "waiting for the rollout"
	waitingForPreDeployment = "waiting for pre-deployment"
)

// whileWaiting is what is shown of a stage before it begins; of one that is not here nothing
// is shown then, as it begins at once.
var whileWaiting = map[lifecyclev1.Stage]string{
	lifecyclev1.StageDeployment:     waitingForRollout,
	lifecyclev1.StagePostDeployment: waitingForRollout,
	lifecyclev1.StagePromotion:      "waiting for the checks",
}

// does says whether a delivery has anything to do in a phase.
func does(spec *lifecyclev1.KeptnAppVersionSpec, name lifecyclev1.Phase) bool {
	switch {
	case name == lifecyclev1.PhaseAppDeploy,
		name == lifecyclev1.PhaseAppSoak && spec.Soak != nil,
		name == lifecyclev1.PhaseAppPostDeployEvaluations && spec.Problem != "",
		name == lifecyclev1.PhasePromotion && spec.PullRequest != nil:
		return true
	default:
		return len(spec.Asked(name)) > 0
	}
}

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
			superseding = &successor{gitname.Short(c.SHA), c.SeenAt.Time}
		}
		statuses = append(statuses, p.on(c.SHA, p.commitStatuses(c, kav, superseding))...)
		if kav != nil && wasApplied(&kav.Spec) {
			superseding = &successor{kav.Spec.Version, kav.CreationTimestamp.Time}
		}
	}
	return statuses
}

// on are statuses as a commit shows them.
func (p projection) on(sha string, statuses []forge.Status) []forge.Status {
	for i := range statuses {
		statuses[i].Commit = sha
		statuses[i].Context = p.prefix + "/" + statuses[i].Context
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
	at := judgedAt(c)
	switch {
	case kav != nil:
		return notBefore(at, p.deliveryStatuses(kav, superseding))
	case c.Unverified != "":
		return []forge.Status{{Context: string(lifecyclev1.StageDeployment), State: forge.Error, Description: c.Unverified, Time: at}}
	case !c.ChangesWorkloads:
		return []forge.Status{{Context: string(lifecyclev1.StageDeployment), State: forge.Success, Description: "workloads unchanged", Time: at}}
	case superseding != nil:
		return []forge.Status{{
			Context: string(lifecyclev1.StageDeployment), State: forge.Success, Time: latestOf(at, superseding.since),
			Description: "superseded by " + superseding.version,
		}}
	default:
		return []forge.Status{{Context: string(lifecyclev1.StageDeployment), State: forge.Pending, Description: waitingForRollout, Time: at}}
	}
}

// notBefore are statuses that come after what was said of their commit until a time, however
// soon they follow it.
func notBefore(at time.Time, statuses []forge.Status) []forge.Status {
	for i := range statuses {
		statuses[i].Time = latestOf(statuses[i].Time, at)
	}
	return statuses
}

// deliveryStatuses is what the commit of a delivery should show: one context for each
// stage, below <prefix>/<environment>/<app>/.
func (p projection) deliveryStatuses(kav *lifecyclev1.KeptnAppVersion, superseding *successor) []forge.Status {
	var statuses []forge.Status
	for _, stage := range lifecyclev1.Stages() {
		rec := decisive(kav, stage)
		if rec == nil || rec.State == lifecyclev1.StatePending && rec.StartTime == nil && whileWaiting[stage] == "" {
			continue
		}
		status := forge.Status{
			Context:     string(stage),
			State:       phaseStates[rec.State],
			Description: described(kav, rec, superseding),
			Time:        timeOf(kav, rec),
			Deploys:     rec.Name == lifecyclev1.PhaseAppDeploy && rec.StartTime != nil && wasApplied(&kav.Spec),
		}
		if p.detailsURL != "" {
			status.TargetURL = DetailsURL(p.detailsURL, kav, status.Context)
		}
		statuses = append(statuses, status)
	}
	return statuses
}

// decisive is the phase that speaks for a stage: the first of those that the delivery
// has which did not pass, else the gravest; nil where it has none of them.
func decisive(kav *lifecyclev1.KeptnAppVersion, stage lifecyclev1.Stage) *lifecyclev1.PhaseRecord {
	var gravest *lifecyclev1.PhaseRecord
	for _, name := range lifecyclev1.AppPhases() {
		rec := kav.Status.Phase(name)
		if rec == nil {
			rec = &lifecyclev1.PhaseRecord{Name: name, State: lifecyclev1.StatePending}
		}
		if name.Stage() != stage || !does(&kav.Spec, name) && (kav.Spec.Problem == "" || !stopped(rec)) {
			continue
		}
		if !rec.State.Passed() {
			return rec
		}
		if gravest == nil || gravest.State != lifecyclev1.StateWarning {
			gravest = rec
		}
	}
	return gravest
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

// described is what the context of a delivery says, of whose stage a phase decides.
func described(kav *lifecyclev1.KeptnAppVersion, rec *lifecyclev1.PhaseRecord, superseding *successor) string {
	deploys := rec.Name == lifecyclev1.PhaseAppDeploy
	switch {
	case rec.Reason == phase.Superseded && superseding != nil:
		return fmt.Sprintf("superseded by %s before it was done", superseding.version)
	case rec.State.Completed():
		return rec.Message
	case deploys && rec.StartTime == nil && decisive(kav, lifecyclev1.StagePreDeployment) != nil:
		return waitingForPreDeployment
	case rec.StartTime == nil, deploys && !wasApplied(&kav.Spec):
		return whileWaiting[rec.Name.Stage()]
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
