package lifecycle

import (
	"context"
	"sync"

	"github.com/keptn/gitops/controllers/remote"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource"
)

// A visit has the turns of one reconcile, one at each server that it asks, from the first
// question to its end: who has begun to read has more to ask. It is safe for concurrent
// use, for a render that was given up may still read.
type visit struct {
	turns *remote.Turns

	mu    sync.Mutex
	taken map[string]*turn
	ended bool
}

// turn is one at a server.
type turn struct {
	done func(answered bool)
	// answered says whether the server did in time when it was asked last.
	answered bool
}

// take goes on with the turn at a server, or takes one.
func (v *visit) take(server string) (done func(answered bool), err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.ended {
		return v.turns.Take(server)
	}
	of := v.taken[server]
	if of == nil {
		done, err := v.turns.Take(server)
		if err != nil {
			return nil, err
		}
		of = &turn{done: done}
		if v.taken == nil {
			v.taken = map[string]*turn{}
		}
		v.taken[server] = of
	}
	return func(answered bool) {
		v.mu.Lock()
		defer v.mu.Unlock()
		of.answered = answered
	}, nil
}

// end gives the turns back.
func (v *visit) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended = true
	for _, of := range v.taken {
		of.done(of.answered)
	}
}

// opener opens repositories that are read in turn with others of their servers.
func (r *Reconciler) opener(s *scope) repository.Opener {
	return func(ctx context.Context, o repository.Origin) (*gitsource.Repository, error) {
		repo, err := r.Repositories.Open(ctx, o)
		if err != nil {
			return nil, err
		}
		return repo.InTurn(func() (func(bool), error) { return s.visit.take(o.Server()) }), nil
	}
}
