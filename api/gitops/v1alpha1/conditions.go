package v1alpha1

// Condition types beside those of fluxcd/pkg/apis/meta.
const (
	// ReportedCondition is True when commits show all that is known, False when a forge or
	// an older GitSource keeps them from it, and absent where nothing is reported.
	ReportedCondition = "Reported"
	// MatchedCondition is True when a commit explains what runs, and False when
	// none does.
	MatchedCondition = "Matched"
)

// Reasons of conditions.
const (
	// ReadFromGitReason: the object is inert, since the same file is read from Git.
	ReadFromGitReason = "ReadFromGit"
	// InvalidManifestReason: a lifecycle.yaml has problems.
	InvalidManifestReason = "InvalidManifest"
	// FetchFailedReason: the repository could not be fetched.
	FetchFailedReason = "FetchFailed"
	// AuthenticationFailedReason: the secret is missing, unusable or refused.
	AuthenticationFailedReason = "AuthenticationFailed"
	// UnmatchedReason: no commit explains what runs.
	UnmatchedReason = "Unmatched"
	// InvalidPolicyReason: a policy does not compile.
	InvalidPolicyReason = "InvalidPolicy"
	// AccessDeniedReason: another namespace may not be governed, or borrowed from.
	AccessDeniedReason = "AccessDenied"
	// SourceNotFoundReason: there is no object to borrow the repository from.
	SourceNotFoundReason = "SourceNotFound"
	// InvalidSourceReason: the object to borrow from lends no one repository.
	InvalidSourceReason = "InvalidSource"
	// NoWorkloadsReason: the folder renders to no workload.
	NoWorkloadsReason = "NoWorkloads"
	// NoCredentialsReason: there is no token to report with.
	NoCredentialsReason = "NoCredentials"
	// ForgeFailedReason: the forge refuses statuses or cannot be reached.
	ForgeFailedReason = "ForgeFailed"
	// ContextTakenReason: a GitSource that came first writes the same context.
	ContextTakenReason = "ContextTaken"
	// NameTakenReason: an object of somebody else has the name of a copy.
	NameTakenReason = "NameTaken"
)
