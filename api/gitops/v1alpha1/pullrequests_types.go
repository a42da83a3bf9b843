package v1alpha1

// PullRequestsCondition is True when all open pull requests that are looked at have been
// told what was found, False when one could not be, and absent where none are looked at.
const PullRequestsCondition = "PullRequests"

// Reasons of PullRequestsCondition.
const (
	// NoPullRequestsReason: the provider has no pull requests, or no branch is watched that
	// any could be merged into.
	NoPullRequestsReason = "NoPullRequests"
	// ToldReason: all were told.
	ToldReason = "Told"
)

// PullRequests says what is done about pull requests into the watched branch. Nothing of
// one is ever applied, and none of its tasks is run.
type PullRequests struct {
	// Validate says on the newest commit of each whether what it holds is valid, as it is
	// said of the watched branch. Default true.
	// +optional
	// +kubebuilder:default=true
	Validate *bool `json:"validate,omitempty"`

	// Evaluate measures now what the policies read of those apps that a pull request
	// changes, and says what the verdict would be. A pull request from a fork is never
	// evaluated. Default false.
	// +optional
	Evaluate bool `json:"evaluate,omitempty"`

	// Comment keeps one comment with all that was found. Default false.
	// +optional
	Comment bool `json:"comment,omitempty"`
}

// ToldPullRequest is an open pull request that was told what was found.
type ToldPullRequest struct {
	// Destination is where its repository is, as of reported statuses: the provider and the
	// URL of the repository, and that of the forge's API where it is set.
	// +optional
	Destination string `json:"destination,omitempty"`
	// Number of the pull request in its repository.
	Number int64 `json:"number"`
	// Head is the commit that was looked at.
	// +kubebuilder:validation:MaxLength=64
	Head string `json:"head"`
	// Fork says that it comes from another repository, or from no branch of this one.
	// +optional
	Fork bool `json:"fork,omitempty"`
	// State that was told of the commit: success or failure, and empty where it is not
	// validated.
	// +optional
	State string `json:"state,omitempty"`
	// Unverified says that nothing of it was read, for want of a signature that counts. It is
	// looked at again once it has one, by a key that became known.
	// +optional
	Unverified bool `json:"unverified,omitempty"`
	// Evaluated says that it was told of a dry evaluation, or why there is none.
	// +optional
	Evaluated bool `json:"evaluated,omitempty"`
	// Comment is what the forge calls the comment; empty where there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Comment string `json:"comment,omitempty"`
}
