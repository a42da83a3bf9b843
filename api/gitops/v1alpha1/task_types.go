package v1alpha1

import (
	"encoding/json"

	"github.com/fluxcd/pkg/apis/meta"
)

// Task is a task to run. In YAML it is either the name of a
// KeptnTaskDefinition, or an object with a name and, for a task written in
// place, the fields of a KeptnTaskDefinition's spec. A structural schema cannot
// say so, so that the CRD leaves tasks open and the manifest parser checks them.
//
// +kubebuilder:validation:Type=""
// +kubebuilder:pruning:PreserveUnknownFields
type Task struct {
	// Name of the KeptnTaskDefinition, or of the task written in place.
	Name string `json:"-"`

	// Inline is the spec of a KeptnTaskDefinition as JSON, for a task written in
	// place.
	Inline json.RawMessage `json:"-"`
}

// MarshalJSON writes the object, or the bare name where nothing is written in place.
func (t Task) MarshalJSON() ([]byte, error) {
	if len(t.Inline) == 0 {
		return json.Marshal(t.Name)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(t.Inline, &fields); err != nil {
		return nil, err
	}
	name, err := json.Marshal(t.Name)
	if err != nil {
		return nil, err
	}
	fields["name"] = name
	return json.Marshal(fields)
}

// UnmarshalJSON reads the object, or the bare name. What is neither is left out
// and no error: an API server that leaves tasks open accepts it, and one Lifecycle
// that cannot be read would keep all others from being listed.
func (t *Task) UnmarshalJSON(data []byte) error {
	*t = Task{}
	if json.Unmarshal(data, &t.Name) == nil {
		return nil
	}
	var fields map[string]json.RawMessage
	isObject := json.Unmarshal(data, &fields) == nil
	if json.Unmarshal(fields["name"], &t.Name) != nil {
		t.Name = ""
	}
	if delete(fields, "name"); !isObject || len(fields) == 0 {
		return nil
	}
	inline, err := json.Marshal(fields)
	t.Inline = inline
	return err
}

// PullRequest promotes what was delivered to the next stage.
//
// +kubebuilder:validation:XValidation:rule="has(self.images) || has(self.copy)",message="a pull request changes something: set images, copy, or both"
type PullRequest struct {
	// Repository of the next stage. Default: the one that the lifecycle is in.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Repository string `json:"repository,omitempty"`

	// Branch that the pull request is to be merged into. Default: the branch of the
	// GitSource, and the remote's HEAD where it names none.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Branch string `json:"branch,omitempty"`

	// SecretRef names a Secret in the namespace of the GitSource, of those that it
	// allows, with the credentials for repository in Flux's keys, and the token for
	// its forge under the key token, or the keys of a GitHub App. Default: the Secrets of
	// the GitSource, which are only for repositories at the place (scheme, host and port)
	// of its url.
	// +optional
	SecretRef *meta.LocalObjectReference `json:"secretRef,omitempty"`

	// Provider of the next stage's repository. Default: that of the GitSource.
	// +optional
	// +kubebuilder:validation:Enum=github;gitlab;gitea;bitbucket;bitbucketserver;azuredevops
	Provider string `json:"provider,omitempty"`

	// Title of the pull request. Default: Promote <app> <version> from <environment>.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Title string `json:"title,omitempty"`

	// Images whose tags, or digests, are set in files to those that were delivered.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Images []PromotedImage `json:"images,omitempty"`

	// Copy are files of the delivered commit that are copied as they are.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Copy []PromotedFile `json:"copy,omitempty"`
}

// PromotedImage is an image of a workload, and the file that names it.
type PromotedImage struct {
	// Name of the image without tag and digest, as ghcr.io/acme/checkout.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Name string `json:"name"`

	// File to change: a kustomization.yaml whose images list it, or any YAML file
	// with an image field of that name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	File string `json:"file"`
}

// PromotedFile is a file that is copied.
type PromotedFile struct {
	// From is the path at the delivered commit.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	From string `json:"from"`

	// To is the path in the next stage's repository.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	To string `json:"to"`
}
