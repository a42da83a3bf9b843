package gitsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/keptn/gitops/gitsource/internal/packs"
	"github.com/keptn/gitops/gitsource/internal/wire"
)

// bring makes a commit readable: itself and its history. The caller has entered.
func (r *Repository) bring(ctx context.Context, commit plumbing.Hash) error {
	db, err := r.mirror.objects()
	if err != nil {
		return err
	}
	found, err := r.here(db, commit)
	if found {
		r.mirror.markComplete(commit)
		return nil
	}
	if err == nil {
		err = r.lostTips(db)
	}
	if err == nil {
		err = r.pull(ctx, commit)
	}
	if errors.Is(err, packs.ErrCorrupt) || errors.Is(err, errFull) {
		if err := r.mirror.repair(err); err != nil {
			return err
		}
		err = r.pull(ctx, commit)
	}
	if err != nil {
		return err
	}
	if found, err := r.here(db, commit); !found {
		return errors.Join(fmt.Errorf("%w: the remote did not send commit %s with its tree", packs.ErrMissing, commit), err)
	}
	r.mirror.markComplete(commit)
	return nil
}

// here tells whether a commit is here. Where the remote does not send trees by their names
// a commit without its tree is damage.
func (r *Repository) here(db *packs.DB, commit plumbing.Hash) (bool, error) {
	c, err := db.Commit(commit)
	if errors.Is(err, packs.ErrMissing) {
		return false, nil
	}
	if err != nil || r.mirror.mode().treesByName() {
		return err == nil, err
	}
	found, err := db.Has(c.Tree)
	if err == nil && !found {
		err = fmt.Errorf("%w: commit %s lacks its tree", packs.ErrCorrupt, commit)
	}
	return found, err
}

// lostTips is an error if commits are gone that were fetched once. They must not be
// offered to the remote then, and what is left is not to be relied on.
func (r *Repository) lostTips(db *packs.DB) error {
	for _, tip := range r.mirror.tips() {
		if found, err := db.Has(tip); err != nil || !found {
			return cmp.Or(err, fmt.Errorf("%w: commit %s, which was fetched, is gone", packs.ErrCorrupt, tip))
		}
	}
	return nil
}

// pull fetches a commit. A remote that only sends what its refs point at is asked for
// all branches and tags instead. If it sends nothing, because the commit is before what it
// was told is here, then that is no longer whole: packs.ErrCorrupt.
func (r *Repository) pull(ctx context.Context, commit plumbing.Hash) error {
	offered := len(r.mirror.tips()) > 0
	err := r.receiveHistory(ctx, commit)
	if err == nil && offered {
		if found, err := r.mirror.db.Has(commit); err != nil || !found {
			return errors.Join(fmt.Errorf("%w: commit %s is lost", packs.ErrCorrupt, commit), err)
		}
	}
	if !errors.Is(err, wire.ErrRefused) {
		return err
	}
	all, askErr := r.ask(ctx, "refs/heads/", "refs/tags/")
	if askErr != nil {
		return askErr
	}
	tips := all.branchesAndTags()
	if slices.Contains(tips, commit) || len(tips) == 0 {
		return err
	}
	return r.receiveHistory(ctx, tips...)
}

// receiveHistory fetches commits with all that leads to them and is not here yet. The
// first time trees are left out but those of the newest commits; later on those that
// changed come along.
func (r *Repository) receiveHistory(ctx context.Context, wants ...plumbing.Hash) error {
	haves := r.mirror.tips()
	wants = slices.DeleteFunc(wants, func(h plumbing.Hash) bool { return slices.Contains(haves, h) })
	if len(wants) == 0 {
		return nil
	}
	if err := r.live(ctx); err != nil {
		return err
	}
	mode := r.mirror.mode()
	if !r.session.Filters() {
		mode = Full
	}
	filter := mode.filter(len(haves) == 0)
	req := wire.Request{Wants: wants, Haves: haves, Filter: filter, Limit: r.mirror.store.maxFetchBytes}
	err := r.receive(ctx, req, maxObjectBytes)
	if err == nil && filter == noTrees {
		err = r.receiveFirstTrees(ctx, wants)
	}
	if errors.Is(err, wire.ErrFilter) || errors.Is(err, errTreesRefused) {
		if err := r.lessen(mode.lesser()); err != nil {
			return err
		}
		return r.receiveHistory(ctx, wants...)
	}
	if err != nil {
		return err
	}
	r.mirror.hasNews()
	if mode == Full {
		err = r.mirror.setMode(Full)
	}
	return errors.Join(err, r.mirror.remember("", wants...))
}

// isMended says whether damage that was found in a generation of the mirror is no more, root
// being here.
func (r *Repository) isMended(damage error, root plumbing.Hash, generation int) bool {
	var missing *packs.MissingError
	return errors.As(damage, &missing) && missing.Object == root || r.mirror.generationNow() != generation
}

// restore fetches root because of the given damage. If it is here, it was not root that was
// missing, and nobody rebuilt the mirror since the given generation, then something it leads
// to is damaged, and all is fetched anew.
func (r *Repository) restore(ctx context.Context, root plumbing.Hash, generation int, damage error) error {
	if r.mirror.isGone(root) {
		return fmt.Errorf("%w: %s", ErrCommitNotFound, root)
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
	switch found, err := r.here(db, root); {
	case errors.Is(err, ErrDisk):
		return err
	case err == nil && found && r.isMended(damage, root, generation):
		return nil
	case err != nil || found:
		if err := r.mirror.repair(cmp.Or(err, damage)); err != nil {
			return err
		}
	}
	err = notACommit(Ref{Commit: root.String()}, Revision{Commit: root.String()}, r.bring(ctx, root))
	if errors.Is(err, ErrCommitNotFound) {
		r.mirror.markGone(root)
	}
	return err
}
