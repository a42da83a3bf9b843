package metric_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keptn/gitops/policy/metric"
)

// at is the instant that the tests ask for.
func at() time.Time { return time.Unix(1_700_000_000, 0).UTC() }

// serve starts a server and returns what queries it.
func serve(t *testing.T, handler http.HandlerFunc, opts ...metric.Option) metric.Querier {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return querier(t, metric.Provider{Type: "prometheus", URL: server.URL}, opts...)
}

func querier(t *testing.T, p metric.Provider, opts ...metric.Option) metric.Querier {
	t.Helper()
	q, err := metric.New(p, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// answer is a handler that answers every query alike.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// success is the API's envelope of a result.
func success(kind, result string) string {
	return `{"status":"success","data":{"resultType":"` + kind + `","result":` + result + `},"warnings":["partial"]}`
}

// failure is the API's envelope of an error.
func failure(kind, message string) string {
	return `{"status":"error","errorType":"` + kind + `","error":"` + message + `"}`
}

func TestAQuerySpeaksThePrometheusAPI(t *testing.T) {
	q := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/api/v1/query" {
			t.Errorf("asked %s %s, want POST /api/v1/query", r.Method, r.URL.Path)
		}
		if got := r.PostFormValue("query"); got != "sum(up)" {
			t.Errorf("query = %q", got)
		}
		if got := r.PostFormValue("time"); got != "1700000000" {
			t.Errorf("time = %q", got)
		}
		answer(http.StatusOK, success("vector", `[{"metric":{},"value":[1700000000,"3"]}]`))(w, r)
	})
	got, err := q.Query(t.Context(), "sum(up)", at())
	if err != nil {
		t.Fatal(err)
	}
	want := metric.Result{
		Series:   []metric.Series{{Labels: map[string]string{}, Value: 3, Time: at()}},
		Warnings: []string{"partial"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

func TestResultsKeepEverySeries(t *testing.T) {
	cases := map[string]struct {
		reason string
		body   string
		want   []metric.Series
	}{
		"Scalar": {
			"A scalar is one unlabelled series.",
			success("scalar", `[1700000000,"0.5"]`),
			[]metric.Series{{Value: 0.5}},
		},
		"Vector": {
			"Several series are kept with their labels, not reduced.",
			success("vector", `[{"metric":{"__name__":"up","pod":"a"},"value":[1700000000,"1"]},{"metric":{"pod":"b"},"value":[1700000000,"0"]}]`),
			[]metric.Series{
				{Labels: map[string]string{"__name__": "up", "pod": "a"}, Value: 1},
				{Labels: map[string]string{"pod": "b"}, Value: 0},
			},
		},
		"NaN": {
			"NaN is what the server measured: whoever judges it has to see it.",
			success("vector", `[{"metric":{},"value":[1700000000,"NaN"]}]`),
			[]metric.Series{{Value: math.NaN()}},
		},
		"Infinity": {
			"An infinity is kept as well.",
			success("scalar", `[1700000000,"+Inf"]`),
			[]metric.Series{{Value: math.Inf(1)}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := serve(t, answer(http.StatusOK, tc.body)).Query(t.Context(), "x", at())
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			opts := cmp.Options{cmpopts.EquateNaNs(), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(metric.Series{}, "Time")}
			if diff := cmp.Diff(tc.want, got.Series, opts); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			_, single := got.Scalar()
			if single != (len(tc.want) == 1) {
				t.Errorf("Scalar() is a number: %v, of %d series", single, len(tc.want))
			}
		})
	}
}

func TestErrorsAreToldApart(t *testing.T) {
	manySeries := success("vector", "["+strings.Repeat(`{"metric":{},"value":[1700000000,"1"]},`, 5)+`{"metric":{},"value":[1700000000,"1"]}]`)
	cases := map[string]struct {
		reason  string
		handler http.HandlerFunc
		opts    []metric.Option
		want    error
		says    string
	}{
		"NoSample": {"An empty vector is no data, never a zero.",
			answer(200, success("vector", `[]`)), nil, metric.ErrNoData, "no sample"},
		"BadQuery": {"A parse error is the author's, in Prometheus's own words.",
			answer(400, failure("bad_data", "1:5: parse error: unexpected end of input")), nil, metric.ErrBadQuery, "1:5: parse error"},
		"ExecutionError": {"So is an expression that cannot be evaluated.",
			answer(422, failure("execution", "found duplicate series")), nil, metric.ErrBadQuery, "found duplicate series"},
		"Matrix": {"A range vector has no single instant.",
			answer(200, success("matrix", `[]`)), nil, metric.ErrBadQuery, "matrix"},
		"Histogram": {"A native histogram is no number.",
			answer(200, success("vector", `[{"metric":{},"histogram":[1700000000,{"count":"1","sum":"1","buckets":[]}]}]`)), nil, metric.ErrBadQuery, "histogram"},
		"Unauthorized": {"A server that wants other credentials.",
			answer(401, "Unauthorized"), nil, metric.ErrUnauthorized, "401"},
		"Forbidden": {"A server that refuses these credentials; the query is not sent a second time.",
			answer(403, failure("client_error", "forbidden")), nil, metric.ErrUnauthorized, "403"},
		"RateLimited": {"A server that wants to be left alone.",
			answer(429, "slow down"), nil, metric.ErrRateLimited, "rate limited"},
		"QueryTimeout": {"Prometheus answers 503 where the query took longer than it allows.",
			answer(503, failure("timeout", "query timed out in expression evaluation")), nil, metric.ErrTimeout, "query timed out"},
		"Unavailable": {"A proxy answers 503 without a body of the API's.",
			answer(503, "no healthy upstream"), nil, metric.ErrUnreachable, "503"},
		"InternalError": {"A server error is no answer.",
			answer(500, failure("internal", "disk full")), nil, metric.ErrUnreachable, "500"},
		"NotFound": {"A wrong path is a wrong URL, not an outage.",
			answer(404, "404 page not found"), nil, metric.ErrBadResponse, "404"},
		"LoginPage": {"A page in place of JSON is a wrong URL as well.",
			answer(200, "<html>Sign in</html>"), nil, metric.ErrBadResponse, "URL"},
		"Truncated": {"Half an answer is none.",
			answer(200, `{"status":"success","data":{"resultType":"vec`), nil, metric.ErrBadResponse, "URL"},
		"TooManySeries": {"A query without aggregation must not fill the memory.",
			answer(200, manySeries), []metric.Option{metric.MaxSeries(5)}, metric.ErrTooManySeries, "6"},
		"TooLarge": {"Nor must a huge answer.",
			answer(200, strings.Repeat("x", 2000)), []metric.Option{metric.MaxBytes(1000)}, metric.ErrTooManySeries, "1000 bytes"},
		"Stale": {"A sample older than allowed at the queried instant.",
			answer(200, success("vector", `[{"metric":{},"value":[1699999399,"1"]}]`)), []metric.Option{metric.MaxAge(10 * time.Minute)}, metric.ErrStale, "10m1s old"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := 0
			q := serve(t, func(w http.ResponseWriter, r *http.Request) {
				asked++
				tc.handler(w, r)
			}, tc.opts...)
			_, err := q.Query(t.Context(), "x", at())
			if !errors.Is(err, tc.want) {
				t.Fatalf("%s: error %v, want %v", tc.reason, err, tc.want)
			}
			if !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: error %q does not say %q", tc.reason, err, tc.says)
			}
			if asked != 1 {
				t.Errorf("%s: asked %d times, want once", tc.reason, asked)
			}
		})
	}
}

func TestAnAnswerWithinTheLimitsIsAccepted(t *testing.T) {
	body := success("vector", `[{"metric":{},"value":[1699999400,"1"]}]`)
	q := serve(t, answer(200, body), metric.MaxAge(10*time.Minute), metric.MaxSeries(1), metric.MaxBytes(int64(len(body))))
	if _, err := q.Query(t.Context(), "x", at()); err != nil {
		t.Error(err)
	}
}

func TestARateLimitSaysHowLongToWait(t *testing.T) {
	cases := map[string]struct {
		reason, header string
		want           time.Duration
	}{
		"Seconds": {"The usual form.", "7", 7 * time.Second},
		"Date":    {"RFC 9110 allows a date.", at().Add(time.Minute).Format(http.TimeFormat), time.Minute},
		"Past":    {"A date that has passed is no time to wait.", at().Add(-time.Minute).Format(http.TimeFormat), 0},
		"None":    {"Many servers do not say.", "", 0},
		"Garbage": {"What cannot be read is as if it were not there.", "soon", 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			q := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", tc.header)
				w.WriteHeader(http.StatusTooManyRequests)
			}, metric.Clock(at))
			_, err := q.Query(t.Context(), "x", at())
			var limited *metric.RateLimitedError
			if !errors.As(err, &limited) || limited.RetryAfter != tc.want {
				t.Errorf("%s: error %v, want to retry after %s", tc.reason, err, tc.want)
			}
		})
	}
}

func TestAQueryEndsWithItsContext(t *testing.T) {
	hang := func(release <-chan struct{}) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	}
	t.Run("Deadline", func(t *testing.T) {
		release := make(chan struct{})
		q := serve(t, hang(release))
		t.Cleanup(func() { close(release) })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := q.Query(ctx, "x", at()); !errors.Is(err, metric.ErrTimeout) {
			t.Errorf("error %v, want ErrTimeout", err)
		}
	})
	t.Run("SlowBody", func(t *testing.T) {
		release := make(chan struct{})
		q := serve(t, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, `{"status":`)
			w.(http.Flusher).Flush()
			hang(release)(w, r)
		})
		t.Cleanup(func() { close(release) })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, err := q.Query(ctx, "x", at()); !errors.Is(err, metric.ErrTimeout) {
			t.Errorf("error %v, want ErrTimeout", err)
		}
	})
	t.Run("Cancelled", func(t *testing.T) {
		q := serve(t, answer(200, success("scalar", `[1,"1"]`)))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := q.Query(ctx, "x", at()); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
	})
}

func TestAServerThatIsNotThereIsUnreachable(t *testing.T) {
	server := httptest.NewServer(answer(200, ""))
	server.Close()
	_, err := querier(t, metric.Provider{Type: "prometheus", URL: server.URL}).Query(t.Context(), "secret_query", at())
	if !errors.Is(err, metric.ErrUnreachable) {
		t.Errorf("error %v, want ErrUnreachable", err)
	}
}

func TestAQueryNeedsATextAndATime(t *testing.T) {
	q := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") })
	if _, err := q.Query(t.Context(), " ", at()); !errors.Is(err, metric.ErrBadQuery) {
		t.Errorf("no query: error %v, want ErrBadQuery", err)
	}
	if _, err := q.Query(t.Context(), "x", time.Time{}); !errors.Is(err, metric.ErrBadQuery) {
		t.Errorf("no time: error %v, want ErrBadQuery", err)
	}
}

func TestAProviderThatCannotBeIsRefused(t *testing.T) {
	const secret = "hunter2"
	cases := map[string]struct {
		reason string
		p      metric.Provider
		says   string
	}{
		"UnknownType": {"An unknown type never falls back to another.",
			metric.Provider{Type: "datadog", URL: "http://x"}, "cortex, prometheus, thanos"},
		"NoType":        {"Nor does none.", metric.Provider{URL: "http://x"}, "unknown type"},
		"NoURL":         {"There is nothing to ask.", metric.Provider{Type: "prometheus"}, "no http"},
		"NoScheme":      {"A host alone is no URL.", metric.Provider{Type: "prometheus", URL: "prometheus:9090"}, "no http"},
		"OtherScheme":   {"Only HTTP is spoken.", metric.Provider{Type: "prometheus", URL: "ftp://x"}, "no http"},
		"Broken":        {"A URL that cannot be read is not repeated, for it may hold a secret.", metric.Provider{Type: "prometheus", URL: "http://u:" + secret + "@x:port"}, "http://host:9090"},
		"UserinURL":     {"Credentials in a URL end up in logs.", metric.Provider{Type: "prometheus", URL: "http://u:" + secret + "@x"}, "user and password"},
		"TwoOfAuthWays": {"Which one is meant?", metric.Provider{Type: "prometheus", URL: "http://x", User: "u", BearerToken: secret}, "one of them"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := metric.New(tc.p)
			if err == nil {
				t.Fatalf("%s: no error", tc.reason)
			}
			if !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: error %q, want it to say %q and no secret", tc.reason, err, tc.says)
			}
		})
	}
}

func TestAProviderNeverShowsItsCredentials(t *testing.T) {
	p := metric.Provider{Type: "prometheus", URL: "http://u:hunter2@x", Password: "hunter3", BearerToken: "hunter4"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, p); strings.Contains(got, "hunter") || !strings.Contains(got, "prometheus") {
			t.Errorf("%s shows %s", format, got)
		}
	}
}

func TestCredentialsAreSent(t *testing.T) {
	cases := map[string]struct {
		p    metric.Provider
		want string
	}{
		"Basic":  {metric.Provider{User: "u", Password: "p"}, "Basic dTpw"},
		"Bearer": {metric.Provider{BearerToken: "t"}, "Bearer t"},
		"None":   {metric.Provider{}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = r.Header.Get("Authorization")
				answer(200, success("scalar", `[1,"1"]`))(w, r)
			}))
			defer server.Close()
			tc.p.Type, tc.p.URL = "thanos", server.URL+"/prefix/"
			if _, err := querier(t, tc.p).Query(t.Context(), "x", at()); err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("Authorization = %q, want %q", got, tc.want)
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
		server := httptest.NewServer(http.RedirectHandler(other.URL+"/login?token=hunter2", status))
		_, err := querier(t, metric.Provider{Type: "prometheus", URL: server.URL, BearerToken: "hunter3"}).Query(t.Context(), "x", at())
		server.Close()
		if !errors.Is(err, metric.ErrBadResponse) {
			t.Errorf("%d: error %v, want ErrBadResponse", status, err)
		}
		if strings.Contains(fmt.Sprint(err), "hunter") || !strings.Contains(fmt.Sprint(err), other.URL+"/login") {
			t.Errorf("%d: error %v, want the address without its query", status, err)
		}
	}
}

func TestCertificatesAreVerifiedUnlessToldOtherwise(t *testing.T) {
	server := httptest.NewTLSServer(answer(200, success("scalar", `[1,"1"]`)))
	defer server.Close()
	p := metric.Provider{Type: "prometheus", URL: server.URL}
	if _, err := querier(t, p).Query(t.Context(), "x", at()); !errors.Is(err, metric.ErrUnreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v, want one about the certificate", err)
	}
	p.InsecureSkipTLSVerify = true
	if _, err := querier(t, p).Query(t.Context(), "x", at()); err != nil {
		t.Errorf("with InsecureSkipTLSVerify: %v", err)
	}
}
