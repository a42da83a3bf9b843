package v1

// Provenance is where what is delivered was made.
type Provenance struct {
	// Commits that the delivery brings, each once.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Commits []SourceCommit `json:"commits,omitempty"`

	// Message says of what nothing is known, and why.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// SourceCommit is a commit of another repository than the one that is delivered from.
type SourceCommit struct {
	// SHA in full.
	SHA string `json:"sha"`

	// Repository is the URL of the repository.
	Repository string `json:"repository"`

	// Source is the GitSource of the repository, in the namespace of the Lifecycle. The
	// commit shows the delivery's statuses where this source reports to.
	Source string `json:"source"`

	// Evidence is Image where an image was built from the commit, and Trailer where the
	// delivered commit refers to it.
	Evidence Evidence `json:"evidence"`

	// By is the image, or the commit that refers to it.
	// +optional
	By string `json:"by,omitempty"`
}
