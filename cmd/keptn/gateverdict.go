package main

import (
	"cmp"
	"fmt"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// gateStages are the phases that have to pass, by what --until says.
var gateStages = map[string][]lifecyclev1.Phase{
	"pre-deployment":  gatePhases[:2],
	"deployment":      gatePhases[:3],
	"post-deployment": gatePhases[:6],
	"promotion":       gatePhases,
}

var gatePhases = []lifecyclev1.Phase{
	lifecyclev1.PhaseAppPreDeployTasks, lifecyclev1.PhaseAppPreDeployEvaluations,
	lifecyclev1.PhaseAppDeploy,
	lifecyclev1.PhaseAppSoak, lifecyclev1.PhaseAppPostDeployTasks, lifecyclev1.PhaseAppPostDeployEvaluations,
	lifecyclev1.PhasePromotion,
}

// Verdicts of a wait, as those of policies.
const (
	pass         = "pass"
	warned       = "warning"
	fail         = "fail"
	inconclusive = "inconclusive"
)

// gateCodes are the exit codes of the verdicts.
var gateCodes = map[string]int{pass: 0, warned: 0, fail: exitBad, inconclusive: exitInconclusive}

// gateVerdict decides from the phases of a delivery whether all of the given ones have
// passed. It is empty while that is open; the message then says what is waited for.
func gateVerdict(d *lifecyclev1.Delivery, phases []lifecyclev1.Phase) (verdict, message string) {
	verdict = pass
	for _, name := range phases {
		rec := d.Phase(name)
		if rec == nil {
			if d.Status.Completed() {
				continue // an old record does not have every phase
			}
			return "", fmt.Sprintf("%s has not begun", name)
		}
		said := fmt.Sprintf("%s: %s", name, cmp.Or(rec.Message, string(rec.State)))
		switch {
		case rec.State == lifecyclev1.StateWarning:
			if verdict == pass {
				message = said
			}
			verdict = warned
		case rec.State.Passed():
			if verdict == pass {
				message = said
			}
		case rec.State == lifecyclev1.StateFailed:
			return fail, said
		case rec.State.Completed():
			return inconclusive, said
		default:
			return "", said
		}
	}
	return verdict, message
}
