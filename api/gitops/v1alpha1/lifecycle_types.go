package v1alpha1

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LifecycleKind is the kind of a Lifecycle.
const LifecycleKind = "Lifecycle"

// LifecycleSpec is what a team commits as lifecycle.yaml beside the manifests
// that deploy its app.
type LifecycleSpec struct {
	// App is the name of the app, as commit statuses show it. Default:
	// metadata.name.
	// +optional
	// +kubebuilder:validation:Pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
	// +kubebuilder:validation:MaxLength=63
	App string `json:"app,omitempty"`

	// PreDeployment is what has to succeed before pods of a new revision start.
	// +optional
	PreDeployment *Checks `json:"preDeployment,omitempty"`

	// PostDeployment is what has to succeed once a revision has rolled out.
	// +optional
	PostDeployment *PostDeployment `json:"postDeployment,omitempty"`

	// Promotion is what is done once all checks have succeeded.
	// +optional
	Promotion *Promotion `json:"promotion,omitempty"`

	// DORA says how delivery is measured.
	// +optional
	DORA *DORA `json:"dora,omitempty"`

	// MatchTimeout is how long a rollout may stay without a commit that
	// explains it before it is left alone. Default 2m.
	// +optional
	// +kubebuilder:default="2m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h') && (duration(self) >= duration('1ms') || duration(self) == duration('0s'))",message="matchTimeout has to be 0s, or between 1ms and 8760h, which is a year: write it in h, m, s and ms"
	MatchTimeout *metav1.Duration `json:"matchTimeout,omitempty"`

	// RolloutTimeout is how long a rollout may take before it has failed.
	// Default 5m.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h') && (duration(self) >= duration('1ms') || duration(self) == duration('0s'))",message="rolloutTimeout has to be 0s, or between 1ms and 8760h, which is a year: write it in h, m, s and ms"
	RolloutTimeout *metav1.Duration `json:"rolloutTimeout,omitempty"`

	// CheckTimeout is how long the tasks, or the policies, of one phase may take
	// before the phase has failed, also where they wait for a definition. Default 1h.
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h') && (duration(self) >= duration('1ms') || duration(self) == duration('0s'))",message="checkTimeout has to be 0s, or between 1ms and 8760h, which is a year: write it in h, m, s and ms"
	CheckTimeout *metav1.Duration `json:"checkTimeout,omitempty"`

	// BlockDeployment says whether a check that fails stops what follows. Where it
	// is false a failure is a warning. Default: as the KeptnConfig of the cluster has
	// it, which is true unless it says otherwise.
	// +optional
	BlockDeployment *bool `json:"blockDeployment,omitempty"`

	// Metadata is handed to tasks and added to traces.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Metadata map[string]string `json:"metadata,omitempty"`

	// Params are the texts that its policies read as params.<name>, where they
	// declare them.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.matches('^[a-zA-Z_][a-zA-Z0-9_]*$') && size(self[name]) <= 1024)",message="params are named by letters, digits and _, and are at most 1024 characters long"
	Params map[string]string `json:"params,omitempty"`
}

// Checks are tasks that are run and policies that are evaluated, in this order;
// those of one kind run in parallel.
type Checks struct {
	// Tasks to run: the name of a KeptnTaskDefinition, or one written in place.
	// +optional
	// +listType=atomic
	Tasks []Task `json:"tasks,omitempty"`

	// Policies to evaluate, by the name of their SLOPolicy.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Policies []string `json:"policies,omitempty"`
}

// PostDeployment are the checks after a rollout, and the time it is given to
// show itself before they begin.
type PostDeployment struct {
	// Soak is the time between the end of the rollout and the first check.
	// Default 0.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h') && (duration(self) >= duration('1ms') || duration(self) == duration('0s'))",message="soak has to be 0s, or between 1ms and 8760h, which is a year: write it in h, m, s and ms"
	Soak *metav1.Duration `json:"soak,omitempty"`

	Checks `json:",inline"`
}

// Promotion is what is done once all checks have succeeded.
type Promotion struct {
	// Tasks to run: the name of a KeptnTaskDefinition, or one written in place.
	// +optional
	// +listType=atomic
	Tasks []Task `json:"tasks,omitempty"`

	// PullRequest to open, or to bring up to date, once the tasks have succeeded.
	// +optional
	PullRequest *PullRequest `json:"pullRequest,omitempty"`
}

// LeadTimeFrom is where the lead time of a change begins.
//
// +kubebuilder:validation:Enum=commit;firstCommit;merge
type LeadTimeFrom string

// Where the lead time of a change can begin.
const (
	// LeadTimeFromCommit is the commit's author time.
	LeadTimeFromCommit LeadTimeFrom = "commit"
	// LeadTimeFromFirstCommit is the author time of the first commit of the pull request.
	LeadTimeFromFirstCommit LeadTimeFrom = "firstCommit"
	// LeadTimeFromMerge is the time of the merge.
	LeadTimeFromMerge LeadTimeFrom = "merge"
)

// DORA says how delivery is measured.
type DORA struct {
	// LeadTimeFrom is where the lead time of a change begins. Default commit.
	// +optional
	// +kubebuilder:default=commit
	LeadTimeFrom LeadTimeFrom `json:"leadTimeFrom,omitempty"`
}

// LifecycleStatus is what the controller knows of an app in its environment.
type LifecycleStatus struct {
	// ObservedGeneration is the generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready, Reconciling and Stalled; Matched says whether what runs
	// is explained by a commit; Reported says whether commits show what is known.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ObservedRevision is the revision up to which commits have been looked at.
	// +optional
	ObservedRevision string `json:"observedRevision,omitempty"`

	// Workloads are those that the commit last looked at renders to, and those that its
	// releases have installed.
	// +optional
	// +listType=atomic
	Workloads []WorkloadStatus `json:"workloads,omitempty"`

	// Releases are the HelmReleases of Flux that the commit last looked at renders to.
	// Their workloads are those that are labelled as installed by them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	Releases []ReleaseReference `json:"releases,omitempty"`

	// UnmatchedSince is when the newest pod template was written that no commit
	// explains.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	UnmatchedSince *metav1.Time `json:"unmatchedSince,omitempty"`

	// Delivery is the newest delivery of the app that was rolled out; before the first
	// one, the newest that was asked for.
	// +optional
	Delivery *DeliveryReference `json:"delivery,omitempty"`

	// Commits are the newest ones that change the app, newest first.
	// +optional
	// +listType=atomic
	Commits []AppCommit `json:"commits,omitempty"`

	// RunsCommit is the newest commit, by its full SHA, where what it renders to runs
	// although it was not rolled out itself: it was there before, as after a revert.
	// +optional
	RunsCommit string `json:"runsCommit,omitempty"`

	// Reported is what commits have been told, one entry per commit and context.
	// +optional
	// +listType=atomic
	Reported []ReportedStatus `json:"reported,omitempty"`

	// Deployments are those that the metrics come from, the one that finished last
	// first: of 90 days, 200 at most.
	// +optional
	// +listType=atomic
	Deployments []Deployment `json:"deployments,omitempty"`

	// DORA are the five metrics of the app in its environment.
	// +optional
	DORA *DORAMetrics `json:"dora,omitempty"`

	// Incidents are those that the app had in this environment, newest first: 100 at
	// most, of which the oldest resolved ones go first. They are written
	// by whoever takes them in, in the name of keptn-incidents, and by nobody else.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=100
	Incidents []Incident `json:"incidents,omitempty"`
}

// WorkloadStatus is one workload of the app as it was last seen.
type WorkloadStatus struct {
	// Kind is Deployment, StatefulSet or DaemonSet.
	Kind string `json:"kind"`
	// Namespace the workload is in.
	Namespace string `json:"namespace"`
	// Name of the workload.
	Name string `json:"name"`

	// TemplateHash identifies the pod template that was seen last; empty while
	// the workload does not exist.
	// +optional
	TemplateHash string `json:"templateHash,omitempty"`

	// Since is when that template was written to the workload.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	Since *metav1.Time `json:"since,omitempty"`

	// Commit is the commit that the template was tied to; empty where none
	// explains it.
	// +optional
	Commit string `json:"commit,omitempty"`
}

// ReleaseReference names a HelmRelease.
type ReleaseReference struct {
	// Namespace of the HelmRelease.
	Namespace string `json:"namespace"`
	// Name of the HelmRelease.
	Name string `json:"name"`
}

// DeliveryReference names a KeptnAppVersion.
type DeliveryReference struct {
	// Namespace of the KeptnAppVersion.
	Namespace string `json:"namespace"`
	// Name of the KeptnAppVersion.
	Name string `json:"name"`
	// Commit that was delivered.
	Commit string `json:"commit"`
}

// AppCommit is a commit that changes an app.
type AppCommit struct {
	// SHA of the commit, in full.
	SHA string `json:"sha"`

	// CommittedAt is the committer's time.
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	CommittedAt metav1.Time `json:"committedAt"`

	// SeenAt is when the commit was first looked at.
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	SeenAt metav1.Time `json:"seenAt"`

	// ChangesWorkloads says whether the commit renders another pod template, or another
	// release, than its parent, so that a rollout can be expected.
	ChangesWorkloads bool `json:"changesWorkloads"`

	// Unverified says why nothing of the commit is honoured, where it needs a signature.
	// +optional
	Unverified string `json:"unverified,omitempty"`

	// VerifiedAt is when the commit came to be unverified, or verified after that.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	VerifiedAt *metav1.Time `json:"verifiedAt,omitempty"`
}

// ReportedStatus is what one commit was told in one context.
type ReportedStatus struct {
	// Destination is where the commit shows it: the provider and the URL of the
	// repository, and that of the forge's API where it is set.
	// +optional
	Destination string `json:"destination,omitempty"`
	// Commit is the full SHA.
	Commit string `json:"commit"`
	// Context of the status.
	Context string `json:"context"`
	// State of the status.
	State string `json:"state"`
	// Description that was sent; of a record that was kept as it is, a digest.
	// +optional
	Description string `json:"description,omitempty"`
	// Time of the fact that was reported.
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	Time metav1.Time `json:"time"`
}

// Lifecycle is how one app is delivered in one environment.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=lc,categories=keptn
// +kubebuilder:printcolumn:name="App",type=string,JSONPath=`.spec.app`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Commit",type=string,JSONPath=`.status.delivery.commit`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Lifecycle struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec LifecycleSpec `json:"spec,omitempty"`
	// +optional
	Status LifecycleStatus `json:"status,omitempty"`
}

// AppName is the name of the app that the lifecycle is about.
func (in *Lifecycle) AppName() string { return cmp.Or(in.Spec.App, in.Name) }

// GetConditions returns the conditions of the lifecycle.
func (in *Lifecycle) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions of the lifecycle.
func (in *Lifecycle) SetConditions(c []metav1.Condition) { in.Status.Conditions = c }

// LifecycleList is a list of lifecycles.
//
// +kubebuilder:object:root=true
type LifecycleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Lifecycle `json:"items"`
}
