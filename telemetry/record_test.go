package telemetry_test

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

const (
	uid = "7f9c24e5-6b1d-4a52-9d6c-0c9c3f1a2b3c"
	sha = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
)

// at is a time of the story that delivered and failed tell, in seconds.
func at(seconds int) metav1.Time {
	return metav1.NewTime(time.Date(2026, 3, 1, 12, 0, seconds, 0, time.UTC))
}

func ptr[T any](v T) *T { return &v }

// delivered is the record of a delivery that succeeded: it rolled out from
// second 0 to 30, soaked for a minute, and was evaluated in ten seconds.
func delivered() *lifecyclev1.KeptnAppVersion {
	return &lifecyclev1.KeptnAppVersion{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout-4b825dc-1a2b3c4d", UID: uid},
		Spec: lifecyclev1.KeptnAppVersionSpec{
			AppName:     "checkout",
			Version:     "4b825dc",
			Environment: "production",
			Commit:      &lifecyclev1.Commit{SHA: sha, Repository: "https://ci:hunter2@git.example.com/acme/shop.git"},
		},
		Status: lifecyclev1.KeptnAppVersionStatus{
			Delivery: lifecyclev1.Delivery{
				Status:       lifecyclev1.StateSucceeded,
				CurrentPhase: lifecyclev1.PhaseCompleted,
				StartTime:    at(0),
				EndTime:      at(100),
				Phases: []lifecyclev1.PhaseRecord{
					phase(lifecyclev1.PhaseAppDeploy, lifecyclev1.StateSucceeded, 0, 30, "3 of 3 replicas run 4b825dc"),
					phase(lifecyclev1.PhaseAppSoak, lifecyclev1.StateSucceeded, 30, 90, ""),
					phase(lifecyclev1.PhaseAppPostDeployEvaluations, lifecyclev1.StateWarning, 90, 100, "error ratio 0.7 %"),
				},
			},
			CheckStatuses: lifecyclev1.CheckStatuses{
				PostDeploymentEvaluationTaskStatus: []lifecyclev1.ItemStatus{
					{DefinitionName: "checkout-slo", Name: "post-eval-checkout-slo-1", Status: lifecyclev1.StateWarning},
				},
			},
			LeadTime: &metav1.Duration{Duration: 25 * time.Minute},
		},
	}
}

func phase(name lifecyclev1.Phase, state lifecyclev1.KeptnState, start, end int, message string) lifecyclev1.PhaseRecord {
	return lifecyclev1.PhaseRecord{
		Name: name, State: state, Reason: string(state), Message: message,
		StartTime: ptr(at(start)), EndTime: ptr(at(end)),
	}
}

// failed is the record of a delivery whose rollout failed: no later phase ran.
func failed() *lifecyclev1.KeptnAppVersion {
	kav := delivered()
	kav.Status.Status = lifecyclev1.StateFailed
	kav.Status.EndTime = at(30)
	kav.Status.LeadTime = nil
	kav.Status.Phases = []lifecyclev1.PhaseRecord{
		phase(lifecyclev1.PhaseAppDeploy, lifecyclev1.StateFailed, 0, 30, "1 of 3 replicas available after 5m"),
		{Name: lifecyclev1.PhaseAppSoak, State: lifecyclev1.StateDeprecated, EndTime: ptr(at(30))},
		{Name: lifecyclev1.PhaseAppPostDeployEvaluations, State: lifecyclev1.StateDeprecated},
	}
	kav.Status.PostDeploymentEvaluationTaskStatus = nil
	return kav
}

// undecided is the record of a delivery whose evaluation came to no verdict.
func undecided() *lifecyclev1.KeptnAppVersion {
	kav := delivered()
	kav.Status.Status = lifecyclev1.StateUnknown
	kav.Status.LeadTime = nil
	kav.Status.Phases = []lifecyclev1.PhaseRecord{
		phase(lifecyclev1.PhaseAppPostDeployEvaluations, lifecyclev1.StateUnknown, 90, 100, "errors: no data"),
	}
	return kav
}

// superseded is the record of a delivery that was given up in its soak.
func superseded() *lifecyclev1.KeptnAppVersion {
	kav := delivered()
	kav.Status.Status = lifecyclev1.StateDeprecated
	kav.Status.EndTime = at(45)
	kav.Status.LeadTime = nil
	kav.Status.Phases[1] = phase(lifecyclev1.PhaseAppSoak, lifecyclev1.StateDeprecated, 30, 45, "superseded by 8d1c8b6")
	kav.Status.Phases = kav.Status.Phases[:2]
	kav.Status.PostDeploymentEvaluationTaskStatus = nil
	return kav
}

// evaluation is the record of the evaluation that delivered went through.
func evaluation() lifecyclev1.KeptnEvaluation {
	return lifecyclev1.KeptnEvaluation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "post-eval-checkout-slo-1"},
		Spec: lifecyclev1.KeptnEvaluationSpec{
			AppName: "checkout", AppVersion: "4b825dc", EvaluationDefinition: "checkout-slo",
			Type: lifecyclev1.PostDeploymentEvaluationCheckType,
		},
		Status: lifecyclev1.KeptnEvaluationStatus{
			OverallStatus: lifecyclev1.StateWarning,
			Verdict:       lifecyclev1.VerdictWarning,
			Summary:       "error ratio 0.7 %",
			StartTime:     at(91),
			EndTime:       at(99),
		},
	}
}
