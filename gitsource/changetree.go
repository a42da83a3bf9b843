package gitsource

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// rewrite returns a folder with files, by their paths below it, written over it. Objects
// receives what is new of it; at is where the folder is, and its entry the zero one if
// it is not there yet.
func (v view) rewrite(objects *objectSet, at string, folder entry, files map[string][]byte) (plumbing.Hash, error) {
	var entries []entry
	if !folder.hash.IsZero() {
		var err error
		if entries, err = v.tree(folder.hash); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	changed := folder.hash.IsZero()
	for name, own := range byFirst(files) {
		i := slices.IndexFunc(entries, func(e entry) bool { return e.name == name })
		if i < 0 {
			entries, i = append(entries, entry{name: name}), len(entries)
		}
		after, err := v.replace(objects, below(at, name), entries[i], own)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		changed = changed || after != entries[i]
		entries[i] = after
	}
	if !changed {
		return folder.hash, nil
	}
	return objects.folder(entries)
}

// replace returns the entry with new content: a file's own, under the path "", or that
// of files below a folder.
func (v view) replace(objects *objectSet, at string, e entry, files map[string][]byte) (entry, error) {
	content, isFile := files[""]
	var err error
	switch {
	case isFile && len(files) > 1:
		return entry{}, fmt.Errorf("%w: %s cannot be both a file and a folder", ErrInvalidProposal, at)
	case isFile && !writable(e.mode):
		return entry{}, fmt.Errorf("%w: %s is a folder, a symbolic link or a submodule, and not to be written as a file", ErrInvalidProposal, at)
	case !isFile && e.mode != filemode.Dir && e.mode != filemode.Empty:
		return entry{}, fmt.Errorf("%w: %s is no folder, and there can be no file below it", ErrInvalidProposal, at)
	case !isFile:
		e.hash, err = v.rewrite(objects, at, e, files)
		e.mode = filemode.Dir
		return e, err
	case plumbing.ComputeHash(plumbing.BlobObject, content) == e.hash:
		return e, nil
	}
	if e.mode == filemode.Empty {
		e.mode = filemode.Regular
	}
	e.hash, err = objects.blob(string(content))
	return e, err
}

// writable says whether an entry is a file, or nothing yet.
func writable(mode filemode.FileMode) bool {
	return mode == filemode.Empty || mode == filemode.Regular || mode == filemode.Executable || mode == filemode.Deprecated
}

// byFirst groups files by the first element of their paths; what has no other is under
// the path "".
func byFirst(files map[string][]byte) map[string]map[string][]byte {
	groups := map[string]map[string][]byte{}
	for name, content := range files {
		first, rest, _ := strings.Cut(name, "/")
		if groups[first] == nil {
			groups[first] = map[string][]byte{}
		}
		groups[first][rest] = content
	}
	return groups
}

// folder makes a tree of entries.
func (s *objectSet) folder(entries []entry) (plumbing.Hash, error) {
	t := &object.Tree{}
	for _, e := range entries {
		t.Entries = append(t.Entries, object.TreeEntry{Name: e.name, Mode: e.mode, Hash: e.hash})
	}
	sort.Sort(object.TreeEntrySorter(t.Entries))
	return s.add(t.Encode)
}
