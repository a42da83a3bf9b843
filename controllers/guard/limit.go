package guard

import (
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate is how often a route may be called.
type Rate struct {
	// Each is how many requests a second one remote address may send, whoever that is;
	// All how many of those who are let in may send together. The address is that of
	// the connection: what a proxy says of those behind it anyone could write.
	Each, All rate.Limit
	// Burst is how many requests of one remote address may come at once. Of all
	// together as many may as All allows in a second, and Burst at least.
	Burst int
}

// maxAddresses is how many remote addresses a route tells apart. While as many are
// busy all others share one limit, so that nobody escapes his own by having many.
const maxAddresses = 1024

// A limiter holds to the rate of a route.
type limiter struct {
	rate Rate
	now  func() time.Time

	mu     sync.Mutex
	all    *rate.Limiter
	each   map[string]*rate.Limiter
	others *rate.Limiter
}

// newLimiter returns nil, which sets no limit, for the zero rate.
func newLimiter(r Rate, now func() time.Time) *limiter {
	if r == (Rate{}) {
		return nil
	}
	return &limiter{
		rate: r, now: now,
		all: rate.NewLimiter(r.All, max(r.Burst, int(r.All))), others: rate.NewLimiter(r.Each, r.Burst),
		each: map[string]*rate.Limiter{},
	}
}

// wait is how long a remote address has to wait; nothing if it may go on.
func (l *limiter) wait(remote string) time.Duration {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	return delay(l.of(remote, now), now)
}

// waitOfAll is how long whoever calls next has to wait.
func (l *limiter) waitOfAll() time.Duration {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return delay(l.all, l.now())
}

// delay takes a token, or says when there is one. What it does in two steps no other may
// come between.
func delay(l *rate.Limiter, now time.Time) time.Duration {
	r := l.ReserveN(now, 1)
	if !r.OK() {
		return time.Minute
	}
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// of is the limiter of a remote address.
func (l *limiter) of(remote string, now time.Time) *rate.Limiter {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	if mine := l.each[host]; mine != nil {
		return mine
	}
	if len(l.each) >= maxAddresses {
		for address, idle := range l.each {
			if idle.TokensAt(now) >= float64(l.rate.Burst) {
				delete(l.each, address)
			}
		}
	}
	if len(l.each) >= maxAddresses {
		return l.others
	}
	mine := rate.NewLimiter(l.rate.Each, l.rate.Burst)
	l.each[host] = mine
	return mine
}
