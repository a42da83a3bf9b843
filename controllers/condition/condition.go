// Package condition writes the conditions that kstatus and people read: Ready,
// Reconciling and Stalled, all of them from one outcome, so that they cannot
// contradict each other.
package condition

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What the API server accepts in a condition and in an event, in bytes.
const (
	maxMessage = 32768
	maxNote    = 1024
)

// Outcome is what a reconcile found, and when to look again if no event will
// tell.
//
// True: it is as it should be. Unknown: it is under way. False: only a change by
// a person can help.
type Outcome struct {
	Status  metav1.ConditionStatus
	Reason  string
	Message string
	Recheck time.Duration
}

// Ready is the outcome that nothing is left to do.
func Ready(reason, format string, args ...any) Outcome {
	return Outcome{Status: metav1.ConditionTrue, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Waiting is the outcome that something is under way.
func Waiting(reason, format string, args ...any) Outcome {
	return Outcome{Status: metav1.ConditionUnknown, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Failed is the outcome that only a change by a person can mend.
func Failed(reason, format string, args ...any) Outcome {
	return Outcome{Status: metav1.ConditionFalse, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// In returns the outcome with the time after which to look again.
func (o Outcome) In(d time.Duration) Outcome {
	o.Recheck = d
	return o
}

// Object is what has conditions.
type Object interface {
	GetGeneration() int64
	GetConditions() []metav1.Condition
	SetConditions([]metav1.Condition)
}

// Summarize writes Ready, Reconciling and Stalled from the outcome, as kstatus
// reads them: Reconciling and Stalled are there only while they are true.
func Summarize(obj Object, o Outcome) {
	Set(obj, meta.ReadyCondition, o)
	switch o.Status {
	case metav1.ConditionUnknown:
		Set(obj, meta.ReconcilingCondition, with(o, metav1.ConditionTrue))
		Remove(obj, meta.StalledCondition)
	case metav1.ConditionFalse:
		Set(obj, meta.StalledCondition, with(o, metav1.ConditionTrue))
		Remove(obj, meta.ReconcilingCondition)
	default:
		Remove(obj, meta.ReconcilingCondition)
		Remove(obj, meta.StalledCondition)
	}
}

func with(o Outcome, s metav1.ConditionStatus) Outcome {
	o.Status = s
	return o
}

// Set writes one condition from the outcome; its transition time moves only
// with its status.
func Set(obj Object, conditionType string, o Outcome) {
	conditions := obj.GetConditions()
	apimeta.SetStatusCondition(&conditions, metav1.Condition{
		Type:               conditionType,
		Status:             o.Status,
		Reason:             o.Reason,
		Message:            Bounded(o.Message, maxMessage),
		ObservedGeneration: obj.GetGeneration(),
	})
	obj.SetConditions(conditions)
}

// Of returns a condition of the object, or nil.
func Of(obj Object, conditionType string) *metav1.Condition {
	return apimeta.FindStatusCondition(obj.GetConditions(), conditionType)
}

// Remove takes a condition away.
func Remove(obj Object, conditionType string) {
	conditions := obj.GetConditions()
	apimeta.RemoveStatusCondition(&conditions, conditionType)
	obj.SetConditions(conditions)
}

// Note is a message as an event can hold it.
func Note(message string) string { return Bounded(message, maxNote) }

// Bounded cuts a message to so many bytes, between two runes.
func Bounded(message string, limit int) string {
	if len(message) <= limit {
		return message
	}
	cut := limit - len("…")
	for cut > 0 && !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut] + "…"
}

// Change is a condition that came, or whose status or reason changed.
type Change struct{ metav1.Condition }

// EventType is the type of event that tells of the change.
func (c Change) EventType() string {
	if c.Status == metav1.ConditionFalse {
		return corev1.EventTypeWarning
	}
	return corev1.EventTypeNormal
}

// Changes returns what is worth an event: Ready where its status or reason
// changed, and the other conditions where they turn bad, or good again.
// Reconciling and Stalled repeat Ready, and are left out.
func Changes(before, after []metav1.Condition) []Change {
	var changes []Change
	for _, c := range after {
		if c.Type == meta.ReconcilingCondition || c.Type == meta.StalledCondition {
			continue
		}
		was := metav1.Condition{}
		if found := apimeta.FindStatusCondition(before, c.Type); found != nil {
			was = *found
		}
		bad := was.Status == metav1.ConditionFalse || c.Status == metav1.ConditionFalse
		if (was.Status != c.Status || was.Reason != c.Reason) && (bad || c.Type == meta.ReadyCondition) {
			changes = append(changes, Change{c})
		}
	}
	return changes
}
