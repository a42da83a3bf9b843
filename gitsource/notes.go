package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/keptn/gitops/gitsource/internal/wire"
)

// notesMessage is that of a commit of notes.
const notesMessage = "Notes added by keptn\n"

// notesAttempts bounds how often notes are pushed when others push at the same time.
const notesAttempts = 10

// Notes returns the lines of a commit's note, none if there is no note, as they are in
// the remote now. notesRef is short (keptn) or full (refs/notes/keptn).
func (r *Repository) Notes(ctx context.Context, notesRef, commit string) ([]string, error) {
	name, err := notesName(notesRef)
	if err != nil {
		return nil, err
	}
	if _, err := parseCommit(commit); err != nil {
		return nil, err
	}
	tip, err := r.tipOf(ctx, name)
	if err != nil || tip.IsZero() {
		return nil, err
	}
	v := r.view(ctx, tip)
	tree, err := v.notes()
	if err != nil {
		return nil, r.explain(err)
	}
	lines, err := v.noteLines(tree.notes[commit])
	return lines, r.explain(err)
}

// AppendNotes adds lines to the notes of commits, by full object name, and pushes them
// without force. Each note holds its lines sorted and once, as Git's merge strategy
// cat_sort_uniq leaves them; if somebody else pushes in between, theirs are kept and
// ours added again. Lines already there push nothing. If the remote does not take the
// notes after all, the error is [ErrNotesRejected] with its reason.
func (r *Repository) AppendNotes(ctx context.Context, notesRef string, lines map[string][]string) error {
	name, err := notesName(notesRef)
	if err != nil {
		return err
	}
	if err := checkNotes(lines); err != nil {
		return err
	}
	if err := r.mirror.notes.Acquire(ctx, 1); err != nil {
		return context.Cause(ctx)
	}
	defer r.mirror.notes.Release(1)

	var before plumbing.Hash
	for attempt, idle := 1, 0; ; attempt++ {
		tip, err := r.tipOf(ctx, name)
		if err != nil {
			return err
		}
		err = r.appendTo(ctx, name, tip, lines)
		if !errors.Is(err, wire.ErrRejected) {
			return r.explain(err)
		}
		// A lock may be the reason, so a ref that did not move gets a second chance.
		if idle++; attempt == 1 || tip != before {
			idle = 0
		}
		if before = tip; idle > 1 || attempt == notesAttempts {
			return r.explain(fmt.Errorf("%w: after %d attempts: %w", ErrNotesRejected, attempt, err))
		}
	}
}

func notesName(ref string) (plumbing.ReferenceName, error) {
	name := plumbing.ReferenceName("refs/notes/" + strings.TrimPrefix(ref, "refs/notes/"))
	if err := name.Validate(); err != nil || ref == "" {
		return "", fmt.Errorf("notes ref %q: not the name of a ref below refs/notes/", ref)
	}
	return name, nil
}

func checkNotes(lines map[string][]string) error {
	for _, commit := range slices.Sorted(maps.Keys(lines)) {
		if _, err := parseCommit(commit); err != nil {
			return err
		}
		for _, line := range lines[commit] {
			if strings.ContainsAny(line, "\n\x00") {
				return fmt.Errorf("note of commit %s: a line holds a line break or NUL", commit)
			}
		}
	}
	return nil
}

// tipOf is what the ref is at now, the zero hash if it does not exist.
func (r *Repository) tipOf(ctx context.Context, name plumbing.ReferenceName) (plumbing.Hash, error) {
	rev, err := r.Fetch(ctx, Ref{Name: name.String()})
	if errors.Is(err, ErrRefNotFound) || errors.Is(err, ErrEmptyRepository) {
		return plumbing.ZeroHash, nil
	}
	return plumbing.NewHash(rev.Commit), err
}

// appendTo makes one attempt on top of tip.
func (r *Repository) appendTo(ctx context.Context, name plumbing.ReferenceName, tip plumbing.Hash, lines map[string][]string) error {
	v := r.view(ctx, tip)
	tree := newNoteTree()
	if !tip.IsZero() {
		var err error
		if tree, err = v.notes(); err != nil {
			return err
		}
	}
	objects, err := v.addNotes(tree, lines)
	if err != nil || len(objects.all) == 0 {
		return err
	}
	root, err := objects.tree(tree.entries())
	if err != nil {
		return err
	}
	o := r.mirror.store.options
	commit, err := objects.commit(root, tip, Signature{Name: o.name, Email: o.email, When: o.now()}, notesMessage)
	if err != nil {
		return err
	}
	return r.move(ctx, name, tip, commit, objects, tree.trees)
}

// move has a ref that is at old point at a commit, and hands over the objects that are
// made for it but those that the remote is known to have. It is wire.ErrRejected if the
// ref is somewhere else by now, or the remote does not want it there.
func (r *Repository) move(ctx context.Context, name plumbing.ReferenceName, old, commit plumbing.Hash, objects *objectSet, has map[plumbing.Hash]bool) error {
	if r.mirror.local != nil {
		return r.mirror.local.move(name, old, commit, objects)
	}
	pack, err := objects.pack(has)
	if err != nil {
		return err
	}
	return r.push(ctx, wire.Update{Ref: name, Old: old, New: commit, Pack: pack})
}

// addNotes merges lines into the notes, several blobs for one commit into one, and
// returns the blobs that this makes.
func (v view) addNotes(tree *noteTree, lines map[string][]string) (*objectSet, error) {
	touched := slices.Collect(maps.Keys(lines))
	for commit, blobs := range tree.notes {
		if len(blobs) > 1 {
			touched = append(touched, commit)
		}
	}
	if err := v.fetchNotes(tree, touched); err != nil {
		return nil, err
	}
	objects := newObjectSet()
	for _, commit := range sortUnique(touched) {
		before, err := v.noteLines(tree.notes[commit])
		if err != nil {
			return nil, err
		}
		after := sortUnique(slices.Concat(before, lines[commit]))
		if slices.Equal(before, after) && len(tree.notes[commit]) <= 1 {
			continue
		}
		blob, err := objects.blob(strings.Join(after, "\n") + "\n")
		if err != nil {
			return nil, err
		}
		tree.notes[commit] = []plumbing.Hash{blob}
	}
	return objects, nil
}

// fetchNotes fetches the notes of commits that are not here, in one request.
func (v view) fetchNotes(tree *noteTree, commits []string) error {
	var blobs []plumbing.Hash
	for _, commit := range commits {
		blobs = append(blobs, tree.notes[commit]...)
	}
	return v.fetchMissing(blobs, nil)
}

// noteLines reads a note, which is one blob, or several if a tree has it under more
// than one path.
func (v view) noteLines(blobs []plumbing.Hash) ([]string, error) {
	var lines []string
	for _, h := range blobs {
		content, err := v.blob(h)
		if err != nil {
			return nil, err
		}
		lines = append(lines, strings.Split(string(content), "\n")...)
	}
	return sortUnique(lines), nil
}

// sortUnique sorts lines by their bytes and drops repetitions and empty ones.
func sortUnique(lines []string) []string {
	slices.Sort(lines)
	lines = slices.Compact(lines)
	return slices.DeleteFunc(lines, func(l string) bool { return l == "" })
}

func (r *Repository) push(ctx context.Context, u wire.Update) error {
	ctx, release, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer release()
	db, err := r.mirror.objects()
	if err != nil {
		return err
	}
	if err := wire.Push(ctx, r.target, u); err != nil {
		return err
	}
	if err := db.Ingest(maxObjectBytes, func(w io.Writer) error {
		_, err := w.Write(u.Pack)
		return err
	}); err != nil {
		return err
	}
	return errors.Join(r.mirror.remember(u.Ref.String(), u.New), db.Compact())
}

// move moves a ref of a repository on this machine. The ref is locked as Git does it, so
// that no other process moves it at the same time.
func (l *local) move(name plumbing.ReferenceName, old, commit plumbing.Hash, objects *objectSet) (err error) {
	s, err := l.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, o := range objects.all {
		if _, err := s.SetEncodedObject(o); err != nil {
			return fmt.Errorf("writing Git objects: %w", err)
		}
	}
	lock := name.String() + ".lock"
	f, err := s.Filesystem().OpenFile(lock, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return fmt.Errorf("%w: locking %s: %w", wire.ErrRejected, name, err)
	}
	defer func() { err = errors.Join(err, f.Close(), s.Filesystem().Remove(lock)) }()
	if now, err := tipOf(s, name); err != nil || now != old {
		return errors.Join(fmt.Errorf("%w: %s is at %s, not at %s", wire.ErrRejected, name, now, old), err)
	}
	return s.SetReference(plumbing.NewHashReference(name, commit))
}

func tipOf(s *filesystem.Storage, name plumbing.ReferenceName) (plumbing.Hash, error) {
	ref, err := s.Reference(name)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return plumbing.ZeroHash, nil
	}
	if err != nil {
		return plumbing.ZeroHash, err
	}
	return ref.Hash(), nil
}
