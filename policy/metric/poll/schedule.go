package poll

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/keptn/gitops/policy/metric"
)

// A schedule is when a subject is asked, and what came of it.
type schedule[K, T comparable] struct {
	subject Subject[T]
	phase   time.Duration // of its instants within the interval
	atOnce  chan struct{} // holds a value if the first question is due

	followers map[K]struct{}     // this and the next two are guarded by Poller.mu
	reading   *Reading           // nil before the first
	cancel    context.CancelFunc // nil unless it runs
}

func newSchedule[K, T comparable](s Subject[T]) *schedule[K, T] {
	return &schedule[K, T]{
		subject:   s,
		phase:     phaseOf(s),
		atOnce:    make(chan struct{}, 1),
		followers: map[K]struct{}{},
	}
}

// phaseOf is the subject's place within its interval, in whole milliseconds, which
// is as precise as the providers are.
func phaseOf[T comparable](s Subject[T]) time.Duration {
	sum := sha256.Sum256(fmt.Appendf(nil, "%v\x00%s\x00%d %d %d", s.Target, s.Expr, s.Window, s.Step, s.Interval))
	n := binary.BigEndian.Uint64(sum[:]) % uint64(s.Interval) //nolint:gosec // the interval is positive
	return time.Duration(n).Truncate(time.Millisecond)        //nolint:gosec // and the rest less than that
}

// hurry makes the first question due, unless it is already.
func (one *schedule[K, T]) hurry() {
	select {
	case one.atOnce <- struct{}{}:
	default:
	}
}

// next is the first aligned instant that is not before now, and not last.
func (one *schedule[K, T]) next(now, last time.Time) time.Time {
	interval := one.subject.Interval
	next := now
	if over := time.Duration(now.UnixNano()-int64(one.phase)) % interval; over != 0 {
		next = now.Add(interval - over)
	}
	if next.UnixNano() == last.UnixNano() {
		next = next.Add(interval)
	}
	return next
}

// keep asks the subject until ctx ends.
func (p *Poller[K, T]) keep(ctx context.Context, one *schedule[K, T]) {
	var at time.Time
	for ctx.Err() == nil {
		var due bool
		if at, due = p.await(ctx, one, at); !due {
			return
		}
		s := one.subject
		result, err := p.ask(ctx, s.Target, metric.Query{Expr: s.Expr, At: at.UTC(), Window: s.Window, Step: s.Step})
		if ctx.Err() != nil {
			return
		}
		for _, id := range p.read(one, Reading{At: at.UTC(), Result: result, Err: err}) {
			p.notify(id)
		}
	}
}

// await returns the instant to ask about once it has come. It is false if ctx ends
// before.
func (p *Poller[K, T]) await(ctx context.Context, one *schedule[K, T], last time.Time) (time.Time, bool) {
	now := p.now()
	next := one.next(now, last)
	timer := time.NewTimer(next.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return next, true
	case <-one.atOnce:
		return p.now().Truncate(time.Second), true
	case <-ctx.Done():
		return time.Time{}, false
	}
}

// reduced is a reading without what nobody needs once the number is known: answers
// are kept for as long as they are the newest.
func reduced(r Reading, reducer metric.Reducer) Reading {
	if r.Err != nil {
		return Reading{At: r.At, Err: r.Err}
	}
	number, err := r.Result.Reduce(reducer)
	if err != nil {
		return Reading{At: r.At, Err: err}
	}
	last := r.Result.Series[0].Last().Time
	raw := r.Result.Raw
	if len(raw) > maxRaw {
		raw = slices.Clone(raw[:maxRaw])
	}
	return Reading{At: r.At, Result: metric.Result{
		Series: []metric.Series{{Samples: []metric.Sample{{Time: last, Value: number}}}}, Raw: raw,
	}}
}

// read keeps a reading, and returns whom to tell.
func (p *Poller[K, T]) read(one *schedule[K, T], r Reading) []K {
	r = reduced(r, one.subject.Reducer)
	p.mu.Lock()
	defer p.mu.Unlock()
	one.reading = &r
	select {
	case <-one.atOnce: // asked for while the question was under way
	default:
	}
	return slices.Collect(maps.Keys(one.followers))
}
