package gitsource

import (
	"context"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/keptn/gitops/gitsource/internal/packs"
)

// Who compares the trees of one commit goes on to others, so that trees which are not here
// are fetched for many commits at once, level by level.

const (
	// ahead and mostAhead are how many commits are looked ahead when a tree is missing, the
	// first time and at most; each time it is that many times more.
	ahead       = 256
	mostAhead   = 8192
	aheadGrowth = 4
)

// A lookahead returns the commits of a walk, and knows some of those that come.
type lookahead struct {
	next  func() (*visit, error)
	known []*visit
	err   error // that comes after the known ones
	size  int
}

// pop returns the next commit, or nil after the last.
func (l *lookahead) pop() (*visit, error) {
	if len(l.known) > 0 {
		v := l.known[0]
		l.known = l.known[1:]
		return v, nil
	}
	if l.err != nil {
		return nil, l.err
	}
	return l.next()
}

// peek returns commits that come next.
func (l *lookahead) peek(ctx context.Context) []*visit {
	l.size = min(max(ahead, aheadGrowth*l.size), mostAhead)
	for len(l.known) < l.size && l.err == nil && ctx.Err() == nil {
		v, err := l.next()
		if err != nil {
			l.err = err
		}
		if v == nil {
			break
		}
		l.known = append(l.known, v)
	}
	return l.known
}

// ancestors looks ahead from a commit to those it comes from.
func (v view) ancestors(of node) *lookahead {
	w := newWalk(v)
	begun := false
	return &lookahead{next: func() (*visit, error) {
		if !begun {
			begun = true
			if err := w.push(of.hash, false); err != nil {
				return nil, err
			}
		}
		return w.byTime()
	}}
}

// step is a commit's root tree, and that of a parent; the zero hash for none.
type step struct{ now, before plumbing.Hash }

// steps are those from the parents of a commit that changed anything.
func (v view) steps(n node) ([]step, error) {
	if len(n.parents) == 0 {
		return []step{{now: n.Tree}}, nil
	}
	var all []step
	for _, parent := range n.parents {
		p, err := v.commit(parent)
		if err != nil {
			return nil, err
		}
		if p.Tree != n.Tree {
			all = append(all, step{n.Tree, p.Tree})
		}
	}
	return all, nil
}

// stepsAhead are those of a commit and of the ones that come after it in the walk.
func (v view) stepsAhead(n node, others *lookahead) ([]step, error) {
	all, err := v.steps(n)
	for _, other := range others.peek(v.ctx) {
		if err != nil {
			return nil, err
		}
		var more []step
		more, err = v.steps(other.node)
		all = append(all, more...)
	}
	return all, err
}

// fetchAlong fetches the folders on the way to some paths in some root trees, one level of
// all of them at a time, but those where it is remembered what is at the path.
func (v view) fetchAlong(roots []plumbing.Hash, paths []string) error {
	if !v.treesByName() {
		return nil
	}
	level := map[treePath]bool{}
	for _, root := range roots {
		for _, p := range paths {
			if p = path.Clean(p); p != "." {
				level[treePath{root, p}] = true
			}
		}
	}
	for depth := 0; len(level) > 0 && depth < maxDepth; depth++ {
		var trees []plumbing.Hash
		for at := range level { // what is known needs no tree
			if _, known := v.r.mirror.paths.Get(at); known || at.tree.IsZero() {
				delete(level, at)
				continue
			}
			trees = append(trees, at.tree)
		}
		if err := v.fetchTrees(unique(trees), false); err != nil {
			return err
		}
		below, err := v.descend(level)
		if err != nil {
			return err
		}
		level = below
	}
	return nil
}

// descend follows paths into the folder that each begins with.
func (v view) descend(level map[treePath]bool) (map[treePath]bool, error) {
	below := map[treePath]bool{}
	err := v.r.read(v.ctx, v.root, func(db *packs.DB) error {
		for at := range level {
			name, rest, nested := strings.Cut(at.path, "/")
			if !nested {
				continue
			}
			e, found, err := db.Entry(at.tree, name)
			if err != nil {
				return err
			}
			if found && e.Mode == filemode.Dir {
				below[treePath{e.Hash, rest}] = true
			}
		}
		return nil
	})
	return below, err
}

// fetchChanged fetches the folders that differ between the two trees of each step, one
// level of all steps at a time. The first step counts most: the others are given up where
// they want too much.
func (v view) fetchChanged(steps []step) error {
	if !v.treesByName() || len(steps) == 0 {
		return nil
	}
	first, others := steps[:1], steps[1:]
	seen := map[step]bool{}
	for depth := 0; len(first)+len(others) > 0 && depth < maxDepth; depth++ {
		if len(first)+len(others) > maxWants {
			others = nil
		}
		if err := v.fetchTrees(treesIn(first, others), false); err != nil {
			return err
		}
		var err error
		if first, err = v.changedFolders(first, seen); err != nil {
			return err
		}
		if others, err = v.changedFolders(others, seen); err != nil {
			return err
		}
	}
	return nil
}

// treesIn are the trees of some steps.
func treesIn(all ...[]step) []plumbing.Hash {
	var trees []plumbing.Hash
	for _, steps := range all {
		for _, s := range steps {
			trees = append(trees, s.now, s.before)
		}
	}
	trees = unique(trees)
	if len(trees) > 0 && trees[0].IsZero() {
		trees = trees[1:]
	}
	return trees
}

// changedFolders are the folders in some folders that are other than before, but those
// seen.
func (v view) changedFolders(steps []step, seen map[step]bool) ([]step, error) {
	var changed []step
	for _, s := range steps {
		inner, err := v.folderSteps(s)
		if err != nil {
			return nil, err
		}
		for _, s := range inner {
			if s.now != s.before && !seen[s] {
				seen[s] = true
				changed = append(changed, s)
			}
		}
	}
	return changed, nil
}

// folderSteps are the steps of the folders in a folder, by their names.
func (v view) folderSteps(s step) (map[string]step, error) {
	folders := map[string]step{}
	for side, tree := range []plumbing.Hash{s.now, s.before} {
		if tree.IsZero() {
			continue
		}
		entries, err := v.tree(tree)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			at := folders[e.name]
			switch {
			case e.mode != filemode.Dir:
				continue
			case side == 0:
				at.now = e.hash
			default:
				at.before = e.hash
			}
			folders[e.name] = at
		}
	}
	return folders, nil
}
