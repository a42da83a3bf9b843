package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/keptn/gitops/gitsource/internal/packs"
	"github.com/keptn/gitops/gitsource/internal/wire"
)

// maxObjectBytes bounds a single object of a history fetch, for go-git holds one at a
// time in memory.
const maxObjectBytes = 256 << 20

// A Repository is a handle to one repository, made by [Store.Repository]. It is safe
// for concurrent use. Its methods fetch what is missing, and rebuild once what they
// find damaged. Their errors name the URL without user and password.
type Repository struct {
	mirror   *mirror
	url      string
	target   wire.Target
	identity identity

	// session is the latest conversation that can go on. The holder of the mirror's gate owns it.
	session *wire.Session
}

// errFull: the repository takes more than its share of the disk.
var errFull = errors.New("the repository's share of the disk is used up")

// Fetch finds the commit that ref is at now and makes it readable. If it is here
// already that takes one request, else a second one for what is new. Callers who ask
// for the same thing at once share the answer.
func (r *Repository) Fetch(ctx context.Context, ref Ref) (Revision, error) {
	if r.mirror.local != nil {
		rev, err := r.resolveLocal(ref)
		return rev, r.explain(err)
	}
	key := fmt.Sprintf("%x %q", r.identity, []string{ref.Commit, ref.Name, ref.SemVer, ref.Tag, ref.Branch})
	rev, err := r.mirror.flights.share(ctx, key, func(ctx context.Context) (Revision, error) {
		return r.fetch(ctx, ref)
	})
	return rev, r.explain(err)
}

// explain says which repository an error is about.
func (r *Repository) explain(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, packs.ErrTooLarge) && !errors.Is(err, ErrTooLarge) {
		err = fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return fmt.Errorf("repository %s: %w", r.url, err)
}

func (r *Repository) resolveLocal(ref Ref) (Revision, error) {
	all, err := r.mirror.local.refs()
	if err != nil {
		return Revision{}, err
	}
	rev, err := all.resolve(ref)
	if err != nil {
		return Revision{}, err
	}
	if _, err := r.mirror.db.Commit(plumbing.NewHash(rev.Commit)); err != nil {
		return Revision{}, notACommit(ref, rev, err)
	}
	return rev, nil
}

// notACommit explains a revision that cannot be read as a commit.
func notACommit(ref Ref, rev Revision, err error) error {
	switch {
	case !errors.Is(err, packs.ErrMissing) && !errors.Is(err, wire.ErrRefused):
		return err
	case ref.Commit != "":
		return fmt.Errorf("%w: %s", ErrCommitNotFound, rev.Commit)
	}
	return fmt.Errorf("%w: %s is at %s, which the remote does not send as a commit", ErrRefNotFound, rev.Name, rev.Commit)
}

func (r *Repository) fetch(ctx context.Context, ref Ref) (Revision, error) {
	ctx, release, err := r.enter(ctx)
	if err != nil {
		return Revision{}, err
	}
	defer release()
	if err := r.call(ctx); err != nil {
		return Revision{}, err
	}
	rev, err := advertisedRefs(r.session.Refs()).resolve(ref)
	if err != nil {
		return Revision{}, err
	}
	commit := plumbing.NewHash(rev.Commit)
	if !r.mirror.isComplete(commit) {
		if err := r.bring(ctx, commit); err != nil {
			return Revision{}, notACommit(ref, rev, err)
		}
	}
	return rev, errors.Join(r.mirror.remember(rev.Name, commit), r.mirror.store.touch(r.mirror))
}

// enter waits for the mirror's gate and bounds the time behind it. release must be
// called if there is no error.
func (r *Repository) enter(ctx context.Context) (_ context.Context, release func(), err error) {
	timeout := r.mirror.store.timeout
	ctx, cancel := context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("%w: the remote took more than %s", ErrUnreachable, timeout))
	if err := r.mirror.gate.Acquire(ctx, 1); err != nil {
		cancel()
		return nil, nil, context.Cause(ctx)
	}
	return ctx, func() {
		if r.session != nil && !r.session.Reusable() {
			r.hangUp()
		}
		r.mirror.gate.Release(1)
		cancel()
	}, nil
}

// call asks the remote for its refs, which shows whether it takes the credentials.
func (r *Repository) call(ctx context.Context) error {
	r.hangUp()
	session, err := wire.Open(ctx, r.target)
	switch {
	case errors.Is(err, ErrUnauthorized), errors.Is(err, ErrNotFound):
		r.mirror.admit(r.identity, false)
		return err
	case err != nil:
		return err
	}
	r.session = session
	r.mirror.admit(r.identity, true)
	shallow := names(session.Refs().Shallows)
	if slices.Equal(shallow, r.mirror.snapshot().Shallow) {
		return nil
	}
	if _, err := r.mirror.objects(); err != nil {
		return err
	}
	return r.mirror.update(func(s *state) { s.Shallow = shallow })
}

// hangUp ends the session.
func (r *Repository) hangUp() {
	if r.session != nil {
		_ = r.session.Close() // there is nothing left to be told
		r.session = nil
	}
}

// bring makes a commit whole: itself, its history and their trees. The caller has
// entered.
func (r *Repository) bring(ctx context.Context, commit plumbing.Hash) error {
	db, err := r.mirror.objects()
	if err != nil {
		return err
	}
	switch found, err := whole(db, commit); {
	case found:
		r.mirror.markComplete(commit)
		return nil
	case err != nil || r.lostTips(db):
		if err := r.mirror.reset(); err != nil {
			return err
		}
	}
	err = r.pull(ctx, commit)
	if errors.Is(err, packs.ErrCorrupt) || errors.Is(err, errFull) {
		if err := r.mirror.reset(); err != nil {
			return err
		}
		err = r.pull(ctx, commit)
	}
	if err != nil {
		return err
	}
	if found, err := whole(db, commit); !found {
		return errors.Join(fmt.Errorf("%w: the remote did not send commit %s with its tree", packs.ErrMissing, commit), err)
	}
	r.mirror.markComplete(commit)
	return nil
}

// whole tells whether a commit is here with its tree. A commit without is damage.
func whole(db *packs.DB, commit plumbing.Hash) (bool, error) {
	c, err := db.Commit(commit)
	if errors.Is(err, packs.ErrMissing) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	found, err := db.Has(c.TreeHash)
	if err == nil && !found {
		err = fmt.Errorf("%w: commit %s lacks its tree", packs.ErrCorrupt, commit)
	}
	return found, err
}

// lostTips tells whether commits are gone that were fetched once. They must not be
// offered to the remote then, and what is left is not to be relied on.
func (r *Repository) lostTips(db *packs.DB) bool {
	for _, tip := range r.mirror.tips() {
		if found, err := db.Has(tip); !found || err != nil {
			return true
		}
	}
	return false
}

// pull fetches a commit. A remote that only sends what its refs point at is asked for
// all branches and tags instead.
func (r *Repository) pull(ctx context.Context, commit plumbing.Hash) error {
	err := r.receiveHistory(ctx, commit)
	if !errors.Is(err, wire.ErrRefused) {
		return err
	}
	if err := r.call(ctx); err != nil {
		return err
	}
	tips := advertisedRefs(r.session.Refs()).branchesAndTags()
	if slices.Contains(tips, commit) || len(tips) == 0 {
		return err
	}
	return r.receiveHistory(ctx, tips...)
}

// receiveHistory fetches commits with all that leads to them and is not here yet.
func (r *Repository) receiveHistory(ctx context.Context, wants ...plumbing.Hash) error {
	haves := r.mirror.tips()
	wants = slices.DeleteFunc(wants, func(h plumbing.Hash) bool { return slices.Contains(haves, h) })
	if len(wants) == 0 {
		return nil
	}
	if err := r.live(ctx); err != nil {
		return err
	}
	filter := ""
	if r.session.Filters() && !r.mirror.snapshot().Unfiltered {
		filter = "blob:none"
	}
	req := wire.Request{Wants: wants, Haves: haves, Filter: filter, Limit: r.mirror.store.maxFetchBytes}
	if err := r.receive(ctx, req, maxObjectBytes); err != nil {
		return err
	}
	return r.mirror.remember("", wants...)
}

// live makes sure that there is a session to go on with.
func (r *Repository) live(ctx context.Context) error {
	if r.session != nil {
		return nil
	}
	return r.call(ctx)
}

// receive fetches one pack into the mirror.
func (r *Repository) receive(ctx context.Context, req wire.Request, objectLimit int64) error {
	db, err := r.mirror.objects()
	if err != nil {
		return err
	}
	used, err := db.Bytes()
	if err != nil {
		return fmt.Errorf("%w: %w", packs.ErrCorrupt, err)
	}
	room := r.mirror.store.maxRepositoryBytes - used
	scarce := room < req.Limit && used > 0
	req.Limit = max(0, min(req.Limit, room))
	err = db.Ingest(objectLimit, func(w io.Writer) error { return r.session.Fetch(ctx, req, w) })
	if !r.session.Reusable() {
		r.hangUp()
	}
	if err != nil {
		if scarce && errors.Is(err, ErrTooLarge) {
			err = fmt.Errorf("%w: %w", errFull, err)
		}
		return err
	}
	if err := db.Compact(); err != nil {
		return err
	}
	used, err = db.Bytes()
	return errors.Join(err, r.mirror.store.account(r.mirror, used))
}

// admission makes sure that the remote has taken these credentials, for what is here
// may have been fetched with others.
func (r *Repository) admission(ctx context.Context) error {
	if r.mirror.local != nil || r.mirror.isAdmitted(r.identity) {
		return nil
	}
	ctx, release, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer release()
	return r.call(ctx)
}

// read lets f use objects that root leads to. If f finds some missing or damaged, they
// are fetched, and f runs once more.
func (r *Repository) read(ctx context.Context, root plumbing.Hash, f func(*packs.DB) error) error {
	if err := r.admission(ctx); err != nil {
		return err
	}
	db, err := r.mirror.objects()
	if err != nil {
		return err
	}
	generation := r.mirror.generationNow()
	err = f(db)
	if !errors.Is(err, packs.ErrMissing) && !errors.Is(err, packs.ErrCorrupt) && !errors.Is(err, errFull) {
		return err
	}
	if r.mirror.local != nil {
		return r.localFault(db, root, err)
	}
	if err := r.restore(ctx, root, generation); err != nil {
		return err
	}
	return f(db)
}

func (r *Repository) localFault(db *packs.DB, root plumbing.Hash, err error) error {
	if found, missing := db.Has(root); missing == nil && !found {
		return fmt.Errorf("%w: %s", ErrCommitNotFound, root)
	}
	return err
}

// restore fetches root. If it is here, and nobody rebuilt the mirror since the given
// generation, then something it leads to is damaged, and all is fetched anew.
func (r *Repository) restore(ctx context.Context, root plumbing.Hash, generation int) error {
	ctx, release, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer release()
	db, err := r.mirror.objects()
	if err != nil {
		return err
	}
	if found, err := whole(db, root); found || err != nil {
		if r.mirror.generationNow() != generation && err == nil {
			return nil
		}
		if err := r.mirror.reset(); err != nil {
			return err
		}
	}
	return notACommit(Ref{Commit: root.String()}, Revision{Commit: root.String()}, r.bring(ctx, root))
}

// names writes object names, or nil for none.
func names(hashes []plumbing.Hash) []string {
	var out []string
	for _, h := range hashes {
		out = append(out, h.String())
	}
	return out
}

// hashes reads what names writes.
func hashes(names []string) []plumbing.Hash {
	var out []plumbing.Hash
	for _, n := range names {
		out = append(out, plumbing.NewHash(n))
	}
	return out
}

// unique sorts hashes and drops repetitions.
func unique(hashes []plumbing.Hash) []plumbing.Hash {
	slices.SortFunc(hashes, func(a, b plumbing.Hash) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(hashes)
}
