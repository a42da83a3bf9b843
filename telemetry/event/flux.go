package event

import (
	"fmt"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/record"
)

const (
	// reportingController is who events for Flux come from.
	reportingController = "keptn"
	// progressing is the reason that notification-controller takes for no result.
	progressing = "Progressing"
	// maxFluxMessage is how long a message may be, in bytes.
	maxFluxMessage = 39000
)

// OfFlux returns the events for Flux's notification-controller that a change of the
// record of an app's delivery gives cause for: that it started, that a phase passed, and
// how it ended. An Alert picks them by the object that they are about, which is the
// object of Flux that applied what is delivered, where the facts name it, since an Alert
// knows no other kinds; else the Lifecycle, else the record.
//
// The metadata are of the object's API group, as notification-controller wants them:
// revision and commit, by which it writes statuses of commits, app, environment and
// version; and commit_status=update on all but the end, which keeps them out of chats.
func OfFlux(before, after record.Delivery, facts record.Facts) []eventv1.Event {
	if !after.IsApp() {
		return nil
	}
	about := involved(after, facts)
	var events []eventv1.Event
	if record.Began(before, after) {
		events = append(events, fluxEvent(after, about, after.Start(), progressing, "delivery has started"))
	}
	if !record.Ended(before, after) {
		for _, rec := range record.PhasesEnded(before, after) {
			if rec.State.Passed() {
				events = append(events, fluxEvent(after, about, rec.EndTime.Time, progressing, rec.Name.LongName()+" has finished"+suffix(rec.Message)))
			}
		}
		return events
	}
	reason, message := after.Conclusion()
	state := after.Progress.Status
	e := fluxEvent(after, about, after.Progress.EndTime.Time, reason, ends[state]+suffix(message))
	if state == lifecyclev1.StateFailed || state == lifecyclev1.StateUnknown {
		e.Severity = eventv1.EventSeverityError
	}
	return append(events, e)
}

// ends are how the end of a delivery is told.
var ends = map[lifecyclev1.KeptnState]string{
	lifecyclev1.StateSucceeded:  "delivery has succeeded",
	lifecyclev1.StateWarning:    "delivery has succeeded with a warning",
	lifecyclev1.StateFailed:     "delivery has failed",
	lifecyclev1.StateUnknown:    "delivery could not be judged",
	lifecyclev1.StateDeprecated: "delivery was given up",
}

func suffix(message string) string {
	if message == "" {
		return ""
	}
	return ": " + message
}

func involved(d record.Delivery, facts record.Facts) corev1.ObjectReference {
	switch {
	case facts.Applier.Kind != "":
		return facts.Applier
	case d.Lifecycle != nil:
		return corev1.ObjectReference{
			APIVersion: gitopsv1alpha1.GroupVersion.String(), Kind: "Lifecycle", Namespace: d.Lifecycle.Namespace, Name: d.Lifecycle.Name,
		}
	default:
		return corev1.ObjectReference{
			APIVersion: lifecyclev1.GroupVersion.String(), Kind: d.Kind, Namespace: d.Namespace, Name: d.Name, UID: d.UID,
		}
	}
}

func fluxEvent(d record.Delivery, about corev1.ObjectReference, at time.Time, reason, message string) eventv1.Event {
	gv, _ := schema.ParseGroupVersion(about.APIVersion) // one that does not parse names no group
	metadata := map[string]string{}
	add := func(key, value string) {
		if value != "" {
			metadata[gv.Group+"/"+key] = value
		}
	}
	if c := d.Commit; c != nil {
		add(eventv1.MetaRevisionKey, "sha1:"+c.SHA)
		add(eventv1.MetaCommitKey, "sha1:"+c.SHA)
	}
	if reason == progressing {
		add(eventv1.MetaCommitStatusKey, eventv1.MetaCommitStatusUpdateValue)
	}
	add("app", d.AppName)
	add("environment", d.Environment)
	add("version", d.Version)
	add(eventv1.MetaTokenKey, idOf(d, string(d.Progress.Status)+"/"+message))
	return eventv1.Event{
		InvolvedObject: about, Severity: eventv1.EventSeverityInfo, Timestamp: metav1.NewTime(at), Reason: reason,
		Message:  record.Bounded(fmt.Sprintf("%s %s: %s", d.AppName, d.Version, message), maxFluxMessage),
		Metadata: metadata, ReportingController: reportingController,
	}
}
