package metric

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// maxErrorBytes is how much of an error's body is read.
const maxErrorBytes = 64 << 10

// transport adds the credentials, limits the answer, and turns the statuses that
// every HTTP server uses into errors.
type transport struct {
	base     http.RoundTripper
	provider Provider
	settings settings
}

// newClient is the HTTP client of a provider.
func newClient(p Provider, s settings) *http.Client {
	base := http.DefaultTransport
	if t, ok := base.(*http.Transport); ok && p.InsecureSkipTLSVerify {
		insecure := t.Clone()
		insecure.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
		base = insecure
	}
	return &http.Client{
		Transport:     &transport{base: base, provider: p, settings: s},
		CheckRedirect: refuseRedirect,
	}
}

// refuseRedirect refuses every redirect: following one could hand the credentials
// to another host, and would lose the query, which is in the body.
func refuseRedirect(r *http.Request, _ []*http.Request) error {
	return fmt.Errorf("%w: the server redirects to %s://%s%s: give the URL of the API itself", toldError{ErrBadResponse}, r.URL.Scheme, r.URL.Host, r.URL.EscapedPath())
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	switch {
	case t.provider.BearerToken != "":
		r.Header.Set("Authorization", "Bearer "+t.provider.BearerToken)
	case t.provider.User != "" || t.provider.Password != "":
		r.SetBasicAuth(t.provider.User, t.provider.Password)
	}
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if err := t.statusError(resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, left: t.settings.maxBytes, limit: t.settings.maxBytes}
	return resp, nil
}

// statusError is the error that a status stands for, or nil where the answer is
// the API's own.
func (t *transport) statusError(resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return fmt.Errorf("%w: the server answers %d: check the provider's user and password, or its token", toldError{ErrUnauthorized}, code)
	case code == http.StatusTooManyRequests:
		return toldError{&RateLimitedError{RetryAfter: t.retryAfter(resp.Header)}}
	case code >= 500 && code != http.StatusNotImplemented:
		if message, ok := serverTimeout(resp.Body); ok {
			return fmt.Errorf("%w: the server gave up: %s", toldError{ErrTimeout}, message)
		}
		return fmt.Errorf("%w: the server answers %d", toldError{ErrUnreachable}, code)
	default:
		return nil
	}
}

// retryAfter reads a Retry-After header (RFC 9110, section 10.2.3): seconds, or a
// date. It is 0 where there is none.
func (t *transport) retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(t.settings.now()).Round(time.Second))
	}
	return 0
}

// serverTimeout says whether a server error is Prometheus's own that a query took
// too long, and how it says so.
func serverTimeout(body io.Reader) (message string, ok bool) {
	var answer struct {
		ErrorType string `json:"errorType"`
		Error     string `json:"error"`
	}
	if err := json.NewDecoder(io.LimitReader(body, maxErrorBytes)).Decode(&answer); err != nil {
		return "", false
	}
	return answer.Error, answer.ErrorType == "timeout"
}

// limitedBody is a body that fails once it is too large.
type limitedBody struct {
	io.ReadCloser
	left, limit int64
}

// Read implements io.Reader.
func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, fmt.Errorf("%w: the answer is larger than %d bytes: aggregate them", toldError{ErrTooManySeries}, b.limit)
	}
	return n, err
}

// A toldError is one of this package's errors on its way through the HTTP client:
// it is told apart already.
type toldError struct{ error }

// Unwrap returns the error itself.
func (e toldError) Unwrap() error { return e.error }

// isTold says whether there is a toldError in err.
func isTold(err error) bool {
	var told toldError
	return errors.As(err, &told)
}
