// Package v1alpha1 holds the kind of the API group options.keptn.sh: what the
// whole installation goes by.
//
// +kubebuilder:object:generate=true
// +groupName=options.keptn.sh
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "options.keptn.sh", Version: "v1alpha1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &KeptnConfig{}, &KeptnConfigList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
