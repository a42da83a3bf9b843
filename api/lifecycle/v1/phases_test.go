package v1_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

func TestStagesAreInTheOrderOfTheirPhases(t *testing.T) {
	for what, phases := range map[string][]lifecyclev1.Phase{"an app": lifecyclev1.AppPhases(), "a workload": lifecyclev1.WorkloadPhases()} {
		last := 0
		for _, p := range phases {
			at := slices.Index(lifecyclev1.Stages(), p.Stage())
			if at < last {
				t.Errorf("%s of %s is in the stage %q, which is unknown or earlier than the one before", p, what, p.Stage())
			}
			last = max(last, at)
		}
	}
	if p := lifecyclev1.PhaseCompleted; p.Stage() != "" || p.LongName() != "" || p.Check() != "" {
		t.Errorf("%s is no phase, and has stage %q, name %q and check %q", p, p.Stage(), p.LongName(), p.Check())
	}
}

func TestAStageEndsWithItsLastPhase(t *testing.T) {
	for stage, want := range map[lifecyclev1.Stage]lifecyclev1.Phase{
		lifecyclev1.StagePreDeployment:  lifecyclev1.PhaseAppPreDeployEvaluations,
		lifecyclev1.StageDeployment:     lifecyclev1.PhaseAppDeploy,
		lifecyclev1.StagePostDeployment: lifecyclev1.PhaseAppPostDeployEvaluations,
		lifecyclev1.StagePromotion:      lifecyclev1.PhasePromotion,
	} {
		until := lifecyclev1.AppPhasesUntil(stage)
		if until[len(until)-1] != want || !slices.Equal(until, lifecyclev1.AppPhases()[:len(until)]) {
			t.Errorf("up to the end of %s there are %s", stage, until)
		}
	}
	for _, none := range []lifecyclev1.Stage{"", "deploy"} {
		if until := lifecyclev1.AppPhasesUntil(none); len(until) > 0 {
			t.Errorf("up to the end of %q there are %s", none, until)
		}
	}
}

func TestEveryPhaseFindsTheChecksThatItIsAskedFor(t *testing.T) {
	checks := lifecyclev1.Checks{
		PreDeploymentTasks: []string{"pre"}, PreDeploymentEvaluations: []string{"pre-eval"},
		PostDeploymentTasks: []string{"post"}, PostDeploymentEvaluations: []string{"post-eval"},
	}
	var app lifecyclev1.KeptnAppVersionSpec
	app.Checks, app.PromotionTasks = checks, []string{"promotion"}
	workload := lifecyclev1.KeptnWorkloadVersionSpec{KeptnWorkloadSpec: lifecyclev1.KeptnWorkloadSpec{Checks: checks}}
	for _, p := range lifecyclev1.AppPhases() {
		if got := app.Asked(p); len(got) != min(len(p.Check()), 1) || len(got) > 0 && got[0] != string(p.Check()) {
			t.Errorf("%s of an app is asked for %s", p, got)
		}
	}
	for _, p := range lifecyclev1.WorkloadPhases() {
		if got := workload.Asked(p); len(got) != min(len(p.Check()), 1) || len(got) > 0 && got[0] != string(p.Check()) {
			t.Errorf("%s of a workload is asked for %s", p, got)
		}
	}
}

func TestEveryPhaseHasItsOwnFields(t *testing.T) {
	var app lifecyclev1.KeptnAppVersionStatus
	var workload lifecyclev1.KeptnWorkloadVersionStatus
	cases := map[string]struct {
		reason string
		phases []lifecyclev1.Phase
		fields func(lifecyclev1.Phase) (*lifecyclev1.KeptnState, *[]lifecyclev1.ItemStatus)
		status any
		want   map[string]any
	}{
		"App": {"The soak has none, as Keptn has no soak.", lifecyclev1.AppPhases(), app.Fields, &app, map[string]any{
			"preDeploymentStatus": "AppPreDeployTasks", "preDeploymentTaskStatus": items("AppPreDeployTasks"),
			"preDeploymentEvaluationStatus": "AppPreDeployEvaluations", "preDeploymentEvaluationTaskStatus": items("AppPreDeployEvaluations"),
			"workloadOverallStatus": "AppDeploy",
			"postDeploymentStatus":  "AppPostDeployTasks", "postDeploymentTaskStatus": items("AppPostDeployTasks"),
			"postDeploymentEvaluationStatus": "AppPostDeployEvaluations", "postDeploymentEvaluationTaskStatus": items("AppPostDeployEvaluations"),
			"promotionStatus": "PromotionTasks", "promotionTaskStatus": items("PromotionTasks"),
		}},
		"Workload": {"The rollout has another one than that of an app.", lifecyclev1.WorkloadPhases(), workload.Fields, &workload, map[string]any{
			"preDeploymentStatus": "WorkloadPreDeployTasks", "preDeploymentTaskStatus": items("WorkloadPreDeployTasks"),
			"preDeploymentEvaluationStatus": "WorkloadPreDeployEvaluations", "preDeploymentEvaluationTaskStatus": items("WorkloadPreDeployEvaluations"),
			"deploymentStatus":     "WorkloadDeploy",
			"postDeploymentStatus": "WorkloadPostDeployTasks", "postDeploymentTaskStatus": items("WorkloadPostDeployTasks"),
			"postDeploymentEvaluationStatus": "WorkloadPostDeployEvaluations", "postDeploymentEvaluationTaskStatus": items("WorkloadPostDeployEvaluations"),
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for _, p := range tc.phases {
				state, items := tc.fields(p)
				if (items != nil) != (p.Check() != "") {
					t.Errorf("%s has checks %q, and a field for them: %t", p, p.Check(), items != nil)
				}
				if state != nil {
					*state = lifecyclev1.KeptnState(p)
				}
				if items != nil {
					*items = []lifecyclev1.ItemStatus{{DefinitionName: string(p)}}
				}
			}
			if diff := cmp.Diff(tc.want, written(t, tc.status)); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// items is how a record lists one check.
func items(name string) []any {
	return []any{map[string]any{"definitionName": name, "startTime": nil, "endTime": nil}}
}

// written is what of a status is in JSON, but for times that are not set.
func written(t *testing.T, status any) map[string]any {
	t.Helper()
	data, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	for key, value := range fields {
		if value == nil {
			delete(fields, key)
		}
	}
	return fields
}
