package fabric

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider"
)

// An answer is what a query yields.
type answer struct {
	result metric.Result
	err    error
}

// A flight is a query that is under way for one or more callers.
type flight struct {
	done   chan struct{} // closed once answer is there
	answer answer
	cancel context.CancelFunc
	queue  place

	callers int // guarded by Fabric.mu
}

// A place is where in the queue a query is.
type place struct {
	others atomic.Int64 // the server's queries that waited or were asked when it joined
	waits  atomic.Bool  // its turn has not come
}

// begin asks a query for whoever joins it. The flight does not end with ctx, which
// is only the first caller's. The caller holds f.mu.
func (f *Fabric) begin(ctx context.Context, key, server digest, s connect.Server, q metric.Query) *flight {
	limits := provider.LimitsOf(s.Spec)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.Timeout)
	one := &flight{done: make(chan struct{}), cancel: cancel}
	f.flights[key] = one
	q.Args = maps.Clone(q.Args)
	go func() {
		defer cancel()
		c := f.take(server, s, limits)
		defer f.giveBack(server, c)
		result, err := c.ask(ctx, q, &one.queue)
		f.land(key, one, answer{result, err})
	}()
	return one
}

// land hands the answer to all callers, and keeps it.
func (f *Fabric) land(key digest, one *flight, a answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.flights[key] == one {
		delete(f.flights, key)
	}
	f.answers.put(key, a, f.now())
	one.answer = a
	close(one.done)
}

// leave takes a caller off a flight. One without callers is cancelled, and joined
// by nobody any more.
func (f *Fabric) leave(key digest, one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one.callers--
	if one.callers > 0 {
		return
	}
	one.cancel()
	if f.flights[key] == one {
		delete(f.flights, key)
	}
}

// left is the error of a caller whose context ends during a flight.
func (one *flight) left(ctx context.Context) error {
	err := ended(ctx)
	if errors.Is(err, metric.ErrTimeout) && one.queue.waits.Load() {
		return fmt.Errorf("%w; it waited behind %d other queries of the provider for its turn", err, one.queue.others.Load())
	}
	return err
}

// ended is the error of a context that ended.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: the caller's time was over before the answer came", metric.ErrTimeout)
	}
	return fmt.Errorf("the query was cancelled: %w", ctx.Err())
}
