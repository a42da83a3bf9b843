package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TaskContext is what a task is told of why it runs.
type TaskContext struct {
	// WorkloadName is the name of the KeptnWorkload; empty for an app's task.
	// +optional
	WorkloadName string `json:"workloadName"`
	// AppName is the name of the app.
	// +optional
	AppName string `json:"appName"`
	// AppVersion is the version of the app; empty for a workload's task.
	// +optional
	AppVersion string `json:"appVersion"`
	// WorkloadVersion is the version of the workload; empty for an app's task.
	// +optional
	WorkloadVersion string `json:"workloadVersion"`
	// TaskType is pre, post or promotion.
	// +optional
	TaskType string `json:"taskType"`
	// ObjectType is App or Workload.
	// +optional
	ObjectType string `json:"objectType"`
	// Metadata of the app and of the workload, the workload's first.
	// +optional
	// +kubebuilder:validation:MaxProperties=200
	Metadata map[string]string `json:"metadata,omitempty"`
}

// TaskParameters are texts for a task.
type TaskParameters struct {
	// Inline are the texts by their names.
	// +optional
	// +kubebuilder:validation:MaxProperties=200
	Inline map[string]string `json:"map,omitempty"`
}

// SecureParameters name a Secret for a task.
type SecureParameters struct {
	// Secret is the name of a Secret in the namespace of the task, whose key
	// SECURE_DATA the task reads as an environment variable of that name.
	// +optional
	Secret string `json:"secret,omitempty"`
}

// Confinement limits a task whose definition came from Git: its author reaches
// no more than the namespace allows.
type Confinement struct {
	// ServiceAccountName that the task runs as. Default: default, without a token.
	// +optional
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
	// AllowedSecrets are the Secrets that the task may name.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=100
	AllowedSecrets []string `json:"allowedSecrets,omitempty"`
}

// KeptnTaskSpec is one run of a task.
type KeptnTaskSpec struct {
	// TaskDefinition is the name of the KeptnTaskDefinition that is run: that of
	// the task's namespace, else that of Keptn's own.
	// +required
	// +kubebuilder:validation:MinLength=1
	TaskDefinition string `json:"taskDefinition"`

	// Definition is the definition as it was at the delivered commit. It counts in
	// place of the KeptnTaskDefinition.
	// +optional
	Definition *FrozenTaskDefinition `json:"definition,omitempty"`

	// Confinement limits what the task may do. It is set for tasks from Git.
	// +optional
	Confinement *Confinement `json:"confinement,omitempty"`

	// Context that the task runs in.
	// +optional
	Context TaskContext `json:"context,omitzero"`

	// Parameters in addition to those of the definition, which come first.
	// +optional
	Parameters TaskParameters `json:"parameters,omitzero"`

	// SecureParameters in place of those of the definition.
	// +optional
	SecureParameters SecureParameters `json:"secureParameters,omitzero"`

	// Type of the check: pre, post or promotion.
	// +optional
	Type CheckType `json:"checkType,omitempty"`

	// Retries is how often the task is run again after it failed. Default: the
	// definition's.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Retries *int32 `json:"retries,omitempty"`

	// Timeout of the task with all its retries. Default: the definition's.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^(0|([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h')",message="timeout has to be at most 8760h, which is a year: write it in h, m and s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// KeptnTaskStatus is how far a task has come.
type KeptnTaskStatus struct {
	// ObservedGeneration is the generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// JobName is the name of the Job that runs the task.
	// +optional
	JobName string `json:"jobName,omitempty"`

	// Status of the task.
	// +optional
	// +kubebuilder:default=Pending
	Status KeptnState `json:"status,omitempty"`

	// Message says what the task waits for, or why it failed.
	// +optional
	Message string `json:"message,omitempty"`

	// Reason of the message in one word.
	// +optional
	Reason string `json:"reason,omitempty"`

	// ExitCode of the container that ended the task.
	// +optional
	ExitCode *int32 `json:"exitCode,omitempty"`

	// Log is the end of what that container wrote.
	// +optional
	// +kubebuilder:validation:MaxLength=8192
	Log string `json:"log,omitempty"`

	// StartTime of the task.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	StartTime metav1.Time `json:"startTime,omitempty"`

	// EndTime of the task.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	EndTime metav1.Time `json:"endTime,omitempty"`
}

// KeptnTask is one run of a task. It runs once: what has ended never runs again.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptntasks,categories=keptn
// +kubebuilder:printcolumn:name="AppName",type=string,JSONPath=`.spec.context.appName`
// +kubebuilder:printcolumn:name="AppVersion",type=string,JSONPath=`.spec.context.appVersion`
// +kubebuilder:printcolumn:name="WorkloadName",type=string,JSONPath=`.spec.context.workloadName`
// +kubebuilder:printcolumn:name="WorkloadVersion",type=string,JSONPath=`.spec.context.workloadVersion`
// +kubebuilder:printcolumn:name="Job Name",type=string,JSONPath=`.status.jobName`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.status`
// +kubebuilder:printcolumn:name="Message",priority=1,type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:storageversion
type KeptnTask struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec KeptnTaskSpec `json:"spec"`
	// +optional
	Status KeptnTaskStatus `json:"status,omitempty"`
}

// GetConditions returns the conditions of the task.
func (in *KeptnTask) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions of the task.
func (in *KeptnTask) SetConditions(c []metav1.Condition) { in.Status.Conditions = c }

// KeptnTaskList is a list of tasks.
//
// +kubebuilder:object:root=true
type KeptnTaskList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnTask `json:"items"`
}
