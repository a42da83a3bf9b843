package phase_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
)

func item(name string, state lifecyclev1.KeptnState, summary string) phase.Item {
	return phase.Item{ItemStatus: lifecyclev1.ItemStatus{DefinitionName: name, Status: state}, Summary: summary}
}

func TestTheWorstCheckDecides(t *testing.T) {
	type list = []phase.Item
	good, soso := item("a", succeeded, "good"), item("b", warning, "so so")
	bad, none := item("c", failed, "bad"), item("d", unknown, "no data")
	running, fresh := item("e", progressing, "no data yet"), item("f", pending, "")
	missing := phase.Item{ItemStatus: lifecyclev1.ItemStatus{DefinitionName: "g", Status: pending}, Summary: "no such definition", Missing: true}
	ended := func(state lifecyclev1.KeptnState, reason, message string) phase.Outcome {
		return phase.Outcome{State: state, Reason: reason, Message: message}
	}
	cases := map[string]struct {
		reason string
		items  list
		want   phase.Outcome
	}{
		"None":             {"Nothing is asked for (R33).", nil, phase.Skip("no evaluations")},
		"Pass":             {"It says why.", list{good}, ended(succeeded, phase.Succeeded, "good")},
		"FirstPass":        {"Of several that passed the first speaks.", list{good, item("z", succeeded, "fine")}, ended(succeeded, phase.Succeeded, "good")},
		"Warning":          {"It passes, and says so.", list{good, soso}, ended(warning, phase.Warning, "so so")},
		"Fail":             {"It goes before what is inconclusive.", list{none, bad, soso}, ended(failed, phase.Failed, "bad")},
		"NoData":           {"It goes before a warning.", list{soso, none}, ended(unknown, phase.Inconclusive, "no data")},
		"Silent":           {"What says nothing is named.", list{item("a", failed, "")}, ended(failed, phase.Failed, "a: Failed")},
		"GivenUp":          {"A check that was given up has failed (R33).", list{good, item("b", deprecated, "")}, ended(failed, phase.Failed, "b: Deprecated")},
		"FailAtOnce":       {"A failure does not wait for the others (R33).", list{running, bad, fresh}, ended(failed, phase.Failed, "bad")},
		"FailGoesFirst":    {"Not even for what is missing.", list{missing, bad}, ended(failed, phase.Failed, "bad")},
		"Evaluating":       {"Every other verdict is waited for.", list{good, running}, phase.Wait(phase.Progressing, "evaluating e: no data yet")},
		"UndecidedRunning": {"What is inconclusive may still become a failure.", list{none, running}, phase.Wait(phase.Progressing, "evaluating e: no data yet")},
		"New":              {"It has not begun.", list{fresh, running}, phase.Wait(phase.Progressing, "evaluating f; e: no data yet")},
		"Missing":          {"It is waited for, and the phase is Pending (R65).", list{good, missing}, ended(pending, phase.Missing, "g: no such definition")},
		"MissingRunning":   {"While another runs the phase is Progressing, and says what is missing (R33).", list{running, missing}, ended(progressing, phase.Missing, "g: no such definition")},
		"MissingNew":       {"What has not begun does not make it so.", list{fresh, missing}, ended(pending, phase.Missing, "g: no such definition")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, phase.Judge("evaluations", tc.items)); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestWhatIsDoneWithChecksIsCalledByTheirNames(t *testing.T) {
	for noun, want := range map[string]string{
		"tasks": "running e", "promotion": "running e", "evaluations": "evaluating e", "workloads": "delivering e",
	} {
		if got := phase.Judge(noun, []phase.Item{item("e", progressing, "")}); got.Message != want {
			t.Errorf("%s: got %q, want %q", noun, got.Message, want)
		}
	}
}

func TestARecordListsAllChecks(t *testing.T) {
	a, b := item("a", succeeded, "good"), item("b", pending, "")
	if diff := cmp.Diff([]lifecyclev1.ItemStatus{a.ItemStatus, b.ItemStatus}, phase.Statuses([]phase.Item{a, b})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
