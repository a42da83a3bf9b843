// Package v1beta1 holds the kinds of metrics.keptn.sh as their version before v1
// names them. Fields and validation are those of v1, which is the version that
// is stored; nothing is converted.
//
// +kubebuilder:object:generate=true
// +groupName=metrics.keptn.sh
package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "metrics.keptn.sh", Version: "v1beta1"}

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
