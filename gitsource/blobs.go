package gitsource

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/keptn/gitops/gitsource/internal/packs"
	"github.com/keptn/gitops/gitsource/internal/wire"
)

// prefetchBytes is how much the files of a Prefetch may have together before those
// that are too large are sorted out.
const prefetchBytes = 4 << 20

// Prefetch fetches the files at and below the given paths of a commit ("." for all)
// that are not here yet, in one request, or in none. Files over the size limit are
// left out. A path that does not exist is no error. Reading does not need it: it only
// saves a request per file.
func (r *Repository) Prefetch(ctx context.Context, commit string, paths ...string) error {
	root, err := parseCommit(commit)
	if err != nil {
		return err
	}
	return r.explain(r.view(ctx, root).prefetch(paths))
}

func (v view) prefetch(paths []string) error {
	c, err := v.commit(v.root)
	if err != nil {
		return err
	}
	var missing, folders []plumbing.Hash
	for _, p := range paths {
		e, found, err := v.lookup(c.tree, path.Clean(p))
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		files, err := v.missingBelow(e, map[plumbing.Hash]bool{}, 0)
		if err != nil {
			return err
		}
		missing = append(missing, files...)
		if e.mode == filemode.Dir && len(files) > 0 {
			folders = append(folders, e.hash)
		}
	}
	if missing = unique(missing); len(missing) == 0 {
		return nil
	}
	return v.r.fetchBlobs(v.ctx, v.root, missing, unique(folders))
}

// missingBelow lists the files at and below an entry that are not here. A folder seen
// before is not looked at again, however often it appears.
func (v view) missingBelow(e entry, seen map[plumbing.Hash]bool, depth int) ([]plumbing.Hash, error) {
	switch {
	case e.mode == filemode.Submodule || seen[e.hash]:
		return nil, nil
	case depth > maxDepth:
		return nil, fmt.Errorf("%w: more than %d folders within each other", ErrTooLarge, maxDepth)
	case e.mode == filemode.Dir:
		seen[e.hash] = true
	default:
		found, err := v.has(e.hash)
		if err != nil || found || v.r.mirror.isTooLarge(e.hash) {
			return nil, err
		}
		return []plumbing.Hash{e.hash}, nil
	}
	children, err := v.tree(e.hash)
	if err != nil {
		return nil, err
	}
	var missing []plumbing.Hash
	for _, child := range children {
		files, err := v.missingBelow(child, seen, depth+1)
		if err != nil {
			return nil, err
		}
		missing = append(missing, files...)
	}
	return missing, nil
}

// fetchBlobs fetches files, which root leads to. If there are folders, too, and the
// files are very large together, what is below the folders is fetched instead, the
// files over the limit left out.
func (r *Repository) fetchBlobs(ctx context.Context, root plumbing.Hash, blobs, folders []plumbing.Hash) error {
	if r.mirror.local != nil {
		return fmt.Errorf("%w: %d files are not in this partial clone; run git fetch --refetch there", packs.ErrMissing, len(blobs))
	}
	ctx, release, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer release()
	db, err := r.mirror.objects()
	if err != nil {
		return err
	}
	blobs = slices.DeleteFunc(blobs, func(h plumbing.Hash) bool {
		found, err := db.Has(h)
		return found && err == nil
	})
	if len(blobs) == 0 {
		return nil
	}
	if r.mirror.snapshot().Unfiltered {
		return fmt.Errorf("%w: %s, though all files were fetched", packs.ErrMissing, blobs[0])
	}
	if err := r.live(ctx); err != nil {
		return err
	}
	err = r.receiveBlobs(ctx, blobs, folders)
	if errors.Is(err, wire.ErrRefused) {
		return r.fetchUnfiltered(ctx, root)
	}
	return err
}

func (r *Repository) receiveBlobs(ctx context.Context, blobs, folders []plumbing.Hash) error {
	limit := r.mirror.store.maxFileBytes
	most := int64(len(blobs)) * (limit + limit>>8 + 4096) // incompressible content grows a little
	if len(folders) > 0 {
		most = min(most, prefetchBytes)
	}
	err := r.receive(ctx, wire.Request{Wants: blobs, Limit: min(most, r.mirror.store.maxFetchBytes)}, limit)
	if !errors.Is(err, ErrTooLarge) && !errors.Is(err, packs.ErrTooLarge) || errors.Is(err, errFull) {
		return err
	}
	if len(folders) > 0 {
		return r.receiveFolders(ctx, blobs, folders)
	}
	if len(blobs) == 1 {
		r.mirror.markTooLarge(blobs[0])
	}
	return fmt.Errorf("%w: the limit for a file is %d bytes: %w", ErrTooLarge, limit, err)
}

// receiveFolders fetches the files below folders that are within the limit, and
// remembers of the given blobs those that are not.
func (r *Repository) receiveFolders(ctx context.Context, blobs, folders []plumbing.Hash) error {
	if err := r.live(ctx); err != nil {
		return err
	}
	limit := r.mirror.store.maxFileBytes
	err := r.receive(ctx, wire.Request{
		Wants:  folders,
		Filter: fmt.Sprintf("blob:limit=%d", limit+1), // leaves out files of at least that size
		Limit:  r.mirror.store.maxFetchBytes,
	}, max(limit, maxObjectBytes))
	if err != nil {
		return err
	}
	for _, h := range blobs {
		if found, err := r.mirror.db.Has(h); err == nil && !found {
			r.mirror.markTooLarge(h)
		}
	}
	return nil
}

// fetchUnfiltered starts over with all files, for this remote does not send single ones.
func (r *Repository) fetchUnfiltered(ctx context.Context, root plumbing.Hash) error {
	if err := r.mirror.reset(); err != nil {
		return err
	}
	if err := r.mirror.update(func(s *state) { s.Unfiltered = true }); err != nil {
		return err
	}
	return r.bring(ctx, root)
}
