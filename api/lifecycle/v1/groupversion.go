// Package v1 holds the kinds of the API group lifecycle.keptn.sh, with the
// names, fields and states of Keptn's own v1: apps and workloads, the records of
// their deliveries, tasks, evaluations, and the definitions of both.
//
// +kubebuilder:object:generate=true
// +groupName=lifecycle.keptn.sh
package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "lifecycle.keptn.sh", Version: "v1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&KeptnApp{}, &KeptnAppList{},
		&KeptnAppContext{}, &KeptnAppContextList{},
		&KeptnAppVersion{}, &KeptnAppVersionList{},
		&KeptnWorkload{}, &KeptnWorkloadList{},
		&KeptnWorkloadVersion{}, &KeptnWorkloadVersionList{},
		&KeptnTask{}, &KeptnTaskList{},
		&KeptnTaskDefinition{}, &KeptnTaskDefinitionList{},
		&KeptnEvaluation{}, &KeptnEvaluationList{},
		&KeptnEvaluationDefinition{}, &KeptnEvaluationDefinitionList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}

// KeptnAppKind is the kind of a KeptnApp.
const KeptnAppKind = "KeptnApp"
