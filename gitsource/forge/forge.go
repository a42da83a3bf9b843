// Package forge says on a commit what became of it, to whoever hosts the commit.
//
// A [Reporter] writes and reads the statuses of one repository; [New] opens the
// one that fits the provider, and the [PullRequests] of the repository where the
// forge has them. A forge is added as one file and one row of the table in this
// file. [Queues] delivers statuses in the background, one queue
// per host, so that a forge that is slow, limits its callers or is down delays
// nobody.
//
// The package never decides what a commit should show, never touches a
// cluster, never runs Git itself, and never puts a token into an error, a log
// or a formatted value.
package forge

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
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
}

// Same reports whether two statuses say the same about the same commit,
// whenever they said it.
func (s Status) Same(other Status) bool {
	s.Time, other.Time = time.Time{}, time.Time{}
	return s == other
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
	// Gitea is the provider of Gitea and Forgejo, which share one API.
	Gitea = "gitea"
	// Generic is the provider of any Git server: statuses are kept as Git
	// notes in [NotesRef].
	Generic = "generic"
)

// Target is a repository as its owner describes it.
type Target struct {
	// Repository is the clone URL: http, https, ssh, or scp-like
	// (git@host:owner/repository).
	Repository string
	// API is the forge's base URL with its sub-path, without /api/v1.
	// Defaults to the scheme, host and sub-path of Repository; https if that
	// is no web URL.
	API string
	// Token may write commit statuses, and the repository where pull requests are
	// opened. Git notes need none: the NoteStore brings its own credentials.
	Token Token
	// Client makes the requests, see [NewClient]. Defaults to
	// http.DefaultClient. Its redirect policy is not used.
	Client *http.Client
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
	// Repository is the repository's name on Host.
	Repository string
	// PullRequests opens pull requests of the repository; nil where the provider has
	// none.
	PullRequests PullRequests
}

// A row is what is particular to one forge. Limits are in runes.
type row struct {
	description, context int
	open                 func(row, Target) (Destination, error)
}

// rows is every forge statuses can be written to.
func rows() map[string]row {
	return map[string]row{
		// Both texts are columns without a limit of their own (TEXT), so the
		// limits are what a page shows without breaking.
		Gitea: {description: 1000, context: 255, open: openGitea},
		// A note is read by people and by git log, line by line.
		Generic: {description: 2000, context: 255, open: openNotes},
	}
}

// New opens the reporter that provider stands for. An unknown provider is an
// error, and so is a Target that lacks what the provider needs. Nothing is
// asked of the forge yet.
func New(provider string, target Target) (Destination, error) {
	r, ok := rows()[provider]
	if !ok {
		known := slices.Sorted(maps.Keys(rows()))
		return Destination{}, fmt.Errorf("provider %q cannot take commit statuses: use one of %s", provider, strings.Join(known, ", "))
	}
	destination, err := r.open(r, target)
	if err != nil {
		return Destination{}, fmt.Errorf("provider %q: %w", provider, err)
	}
	return destination, nil
}
