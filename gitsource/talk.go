package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/keptn/gitops/gitsource/internal/packs"
	"github.com/keptn/gitops/gitsource/internal/wire"
)

// A turn begins a conversation with the remote; done ends it.
type turn func() (done func(answered bool), err error)

// InTurn returns another handle to the repository. Each of its conversations with the
// remote begins with take, where that is no error, and ends with what it returned, which is
// told whether the remote answered in time. What is here is read without.
func (r *Repository) InTurn(take func() (done func(answered bool), err error)) *Repository {
	begin := turn(take)
	return &Repository{mirror: r.mirror, url: r.url, target: r.target, identity: r.identity, timeout: r.timeout, turn: &begin}
}

// enter takes a turn, waits for the mirror's gate, and bounds the time from there on.
// release must be called if there is no error.
func (r *Repository) enter(ctx context.Context) (_ context.Context, release func(), err error) {
	return r.enterFor(ctx, r.timeout)
}

func (r *Repository) enterFor(ctx context.Context, timeout time.Duration) (_ context.Context, release func(), err error) {
	done := func(bool) {}
	if r.turn != nil {
		if done, err = (*r.turn)(); err != nil {
			return nil, nil, err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("%w: the remote took more than %s", ErrUnreachable, timeout))
	if err := r.mirror.gate.Acquire(ctx, 1); err != nil {
		defer cancel()
		done(true) // it was not asked
		return nil, nil, fmt.Errorf("waiting for another who reads it: %w", context.Cause(ctx))
	}
	return ctx, func() {
		r.hangUp()
		r.mirror.gate.Release(1)
		done(!errors.Is(context.Cause(ctx), ErrUnreachable))
		cancel()
	}, nil
}

// ask asks the remote where the refs are whose names begin with one of the prefixes, which
// shows whether it takes the credentials. The caller has entered.
func (r *Repository) ask(ctx context.Context, prefixes ...string) (refs, error) {
	r.hangUp()
	err := r.live(ctx)
	var said wire.Refs
	if err == nil {
		said, err = r.session.Refs(ctx, prefixes...)
	}
	if err != nil {
		return refs{}, r.refused(err)
	}
	return refsOf(said), errors.Join(r.noteKnown(), r.noteShallow())
}

// noteKnown remembers that the remote takes the credentials and what it said of itself, on
// disk where that holds for all who ask.
func (r *Repository) noteKnown() error {
	now := r.session.Known()
	r.mirror.admit(r.identity, now)
	if !now.Of(r.target) {
		now = nil
	}
	before := r.mirror.snapshot().Remote
	if before == now || before != nil && now != nil && *before.V2 == *now.V2 {
		return nil
	}
	if err := r.mirror.open(); err != nil {
		return err
	}
	return r.mirror.update(func(s *state) { s.Remote = now })
}

// known is what the remote said of itself to these credentials, or to whoever asked.
func (r *Repository) known() *wire.Known {
	if known, ok := r.mirror.isAdmitted(r.identity); ok {
		return known
	}
	if err := r.mirror.open(); err != nil {
		return nil
	}
	if known := r.mirror.snapshot().Remote; known.Of(r.target) {
		return known
	}
	return nil
}

// refused takes note of an error that says that the remote does not take the credentials.
func (r *Repository) refused(err error) error {
	if errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrNotFound) {
		r.mirror.dismiss(r.identity)
	}
	return err
}

// live makes sure that there is a session to go on with.
func (r *Repository) live(ctx context.Context) error {
	if r.session != nil && r.session.Again() {
		return nil
	}
	r.hangUp()
	session, err := wire.Open(ctx, r.target, r.known())
	if err != nil {
		return r.refused(err)
	}
	r.session = session
	return nil
}

// hangUp ends the session.
func (r *Repository) hangUp() {
	if r.session != nil {
		_ = r.session.Close() // there is nothing left to be told
		r.session = nil
	}
}

// noteShallow remembers where the remote's history breaks off.
func (r *Repository) noteShallow() error {
	before := r.mirror.snapshot().Shallow
	now := names(r.session.Shallow(hashes(before)))
	if slices.Equal(now, before) {
		return nil
	}
	if err := r.mirror.open(); err != nil {
		return err
	}
	return r.mirror.update(func(s *state) { s.Shallow = now })
}

// receive fetches one pack into the mirror.
func (r *Repository) receive(ctx context.Context, req wire.Request, objectLimit int64) error {
	if err := r.live(ctx); err != nil {
		return err
	}
	db, err := r.mirror.objects()
	if err != nil {
		return err
	}
	used, err := db.Bytes()
	if err != nil {
		return packs.Fault(err)
	}
	room := r.mirror.store.maxRepositoryBytes - used
	scarce := room < req.Limit && used > 0
	req.Limit = max(0, min(req.Limit, room))
	err = db.Ingest(objectLimit, func(w io.Writer) error { return r.session.Fetch(ctx, req, w) })
	if err != nil {
		if scarce && errors.Is(err, ErrTooLarge) {
			err = fmt.Errorf("%w: %w", errFull, err)
		}
		return r.refused(err)
	}
	if err := errors.Join(r.noteKnown(), r.noteShallow(), db.Compact()); err != nil {
		return err
	}
	used, err = db.Bytes()
	return errors.Join(err, r.mirror.store.account(r.mirror, used))
}
