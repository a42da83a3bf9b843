package gitsource

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// local is a repository on this machine, read in place: bare, or with a work tree,
// which may be a linked one.
type local struct{ path string }

func (l *local) open() (*filesystem.Storage, error) {
	if _, err := os.Stat(l.path); errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("%w: %w", ErrUnauthorized, err)
	}
	r, err := git.PlainOpenWithOptions(l.path, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil, fmt.Errorf("%w: %s is no Git repository", ErrNotFound, l.path)
	}
	if errors.Is(err, git.ErrUnknownExtension) && strings.Contains(err.Error(), "objectformat") {
		return nil, fmt.Errorf("%w: %s has an object format of its own", ErrObjectFormat, l.path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the Git repository %s: %w", l.path, err)
	}
	s, ok := r.Storer.(*filesystem.Storage)
	if !ok {
		return nil, fmt.Errorf("opening the Git repository %s: unexpected storage %T", l.path, r.Storer)
	}
	return s, nil
}

// refs reads what the refs are at now.
func (l *local) refs() (refs, error) {
	s, err := l.open()
	if err != nil {
		return refs{}, err
	}
	defer func() { _ = s.Close() }() // nothing was written
	all := refs{at: map[string]plumbing.Hash{}, tags: map[string]plumbing.Hash{}}
	iter, err := s.IterReferences()
	if err != nil {
		return refs{}, err
	}
	err = iter.ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() == plumbing.HashReference {
			name, commit := ref.Name().String(), peel(s, ref.Hash())
			if all.at[name] = commit; commit != ref.Hash() {
				all.tags[name] = ref.Hash()
			}
		}
		return nil
	})
	if err != nil {
		return refs{}, err
	}
	head, err := s.Reference(plumbing.HEAD)
	switch {
	case err != nil:
	case head.Type() == plumbing.HashReference:
		all.head = plumbing.HEAD.String()
	case all.at[head.Target().String()] != plumbing.ZeroHash:
		all.head = head.Target().String()
	}
	if len(all.at) == 0 {
		return refs{}, ErrEmptyRepository
	}
	return all, nil
}

// peel follows annotated tags to what they are about.
func peel(s storer.EncodedObjectStorer, h plumbing.Hash) plumbing.Hash {
	const nested = 10
	for range nested {
		tag, err := object.GetTag(s, h)
		if err != nil {
			break
		}
		h = tag.Target
	}
	return h
}

// shallow are the commits at which a shallow clone breaks off.
func (l *local) shallow() ([]plumbing.Hash, error) {
	if l.isWhole() {
		return nil, nil
	}
	s, err := l.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	return s.Shallow()
}

// isWhole says whether the repository is plainly no shallow clone: all but those have no
// file of that name. Of a linked work tree it is not said here.
func (l *local) isWhole() bool {
	dir := filepath.Join(l.path, ".git")
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		dir = l.path
	case err != nil || !info.IsDir():
		return false
	}
	for _, name := range []string{"shallow", "commondir"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	return true
}
