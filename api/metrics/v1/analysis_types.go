package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ObjectReference names an object, in another namespace if that is given.
type ObjectReference struct {
	// Name of the object.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Namespace of the object. Default: that of the object that refers to it, and
	// for templates and providers that of the AnalysisDefinition.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
}

// Timeframe is a window of time: from and to, or the recent past.
type Timeframe struct {
	// From is where the window begins.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	From metav1.Time `json:"from,omitempty,omitzero"`

	// To is where the window ends.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	To metav1.Time `json:"to,omitempty,omitzero"`

	// Recent is the length of a window that ends when the Analysis begins, as 5m.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^(0|([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h')",message="recent has to be at most 8760h, which is a year: write it in h, m and s"
	Recent metav1.Duration `json:"recent,omitempty,omitzero"`
}

// AnalysisSpec says what is judged, and over which time.
type AnalysisSpec struct {
	// Timeframe that is judged.
	// +required
	// +kubebuilder:validation:XValidation:rule="!has(self.recent) || duration(self.recent) == duration('0s') || !has(self.from) && !has(self.to)",message="recent cannot be used together with from and to: give either recent, or both from and to"
	// +kubebuilder:validation:XValidation:rule="has(self.recent) && duration(self.recent) != duration('0s') || has(self.from) && has(self.to)",message="either recent or both from and to must be set"
	// +kubebuilder:validation:XValidation:rule="!has(self.from) || !has(self.to) || self.to > self.from",message="to must be later than from"
	Timeframe Timeframe `json:"timeframe"`

	// Args are what the queries of templates can read: {{.name}}.
	// +optional
	// +kubebuilder:validation:MaxProperties=256
	Args map[string]string `json:"args,omitempty"`

	// AnalysisDefinition says what is measured, and what is good.
	// +required
	AnalysisDefinition ObjectReference `json:"analysisDefinition"`

	// Timeout is how long an Analysis whose values cannot be had is repeated
	// before it ends without pass. Default 10m.
	// +optional
	// +kubebuilder:default="10m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h') && (duration(self) >= duration('1ms') || duration(self) == duration('0s'))",message="timeout has to be 0s, or between 1ms and 8760h, which is a year: write it in h, m, s and ms"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// AnalysisState is how far an Analysis has come.
type AnalysisState string

// The states of an Analysis.
const (
	StatePending     AnalysisState = "Pending"
	StateProgressing AnalysisState = "Progressing"
	StateCompleted   AnalysisState = "Completed"
)

// ProviderResult is what a provider answered for one objective.
type ProviderResult struct {
	// Objective is the AnalysisValueTemplate of the objective.
	// +optional
	Objective ObjectReference `json:"objectiveReference,omitempty,omitzero"`

	// Query as it was asked.
	// +optional
	Query string `json:"query,omitempty"`

	// Value in decimal; empty where there is none.
	// +optional
	Value string `json:"value,omitempty"`

	// ErrMsg says why there is no value.
	// +optional
	ErrMsg string `json:"errMsg,omitempty"`
}

// AnalysisStatus is how far an Analysis has come, and its verdict.
type AnalysisStatus struct {
	// ObservedGeneration is the generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Timeframe that is judged. It is fixed when the Analysis begins.
	// +optional
	Timeframe Timeframe `json:"timeframe,omitempty,omitzero"`

	// StartTime is when the Analysis began.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	StartTime metav1.Time `json:"startTime,omitempty,omitzero"`

	// Raw is the result in JSON, objective by objective.
	// +optional
	Raw string `json:"raw,omitempty"`

	// Pass says whether enough of the score was reached.
	// +optional
	Pass bool `json:"pass,omitempty"`

	// Warning says whether enough of the score was reached for a warning, but not
	// for pass.
	// +optional
	Warning bool `json:"warning,omitempty"`

	// State is Pending, Progressing or Completed.
	// +optional
	// +kubebuilder:validation:Enum="";Pending;Progressing;Completed
	State AnalysisState `json:"state,omitempty"`

	// Message for people: what the Analysis waits for, or how it ended.
	// +optional
	Message string `json:"message,omitempty"`

	// StoredValues are the values found so far, by template, until the Analysis is
	// completed.
	// +optional
	StoredValues map[string]ProviderResult `json:"storedValues,omitempty"`
}

// Analysis judges one window of time, once.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=analyses,categories=keptn
// +kubebuilder:printcolumn:name="AnalysisDefinition",type=string,JSONPath=`.spec.analysisDefinition.name`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Warning",type=string,JSONPath=`.status.warning`
// +kubebuilder:printcolumn:name="Pass",type=string,JSONPath=`.status.pass`
type Analysis struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec AnalysisSpec `json:"spec"`
	// +optional
	Status AnalysisStatus `json:"status,omitempty,omitzero"`
}

// GetConditions returns the conditions of the analysis.
func (in *Analysis) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions of the analysis.
func (in *Analysis) SetConditions(c []metav1.Condition) { in.Status.Conditions = c }

// AnalysisList is a list of analyses.
//
// +kubebuilder:object:root=true
type AnalysisList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Analysis `json:"items"`
}
