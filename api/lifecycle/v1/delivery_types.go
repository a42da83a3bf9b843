package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Delivery is what the status of every delivery says, be it of an app or of a
// workload: the phases are the record, and all else follows from them.
type Delivery struct {
	// ObservedGeneration is the generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// CurrentPhase is the phase that runs, or Completed.
	// +optional
	CurrentPhase Phase `json:"currentPhase,omitempty"`

	// Phases are all phases of the delivery, in order.
	// +optional
	// +listType=map
	// +listMapKey=name
	Phases []PhaseRecord `json:"phases,omitempty"`

	// PhaseTraceIDs are the W3C trace parents of the phases.
	// +optional
	PhaseTraceIDs map[string]map[string]string `json:"phaseTraceIDs,omitempty"`

	// Status of the delivery as a whole.
	// +optional
	// +kubebuilder:default=Pending
	Status KeptnState `json:"status,omitempty"`

	// StartTime of the delivery.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	StartTime metav1.Time `json:"startTime,omitempty"`

	// EndTime of the delivery: when it succeeded, failed, or was superseded.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	EndTime metav1.Time `json:"endTime,omitempty"`

	// LastHandledRetry is the value of the annotation keptn.sh/retry that was acted
	// upon last.
	// +optional
	LastHandledRetry string `json:"lastHandledRetry,omitempty"`
}

// Phase returns the record of a phase, or nil where the delivery has not come
// to it.
func (in *Delivery) Phase(name Phase) *PhaseRecord {
	for i := range in.Phases {
		if in.Phases[i].Name == name {
			return &in.Phases[i]
		}
	}
	return nil
}

// PhaseRecord is when a phase ran, how it ended, and what is said of it.
type PhaseRecord struct {
	// Name of the phase.
	Name Phase `json:"name"`
	// State of the phase.
	State KeptnState `json:"state"`
	// Attempt counts the runs of the phase beyond the first.
	// +optional
	Attempt int32 `json:"attempt,omitempty"`
	// Reason in one word.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message for people: what the phase waits for, or how it ended.
	// +optional
	Message string `json:"message,omitempty"`
	// StartTime of the phase.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// EndTime of the phase.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	EndTime *metav1.Time `json:"endTime,omitempty"`
}

// begun says whether the phase has run, or runs.
func (in *PhaseRecord) begun() bool { return in != nil && in.StartTime != nil }

// ItemStatus is one check of a phase.
type ItemStatus struct {
	// DefinitionName is the name of what is run or evaluated.
	// +optional
	DefinitionName string `json:"definitionName,omitempty"`
	// Status of the check.
	// +optional
	// +kubebuilder:default=Pending
	Status KeptnState `json:"status,omitempty"`
	// Name of the object that runs the check.
	// +optional
	Name string `json:"name,omitempty"`
	// StartTime of the check.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	StartTime metav1.Time `json:"startTime,omitempty"`
	// EndTime of the check.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	EndTime metav1.Time `json:"endTime,omitempty"`
}

// CheckStatuses are how the checks of a delivery stand: the state of each phase that
// runs some, and one entry per check.
type CheckStatuses struct {
	// PreDeploymentStatus is the state of the tasks before the rollout.
	// +optional
	// +kubebuilder:default=Pending
	PreDeploymentStatus KeptnState `json:"preDeploymentStatus,omitempty"`

	// PreDeploymentEvaluationStatus is the state of the evaluations before it.
	// +optional
	// +kubebuilder:default=Pending
	PreDeploymentEvaluationStatus KeptnState `json:"preDeploymentEvaluationStatus,omitempty"`

	// PostDeploymentStatus is the state of the tasks after it.
	// +optional
	// +kubebuilder:default=Pending
	PostDeploymentStatus KeptnState `json:"postDeploymentStatus,omitempty"`

	// PostDeploymentEvaluationStatus is the state of the evaluations after it.
	// +optional
	// +kubebuilder:default=Pending
	PostDeploymentEvaluationStatus KeptnState `json:"postDeploymentEvaluationStatus,omitempty"`

	// PreDeploymentTaskStatus is one entry per task before the rollout.
	// +optional
	// +listType=atomic
	PreDeploymentTaskStatus []ItemStatus `json:"preDeploymentTaskStatus,omitempty"`

	// PreDeploymentEvaluationTaskStatus is one entry per evaluation before it.
	// +optional
	// +listType=atomic
	PreDeploymentEvaluationTaskStatus []ItemStatus `json:"preDeploymentEvaluationTaskStatus,omitempty"`

	// PostDeploymentTaskStatus is one entry per task after it.
	// +optional
	// +listType=atomic
	PostDeploymentTaskStatus []ItemStatus `json:"postDeploymentTaskStatus,omitempty"`

	// PostDeploymentEvaluationTaskStatus is one entry per evaluation after it.
	// +optional
	// +listType=atomic
	PostDeploymentEvaluationTaskStatus []ItemStatus `json:"postDeploymentEvaluationTaskStatus,omitempty"`
}
