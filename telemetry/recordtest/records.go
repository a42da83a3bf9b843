// Package recordtest has records of deliveries for the tests of telemetry: one story,
// with its possible ends.
package recordtest

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// UID of the delivery, and SHA of its commit.
const (
	UID = "7f9c24e5-6b1d-4a52-9d6c-0c9c3f1a2b3c"
	SHA = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
)

// At is a time of the story that Delivered and Failed tell, in seconds.
func At(seconds int) metav1.Time {
	return metav1.NewTime(time.Date(2026, 3, 1, 12, 0, seconds, 0, time.UTC))
}

// Ptr points to a value.
func Ptr[T any](v T) *T { return &v }

// Delivered is the record of a delivery that succeeded: it rolled out from
// second 0 to 30, soaked for a minute, and was evaluated in ten seconds.
func Delivered() *lifecyclev1.KeptnAppVersion {
	return &lifecyclev1.KeptnAppVersion{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout-4b825dc-1a2b3c4d", UID: UID},
		Spec: lifecyclev1.KeptnAppVersionSpec{
			AppName:     "checkout",
			Version:     "4b825dc",
			Environment: "production",
			Commit: &lifecyclev1.Commit{
				SHA: SHA, Repository: "https://ci:hunter2@git.example.com/acme/shop.git",
				AuthoredAt: At(-1400), Evidence: lifecyclev1.EvidenceContent,
			},
		},
		Status: lifecyclev1.KeptnAppVersionStatus{
			Delivery: lifecyclev1.Delivery{
				Status:       lifecyclev1.StateSucceeded,
				CurrentPhase: lifecyclev1.PhaseCompleted,
				StartTime:    At(0),
				EndTime:      At(100),
				Phases: []lifecyclev1.PhaseRecord{
					phase(lifecyclev1.PhaseAppDeploy, lifecyclev1.StateSucceeded, 0, 30, "3 of 3 replicas run 4b825dc"),
					phase(lifecyclev1.PhaseAppSoak, lifecyclev1.StateSucceeded, 30, 90, ""),
					phase(lifecyclev1.PhaseAppPostDeployEvaluations, lifecyclev1.StateWarning, 90, 100, "error ratio 0.7 %"),
				},
			},
			CheckStatuses: lifecyclev1.CheckStatuses{
				PostDeploymentEvaluationTaskStatus: []lifecyclev1.ItemStatus{
					{
						DefinitionName: "checkout-slo", Name: "post-eval-checkout-slo-1", Status: lifecyclev1.StateWarning,
						StartTime: At(91), EndTime: At(99),
					},
				},
			},
			LeadTime: &metav1.Duration{Duration: 25 * time.Minute},
		},
	}
}

func phase(name lifecyclev1.Phase, state lifecyclev1.KeptnState, start, end int, message string) lifecyclev1.PhaseRecord {
	return lifecyclev1.PhaseRecord{
		Name: name, State: state, Reason: string(state), Message: message,
		StartTime: Ptr(At(start)), EndTime: Ptr(At(end)),
	}
}

// Failed is the record of a delivery whose rollout failed: no later phase ran.
func Failed() *lifecyclev1.KeptnAppVersion {
	kav := Delivered()
	kav.Status.Status = lifecyclev1.StateFailed
	kav.Status.EndTime = At(30)
	kav.Status.LeadTime = nil
	kav.Status.Phases = []lifecyclev1.PhaseRecord{
		phase(lifecyclev1.PhaseAppDeploy, lifecyclev1.StateFailed, 0, 30, "1 of 3 replicas available after 5m"),
		{Name: lifecyclev1.PhaseAppSoak, State: lifecyclev1.StateDeprecated, EndTime: Ptr(At(30))},
		{Name: lifecyclev1.PhaseAppPostDeployEvaluations, State: lifecyclev1.StateDeprecated},
	}
	kav.Status.PostDeploymentEvaluationTaskStatus = nil
	return kav
}

// Undecided is the record of a delivery whose evaluation came to no verdict.
func Undecided() *lifecyclev1.KeptnAppVersion {
	kav := Delivered()
	kav.Status.Status = lifecyclev1.StateUnknown
	kav.Status.LeadTime = nil
	kav.Status.Phases = []lifecyclev1.PhaseRecord{
		phase(lifecyclev1.PhaseAppPostDeployEvaluations, lifecyclev1.StateUnknown, 90, 100, "errors: no data"),
	}
	return kav
}

// Superseded is the record of a delivery that was given up in its soak.
func Superseded() *lifecyclev1.KeptnAppVersion {
	kav := Delivered()
	kav.Status.Status = lifecyclev1.StateDeprecated
	kav.Status.EndTime = At(45)
	kav.Status.LeadTime = nil
	kav.Status.Phases[1] = phase(lifecyclev1.PhaseAppSoak, lifecyclev1.StateDeprecated, 30, 45, "superseded by 8d1c8b6")
	kav.Status.Phases = kav.Status.Phases[:2]
	kav.Status.PostDeploymentEvaluationTaskStatus = nil
	return kav
}

// Evaluation is the record of the evaluation that Delivered went through.
func Evaluation() lifecyclev1.KeptnEvaluation {
	return lifecyclev1.KeptnEvaluation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "post-eval-checkout-slo-1", UID: "evaluation"},
		Spec: lifecyclev1.KeptnEvaluationSpec{
			AppName: "checkout", AppVersion: "4b825dc", EvaluationDefinition: "checkout-slo",
			Type: lifecyclev1.PostDeploymentEvaluationCheckType,
		},
		Status: lifecyclev1.KeptnEvaluationStatus{
			OverallStatus: lifecyclev1.StateWarning,
			Verdict:       lifecyclev1.VerdictWarning,
			Summary:       "error ratio 0.7 %",
			StartTime:     At(91),
			EndTime:       At(99),
		},
	}
}

// Retried is the record of a delivery whose rollout failed as in Failed, and that
// passed when it was retried: the second rollout ran from second 200 to 230.
func Retried() *lifecyclev1.KeptnAppVersion {
	kav := Delivered()
	kav.Status.EndTime = At(300)
	kav.Status.Phases = []lifecyclev1.PhaseRecord{
		phase(lifecyclev1.PhaseAppDeploy, lifecyclev1.StateSucceeded, 200, 230, "3 of 3 replicas run 4b825dc"),
		phase(lifecyclev1.PhaseAppSoak, lifecyclev1.StateSucceeded, 230, 290, ""),
		phase(lifecyclev1.PhaseAppPostDeployEvaluations, lifecyclev1.StateWarning, 290, 300, "error ratio 0.7 %"),
	}
	kav.Status.Phases[0].Attempt = 1
	return kav
}

// Retrying is the record of Retried once the retry was asked for.
func Retrying() *lifecyclev1.KeptnAppVersion {
	kav := Failed()
	kav.Status.Status, kav.Status.EndTime = lifecyclev1.StateProgressing, metav1.Time{}
	for i := range kav.Status.Phases {
		kav.Status.Phases[i] = lifecyclev1.PhaseRecord{Name: kav.Status.Phases[i].Name, State: lifecyclev1.StatePending}
	}
	kav.Status.Phases[0].Attempt = 1
	return kav
}

// Task is the record of a task before the rollout that failed after 20 seconds.
func Task() lifecyclev1.KeptnTask {
	return lifecyclev1.KeptnTask{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "pre-migrate-1", UID: "task"},
		Spec: lifecyclev1.KeptnTaskSpec{
			TaskDefinition: "migrate", Type: lifecyclev1.PreDeploymentCheckType, Retries: Ptr(int32(2)),
			Context: lifecyclev1.TaskContext{AppName: "checkout", WorkloadName: "checkout-web", WorkloadVersion: "1.2"},
		},
		Status: lifecyclev1.KeptnTaskStatus{
			Status: lifecyclev1.StateFailed, Reason: "BackoffLimitExceeded", Message: "it crashed", ExitCode: Ptr(int32(3)),
			StartTime: At(1), EndTime: At(21),
		},
	}
}

// Workload is the record of a delivery of a workload of Delivered's app, whose task
// before the rollout failed.
func Workload() *lifecyclev1.KeptnWorkloadVersion {
	return &lifecyclev1.KeptnWorkloadVersion{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "checkout-web-1.2", UID: "0c0ffee0-0000-4000-8000-000000000001"},
		Spec: lifecyclev1.KeptnWorkloadVersionSpec{
			KeptnWorkloadSpec: lifecyclev1.KeptnWorkloadSpec{
				AppName: "checkout", Version: "1.2", Metadata: map[string]string{"team": "web"},
			},
			WorkloadName: "checkout-web", PreviousVersion: "1.1",
		},
		Status: lifecyclev1.KeptnWorkloadVersionStatus{
			Delivery: lifecyclev1.Delivery{
				Status: lifecyclev1.StateFailed, StartTime: At(0), EndTime: At(25),
				Phases: []lifecyclev1.PhaseRecord{
					phase(lifecyclev1.PhaseWorkloadPreDeployTasks, lifecyclev1.StateFailed, 0, 25, "migrate: it crashed"),
					{Name: lifecyclev1.PhaseWorkloadDeploy, State: lifecyclev1.StateDeprecated, EndTime: Ptr(At(25))},
				},
			},
			CheckStatuses: lifecyclev1.CheckStatuses{
				PreDeploymentTaskStatus: []lifecyclev1.ItemStatus{
					{DefinitionName: "migrate", Name: "pre-migrate-1", Status: lifecyclev1.StateFailed, StartTime: At(1), EndTime: At(21)},
				},
			},
			AppContextMetadata: map[string]string{"team": "shop", "tier": "1"},
		},
	}
}

// Deprecated is the record of Delivered once the same version is delivered again.
func Deprecated() *lifecyclev1.KeptnAppVersion {
	kav := Delivered()
	kav.Status.Status = lifecyclev1.StateDeprecated
	for i := range kav.Status.Phases {
		kav.Status.Phases[i].State = lifecyclev1.StateDeprecated
	}
	return kav
}
