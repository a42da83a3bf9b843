package gitsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"github.com/keptn/gitops/gitsource/internal/packs"
)

// A view reads objects that one commit leads to.
type view struct {
	ctx  context.Context
	r    *Repository
	root plumbing.Hash
	// shallow are the commits at which history breaks off.
	shallow func() ([]plumbing.Hash, error)
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
	hash, tree plumbing.Hash
	parents    []plumbing.Hash // none at which a shallow history breaks off
	object     *object.Commit
}

// entry is what a tree says about one name.
type entry struct {
	name string
	mode filemode.FileMode
	hash plumbing.Hash
}

func (v view) commit(h plumbing.Hash) (node, error) {
	n := node{hash: h}
	err := v.r.read(v.ctx, v.root, func(db *packs.DB) (err error) {
		n.object, err = db.Commit(h)
		return err
	})
	if err != nil {
		return node{}, err
	}
	n.tree, n.parents = n.object.TreeHash, n.object.ParentHashes
	shallow, err := v.shallow()
	if slices.Contains(shallow, h) {
		n.parents = nil
	}
	return n, err
}

func (v view) tree(h plumbing.Hash) ([]entry, error) {
	if err := context.Cause(v.ctx); err != nil {
		return nil, err
	}
	var entries []entry
	err := v.r.read(v.ctx, v.root, func(db *packs.DB) error {
		found, err := db.Tree(h)
		entries = make([]entry, 0, len(found))
		for _, e := range found {
			entries = append(entries, entry{e.Name, e.Mode, e.Hash})
		}
		return err
	})
	return entries, err
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
		if v.r.mirror.isTooLarge(h) {
			return fmt.Errorf("%w: the limit for a file is %d bytes", ErrTooLarge, v.r.mirror.store.maxFileBytes)
		}
		if err := v.r.fetchBlobs(v.ctx, v.root, []plumbing.Hash{h}, nil); err != nil {
			return err
		}
		return use(db)
	})
	if errors.Is(err, packs.ErrTooLarge) && !errors.Is(err, ErrTooLarge) {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return err
}

// maxDepth bounds folders within folders. No file system has paths that deep.
const maxDepth = 2000

// lookup finds what a clean, slash-separated path names in a tree; "." is the tree.
func (v view) lookup(tree plumbing.Hash, path string) (entry, bool, error) {
	at := entry{name: ".", mode: filemode.Dir, hash: tree}
	if path == "." {
		return at, true, nil
	}
	for name := range strings.SplitSeq(path, "/") {
		if at.mode != filemode.Dir {
			return entry{}, false, nil
		}
		entries, err := v.tree(at.hash)
		if err != nil {
			return entry{}, false, err
		}
		i := slices.IndexFunc(entries, func(e entry) bool { return e.name == name })
		if i < 0 {
			return entry{}, false, nil
		}
		at = entries[i]
	}
	return at, true, nil
}
