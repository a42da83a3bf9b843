package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SLOPolicyKind is the kind of an SLOPolicy.
const SLOPolicyKind = "SLOPolicy"

// SLOPolicySpec says which metrics are measured and which rules they must hold.
//
// Expressions are CEL. They read metrics.<name> and baseline.<name> as doubles,
// series.<name> as the labelled series behind them, slo.<name>, params.<name>,
// variables.<name>, commit, commits, rollout, and now, the time of the evaluation.
//
// +kubebuilder:validation:XValidation:rule="!has(self.count) || self.count == 1 || has(self.interval)",message="count measurements need an interval between them: give interval"
// +kubebuilder:validation:XValidation:rule="!has(self.failureLimit) || self.failureLimit < (has(self.count) ? self.count : 1)",message="failureLimit has to be below count: as many failures would never fail the policy"
// +kubebuilder:validation:XValidation:rule="!has(self.inconclusiveLimit) || self.inconclusiveLimit < (has(self.count) ? self.count : 1)",message="inconclusiveLimit has to be below count"
type SLOPolicySpec struct {
	// Metrics are the measurements that expressions can read.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Metrics []Metric `json:"metrics,omitempty"`

	// SLOs are the service level objectives that expressions can read.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	SLOs []SLO `json:"slos,omitempty"`

	// Params are texts that a Lifecycle can set, for the same policy to serve
	// several apps. Queries and expressions read them.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Params []Param `json:"params,omitempty"`

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

	// Timeout is how long a measurement that cannot decide, because data is
	// missing or a provider does not answer, is repeated before it counts as
	// inconclusive. Default 2m.
	// +optional
	// +kubebuilder:default="2m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h') && (duration(self) >= duration('1ms') || duration(self) == duration('0s'))",message="timeout has to be 0s, or between 1ms and 8760h, which is a year: write it in h, m, s and ms"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// Interval between two measurements, where there are several.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s')",message="interval has to be 1s at least"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h') && (duration(self) >= duration('1ms') || duration(self) == duration('0s'))",message="interval has to be 0s, or between 1ms and 8760h, which is a year: write it in h, m, s and ms"
	Interval *metav1.Duration `json:"interval,omitempty"`

	// Count is how often is measured. The verdict is that of the worst
	// measurement, but for those that the limits let pass, and comes as soon as no
	// further measurement could change it. Default 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Count int32 `json:"count,omitempty"`

	// FailureLimit is how many measurements may fail without failing the policy.
	// Default 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	FailureLimit int32 `json:"failureLimit,omitempty"`

	// InconclusiveLimit is how many measurements may be inconclusive without
	// making the policy so. Default 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	InconclusiveLimit int32 `json:"inconclusiveLimit,omitempty"`
}

// Metric is one measurement: a query to a provider, or a KeptnMetric.
//
// +kubebuilder:validation:XValidation:rule="has(self.keptnMetric) != has(self.provider)",message="a metric is either a query to a provider (provider and query) or a keptnMetric: give exactly one of them"
// +kubebuilder:validation:XValidation:rule="has(self.provider) == has(self.query)",message="provider and query go together: name the KeptnMetricsProvider and write the query it is asked"
// +kubebuilder:validation:XValidation:rule="!has(self.keptnMetric) || !has(self.window) && !has(self.baseline)",message="window and baseline.offset are for queries: a keptnMetric has one value, the newest"
// +kubebuilder:validation:XValidation:rule="!has(self.reducer) || self.reducer != 'rate' || has(self.window)",message="the reducer rate needs a window"
type Metric struct {
	// Name is what expressions call the metric: metrics.<name>.
	// +required
	// +kubebuilder:validation:Pattern="^[a-zA-Z_][a-zA-Z0-9_]*$"
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Provider is the KeptnMetricsProvider that is asked.
	// +optional
	Provider *ProviderReference `json:"provider,omitempty"`

	// Query in the provider's own language. It is a Go template that can read
	// .app, .environment, .namespace, .version, .commit and .params.<name>.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	Query string `json:"query,omitempty"`

	// KeptnMetric is the KeptnMetric whose value is read.
	// +optional
	KeptnMetric *KeptnMetricReference `json:"keptnMetric,omitempty"`

	// Window is the time that is asked about. Default: the instant of the
	// evaluation.
	// +optional
	Window *Window `json:"window,omitempty"`

	// Reducer makes one number of all samples of all series; in series.<name> it
	// makes one of the samples of each. The rate of several series is the sum of
	// their rates. Without it the metric is the newest value of its only series.
	// +optional
	Reducer Reducer `json:"reducer,omitempty"`

	// MaxAge is how old the newest sample may be to be judged by. Default: any
	// age that the provider itself still counts as current.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h') && (duration(self) >= duration('1ms') || duration(self) == duration('0s'))",message="maxAge has to be 0s, or between 1ms and 8760h, which is a year: write it in h, m, s and ms"
	MaxAge *metav1.Duration `json:"maxAge,omitempty"`

	// Baseline says what baseline.<name> is. Default: the same question as of the
	// evaluation of the previous good rollout.
	// +optional
	Baseline *Baseline `json:"baseline,omitempty"`
}

// Reducer makes one number of samples. Percentiles are by the nearest rank; rate
// is the increase of a counter per second.
//
// +kubebuilder:validation:Enum=last;avg;min;max;sum;count;median;p90;p95;p99;rate
type Reducer string

// Window is a time that ends with the evaluation.
//
// +kubebuilder:validation:XValidation:rule="has(self.duration) != has(self.since)",message="a window has either a duration or a begin (since): give exactly one of them"
type Window struct {
	// Duration of the window.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h') && (duration(self) >= duration('1ms') || duration(self) == duration('0s'))",message="duration has to be 0s, or between 1ms and 8760h, which is a year: write it in h, m, s and ms"
	Duration *metav1.Duration `json:"duration,omitempty"`

	// Since is the begin of the window: rollout is when the rollout was complete.
	// +optional
	// +kubebuilder:validation:Enum=rollout
	Since string `json:"since,omitempty"`

	// Step between two samples. Default: a sixtieth of the window, in whole
	// seconds.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h') && (duration(self) >= duration('1ms') || duration(self) == duration('0s'))",message="step has to be 0s, or between 1ms and 8760h, which is a year: write it in h, m, s and ms"
	Step *metav1.Duration `json:"step,omitempty"`
}

// Baseline is what a metric is compared with.
type Baseline struct {
	// Offset is how far back the same question is asked.
	// +required
	Offset Period `json:"offset"`
}

// Param is a text that a Lifecycle can set.
type Param struct {
	// Name is what expressions call it: params.<name>.
	// +required
	// +kubebuilder:validation:Pattern="^[a-zA-Z_][a-zA-Z0-9_]*$"
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Default is the text where the Lifecycle sets none.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Default string `json:"default,omitempty"`
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
