package gitsource

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/keptn/gitops/gitsource/internal/packs"
)

// maxNoteBytes bounds a note that AllNotes reads.
const maxNoteBytes = 1 << 20

// CommitNotes are the lines of the note of one commit.
type CommitNotes struct {
	// Commit is the full object name of what the note is about. Nobody says that there is
	// such a commit: it may be gone, or never have been.
	Commit string
	// Lines are sorted, each once, and none is empty.
	Lines []string
}

// AllNotes returns the notes of all commits as they are in the remote now, sorted by the
// commits' object names; notesRef is as of [Repository.Notes], and none exist if the ref
// does not. It takes one request for the notes that are not here yet, however many they
// are, and one note at a time is in memory, with the object names of all.
//
// A note of more than 1 MiB, or the size limit for files if that is less, comes as an
// [ErrTooLarge] together with its commit, and the iteration goes on. It ends after an
// error without a commit, such as ErrTooLarge for more than a million notes.
func (r *Repository) AllNotes(ctx context.Context, notesRef string) iter.Seq2[CommitNotes, error] {
	return func(yield func(CommitNotes, error) bool) {
		if err := r.allNotes(ctx, notesRef, yield); err != nil {
			yield(CommitNotes{}, err)
		}
	}
}

func (r *Repository) allNotes(ctx context.Context, notesRef string, yield func(CommitNotes, error) bool) error {
	name, err := notesName(notesRef)
	if err != nil {
		return err
	}
	tip, err := r.tipOf(ctx, name)
	if err != nil || tip.IsZero() {
		return err
	}
	v, generation := r.view(ctx, tip), r.mirror.generationNow()
	all, err := v.noteList()
	if err != nil {
		return r.explain(err)
	}
	if err := v.fetchNoteList(all); err != nil {
		return r.explain(err)
	}
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].commit == all[0].commit {
			n++
		}
		lines, err := v.shortNote(all[:n], generation)
		if err != nil && !errors.Is(err, ErrTooLarge) {
			return r.explain(err)
		}
		if !yield(CommitNotes{Commit: all[0].commit.String(), Lines: lines}, r.explain(err)) {
			return nil
		}
		all = all[n:]
	}
	return nil
}

// A noteName says where the note of a commit is, or a part of it.
type noteName struct{ commit, blob plumbing.Hash }

// noteList lists the notes at the view's root, sorted by commit.
func (v view) noteList() ([]noteName, error) {
	var all []noteName
	err := v.walkNotes(noteVisitor{
		read:  func(plumbing.Hash) {},
		note:  func(commit string, blob plumbing.Hash) { all = append(all, noteName{plumbing.NewHash(commit), blob}) },
		other: func(string, entry) {},
	})
	slices.SortFunc(all, func(a, b noteName) int {
		return cmp.Or(bytes.Compare(a.commit[:], b.commit[:]), bytes.Compare(a.blob[:], b.blob[:]))
	})
	return slices.Compact(all), err
}

// fetchNoteList fetches the notes that are not here, in one request.
func (v view) fetchNoteList(all []noteName) error {
	c, err := v.commit(v.root)
	if err != nil {
		return err
	}
	blobs := make([]plumbing.Hash, len(all))
	for i, n := range all {
		blobs[i] = n.blob
	}
	return v.fetchMissing(blobs, []plumbing.Hash{c.Tree})
}

// shortNote reads the note of a commit. All notes were fetched, so that one which is not
// here is too large, unless the mirror was rebuilt since the given generation.
func (v view) shortNote(parts []noteName, generation int) ([]string, error) {
	var content []byte
	for _, part := range parts {
		limit := min(maxNoteBytes, v.r.mirror.store.maxFileBytes) - int64(len(content))
		err := v.r.read(v.ctx, v.root, func(db *packs.DB) error {
			blob, err := db.Blob(part.blob, limit)
			if errors.Is(err, packs.ErrMissing) && v.r.mirror.generationNow() == generation {
				return fmt.Errorf("%w: the limit for a file is %d bytes", ErrTooLarge, v.r.mirror.store.maxFileBytes)
			}
			content = append(append(content, blob...), '\n')
			return err
		})
		if errors.Is(err, packs.ErrTooLarge) || errors.Is(err, ErrTooLarge) {
			return nil, fmt.Errorf("%w: note of commit %s: %w", ErrTooLarge, part.commit, err)
		}
		if err != nil {
			return nil, err
		}
	}
	return sortUnique(strings.Split(string(content), "\n")), nil
}
