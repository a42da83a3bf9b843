package v1alpha1

import (
	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GitSourceKind is the kind of a GitSource.
const GitSourceKind = "GitSource"

// SourceLabel is carried by every object that was read from Git; its value is
// the name of the GitSource. Lifecycles and SLOPolicies without it are inert:
// somebody applied them, but nobody reads them from Git.
const SourceLabel = "gitops.keptn.sh/source"

// Annotations of the copies of what was read from Git.
const (
	// PathAnnotation is the folder that is rendered, relative to the repository.
	PathAnnotation = "gitops.keptn.sh/path"
	// FileAnnotation is the file that the object was read from.
	FileAnnotation = "gitops.keptn.sh/file"
	// AllowFromAnnotation on a namespace lists, separated by commas, the other
	// namespaces whose GitSources may govern its workloads; on a GitRepository of
	// Flux or an Application of Argo CD those whose GitSources may borrow from it.
	AllowFromAnnotation = "gitops.keptn.sh/allow-from"
)

// Kinds of objects that a GitSource may borrow its repository from.
const (
	// GitRepositoryKind is Flux's, in source.toolkit.fluxcd.io.
	GitRepositoryKind = "GitRepository"
	// ApplicationKind is Argo CD's, in argoproj.io.
	ApplicationKind = "Application"
)

// SourceReference names an object of Flux or Argo CD that says which repository is
// watched. What the GitSource says itself goes before what it borrows.
//
// +kubebuilder:validation:XValidation:rule="self.kind == 'Application' || !has(self.sourceName) && !has(self.sourcePosition)",message="sourceName and sourcePosition are for an Application, which may have several sources"
// +kubebuilder:validation:XValidation:rule="!has(self.sourceName) || !has(self.sourcePosition)",message="give sourceName or sourcePosition, not both"
type SourceReference struct {
	// Kind of the object: GitRepository of Flux, or Application of Argo CD.
	// +required
	// +kubebuilder:validation:Enum=GitRepository;Application
	Kind string `json:"kind"`

	// Name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Namespace of the object. Default: that of the GitSource. An object of another
	// one has to agree by the annotation gitops.keptn.sh/allow-from, and lends no
	// Secret.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// SourceName names one of several sources of an Application, by its name or ref.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SourceName string `json:"sourceName,omitempty"`

	// SourcePosition names one of several sources of an Application by its place in
	// the list, the first being 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	SourcePosition int32 `json:"sourcePosition,omitempty"`
}

// GitSourceSpec is one repository, watched as one environment.
//
// +kubebuilder:validation:XValidation:rule="has(self.url) != has(self.sourceRef)",message="give the repository by url or by sourceRef, by exactly one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.verify) || !has(self.verify.mode) || self.verify.mode == 'HEAD' || (has(self.ref) ? !has(self.ref.commit) && (has(self.ref.name) ? self.ref.name.startsWith('refs/tags/') : has(self.ref.semver) || has(self.ref.tag)) : has(self.sourceRef))",message="verify.mode Tag and TagAndHEAD need a tag to be watched: give ref.tag, ref.semver, or ref.name with refs/tags/…, and no ref.commit"
type GitSourceSpec struct {
	// URL of the repository: https, http, ssh, or where the administrator allows it file.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^(https?|ssh|file)://.+') || self.matches('^[^@/]+@[^:/]+:.+')",message="url has to be https://…, http://…, ssh://…, file://… or user@host:path"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https?://[^/]*@')",message="url must not hold credentials: put them in a Secret and name it in secretRef"
	URL string `json:"url,omitempty"`

	// SourceRef names an object of Flux or Argo CD that lends its URL, its reference,
	// its path where there are no paths, and within the namespace its Secret.
	// +optional
	SourceRef *SourceReference `json:"sourceRef,omitempty"`

	// Ref that is watched. Default: that of sourceRef, else the remote's HEAD.
	// +optional
	Ref *GitRef `json:"ref,omitempty"`

	// Interval between two looks at the remote. Default 1m.
	// +optional
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h') && (duration(self) >= duration('1ms') || duration(self) == duration('0s'))",message="interval has to be 0s, or between 1ms and 8760h, which is a year: write it in h, m, s and ms"
	Interval metav1.Duration `json:"interval,omitempty"`

	// Timeout of a fetch, and of any other conversation with the remote. Default 60s.
	// +optional
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h') && (duration(self) >= duration('1ms') || duration(self) == duration('0s'))",message="timeout has to be 0s, or between 1ms and 8760h, which is a year: write it in h, m, s and ms"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// SecretRef names a Secret with Flux's Git keys: username and password,
	// bearerToken, identity and known_hosts, ca.crt, or those of a GitHub App. Default:
	// that of a GitRepository in sourceRef, if it is in the same namespace.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// ProxySecretRef names a Secret with the keys of Flux for a proxy: address, username
	// and password. Git and the forge's API are reached through it. Default: that of a
	// GitRepository in sourceRef, if it is in the same namespace, else the controller's.
	// +optional
	ProxySecretRef *meta.LocalObjectReference `json:"proxySecretRef,omitempty"`

	// Provider is the kind of server that hosts the repository. Default generic.
	// +optional
	// +kubebuilder:default=generic
	Provider Provider `json:"provider,omitempty"`

	// Environment that this source deploys to; the cluster is part of its name
	// where several serve one. It is part of every commit status' context.
	// +required
	// +kubebuilder:validation:Pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
	// +kubebuilder:validation:MaxLength=63
	Environment string `json:"environment"`

	// Paths are the folders, or globs of folders, that deploy this environment.
	// Default: the path of an Application in sourceRef, else the whole tree.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=1024
	Paths []string `json:"paths,omitempty"`

	// Statuses says how verdicts are written back.
	// +optional
	Statuses *Statuses `json:"statuses,omitempty"`

	// PullRequests says what is done about pull requests into the watched branch. Default:
	// nothing.
	// +optional
	PullRequests *PullRequests `json:"pullRequests,omitempty"`

	// Verify asks for signatures: of a commit that is not signed by a known key nothing is
	// honoured. Default: that of a GitRepository in sourceRef, if it is in the same
	// namespace, else none.
	// +optional
	Verify *Verification `json:"verify,omitempty"`

	// TargetNamespaces are namespaces other than the GitSource's own whose
	// workloads it governs. Each has to agree by the annotation
	// gitops.keptn.sh/allow-from.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	TargetNamespaces []string `json:"targetNamespaces,omitempty"`

	// ServiceAccountName is what tasks run as that come from Git, in the namespace
	// of the workloads. Default: default, without a token.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// AllowedSecrets are the Secrets that may be named from Git: by tasks those in
	// the namespace of the workloads, by a pull request those of the GitSource's.
	// Default: none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	AllowedSecrets []string `json:"allowedSecrets,omitempty"`

	// Suspend stops looking at the remote; what runs is still followed.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// GitRef is what is watched in a repository. Where several are given, commit
// goes before name, semver, tag and branch.
type GitRef struct {
	// Branch to watch.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Branch string `json:"branch,omitempty"`

	// Tag to watch.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Tag string `json:"tag,omitempty"`

	// SemVer is a range: the highest tag in it is watched.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	SemVer string `json:"semver,omitempty"`

	// Name of a reference in full, as refs/heads/main.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Name string `json:"name,omitempty"`

	// Commit is a full SHA.
	// +optional
	// +kubebuilder:validation:Pattern="^[0-9a-f]{40}$"
	Commit string `json:"commit,omitempty"`
}

// Statuses says how verdicts are written back to commits.
type Statuses struct {
	// SecretRef names a Secret whose key token is a token of the forge's API, and whose key
	// username is the account it belongs to, where the forge asks for it; or for the
	// provider github one with the keys of a GitHub App. Where spec.secretRef has those it
	// need not be given.
	// For the provider generic it holds Git's own keys, as spec.secretRef does,
	// and defaults to it.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// APIURL of the forge. Default: derived from the repository's URL.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^https?://[^@]+$')",message="apiURL has to be an https:// or http:// address without credentials"
	APIURL string `json:"apiURL,omitempty"`

	// ContextPrefix is the first part of every context. Default keptn.
	// +optional
	// +kubebuilder:default=keptn
	// +kubebuilder:validation:Pattern="^[a-zA-Z0-9][a-zA-Z0-9._-]*$"
	// +kubebuilder:validation:MaxLength=63
	ContextPrefix string `json:"contextPrefix,omitempty"`

	// Notes keeps verdicts as Git notes as well as at the forge, with the Secret that
	// the repository is read with, which has to allow to push to refs/notes/keptn. The
	// provider generic always does. Default false.
	// +optional
	Notes bool `json:"notes,omitempty"`

	// Deployments shows deployments to the environment as deployments of the forge, too,
	// where the provider is github. Default false.
	// +optional
	Deployments bool `json:"deployments,omitempty"`
}

// GitSourceStatus is what the controller knows of a repository.
type GitSourceStatus struct {
	// ObservedGeneration is the generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready, Reconciling, Stalled, Reported, SourceVerified, and PullRequests.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// URL of the repository, given or borrowed, without user and password.
	// +optional
	URL string `json:"url,omitempty"`

	// ObservedRevision is the newest revision of that repository, as main@sha1:<sha>.
	// +optional
	ObservedRevision string `json:"observedRevision,omitempty"`

	// ObservedTag is the object name of the annotated tag that leads to it; empty where
	// none does.
	// +optional
	ObservedTag string `json:"observedTag,omitempty"`

	// FetchMode is how much of the repository is fetched, as far as its server allows:
	// partial, the commits, and of their trees and files those that are read; blobless, all
	// trees as well; full, everything; local, nothing, since it is on the controller's disk.
	// +optional
	FetchMode string `json:"fetchMode,omitempty"`

	// Lifecycles are those that were found in the observed revision.
	// +optional
	// +listType=atomic
	Lifecycles []FoundLifecycle `json:"lifecycles,omitempty"`

	// Problems of the observed revision, as file:line:column: message; the first 20.
	// +optional
	// +listType=atomic
	Problems []string `json:"problems,omitempty"`

	// Reported is what the observed commit was told.
	// +optional
	// +listType=atomic
	Reported []ReportedStatus `json:"reported,omitempty"`

	// PullRequests are those that are open and were told what was found; the 50 that were
	// changed last.
	// +optional
	// +listType=atomic
	PullRequests []ToldPullRequest `json:"pullRequests,omitempty"`

	meta.ReconcileRequestStatus `json:",inline"`
}

// FoundLifecycle is a lifecycle.yaml found in a revision.
type FoundLifecycle struct {
	// Name of the Lifecycle object beside the GitSource.
	Name string `json:"name"`
	// App it describes.
	App string `json:"app"`
	// Path of the folder that is rendered.
	Path string `json:"path"`
	// File it was read from.
	File string `json:"file"`
	// Blob is the object id of the file in Git.
	// +optional
	Blob string `json:"blob,omitempty"`
}

// GitSource is one repository, watched as one environment.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=gs,categories=keptn
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="the name of a GitSource is a label of what it reads: it must not be longer than 63 characters"
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name="Environment",type=string,JSONPath=`.spec.environment`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Reported",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Reported")].status`
// +kubebuilder:printcolumn:name="Shard",type=string,priority=1,JSONPath=`.metadata.labels.sharding\.fluxcd\.io/key`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type GitSource struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec GitSourceSpec `json:"spec"`
	// +optional
	Status GitSourceStatus `json:"status,omitempty"`
}

// GetConditions returns the conditions of the source.
func (in *GitSource) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions of the source.
func (in *GitSource) SetConditions(c []metav1.Condition) { in.Status.Conditions = c }

// GitSourceList is a list of sources.
//
// +kubebuilder:object:root=true
type GitSourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []GitSource `json:"items"`
}
