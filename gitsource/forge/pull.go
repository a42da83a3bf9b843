package forge

import "context"

// PullRequest asks to merge one branch of a repository into another.
type PullRequest struct {
	// Head is the branch with the change, Base the one it goes into, by their short
	// names. Both are in the repository.
	Head, Base string
	// Title in one line. A forge cuts it at its own limit.
	Title string
	// Body in Markdown. A forge cuts it at its own limit.
	Body string
}

// OpenPullRequest is a pull request that a forge holds.
type OpenPullRequest struct {
	// Number within its repository.
	Number int64
	// URL of its page.
	URL string
}

// PullRequests opens the pull requests of one repository. Its errors are those of a
// [Reporter]. It may be used by several goroutines at once.
type PullRequests interface {
	// Open sees to it that there is an open pull request from head to base with this
	// title and body: it makes one, or brings the one up to date that there is. One that
	// was closed stays so. A branch that the forge does not have is [ErrTemporary], for
	// one that was just pushed may show up a moment later.
	Open(ctx context.Context, pull PullRequest) (OpenPullRequest, error)
}
