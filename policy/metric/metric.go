// Package metric is the language of measurements: a query, the series that it
// yields, how their samples are reduced to a number, and why there may be none.
//
// It asks nothing itself. The packages below it do: connect reaches a server,
// provider speaks its API, fabric shares and limits the queries of all consumers,
// and poll keeps answers fresh.
package metric

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/keptn/gitops/outbound"
)

// A Querier answers queries to one provider.
//
// The result has at least one series, and each series at least one sample. That
// the query yields none is ErrNoData; the other errors are listed with it. A NaN
// or an infinity is a value, and is kept. A query ends with ctx, and is asked
// once: neither repeated nor remembered.
type Querier interface {
	Query(ctx context.Context, q Query) (Result, error)
}

// A Query is a question to a provider.
type Query struct {
	// Expr is the question in the provider's own language, without placeholders.
	Expr string
	// At is the instant that is asked about, and the end of the window. It has to
	// be set.
	At time.Time
	// Window is how far back the question reaches. 0 asks for the values as of At;
	// a provider that knows no instant takes the last 5 minutes.
	Window time.Duration
	// Step is the time between two samples of a series within the window. 0 asks
	// for one sample per series: what the provider says of the whole window, which
	// is the mean for Datadog and Dynatrace, and the last value for the others.
	Step time.Duration
	// Args are the further arguments that a provider knows, such as metricPath for
	// Elastic. The others are ignored.
	Args map[string]string
	// Lines asks for the log lines behind the numbers, where the provider has any.
	Lines bool
}

// From is the begin of the window, or At where there is none.
func (q Query) From() time.Time { return q.At.Add(-q.Window) }

// A Result is what a query yields.
type Result struct {
	// Series are all series, in the server's order. A query that yields a
	// scalar has one, without labels.
	Series []Series
	// Overall is the number that the provider takes for a result of several
	// series, where it has such a custom: the first for Datadog, and the mean over
	// all for Dynatrace, as in Keptn. It is nil for the others.
	Overall *float64
	// Raw is the answer as JSON, without what surrounds the values.
	Raw []byte
	// Lines are the newest log lines behind the numbers, newest first, where the
	// provider has any: Loki.
	Lines []string
	// Warnings are the server's own remarks, such as that an answer is partial.
	Warnings []string
}

// A Series is the samples of one set of labels.
type Series struct {
	// Labels include the metric's name as __name__, if it has one.
	Labels map[string]string
	// Samples are the values in the order of time: one, or those of a window.
	Samples []Sample
}

// Last is the newest sample.
func (s Series) Last() Sample { return s.Samples[len(s.Samples)-1] }

// A Sample is a value at a time.
type Sample struct {
	Time time.Time
	// Value is in the unit that the query yields.
	Value float64
}

// Samples are those of all series, series by series.
func (r Result) Samples() []Sample {
	var all []Sample
	for _, s := range r.Series {
		all = append(all, s.Samples...)
	}
	return all
}

// Number is the newest value of a result of one series, or the Overall value of
// one of several. ErrTooManySeries says that there is no such number.
func (r Result) Number() (float64, error) {
	switch {
	case len(r.Series) == 1:
		return r.Series[0].Last().Value, nil
	case r.Overall != nil:
		return *r.Overall, nil
	case len(r.Series) == 0:
		return 0, ErrNoData
	default:
		return 0, fmt.Errorf("%w: the query yields %d, and a number is one: aggregate them", ErrTooManySeries, len(r.Series))
	}
}

// The errors that a Querier returns, wrapped with what the server said.
var (
	// ErrNoData is a query that yields no sample.
	ErrNoData = errors.New("no data")
	// ErrStale is a sample too old to judge by.
	ErrStale = errors.New("stale data")
	// ErrBadQuery is a query that the server cannot evaluate: its author's error.
	ErrBadQuery = errors.New("the query is wrong")
	// ErrTooManySeries is an answer with more series, or of more bytes, than are
	// accepted.
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
	// ErrForbiddenAddress is a server at an address that the administrator does
	// not allow.
	ErrForbiddenAddress = outbound.ErrForbidden
	// ErrBadResponse is an answer that is not one of the provider's API: often
	// the URL is that of something else.
	ErrBadResponse = errors.New("unexpected answer")
	// ErrConfig is a provider that cannot be asked as it is configured.
	ErrConfig = errors.New("the provider is misconfigured")
)

// Reason is the error in one word of a condition's reason: NoData, Stale,
// BadQuery, TooManySeries, Unauthorized, RateLimited, Timeout, Unreachable,
// ForbiddenAddress, BadResponse, Misconfigured, or Failed for any other.
func Reason(err error) string {
	for _, r := range []struct {
		is   error
		name string
	}{
		{ErrNoData, "NoData"},
		{ErrStale, "Stale"},
		{ErrBadQuery, "BadQuery"},
		{ErrTooManySeries, "TooManySeries"},
		{ErrUnauthorized, "Unauthorized"},
		{ErrRateLimited, "RateLimited"},
		{ErrTimeout, "Timeout"},
		{ErrForbiddenAddress, "ForbiddenAddress"},
		{ErrUnreachable, "Unreachable"},
		{ErrBadResponse, "BadResponse"},
		{ErrConfig, "Misconfigured"},
	} {
		if errors.Is(err, r.is) {
			return r.name
		}
	}
	return "Failed"
}

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

// An AnsweredError is the error of a server that did answer, such as that a query
// took longer than the server allows: whatever the error, the server is up.
type AnsweredError struct {
	// Err is the error itself.
	Err error
}

// Error implements error.
func (e *AnsweredError) Error() string { return e.Err.Error() }

// Unwrap returns the error itself.
func (e *AnsweredError) Unwrap() error { return e.Err }
