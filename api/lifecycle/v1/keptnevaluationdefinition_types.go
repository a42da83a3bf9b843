package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KeptnMetricReference names a KeptnMetric.
type KeptnMetricReference struct {
	// Name of the KeptnMetric.
	// +required
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`

	// Namespace of the KeptnMetric. Default: that of the evaluation, else Keptn's own.
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// Objective is what a KeptnMetric has to be.
type Objective struct {
	// KeptnMetricRef is the KeptnMetric that is looked at.
	// +required
	KeptnMetricRef KeptnMetricReference `json:"keptnMetricRef"`

	// EvaluationTarget is an operator and a number, as <0.5: one of <, <=, >, >= and ==.
	// +required
	// +kubebuilder:validation:MaxLength=64
	EvaluationTarget string `json:"evaluationTarget"`
}

// KeptnEvaluationDefinitionSpec is what an evaluation looks at.
type KeptnEvaluationDefinitionSpec struct {
	// Objectives, all of which have to be met.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Objectives []Objective `json:"objectives"`

	EvaluationRetries `json:",inline"`
}

// EvaluationRetries is how often and how fast an evaluation is tried.
type EvaluationRetries struct {
	// Retries is how often the objectives are looked at before the evaluation has
	// failed. Default 10.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	Retries int `json:"retries,omitempty"`

	// RetryInterval is the time between two looks. Default 5s.
	// +optional
	// +kubebuilder:default="5s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^(0|([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h')",message="retryInterval has to be at most 8760h, which is a year: write it in h, m and s"
	RetryInterval metav1.Duration `json:"retryInterval,omitempty"`
}

// KeptnEvaluationDefinition is objectives that KeptnMetrics have to meet.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptnevaluationdefinitions,shortName=ked,categories=keptn
// +kubebuilder:storageversion
type KeptnEvaluationDefinition struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec KeptnEvaluationDefinitionSpec `json:"spec"`
	// Status is unused.
	// +optional
	Status string `json:"status,omitempty"`
}

// KeptnEvaluationDefinitionList is a list of definitions.
//
// +kubebuilder:object:root=true
type KeptnEvaluationDefinitionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnEvaluationDefinition `json:"items"`
}
