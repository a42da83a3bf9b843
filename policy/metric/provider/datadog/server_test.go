package datadog_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider/datadog"
)

// at is the instant that the tests ask for.
func at() time.Time { return time.Unix(1_700_000_000, 0).UTC() }

// instant asks for the value as of at.
func instant(expr string) metric.Query { return metric.Query{Expr: expr, At: at()} }

// local is a provider at a test server's address, with the tests' secret.
func local(url string) connect.Server {
	s := connect.Server{
		Spec:      metricsv1.KeptnMetricsProviderSpec{TargetServer: url},
		Addresses: outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Secret:    credentials(url),
	}
	s.Spec.SecretKeyRef.Name, s.Spec.SecretKeyRef.Key = "credentials", "token"
	return s
}

// serve starts a server, and returns how to reach it.
func serve(t testing.TB, handler http.HandlerFunc) connect.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return local(server.URL)
}

// query asks the server.
func query(t testing.TB, s connect.Server, q metric.Query) (metric.Result, error) {
	t.Helper()
	querier, err := datadog.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return querier.Query(t.Context(), q)
}

// answer is a handler that answers every query alike.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// checkError checks which error it is, what it says, and that it shows no secret.
func checkError(t testing.TB, reason string, err, want error, says string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: error %v, want %v", reason, err, want)
	}
	if !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), secret()) {
		t.Errorf("%s: error %q, want it to say %q, and no secret", reason, err, says)
	}
}

// checkResult checks the contract of a Querier: an error of package metric, or
// series with samples in the order of time.
func checkResult(t testing.TB, got metric.Result, err error) {
	t.Helper()
	if err != nil {
		if metric.Reason(err) == "Failed" {
			t.Fatalf("error %v is none of package metric's", err)
		}
		return
	}
	if len(got.Series) == 0 {
		t.Fatal("a result without series")
	}
	for _, s := range got.Series {
		if len(s.Samples) == 0 {
			t.Fatal("a series without samples")
		}
		for i := 1; i < len(s.Samples); i++ {
			if s.Samples[i].Time.Before(s.Samples[i-1].Time) {
				t.Fatalf("sample %d is before the one it follows", i)
			}
		}
	}
}

func TestTransportErrorsAreToldApart(t *testing.T) {
	cases := map[string]struct {
		reason  string
		handler http.HandlerFunc
		want    error
	}{
		"Unauthorized": {"A server that does not know the credentials.", answer(401, "{}"), metric.ErrUnauthorized},
		"Forbidden":    {"A server that knows them, and refuses.", answer(403, "{}"), metric.ErrUnauthorized},
		"RateLimited":  {"A server that wants to be left alone.", answer(429, "{}"), metric.ErrRateLimited},
		"Internal":     {"A server error is no answer.", answer(500, "{}"), metric.ErrUnreachable},
		"Unavailable":  {"Nor is that of a proxy.", answer(503, "no upstream"), metric.ErrUnreachable},
		"NotFound":     {"A wrong path is a wrong URL, not an outage.", answer(404, "404 page not found"), metric.ErrBadResponse},
		"Page":         {"A page is no answer of the API's.", answer(200, "<html>Sign in</html>"), metric.ErrBadResponse},
		"Truncated":    {"Half an answer is none.", answer(200, good()[:len(good())/2]), metric.ErrBadResponse},
		"Empty":        {"An object without the API's fields is not its answer.", answer(200, "{}"), other()},
		"List":         {"Nor is JSON of another form.", answer(200, "[1,2]"), metric.ErrBadResponse},
		"Huge":         {"A huge answer must not fill the memory.", answer(200, good()+strings.Repeat(" ", 4000)), metric.ErrTooManySeries},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := 0
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				asked++
				tc.handler(w, r)
			})
			s.MaxBytes = 4000
			_, err := query(t, s, instant(question()))
			checkError(t, tc.reason, err, tc.want, "")
			if asked != 1 {
				t.Errorf("%s: asked %d times, want once", tc.reason, asked)
			}
		})
	}
}

func TestARateLimitSaysHowLongToWait(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := query(t, s, instant(question()))
	var limited *metric.RateLimitedError
	if !errors.As(err, &limited) || limited.RetryAfter != 7*time.Second {
		t.Errorf("error %v, want to retry after 7s", err)
	}
}

func TestAQueryEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) })
	querier, err := datadog.New(s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = querier.Query(ctx, instant(question()))
	checkError(t, "A deadline ends a query.", err, metric.ErrTimeout, "")
}

func TestCertificatesAreVerifiedUnlessToldOtherwise(t *testing.T) {
	server := httptest.NewTLSServer(answer(200, good()))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s := local(server.URL)
	_, err := query(t, s, instant(question()))
	checkError(t, "An unknown certificate is refused.", err, metric.ErrUnreachable, "certificate")
	s.Spec.InsecureSkipTLSVerify = true
	if _, err := query(t, s, instant(question())); err != nil {
		t.Errorf("with insecureSkipTlsVerify: %v", err)
	}
}

func TestAQueryNeedsATextAndATime(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") })
	for _, q := range []metric.Query{{Expr: " ", At: at()}, {Expr: question()}} {
		_, err := query(t, s, q)
		checkError(t, "It cannot be answered.", err, metric.ErrBadQuery, "")
	}
}
