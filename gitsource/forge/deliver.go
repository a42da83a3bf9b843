package forge

import (
	"context"
	"errors"
	"time"
)

// A holding is what a forge is known to hold of a context.
type holding struct {
	// status is nil where the forge was asked and has none.
	status *Status
	// ours says that the status is as it was put, with the time at which it came about. Else
	// it is as the forge answered: cut to its limits, with a time of the forge's.
	ours bool
	// open says that it is ours, and was sent, and that whether it was taken in is not known.
	open bool
}

// settles says what becomes of a status with which nothing has to be done, as the forge holds
// that already, or a newer one; empty if it is to be sent. The time of what the forge answered
// may be of an earlier process: good enough to keep Pending from replacing a later verdict, not
// to order two verdicts.
func (h holding) settles(s Status, fit func(Status) Status) Outcome {
	switch {
	case h.status == nil:
		return ""
	case h.ours && h.status.Same(s), !h.ours && h.status.Same(fit(s)):
		return Adopted
	case h.ours && outdated(s, *h.status), !h.ours && s.State == Pending && outdated(s, *h.status):
		return Superseded
	default:
		return ""
	}
}

// advance takes an entry one step further, with one call of its Reporter at most: it
// reads what the forge holds if that is not known, and sends otherwise.
func (q *Queue) advance(ctx context.Context, e *entry) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	held, known := q.known(e)
	if !known || held.open {
		q.ask(ctx, e, held)
		return
	}
	if !q.settled(e, held) {
		q.send(ctx, e)
	}
}

// known returns what the forge holds of the context of an entry, if that is known.
func (q *Queue) known(e *entry) (holding, bool) {
	held, known := q.held.Get(keyOf(e.item))
	if !known {
		return q.read(e)
	}
	return held.(holding), true //nolint:forcetypeassert // nothing else is put in
}

// ask reads what the forge holds. Where that is what was sent last, it is that, with its own
// time. Then it is the entry's turn again, unless there is nothing more to do.
func (q *Queue) ask(ctx context.Context, e *entry, before holding) {
	answer, found, err := q.latest(ctx, e)
	if err != nil {
		q.failed(ctx, e, err)
		return
	}
	q.answered(e.item.Destination)
	held := holding{}
	switch {
	case found && before.open && answer.Same(e.item.Destination.Fit(*before.status)):
		held = holding{status: before.status, ours: true}
	case found:
		held = holding{status: &answer}
	}
	q.held.Add(keyOf(e.item), held)
	if e.expected {
		q.forgo()
	} else if !q.settled(e, held) {
		q.again(e, e.due, true)
	}
}

// settled reports an entry with which nothing has to be done.
func (q *Queue) settled(e *entry, held holding) bool {
	s := e.item.Status
	outcome := held.settles(s, e.item.Destination.Fit)
	if outcome == "" {
		return false
	}
	if outcome == Adopted {
		q.held.Add(keyOf(e.item), holding{status: &s, ours: true})
	}
	q.done(e, outcome)
	return true
}

// send makes the status the newest of its context.
func (q *Queue) send(ctx context.Context, e *entry) {
	s := e.item.Status
	err := e.item.Destination.Set(ctx, s)
	if err == nil || unclear(err) {
		q.held.Add(keyOf(e.item), holding{status: &s, ours: true, open: err != nil})
	}
	if err != nil {
		q.failed(ctx, e, err)
		return
	}
	q.answered(e.item.Destination)
	for _, s := range scopes(e.item) {
		q.denials.Remove(s)
	}
	q.done(e, Sent)
}

// failed decides by the kind of an error what happens next.
func (q *Queue) failed(ctx context.Context, e *entry, err error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return // the queue ends
	}
	now := q.clock.Now()
	var limited *RateLimitedError
	final := false
	var next time.Time
	switch {
	case errors.As(err, &limited):
		next = q.pause(e.item.Destination, limited)
	case errors.Is(err, ErrNotFound) && q.lost(e, now), errors.Is(err, ErrUnauthorized), errors.Is(err, ErrRejected):
		err, final = q.refuse(e.item, err), true
	default:
		next = now.Add(e.backoff.NextBackOff())
	}
	switch {
	case e.expected:
		q.forgo() // whoever puts the status finds out
	case final:
		q.report(Result{Item: e.item, Outcome: Failed, Err: err})
	default:
		q.retry(e, err, next)
	}
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
	if newer.item.Destination.Account == e.item.Destination.Account {
		newer.first, newer.due, newer.backoff = e.first, e.due, e.backoff
	}
	if newer.item.Owner != e.item.Owner {
		q.settle(Result{Item: e.item, Outcome: Superseded})
	}
	return false
}

// forgo ends an entry of which nobody wants to know what became of it.
func (q *Queue) forgo() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sending = nil
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
