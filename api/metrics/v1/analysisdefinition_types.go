package v1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AnalysisDefinitionSpec is what an Analysis measures, and what is good.
type AnalysisDefinitionSpec struct {
	// Objectives that are judged.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Objectives []Objective `json:"objectives,omitempty"`

	// TotalScore is how much of the score has to be reached.
	// +required
	TotalScore TotalScore `json:"totalScore"`
}

// TotalScore are the percentages of the summed weights from which an Analysis
// passes, or ends with a warning.
//
// +kubebuilder:validation:XValidation:rule="self.warningPercentage < self.passPercentage",message="warn percentage score cannot be higher or equal than pass percentage score: lower totalScore.warningPercentage"
type TotalScore struct {
	// PassPercentage is the percentage from which an Analysis passes.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	PassPercentage int `json:"passPercentage"`

	// WarningPercentage is the percentage from which it ends with a warning.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	WarningPercentage int `json:"warningPercentage"`
}

// Objective is one value and what is good of it.
type Objective struct {
	// AnalysisValueTemplateRef names the template of the query.
	// +required
	AnalysisValueTemplateRef ObjectReference `json:"analysisValueTemplateRef"`

	// Target says when the objective fails or warns. Without it the objective
	// always passes.
	// +optional
	Target Target `json:"target,omitempty"`

	// Weight of the objective in the score. Default 1.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Weight *int64 `json:"weight,omitempty"`

	// KeyObjective fails the whole Analysis when it fails. Default false.
	// +optional
	// +kubebuilder:default=false
	KeyObjective bool `json:"keyObjective,omitempty"`
}

// Target says when an objective fails, and when it warns.
type Target struct {
	// Failure is what fails the objective.
	// +optional
	Failure *Operator `json:"failure,omitempty"`

	// Warning is what makes an objective that does not fail a warning.
	// +optional
	Warning *Operator `json:"warning,omitempty"`
}

// OperatorValue is a number that a value is compared with. Its exponent has two
// digits at most, as Kubernetes takes for ever to read a quantity of 1e-999999999.
type OperatorValue struct {
	// FixedValue is the number, as 600, "0.5", 3m or 1k.
	// +required
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="string(self).matches('^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,2}|[KMGTPE]i|[numkMGTPE])?$') && isQuantity(string(self))",message="fixedValue has to be a number, as 600, 0.5, 3m or 1k, with at most two digits after an e"
	FixedValue resource.Quantity `json:"fixedValue"`
}

// RangeValue is a range of numbers, both ends included. Their exponents are looked at
// before they are compared, for the same reason as in OperatorValue.
//
// +kubebuilder:validation:XValidation:rule="!string(self.lowBound).matches('^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,2}|[KMGTPE]i|[numkMGTPE])?$') || !string(self.highBound).matches('^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,2}|[KMGTPE]i|[numkMGTPE])?$') || quantity(string(self.lowBound)).isLessThan(quantity(string(self.highBound)))",message="lower bound of the range needs to be smaller than higher bound: exchange lowBound and highBound"
type RangeValue struct {
	// LowBound is the lowest number in the range.
	// +required
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="string(self).matches('^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,2}|[KMGTPE]i|[numkMGTPE])?$') && isQuantity(string(self))",message="lowBound has to be a number, as 600, 0.5, 3m or 1k, with at most two digits after an e"
	LowBound resource.Quantity `json:"lowBound"`

	// HighBound is the highest number in the range.
	// +required
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="string(self).matches('^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,2}|[KMGTPE]i|[numkMGTPE])?$') && isQuantity(string(self))",message="highBound has to be a number, as 600, 0.5, 3m or 1k, with at most two digits after an e"
	HighBound resource.Quantity `json:"highBound"`
}

// Operator compares a value. Exactly one of its fields is given.
//
// +kubebuilder:validation:XValidation:rule="[has(self.lessThanOrEqual), has(self.lessThan), has(self.greaterThan), has(self.greaterThanOrEqual), has(self.equalTo), has(self.inRange), has(self.notInRange)].exists(x, x)",message="no operator set: give one of lessThan, lessThanOrEqual, greaterThan, greaterThanOrEqual, equalTo, inRange, notInRange"
// +kubebuilder:validation:XValidation:rule="[has(self.lessThanOrEqual), has(self.lessThan), has(self.greaterThan), has(self.greaterThanOrEqual), has(self.equalTo), has(self.inRange), has(self.notInRange)].filter(x, x).size() < 2",message="multiple operators can not be set: keep one of them"
type Operator struct {
	// LessThanOrEqual is fulfilled by values <= fixedValue.
	// +optional
	LessThanOrEqual *OperatorValue `json:"lessThanOrEqual,omitempty"`

	// LessThan is fulfilled by values < fixedValue.
	// +optional
	LessThan *OperatorValue `json:"lessThan,omitempty"`

	// GreaterThan is fulfilled by values > fixedValue.
	// +optional
	GreaterThan *OperatorValue `json:"greaterThan,omitempty"`

	// GreaterThanOrEqual is fulfilled by values >= fixedValue.
	// +optional
	GreaterThanOrEqual *OperatorValue `json:"greaterThanOrEqual,omitempty"`

	// EqualTo is fulfilled by exactly fixedValue.
	// +optional
	EqualTo *OperatorValue `json:"equalTo,omitempty"`

	// InRange is fulfilled by lowBound <= value <= highBound.
	// +optional
	InRange *RangeValue `json:"inRange,omitempty"`

	// NotInRange is fulfilled by value < lowBound and by value > highBound.
	// +optional
	NotInRange *RangeValue `json:"notInRange,omitempty"`
}

// AnalysisDefinition is what Analyses measure, and what is good.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=analysisdefinitions,categories=keptn
type AnalysisDefinition struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec AnalysisDefinitionSpec `json:"spec"`
	// Status is unused.
	// +optional
	Status string `json:"status,omitempty"`
}

// AnalysisDefinitionList is a list of definitions.
//
// +kubebuilder:object:root=true
type AnalysisDefinitionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AnalysisDefinition `json:"items"`
}
