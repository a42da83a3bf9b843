package gitsource

import (
	"context"
	"sync"
)

// flights lets callers who want the same thing at the same time share one answer.
type flights struct {
	mu  *sync.Mutex
	now map[string]*flight
}

type flight struct {
	waiters  int
	cancel   context.CancelFunc
	done     chan struct{}
	revision Revision
	err      error
}

func newFlights() flights { return flights{mu: &sync.Mutex{}, now: map[string]*flight{}} }

// share runs f, or waits for a run of the same key that has not asked the remote yet: f calls
// asks before it does. f goes on while anyone waits: its context ends when the last of them
// leaves.
func (fs flights) share(ctx context.Context, key string, f func(ctx context.Context, asks func()) (Revision, error)) (Revision, error) {
	fs.mu.Lock()
	fl, ok := fs.now[key]
	if !ok {
		shared, cancel := context.WithCancel(context.WithoutCancel(ctx))
		fl = &flight{cancel: cancel, done: make(chan struct{})}
		fs.now[key] = fl
		go func() {
			fl.revision, fl.err = f(shared, func() { fs.close(key, fl) })
			fs.leave(key, fl, true)
			close(fl.done)
		}()
	}
	fl.waiters++
	fs.mu.Unlock()

	select {
	case <-fl.done:
		return fl.revision, fl.err
	case <-ctx.Done():
		fs.leave(key, fl, false)
		return Revision{}, context.Cause(ctx)
	}
}

// leave ends a flight that has landed, or that nobody waits for any longer.
func (fs flights) leave(key string, fl *flight, landed bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fl.waiters--
	if !landed && fl.waiters > 0 {
		return
	}
	fs.closeLocked(key, fl)
	fl.cancel()
}

// close has nobody join a flight any more, for what it will say may be older than who comes.
func (fs flights) close(key string, fl *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.closeLocked(key, fl)
}

func (fs flights) closeLocked(key string, fl *flight) {
	if fs.now[key] == fl {
		delete(fs.now, key)
	}
}
