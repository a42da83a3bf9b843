package gitsource

import (
	"context"
	"fmt"
	"path"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// ChangedPaths lists the files that a commit added, changed or deleted compared with
// its first parent, sorted; all files of a commit without parents. A rename is a
// deletion and an addition. No file is read: object names are compared.
func (r *Repository) ChangedPaths(ctx context.Context, sha string) ([]string, error) {
	root, err := parseCommit(sha)
	if err != nil {
		return nil, err
	}
	v := r.view(ctx, root)
	c, err := v.commit(root)
	if err != nil {
		return nil, r.explain(err)
	}
	before := entry{}
	if len(c.parents) > 0 {
		p, err := v.commit(c.parents[0])
		if err != nil {
			return nil, r.explain(err)
		}
		before = entry{mode: filemode.Dir, hash: p.Tree}
	}
	d := &difference{v: v.fetchingChanges(c)}
	err = d.add("", before, entry{mode: filemode.Dir, hash: c.Tree}, 0)
	slices.Sort(d.paths)
	return d.paths, r.explain(err)
}

// fetchingChanges is a view that fetches, where a tree is missing, all that changed in a
// commit and its ancestors.
func (v view) fetchingChanges(c node) view {
	inner, begun := v, false
	v.absent = func(tree plumbing.Hash) error {
		if !begun {
			begun = true
			c.parents = c.parents[:min(1, len(c.parents))]
			steps, err := inner.stepsAhead(c, inner.ancestors(c))
			if err != nil {
				return err
			}
			if err := inner.fetchChanged(steps); err != nil {
				return err
			}
		}
		return inner.fetchTrees([]plumbing.Hash{tree}, false)
	}
	return v
}

// maxChangedPaths bounds what ChangedPaths lists, for a small tree can name itself in
// itself many times over.
const maxChangedPaths = 300_000

// A difference collects the files in which two trees differ.
type difference struct {
	v     view
	paths []string
	// seen counts the entries compared.
	seen int
}

// add collects the files at and below p that differ; an entry may be the zero one, for
// nothing there.
func (d *difference) add(p string, before, after entry, depth int) error {
	if before.mode == after.mode && before.hash == after.hash {
		return nil
	}
	if d.seen++; d.seen > maxChangedPaths || depth > maxDepth {
		return fmt.Errorf("%w: more than %d changed files, or %d folders within each other", ErrTooLarge, maxChangedPaths, maxDepth)
	}
	if before.isFile() || after.isFile() {
		d.paths = append(d.paths, p)
	}
	pairs := map[string][2]entry{}
	for side, e := range [2]entry{before, after} {
		if err := d.collect(pairs, side, e); err != nil {
			return err
		}
	}
	for name, pair := range pairs {
		if err := d.add(below(p, name), pair[0], pair[1], depth+1); err != nil {
			return err
		}
	}
	return nil
}

// collect enters a folder's entries on one side of the pairs; anything else has none.
func (d *difference) collect(pairs map[string][2]entry, side int, e entry) error {
	if e.mode != filemode.Dir {
		return nil
	}
	entries, err := d.v.tree(e.hash)
	for _, child := range entries {
		pair := pairs[child.name]
		pair[side] = child
		pairs[child.name] = pair
	}
	return err
}

// isFile tells whether an entry is there and no folder.
func (e entry) isFile() bool { return e.mode != filemode.Dir && e.mode != filemode.Empty }

// below joins a path and a name as they are: a hostile tree may have ".." in it.
func below(p, name string) string {
	if p == "" {
		return name
	}
	return p + "/" + name
}

// Changes tells whether a commit changed any of these files or folders ("." for the
// whole tree) compared with its first parent; if it has none, whether any exists. It
// compares a few object names, however large the folders are.
func (r *Repository) Changes(ctx context.Context, sha string, paths ...string) (bool, error) {
	root, err := parseCommit(sha)
	if err != nil {
		return false, err
	}
	v := r.view(ctx, root)
	c, err := v.commit(root)
	if err != nil {
		return false, r.explain(err)
	}
	c.parents = c.parents[:min(1, len(c.parents))]
	changed, err := newPathFilter(v, paths, v.ancestors(c)).changes(c)
	return changed, r.explain(err)
}

// A pathFilter tells which commits change any of some paths. Where a tree is missing it
// fetches those of the commits that come next as well.
type pathFilter struct {
	v      view
	paths  []string
	now    node
	coming *lookahead
}

func newPathFilter(v view, paths []string, coming *lookahead) *pathFilter {
	f := &pathFilter{v: v, coming: coming}
	for _, p := range paths {
		f.paths = append(f.paths, path.Clean(p))
	}
	f.v.absent = func(tree plumbing.Hash) error {
		steps, err := v.stepsAhead(f.now, f.coming)
		if err != nil {
			return err
		}
		if err := v.fetchAlong(treesIn(steps), f.paths); err != nil {
			return err
		}
		return v.fetchTrees([]plumbing.Hash{tree}, false)
	}
	return f
}

// changes tells whether the commit differs in the paths from each of its parents, or,
// without parents, has any of them. (Git calls its opposite TREESAME to a parent.)
func (f *pathFilter) changes(c node) (bool, error) {
	f.now = c
	if len(c.parents) == 0 {
		return f.differ(c.Tree, plumbing.ZeroHash)
	}
	for _, parent := range c.parents {
		p, err := f.v.commit(parent)
		if err != nil {
			return false, err
		}
		if differ, err := f.differ(c.Tree, p.Tree); !differ || err != nil {
			return false, err
		}
	}
	return true, nil
}

// differ tells whether any of the paths is something else in one tree than in the
// other. The zero tree is empty.
func (f *pathFilter) differ(now, before plumbing.Hash) (bool, error) {
	if now == before {
		return false, nil
	}
	for _, p := range f.paths {
		a, _, err := f.v.lookup(now, p)
		if err != nil {
			return false, err
		}
		var b entry
		if !before.IsZero() {
			if b, _, err = f.v.lookup(before, p); err != nil {
				return false, err
			}
		}
		if a.mode != b.mode || a.hash != b.hash {
			return true, nil
		}
	}
	return false, nil
}
