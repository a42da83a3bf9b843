package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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
	// timeout is that of a conversation, but for a fetch, and turn what each begins with;
	// nil is nothing. Who shares a Fetch has the same turn, so that it is a pointer.
	timeout time.Duration
	turn    *turn

	// session is the conversation of the one who holds the mirror's gate.
	session *wire.Session
}

// Account is the same for the same credentials, and reveals nothing about them.
func (r *Repository) Account() string { return fmt.Sprintf("%x", r.identity) }

// errFull: the repository takes more than its share of the disk.
var errFull = errors.New("the repository's share of the disk is used up")

// Fetch finds the commit that ref is at now and makes it readable. If it is here
// already that takes one request, else another for what is new; the first time there are
// two more, to learn what the remote is, and for the trees of the newest commits. Callers
// who ask for the same thing before the remote is asked share the answer.
func (r *Repository) Fetch(ctx context.Context, ref Ref) (Revision, error) {
	if r.mirror.local != nil {
		rev, err := r.resolveLocal(ref)
		return rev, r.explain(err)
	}
	key := fmt.Sprintf("%x %p %q", r.identity, r.turn, []string{ref.Commit, ref.Name, ref.SemVer, ref.Tag, ref.Branch})
	rev, err := r.mirror.flights.share(ctx, key, func(ctx context.Context, asks func()) (Revision, error) {
		return r.fetch(ctx, ref, asks)
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
	if errors.Is(err, packs.ErrBadPack) && !errors.Is(err, ErrProtocol) {
		err = fmt.Errorf("%w: %w", ErrProtocol, err)
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

func (r *Repository) fetch(ctx context.Context, ref Ref, asks func()) (Revision, error) {
	ctx, release, err := r.enterFor(ctx, r.mirror.store.timeout)
	if err != nil {
		return Revision{}, err
	}
	defer release()
	asks()
	all, err := r.ask(ctx, ref.prefixes()...)
	if err != nil {
		return Revision{}, err
	}
	rev, err := all.resolve(ref)
	if err != nil {
		return Revision{}, err
	}
	commit := plumbing.NewHash(rev.Commit)
	if !r.mirror.isComplete(commit) {
		if err := r.bring(ctx, commit); err != nil {
			return Revision{}, notACommit(ref, rev, err)
		}
	}
	r.mirror.store.touch(r.mirror)
	return rev, r.mirror.remember(rev.Name, commit)
}

// admission makes sure that the remote has taken these credentials, for what is here
// may have been fetched with others.
func (r *Repository) admission(ctx context.Context) error {
	if r.mirror.local != nil {
		return nil
	}
	if _, ok := r.mirror.isAdmitted(r.identity); ok {
		return nil
	}
	ctx, release, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer release()
	_, err = r.ask(ctx, Ref{}.prefixes()...)
	return err
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
	if err := r.restore(ctx, root, generation, err); err != nil {
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
