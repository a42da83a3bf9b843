package delivery

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/phase"
)

// longNames are phases in the words of Keptn's events.
var longNames = map[lifecyclev1.Phase]string{
	lifecyclev1.PhaseAppPreDeployTasks:             "App Pre-Deployment Tasks",
	lifecyclev1.PhaseAppPreDeployEvaluations:       "App Pre-Deployment Evaluations",
	lifecyclev1.PhaseAppDeploy:                     "App Deployment",
	lifecyclev1.PhaseAppSoak:                       "App Soak",
	lifecyclev1.PhaseAppPostDeployTasks:            "App Post-Deployment Tasks",
	lifecyclev1.PhaseAppPostDeployEvaluations:      "App Post-Deployment Evaluations",
	lifecyclev1.PhasePromotion:                     "Promotion Tasks",
	lifecyclev1.PhaseWorkloadPreDeployTasks:        "Workload Pre-Deployment Tasks",
	lifecyclev1.PhaseWorkloadPreDeployEvaluations:  "Workload Pre-Deployment Evaluations",
	lifecyclev1.PhaseWorkloadDeploy:                "Workload Deployment",
	lifecyclev1.PhaseWorkloadPostDeployTasks:       "Workload Post-Deployment Tasks",
	lifecyclev1.PhaseWorkloadPostDeployEvaluations: "Workload Post-Deployment Evaluations",
	appCompleted:      "App",
	workloadCompleted: "Workload",
}

// The whole of a delivery, in events.
const (
	appCompleted      lifecyclev1.Phase = "AppCompleted"
	workloadCompleted lifecyclev1.Phase = "WorkloadCompleted"
)

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
	troubled  = verb{"ReconcileError", "could not get reconciled", corev1.EventTypeWarning}
	appFailed = verb{"Failed", "has failed since app has failed", corev1.EventTypeWarning}
)

// emit emits an event of a phase, in Keptn's words.
func emit(recorder events.EventRecorder, obj client.Object, name lifecyclev1.Phase, what verb, why, version string) {
	if why != "" {
		why = ": " + why
	}
	note := fmt.Sprintf("%s: %s%s / Namespace: %s, Name: %s, Version: %s", longNames[name], what.message, why, obj.GetNamespace(), obj.GetName(), version)
	recorder.Eventf(obj, nil, what.kind, string(name)+what.reason, string(name), "%s", condition.Note(note))
}

// complain tells that a phase could not be worked on, and is tried again. That
// somebody else wrote in between is no trouble, nor is the end of the program.
func complain(ctx context.Context, recorder events.EventRecorder, obj client.Object, d *lifecyclev1.Delivery, version string, err error) {
	if err != nil && !apierrors.IsConflict(err) && ctx.Err() == nil && longNames[d.CurrentPhase] != "" {
		emit(recorder, obj, d.CurrentPhase, troubled, err.Error(), version)
	}
}

// announce emits one event for every phase that began and for every phase that ended,
// and one for the whole, in order. Phases in which nothing was to be done, and those
// that never ran, are not told of; of those that had ended before the delivery was
// given up nothing more is told.
func announce(recorder events.EventRecorder, obj client.Object, before, after *lifecyclev1.Delivery, whole lifecyclev1.Phase, version string) {
	for i := range after.Phases {
		rec := &after.Phases[i]
		was := lifecyclev1.PhaseRecord{State: lifecyclev1.StatePending}
		if known := before.Phase(rec.Name); known != nil {
			was = *known
		}
		if rec.StartTime == nil || idle(rec) {
			continue
		}
		anew := was.StartTime == nil || was.Attempt != rec.Attempt
		if anew {
			emit(recorder, obj, rec.Name, verbs[lifecyclev1.StateProgressing], "", version)
		}
		if rec.State.Completed() && (anew || !was.State.Completed()) {
			emit(recorder, obj, rec.Name, verbs[rec.State], rec.Message, version)
		}
	}
	if endedAnew(before, after) {
		emit(recorder, obj, whole, verbs[after.Status], "", version)
	}
}

// endedAnew says whether a delivery ended now, be it again.
func endedAnew(before, after *lifecyclev1.Delivery) bool {
	return after.Status.Completed() && (before.Status != after.Status || !before.EndTime.Equal(&after.EndTime))
}

// idle says that nothing was to be done in a phase, and nothing needs to be said.
func idle(rec *lifecyclev1.PhaseRecord) bool { return rec.Reason == phase.NothingToDo }
