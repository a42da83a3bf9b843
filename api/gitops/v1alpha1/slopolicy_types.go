package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SLOPolicyKind is the kind of an SLOPolicy.
const SLOPolicyKind = "SLOPolicy"

// SLOPolicySpec says which metrics are measured and which rules they must hold.
//
// Expressions are CEL. They read metrics.<name> and baseline.<name> (the same
// metrics as measured for the previous good rollout) as doubles,
// variables.<name>, and now, the time of the evaluation.
type SLOPolicySpec struct {
	// Metrics are the measurements that expressions can read.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Metrics []Metric `json:"metrics"`

	// Variables are named expressions, each of which can read the ones above it.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Variables []Variable `json:"variables,omitempty"`

	// Rules are what has to hold.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Rules []Rule `json:"rules"`

	// Score turns the rules' results into a verdict by their weights. Without
	// it the verdict is that of the worst rule: fail, then inconclusive,
	// warning, pass.
	// +optional
	Score *Score `json:"score,omitempty"`

	// Timeout is how long an evaluation that cannot decide, because data is
	// missing or a provider does not answer, is repeated before it ends as
	// inconclusive. Default 2m.
	// +optional
	// +kubebuilder:default="2m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// Metric is one measurement: a query to a provider, or a KeptnMetric.
//
// +kubebuilder:validation:XValidation:rule="has(self.keptnMetric) != has(self.provider)",message="a metric is either a query to a provider (provider and query) or a keptnMetric: give exactly one of them"
// +kubebuilder:validation:XValidation:rule="has(self.provider) == has(self.query)",message="provider and query go together: name the KeptnMetricsProvider and write the query it is asked"
type Metric struct {
	// Name is what expressions call the metric: metrics.<name>.
	// +required
	// +kubebuilder:validation:Pattern="^[a-zA-Z_][a-zA-Z0-9_]*$"
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Provider is the KeptnMetricsProvider that is asked.
	// +optional
	Provider *ProviderReference `json:"provider,omitempty"`

	// Query in the provider's own language. It has to yield one value.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	Query string `json:"query,omitempty"`

	// KeptnMetric is the KeptnMetric whose value is read.
	// +optional
	KeptnMetric *KeptnMetricReference `json:"keptnMetric,omitempty"`
}

// ProviderReference names a KeptnMetricsProvider in the namespace of the
// evaluation.
type ProviderReference struct {
	// Name of the KeptnMetricsProvider.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// KeptnMetricReference names a KeptnMetric in the namespace of the evaluation.
type KeptnMetricReference struct {
	// Name of the KeptnMetric.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Variable is a named expression.
type Variable struct {
	// Name is what expressions call the variable: variables.<name>.
	// +required
	// +kubebuilder:validation:Pattern="^[a-zA-Z_][a-zA-Z0-9_]*$"
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Expression in CEL, of any type.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Expression string `json:"expression"`
}

// Rule is one thing that has to hold.
type Rule struct {
	// Name of the rule, as commit statuses and events show it.
	// +required
	// +kubebuilder:validation:Pattern="^[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?$"
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Expression in CEL, a bool: the rule fails where it is false.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Expression string `json:"expression"`

	// Warning in CEL, a bool: a rule that holds is a warning where it is true.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Warning string `json:"warning,omitempty"`

	// Weight of the rule in the score. Default 1.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Weight *int64 `json:"weight,omitempty"`

	// Required rules fail the whole policy when they fail, whatever the score.
	// +optional
	Required bool `json:"required,omitempty"`

	// Message in CEL, a string: what is said of the rule's result. Default: the
	// comparison that decided, with its values.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Message string `json:"message,omitempty"`
}

// Score are the percentages of the summed weights from which a policy passes,
// or passes with a warning. A passing rule earns its weight, a warning half of
// it, a failing one nothing.
//
// +kubebuilder:validation:XValidation:rule="!has(self.warning) || self.warning <= self.pass",message="score.warning is the lower of the two percentages: it must not be above score.pass"
type Score struct {
	// Pass is the percentage from which the verdict is pass.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Pass int32 `json:"pass"`

	// Warning is the percentage from which the verdict is warning. Default: no
	// warning, everything below pass fails.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Warning *int32 `json:"warning,omitempty"`
}

// SLOPolicyStatus is what the controller found about a policy.
type SLOPolicyStatus struct {
	// ObservedGeneration is the generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready says whether the policy compiles and can be used.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// SLOPolicy is a set of rules over metrics that yields a verdict: pass, warning,
// fail, or inconclusive where data is missing.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=slo,categories=keptn
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type SLOPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec SLOPolicySpec `json:"spec"`
	// +optional
	Status SLOPolicyStatus `json:"status,omitempty"`
}

// GetConditions returns the conditions of the policy.
func (in *SLOPolicy) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions of the policy.
func (in *SLOPolicy) SetConditions(c []metav1.Condition) { in.Status.Conditions = c }

// SLOPolicyList is a list of policies.
//
// +kubebuilder:object:root=true
type SLOPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SLOPolicy `json:"items"`
}
