package fabric

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

const (
	// downAfter is after how many queries in a row that end unreachable or timed
	// out, tries included, a server counts as down.
	downAfter = 5
	// probeEvery is how long a server that is down is left alone.
	probeEvery = time.Second
	// pause is how long a server that limits its rate is left alone where it does
	// not say how long, and maxPause how long at most where it does: it is asked
	// again then, and may say so again.
	pause    = time.Second
	maxPause = 5 * time.Minute
)

// health is what the last queries say of a server.
//
// One that limits its rate is left alone until the time that it asks for; queries
// before fail at once with metric.RateLimitedError and the rest of it. One that is
// down (https://martinfowler.com/bliki/CircuitBreaker.html) is asked by one query
// at a time, once per second at most and without a second try, and by all again
// once it answers one; the other queries fail at once with the last error.
type health struct {
	mu       sync.Mutex
	resumes  time.Time // when it may be asked again after a rate limit
	answered bool      // once at least
	failures int       // queries in a row
	last     error     // of these
	probing  bool      // the one query of a server that is down is under way
	probe    time.Time // and may not begin before
}

// A final error is not tried again.
type final struct{ error }

// Unwrap returns the error itself.
func (e final) Unwrap() error { return e.error }

// check says why a query may not be asked, if it may not.
func (h *health) check(now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refusal(now)
}

func (h *health) refusal(now time.Time) error {
	switch {
	case now.Before(h.resumes):
		return &metric.RateLimitedError{RetryAfter: wholeSeconds(h.resumes.Sub(now))}
	case h.failures < downAfter, !h.probing && !now.Before(h.probe):
		return nil
	default:
		return final{fmt.Errorf("%w; %d queries in a row ended so: the provider is asked by one at a time until it answers", h.last, h.failures)}
	}
}

// enter is check for a query that is asked now, and whether it is the one that a
// server that is down is asked.
func (h *health) enter(now time.Time) (probe bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.refusal(now); err != nil {
		return false, err
	}
	probe = h.failures >= downAfter
	h.probing = h.probing || probe
	return probe, nil
}

// trusted says whether the server answered the last time that it was asked.
func (h *health) trusted() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.answered && h.failures == 0
}

// limited notes that the server wants to be left alone.
func (h *health) limited(now time.Time, retryAfter time.Duration) {
	if retryAfter <= 0 {
		retryAfter = pause
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if at := now.Add(min(retryAfter, maxPause)); at.After(h.resumes) {
		h.resumes = at
	}
}

// rest is how long the server is left alone yet.
func (h *health) rest(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(0, h.resumes.Sub(now))
}

// leave notes how a query ended that was asked, tries included.
func (h *health) leave(now time.Time, probe bool, end finding, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if probe {
		h.probing = false
	}
	switch end {
	case up:
		h.answered, h.failures, h.last = true, 0, nil
	case down:
		h.failures++
		h.last = err
		h.probe = now.Add(probeEvery)
	case unknown:
	}
}

// A finding is what the end of a query says of the server.
type finding int

const (
	unknown finding = iota
	up
	down
)

// findingOf is what an error says of the server. It is down where it cannot be
// reached, answers nothing in time, or a gateway says so in its place
// (https://www.rfc-editor.org/rfc/rfc9110#section-15.6.3), but not where it answers
// that it failed or took too long: that may be the query's fault. An error that comes
// about without an answer, as a query cancelled or refused on our side, says nothing.
func findingOf(err error) finding {
	var answered *metric.AnsweredError
	var failure *connect.Failure
	switch {
	case errors.As(err, &answered):
		return up
	case errors.As(err, &failure) && failure.Status == http.StatusInternalServerError:
		return up
	case errors.Is(err, metric.ErrUnreachable), errors.Is(err, metric.ErrTimeout):
		return down
	}
	for _, answered := range []error{
		nil, metric.ErrNoData, metric.ErrUnauthorized, metric.ErrRateLimited,
		metric.ErrTooManySeries, metric.ErrBadResponse,
	} {
		if errors.Is(err, answered) {
			return up
		}
	}
	return unknown
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
