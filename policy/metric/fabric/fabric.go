// Package fabric is the one way to metrics providers: every query of every
// consumer goes through it, so that what many ask is asked once, a provider gets
// no more than it bears, and one that is down costs little.
//
// What it keeps is in memory and short-lived. It never changes a query or an
// answer, never hands one server's answer to the asker of another, and never
// shows a credential.
package fabric

import (
	"context"
	"net/url"
	"sync"
	"time"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// A Fabric asks queries. It is safe for concurrent use.
//
// A server is told apart by all of connect.Server: its spec, its secret and its
// certificates. Each has a client, limits and a health of its own, so that a
// rotated secret is in use at once, and the trouble of one is not that of another.
type Fabric struct {
	open    func(connect.Server) (metric.Querier, error)
	options options
	now     func() time.Time
	rooms   rooms

	mu       sync.Mutex // guards the rest
	flights  map[digest]*flight
	answers  *cache
	clients  map[digest]*client
	instants map[time.Duration]time.Time
}

// An Option changes what a Fabric does by default.
type Option func(*options)

type options struct {
	// For how long an answer is kept for those who ask the same again, how many are
	// kept, and of how many bytes together. An error that is the query's or the
	// configuration's is kept too, for 10 seconds at most. An answer larger than an
	// eighth of all bytes is not kept.
	keep       time.Duration
	maxAnswers int
	maxBytes   int64
	// How many clients that nobody uses are kept, and for how long, with their
	// connections. Those in use are not bounded by it.
	maxClients int
	idle       time.Duration
	// How many queries are open at a time at all servers that answer (see rooms).
	concurrent int
	observe    func(Event)
}

// defaults are what a Fabric does unless an Option changes it.
func defaults() options {
	return options{
		keep: time.Minute, maxAnswers: 10_000, maxBytes: 64 << 20,
		maxClients: 256, idle: 10 * time.Minute, concurrent: 64,
	}
}

// Observe is told of every query when it ends, by the goroutine that asked it.
func Observe(f func(Event)) Option { return func(o *options) { o.observe = f } }

// An Event is a query that ended.
type Event struct {
	// Type is what the server speaks.
	Type metricsv1.ProviderType
	// Server is its address without credentials and parameters. It is empty where
	// the provider has none, as a cloud.
	Server string
	// Duration is how long the caller waited for it.
	Duration time.Duration
	// Cached is an answer to somebody else's question: one that was kept, or one
	// that was under way already. The others are what the server was asked.
	Cached bool
	// Err is what the caller got.
	Err error
}

// New returns a Fabric whose clients are opened by open, which is provider.Open.
func New(open func(connect.Server) (metric.Querier, error), opts ...Option) *Fabric {
	o := defaults()
	for _, opt := range opts {
		opt(&o)
	}
	return &Fabric{
		open:     open,
		options:  o,
		now:      time.Now,
		rooms:    newRooms(o.concurrent),
		flights:  map[digest]*flight{},
		answers:  newCache(o.keep, o.maxAnswers, o.maxBytes),
		clients:  map[digest]*client{},
		instants: map[time.Duration]time.Time{},
	}
}

// Query asks the server, or shares the answer to the same query: of the same
// server, expression, instant, window, step and arguments.
//
// The result is shared: whoever changes it changes it for others. The server and
// the query must not change either while the query runs.
//
// A query ends with ctx for its caller, and for the server once all its callers
// are gone, or after the timeout of its spec. Within that time the query waits for
// its turn, and is asked up to three times if it ends as metric.ErrUnreachable,
// metric.ErrTimeout or metric.ErrRateLimited.
//
// A server that limits its rate is left alone for the time that it asks for, or 5
// minutes at most. One that is down, so that 5 queries in a row were unreachable or
// timed out, is asked by one query at a time, and once per second at most, until it
// answers. The other queries fail at once: with metric.RateLimitedError and the
// rest of the time, or with the last error. A server that hangs takes nothing from
// those that answer: each of these can always be asked one query at least.
func (f *Fabric) Query(ctx context.Context, s connect.Server, q metric.Query) (metric.Result, error) {
	if f.options.observe == nil {
		a, _ := f.query(ctx, s, q)
		return a.result, a.err
	}
	began := f.now()
	a, cached := f.query(ctx, s, q)
	f.options.observe(Event{
		Type:     s.Spec.Type,
		Server:   address(s.Spec.TargetServer),
		Duration: f.now().Sub(began),
		Cached:   cached,
		Err:      a.err,
	})
	return a.result, a.err
}

// query is Query, and whether the answer is that to another's question.
func (f *Fabric) query(ctx context.Context, s connect.Server, q metric.Query) (answer, bool) {
	if ctx.Err() != nil {
		return answer{err: ended(ctx)}, false
	}
	server, err := digestOf(s)
	if err != nil {
		return answer{err: err}, false
	}
	key := keyOf(server, q)
	f.mu.Lock()
	if a, ok := f.answers.get(key, f.now()); ok {
		f.mu.Unlock()
		return a, true
	}
	shared, joined := f.flights[key]
	if !joined {
		shared = f.begin(ctx, key, server, s, q)
	}
	shared.callers++
	f.mu.Unlock()

	select {
	case <-shared.done:
		return shared.answer, joined
	case <-ctx.Done():
		err := shared.left(ctx)
		f.leave(key, shared)
		return answer{err: err}, joined
	}
}

// address is a URL without what may be secret in it.
func address(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
