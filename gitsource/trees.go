package gitsource

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/keptn/gitops/gitsource/internal/packs"
	"github.com/keptn/gitops/gitsource/internal/wire"
)

const (
	// firstTrees is of how many of the newest commits the root trees are fetched at first
	// sight.
	firstTrees = 256
	// smallTrees is how much all trees of a history may take that has no more commits.
	smallTrees = 1 << 20
)

// errTreesRefused: the remote does not send the trees of the newest commits by their names.
var errTreesRefused = errors.New("the remote does not send trees by their names")

// receiveFirstTrees fetches the root trees of the newest commits, and of a short history
// all trees. The commits were sent just now, so that a remote which refuses their trees
// sends none by their names.
func (r *Repository) receiveFirstTrees(ctx context.Context, tips []plumbing.Hash) error {
	roots, all := newestTrees(r.mirror.db, tips)
	if len(roots) == 0 {
		return nil
	}
	err := ErrTooLarge
	if all {
		err = r.receiveTrees(ctx, roots, true, smallTrees)
	}
	if errors.Is(err, ErrTooLarge) && !errors.Is(err, errFull) {
		err = r.receiveTrees(ctx, roots, false, r.mirror.store.maxFetchBytes)
	}
	if errors.Is(err, wire.ErrRefused) {
		return fmt.Errorf("%w: %w", errTreesRefused, err)
	}
	return err
}

// newestTrees are the root trees of the commits nearest to the tips, and whether those are
// all commits there are.
func newestTrees(db *packs.DB, tips []plumbing.Hash) (roots []plumbing.Hash, all bool) {
	seen := map[plumbing.Hash]bool{}
	for queue := slices.Clone(tips); len(queue) > 0; queue = queue[1:] {
		if len(seen) >= firstTrees {
			return unique(roots), false
		}
		c, err := db.Commit(queue[0])
		if seen[queue[0]] || err != nil { // it is no commit, or history breaks off
			continue
		}
		seen[queue[0]] = true
		roots = append(roots, c.Tree)
		queue = append(queue, c.Parents...)
	}
	return unique(roots), true
}

// receiveTrees fetches trees by their names, and all trees below them if need be. A remote
// that sends others is an error.
func (r *Repository) receiveTrees(ctx context.Context, trees []plumbing.Hash, below bool, limit int64) error {
	for some := range slices.Chunk(trees, maxWants) {
		req := treesOf(below)
		req.Wants, req.Limit = some, limit
		if err := r.receive(ctx, req, maxObjectBytes); err != nil {
			return err
		}
	}
	for _, h := range trees {
		if found, err := r.mirror.db.Has(h); err != nil || !found {
			return errors.Join(fmt.Errorf("%w: it did not send tree %s, which it was asked for", ErrProtocol, h), err)
		}
	}
	if r.mirror.mode() == "" {
		return r.mirror.setMode(Partial)
	}
	return nil
}

// fetchTrees fetches those of some trees that are not here, which root leads to. Where the
// remote does not send them by their names they are not missing but lost, and the error is
// packs.ErrMissing.
func (r *Repository) fetchTrees(ctx context.Context, root plumbing.Hash, trees []plumbing.Hash, below bool) error {
	if r.mirror.local != nil || !r.mirror.mode().treesByName() {
		return fmt.Errorf("%w: tree %s", packs.ErrMissing, trees[0])
	}
	if r.mirror.isGone(root) {
		return fmt.Errorf("%w: %s, of which not all was fetched", ErrCommitNotFound, root)
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
	if trees, err = missing(db, trees); err != nil || len(trees) == 0 {
		return err
	}
	err = r.receiveTrees(ctx, trees, below, r.mirror.store.maxFetchBytes)
	switch {
	case errors.Is(err, wire.ErrFilter):
		return r.startOver(ctx, root, Blobless)
	case errors.Is(err, wire.ErrRefused):
		return r.refusedTree(ctx, root, err)
	}
	return err
}

// refusedTree finds out why the remote refused a tree: because the commit is gone with all
// that only it led to, or because it sends no trees by their names any longer, not even
// that of a commit which a ref is at.
func (r *Repository) refusedTree(ctx context.Context, root plumbing.Hash, refusal error) error {
	if err := r.sendsTrees(ctx); err != nil {
		if errors.Is(err, wire.ErrRefused) || errors.Is(err, wire.ErrFilter) {
			return r.startOver(ctx, root, Blobless)
		}
		return err
	}
	r.mirror.markGone(root)
	return fmt.Errorf("%w: %s, of which not all was fetched: %w", ErrCommitNotFound, root, refusal)
}

// sendsTrees is wire.ErrRefused if the remote does not send the root trees of commits that
// refs are at. One that has no such commit is trusted.
func (r *Repository) sendsTrees(ctx context.Context) error {
	all, err := r.ask(ctx, "HEAD", "refs/heads/")
	if err != nil {
		return err
	}
	for _, tip := range all.at {
		if c, err := r.mirror.db.Commit(tip); err == nil {
			return r.receiveTrees(ctx, []plumbing.Hash{c.Tree}, false, r.mirror.store.maxFetchBytes)
		}
	}
	return nil
}

// startOver fetches root anew, in another mode.
func (r *Repository) startOver(ctx context.Context, root plumbing.Hash, mode Mode) error {
	if err := r.lessen(mode); err != nil {
		return err
	}
	return r.bring(ctx, root)
}

// missing are those of some objects that are not here.
func missing(db *packs.DB, objects []plumbing.Hash) ([]plumbing.Hash, error) {
	var lacking []plumbing.Hash
	for _, h := range objects {
		found, err := db.Has(h)
		if err != nil {
			return nil, err
		}
		if !found {
			lacking = append(lacking, h)
		}
	}
	return unique(lacking), nil
}
