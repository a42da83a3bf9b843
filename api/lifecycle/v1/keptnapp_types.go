package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KeptnAppSpec is an app at a version.
type KeptnAppSpec struct {
	// Version of the app.
	// +required
	// +kubebuilder:validation:MinLength=1
	Version string `json:"version"`

	// Revision is raised to deliver the same version again: all checks of the app
	// run again. Default 1.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	Revision uint `json:"revision,omitempty"`

	// Workloads of the app, by their names without the app's.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	Workloads []KeptnAppWorkload `json:"workloads,omitempty"`
}

// KeptnAppWorkload is one workload of an app.
type KeptnAppWorkload struct {
	// Name of the workload, without the app's.
	// +required
	Name string `json:"name"`

	// Version of the workload.
	// +required
	Version string `json:"version"`
}

// KeptnAppStatus is which version is delivered.
type KeptnAppStatus struct {
	// CurrentVersion is the version that was delivered last, or is being delivered.
	// +optional
	CurrentVersion string `json:"currentVersion,omitempty"`
}

// KeptnApp groups workloads that are delivered together.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptnapps,categories=keptn
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Revision",type=integer,JSONPath=`.spec.revision`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:storageversion
type KeptnApp struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec KeptnAppSpec `json:"spec,omitempty"`
	// +optional
	Status KeptnAppStatus `json:"status,omitempty"`
}

// KeptnAppList is a list of apps.
//
// +kubebuilder:object:root=true
type KeptnAppList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnApp `json:"items"`
}

// Checks are names of what is run and evaluated before and after a deployment:
// those of one list at the same time.
type Checks struct {
	// PreDeploymentTasks are names of KeptnTaskDefinitions.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	PreDeploymentTasks []string `json:"preDeploymentTasks,omitempty"`

	// PostDeploymentTasks are names of KeptnTaskDefinitions.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	PostDeploymentTasks []string `json:"postDeploymentTasks,omitempty"`

	// PreDeploymentEvaluations are names of KeptnEvaluationDefinitions, SLOPolicies
	// or AnalysisDefinitions: the first of these kinds that has the name counts.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	PreDeploymentEvaluations []string `json:"preDeploymentEvaluations,omitempty"`

	// PostDeploymentEvaluations are names as in preDeploymentEvaluations.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	PostDeploymentEvaluations []string `json:"postDeploymentEvaluations,omitempty"`
}

// KeptnAppContextSpec is what goes with every delivery of an app.
type KeptnAppContextSpec struct {
	Checks `json:",inline"`

	// PromotionTasks are names of KeptnTaskDefinitions, run once everything else
	// has passed.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	PromotionTasks []string `json:"promotionTasks,omitempty"`

	// Metadata is handed to tasks and added to traces.
	// +optional
	// +kubebuilder:validation:MaxProperties=100
	Metadata map[string]string `json:"metadata,omitempty"`

	// SpanLinks are W3C trace parents of what led to the delivery, such as that
	// of the stage before.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	SpanLinks []string `json:"spanLinks,omitempty"`
}

// KeptnAppContext is what goes with every delivery of the KeptnApp of its name. A
// delivery takes a copy of it when it begins.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptnappcontexts,categories=keptn
// +kubebuilder:storageversion
type KeptnAppContext struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec KeptnAppContextSpec `json:"spec,omitempty"`
	// +optional
	Status KeptnAppContextStatus `json:"status,omitempty"`
}

// KeptnAppContextStatus is empty.
type KeptnAppContextStatus struct {
	// Status is unused.
	// +optional
	Status string `json:"status,omitempty"`
}

// KeptnAppContextList is a list of contexts.
//
// +kubebuilder:object:root=true
type KeptnAppContextList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnAppContext `json:"items"`
}
