package forge

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
)

const (
	// requestTimeout bounds one request to a forge.
	requestTimeout = 30 * time.Second
	// notFoundFor is how long a forge may take to show a commit that was just
	// pushed.
	notFoundFor = 10 * time.Minute
	// firstRetry and lastRetry are the shortest and the longest pause between
	// two tries of a status, before jitter of half of it either way.
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
	// idle is how long a queue with nothing to do sleeps if nobody wakes it.
	idle = time.Hour
)

// ErrQueueFull is the error of a status that had waited longest when there was
// no more room.
var ErrQueueFull = errors.New("too many statuses wait for this host: report it again later")

// Item is a status on its way.
type Item struct {
	// Owner is whoever wants to know what became of it; returned with the
	// Result and not looked at.
	Owner string
	// Destination is where it goes.
	Destination Destination
	// Status is what is said. A zero Time stands for the time of Put.
	Status Status
}

// Outcome is what became of an Item.
type Outcome string

const (
	// Sent: the forge has taken it in.
	Sent Outcome = "Sent"
	// Adopted: the forge already said so, and nothing was sent.
	Adopted Outcome = "Adopted"
	// Superseded: not sent, because the context has a newer status, or another
	// owner's.
	Superseded Outcome = "Superseded"
	// Retrying: failed for now; it is tried again.
	Retrying Outcome = "Retrying"
	// Failed: given up. Put it again once the reason is gone.
	Failed Outcome = "Failed"
)

// Result is what became of an Item. Every Item comes to one Result other than
// Retrying, unless the same owner's next status for its context replaces it
// while it waits, or says the same while it is sent, the queue ends, or whoever handles results is behind by twice
// the queue's capacity.
type Result struct {
	// Item is what was put.
	Item Item
	// Outcome says what happened.
	Outcome Outcome
	// Err is why, for Retrying and Failed.
	Err error
	// Next is when it is tried again, for Retrying.
	Next time.Time
}

// Option changes what a queue does by default.
type Option func(*settings)

// settings are what the options change.
type settings struct {
	clock    clock.Clock
	limit    rate.Limit
	burst    int
	capacity int
}

// WithClock tells the time. Defaults to the wall clock.
func WithClock(c clock.Clock) Option { return func(s *settings) { s.clock = c } }

// WithRate limits the calls to one host, reads included: so many per second, and burst of
// them at once. Most are one request; GitLab is asked before it is told. Defaults to 5 per
// second and 10.
func WithRate(limit rate.Limit, burst int) Option {
	return func(s *settings) { s.limit, s.burst = limit, max(burst, 1) }
}

// WithCapacity bounds how many statuses may wait for one host, and how many
// contexts are remembered as sent. Defaults to 10000.
func WithCapacity(n int) Option { return func(s *settings) { s.capacity = max(n, 1) } }

// Queue delivers the statuses of one host, one request at a time.
//
// Of several statuses for one context of one commit only the last is kept
// while they wait. Put may come late or twice, from several goroutines, so the
// order of a context is that of Status.Time: a status older than the one that
// waits or was sent is not sent, and Pending replaces a verdict only if it is
// later than the verdict, which is how a caller says that a new evaluation
// began.
//
// The first time that a context is written in this process, and after every
// failure that leaves open whether the status was taken in, the queue reads what
// the forge holds and adopts it if it says the same; where that tells of all contexts
// of the commit, they are known for a minute. Expect has it read before there is a status.
//
// Repositories are served in turn. At most capacity statuses wait; the one that
// has waited longest then makes room and fails with ErrQueueFull. A forge that asks
// for a pause gets it from the account that it asks, or from all, and a longer one each
// time that it asks again at once.
//
// What a forge refuses fails, and so does, without being tried, what else the refusal
// speaks for: all of an account whose credentials are wrong, a commit where they may not
// do this, or the same status. One is tried again after a while, which doubles from a
// second to an hour, until one is sent. Another account is another matter at once.
type Queue struct {
	settings
	handle  func(Result)
	limiter *rate.Limiter
	wake    chan struct{}

	// held is what the forge is known to hold, a holding for each key, and readings are what
	// came with the answers to the last few questions for one of them.
	held, readings *lru.Cache
	// denials are what the forge has refused, by their scopes.
	denials *lru.Cache

	mu       sync.Mutex
	pauses   map[string]quiet // by the account that is asked for them; of all without one
	waiting  waiting
	sending  *entry // taken out of waiting while its request runs
	arrivals int64
	results  []Result // to be handled by Run
}

// NewQueue returns a queue that hands every Result to handle. handle is called
// by Run, one call at a time, and may call Put; while it runs nothing is sent.
func NewQueue(handle func(Result), options ...Option) *Queue {
	s := settings{clock: clock.RealClock{}, limit: 5, burst: 10, capacity: 10000}
	for _, o := range options {
		o(&s)
	}
	return &Queue{
		settings: s,
		handle:   handle,
		limiter:  rate.NewLimiter(s.limit, s.burst),
		wake:     make(chan struct{}, 1),
		held:     lru.New(s.capacity),
		readings: lru.New(maxReadings),
		denials:  lru.New(s.capacity),
		pauses:   map[string]quiet{},
		waiting:  waiting{byKey: map[key]*entry{}},
	}
}

// Put accepts a status. It never waits for the forge, and may be called before
// Run.
func (q *Queue) Put(item Item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	if item.Status.Time.IsZero() {
		item.Status.Time = now
	}
	q.accept(item, now)
	q.rouse()
}

// Expect has read what the forge holds of a context of a commit, unless that is known, so
// that a status which is put for it soon need not wait for the answer. It never waits for the
// forge, and nobody is told of what goes wrong.
func (q *Queue) Expect(destination Destination, commit, context string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	item := Item{Destination: destination, Status: Status{Commit: commit, Context: context}}
	k := keyOf(item)
	_, known := q.known(&entry{item: item})
	if known || q.waiting.byKey[k] != nil || q.sending != nil && keyOf(q.sending.item) == k || len(q.waiting.byKey) >= q.capacity {
		return
	}
	q.add(item, q.clock.Now(), true)
	q.rouse()
}

// accept decides what an item replaces.
func (q *Queue) accept(item Item, now time.Time) {
	k := keyOf(item)
	if s := q.sending; s != nil && !s.expected && keyOf(s.item) == k {
		switch {
		case outdated(item.Status, s.item.Status):
			q.settle(Result{Item: item, Outcome: Superseded})
			return
		case item.Owner == s.item.Owner && item.Destination.Account == s.item.Destination.Account && item.Status.Same(s.item.Status) && q.waiting.byKey[k] == nil:
			return // its result is that of the one that is sent
		}
	}
	if w := q.waiting.byKey[k]; w != nil {
		q.replace(w, item, now)
		return
	}
	if len(q.waiting.byKey) >= q.capacity {
		if dropped := q.waiting.dropOldest(); !dropped.expected {
			q.settle(Result{Item: dropped.item, Outcome: Failed, Err: ErrQueueFull})
		}
	}
	q.add(item, now, false)
}

// replace puts an item in the place of one that waits, unless that is the newer one.
func (q *Queue) replace(w *entry, item Item, now time.Time) {
	switch {
	case w.expected:
		w.expected, w.first = false, now
	case outdated(item.Status, w.item.Status):
		q.settle(Result{Item: item, Outcome: Superseded})
		return
	case w.item.Owner != item.Owner:
		q.settle(Result{Item: w.item, Outcome: Superseded})
	}
	if w.item.Destination.Account != item.Destination.Account {
		w.due = now
	}
	w.item = item
}

// add has an entry wait.
func (q *Queue) add(item Item, now time.Time, expected bool) {
	q.arrivals++
	q.waiting.add(&entry{item: item, expected: expected, arrived: q.arrivals, first: now, due: now, backoff: retries()}, false)
}

// retries are the pauses between tries.
func retries() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval:     firstRetry,
		MaxInterval:         lastRetry,
		Multiplier:          2,
		RandomizationFactor: backoff.DefaultRandomizationFactor,
	}
}

// outdated reports whether s must give way to current, which a caller put for
// the same context.
func outdated(s, current Status) bool {
	if s.State == Pending && current.State.Final() {
		return !s.Time.After(current.Time)
	}
	return s.Time.Before(current.Time)
}

// settle leaves a result for Run to hand over. Nobody waits for more of them
// than statuses can wait.
func (q *Queue) settle(r Result) {
	if len(q.results) < 2*q.capacity {
		q.results = append(q.results, r)
	}
}

// rouse wakes Run.
func (q *Queue) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Run delivers until ctx is done, and then returns nil. A request that runs at
// that moment is cut short: whether it had its effect is found out by reading,
// after the next start.
func (q *Queue) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		q.handOver()
		if e, wait := q.take(); e != nil {
			q.advance(ctx, e)
		} else {
			q.sleep(ctx, wait)
		}
	}
	q.handOver()
	return nil
}

// handOver gives the results so far to whoever handles them.
func (q *Queue) handOver() {
	q.mu.Lock()
	results := q.results
	q.results = nil
	q.mu.Unlock()
	for _, r := range results {
		q.handle(r)
	}
}

// take returns the entry whose turn it is, or how long to wait for one.
func (q *Queue) take() (*entry, time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	turn := q.limiter.ReserveN(now, 1)
	if delay := turn.DelayFrom(now); delay > 0 {
		turn.CancelAt(now)
		return nil, delay
	}
	e, due := q.waiting.next(now, q.pausedUntil)
	for ; e != nil; e, due = q.waiting.next(now, q.pausedUntil) {
		err := q.refused(e.item, now)
		if err == nil {
			q.sending = e
			return e, 0
		}
		if !e.expected {
			q.settle(Result{Item: e.item, Outcome: Failed, Err: err})
			q.rouse()
		}
	}
	turn.CancelAt(now)
	if due.IsZero() {
		return nil, idle
	}
	return nil, due.Sub(now)
}

// sleep waits for a Put, for the time to pass, or for the end.
func (q *Queue) sleep(ctx context.Context, wait time.Duration) {
	timer := q.clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-q.wake:
	case <-timer.C():
	}
}
