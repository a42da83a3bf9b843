package gitsource

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/keptn/gitops/gitsource/internal/packs"
)

// A view reads objects that one commit leads to.
type view struct {
	ctx  context.Context
	r    *Repository
	root plumbing.Hash
	// shallow are the commits at which history breaks off.
	shallow func() ([]plumbing.Hash, error)
	// absent brings a tree that is not here, and what else will be needed; nil brings that
	// tree alone.
	absent func(tree plumbing.Hash) error
}

func (r *Repository) view(ctx context.Context, root plumbing.Hash) view {
	v := view{ctx: ctx, r: r, root: root, shallow: r.mirror.shallow}
	if r.mirror.local != nil {
		v.shallow = sync.OnceValues(r.mirror.local.shallow)
	}
	return v
}

// node is a commit as the history is walked.
type node struct {
	*packs.Commit
	hash    plumbing.Hash
	parents []plumbing.Hash // none at which a shallow history breaks off
}

// entry is what a tree says about one name.
type entry struct {
	name string
	mode filemode.FileMode
	hash plumbing.Hash
}

// commit reads a commit, from memory if it was read lately.
func (v view) commit(h plumbing.Hash) (node, error) {
	n := node{hash: h}
	commits := v.r.mirror.commits
	err := v.r.read(v.ctx, v.root, func(db *packs.DB) (err error) {
		var known bool
		if n.Commit, known = commits.Get(h); known {
			return nil
		}
		if n.Commit, err = db.Commit(h); err == nil {
			commits.Put(h, n.Commit, costOf(n.Commit))
		}
		return err
	})
	if err != nil {
		return node{}, err
	}
	n.parents = n.Parents
	shallow, err := v.shallow()
	if slices.Contains(shallow, h) {
		n.parents = nil
	}
	return n, err
}

// tree lists a folder, which is fetched if need be.
func (v view) tree(h plumbing.Hash) ([]entry, error) {
	var entries []entry
	err := v.withTree(h, func(db *packs.DB) error {
		found, err := db.Tree(h)
		entries = make([]entry, 0, len(found))
		for _, e := range found {
			entries = append(entries, entry{e.Name, e.Mode, e.Hash})
		}
		return err
	})
	return entries, err
}

// child finds a name in a folder, which is fetched if need be; the zero entry if it is not
// there.
func (v view) child(tree plumbing.Hash, name string) (e entry, err error) {
	err = v.withTree(tree, func(db *packs.DB) error {
		found, ok, err := db.Entry(tree, name)
		if ok {
			e = entry{found.Name, found.Mode, found.Hash}
		}
		return err
	})
	return e, err
}

func (v view) withTree(tree plumbing.Hash, use func(*packs.DB) error) error {
	if err := context.Cause(v.ctx); err != nil {
		return err
	}
	return v.r.read(v.ctx, v.root, func(db *packs.DB) error {
		err := use(db)
		if !errors.Is(err, packs.ErrMissing) {
			return err
		}
		if v.absent != nil {
			err = v.absent(tree)
		} else {
			err = v.fetchTrees([]plumbing.Hash{tree}, false)
		}
		if err != nil {
			return err
		}
		return use(db)
	})
}

// fetchTrees fetches those of some trees that are not here, in one request or in none,
// with all trees below them if need be.
func (v view) fetchTrees(trees []plumbing.Hash, below bool) error {
	var lacking []plumbing.Hash
	err := v.r.read(v.ctx, v.root, func(db *packs.DB) (err error) {
		lacking, err = missing(db, trees)
		return err
	})
	if err != nil || len(lacking) == 0 {
		return err
	}
	return v.r.fetchTrees(v.ctx, v.root, lacking, below)
}

// treesByName tells whether trees may be missing, and can be fetched then.
func (v view) treesByName() bool {
	return v.r.mirror.local == nil && v.r.mirror.mode().treesByName()
}

// fetchBelow makes sure that folders are here with all folders below them, in two requests
// at most. Of a root tree only those folders are sent that are not here, for it has most in
// common with other commits.
func (v view) fetchBelow(root bool, folders ...plumbing.Hash) error {
	if !v.treesByName() {
		return nil
	}
	if err := v.fetchTrees(folders, !root); err != nil {
		return err
	}
	var inner []plumbing.Hash
	for _, folder := range folders {
		entries, err := v.tree(folder)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.mode == filemode.Dir {
				inner = append(inner, e.hash)
			}
		}
	}
	return v.fetchTrees(unique(inner), true)
}

func (v view) has(h plumbing.Hash) (found bool, err error) {
	err = v.r.read(v.ctx, v.root, func(db *packs.DB) (err error) {
		found, err = db.Has(h)
		return err
	})
	return found, err
}

// blob reads a file, which is fetched if need be.
func (v view) blob(h plumbing.Hash) (content []byte, err error) {
	err = v.withBlob(h, func(db *packs.DB) (err error) {
		content, err = db.Blob(h, v.r.mirror.store.maxFileBytes)
		return err
	})
	return content, err
}

// blobSize says how many bytes a file has, which is fetched if need be.
func (v view) blobSize(h plumbing.Hash) (size int64, err error) {
	err = v.withBlob(h, func(db *packs.DB) (err error) {
		size, err = db.BlobSize(h)
		return err
	})
	return size, err
}

func (v view) withBlob(h plumbing.Hash, use func(*packs.DB) error) error {
	err := v.r.read(v.ctx, v.root, func(db *packs.DB) error {
		err := use(db)
		if !errors.Is(err, packs.ErrMissing) {
			return err
		}
		if large := v.r.mirror.tooLargeBy(h); large != nil {
			return large
		}
		if err := v.r.fetchBlobs(v.ctx, v.root, []plumbing.Hash{h}, nil); err != nil {
			return err
		}
		return use(db)
	})
	if errors.Is(err, packs.ErrTooLarge) && !errors.Is(err, ErrTooLarge) {
		return v.r.mirror.largeBy(err)
	}
	return err
}

// maxDepth bounds folders within folders. No file system has paths that deep.
const maxDepth = 2000

// lookup finds what a clean, slash-separated path names in a tree; "." is the tree. What
// was found lately is not looked for again.
func (v view) lookup(tree plumbing.Hash, path string) (entry, bool, error) {
	if path == "." {
		return entry{name: ".", mode: filemode.Dir, hash: tree}, true, nil
	}
	paths, at := v.r.mirror.paths, treePath{tree, path}
	if e, known := paths.Get(at); known {
		return e, e != entry{}, nil
	}
	name, rest, nested := strings.Cut(path, "/")
	e, err := v.child(tree, name)
	switch {
	case err != nil:
		return entry{}, false, err
	case nested && e.mode != filemode.Dir:
		e = entry{}
	case nested:
		if e, _, err = v.lookup(e.hash, rest); err != nil {
			return entry{}, false, err
		}
	}
	paths.Put(at, e, costOfPath+len(path))
	return e, e != entry{}, nil
}
