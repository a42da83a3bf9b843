package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy/metric"
)

// maxErrorBytes is how much of an error's body is read.
const maxErrorBytes = 64 << 10

// transport adds the credentials, limits the answer, and turns the statuses that
// every HTTP server uses into errors.
type transport struct {
	base     *outbound.Transport
	auth     Authenticator
	headers  map[string]string
	maxBytes int64
	now      func() time.Time
}

// refuseRedirect refuses every redirect: following one could hand the credentials
// to another host, and would lose the query, which is in the body.
func refuseRedirect(r *http.Request, _ []*http.Request) error {
	return fmt.Errorf("%w: the server redirects to %s://%s%s: give the URL of the API itself", metric.ErrBadResponse, r.URL.Scheme, r.URL.Host, r.URL.EscapedPath())
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var refused refusal
	r = r.Clone(context.WithValue(r.Context(), refusalKey{}, &refused))
	if err := t.prepare(r); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized && refused.do != nil {
		refused.do()
	}
	if err := t.statusError(resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	body := &admittedBody{ReadCloser: resp.Body, ctx: r.Context()}
	resp.Body = &limitedBody{ReadCloser: body, left: t.maxBytes, limit: t.maxBytes}
	return resp, nil
}

// A refusal is what an Authenticator does when its credentials are refused.
type refusal struct{ do func() }

// refusalKey is the refusal's in a request's context.
type refusalKey struct{}

// onRefusal lets an Authenticator learn that the server refuses what it added.
func onRefusal(r *http.Request, do func()) {
	if refused, ok := r.Context().Value(refusalKey{}).(*refusal); ok {
		refused.do = do
	}
}

// prepare adds the headers and the credentials.
func (t *transport) prepare(r *http.Request) error {
	for name, value := range t.headers {
		r.Header.Set(name, value)
	}
	if err := t.auth(r); err != nil {
		return err
	}
	for name, values := range r.Header {
		if !httpguts.ValidHeaderFieldName(name) || !validValues(values) {
			return fmt.Errorf("%w: header %q has characters that no header can have: is there a line break in the Secret?", metric.ErrConfig, name)
		}
	}
	return nil
}

func validValues(values []string) bool {
	return !slices.ContainsFunc(values, func(v string) bool { return !httpguts.ValidHeaderFieldValue(v) })
}

// CloseIdleConnections lets http.Client.CloseIdleConnections end what is idle.
func (t *transport) CloseIdleConnections() { t.base.CloseIdleConnections() }

// statusError is the error that a status stands for, or nil where the answer is
// the API's own. Then the body is read, so that its connection can be used again.
func (t *transport) statusError(resp *http.Response) error {
	code := resp.StatusCode
	if code < 400 || code == http.StatusNotImplemented {
		return nil
	}
	switch {
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		readSome(resp.Body)
		return fmt.Errorf("%w: the server answers %d: check the provider's credentials", metric.ErrUnauthorized, code)
	case code == http.StatusTooManyRequests:
		readSome(resp.Body)
		return &metric.RateLimitedError{RetryAfter: t.retryAfter(resp.Header)}
	case code >= 500:
		return &Failure{Status: code, Body: readSome(resp.Body)}
	default:
		return nil
	}
}

// readSome is the begin of an error's body. That it cannot be read makes no other
// error of it.
func readSome(body io.Reader) []byte {
	some, _ := io.ReadAll(io.LimitReader(body, maxErrorBytes))
	return some
}

// A Failure is a server that is out of order: a status of 5xx, but not 501. It is
// metric.ErrUnreachable, unless the provider can read more out of its body.
type Failure struct {
	// Status of HTTP.
	Status int
	// Body is the begin of the body.
	Body []byte
}

// Error names the status.
func (f *Failure) Error() string {
	return fmt.Sprintf("%v: the server answers %d", metric.ErrUnreachable, f.Status)
}

// Is makes it metric.ErrUnreachable.
func (f *Failure) Is(target error) bool { return target == metric.ErrUnreachable }

// retryAfter reads a Retry-After header (RFC 9110, section 10.2.3): seconds, or a
// date; or the seconds in X-RateLimit-Reset, which Datadog sends in its place
// (https://docs.datadoghq.com/api/latest/rate-limits/). It is 0 where there is none.
func (t *transport) retryAfter(h http.Header) time.Duration {
	value := cmp.Or(h.Get("Retry-After"), h.Get("X-RateLimit-Reset"))
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(t.now()).Round(time.Second))
	}
	return 0
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
		return 0, fmt.Errorf("%w: the answer is larger than %d bytes: aggregate the series", metric.ErrTooManySeries, b.limit)
	}
	return n, err
}

// Error says of a failed request which of package metric's errors it is. One that
// is told apart already stays what it is. Those of the provider's own protocol have
// to be told apart before.
func Error(ctx context.Context, err error) error {
	var request *url.Error
	if errors.As(err, &request) { // its own text repeats the request
		err = request.Err
	}
	var network net.Error
	switch {
	case err == nil:
		return nil
	case metric.Reason(err) != "Failed":
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: the server did not answer in time", metric.ErrTimeout)
	case ctx.Err() != nil:
		return fmt.Errorf("the query was cancelled: %w", ctx.Err())
	case errors.As(err, &network) && network.Timeout():
		return fmt.Errorf("%w: the server did not answer in time", metric.ErrTimeout)
	case request != nil:
		return fmt.Errorf("%w: %w", metric.ErrUnreachable, err)
	default:
		return fmt.Errorf("%w: reading the answer: %w", metric.ErrUnreachable, err)
	}
}
