package fabric

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// maxTries is how often a query is asked at most.
const maxTries = 3

// A question is a query on its way to the server.
type question struct {
	*client
	query metric.Query
	queue *place
	probe bool // it is the one that a server that is down is asked
	asked int  // how often the server was asked

	found finding // what the last time says of the server
	last  error   // and how it ended
}

// ask asks the server a query, several times if need be, until ctx ends.
func (c *client) ask(ctx context.Context, query metric.Query, queue *place) (metric.Result, error) {
	if err := c.health.check(c.now()); err != nil {
		return metric.Result{}, err
	}
	q := question{client: c, query: query, queue: queue}
	pauses := backoff.NewExponentialBackOff()
	for try := 1; ; try++ {
		result, err := q.try(ctx)
		if try < maxTries && q.retry(ctx, err, pauses.NextBackOff()) {
			continue
		}
		c.health.leave(c.now(), q.probe, q.found, q.last)
		if q.asked > 1 && err != nil {
			err = fmt.Errorf("%w (asked %d times)", err, q.asked)
		}
		return result, err
	}
}

// retry waits before the next try, and says whether there is to be one. One that
// would begin too late is not waited for.
func (q *question) retry(ctx context.Context, err error, wait time.Duration) bool {
	if q.probe || !transient(err) {
		return false
	}
	now := q.now()
	if errors.Is(err, metric.ErrRateLimited) {
		wait = max(wait, q.health.rest(now))
	}
	if deadline, ok := ctx.Deadline(); ok && !now.Add(wait).Before(deadline) {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// transient says whether another try may end otherwise.
func transient(err error) bool {
	var ours final
	if errors.As(err, &ours) {
		return false
	}
	return errors.Is(err, metric.ErrUnreachable) || errors.Is(err, metric.ErrTimeout) || errors.Is(err, metric.ErrRateLimited)
}

// try asks the server once, when it is the query's turn.
func (q *question) try(ctx context.Context) (metric.Result, error) {
	joined := q.now()
	q.queue.waits.Store(true)
	release, err := q.turn(ctx)
	if err != nil {
		return metric.Result{}, err
	}
	defer release()
	q.queue.waits.Store(false)

	began := q.now()
	if q.probe, err = q.health.enter(began); err != nil {
		return metric.Result{}, err
	}
	result, err := q.once(ctx)
	q.asked++
	q.found, q.last = findingOf(err), err
	waited := began.Sub(joined)
	if ctx.Err() != nil && waited > q.limits.Timeout/2 {
		q.found = unknown // it had too little time left to be answered
	}
	if errors.Is(err, metric.ErrTimeout) && waited >= time.Second {
		err = fmt.Errorf("%w; before, it waited %s behind %d other queries for its turn", err, waited.Round(time.Second), q.queue.others.Load())
	}
	var limited *metric.RateLimitedError
	if errors.As(err, &limited) {
		q.health.limited(q.now(), limited.RetryAfter)
	}
	return result, err
}

// once asks the server. A client that panics, say over an answer, ends the query
// and not the program.
func (q *question) once(ctx context.Context) (result metric.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			result, err = metric.Result{}, fmt.Errorf("internal error of the client for type %q: %v", q.server.Spec.Type, p)
		}
	}()
	querier, err := q.querierOf()
	if err != nil {
		return metric.Result{}, err
	}
	admission := &admission{large: q.rooms.large}
	defer admission.end()
	return querier.Query(connect.WithAdmission(ctx, admission.admit), q.query)
}

// turn waits for a slot of the server, for its rate, and for a place in one of the
// rooms. The release gives the slot and the place back.
func (q *question) turn(ctx context.Context) (release func(), err error) {
	if !q.join() && q.slots.Acquire(ctx, 1) != nil {
		q.asking.Add(-1)
		return nil, q.overdue(ctx)
	}
	leave := func() {
		q.slots.Release(1)
		q.asking.Add(-1)
	}
	if q.rate.Wait(ctx) != nil {
		leave()
		return nil, q.overdue(ctx)
	}
	place := q.enter(ctx)
	if place == nil {
		leave()
		return nil, q.overdue(ctx)
	}
	release = func() {
		place.leave()
		leave()
	}
	if deadline, ok := ctx.Deadline(); ok && !q.now().Before(deadline) { // as the turn came
		release()
		return nil, q.overdue(ctx)
	}
	return release, nil
}

// join counts the queries before this one, and takes a slot if one is free.
func (q *question) join() bool {
	q.joining.Lock()
	defer q.joining.Unlock()
	q.queue.others.Store(q.asking.Add(1) - 1)
	return q.slots.TryAcquire(1)
}

// overdue is the error of a query whose turn does not come in time.
func (q *question) overdue(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return final{fmt.Errorf("the query was cancelled: %w", ctx.Err())}
	}
	return final{fmt.Errorf("%w: it waited behind %d other queries for its turn: the provider is asked at most %d at a time and %d per second: ask less often, or raise the provider's spec.limits",
		metric.ErrTimeout, q.queue.others.Load(), q.limits.Concurrent, q.limits.PerSecond)}
}
