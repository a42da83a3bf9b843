package forge

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// firstRefused and lastRefused are the shortest and the longest time for which what a forge
// has refused is not tried again.
const (
	firstRefused = time.Second
	lastRefused  = time.Hour
)

// A scope is what a refusal speaks for: all that goes out with credentials, what goes with
// them to a commit, or one context. Empty fields stand for any.
type scope struct {
	account string
	key
}

// scopes are those that an item is in, the widest first.
func scopes(i Item) [3]scope {
	account, k := i.Destination.Account, keyOf(i)
	return [3]scope{{account: account}, {account, commitOf(i)}, {account, k}}
}

// refusedScope is what an error about an item speaks for. What a token may do can be another
// thing at each commit, as where GitLab protects a branch.
func refusedScope(i Item, err error) scope {
	all := scopes(i)
	switch {
	case errors.Is(err, ErrRejected), errors.Is(err, ErrNotFound):
		return all[2]
	case errors.Is(err, ErrForbidden):
		return all[1]
	default:
		return all[0]
	}
}

// A denial is that a forge has refused something, and is left alone with it for a while.
type denial struct {
	err    error
	until  time.Time
	status Status // what was refused, where that is one context
	pauses *backoff.ExponentialBackOff
}

// refuse remembers a denial, and returns its error.
func (q *Queue) refuse(i Item, err error) error {
	s := refusedScope(i, err)
	r := denial{status: i.Status, pauses: &backoff.ExponentialBackOff{InitialInterval: firstRefused, MaxInterval: lastRefused, Multiplier: 2}}
	if before, known := q.denial(s); known {
		r.pauses = before.pauses
	}
	r.until = q.clock.Now().Add(r.pauses.NextBackOff())
	untried := func(err error) error {
		return fmt.Errorf("%w: not tried again before %s, unless with other credentials", err, r.until.UTC().Format(time.RFC3339))
	}
	r.err = untried(err)
	if answer := (*answerError)(nil); s.context == "" && errors.As(err, &answer) {
		r.err = untried(answer) // others are not told whose commit it was
	}
	q.denials.Add(s, r)
	return untried(err)
}

// refused is why an item is not tried now; nil if it is.
func (q *Queue) refused(i Item, now time.Time) error {
	for _, s := range scopes(i) {
		r, known := q.denial(s)
		if known && now.Before(r.until) && (s.context == "" || r.status.Same(i.Status)) {
			return r.err
		}
	}
	return nil
}

// lost says of a commit that the forge does not have that there is no use in waiting for it:
// it had its time to show up.
func (q *Queue) lost(e *entry, now time.Time) bool {
	r, known := q.denial(scopes(e.item)[2])
	return known && r.status.Same(e.item.Status) || now.Sub(e.first) >= notFoundFor
}

// denial is what was refused last in a scope.
func (q *Queue) denial(s scope) (denial, bool) {
	if known, ok := q.denials.Get(s); ok {
		return known.(denial), true //nolint:forcetypeassert // nothing else is put in
	}
	return denial{}, false
}

// A quiet is a pause that a forge has asked for.
type quiet struct {
	until time.Time
	// least is the shortest that the next one may be.
	least *backoff.ExponentialBackOff
}

// pause keeps quiet whoever is asked to be, and returns until when.
func (q *Queue) pause(d Destination, limited *RateLimitedError) time.Time {
	whose := d.Account
	if limited.Host {
		whose = ""
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	maps.DeleteFunc(q.pauses, func(_ string, p quiet) bool { return now.Sub(p.until) > lastRetry })
	p, known := q.pauses[whose]
	if !known {
		p.least = retries()
	}
	p.until = now.Add(max(limited.RetryAfter, p.least.NextBackOff()))
	q.pauses[whose] = p
	return p.until
}

// pausedUntil is until when nothing is asked of a destination.
func (q *Queue) pausedUntil(d Destination) time.Time {
	host, own := q.pauses[""].until, q.pauses[d.Account].until
	if host.After(own) {
		return host
	}
	return own
}

// answered forgets the pauses of a forge that has answered.
func (q *Queue) answered(d Destination) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.pauses, "")
	delete(q.pauses, d.Account)
}
