package v1

// KeptnState is where a phase, or a whole object, stands.
//
// +kubebuilder:validation:Enum=Pending;Progressing;Succeeded;Failed;Unknown;Deprecated;Warning
type KeptnState string

// The states, as Keptn has them.
const (
	StatePending     KeptnState = "Pending"
	StateProgressing KeptnState = "Progressing"
	StateSucceeded   KeptnState = "Succeeded"
	StateFailed      KeptnState = "Failed"
	// StateUnknown: it ended, and nothing could be decided.
	StateUnknown KeptnState = "Unknown"
	// StateDeprecated: it never ran, or was given up, since something before it
	// failed or something newer took its place.
	StateDeprecated KeptnState = "Deprecated"
	StateWarning    KeptnState = "Warning"
)

// Completed says whether the state is final.
func (s KeptnState) Completed() bool {
	switch s {
	case StateSucceeded, StateFailed, StateUnknown, StateDeprecated, StateWarning:
		return true
	default:
		return false
	}
}

// Passed says whether the next phase may begin.
func (s KeptnState) Passed() bool { return s == StateSucceeded || s == StateWarning }

// Phase is the short name of a phase, as events and traces show it.
type Phase string

// The phases of an app and of a workload.
const (
	PhaseAppPreDeployTasks        Phase = "AppPreDeployTasks"
	PhaseAppPreDeployEvaluations  Phase = "AppPreDeployEvaluations"
	PhaseAppDeploy                Phase = "AppDeploy"
	PhaseAppSoak                  Phase = "AppSoak"
	PhaseAppPostDeployTasks       Phase = "AppPostDeployTasks"
	PhaseAppPostDeployEvaluations Phase = "AppPostDeployEvaluations"
	PhasePromotion                Phase = "PromotionTasks"

	PhaseWorkloadPreDeployTasks        Phase = "WorkloadPreDeployTasks"
	PhaseWorkloadPreDeployEvaluations  Phase = "WorkloadPreDeployEvaluations"
	PhaseWorkloadDeploy                Phase = "WorkloadDeploy"
	PhaseWorkloadPostDeployTasks       Phase = "WorkloadPostDeployTasks"
	PhaseWorkloadPostDeployEvaluations Phase = "WorkloadPostDeployEvaluations"

	PhaseCompleted Phase = "Completed"
)

// CheckType says when a check runs.
type CheckType string

// The types of checks.
const (
	PreDeploymentCheckType            CheckType = "pre"
	PostDeploymentCheckType           CheckType = "post"
	PreDeploymentEvaluationCheckType  CheckType = "pre-eval"
	PostDeploymentEvaluationCheckType CheckType = "post-eval"
	PromotionCheckType                CheckType = "promotion"
)
