package phase_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
)

// through is a delivery of an app whose first phases are in these states.
func through(states ...lifecyclev1.KeptnState) lifecyclev1.Delivery {
	var d lifecyclev1.Delivery
	for i, state := range states {
		d.Phases = append(d.Phases, lifecyclev1.PhaseRecord{Name: lifecyclev1.AppPhases()[i], State: state, Message: string(state)})
	}
	return d
}

func TestAVerdictIsThatOfThePhasesUpToAStage(t *testing.T) {
	silent, old := through(failed), through(succeeded, succeeded, succeeded)
	silent.Phases[0].Message, old.Status = "", succeeded
	ended := func(state lifecyclev1.KeptnState) lifecyclev1.Delivery { return lifecyclev1.Delivery{Status: state} }
	cases := map[string]struct {
		reason   string
		delivery lifecyclev1.Delivery
		until    lifecyclev1.Stage
		want     lifecyclev1.Verdict
		message  string
	}{
		"Passed":       {"What follows the stage does not matter.", through(succeeded, succeeded, failed), lifecyclev1.StagePreDeployment, lifecyclev1.VerdictPass, "AppPreDeployEvaluations: Succeeded"},
		"FirstWarning": {"The first warning speaks.", through(succeeded, warning, warning), lifecyclev1.StageDeployment, lifecyclev1.VerdictWarning, "AppPreDeployEvaluations: Warning"},
		"PassedAfter":  {"What passes after a warning does not hide it.", through(warning, succeeded), lifecyclev1.StagePreDeployment, lifecyclev1.VerdictWarning, "AppPreDeployTasks: Warning"},
		"Failed":       {"A failure goes before a warning.", through(warning, failed, deprecated), lifecyclev1.StagePromotion, lifecyclev1.VerdictFail, "AppPreDeployEvaluations: Failed"},
		"Silent":       {"A phase that says nothing is said by its state.", silent, lifecyclev1.StagePreDeployment, lifecyclev1.VerdictFail, "AppPreDeployTasks: Failed"},
		"Inconclusive": {"What could not be decided is no pass.", through(unknown), lifecyclev1.StagePreDeployment, lifecyclev1.VerdictInconclusive, "AppPreDeployTasks: Unknown"},
		"GivenUp":      {"Nor is what was given up.", through(succeeded, succeeded, deprecated), lifecyclev1.StageDeployment, lifecyclev1.VerdictInconclusive, "AppDeploy: Deprecated"},
		"Runs":         {"It is open while a phase runs, and says which.", through(warning, progressing), lifecyclev1.StagePreDeployment, "", "AppPreDeployEvaluations: Progressing"},
		"NotBegun":     {"So it is before a phase is recorded.", through(succeeded), lifecyclev1.StagePreDeployment, "", "AppPreDeployEvaluations has not begun"},
		"Old":          {"A record that has ended may lack phases that came to be later.", old, lifecyclev1.StagePromotion, lifecyclev1.VerdictPass, "AppDeploy: Succeeded"},
		"OldFailed":    {"One that has no phases at all is told by how it ended.", ended(failed), lifecyclev1.StagePreDeployment, lifecyclev1.VerdictFail, "the delivery: Failed"},
		"OldWarning":   {"Whichever way that was.", ended(warning), lifecyclev1.StagePromotion, lifecyclev1.VerdictWarning, "the delivery: Warning"},
		"OldPassed":    {"Also well.", ended(succeeded), lifecyclev1.StagePostDeployment, lifecyclev1.VerdictPass, "the delivery: Succeeded"},
		"OldGivenUp":   {"What was given up is no pass.", ended(deprecated), lifecyclev1.StageDeployment, lifecyclev1.VerdictInconclusive, "the delivery: Deprecated"},
		"Untouched":    {"What has not begun has not ended.", ended(""), lifecyclev1.StagePromotion, "", "AppPreDeployTasks has not begun"},
		"NoStage":      {"Nothing passes a stage that is misspelled.", through(succeeded, succeeded, succeeded), "deploy", lifecyclev1.VerdictInconclusive, `there is no stage "deploy"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got, message := phase.Verdict(&tc.delivery, tc.until); got != tc.want || message != tc.message {
				t.Errorf("%s\ngot %q, %q, want %q, %q", tc.reason, got, message, tc.want, tc.message)
			}
		})
	}
}

func TestAnAnswerSaysOfWhichDeliveryItIs(t *testing.T) {
	kav := &lifecyclev1.KeptnAppVersion{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout-1"}}
	kav.Spec.AppName, kav.Spec.Environment, kav.Status.Delivery = "checkout", "production", through(warning, progressing, pending)
	want := phase.Answer{
		App: "checkout", Environment: "production", Until: lifecyclev1.StagePreDeployment,
		Message: "AppPreDeployEvaluations: Progressing", Delivery: "shop/checkout-1", Phases: []phase.Standing{
			{Name: lifecyclev1.PhaseAppPreDeployTasks, State: warning, Message: "Warning"},
			{Name: lifecyclev1.PhaseAppPreDeployEvaluations, State: progressing, Message: "Progressing"},
		},
	}
	if diff := cmp.Diff(want, phase.AnswerOf(kav, lifecyclev1.StagePreDeployment)); diff != "" {
		t.Errorf("of a delivery of no commit (-want +got):\n%s", diff)
	}
	kav.Spec.Commit = &lifecyclev1.Commit{SHA: "0123456"}
	if got := phase.AnswerOf(kav, lifecyclev1.StagePreDeployment).Commit; got != "0123456" {
		t.Errorf("it is of the commit %q", got)
	}
}
