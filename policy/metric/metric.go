// Package metric asks a metrics server one question and returns its answer: the
// series that a query yields as of an instant.
//
// It tells apart what a caller decides on: no data, stale data, a query that is
// wrong, and a server that refuses, limits, fails or cannot be reached. It judges
// no value (that is package policy's), retries nothing, keeps nothing between two
// queries, and never shows a credential.
package metric

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A Querier answers a query as of an instant.
//
// The result has at least one series. That the query yields none is ErrNoData;
// the other errors are listed with it. A NaN is a value, and is kept. The query
// ends with ctx, and has no other timeout.
type Querier interface {
	Query(ctx context.Context, query string, at time.Time) (Result, error)
}

// A Result is what a query yields.
type Result struct {
	// Series are all series, in the server's order. A query that yields a
	// scalar has one, without labels.
	Series []Series
	// Warnings are the server's own remarks, such as that an answer is partial.
	Warnings []string
}

// A Series is one labelled value of a result.
type Series struct {
	// Labels include the metric's name as __name__, if it has one.
	Labels map[string]string
	// Value is in the unit that the query yields.
	Value float64
	// Time is that of the sample.
	Time time.Time
}

// Scalar is the value of a result of exactly one series.
func (r Result) Scalar() (value float64, ok bool) {
	if len(r.Series) != 1 {
		return 0, false
	}
	return r.Series[0].Value, true
}

// The errors that a Querier returns, wrapped with what the server said.
var (
	// ErrNoData is a query that yields no sample.
	ErrNoData = errors.New("no data")
	// ErrStale is a sample older than MaxAge.
	ErrStale = errors.New("stale data")
	// ErrBadQuery is a query that the server cannot evaluate: its author's error.
	ErrBadQuery = errors.New("the query is wrong")
	// ErrTooManySeries is an answer larger than MaxSeries or MaxBytes.
	ErrTooManySeries = errors.New("too many series")
	// ErrUnauthorized is a server that refuses the credentials, or misses them.
	ErrUnauthorized = errors.New("not authorized")
	// ErrRateLimited is a server that wants to be asked less often. The error is
	// a *RateLimitedError.
	ErrRateLimited = errors.New("rate limited")
	// ErrTimeout is a query that took longer than ctx, or than the server, allows.
	ErrTimeout = errors.New("timed out")
	// ErrUnreachable is a server that cannot be reached, or is out of order.
	ErrUnreachable = errors.New("unreachable")
	// ErrBadResponse is an answer that is not one of the provider's API: often
	// the URL is that of something else.
	ErrBadResponse = errors.New("unexpected answer")
)

// A RateLimitedError is ErrRateLimited, with the time to wait.
type RateLimitedError struct {
	// RetryAfter is how long the server asks to wait, or 0 if it does not say.
	RetryAfter time.Duration
}

// Error implements error.
func (e *RateLimitedError) Error() string {
	if e.RetryAfter == 0 {
		return ErrRateLimited.Error()
	}
	return fmt.Sprintf("%v: retry after %s", ErrRateLimited, e.RetryAfter)
}

// Is makes the error ErrRateLimited.
func (e *RateLimitedError) Is(target error) bool { return target == ErrRateLimited }

// A Provider is a metrics server and how to reach it.
type Provider struct {
	// Type is one of prometheus, and thanos and cortex, which speak the same API.
	Type string
	// URL is where the API begins: http or https, without credentials.
	URL string
	// User and Password are sent as basic authentication.
	User, Password string
	// BearerToken is sent instead of them.
	BearerToken string
	// InsecureSkipTLSVerify accepts any certificate.
	InsecureSkipTLSVerify bool
}

// String is the provider without its credentials.
func (p Provider) String() string {
	u, err := url.Parse(p.URL)
	if err != nil {
		return p.Type
	}
	return p.Type + " " + u.Redacted()
}

// GoString is String, so that %#v shows no credential either.
func (p Provider) GoString() string { return p.String() }

// What a Querier accepts at most, if no option says otherwise.
const (
	DefaultMaxSeries = 10_000
	DefaultMaxBytes  = 10 << 20
)

// An Option changes how a Querier works.
type Option func(*settings)

type settings struct {
	maxAge    time.Duration
	maxSeries int
	maxBytes  int64
	now       func() time.Time
}

// MaxAge makes a sample that is older than d at the queried instant ErrStale.
// The default is 0: any age. Prometheus itself dates what an expression yields to
// the queried instant, and looks back 5 minutes for samples by default; what is
// older it takes for no data.
func MaxAge(d time.Duration) Option { return func(s *settings) { s.maxAge = d } }

// MaxSeries limits the series of a result. The default is DefaultMaxSeries.
func MaxSeries(n int) Option { return func(s *settings) { s.maxSeries = n } }

// MaxBytes limits the size of an answer, once uncompressed. The default is
// DefaultMaxBytes.
func MaxBytes(n int64) Option { return func(s *settings) { s.maxBytes = n } }

// Clock sets what tells the time where a server says when to retry by date. The
// default is the wall clock.
func Clock(now func() time.Time) Option { return func(s *settings) { s.now = now } }

// queriers is every type of provider there is; a type is added here and nowhere
// else.
var queriers = map[string]func(Provider, settings) (Querier, error){
	"prometheus": newPrometheus,
	"thanos":     newPrometheus,
	"cortex":     newPrometheus,
}

// New returns what queries the provider. It does not ask it anything yet.
func New(p Provider, opts ...Option) (Querier, error) {
	s := settings{maxSeries: DefaultMaxSeries, maxBytes: DefaultMaxBytes, now: time.Now}
	for _, o := range opts {
		o(&s)
	}
	create, ok := queriers[p.Type]
	if !ok {
		return nil, fmt.Errorf("unknown type of metrics provider %q: there is %s", p.Type, strings.Join(types(), ", "))
	}
	return create(p, s)
}

// types are the known types, sorted.
func types() []string {
	var names []string
	for name := range queriers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
