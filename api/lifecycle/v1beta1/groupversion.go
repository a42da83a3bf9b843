// Package v1beta1 holds the kinds of the API group lifecycle.keptn.sh as Keptn's
// v1beta1 has them: they are those of v1, under another version.
//
// +kubebuilder:object:generate=true
// +groupName=lifecycle.keptn.sh
package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "lifecycle.keptn.sh", Version: "v1beta1"}

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
