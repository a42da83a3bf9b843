package forge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/keptn/gitops/gitsource"
)

// NoteStore keeps lines of text as Git notes of a repository and its remote, as
// [gitsource.Repository] does. Whether a commit must be there to get a note is
// the store's to say.
//
// Of its errors, gitsource's ErrUnauthorized, ErrNotFound and ErrCommitNotFound
// and this package's own are taken as what they say; any other is taken as
// temporary.
type NoteStore interface {
	// Notes returns the lines of a commit's note in ref, none if there is no
	// note.
	Notes(ctx context.Context, ref, commit string) ([]string, error)
	// AppendNotes adds lines to the notes of commits in ref, merging with what
	// others wrote meanwhile.
	AppendNotes(ctx context.Context, ref string, lines map[string][]string) error
}

// notes keeps statuses as Git notes, a line each.
type notes struct {
	store      NoteStore
	row        row
	cluster    string
	repository string
}

var (
	_ Reporter  = notes{}
	_ NoteStore = (*gitsource.Repository)(nil)
)

// notesRow has the lengths of a note, which is read by people and by git log, line by line.
func notesRow() row { return row{description: 2000, context: 255} }

// openNotes opens the notes of any Git repository.
func openNotes(target Target) (Destination, error) {
	if target.Notes == nil {
		return Destination{}, errors.New("statuses are kept as Git notes, and there is no store for them")
	}
	place, err := locate(target.Repository)
	if err != nil {
		return Destination{}, err
	}
	return Destination{
		// Git traffic is limited apart from the API of the same host.
		Host:       "git:" + place.host,
		Repository: place.path,
		Reporter:   notes{store: target.Notes, row: notesRow(), cluster: target.Cluster, repository: place.path},
	}, nil
}

// Set implements Reporter. A status that says the same as the latest is not
// written again, nor a line that is there.
func (n notes) Set(ctx context.Context, status Status) error {
	if err := status.check(); err != nil {
		return err
	}
	if status.Line != "" {
		return n.add(ctx, status, status.Line)
	}
	held, found, err := n.Latest(ctx, status.Commit, status.Context)
	if err != nil {
		return err
	}
	status = n.Fit(status)
	if found && held.Same(status) {
		return nil
	}
	if found && !status.Time.After(held.Time) {
		status.Time = held.Time.Add(time.Millisecond) // what is said later reads as later
	}
	return n.add(ctx, status, Note{Status: status, Cluster: n.cluster}.Line())
}

// add appends a line to the note of the status' commit.
func (n notes) add(ctx context.Context, status Status, line string) error {
	if err := n.store.AppendNotes(ctx, NotesRef, map[string][]string{status.Commit: {line}}); err != nil {
		return n.describe("setting", status.Commit, status.Context, err)
	}
	return nil
}

// Latest implements Reporter: the newest note of the context by its own time,
// among those of this cluster. Lines that are none of ours are skipped.
func (n notes) Latest(ctx context.Context, commit, context string) (Status, bool, error) {
	lines, err := n.store.Notes(ctx, NotesRef, commit)
	if err != nil {
		return Status{}, false, n.describe("reading", commit, context, err)
	}
	name := n.row.fit(Status{Context: context}).Context
	var latest Note
	found := false
	for _, line := range lines {
		note, err := ParseNote(commit, line)
		if err != nil || note.Context != name || note.Cluster != n.cluster {
			continue
		}
		if !found || note.newer(latest) {
			latest, found = note, true
		}
	}
	return latest.Status, found, nil
}

// Fit implements Reporter.
func (n notes) Fit(status Status) Status { return n.row.fit(status) }

// describe says which note an error is about, and what a caller can do.
func (n notes) describe(doing, commit, context string, err error) error {
	if kind := kindOfGit(err); !errors.Is(err, kind) {
		err = fmt.Errorf("%w: %w", kind, err)
	}
	return fmt.Errorf("%s note %q of commit %.7s in %s: %w", doing, context, commit, n.repository, err)
}

// kindOfGit returns what a store's error wraps already, or the sentinel that
// fits it.
func kindOfGit(err error) error {
	var limited *RateLimitedError
	switch {
	case errors.As(err, &limited):
		return limited
	case errors.Is(err, ErrUnauthorized):
		return ErrUnauthorized
	case errors.Is(err, gitsource.ErrUnauthorized): // perhaps good for another repository
		return ErrForbidden
	case errors.Is(err, ErrNotFound), errors.Is(err, gitsource.ErrNotFound), errors.Is(err, gitsource.ErrCommitNotFound):
		return ErrNotFound
	case errors.Is(err, ErrRejected), errors.Is(err, gitsource.ErrNotesRejected):
		return ErrRejected
	default:
		return ErrTemporary
	}
}
