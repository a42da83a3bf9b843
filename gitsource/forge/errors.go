package forge

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

var (
	// ErrUnauthorized: the token is missing, wrong or may not do this. Final
	// until the token changes.
	ErrUnauthorized = errors.New("not allowed: check that the token is valid and may write commit statuses")
	// ErrNotFound: the repository or the commit is unknown, or hidden from the
	// token. A commit that was just pushed may show up a moment later.
	ErrNotFound = errors.New("repository or commit not found: check the URL, and that the token may see the repository")
	// ErrRejected: the forge understood and refused. Final: the same status
	// would be refused again.
	ErrRejected = errors.New("refused")
	// ErrTemporary: no answer, half an answer, or a fault of the forge. The
	// request may have had its effect.
	ErrTemporary = errors.New("the forge failed or could not be reached")
)

const (
	// defaultRetryAfter is the pause for a limit that does not say its length;
	// GitHub's documentation of its rate limits asks for at least a minute.
	defaultRetryAfter = time.Minute
	// maxRetryAfter caps what a forge asks for. Limits are counted by the hour
	// at most, so more is a fault of somebody's clock.
	maxRetryAfter = time.Hour
)

// A RateLimitedError says that the host asks for a pause: HTTP 429, or 403 or
// 503 with a Retry-After header (RFC 9110, section 10.2.3). The request had no
// effect.
type RateLimitedError struct {
	// RetryAfter is how long to ask nothing of the host: one minute if the
	// forge did not say, an hour at most.
	RetryAfter time.Duration
	// Said is the forge's own explanation, in one line.
	Said string
}

// Error implements error.
func (e *RateLimitedError) Error() string {
	return fmt.Sprintf("rate limited for %s: %q", e.RetryAfter, e.Said)
}

// An answerError is an HTTP answer other than success.
type answerError struct {
	code int
	said string
	kind error
}

// Error implements error.
func (e *answerError) Error() string {
	return fmt.Sprintf("%v (HTTP %d %s: %q)", e.kind, e.code, http.StatusText(e.code), e.said)
}

// Unwrap returns the sentinel that the caller decides by.
func (e *answerError) Unwrap() error { return e.kind }

// answered turns an answer other than success into an error. said is what its
// body explains.
func answered(code int, header http.Header, said string) error {
	wait, asked := retryAfter(header)
	switch {
	case code == http.StatusTooManyRequests,
		asked && (code == http.StatusForbidden || code == http.StatusServiceUnavailable):
		return &RateLimitedError{RetryAfter: wait, Said: said}
	default:
		return &answerError{code: code, said: said, kind: kindOf(code)}
	}
}

// kindOf says what a caller can do about a status code.
func kindOf(code int) error {
	switch {
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return ErrUnauthorized
	case code == http.StatusNotFound:
		return ErrNotFound
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code >= http.StatusInternalServerError:
		return ErrTemporary
	default:
		return ErrRejected
	}
}

// retryAfter reads the Retry-After header, seconds or a date, and whether
// there was one. A date counts from the answer's own Date, so that the two
// clocks need not agree.
func retryAfter(header http.Header) (time.Duration, bool) {
	value := header.Get("Retry-After")
	wait := defaultRetryAfter
	if seconds, err := strconv.Atoi(value); err == nil {
		wait = time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
	} else if until, err := http.ParseTime(value); err == nil {
		if sent, err := http.ParseTime(header.Get("Date")); err == nil {
			wait = until.Sub(sent)
		}
	}
	return min(max(wait, 0), maxRetryAfter), value != ""
}
