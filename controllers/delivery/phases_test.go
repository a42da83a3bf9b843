package delivery

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

func TestOnlyARolloutStopsWhatFollowsWhereChecksDoNotBlock(t *testing.T) {
	var stops []lifecyclev1.Phase
	for _, p := range (&AppVersionReconciler{}).phases() {
		if p.Stops {
			stops = append(stops, p.Name)
		}
	}
	for _, p := range (&WorkloadVersionReconciler{}).phases() {
		if p.Stops {
			stops = append(stops, p.Name)
		}
	}
	if diff := cmp.Diff([]lifecyclev1.Phase{lifecyclev1.PhaseAppDeploy, lifecyclev1.PhaseWorkloadDeploy}, stops); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEveryPhaseSaysWhatItHadToDo(t *testing.T) {
	const unread = "cannot be judged: no such file"
	cases := map[string]struct {
		reason, problem string
		want            []string
	}{
		"NothingAsked": {"Nothing is asked for, and so it is said.", "", []string{
			"no tasks", "no evaluations", "no workloads", "no soak time", "no tasks", "no evaluations", "no promotion",
		}},
		"NothingKnown": {"Nothing is promoted of which it is not known whether it is to be.", "no such file", []string{
			"no tasks", "no evaluations", "no workloads", "no soak time", "no tasks", unread, unread,
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			kav := checking()
			kav.Spec.Problem, kav.Spec.BlockDeployment = tc.problem, new(bool)
			kav, err := newCluster(t, kav).app("shop-1")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, rec := range kav.Status.Phases {
				got = append(got, rec.Message)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestHowAPhaseGoesOnIsNoNews(t *testing.T) {
	// runs has a record say that a phase runs, with one check in a state.
	runs := func(d *lifecyclev1.Delivery, name lifecyclev1.Phase, items *[]lifecyclev1.ItemStatus, state lifecyclev1.KeptnState) {
		*items = []lifecyclev1.ItemStatus{{DefinitionName: "a", Name: "a-1", Status: state}}
		d.Status, d.Phases = progressing, []lifecyclev1.PhaseRecord{rec(name, progressing, "a is "+string(state))}
	}
	app := func(name lifecyclev1.Phase, state lifecyclev1.KeptnState) *lifecyclev1.KeptnAppVersion {
		kav := appVersion("kav", 1, "1")
		_, items := kav.Status.Fields(name)
		runs(&kav.Status.Delivery, name, items, state)
		return kav
	}
	workload := func(name lifecyclev1.Phase, state lifecyclev1.KeptnState) *lifecyclev1.KeptnWorkloadVersion {
		kwv := workloadVersion("kwv", 1, "1")
		_, items := kwv.Status.Fields(name)
		runs(&kwv.Status.Delivery, name, items, state)
		return kwv
	}
	for _, name := range lifecyclev1.AppPhases() {
		if name.Check() != "" && (!appGoesOn(app(name, pending), app(name, progressing)) || appGoesOn(app(name, progressing), app(name, failed))) {
			t.Errorf("%s: that a check began is news, or that it ended is none", name)
		}
	}
	for _, name := range lifecyclev1.WorkloadPhases() {
		if name.Check() != "" && (!workloadGoesOn(workload(name, pending), workload(name, progressing)) || workloadGoesOn(workload(name, progressing), workload(name, failed))) {
			t.Errorf("%s: that a check began is news, or that it ended is none", name)
		}
	}
}
