package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KeptnMetricSpec is a query that is asked again and again.
type KeptnMetricSpec struct {
	// Provider is the KeptnMetricsProvider in the same namespace that is asked.
	// +required
	Provider ProviderRef `json:"provider"`

	// Query in the provider's own language. It has to yield one series.
	// +required
	// +kubebuilder:validation:MaxLength=65536
	Query string `json:"query"`

	// FetchIntervalSeconds is the time between two queries, in seconds.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	FetchIntervalSeconds uint `json:"fetchIntervalSeconds"`

	// Range is the window that is asked about. Default: the moment of the query.
	// +optional
	Range *RangeSpec `json:"range,omitempty"`
}

// ProviderRef names a KeptnMetricsProvider in the same namespace.
type ProviderRef struct {
	// Name of the KeptnMetricsProvider.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Aggregation makes one number of the samples of a range.
//
// +kubebuilder:validation:Enum=p90;p95;p99;max;min;avg;median
type Aggregation string

// The aggregations.
const (
	AggregationP90    Aggregation = "p90"
	AggregationP95    Aggregation = "p95"
	AggregationP99    Aggregation = "p99"
	AggregationMax    Aggregation = "max"
	AggregationMin    Aggregation = "min"
	AggregationAvg    Aggregation = "avg"
	AggregationMedian Aggregation = "median"
)

// RangeSpec is a window of time up to the query. Without step the provider says
// one value of the whole window; with step one for each, which aggregation makes
// into one.
//
// +kubebuilder:validation:XValidation:rule="!has(self.step) || size(self.step) == 0 || has(self.aggregation)",message="aggregation is required where step is given: say what makes one value of the samples, as avg or p95"
// +kubebuilder:validation:XValidation:rule="!has(self.aggregation) || has(self.step) && size(self.step) > 0",message="step is required for the aggregation to work: say how far apart the samples are, as 1m"
type RangeSpec struct {
	// Interval is the length of the window, as 5m or 1h30m.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+$') && duration(self) > duration('0s')",message="the time interval cannot be parsed: write a duration above zero in h, m and s, as 5m or 1h30m"
	Interval string `json:"interval,omitempty"`

	// Step is the time between two samples, as 1m.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="size(self) == 0 || self.matches('^([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+$') && duration(self) > duration('0s')",message="the time interval cannot be parsed: write a duration above zero in h, m and s, as 30s or 1m"
	Step string `json:"step,omitempty"`

	// Aggregation makes one value of the samples of all steps.
	// +optional
	Aggregation Aggregation `json:"aggregation,omitempty"`

	// StoredResults is how many past results are kept in the status, in addition
	// to the newest value. Default 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=255
	StoredResults uint `json:"storedResults,omitempty"`
}

// KeptnMetricStatus is what the provider said last.
type KeptnMetricStatus struct {
	// ObservedGeneration is the generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready says whether the newest query yielded a value.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Value is the newest value, in decimal. It stays while queries fail.
	// +optional
	Value string `json:"value,omitempty"`

	// RawValue is the provider's answer that the value is from, its first MiB.
	// +optional
	RawValue []byte `json:"rawValue,omitempty"`

	// LastUpdated is the time of the newest query, failed or not.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	LastUpdated metav1.Time `json:"lastUpdated,omitempty,omitzero"`

	// ErrMsg says why the newest query failed; empty where it did not.
	// +optional
	ErrMsg string `json:"errMsg,omitempty"`

	// IntervalResults are the newest results, oldest first, as many as
	// spec.range.storedResults says.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=255
	IntervalResults []IntervalResult `json:"intervalResults,omitempty"`
}

// IntervalResult is the result of one query in the past.
type IntervalResult struct {
	// Value in decimal; empty where the query failed.
	// +required
	Value string `json:"value"`

	// Range that was asked about.
	// +required
	Range *RangeSpec `json:"range"`

	// LastUpdated is the time of the query.
	// +required
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	LastUpdated metav1.Time `json:"lastUpdated"`

	// ErrMsg says why the query failed; empty where it did not.
	// +optional
	ErrMsg string `json:"errMsg,omitempty"`
}

// KeptnMetric is a value that a provider is asked for again and again: for
// evaluations, autoscalers and people.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptnmetrics,categories=keptn
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.spec.provider.name`
// +kubebuilder:printcolumn:name="Query",type=string,JSONPath=`.spec.query`
// +kubebuilder:printcolumn:name="Interval",type=string,JSONPath=`.spec.range.interval`
// +kubebuilder:printcolumn:name="Value",type=string,JSONPath=`.status.value`
// +kubebuilder:printcolumn:name="Step",type=string,JSONPath=`.spec.range.step`
// +kubebuilder:printcolumn:name="Aggregation",type=string,JSONPath=`.spec.range.aggregation`
type KeptnMetric struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec KeptnMetricSpec `json:"spec"`
	// +optional
	Status KeptnMetricStatus `json:"status,omitempty,omitzero"`
}

// GetConditions returns the conditions of the metric.
func (in *KeptnMetric) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions of the metric.
func (in *KeptnMetric) SetConditions(c []metav1.Condition) { in.Status.Conditions = c }

// KeptnMetricList is a list of metrics.
//
// +kubebuilder:object:root=true
type KeptnMetricList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnMetric `json:"items"`
}
