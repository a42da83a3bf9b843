package v1alpha1

// Provider is the kind of server that hosts a repository.
//
// +kubebuilder:validation:Enum=generic;github;gitlab;gitea;bitbucket;bitbucketserver;azuredevops
type Provider string

// Providers.
const (
	// GenericProvider is any Git server: verdicts are kept as Git notes.
	GenericProvider Provider = "generic"
	// GitHubProvider is GitHub, or a GitHub Enterprise Server.
	GitHubProvider Provider = "github"
	// GitLabProvider is gitlab.com, or a server of one's own.
	GitLabProvider Provider = "gitlab"
	// GiteaProvider is Gitea or Forgejo.
	GiteaProvider Provider = "gitea"
	// BitbucketProvider is Bitbucket Cloud.
	BitbucketProvider Provider = "bitbucket"
	// BitbucketServerProvider is Bitbucket Data Center.
	BitbucketServerProvider Provider = "bitbucketserver"
	// AzureDevOpsProvider is Azure DevOps Services or Azure DevOps Server.
	AzureDevOpsProvider Provider = "azuredevops"
)
