package forge

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

var (
	// ErrUnauthorized: the token is missing, wrong or may not do this. Final
	// until the token changes.
	ErrUnauthorized = errors.New("not allowed: check that the token is valid and may write commit statuses")
	// ErrForbidden is an ErrUnauthorized: the token is good, and may not do this here.
	ErrForbidden = fmt.Errorf("%w", ErrUnauthorized)
	// ErrNotFound: the repository or the commit is unknown, or hidden from the
	// token. A commit that was just pushed may show up a moment later.
	ErrNotFound = errors.New("repository or commit not found: check the URL, and that the token may see the repository")
	// ErrRejected: the forge understood and refused. Final: the same status
	// would be refused again.
	ErrRejected = errors.New("refused")
	// ErrTemporary: no answer, half an answer, or a fault of the forge. The
	// request may have had its effect.
	ErrTemporary = errors.New("the forge failed or could not be reached")
	// errGarbled: what came back for a request that succeeded is no answer of a forge's.
	errGarbled = errors.New("the answer is not what the forge's API would say")
)

// unclear says of an error whether the request may have had its effect.
func unclear(err error) bool {
	var limited *RateLimitedError
	if errors.As(err, &limited) || errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrNotFound) {
		return false
	}
	return !errors.Is(err, ErrRejected) || errors.Is(err, errGarbled)
}

const (
	// defaultRetryAfter is the pause for a limit that does not say its length;
	// GitHub's documentation of its rate limits asks for at least a minute.
	defaultRetryAfter = time.Minute
	// maxRetryAfter caps what a forge asks for. Limits are counted by the hour
	// at most, so more is a fault of somebody's clock.
	maxRetryAfter = time.Hour
)

// A RateLimitedError says that a pause is asked for: HTTP 429, 403 or
// 503 with a Retry-After header (RFC 9110, section 10.2.3), or 403 with the words or the
// headers of GitHub's limits. The request had no effect.
type RateLimitedError struct {
	// RetryAfter is how long to ask nothing: one minute if the forge did not say, an hour
	// at most.
	RetryAfter time.Duration
	// Host says that the host asks everybody, as with 503, and not the one account alone.
	Host bool
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
	if limits(code, header, said) {
		return limitedFor(code, header, said)
	}
	return &answerError{code: code, said: said, kind: kindOf(code, said)}
}

// limitedFor is the pause that an answer asks for.
func limitedFor(code int, header http.Header, said string) *RateLimitedError {
	return &RateLimitedError{RetryAfter: pause(header), Said: said, Host: code == http.StatusServiceUnavailable}
}

// refusal returns the answer with that status code which an error is about, if its
// explanation has a text in it, in whatever case; nil otherwise. It tells apart what
// one code stands for.
func refusal(err error, code int, text string) *answerError {
	var answer *answerError
	if errors.As(err, &answer) && answer.code == code && strings.Contains(strings.ToLower(answer.said), strings.ToLower(text)) {
		return answer
	}
	return nil
}

// limits says whether an answer asks for a pause.
//
// GitHub answers 403 or 429 to both its limits: to the primary one with
// x-ratelimit-remaining: 0, to the secondary ones with Retry-After, or with neither
// (https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api).
func limits(code int, header http.Header, said string) bool {
	switch code {
	case http.StatusTooManyRequests:
		return true
	case http.StatusServiceUnavailable:
		return header.Get("Retry-After") != ""
	case http.StatusForbidden:
		return header.Get("Retry-After") != "" || header.Get("X-Ratelimit-Remaining") == "0" ||
			strings.Contains(strings.ToLower(said), "secondary rate limit")
	}
	return false
}

// kindOf says what a caller can do about a status code. said is what its body explains:
// Bitbucket Data Center answers 401 where others answer 403.
func kindOf(code int, said string) error {
	switch {
	case code == http.StatusForbidden, code == http.StatusUnauthorized && strings.Contains(said, "AuthorisationException"):
		return ErrForbidden
	case code == http.StatusUnauthorized, code == http.StatusNonAuthoritativeInfo:
		// Azure DevOps shows a page to sign in, with 203.
		return ErrUnauthorized
	case code == http.StatusNotFound, code == http.StatusGone:
		return ErrNotFound
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code >= http.StatusInternalServerError:
		return ErrTemporary
	default:
		return ErrRejected
	}
}

// pause reads how long to wait from the header Retry-After, seconds or a date, else from
// the time at which a limit ends: X-Ratelimit-Reset of GitHub, Ratelimit-Reset of GitLab,
// in seconds since 1970. A time counts from the answer's own Date, so that the two clocks
// need not agree.
func pause(header http.Header) time.Duration {
	wait := defaultRetryAfter
	sent, dated := http.ParseTime(header.Get("Date"))
	value := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		wait = time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
	} else if until, err := http.ParseTime(value); err == nil && dated == nil {
		wait = until.Sub(sent)
	} else if until, known := reset(header); value == "" && known && dated == nil {
		wait = until.Sub(sent)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// reset is when the limit that an answer tells of ends.
func reset(header http.Header) (time.Time, bool) {
	for _, name := range []string{"X-Ratelimit-Reset", "Ratelimit-Reset"} {
		if seconds, err := strconv.ParseInt(header.Get(name), 10, 64); err == nil {
			return time.Unix(seconds, 0), true
		}
	}
	return time.Time{}, false
}
