package connect_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// quiet logs nothing.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// answer is a handler that answers every request alike.
func answer(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func TestStatusesAreToldApart(t *testing.T) {
	cases := map[string]struct {
		reason  string
		handler http.HandlerFunc
		want    error
		says    string
	}{
		"Unauthorized": {"A server that wants other credentials.", answer(401, "text/plain", "hunter2"), metric.ErrUnauthorized, "401"},
		"Forbidden":    {"A server that refuses these.", answer(403, "text/plain", "hunter2"), metric.ErrUnauthorized, "403"},
		"RateLimited":  {"A server that wants to be left alone.", answer(429, "text/plain", "hunter2"), metric.ErrRateLimited, "rate limited"},
		"Internal":     {"A server error is no answer.", answer(500, "application/json", `{"hunter2":1}`), metric.ErrUnreachable, "500"},
		"Unavailable":  {"Nor is a proxy's.", answer(503, "text/html", "<html>hunter2"), metric.ErrUnreachable, "503"},
		"NotFound":     {"A wrong path is a wrong URL, not an outage.", answer(404, "text/plain", "hunter2"), metric.ErrBadResponse, "404 Not Found"},
		"NotDone":      {"501 is the API's own: it knows no such method.", answer(501, "text/plain", ""), metric.ErrBadResponse, "501"},
		"Page":         {"A page in place of JSON is a wrong URL as well.", answer(200, "text/html; charset=utf-8", "{}"), metric.ErrBadResponse, "page"},
		"NoJSON":       {"As is any other text.", answer(200, "text/plain", "ok"), metric.ErrBadResponse, "no JSON"},
		"OtherJSON":    {"JSON of another shape is another API's.", answer(200, "application/json", "[]"), metric.ErrBadResponse, "no JSON of the API's"},
		"Truncated":    {"Half an answer is none.", answer(200, "application/json", `{"a":`), metric.ErrBadResponse, "URL"},
		"Trailing":     {"An answer that goes on is another protocol's.", answer(200, "application/json", "{}{}"), metric.ErrBadResponse, "URL"},
		"Empty":        {"No answer is no JSON.", answer(200, "application/json", ""), metric.ErrBadResponse, "URL"},
		"BrokenOff": {"A connection that breaks is an outage.", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "{")
		}, metric.ErrUnreachable, "reading the answer"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := 0
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				asked++
				tc.handler(w, r)
			})
			wantError(t, tc.reason, ask(t, s), tc.want, tc.says)
			if asked != 1 {
				t.Errorf("%s: asked %d times, want once", tc.reason, asked)
			}
		})
	}
}

func TestAnErrorsBodyReachesTheProvider(t *testing.T) {
	client, err := connect.Server{Addresses: local()}.Client(nil)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 1<<17)
	var answered *connect.Answer
	s := serve(t, answer(400, "application/json", long))
	if err := askBy(t, client, s.Spec.TargetServer); !errors.As(err, &answered) || answered.Status != 400 || string(answered.Body) != long[:1<<16] {
		t.Errorf("error %v, want an Answer of 64 KiB", err)
	}
	var failed *connect.Failure
	s = serve(t, answer(503, "application/json", long))
	if err := askBy(t, client, s.Spec.TargetServer); !errors.As(err, &failed) || failed.Status != 503 || string(failed.Body) != long[:1<<16] {
		t.Errorf("error %v, want a Failure of 64 KiB", err)
	}
}

func TestARateLimitSaysHowLongToWait(t *testing.T) {
	cases := map[string]struct {
		reason, header string
		want           time.Duration
	}{
		"Seconds":  {"The usual form.", "7", 7 * time.Second},
		"Date":     {"RFC 9110 allows a date.", now().Add(time.Minute).Format(http.TimeFormat), time.Minute},
		"Past":     {"A date that has passed is no time to wait.", now().Add(-time.Minute).Format(http.TimeFormat), 0},
		"Negative": {"Nor are seconds below 0.", "-5", 0},
		"Huge":     {"Nor what no number can hold.", "99999999999999999999", 0},
		"None":     {"Many servers do not say.", "", 0},
		"Garbage":  {"What cannot be read is as if it were not there.", "soon", 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := ask(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", tc.header)
				w.WriteHeader(http.StatusTooManyRequests)
			}))
			var limited *metric.RateLimitedError
			if !errors.As(err, &limited) || limited.RetryAfter != tc.want {
				t.Errorf("%s: error %v, want to retry after %s", tc.reason, err, tc.want)
			}
		})
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the other host was asked, with Authorization %q", r.Header.Get("Authorization"))
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := serve(t, http.RedirectHandler(other.URL+"/login?token=hunter2", status).ServeHTTP)
		s = secret(s, "t", map[string]string{"t": "hunter3"})
		wantError(t, http.StatusText(status), ask(t, s), metric.ErrBadResponse, other.URL+"/login")
	}
}

func TestHeadersAreSent(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("X-Scope-OrgID"); got != "team" {
			t.Errorf("X-Scope-OrgID = %q", got)
		}
		if got := r.Header.Get("Authorization"); got != "Bearer abc" {
			t.Errorf("Authorization = %q, want that of the Secret", got)
		}
		fmt.Fprint(w, "{}")
	})
	s = secret(s, "t", map[string]string{"t": "abc"})
	s.Spec.Headers = map[string]string{"X-Scope-OrgID": "team", "Authorization": "other"}
	if err := ask(t, s); err != nil {
		t.Error(err)
	}
	for name, value := range map[string]string{"X Y": "a", "X-A": "a\nb"} {
		s.Spec.Headers = map[string]string{name: value}
		wantError(t, "No header can be so.", ask(t, s), metric.ErrConfig, "header")
	}
}

func TestAnAnswerIsNoLargerThanTheLimit(t *testing.T) {
	body := `{"a":"` + strings.Repeat("x", 1000) + `"}`
	packed := func(w http.ResponseWriter, _ *http.Request) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		fmt.Fprint(z, body)
		z.Close()
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(b.Bytes())
	}
	for name, handler := range map[string]http.HandlerFunc{"Plain": answer(200, "application/json", body), "Compressed": packed} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, handler)
			s.MaxBytes = int64(len(body))
			if err := ask(t, s); err != nil {
				t.Errorf("an answer of the limit itself: %v", err)
			}
			s.MaxBytes--
			wantError(t, "A huge answer must not fill the memory.", ask(t, s), metric.ErrTooManySeries, fmt.Sprint(s.MaxBytes))
		})
	}
}

func TestAnAnswerHas4MiBByDefault(t *testing.T) {
	for size, want := range map[int]error{4 << 20: nil, 4<<20 + 1: metric.ErrTooManySeries} {
		body := `{"a":"` + strings.Repeat("x", size-len(`{"a":""}`)) + `"}`
		if err := ask(t, serve(t, answer(200, "application/json", body))); !errors.Is(err, want) {
			t.Errorf("%d bytes: error %v, want %v", size, err, want)
		}
	}
}

func TestConnectionsAreReused(t *testing.T) {
	for _, status := range []int{200, 400, 401, 429, 503} {
		s := serve(t, answer(status, "application/json", `{"a":"`+strings.Repeat("x", 10_000)+`"}`))
		client, err := s.Client(nil)
		if err != nil {
			t.Fatal(err)
		}
		made := 0
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(c httptrace.GotConnInfo) {
				if !c.Reused {
					made++
				}
			},
		})
		for range 5 {
			r, err := connect.Request(ctx, http.MethodGet, s.Spec.TargetServer, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = connect.JSON(client, r, new(any)) // the status says what it is
		}
		if made != 1 {
			t.Errorf("%d: %d connections for 5 requests, want one", status, made)
		}
		client.CloseIdleConnections()
	}
}

// closing is a body that knows whether it was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

func TestABodyIsClosedWhereNothingIsSent(t *testing.T) {
	client, err := connect.Server{}.Client(nil)
	if err != nil {
		t.Fatal(err)
	}
	body := &closing{Reader: strings.NewReader("{}")}
	r, err := connect.Request(t.Context(), http.MethodPost, "http://127.0.0.1", body)
	if err != nil {
		t.Fatal(err)
	}
	_, err = connect.JSON(client, r, new(any))
	wantError(t, "The address is refused.", err, metric.ErrForbiddenAddress, "127.0.0.1")
	if !body.closed {
		t.Error("the body is not closed, as http.RoundTripper demands")
	}
}

func TestARequestEndsWithItsContext(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	slow := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "{")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	for name, handler := range map[string]http.HandlerFunc{"Silent": hang, "SlowBody": slow} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, handler)
			client, err := s.Client(nil)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			r, err := connect.Request(ctx, http.MethodGet, s.Spec.TargetServer, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = connect.JSON(client, r, new(any))
			wantError(t, "A deadline is a timeout.", err, metric.ErrTimeout, "in time")
		})
	}
}

func TestAServerThatIsNotThereIsUnreachable(t *testing.T) {
	server := httptest.NewServer(nil)
	server.Close()
	client, err := connect.Server{Addresses: local()}.Client(nil)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "Its URL can hold the query, and is not repeated.", askBy(t, client, server.URL+"?hunter2"), metric.ErrUnreachable, "connection refused")
}

// slow is an error of a network that takes too long.
type slow struct{ error }

func (slow) Timeout() bool   { return true }
func (slow) Temporary() bool { return true }

func TestAnErrorIsToldApartOnce(t *testing.T) {
	limited := &metric.RateLimitedError{RetryAfter: time.Second}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	cases := map[string]struct {
		reason string
		ctx    context.Context
		err    error
		want   error
		says   string
	}{
		"Known":     {"An SDK wraps what the transport says.", t.Context(), fmt.Errorf("sdk: %w", &url.Error{Op: "Get", URL: "http://x?hunter2", Err: limited}), metric.ErrRateLimited, "1s"},
		"Late":      {"What the server said holds although the time is up.", cancelled, limited, metric.ErrRateLimited, "1s"},
		"Deadline":  {"An SDK has a deadline of its own.", t.Context(), fmt.Errorf("sdk: %w", context.DeadlineExceeded), metric.ErrTimeout, "in time"},
		"Network":   {"A connection takes too long.", t.Context(), slow{errors.New("i/o timeout")}, metric.ErrTimeout, "in time"},
		"Cancelled": {"The caller has left.", cancelled, errors.New("EOF"), context.Canceled, "cancelled"},
		"Other":     {"Anything else is the network's.", t.Context(), errors.New("EOF"), metric.ErrUnreachable, "EOF"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := connect.Error(tc.ctx, tc.err)
			wantError(t, tc.reason, err, tc.want, tc.says)
			again := connect.Error(tc.ctx, err)
			if again.Error() != err.Error() {
				t.Errorf("told apart twice it is %q, and was %q", again, err)
			}
		})
	}
	if err := connect.Error(t.Context(), nil); err != nil {
		t.Errorf("no error is %v", err)
	}
}
