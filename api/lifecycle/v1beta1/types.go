package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// KeptnApp groups workloads that are delivered together.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptnapps,categories=keptn
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Revision",type=integer,JSONPath=`.spec.revision`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type KeptnApp struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec lifecyclev1.KeptnAppSpec `json:"spec,omitempty"`
	// +optional
	Status lifecyclev1.KeptnAppStatus `json:"status,omitempty"`
}

// KeptnAppList is a list of apps.
//
// +kubebuilder:object:root=true
type KeptnAppList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnApp `json:"items"`
}

// KeptnAppContext is what goes with every delivery of the KeptnApp of its name. A
// delivery takes a copy of it when it begins.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptnappcontexts,categories=keptn
type KeptnAppContext struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec lifecyclev1.KeptnAppContextSpec `json:"spec,omitempty"`
	// +optional
	Status lifecyclev1.KeptnAppContextStatus `json:"status,omitempty"`
}

// KeptnAppContextList is a list of contexts.
//
// +kubebuilder:object:root=true
type KeptnAppContextList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnAppContext `json:"items"`
}

// KeptnAppVersion is the record of one delivery.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptnappversions,shortName=kav,categories=keptn
// +kubebuilder:printcolumn:name="AppName",type=string,JSONPath=`.spec.appName`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.currentPhase`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.status`
// +kubebuilder:printcolumn:name="LeadTime",type=string,JSONPath=`.status.leadTime`
// +kubebuilder:printcolumn:name="PreDeploymentStatus",priority=1,type=string,JSONPath=`.status.preDeploymentStatus`
// +kubebuilder:printcolumn:name="PreDeploymentEvaluationStatus",priority=1,type=string,JSONPath=`.status.preDeploymentEvaluationStatus`
// +kubebuilder:printcolumn:name="WorkloadOverallStatus",priority=1,type=string,JSONPath=`.status.workloadOverallStatus`
// +kubebuilder:printcolumn:name="PostDeploymentStatus",priority=1,type=string,JSONPath=`.status.postDeploymentStatus`
// +kubebuilder:printcolumn:name="PostDeploymentEvaluationStatus",priority=1,type=string,JSONPath=`.status.postDeploymentEvaluationStatus`
// +kubebuilder:printcolumn:name="PromotionStatus",priority=1,type=string,JSONPath=`.status.promotionStatus`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type KeptnAppVersion struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec lifecyclev1.KeptnAppVersionSpec `json:"spec"`
	// +optional
	Status lifecyclev1.KeptnAppVersionStatus `json:"status,omitempty"`
}

// KeptnAppVersionList is a list of deliveries.
//
// +kubebuilder:object:root=true
type KeptnAppVersionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnAppVersion `json:"items"`
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
type KeptnWorkload struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec lifecyclev1.KeptnWorkloadSpec `json:"spec"`
	// +optional
	Status lifecyclev1.KeptnWorkloadStatus `json:"status,omitempty"`
}

// KeptnWorkloadList is a list of workloads.
//
// +kubebuilder:object:root=true
type KeptnWorkloadList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnWorkload `json:"items"`
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
type KeptnWorkloadVersion struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec lifecyclev1.KeptnWorkloadVersionSpec `json:"spec"`
	// +optional
	Status lifecyclev1.KeptnWorkloadVersionStatus `json:"status,omitempty"`
}

// KeptnWorkloadVersionList is a list of deliveries of workloads.
//
// +kubebuilder:object:root=true
type KeptnWorkloadVersionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnWorkloadVersion `json:"items"`
}

// KeptnTask is one run of a task. It runs once: what has ended never runs again.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptntasks,categories=keptn
// +kubebuilder:printcolumn:name="AppName",type=string,JSONPath=`.spec.context.appName`
// +kubebuilder:printcolumn:name="AppVersion",type=string,JSONPath=`.spec.context.appVersion`
// +kubebuilder:printcolumn:name="WorkloadName",type=string,JSONPath=`.spec.context.workloadName`
// +kubebuilder:printcolumn:name="WorkloadVersion",type=string,JSONPath=`.spec.context.workloadVersion`
// +kubebuilder:printcolumn:name="Job Name",type=string,JSONPath=`.status.jobName`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.status`
// +kubebuilder:printcolumn:name="Message",priority=1,type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type KeptnTask struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec lifecyclev1.KeptnTaskSpec `json:"spec"`
	// +optional
	Status lifecyclev1.KeptnTaskStatus `json:"status,omitempty"`
}

// KeptnTaskList is a list of tasks.
//
// +kubebuilder:object:root=true
type KeptnTaskList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnTask `json:"items"`
}

// KeptnTaskDefinition is what a task runs.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptntaskdefinitions,categories=keptn
// +kubebuilder:printcolumn:name="ConfigMap",type=string,JSONPath=`.status.function.configMap`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type KeptnTaskDefinition struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec lifecyclev1.KeptnTaskDefinitionSpec `json:"spec"`
	// +optional
	Status lifecyclev1.KeptnTaskDefinitionStatus `json:"status,omitempty"`
}

// KeptnTaskDefinitionList is a list of definitions.
//
// +kubebuilder:object:root=true
type KeptnTaskDefinitionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnTaskDefinition `json:"items"`
}

// KeptnEvaluation is the record of one evaluation.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptnevaluations,shortName=ke,categories=keptn
// +kubebuilder:printcolumn:name="AppName",type=string,JSONPath=`.spec.appName`
// +kubebuilder:printcolumn:name="AppVersion",type=string,JSONPath=`.spec.appVersion`
// +kubebuilder:printcolumn:name="WorkloadName",type=string,JSONPath=`.spec.workload`
// +kubebuilder:printcolumn:name="WorkloadVersion",type=string,JSONPath=`.spec.workloadVersion`
// +kubebuilder:printcolumn:name="RetryCount",type=string,JSONPath=`.status.retryCount`
// +kubebuilder:printcolumn:name="EvaluationStatus",priority=1,type=string,JSONPath=`.status.evaluationStatus`
// +kubebuilder:printcolumn:name="OverallStatus",type=string,JSONPath=`.status.overallStatus`
// +kubebuilder:printcolumn:name="Verdict",type=string,JSONPath=`.status.verdict`
// +kubebuilder:printcolumn:name="Summary",type=string,JSONPath=`.status.summary`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type KeptnEvaluation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec lifecyclev1.KeptnEvaluationSpec `json:"spec"`
	// +optional
	Status lifecyclev1.KeptnEvaluationStatus `json:"status,omitempty"`
}

// KeptnEvaluationList is a list of evaluations.
//
// +kubebuilder:object:root=true
type KeptnEvaluationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnEvaluation `json:"items"`
}

// KeptnEvaluationDefinition is objectives that KeptnMetrics have to meet.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptnevaluationdefinitions,shortName=ked,categories=keptn
type KeptnEvaluationDefinition struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec lifecyclev1.KeptnEvaluationDefinitionSpec `json:"spec"`
	// Status is unused.
	// +optional
	Status string `json:"status,omitempty"`
}

// KeptnEvaluationDefinitionList is a list of definitions.
//
// +kubebuilder:object:root=true
type KeptnEvaluationDefinitionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnEvaluationDefinition `json:"items"`
}
