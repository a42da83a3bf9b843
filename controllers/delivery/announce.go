package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/phase"
)

// What events tell of that is no phase: the whole of a delivery, and steps within one.
const (
	appCompleted      lifecyclev1.Phase = "AppCompleted"
	workloadCompleted lifecyclev1.Phase = "WorkloadCompleted"
	reconcileWorkload lifecyclev1.Phase = "ReconcileWorkload"
	createTask        lifecyclev1.Phase = "CreateTask"
	createEvaluation  lifecyclev1.Phase = "CreateEvaluation"
)

// steps are those in the words of Keptn's events.
var steps = map[lifecyclev1.Phase]string{
	appCompleted:      "App Completed",
	workloadCompleted: "Workload Completed",
	reconcileWorkload: "Reconcile Workloads",
	createTask:        "Create Task",
	createEvaluation:  "Create Evaluation",
}

// longName is a phase, or a step, in the words of Keptn's events.
func longName(name lifecyclev1.Phase) string { return cmp.Or(name.LongName(), steps[name]) }

// A verb is how an event tells of what happened, in its reason and in its message.
type verb struct{ reason, message, kind string }

// verbs are how events tell of states.
var verbs = map[lifecyclev1.KeptnState]verb{
	lifecyclev1.StateProgressing: {"Started", "has started", corev1.EventTypeNormal},
	lifecyclev1.StateSucceeded:   {"Finished", "has finished", corev1.EventTypeNormal},
	lifecyclev1.StateWarning:     {"Finished", "has finished with a warning", corev1.EventTypeNormal},
	lifecyclev1.StateFailed:      {"Failed", "has failed", corev1.EventTypeWarning},
	lifecyclev1.StateUnknown:     {"Failed", "could not be decided", corev1.EventTypeWarning},
	lifecyclev1.StateDeprecated:  {"Deprecated", "was given up", corev1.EventTypeNormal},
}

// Other things that events tell of.
var (
	troubled = verb{"ReconcileError", "could not get reconciled", corev1.EventTypeWarning}
	notFound = verb{"NotFound", "could not find KeptnWorkloadVersion for KeptnWorkload", corev1.EventTypeWarning}
)

// uncreated is how events tell of objects that could not be created.
var uncreated = map[lifecyclev1.Phase]verb{
	createTask:       {"Failed", "could not create KeptnTask", corev1.EventTypeWarning},
	createEvaluation: {"Failed", "could not create KeptnEvaluation", corev1.EventTypeWarning},
}

// A teller tells of one delivery in events, in Keptn's words.
type teller struct {
	recorder recorder.EventRecorder
	about    client.Object
	// version that is delivered.
	version string
	// facts are annotations of every event: by them Keptn's events are found.
	facts map[string]string
}

// tell emits an event of a phase.
func (t teller) tell(name lifecyclev1.Phase, what verb, why string) {
	if why != "" {
		why = ": " + why
	}
	namespace, about := t.about.GetNamespace(), t.about.GetName()
	note := fmt.Sprintf("%s: %s%s / Namespace: %s, Name: %s, Version: %s", longName(name), what.message, why, namespace, about, t.version)
	annotations := map[string]string{"namespace": namespace, "name": about, "phase": string(name)}
	maps.Copy(annotations, t.facts)
	t.recorder.AnnotatedEventf(t.about, nil, annotations, what.kind, string(name)+what.reason, string(name), "%s", condition.Note(note))
}

// complain tells that an object could not be created, or that a phase could not be
// worked on, and is tried again. That somebody else wrote in between is no trouble, nor
// is the end of the program, or of the namespace.
func (t teller) complain(ctx context.Context, d *lifecyclev1.Delivery, err error) {
	if err == nil || ctx.Err() != nil || apierrors.IsConflict(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return
	}
	var failed *createError
	switch {
	case errors.As(err, &failed):
		t.tell(failed.step, uncreated[failed.step], err.Error())
	case d.CurrentPhase.LongName() != "":
		t.tell(d.CurrentPhase, troubled, err.Error())
	}
}

// announce emits one event for every phase that began and for every phase that ended,
// and one for the whole, in order. Phases in which nothing was to be done, and those
// that never ran, are not told of; of those that had ended before the delivery was
// given up nothing more is told.
func (t teller) announce(before, after *lifecyclev1.Delivery, whole lifecyclev1.Phase) {
	for i := range after.Phases {
		rec := &after.Phases[i]
		if rec.StartTime == nil || idle(rec) {
			continue
		}
		anew := begunAnew(before, rec)
		if anew {
			t.tell(rec.Name, verbs[lifecyclev1.StateProgressing], "")
		}
		if rec.State.Completed() && (anew || !before.Phase(rec.Name).State.Completed()) {
			t.tell(rec.Name, verbs[rec.State], rec.Message)
		}
	}
	if endedAnew(before, after) {
		t.tell(whole, verbs[after.Status], "")
	}
}

// begunAnew says whether a phase has begun since a record was written, be it again.
func begunAnew(before *lifecyclev1.Delivery, rec *lifecyclev1.PhaseRecord) bool {
	was := before.Phase(rec.Name)
	return rec.StartTime != nil && (was == nil || was.StartTime == nil || was.Attempt != rec.Attempt)
}

// endedAnew says whether a delivery ended now, be it again: also one that had ended, and
// is given up since the same version is delivered anew.
func endedAnew(before, after *lifecyclev1.Delivery) bool {
	return after.Status.Completed() && (before.Status != after.Status || !before.EndTime.Equal(&after.EndTime))
}

// idle says that nothing was to be done in a phase, and nothing needs to be said.
func idle(rec *lifecyclev1.PhaseRecord) bool { return rec.Reason == phase.NothingToDo }
