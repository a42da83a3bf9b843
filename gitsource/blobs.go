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

// maxWants is how many files are asked for one by one where there is a folder that
// they are all in: 50 bytes each.
const maxWants = 10_000

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
	entries, err := v.entries(c.Tree, paths)
	if err != nil {
		return err
	}
	var lacking, folders []plumbing.Hash
	for _, e := range entries {
		files, err := v.missingBelow(e, map[plumbing.Hash]bool{}, 0)
		if err != nil {
			return err
		}
		lacking = append(lacking, files...)
		if e.mode == filemode.Dir && len(files) > 0 {
			folders = append(folders, e.hash)
		}
	}
	if lacking = unique(lacking); len(lacking) == 0 {
		return nil
	}
	if err := v.r.fetchBlobs(v.ctx, v.root, lacking, unique(folders)); !isLarge(err) {
		return err
	}
	return nil
}

// entries are what is at those of some paths where there is anything. The folders among
// them are here then with all folders below.
func (v view) entries(tree plumbing.Hash, paths []string) ([]entry, error) {
	if err := v.fetchAlong([]plumbing.Hash{tree}, paths); err != nil {
		return nil, err
	}
	var found []entry
	var folders []plumbing.Hash
	root := false
	for _, p := range paths {
		e, ok, err := v.lookup(tree, path.Clean(p))
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		found = append(found, e)
		if e.mode == filemode.Dir {
			folders = append(folders, e.hash)
			root = root || e.hash == tree
		}
	}
	return found, v.fetchBelow(root, unique(folders)...)
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
		if err != nil || found || v.r.mirror.tooLargeBy(e.hash) != nil {
			return nil, err
		}
		return []plumbing.Hash{e.hash}, nil
	}
	children, err := v.tree(e.hash)
	if err != nil {
		return nil, err
	}
	var lacking []plumbing.Hash
	for _, child := range children {
		files, err := v.missingBelow(child, seen, depth+1)
		if err != nil {
			return nil, err
		}
		lacking = append(lacking, files...)
	}
	return lacking, nil
}

// fetchMissing fetches those of some files that are not here, as fetchBlobs does, in one
// request or in none. Those known to be too large are left out.
func (v view) fetchMissing(blobs, folders []plumbing.Hash) error {
	var lacking []plumbing.Hash
	for _, h := range blobs {
		found, err := v.has(h)
		if err != nil {
			return err
		}
		if !found && v.r.mirror.tooLargeBy(h) == nil {
			lacking = append(lacking, h)
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	return v.r.fetchBlobs(v.ctx, v.root, unique(lacking), unique(folders))
}

// fetchBlobs fetches files, which root leads to. Of several, those over the limit are left
// out. If there are folders, too, and the files are very many or very large together, what is
// below the folders is fetched instead.
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
	if r.mirror.mode() == Full {
		return fmt.Errorf("%w: %s, though all files were fetched", packs.ErrMissing, blobs[0])
	}
	err = r.receiveBlobs(ctx, blobs, folders)
	switch {
	case !errors.Is(err, wire.ErrRefused):
		return err
	case r.mirror.mode() == Partial:
		return r.refusedTree(ctx, root, err)
	}
	return r.startOver(ctx, root, Full)
}

func (r *Repository) receiveBlobs(ctx context.Context, blobs, folders []plumbing.Hash) error {
	if len(folders) > 0 && len(blobs) > maxWants {
		return r.receiveFolders(ctx, blobs, folders)
	}
	limit := r.mirror.store.maxFileBytes
	most := int64(len(blobs)) * (limit + limit>>8 + 4096) // incompressible content grows a little
	if len(folders) > 0 {
		most = min(most, prefetchBytes)
	}
	err := r.receive(ctx, wire.Request{Wants: blobs, Limit: min(most, r.mirror.store.maxFetchBytes)}, limit)
	if !errors.Is(err, ErrTooLarge) && !errors.Is(err, packs.ErrTooLarge) || errors.Is(err, errFull) {
		return err
	}
	switch n := len(blobs); {
	case len(folders) > 0:
		return r.receiveFolders(ctx, blobs, folders)
	case n > 1: // it is one of them, or all together
		for _, half := range [][]plumbing.Hash{blobs[:n/2], blobs[n/2:]} {
			if err := r.receiveBlobs(ctx, half, nil); err != nil && !isLarge(err) {
				return err
			}
		}
		return nil
	}
	large := r.mirror.largeBy(err)
	r.mirror.markTooLarge(blobs[0], large)
	return large
}

// receiveFolders fetches the files below folders that are within the limit, and
// remembers of the given blobs those that are not.
func (r *Repository) receiveFolders(ctx context.Context, blobs, folders []plumbing.Hash) error {
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
			r.mirror.markTooLarge(h, r.mirror.largeBy(nil))
		}
	}
	return nil
}
