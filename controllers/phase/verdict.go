package phase

import (
	"cmp"
	"fmt"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// Answer is what a gate says of a commit's delivery.
type Answer struct {
	// App and Environment that are delivered to.
	App         string `json:"app"`
	Environment string `json:"environment,omitempty"`
	// Commit that is delivered, in full where it has a delivery.
	Commit string `json:"commit"`
	// Until is the stage that the delivery has to come through.
	Until lifecyclev1.Stage `json:"until"`
	// Verdict is empty while that is open; Message then says what is waited for.
	Verdict lifecyclev1.Verdict `json:"verdict"`
	Message string              `json:"message"`
	// Delivery is namespace/name of the record; empty where there is none.
	Delivery string `json:"delivery,omitempty"`
	// Phases are those up to the stage that the record has, first to last.
	Phases []Standing `json:"phases"`
}

// Standing is where a phase stands.
type Standing struct {
	Name    lifecyclev1.Phase      `json:"name"`
	State   lifecyclev1.KeptnState `json:"state"`
	Message string                 `json:"message,omitempty"`
}

// AnswerOf is what a gate says that waits until a delivery of a commit has come through
// a stage.
func AnswerOf(kav *lifecyclev1.KeptnAppVersion, until lifecyclev1.Stage) Answer {
	a := Answer{
		App: kav.Spec.AppName, Environment: kav.Spec.Environment, Until: until,
		Delivery: kav.Namespace + "/" + kav.Name, Phases: []Standing{},
	}
	if c := kav.Spec.Commit; c != nil {
		a.Commit = c.SHA
	}
	a.Verdict, a.Message = Verdict(&kav.Status.Delivery, until)
	for _, name := range lifecyclev1.AppPhasesUntil(until) {
		if rec := kav.Status.Phase(name); rec != nil {
			a.Phases = append(a.Phases, Standing{rec.Name, rec.State, rec.Message})
		}
	}
	return a
}

// Verdict decides whether an app's delivery has passed all phases up to the end of a
// stage: pass, or warning; fail; or inconclusive where a phase ended without a result,
// or there is no such stage. It is empty while that is open; the message then says what
// is waited for. A record that has ended and has no phases, as Keptn's own old ones, is
// told by how it ended.
func Verdict(d *lifecyclev1.Delivery, until lifecyclev1.Stage) (verdict lifecyclev1.Verdict, message string) {
	phases := lifecyclev1.AppPhasesUntil(until)
	if len(phases) == 0 {
		return lifecyclev1.VerdictInconclusive, fmt.Sprintf("there is no stage %q", until)
	}
	if len(d.Phases) == 0 && d.Status.Completed() {
		return verdictOf(d.Status), fmt.Sprintf("the delivery: %s", d.Status)
	}
	verdict = lifecyclev1.VerdictPass
	for _, name := range phases {
		rec := d.Phase(name)
		if rec == nil {
			if d.Status.Completed() {
				continue // an old record does not have every phase
			}
			return "", fmt.Sprintf("%s has not begun", name)
		}
		found, said := verdictOf(rec.State), fmt.Sprintf("%s: %s", name, cmp.Or(rec.Message, string(rec.State)))
		if !rec.State.Passed() {
			return found, said
		}
		if verdict == lifecyclev1.VerdictPass { // the first warning speaks
			verdict, message = found, said
		}
	}
	return verdict, message
}

// verdictOf is the verdict that a state comes to, empty while it is open.
func verdictOf(state lifecyclev1.KeptnState) lifecyclev1.Verdict {
	switch {
	case state == lifecyclev1.StateWarning:
		return lifecyclev1.VerdictWarning
	case state.Passed():
		return lifecyclev1.VerdictPass
	case state == lifecyclev1.StateFailed:
		return lifecyclev1.VerdictFail
	case state.Completed():
		return lifecyclev1.VerdictInconclusive
	default:
		return ""
	}
}
