package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ResourceReference is the object that owns the pods of a workload's revision.
type ResourceReference struct {
	// UID of the object.
	// +optional
	UID types.UID `json:"uid,omitempty"`

	// Kind is ReplicaSet, StatefulSet or DaemonSet.
	// +optional
	Kind string `json:"kind,omitempty"`

	// Name of the object.
	// +required
	Name string `json:"name"`

	// Revision is the label controller-revision-hash of the pods of a StatefulSet
	// or DaemonSet, which is one object for all its revisions; empty for a
	// ReplicaSet, which is one revision.
	// +optional
	Revision string `json:"revision,omitempty"`
}

// KeptnWorkloadSpec is a workload at a version, as its annotations have it.
type KeptnWorkloadSpec struct {
	// AppName is the app that the workload belongs to.
	// +required
	AppName string `json:"app"`

	// Version of the workload.
	// +required
	Version string `json:"version"`

	// ResourceReference is what owns the pods.
	// +optional
	ResourceReference ResourceReference `json:"resourceReference,omitzero"`

	Checks `json:",inline"`

	// Metadata is handed to tasks and added to traces; it goes before the app's.
	// +optional
	// +kubebuilder:validation:MaxProperties=100
	Metadata map[string]string `json:"metadata,omitempty"`
}

// KeptnWorkloadStatus is which version is delivered.
type KeptnWorkloadStatus struct {
	// CurrentVersion is the version that was delivered last, or is being delivered.
	// +optional
	CurrentVersion string `json:"currentVersion,omitempty"`
}

// KeptnWorkload is a Deployment, StatefulSet, DaemonSet, ReplicaSet or Argo Rollout
// that carries Keptn's annotations.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptnworkloads,categories=keptn
// +kubebuilder:printcolumn:name="AppName",type=string,JSONPath=`.spec.app`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:storageversion
type KeptnWorkload struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec KeptnWorkloadSpec `json:"spec"`
	// +optional
	Status KeptnWorkloadStatus `json:"status,omitempty"`
}

// KeptnWorkloadList is a list of workloads.
//
// +kubebuilder:object:root=true
type KeptnWorkloadList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnWorkload `json:"items"`
}

// KeptnWorkloadVersionSpec is one delivery of a workload.
type KeptnWorkloadVersionSpec struct {
	KeptnWorkloadSpec `json:",inline"`

	// WorkloadName is the name of the KeptnWorkload, <app>-<workload>.
	// +required
	WorkloadName string `json:"workloadName"`

	// WorkloadGeneration is the generation of the KeptnWorkload that is delivered;
	// of two deliveries of a workload the one with the higher is the newer.
	// +optional
	WorkloadGeneration int64 `json:"workloadGeneration,omitempty"`

	// PreviousVersion is the version that was delivered before.
	// +optional
	PreviousVersion string `json:"previousVersion,omitempty"`

	// TraceID is the W3C trace parent of the delivery.
	// +optional
	TraceID map[string]string `json:"traceId,omitempty"`
}

// KeptnWorkloadVersionStatus is how far the delivery of a workload has come.
type KeptnWorkloadVersionStatus struct {
	Delivery `json:",inline"`

	// DeploymentStatus is the state of the rollout.
	// +optional
	// +kubebuilder:default=Pending
	DeploymentStatus KeptnState `json:"deploymentStatus,omitempty"`

	CheckStatuses `json:",inline"`

	// AppContextMetadata is the metadata of the app's delivery.
	// +optional
	AppContextMetadata map[string]string `json:"appContextMetadata,omitempty"`

	// DeploymentStartTime is when the rollout was let go.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	DeploymentStartTime metav1.Time `json:"deploymentStartTime,omitempty"`
}

// KeptnWorkloadVersion is the record of one delivery of a workload.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptnworkloadversions,shortName=kwv,categories=keptn
// +kubebuilder:printcolumn:name="AppName",type=string,JSONPath=`.spec.app`
// +kubebuilder:printcolumn:name="WorkloadName",type=string,JSONPath=`.spec.workloadName`
// +kubebuilder:printcolumn:name="WorkloadVersion",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.currentPhase`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.status`
// +kubebuilder:printcolumn:name="PreDeploymentStatus",priority=1,type=string,JSONPath=`.status.preDeploymentStatus`
// +kubebuilder:printcolumn:name="PreDeploymentEvaluationStatus",priority=1,type=string,JSONPath=`.status.preDeploymentEvaluationStatus`
// +kubebuilder:printcolumn:name="DeploymentStatus",priority=1,type=string,JSONPath=`.status.deploymentStatus`
// +kubebuilder:printcolumn:name="PostDeploymentStatus",priority=1,type=string,JSONPath=`.status.postDeploymentStatus`
// +kubebuilder:printcolumn:name="PostDeploymentEvaluationStatus",priority=1,type=string,JSONPath=`.status.postDeploymentEvaluationStatus`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:storageversion
type KeptnWorkloadVersion struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec KeptnWorkloadVersionSpec `json:"spec"`
	// +optional
	Status KeptnWorkloadVersionStatus `json:"status,omitempty"`
}

// GetConditions returns the conditions of the delivery.
func (in *KeptnWorkloadVersion) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions of the delivery.
func (in *KeptnWorkloadVersion) SetConditions(c []metav1.Condition) { in.Status.Conditions = c }

// Released says whether pods of the delivered revision may start: everything
// before the deployment has passed, or passed once.
func (in *KeptnWorkloadVersion) Released() bool {
	return in.Status.Phase(PhaseWorkloadDeploy).begun()
}

// KeptnWorkloadVersionList is a list of deliveries of workloads.
//
// +kubebuilder:object:root=true
type KeptnWorkloadVersionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnWorkloadVersion `json:"items"`
}
