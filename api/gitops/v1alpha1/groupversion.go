// Package v1alpha1 holds the kinds of the API group gitops.keptn.sh: what a
// team commits beside its manifests (Lifecycle, SLOPolicy) and the repository
// it is read from (GitSource). It holds types, their defaults and their
// validation; it never decides anything.
//
// +kubebuilder:object:generate=true
// +groupName=gitops.keptn.sh
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "gitops.keptn.sh", Version: "v1alpha1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&GitSource{}, &GitSourceList{},
		&Lifecycle{}, &LifecycleList{},
		&SLOPolicy{}, &SLOPolicyList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
