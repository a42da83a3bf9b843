// Package forge says on a commit what became of it, to whoever hosts the commit.
//
// A [Reporter] writes and reads the statuses of one repository; [New] opens the
// one that fits the provider, and with it the [PullRequests] and the [Reviews] of
// the repository where the forge has them. A forge is added as one row of the
// table in open.go, and two files: what is particular to its statuses, and to its
// pull requests. [Queues] delivers statuses in the background, one queue per host,
// so that a forge that is slow, limits its callers or is down delays nobody.
//
// The package never decides what a commit should show, never touches a
// cluster, never runs Git itself, and never puts a token into an error, a log
// or a formatted value.
package forge

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/keptn/gitops/gitsource/githubapp"
)

// State is what a status says of its commit. A forge that has fewer states
// maps them; see the forge's own file.
type State string

const (
	// Pending: the judgement is under way.
	Pending State = "pending"
	// Success: passed.
	Success State = "success"
	// Warning: passed, with something to look at. It must never block a merge.
	Warning State = "warning"
	// Failure: judged, and did not pass.
	Failure State = "failure"
	// Error: could not be judged, which is the inconclusive verdict.
	Error State = "error"
)

// Final reports whether the state is a verdict, that is anything but Pending.
func (s State) Final() bool { return s != Pending }

// valid reports whether s is one of the five states.
func (s State) valid() bool {
	return slices.Contains([]State{Pending, Success, Warning, Failure, Error}, s)
}

// Status is one statement about one commit.
type Status struct {
	// Commit is the full object name: 40 hexadecimal digits, or 64 in a
	// repository of SHA-256.
	Commit string
	// Ref is the full name of a ref that is at the commit, to be given where no branch
	// of the repository has it: GitLab takes no status of such a commit otherwise.
	Ref string
	// Context names the statement; a commit shows the newest status of each
	// context. Branch protection refers to it, so it is public API.
	Context string
	// State is what is said.
	State State
	// Description says why, in one line. A forge cuts it at its own limit.
	Description string
	// TargetURL leads to the whole story; optional.
	TargetURL string
	// Time is when the state came about, not when it was sent. It orders the
	// statuses of a context. Forges that keep no such time answer with the
	// time they took the status in.
	Time time.Time
	// Line is a record that is no status, such as one of a deployment: Git notes
	// append it as it is, in place of a status, and every other destination refuses
	// it. It is one line, and none that [ParseNote] would take for a status. Context
	// then names the record, and is never read back: of several lines under one
	// name only the last is sure to be kept. Empty for a status.
	Line string
	// Problems are places in the files of the commit that the statement is about.
	// Forges that can show them there do; the others show only what Description
	// says.
	Problems []Problem
	// Report is the whole story in Markdown, for forges that have a page for it.
	Report string
	// Deploys says that the statement is about a deployment of the commit that takes
	// place, or did: see [Target.Deployments].
	Deploys bool
}

// A Problem is something to mend at a place in a file.
type Problem struct {
	// File is the path in the repository, with slashes.
	File string
	// Line and Column begin at 1. A problem of a whole file is at 1:1.
	Line, Column int
	// Message says what is wrong and what to do, in one line.
	Message string
	// Warning says that it keeps nothing from being used.
	Warning bool
}

// Same reports whether two statuses say the same about the same commit,
// whenever they said it. What is beside a status, as its Problems and its Report, comes
// with it and is not compared: no forge gives it back with the status.
func (s Status) Same(other Status) bool {
	return s.Commit == other.Commit && s.Context == other.Context && s.State == other.State &&
		s.Description == other.Description && s.TargetURL == other.TargetURL && s.Line == other.Line
}

// Reporter writes and reads the statuses of one repository.
//
// Its errors wrap [ErrUnauthorized], [ErrNotFound], [ErrRejected] or
// [ErrTemporary], or are a [RateLimitedError]. After ErrTemporary the status
// may or may not have been taken in: Latest tells. A Reporter may be used by
// several goroutines at once.
type Reporter interface {
	// Set makes the status the newest of its context.
	Set(ctx context.Context, status Status) error
	// Latest returns the newest status of the context that the forge holds for
	// the commit, and false if there is none. The context is the one given to
	// Set, however the forge shortened it.
	Latest(ctx context.Context, commit, context string) (Status, bool, error)
	// Fit returns the status as Latest would return it after Set, but for its
	// Time: texts cut to the forge's limits, states as far as the forge can
	// tell them apart. It asks nobody.
	Fit(status Status) Status
}

const (
	// GitHub is the provider of GitHub and GitHub Enterprise Server: commit statuses
	// with a token, checks as an App.
	GitHub = "github"
	// GitLab is the provider of gitlab.com and of servers of one's own.
	GitLab = "gitlab"
	// Gitea is the provider of Gitea and Forgejo, which share one API.
	Gitea = "gitea"
	// Bitbucket is the provider of Bitbucket Cloud.
	Bitbucket = "bitbucket"
	// BitbucketServer is the provider of Bitbucket Data Center.
	BitbucketServer = "bitbucketserver"
	// AzureDevOps is the provider of Azure DevOps Services and Azure DevOps Server.
	AzureDevOps = "azuredevops"
	// Generic is the provider of any Git server: statuses are kept as Git
	// notes in [NotesRef].
	Generic = "generic"
)

// Target is a repository as its owner describes it.
type Target struct {
	// Repository is the clone URL: http, https, ssh, or scp-like
	// (git@host:owner/repository).
	Repository string
	// API is the forge's base URL with its sub-path, with or without its version
	// (/api/v1, /api/v3).
	// Defaults to the scheme, host and sub-path of Repository; https if that
	// is no web URL.
	API string
	// App authenticates in place of Token, where the provider is GitHub: statuses then
	// are checks. Tokens are where its tokens are kept, to be shared among all targets.
	App    *githubapp.App
	Tokens *githubapp.Tokens
	// Deployments is the environment for which statuses of deployments, see
	// [Status.Deploys], are shown as deployments of the forge, too, where the provider
	// is GitHub. Empty for none.
	Deployments string
	// Token may write commit statuses, and the repository where pull requests are
	// opened. Git notes need none: the NoteStore brings its own credentials.
	Token Token
	// Username is the account that the token belongs to, where a forge wants to be told:
	// Bitbucket Cloud of an API token. Optional.
	Username string
	// Client makes the requests, see [NewClient]. Defaults to
	// http.DefaultClient. Its redirect policy is not used.
	Client *http.Client
	// Answers keeps what the forge answered, so that asking again is cheap. Share one
	// among all targets. Defaults to one of its own.
	Answers *Answers
	// Pauses keeps requests back while the forge has asked for that. Share one among all
	// targets. By default none are.
	Pauses *Pauses
	// Notes is where provider Generic keeps statuses; the others ignore it.
	Notes NoteStore
	// Cluster is written into every Git note, and only notes of this cluster
	// are adopted.
	Cluster string
}

// Destination is where the statuses of one repository go, and its pull requests.
type Destination struct {
	Reporter
	// Name is what its callers call it; the package does not use it.
	Name string
	// Host is whose limits the repository shares: the key of its Queue.
	Host string
	// Account is the same for the same credentials to the same API, and reveals nothing
	// about them. Empty if it does not matter who asks.
	Account string
	// Repository is the repository's name on Host.
	Repository string
	// PullRequests opens pull requests of the repository; nil where the provider has
	// none.
	PullRequests PullRequests
	// Reviews look at pull requests of the repository; nil where the provider has none.
	Reviews Reviews
}
