package forge

import (
	"context"
	"errors"
	"time"
)

// advance takes an entry one step further, with one request at most: it reads
// what the forge holds if that is not known, and sends otherwise.
func (q *Queue) advance(ctx context.Context, e *entry) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	sent, known := q.sent.Get(keyOf(e.item))
	if !known {
		q.ask(ctx, e)
		return
	}
	before := sent.(*Status)
	switch {
	case before != nil && before.Same(e.item.Status):
		q.done(e, Adopted)
	case before != nil && outdated(e.item.Status, *before):
		q.done(e, Superseded)
	default:
		q.send(ctx, e)
	}
}

// ask reads what the forge holds, and adopts it if it says the same. What it
// holds may be of an earlier process, so its time is the forge's: good enough
// to keep Pending from replacing a later verdict, not to order two verdicts.
func (q *Queue) ask(ctx context.Context, e *entry) {
	s := e.item.Status
	reporter := e.item.Destination
	held, found, err := reporter.Latest(ctx, s.Commit, s.Context)
	switch {
	case err != nil:
		q.failed(ctx, e, err)
	case found && held.Same(reporter.Fit(s)):
		q.sent.Add(keyOf(e.item), &s)
		q.done(e, Adopted)
	case found && s.State == Pending && held.State.Final() && outdated(s, held):
		q.done(e, Superseded)
	default:
		q.sent.Add(keyOf(e.item), (*Status)(nil))
		q.again(e, e.due, true)
	}
}

// send makes the status the newest of its context.
func (q *Queue) send(ctx context.Context, e *entry) {
	s := e.item.Status
	if err := e.item.Destination.Set(ctx, s); err != nil {
		q.failed(ctx, e, err)
		return
	}
	q.sent.Add(keyOf(e.item), &s)
	q.done(e, Sent)
}

// failed decides by the kind of an error what happens next.
func (q *Queue) failed(ctx context.Context, e *entry, err error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return // the queue ends
	}
	now := q.clock.Now()
	var limited *RateLimitedError
	switch {
	case errors.As(err, &limited):
		until := now.Add(max(limited.RetryAfter, e.backoff.NextBackOff()))
		q.pause(until)
		q.retry(e, err, until)
	case errors.Is(err, ErrNotFound) && now.Sub(e.first) < notFoundFor:
		q.retry(e, err, now.Add(e.backoff.NextBackOff()))
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrUnauthorized), errors.Is(err, ErrRejected):
		q.report(Result{Item: e.item, Outcome: Failed, Err: err})
	default:
		q.sent.Remove(keyOf(e.item)) // it may have been taken in
		q.retry(e, err, now.Add(e.backoff.NextBackOff()))
	}
}

// pause keeps the whole host quiet.
func (q *Queue) pause(until time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pausedUntil = until
}

// retry puts an entry back for later, and says so.
func (q *Queue) retry(e *entry, err error, at time.Time) {
	if q.again(e, at, false) {
		q.report(Result{Item: e.item, Outcome: Retrying, Err: err, Next: at})
	}
}

// again puts an entry back. If a newer one has come meanwhile, that one takes
// over its place in the order of tries, and false is returned.
func (q *Queue) again(e *entry, at time.Time, head bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sending = nil
	e.due = at
	newer := q.waiting.byKey[keyOf(e.item)]
	if newer == nil {
		q.waiting.add(e, head)
		return true
	}
	newer.first, newer.due, newer.backoff = e.first, e.due, e.backoff
	if newer.item.Owner != e.item.Owner {
		q.settle(Result{Item: e.item, Outcome: Superseded})
	}
	return false
}

// done reports an entry that came to its end.
func (q *Queue) done(e *entry, outcome Outcome) {
	q.report(Result{Item: e.item, Outcome: outcome})
}

// report leaves a result for Run.
func (q *Queue) report(r Result) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sending = nil
	q.settle(r)
}
