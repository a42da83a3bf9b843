// Package poll keeps answers fresh: it asks the same query again and again, at
// even intervals, for as long as somebody follows it.
//
// Those who follow the same query share it. The package neither repeats a question
// that failed nor limits how many are open: what asks for it does (package fabric).
package poll

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/keptn/gitops/policy/metric"
)

const (
	// minInterval is the shortest interval.
	minInterval = time.Second
	// maxRaw is the size in bytes up to which the raw answer is kept.
	maxRaw = 1 << 20
)

// A Subject is what is asked, of whom, and how often. Equal subjects are one.
type Subject[T comparable] struct {
	// Target is of whom it is asked, as a provider's namespace and name. What
	// fmt prints of it has to be the same after a restart, so it holds no pointer.
	Target T
	// Expr, Window and Step are those of metric.Query.
	Expr         string
	Window, Step time.Duration
	// Reducer makes one number of the answer, as metric.Result.Reduce does.
	Reducer metric.Reducer
	// Interval is the time from one question to the next. It is a second at least.
	Interval time.Duration
}

// A Reading is how a question ended.
type Reading struct {
	// At is the instant that was asked about.
	At time.Time
	// Result is the answer if Err is nil, reduced to one number: a series of one
	// sample, and of Raw the first MiB. It is shared: whoever changes it changes it
	// for others.
	Result metric.Result
	// Err is why there is no number.
	Err error
}

// A Poller asks on behalf of followers, each known by an id. It is safe for
// concurrent use.
type Poller[K, T comparable] struct {
	ask    func(context.Context, T, metric.Query) (metric.Result, error)
	notify func(K)
	now    func() time.Time

	mu        sync.Mutex // guards the rest
	subjects  map[K]Subject[T]
	schedules map[Subject[T]]*schedule[K, T]
	start     func(*schedule[K, T]) // nil unless it runs
}

// New returns a Poller that asks with ask, and tells with notify whose reading is
// new. It calls notify for one id of a subject after the other, and goes on with
// that subject once the calls have returned; those of other subjects go on
// meanwhile. An id just forgotten may be told once more.
func New[K, T comparable](ask func(context.Context, T, metric.Query) (metric.Result, error), notify func(K)) *Poller[K, T] {
	return &Poller[K, T]{
		ask:       ask,
		notify:    notify,
		now:       time.Now,
		subjects:  map[K]Subject[T]{},
		schedules: map[Subject[T]]*schedule[K, T]{},
	}
}

// Follow asks s for id from now on, and no more what id followed before. To follow
// the same subject again changes nothing.
//
// All are asked at aligned instants, which are an interval apart, the same after a
// restart, and spread evenly over the interval from one subject to another. last
// is of when id's newest reading is. If it is zero, or older than the interval, or
// of another subject, then the first question is asked at once, about the current
// second. A subject that others follow already has their reading, without notice.
func (p *Poller[K, T]) Follow(id K, s Subject[T], last time.Time) {
	s.Interval = max(s.Interval, minInterval)
	p.mu.Lock()
	defer p.mu.Unlock()
	if before, ok := p.subjects[id]; ok {
		if before == s {
			return
		}
		p.forget(id)
		last = time.Time{}
	}
	p.subjects[id] = s
	one, ok := p.schedules[s]
	if !ok {
		one = newSchedule[K](s)
		p.schedules[s] = one
		if p.start != nil {
			p.start(one)
		}
	}
	one.followers[id] = struct{}{}
	if one.reading == nil && p.now().Sub(last) > s.Interval {
		one.hurry()
	}
}

// Forget ends what id follows. The question that is under way is cancelled if
// nobody else follows it.
func (p *Poller[K, T]) Forget(id K) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(id)
}

func (p *Poller[K, T]) forget(id K) {
	s, ok := p.subjects[id]
	if !ok {
		return
	}
	delete(p.subjects, id)
	one := p.schedules[s]
	delete(one.followers, id)
	if len(one.followers) > 0 {
		return
	}
	delete(p.schedules, s)
	if one.cancel != nil {
		one.cancel()
	}
}

// Latest is the newest reading of what id follows, if there is one yet.
func (p *Poller[K, T]) Latest(id K) (Reading, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.schedules[p.subjects[id]]
	if one == nil || one.reading == nil {
		return Reading{}, false
	}
	return *one.reading, true
}

// Run asks until ctx ends, and returns nil once no question is under way any more.
// Nothing is asked before. A Poller runs once at a time.
func (p *Poller[K, T]) Run(ctx context.Context) error {
	var running sync.WaitGroup
	if err := p.begin(ctx, &running); err != nil {
		return err
	}
	<-ctx.Done()
	p.mu.Lock()
	p.start = nil // before Wait, so that none is added meanwhile
	p.mu.Unlock()
	running.Wait()
	return nil
}

// begin starts all schedules, and lets Follow start those to come.
func (p *Poller[K, T]) begin(ctx context.Context, running *sync.WaitGroup) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.start != nil {
		return errors.New("the poller runs already")
	}
	p.start = func(one *schedule[K, T]) {
		var own context.Context
		own, one.cancel = context.WithCancel(ctx)
		running.Go(func() { p.keep(own, one) })
	}
	for _, one := range p.schedules {
		p.start(one)
	}
	return nil
}
