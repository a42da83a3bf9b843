package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

// KeptnWorkloadRef is one workload of an app, and the version of it that is
// delivered.
type KeptnWorkloadRef struct {
	// Name of the workload.
	// +required
	Name string `json:"name"`

	// Version of the workload. For a delivery from Git it is the short commit.
	// +required
	Version string `json:"version"`

	// Kind is Deployment, StatefulSet or DaemonSet.
	// +optional
	Kind string `json:"kind,omitempty"`

	// Namespace of the workload. Default: that of the delivery.
	// +optional
	Namespace string `json:"namespace,omitempty"`

	// TemplateHash identifies the live pod template that was found to be the
	// commit's; empty until the workload carries it.
	// +optional
	TemplateHash string `json:"templateHash,omitempty"`

	// AppliedAt is when that template was written to the workload.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	AppliedAt *metav1.Time `json:"appliedAt,omitempty"`
}

// Evidence is what tied a rollout to its commit.
//
// +kubebuilder:validation:Enum=Applier;Trailer;Content;Annotation;Image
type Evidence string

// Kinds of evidence, strongest first.
const (
	// EvidenceApplier: who applied the workload, as Flux or Argo CD, says which revision
	// it applied.
	EvidenceApplier Evidence = "Applier"
	// EvidenceTrailer: a commit of another repository that was applied refers to the
	// commit.
	EvidenceTrailer Evidence = "Trailer"
	// EvidenceContent: the commit renders the pod template that runs.
	EvidenceContent Evidence = "Content"
	// EvidenceAnnotation: an annotation of the workload names the commit.
	EvidenceAnnotation Evidence = "Annotation"
	// EvidenceImage: an image that runs was built from the commit.
	EvidenceImage Evidence = "Image"
)

// Commit is the commit that a delivery comes from.
type Commit struct {
	// SHA in full.
	// +required
	SHA string `json:"sha"`

	// Repository is the URL of the repository.
	// +optional
	Repository string `json:"repository,omitempty"`

	// Author is the author's name.
	// +optional
	Author string `json:"author,omitempty"`

	// Email is the author's address.
	// +optional
	Email string `json:"email,omitempty"`

	// Message of the commit, its first 4096 bytes.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Message string `json:"message,omitempty"`

	// AuthoredAt is the author's time: where lead time begins.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	AuthoredAt metav1.Time `json:"authoredAt,omitempty"`

	// Trailers of the message, by their keys in lower case.
	// +optional
	Trailers map[string][]string `json:"trailers,omitempty"`

	// Files are the paths that the commit changes, the first 100.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Files []string `json:"files,omitempty"`

	// FilesTruncated says that the commit changes more files than are listed.
	// +optional
	FilesTruncated bool `json:"filesTruncated,omitempty"`

	// Evidence is what tied the rollout to the commit.
	// +optional
	Evidence Evidence `json:"evidence,omitempty"`
}

// NamedPolicy is an SLOPolicy as it was at the delivered commit.
type NamedPolicy struct {
	// Name of the policy.
	// +required
	Name string `json:"name"`
	// Spec of the policy. Absent where the name resolved to nothing.
	// +optional
	Spec *gitopsv1alpha1.SLOPolicySpec `json:"spec,omitempty"`
}

// LifecycleRef names the Lifecycle that a delivery belongs to.
type LifecycleRef struct {
	// Namespace of the Lifecycle.
	Namespace string `json:"namespace"`
	// Name of the Lifecycle.
	Name string `json:"name"`
}

// KeptnAppVersionSpec is one delivery: of an app, at a version and, where it
// comes from Git, of a commit with the policies that judge it.
type KeptnAppVersionSpec struct {
	// AppName is the name of the app.
	// +required
	AppName string `json:"appName"`

	// Version of the app. For a delivery from Git it is the short commit.
	// +required
	Version string `json:"version"`

	// Revision counts deliveries of the same version, from 1.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	Revision uint `json:"revision,omitempty"`

	// PreviousVersion is the version that was delivered before.
	// +optional
	PreviousVersion string `json:"previousVersion,omitempty"`

	// Workloads that are delivered.
	// +optional
	// +listType=atomic
	Workloads []KeptnWorkloadRef `json:"workloads,omitempty"`

	// Lifecycle that the delivery belongs to.
	// +optional
	Lifecycle *LifecycleRef `json:"lifecycle,omitempty"`

	// Environment that is delivered to.
	// +optional
	Environment string `json:"environment,omitempty"`

	// Commit that the delivery comes from.
	// +optional
	Commit *Commit `json:"commit,omitempty"`

	// RolloutStartedAt is when the commit's pod template was first written to one
	// of the workloads.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	RolloutStartedAt *metav1.Time `json:"rolloutStartedAt,omitempty"`

	// Adopted says that the rollout was there before its GitSource was: it is
	// judged, but no lead time is measured.
	// +optional
	Adopted bool `json:"adopted,omitempty"`

	// RolloutTimeout is how long the rollout may take. Default 5m.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^(0|([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h')",message="rolloutTimeout has to be at most 8760h, which is a year: write it in h, m and s"
	RolloutTimeout *metav1.Duration `json:"rolloutTimeout,omitempty"`

	// Soak is the time between the end of the rollout and the first check.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^(0|([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h')",message="soak has to be at most 8760h, which is a year: write it in h, m and s"
	Soak *metav1.Duration `json:"soak,omitempty"`

	// Problem says why the lifecycle of the commit could not be read. A delivery
	// with a problem is followed, but cannot be judged.
	// +optional
	Problem string `json:"problem,omitempty"`

	// Commits of the app that the delivery brings, newest first: those since the
	// previous good delivery, or the delivered one alone where there is none.
	// +optional
	// +listType=map
	// +listMapKey=sha
	// +kubebuilder:validation:MaxItems=50
	Commits []Commit `json:"commits,omitempty"`

	// CommitsTruncated says that there are more commits than are listed, or that it is
	// not known which there are.
	// +optional
	CommitsTruncated bool `json:"commitsTruncated,omitempty"`

	// Params are the texts that the lifecycle of the commit sets for its policies.
	// +optional
	Params map[string]string `json:"params,omitempty"`

	KeptnAppContextSpec `json:",inline"`

	// TraceID is the W3C trace parent of the delivery.
	// +optional
	TraceID map[string]string `json:"traceId,omitempty"`

	// AppGeneration is the generation of the KeptnApp that is delivered; of two
	// deliveries of a KeptnApp the one with the higher is the newer.
	// +optional
	AppGeneration int64 `json:"appGeneration,omitempty"`

	// Policies are the SLOPolicies among the evaluations, as they were at the commit.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Policies []NamedPolicy `json:"policies,omitempty"`

	// TaskDefinitions are the definitions of tasks, as they were at the commit.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=100
	TaskDefinitions []NamedTaskDefinition `json:"taskDefinitions,omitempty"`

	// Confinement limits the tasks among taskDefinitions.
	// +optional
	Confinement *Confinement `json:"confinement,omitempty"`

	// PullRequest that promotes what was delivered to the next stage.
	// +optional
	PullRequest *gitopsv1alpha1.PullRequest `json:"pullRequest,omitempty"`

	// BlockDeployment says whether a check that fails stops what follows. Default:
	// as the KeptnConfig has it.
	// +optional
	BlockDeployment *bool `json:"blockDeployment,omitempty"`

	// CheckTimeout is how long the tasks, or the evaluations, of one phase may take.
	// Default: as the KeptnConfig has it.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^(0|([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h')",message="checkTimeout has to be at most 8760h, which is a year: write it in h, m and s"
	CheckTimeout *metav1.Duration `json:"checkTimeout,omitempty"`
}

// NamedTaskDefinition is a KeptnTaskDefinition as it was at the delivered commit.
type NamedTaskDefinition struct {
	// Name of the definition.
	// +required
	Name string `json:"name"`
	// Labels of the definition, which its tasks get.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations of the definition, which its tasks get.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`
	// Spec of the definition.
	// +required
	Spec FrozenTaskDefinition `json:"spec"`
}

// WorkloadStatus is how the delivery of one workload stands.
type WorkloadStatus struct {
	// Workload that is delivered.
	Workload KeptnWorkloadRef `json:"workload,omitzero"`
	// Status of its delivery.
	// +optional
	// +kubebuilder:default=Pending
	Status KeptnState `json:"status,omitempty"`
}

// KeptnAppVersionStatus is how far a delivery has come.
type KeptnAppVersionStatus struct {
	Delivery `json:",inline"`

	// WorkloadOverallStatus is the state of the rollout.
	// +optional
	// +kubebuilder:default=Pending
	WorkloadOverallStatus KeptnState `json:"workloadOverallStatus,omitempty"`

	// PromotionStatus is the state of the promotion.
	// +optional
	// +kubebuilder:default=Pending
	PromotionStatus KeptnState `json:"promotionStatus,omitempty"`

	CheckStatuses `json:",inline"`

	// PromotionTaskStatus is one entry per task of the promotion.
	// +optional
	// +listType=atomic
	PromotionTaskStatus []ItemStatus `json:"promotionTaskStatus,omitempty"`

	// PullRequestURL is where the pull request of the promotion is.
	// +optional
	PullRequestURL string `json:"pullRequestURL,omitempty"`

	// Provenance is which commits of other repositories the delivery brings, as that of
	// an app whose new image its commit rolls out. Absent until it is known, and where
	// no other GitSource is beside the Lifecycle's.
	// +optional
	Provenance *Provenance `json:"provenance,omitempty"`

	// WorkloadStatus is one entry per workload.
	// +optional
	// +listType=atomic
	WorkloadStatus []WorkloadStatus `json:"workloadStatus,omitempty"`

	// LeadTime is the time from the commit's author time to the end of a
	// successful delivery; absent where the delivery failed, or where the clocks
	// disagree so much that it would be negative.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="leadTime has to be a duration of 292 years at most"
	LeadTime *metav1.Duration `json:"leadTime,omitempty"`
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
// +kubebuilder:storageversion
type KeptnAppVersion struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec KeptnAppVersionSpec `json:"spec"`
	// +optional
	Status KeptnAppVersionStatus `json:"status,omitempty"`
}

// GetConditions returns the conditions of the delivery.
func (in *KeptnAppVersion) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions of the delivery.
func (in *KeptnAppVersion) SetConditions(c []metav1.Condition) { in.Status.Conditions = c }

// Released says whether pods of the delivery may start: everything before the
// deployment has passed, or passed once.
func (in *KeptnAppVersion) Released() bool { return in.Status.Phase(PhaseAppDeploy).begun() }

// KeptnAppVersionList is a list of deliveries.
//
// +kubebuilder:object:root=true
type KeptnAppVersionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnAppVersion `json:"items"`
}
