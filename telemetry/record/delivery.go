package record

import (
	"maps"
	"time"

	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// Delivery is what is known of one delivery, of an app or of a workload. A delivery
// that was retried is told of as its newest attempt.
type Delivery struct {
	// Kind, Namespace, Name and UID are those of the record.
	Kind, Namespace, Name string
	UID                   types.UID
	// AppName and AppVersion are of the app; of a workload's delivery the version is
	// known only with its app's.
	AppName, AppVersion string
	// WorkloadName is <app>-<workload>; empty where an app is delivered.
	WorkloadName string
	// Version that is delivered, and the one before it.
	Version, PreviousVersion string
	// Environment that is delivered to; empty for what does not come from Git.
	Environment string
	// Commit that is delivered, or nil.
	Commit *lifecyclev1.Commit
	// Lifecycle that an app's delivery from Git belongs to, or nil.
	Lifecycle *lifecyclev1.LifecycleRef
	// Metadata of the app and of the workload, the workload's first.
	Metadata map[string]string
	// SpanLinks are trace parents of what led to the delivery.
	SpanLinks []string
	// Progress is the record of the phases.
	Progress *lifecyclev1.Delivery
	// LeadTime of a success, or nil.
	LeadTime *metav1.Duration
	// Checks are the checks of each phase that runs any.
	Checks map[lifecyclev1.Phase][]lifecyclev1.ItemStatus
	// RolledBack says that what is delivered is older than what ran before: it brings no
	// commit that the last good delivery did not have.
	RolledBack bool
	// promoting says that the delivery has something to promote.
	promoting bool
	// parent of the root span, or none.
	parent trace.SpanContext
}

// Facts are what the record of a delivery does not tell, as far as they are known.
type Facts struct {
	// Tasks and Evaluations ran the checks of the delivery.
	Tasks       []lifecyclev1.KeptnTask
	Evaluations []lifecyclev1.KeptnEvaluation
	// Applier is the object of Flux that applied what is delivered.
	Applier corev1.ObjectReference
}

// Task is the task of a name, or nil.
func (f Facts) Task(name string) *lifecyclev1.KeptnTask {
	for i := range f.Tasks {
		if f.Tasks[i].Name == name {
			return &f.Tasks[i]
		}
	}
	return nil
}

// Evaluation is the evaluation of a name, or nil.
func (f Facts) Evaluation(name string) *lifecyclev1.KeptnEvaluation {
	for i := range f.Evaluations {
		if f.Evaluations[i].Name == name {
			return &f.Evaluations[i]
		}
	}
	return nil
}

// OfApp reads the record of an app's delivery. Of nil it makes a delivery that
// nothing is known of.
func OfApp(kav *lifecyclev1.KeptnAppVersion) Delivery {
	if kav == nil {
		return Delivery{Progress: &lifecyclev1.Delivery{}}
	}
	spec, status := &kav.Spec, &kav.Status
	return Delivery{
		Kind: "KeptnAppVersion", Namespace: kav.Namespace, Name: kav.Name, UID: kav.UID,
		AppName: spec.AppName, AppVersion: spec.Version,
		Version: spec.Version, PreviousVersion: spec.PreviousVersion,
		Environment: spec.Environment, Commit: spec.Commit, Lifecycle: spec.Lifecycle, Metadata: spec.Metadata, SpanLinks: spec.SpanLinks,
		Progress: &status.Delivery, LeadTime: status.LeadTime,
		Checks:     checks(lifecyclev1.AppPhases(), status.Fields),
		RolledBack: rolledBack(spec),
		promoting:  len(spec.PromotionTasks) > 0 || spec.PullRequest != nil,
		parent:     remote(spec.TraceID),
	}
}

func rolledBack(spec *lifecyclev1.KeptnAppVersionSpec) bool {
	if spec.Commit == nil || spec.Commit.Evidence == lifecyclev1.EvidenceImage || spec.Commit.Evidence == lifecyclev1.EvidenceTrailer {
		return false // such a commit need not change what the app renders to, and be none of those that are listed
	}
	return spec.PreviousVersion != "" && len(spec.Commits) == 0 && !spec.CommitsTruncated
}

// OfWorkload reads the record of a workload's delivery, and of the app's delivery that
// it is part of, which may be nil: of that it has the environment, the commit, and its
// place in the trace.
func OfWorkload(kwv *lifecyclev1.KeptnWorkloadVersion, app *lifecyclev1.KeptnAppVersion) Delivery {
	if kwv == nil {
		return Delivery{Progress: &lifecyclev1.Delivery{}}
	}
	spec, status := &kwv.Spec, &kwv.Status
	d := Delivery{
		Kind: "KeptnWorkloadVersion", Namespace: kwv.Namespace, Name: kwv.Name, UID: kwv.UID,
		AppName: spec.AppName, WorkloadName: spec.WorkloadName,
		Version: spec.Version, PreviousVersion: spec.PreviousVersion,
		Metadata: maps.Clone(status.AppContextMetadata),
		Progress: &status.Delivery,
		Checks:   checks(lifecyclev1.WorkloadPhases(), status.Fields),
		parent:   remote(spec.TraceID),
	}
	if app != nil {
		of := OfApp(app)
		d.AppVersion, d.Environment, d.Commit = of.Version, of.Environment, of.Commit
		d.Metadata = maps.Clone(of.Metadata)
		d.parent = of.phaseContext(of.Progress.Phase(lifecyclev1.PhaseAppDeploy), lifecyclev1.PhaseAppDeploy)
	}
	if d.Metadata == nil {
		d.Metadata = map[string]string{}
	}
	maps.Copy(d.Metadata, spec.Metadata)
	return d
}

// checks are those that the record of a delivery lists, by its phases.
func checks(phases []lifecyclev1.Phase, fields func(lifecyclev1.Phase) (*lifecyclev1.KeptnState, *[]lifecyclev1.ItemStatus)) map[lifecyclev1.Phase][]lifecyclev1.ItemStatus {
	all := map[lifecyclev1.Phase][]lifecyclev1.ItemStatus{}
	for _, phase := range phases {
		if _, items := fields(phase); items != nil {
			all[phase] = *items
		}
	}
	return all
}

// IsApp says whether an app is delivered, and not one workload.
func (d Delivery) IsApp() bool { return d.WorkloadName == "" }

// Attempt counts the retries of the delivery: each runs one phase again.
func (d Delivery) Attempt() int {
	retries := 0
	for i := range d.Progress.Phases {
		retries += int(d.Progress.Phases[i].Attempt)
	}
	return retries
}

// Start is when the attempt began: a retry begins with the phase that runs again, or
// where that has not begun, at no known time. Where the start of a delivery is not known
// it is its end.
func (d Delivery) Start() time.Time {
	if rec := d.retried(); rec != nil {
		if rec.StartTime == nil {
			return time.Time{}
		}
		return rec.StartTime.Time
	}
	if d.Progress.StartTime.IsZero() {
		return d.Progress.EndTime.Time
	}
	return d.Progress.StartTime.Time
}

// Duration is the time from the start of the attempt to its end; false where it is not
// known, or cannot be true.
func (d Delivery) Duration() (time.Duration, bool) {
	start, end := d.Start(), d.Progress.EndTime.Time
	known := !d.Progress.StartTime.IsZero() && !start.IsZero() && !end.Before(start)
	return end.Sub(start), known && !end.IsZero()
}

// retried is the phase that the newest attempt began with, or nil at the first. What
// failed is run again once all before it has passed, and so a later retry never begins
// with an earlier phase.
func (d Delivery) retried() *lifecyclev1.PhaseRecord {
	for i := len(d.Progress.Phases) - 1; i >= 0; i-- {
		if rec := &d.Progress.Phases[i]; rec.Attempt > 0 {
			return rec
		}
	}
	return nil
}

// Over says whether the record of the delivery is closed.
func (d Delivery) Over() bool { return !d.Progress.EndTime.IsZero() }

// Began says whether the delivery, or a further attempt at it, began between two
// records of it.
func Began(before, after Delivery) bool {
	return !after.Start().IsZero() && (before.Start().IsZero() || before.Attempt() != after.Attempt())
}

// Ended says whether the delivery, or a further attempt at it, ended between two
// records of it. One that had ended does not end again, be it that it was given up
// since.
func Ended(before, after Delivery) bool {
	return after.Over() && (!before.Over() || before.Attempt() != after.Attempt())
}

// PhasesEnded are the phases that ran and came to an end between two records, in order.
// A phase that never ran has no start; one that had ended does not end again, unless it
// ran again.
func PhasesEnded(before, after Delivery) []*lifecyclev1.PhaseRecord {
	var ended []*lifecyclev1.PhaseRecord
	for i := range after.Progress.Phases {
		rec := &after.Progress.Phases[i]
		was := before.Progress.Phase(rec.Name)
		if phaseOver(rec) && (was == nil || !phaseOver(was) || was.Attempt != rec.Attempt) {
			ended = append(ended, rec)
		}
	}
	return ended
}

func phaseOver(rec *lifecyclev1.PhaseRecord) bool {
	return rec.State.Completed() && rec.StartTime != nil && rec.EndTime != nil
}

// NeedsFacts says whether it takes the tasks and evaluations of a delivery to tell of a
// change: a phase ended that has some.
func NeedsFacts(before, after Delivery) bool {
	for _, rec := range PhasesEnded(before, after) {
		if len(after.Checks[rec.Name]) > 0 {
			return true
		}
	}
	return false
}

// Conclusion is what is said of a delivery that ended: the reason and the message of
// the phase that ended it, or of the last phase that has a message where all passed.
func (d Delivery) Conclusion() (reason, message string) {
	for _, rec := range d.Progress.Phases {
		if rec.Message != "" {
			reason, message = rec.Reason, rec.Message
		}
		if rec.State.Completed() && !rec.State.Passed() {
			return rec.Reason, rec.Message
		}
	}
	return reason, message
}

// Promoted is the record of the promotion where the delivery has something to promote
// and that came to an end between two records, or nil.
func Promoted(before, after Delivery) *lifecyclev1.PhaseRecord {
	for _, rec := range PhasesEnded(before, after) {
		if rec.Name == lifecyclev1.PhasePromotion && after.promoting {
			return rec
		}
	}
	return nil
}

// Deployed is the record of the phase that rolls out where it passed between two
// records, or nil.
func Deployed(before, after Delivery) *lifecyclev1.PhaseRecord {
	for _, rec := range PhasesEnded(before, after) {
		if (rec.Name == lifecyclev1.PhaseAppDeploy || rec.Name == lifecyclev1.PhaseWorkloadDeploy) && rec.State.Passed() {
			return rec
		}
	}
	return nil
}

// TaskEnded says whether a task ended between two records of it, of which the first may
// be nil.
func TaskEnded(before, after *lifecyclev1.KeptnTask) bool {
	return after.Status.Status.Completed() && (before == nil || !before.Status.Status.Completed())
}

// EvaluationEnded says whether an evaluation ended between two records of it, of which
// the first may be nil.
func EvaluationEnded(before, after *lifecyclev1.KeptnEvaluation) bool {
	return after.Status.OverallStatus.Completed() && (before == nil || !before.Status.OverallStatus.Completed())
}

// Evaluates says whether the checks of a phase are evaluations.
func Evaluates(phase lifecyclev1.Phase) bool {
	check := phase.Check()
	return check == lifecyclev1.PreDeploymentEvaluationCheckType || check == lifecyclev1.PostDeploymentEvaluationCheckType
}
