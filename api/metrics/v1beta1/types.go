package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// Analysis judges one window of time, once.
//
// +kubebuilder:object:root=true
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
	Spec metricsv1.AnalysisSpec `json:"spec"`
	// +optional
	Status metricsv1.AnalysisStatus `json:"status,omitempty,omitzero"`
}

// AnalysisList is a list of analyses.
//
// +kubebuilder:object:root=true
type AnalysisList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Analysis `json:"items"`
}

// AnalysisDefinition is what Analyses measure, and what is good.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=analysisdefinitions,categories=keptn
type AnalysisDefinition struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec metricsv1.AnalysisDefinitionSpec `json:"spec"`
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

// AnalysisValueTemplate is a query with placeholders, which each Analysis fills
// by its args.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=analysisvaluetemplates,categories=keptn
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.spec.provider.name`
type AnalysisValueTemplate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec metricsv1.AnalysisValueTemplateSpec `json:"spec"`
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

// KeptnMetric is a value that a provider is asked for again and again: for
// evaluations, autoscalers and people.
//
// +kubebuilder:object:root=true
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
	Spec metricsv1.KeptnMetricSpec `json:"spec"`
	// +optional
	Status metricsv1.KeptnMetricStatus `json:"status,omitempty,omitzero"`
}

// KeptnMetricList is a list of metrics.
//
// +kubebuilder:object:root=true
type KeptnMetricList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnMetric `json:"items"`
}

// KeptnMetricsProvider is a server that answers metric queries of its namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=keptnmetricsproviders,shortName=kmp,categories=keptn
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Server",type=string,JSONPath=`.spec.targetServer`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type KeptnMetricsProvider struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec metricsv1.KeptnMetricsProviderSpec `json:"spec"`
}

// KeptnMetricsProviderList is a list of providers.
//
// +kubebuilder:object:root=true
type KeptnMetricsProviderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnMetricsProvider `json:"items"`
}
