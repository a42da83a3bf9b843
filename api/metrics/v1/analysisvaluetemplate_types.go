package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ValueAggregation makes one number of the samples of an Analysis's timeframe.
//
// +kubebuilder:validation:Enum=last;avg;min;max;sum;count;median;p90;p95;p99
type ValueAggregation string

// AnalysisValueTemplateSpec is a query with placeholders.
type AnalysisValueTemplateSpec struct {
	// Provider is the KeptnMetricsProvider that is asked.
	// +required
	Provider ObjectReference `json:"provider"`

	// Query in the provider's own language, as a Go template that reads the
	// Analysis's args: {{.name}}, or {{index . "some-name"}}.
	// See https://pkg.go.dev/text/template.
	// +required
	// +kubebuilder:validation:MaxLength=65536
	Query string `json:"query"`

	// Aggregation makes one value of all samples in the timeframe. Default: what
	// the provider says of the whole timeframe, which is the mean for datadog and
	// dynatrace, and the newest value for the others.
	// +optional
	Aggregation ValueAggregation `json:"aggregation,omitempty"`

	// Step is the time between two samples that are aggregated. Default 1m.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h') && (duration(self) >= duration('1ms') || duration(self) == duration('0s'))",message="step has to be 0s, or between 1ms and 8760h, which is a year: write it in h, m, s and ms"
	Step *metav1.Duration `json:"step,omitempty"`
}

// AnalysisValueTemplate is a query with placeholders, which each Analysis fills
// by its args.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=analysisvaluetemplates,categories=keptn
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.spec.provider.name`
type AnalysisValueTemplate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec AnalysisValueTemplateSpec `json:"spec"`
	// Status is unused.
	// +optional
	Status string `json:"status,omitempty"`
}

// AnalysisValueTemplateList is a list of templates.
//
// +kubebuilder:object:root=true
type AnalysisValueTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AnalysisValueTemplate `json:"items"`
}
