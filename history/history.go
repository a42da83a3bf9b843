// Package history answers what the dora package asks of a Git repository: commits, what
// they change, and the deployments that Git notes keep. It joins the gitsource package,
// which reads repositories, with the dora package, which knows what deployments mean. It
// keeps nothing, and writes nothing.
package history

import (
	"context"
	"errors"
	"fmt"

	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource"
)

// A Repository is a repository as [dora.Evaluate] reads it.
type Repository struct{ *gitsource.Repository }

var _ dora.History = Repository{}

// Commit implements [dora.History]. A commit that is not here is fetched by its name,
// where the remote allows it: it may be on no branch any more.
func (r Repository) Commit(ctx context.Context, sha string) (dora.Commit, error) {
	if !gitname.IsCommit(sha) {
		return dora.Commit{}, fmt.Errorf("%w %q: want its SHA in full", dora.ErrUnknownCommit, sha)
	}
	c, err := r.Repository.Commit(ctx, sha)
	if errors.Is(err, gitsource.ErrCommitNotFound) {
		return dora.Commit{}, fmt.Errorf("%w %s: the repository does not have it: its history was rewritten, or the clone is shallow", dora.ErrUnknownCommit, sha)
	}
	if err != nil {
		return dora.Commit{}, err
	}
	return dora.Commit{
		SHA: c.SHA, Parents: c.Parents, AuthoredAt: c.Author.When, CommittedAt: c.Committer.When, Message: c.Message,
	}, nil
}

// Changes implements [dora.History].
func (r Repository) Changes(ctx context.Context, sha string, paths []string) (bool, error) {
	return r.Repository.Changes(ctx, sha, paths...)
}

// Deployments returns the deployments that the notes of a ref such as refs/notes/keptn
// keep, as they are in the remote now. Notes that are too large are left out, as are lines
// that say something else; a line of a commit that tells of another one is that one's.
func (r Repository) Deployments(ctx context.Context, notesRef string) ([]dora.Deployment, error) {
	var all []dora.Deployment
	for note, err := range r.AllNotes(ctx, notesRef) {
		if err != nil && (note.Commit == "" || !errors.Is(err, gitsource.ErrTooLarge)) {
			return nil, err
		}
		for _, line := range note.Lines {
			if d, ok := dora.DeploymentOfNote(line); ok {
				all = append(all, d)
			}
		}
	}
	return all, nil
}
