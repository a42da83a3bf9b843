// Package v1 holds the kinds of the API group metrics.keptn.sh: where metrics
// are asked for, and what is made of them. It holds types, their defaults and
// their validation; it never decides anything.
//
// +kubebuilder:object:generate=true
// +groupName=metrics.keptn.sh
package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "metrics.keptn.sh", Version: "v1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Analysis{}, &AnalysisList{},
		&AnalysisDefinition{}, &AnalysisDefinitionList{},
		&AnalysisValueTemplate{}, &AnalysisValueTemplateList{},
		&KeptnMetric{}, &KeptnMetricList{},
		&KeptnMetricsProvider{}, &KeptnMetricsProviderList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
