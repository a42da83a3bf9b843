package prometheus_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider/prometheus"
)

// at is the instant that the tests ask for.
func at() time.Time { return time.Unix(1_700_000_000, 0).UTC() }

// instant is the question that most tests ask.
func instant() metric.Query { return metric.Query{Expr: "sum(up)", At: at()} }

// serverAt is a provider at a URL of this machine.
func serverAt(url string) connect.Server {
	return connect.Server{
		Spec:      metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: url},
		Addresses: outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Now:       at,
	}
}

// serve starts a server.
func serve(t *testing.T, handler http.HandlerFunc) connect.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return serverAt(server.URL)
}

func querier(t *testing.T, s connect.Server) metric.Querier {
	t.Helper()
	q, err := prometheus.New(s)
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
	return `{"status":"success","data":{"resultType":"` + kind + `","result":` + result + `},"warnings":["partial"],"infos":["no counter"]}`
}

// failure is the API's envelope of an error.
func failure(kind, message string) string {
	return `{"status":"error","errorType":"` + kind + `","error":"` + message + `"}`
}

// sample is a value so many seconds before the queried instant.
func sample(before int, value float64) metric.Sample {
	return metric.Sample{Time: at().Add(-time.Duration(before) * time.Second), Value: value}
}

func TestAnInstantSpeaksThePrometheusAPI(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/prefix/api/v1/query" {
			t.Errorf("asked %s %s, want POST /prefix/api/v1/query", r.Method, r.URL.Path)
		}
		if got := r.PostFormValue("query"); got != "sum(up)" {
			t.Errorf("query = %q", got)
		}
		if got := r.PostFormValue("time"); got != "1700000000" {
			t.Errorf("time = %q", got)
		}
		answer(http.StatusOK, success("vector", `[{"metric":{},"value":[1700000000,"3"]}]`))(w, r)
	})
	s.Spec.TargetServer += "/prefix/"
	got, err := querier(t, s).Query(t.Context(), instant())
	if err != nil {
		t.Fatal(err)
	}
	want := metric.Result{
		Series:   []metric.Series{{Labels: map[string]string{}, Samples: []metric.Sample{sample(0, 3)}}},
		Raw:      []byte(`[{"metric":{},"value":[1700000000,"3"]}]`),
		Warnings: []string{"partial", "no counter"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

func TestAWindowIsARangeQuery(t *testing.T) {
	const matrix = `[
		{"metric":{"pod":"a"},"values":[[1699999880,"1"],[1699999940,"2"],[1700000000,"3"]]},
		{"metric":{"pod":"stale"},"values":[[1699999880,"9"]]},
		{"metric":{"pod":"empty"},"values":[]}]`
	cases := map[string]struct {
		reason       string
		window, step time.Duration
		wantStep     string
		want         []metric.Series
	}{
		"Window": {
			"One sample per series, the newest: Keptn took the oldest. A series that went stale keeps the time of its own.",
			2 * time.Minute, 0, "2",
			[]metric.Series{
				{Labels: map[string]string{"pod": "a"}, Samples: []metric.Sample{sample(0, 3)}},
				{Labels: map[string]string{"pod": "stale"}, Samples: []metric.Sample{sample(120, 9)}},
			},
		},
		"Step": {
			"All samples, in the order of time.",
			2 * time.Minute, time.Minute, "60",
			[]metric.Series{
				{Labels: map[string]string{"pod": "a"}, Samples: []metric.Sample{sample(120, 1), sample(60, 2), sample(0, 3)}},
				{Labels: map[string]string{"pod": "stale"}, Samples: []metric.Sample{sample(120, 9)}},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || r.URL.Path != "/api/v1/query_range" {
					t.Errorf("asked %s %s, want POST /api/v1/query_range", r.Method, r.URL.Path)
				}
				for param, want := range map[string]string{"query": "sum(up)", "start": "1699999880", "end": "1700000000", "step": tc.wantStep} {
					if got := r.PostFormValue(param); got != want {
						t.Errorf("%s = %q, want %q", param, got, want)
					}
				}
				answer(http.StatusOK, success("matrix", matrix))(w, r)
			})
			q := instant()
			q.Window, q.Step = tc.window, tc.step
			got, err := querier(t, s).Query(t.Context(), q)
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got.Series); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAResultKeepsEverySeries(t *testing.T) {
	cases := map[string]struct {
		reason string
		body   string
		want   []metric.Series
	}{
		"Scalar": {
			"A scalar is one unlabelled series.",
			success("scalar", `[1700000000,"0.5"]`),
			[]metric.Series{{Samples: []metric.Sample{sample(0, 0.5)}}},
		},
		"Vector": {
			"Several series are kept with their labels and in the server's order, not reduced.",
			success("vector", `[{"metric":{"__name__":"up","pod":"b"},"value":[1700000000,"1"]},{"metric":{"pod":"a"},"value":[1699999990,"0"]}]`),
			[]metric.Series{
				{Labels: map[string]string{"__name__": "up", "pod": "b"}, Samples: []metric.Sample{sample(0, 1)}},
				{Labels: map[string]string{"pod": "a"}, Samples: []metric.Sample{sample(10, 0)}},
			},
		},
		"NaN": {
			"NaN is what the server measured: whoever judges it has to see it.",
			success("vector", `[{"metric":{},"value":[1700000000,"NaN"]}]`),
			[]metric.Series{{Samples: []metric.Sample{sample(0, math.NaN())}}},
		},
		"Infinity": {
			"An infinity is kept as well.",
			success("scalar", `[1700000000,"+Inf"]`),
			[]metric.Series{{Samples: []metric.Sample{sample(0, math.Inf(1))}}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := querier(t, serve(t, answer(http.StatusOK, tc.body))).Query(t.Context(), instant())
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got.Series, cmpopts.EquateNaNs(), cmpopts.EquateEmpty(), cmpopts.EquateApproxTime(0)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestErrorsAreToldApart(t *testing.T) {
	many := success("vector", "["+strings.Repeat(`{"metric":{},"value":[1700000000,"1"]},`, 5)+`{"metric":{},"value":[1700000000,"1"]}]`)
	cases := map[string]struct {
		reason  string
		handler http.HandlerFunc
		want    error
		says    string
	}{
		"NoSample": {"An empty vector is no data, never a zero.",
			answer(200, success("vector", `[]`)), metric.ErrNoData, "no sample"},
		"BadQuery": {"A parse error is the author's, in Prometheus's own words.",
			answer(400, failure("bad_data", "1:5: parse error: unexpected end of input")), metric.ErrBadQuery, "1:5: parse error"},
		"ExecutionError": {"So is an expression that cannot be evaluated.",
			answer(422, failure("execution", "found duplicate series")), metric.ErrBadQuery, "found duplicate series"},
		"Matrix": {"A range vector has no single instant.",
			answer(200, success("matrix", `[]`)), metric.ErrBadQuery, "avg_over_time"},
		"String": {"A text is no number.",
			answer(200, success("string", `[1700000000,"a"]`)), metric.ErrBadResponse, "string"},
		"NullSeries": {"A null is no series.",
			answer(200, success("vector", `[null]`)), metric.ErrBadResponse, "null"},
		"NoResult": {"Other JSON is another API's.",
			answer(200, `{}`), metric.ErrBadResponse, "URL"},
		"Histogram": {"A native histogram is no number.",
			answer(200, success("vector", `[{"metric":{},"histogram":[1700000000,{"count":"1","sum":"1","buckets":[]}]}]`)), metric.ErrBadQuery, "histogram"},
		"Unauthorized": {"A server that wants other credentials.",
			answer(401, "Unauthorized"), metric.ErrUnauthorized, "401"},
		"Forbidden": {"A server that refuses these credentials; the query is not sent a second time.",
			answer(403, failure("client_error", "forbidden")), metric.ErrUnauthorized, "403"},
		"RateLimited": {"A server that wants to be left alone.",
			answer(429, "slow down"), metric.ErrRateLimited, "rate limited"},
		"QueryTimeout": {"Prometheus answers 503 where the query took longer than it allows.",
			answer(503, failure("timeout", "query timed out in expression evaluation")), metric.ErrTimeout, "query timed out"},
		"Unavailable": {"A proxy answers 503 without a body of the API's.",
			answer(503, "no healthy upstream"), metric.ErrUnreachable, "503"},
		"InternalError": {"A server error is no answer.",
			answer(500, failure("internal", "disk full")), metric.ErrUnreachable, "500"},
		"NotFound": {"A wrong path is a wrong URL, not an outage.",
			answer(404, "404 page not found"), metric.ErrBadResponse, "404"},
		"LoginPage": {"A page in place of JSON is a wrong URL as well.",
			answer(200, "<html>Sign in</html>"), metric.ErrBadResponse, "URL"},
		"Truncated": {"Half an answer is none.",
			answer(200, `{"status":"success","data":{"resultType":"vec`), metric.ErrBadResponse, "URL"},
		"TooManySeries": {"A query without aggregation must not fill the memory.",
			answer(200, many), metric.ErrTooManySeries, "6, and the limit is 5"},
		"TooLarge": {"Nor must a huge answer.",
			answer(200, strings.Repeat("x", 2000)), metric.ErrTooManySeries, "1000 bytes"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := 0
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				asked++
				tc.handler(w, r)
			})
			s.MaxSeries, s.MaxBytes = 5, 1000
			_, err := querier(t, s).Query(t.Context(), instant())
			if !errors.Is(err, tc.want) {
				t.Fatalf("%s: error %v, want %v", tc.reason, err, tc.want)
			}
			if !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("%s: error %q, want it to say %q and not repeat the request", tc.reason, err, tc.says)
			}
			if asked != 1 {
				t.Errorf("%s: asked %d times, want once", tc.reason, asked)
			}
		})
	}
}

func TestTooManySeriesAreNotConverted(t *testing.T) {
	for _, kind := range []string{"vector", "matrix"} {
		s := serve(t, answer(200, success(kind, `[null,null]`))) // which would be another error
		s.MaxSeries = 1
		q := instant()
		if kind == "matrix" {
			q.Window = time.Hour
		}
		if _, err := querier(t, s).Query(t.Context(), q); !errors.Is(err, metric.ErrTooManySeries) {
			t.Errorf("%s: error %v, want ErrTooManySeries", kind, err)
		}
	}
}

func TestAServerThatEndsAQueryIsUp(t *testing.T) {
	cases := map[string]struct {
		reason  string
		handler http.HandlerFunc
		up      bool
	}{
		"Timeout":      {"The query took longer than Prometheus allows.", answer(503, failure("timeout", "query timed out in expression evaluation")), true},
		"Canceled":     {"Or somebody ended it.", answer(503, failure("canceled", "query was canceled")), true},
		"OtherTimeout": {"Others answer with another status.", answer(422, failure("timeout", "query timed out")), true},
		"Unavailable":  {"A proxy says nothing of the server behind it.", answer(503, "no healthy upstream"), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := querier(t, serve(t, tc.handler)).Query(t.Context(), instant())
			var answered *metric.AnsweredError
			if up := errors.As(err, &answered); up != tc.up || up != errors.Is(err, metric.ErrTimeout) {
				t.Errorf("%s: error %v, want a timeout of a server that is up: %t", tc.reason, err, tc.up)
			}
		})
	}
}

func TestALimitSaysHowLongToWait(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := querier(t, s).Query(t.Context(), instant())
	var limited *metric.RateLimitedError
	if !errors.As(err, &limited) || limited.RetryAfter != 7*time.Second {
		t.Errorf("error %v, want to retry after 7s", err)
	}
}

func TestAQueryEndsWithItsContext(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // else the server does not notice that the client leaves
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := querier(t, s).Query(ctx, instant()); !errors.Is(err, metric.ErrTimeout) {
		t.Errorf("error %v, want ErrTimeout", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := querier(t, s).Query(ctx, instant()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestAQueryThatNobodyCanAnswerIsNotAsked(t *testing.T) {
	q := querier(t, serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") }))
	if _, err := q.Query(t.Context(), metric.Query{Expr: " ", At: at()}); !errors.Is(err, metric.ErrBadQuery) {
		t.Errorf("error %v, want ErrBadQuery", err)
	}
}

func TestAProviderThatCannotBeIsRefused(t *testing.T) {
	withSecret := serverAt("http://x")
	withSecret.Spec.SecretKeyRef = corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "login"}}
	withSecret.Secret = connect.Secret{"user": []byte("hunter2")}
	withCA := serverAt("http://x")
	withCA.Certificates = connect.Secret{"ca.crt": []byte("hunter2")}
	for reason, s := range map[string]connect.Server{
		"There is nothing to ask.":                   serverAt(""),
		"Half of the credentials are missing.":       withSecret,
		"What is no certificate cannot be believed.": withCA,
	} {
		_, err := prometheus.New(s)
		if !errors.Is(err, metric.ErrConfig) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v, want ErrConfig without a secret", reason, err)
		}
	}
}

func TestCredentialsAreSentOverTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "u" || password != "p" {
			t.Errorf("asked by %q", user)
		}
		answer(200, success("scalar", `[1,"1"]`))(w, r)
	}))
	defer server.Close()
	s := serverAt(server.URL)
	s.Spec.InsecureSkipTLSVerify = true
	s.Secret = connect.Secret{"user": []byte("u"), "password": []byte("p")}
	if _, err := querier(t, s).Query(t.Context(), instant()); err != nil {
		t.Error(err)
	}
}

// FuzzAnswer decodes any answer: it is a result with samples, or an error that says
// which.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		success("scalar", `[1700000000,"0.5"]`),
		success("vector", `[{"metric":{"a":"b"},"value":[1700000000,"NaN"]}]`),
		success("vector", `[{"metric":{},"histogram":[1,{"count":"1","sum":"1","buckets":[[0,"0","1","2"]]}]}]`),
		success("matrix", `[{"metric":{},"values":[[1,"1"],[2,"2"]]}]`),
		success("vector", `null`), success("vector", `[null]`), success("matrix", `[null]`),
		failure("timeout", "slow"), `{}`, `null`, `[]`, ``,
	} {
		f.Add(body, false)
		f.Add(body, true)
	}
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	f.Cleanup(server.Close)
	q, err := prometheus.New(serverAt(server.URL))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, answered string, window bool) {
		body = answered
		asked := instant()
		if window {
			asked.Window = time.Minute
		}
		result, err := q.Query(t.Context(), asked)
		switch {
		case err != nil && metric.Reason(err) == "Failed":
			t.Errorf("an error of no kind: %v", err)
		case err == nil && len(result.Samples()) == 0:
			t.Error("neither a sample nor an error")
		}
		var request *url.Error
		if errors.As(err, &request) {
			t.Errorf("the error repeats the request: %v", err)
		}
	})
}
