package loki_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
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
	"github.com/keptn/gitops/policy/metric/provider/loki"
)

// at is the instant that the tests ask for.
func at() time.Time { return time.Unix(1_700_000_000, 0).UTC() }

// errorsOf is the question that most tests ask.
func errorsOf() metric.Query {
	return metric.Query{Expr: `sum(count_over_time({app="a"} |= "error" [10m]))`, At: at(), Lines: true}
}

func serverAt(url string) connect.Server {
	return connect.Server{
		Spec:      metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Loki, TargetServer: url},
		Addresses: outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}
}

func querier(t *testing.T, s connect.Server) metric.Querier {
	t.Helper()
	q, err := loki.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// success is the API's envelope of a result.
func success(kind, result string) string {
	return `{"status":"success","data":{"resultType":"` + kind + `","result":` + result + `,"stats":{}}}`
}

// vector is an instant of one number.
func vector(value string) string {
	return success("vector", `[{"metric":{},"value":[1700000000.5,"`+value+`"]}]`)
}

// A fake is a Loki that keeps what it is asked.
type fake struct {
	numbers func(http.ResponseWriter)
	logs    func(http.ResponseWriter)
	asked   []*http.Request
}

func says(status int, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.asked = append(f.asked, r)
	if r.FormValue("direction") != "" {
		f.logs(w)
		return
	}
	f.numbers(w)
}

func (f *fake) start(t *testing.T) connect.Server {
	t.Helper()
	if f.logs == nil {
		f.logs = says(200, success("streams", "[]"))
	}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return serverAt(server.URL)
}

// wantForm checks the path and the parameters of a request.
func wantForm(t *testing.T, r *http.Request, path string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for name := range r.Form {
		got[name] = r.FormValue(name)
	}
	if diff := cmp.Diff(want, got); diff != "" || r.Method != http.MethodGet || r.URL.Path != path {
		t.Errorf("asked %s %s, want %s (-want +got):\n%s", r.Method, r.URL.Path, path, diff)
	}
}

func TestAnInstantSpeaksTheAPIOfLoki(t *testing.T) {
	f := &fake{numbers: says(200, vector("3"))}
	s := f.start(t)
	s.Spec.TargetServer += "/prefix/"
	s.Spec.Headers = map[string]string{"X-Scope-OrgID": "team"}
	s.Spec.SecretKeyRef = corev1.SecretKeySelector{Key: "token"}
	s.Secret = connect.Secret{"token": []byte("abc")}
	got, err := querier(t, s).Query(t.Context(), errorsOf())
	if err != nil {
		t.Fatal(err)
	}
	want := metric.Result{
		Series: []metric.Series{{Labels: map[string]string{}, Samples: []metric.Sample{{Time: at().Add(500 * time.Millisecond), Value: 3}}}},
		Raw:    []byte(`[{"metric":{},"value":[1700000000.5,"3"]}]`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	wantForm(t, f.asked[0], "/prefix/loki/api/v1/query", map[string]string{"query": errorsOf().Expr, "time": "1700000000000000000"})
	for _, r := range f.asked {
		if r.Header.Get("X-Scope-OrgID") != "team" || r.Header.Get("Authorization") != "Bearer abc" {
			t.Errorf("asked %s with %v", r.URL, r.Header)
		}
	}
}

func TestAWindowIsARangeQuery(t *testing.T) {
	const matrix = `[{"metric":{"pod":"a"},"values":[[1699999880,"0"],[1700000000,"0"]]},{"metric":{"pod":"b"},"values":[[1699999940,"NaN"]]}]`
	at := func(before int, value float64) metric.Sample {
		return metric.Sample{Time: at().Add(-time.Duration(before) * time.Second), Value: value}
	}
	a, b := map[string]string{"pod": "a"}, map[string]string{"pod": "b"}
	for step, want := range map[time.Duration][]metric.Series{
		0:                {{Labels: a, Samples: []metric.Sample{at(0, 0)}}, {Labels: b, Samples: []metric.Sample{at(60, math.NaN())}}},
		90 * time.Second: {{Labels: a, Samples: []metric.Sample{at(120, 0), at(0, 0)}}, {Labels: b, Samples: []metric.Sample{at(60, math.NaN())}}},
	} {
		f := &fake{numbers: says(200, success("matrix", matrix))}
		q := errorsOf()
		q.Window, q.Step = 2*time.Minute, step
		got, err := querier(t, f.start(t)).Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.Series, cmpopts.EquateNaNs()); diff != "" {
			t.Errorf("series (-want +got):\n%s", diff)
		}
		wantStep := map[time.Duration]string{0: "120", 90 * time.Second: "90"}[step]
		wantForm(t, f.asked[0], "/loki/api/v1/query_range", map[string]string{
			"query": q.Expr, "start": "1699999880000000000", "end": "1700000000000000000", "step": wantStep,
		})
		if len(f.asked) != 1 {
			t.Errorf("lines were asked for, although nothing was counted")
		}
	}
}

func TestTheNewestLinesAreShown(t *testing.T) {
	streams := success("streams", `[
		{"stream":{"pod":"a"},"values":[["1699999999000000000","4"],["1699999996000000000","1"]]},
		{"stream":{"pod":"b"},"values":[["1700000000000000000","5\n",{"structuredMetadata":{}}],["1699999998000000000","3"],["1699999997000000000","2"],["1699999995000000000","0"]]}]`)
	f := &fake{numbers: says(200, vector("6")), logs: says(200, streams)}
	got, err := querier(t, f.start(t)).Query(t.Context(), errorsOf())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"5", "4", "3", "2", "1"}, got.Lines); diff != "" || got.Warnings != nil {
		t.Errorf("lines of both streams, newest first (-want +got):\n%s%v", diff, got.Warnings)
	}
	wantForm(t, f.asked[1], "/loki/api/v1/query_range", map[string]string{
		"query": `{app="a"} |= "error"`, "start": "1699999400000000000", "end": "1700000000000000000", "limit": "5", "direction": "backward",
	})
}

func TestLinesAreLookedForWhereTheyAreAskedFor(t *testing.T) {
	f := &fake{numbers: says(200, vector("6")), logs: says(500, "")}
	q := errorsOf()
	q.Lines = false
	got, err := querier(t, f.start(t)).Query(t.Context(), q)
	if err != nil || got.Lines != nil || got.Warnings != nil || len(f.asked) != 1 {
		t.Errorf("%+v and error %v after %d requests, want a number after one", got, err, len(f.asked))
	}
}

func TestLinesAreOfTheTimeThatWasCounted(t *testing.T) {
	const matrix = `[{"metric":{},"values":[[1700000000,"1"]]}]`
	cases := map[string]struct {
		reason, expr string
		window       time.Duration
		answer       string
		start, end   string
	}{
		"Range":    {"An instant looks back over its range.", `rate({app="a"}[10m])`, 0, vector("1"), "1699999400", "1700000000"},
		"Window":   {"A window is looked through as a whole.", `rate({app="a"}[10m])`, time.Hour, success("matrix", matrix), "1699996400", "1700000000"},
		"Variable": {"A range that cannot be read is 5 minutes.", `rate({app="a"}[$__range])`, 0, vector("1"), "1699999700", "1700000000"},
		"Offset":   {"An offset moves both ends.", `rate({app="a"}[10m] offset 1m)`, 0, vector("1"), "1699999340", "1699999940"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := &fake{numbers: says(200, tc.answer)}
			if _, err := querier(t, f.start(t)).Query(t.Context(), metric.Query{Expr: tc.expr, At: at(), Window: tc.window, Lines: true}); err != nil {
				t.Fatal(err)
			}
			if start, end := f.asked[1].FormValue("start"), f.asked[1].FormValue("end"); start != tc.start+"000000000" || end != tc.end+"000000000" {
				t.Errorf("%s: lines from %s to %s, want %s to %s", tc.reason, start, end, tc.start, tc.end)
			}
		})
	}
}

func TestWithoutLinesThereIsStillANumber(t *testing.T) {
	cases := map[string]struct {
		reason string
		value  string
		logs   func(http.ResponseWriter)
		asked  int
		warns  string
	}{
		"Zero":     {"Nothing was counted.", "0", nil, 1, ""},
		"Negative": {"Nor here.", "-1", nil, 1, ""},
		"NaN":      {"Nor is this a count.", "NaN", nil, 1, ""},
		"None":     {"The lines are gone already.", "1", nil, 2, ""},
		"Broken":   {"An outage is a warning.", "1", says(500, ""), 2, "unreachable"},
		"Refused":  {"As is a query that was not understood.", "1", says(400, "parse error at line 1"), 2, "parse error"},
		"Numbers":  {"And an answer that is no log.", "1", says(200, vector("1")), 2, "no log"},
		"Entry":    {"Or none that can be read.", "1", says(200, success("streams", `[{"values":[["x"]]}]`)), 2, "no log"},
		"Time":     {"As without a time.", "1", says(200, success("streams", `[{"values":[["x","y"]]}]`)), 2, "no log"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := &fake{numbers: says(200, vector(tc.value)), logs: tc.logs}
			got, err := querier(t, f.start(t)).Query(t.Context(), errorsOf())
			if err != nil || len(got.Series) != 1 || got.Lines != nil {
				t.Fatalf("%s: %+v, %v", tc.reason, got, err)
			}
			if warned := strings.Join(got.Warnings, "; "); len(f.asked) != tc.asked || !strings.Contains(warned, tc.warns) || (warned == "") != (tc.warns == "") {
				t.Errorf("%s: asked %d times, warnings %q", tc.reason, len(f.asked), warned)
			}
		})
	}
}

func TestErrorsAreToldApart(t *testing.T) {
	cases := map[string]struct {
		reason  string
		numbers func(http.ResponseWriter)
		want    error
		says    string
	}{
		"NoSample":     {"An empty vector is no data.", says(200, success("vector", "[]")), metric.ErrNoData, "no sample"},
		"BadQuery":     {"Loki explains in plain text.", says(400, "parse error at line 1, col 5: syntax error: unexpected IDENTIFIER\n"), metric.ErrBadQuery, "line 1, col 5"},
		"LogQuery":     {"Lines are no number.", says(400, "log queries are not supported as an instant query type, please change your query to a range query type"), metric.ErrBadQuery, "count_over_time"},
		"Streams":      {"Also where they are an answer.", says(200, success("streams", "[]")), metric.ErrBadQuery, "count_over_time"},
		"Series":       {"Loki has a limit of its own.", says(400, "maximum of series (500) reached for a single query"), metric.ErrTooManySeries, "500"},
		"Timeout":      {"And a time.", says(504, "request timed out, decrease the duration of the request"), metric.ErrTimeout, "decrease the duration"},
		"Unauthorized": {"A tenant is missing.", says(401, "no org id"), metric.ErrUnauthorized, "401"},
		"Forbidden":    {"Or refused.", says(403, ""), metric.ErrUnauthorized, "403"},
		"Down":         {"A server error is no answer.", says(500, "hunter2"), metric.ErrUnreachable, "500"},
		"NotFound":     {"Something else is at the URL.", says(404, "404 page not found"), metric.ErrBadResponse, "404"},
		"Page":         {"As here.", says(200, "<html>"), metric.ErrBadResponse, "URL"},
		"OtherJSON":    {"And here.", says(200, "{}"), metric.ErrBadResponse, "URL"},
		"OtherType":    {"And here.", says(200, success("tensor", "[]")), metric.ErrBadResponse, "tensor"},
		"NoVector":     {"A result of another shape.", says(200, success("vector", "{}")), metric.ErrBadResponse, "vector"},
		"Null":         {"A series that is none.", says(200, success("vector", "[null]")), metric.ErrBadResponse, "null"},
		"Truncated":    {"Half an answer is none.", says(200, `{"status":"succ`), metric.ErrBadResponse, "URL"},
		"TooLarge":     {"A huge answer.", says(200, strings.Repeat(" ", 2000)), metric.ErrTooManySeries, "1000 bytes"},
		"TooMany":      {"Too many series.", says(200, success("vector", `[{"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,"1"]}]`)), metric.ErrTooManySeries, "limit is 1"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := &fake{numbers: tc.numbers}
			s := f.start(t)
			s.MaxSeries, s.MaxBytes = 1, 1000
			_, err := querier(t, s).Query(t.Context(), errorsOf())
			if !errors.Is(err, tc.want) || len(f.asked) != 1 {
				t.Fatalf("%s: error %v, want %v; asked %d times", tc.reason, err, tc.want, len(f.asked))
			}
			if !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("%s: error %q, want it to say %q", tc.reason, err, tc.says)
			}
		})
	}
}

func TestAServerThatEndsAQueryIsUp(t *testing.T) {
	for body, up := range map[string]bool{
		"Request timed out, decrease the duration of the request or add more label matchers": true,
		"<html><title>504 Gateway Time-out</title></html>":                                   false,
	} {
		f := &fake{numbers: says(504, body)}
		_, err := querier(t, f.start(t)).Query(t.Context(), errorsOf())
		var answered *metric.AnsweredError
		if !errors.Is(err, metric.ErrTimeout) || errors.As(err, &answered) != up {
			t.Errorf("%s: error %v, want a timeout of a server that is up: %t", body, err, up)
		}
	}
}

func TestALimitSaysHowLongToWait(t *testing.T) {
	f := &fake{numbers: func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	}}
	_, err := querier(t, f.start(t)).Query(t.Context(), errorsOf())
	var limited *metric.RateLimitedError
	if !errors.As(err, &limited) || limited.RetryAfter != 7*time.Second {
		t.Errorf("error %v, want to retry after 7s", err)
	}
}

func TestAQueryEndsWithItsContext(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := querier(t, serverAt(server.URL)).Query(ctx, errorsOf()); !errors.Is(err, metric.ErrTimeout) {
		t.Errorf("error %v, want ErrTimeout", err)
	}
}

func TestAProviderThatCannotBeIsRefused(t *testing.T) {
	half := serverAt("http://x")
	half.Secret = connect.Secret{"user": []byte("hunter2")}
	blind := serverAt("http://x")
	blind.Certificates = connect.Secret{"ca.crt": []byte("hunter2")}
	for reason, s := range map[string]connect.Server{
		"There is nothing to ask.": serverAt(""), "Half of the credentials are missing.": half, "There is no certificate.": blind,
	} {
		if _, err := loki.New(s); !errors.Is(err, metric.ErrConfig) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: error %v, want ErrConfig without a secret", reason, err)
		}
	}
	if _, err := querier(t, serverAt("http://x")).Query(t.Context(), metric.Query{Expr: " ", At: at()}); !errors.Is(err, metric.ErrBadQuery) {
		t.Errorf("error %v, want ErrBadQuery", err)
	}
}

func TestAnyCertificateIsTakenOnRequest(t *testing.T) {
	server := httptest.NewTLSServer(&fake{numbers: says(200, vector("0"))})
	defer server.Close()
	s := serverAt(server.URL)
	s.Spec.InsecureSkipTLSVerify = true
	if _, err := querier(t, s).Query(t.Context(), errorsOf()); err != nil {
		t.Error(err)
	}
}

// FuzzAnswer decodes any answer, to the numbers and to the lines: it is a result, or
// an error that says which.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		vector("1"), vector("NaN"), success("scalar", `[1,"1"]`), success("matrix", `[{"metric":{},"values":[[1,"1"]]}]`),
		success("streams", `[{"stream":{},"values":[["1","line"]]}]`), success("streams", `[null]`), success("streams", `[{"values":[null]}]`),
		success("vector", `[null]`), success("scalar", `null`), `{}`, `null`, ``,
	} {
		f.Add(body, body)
	}
	var numbers, logs string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("direction") != "" {
			_, _ = io.WriteString(w, logs)
			return
		}
		_, _ = io.WriteString(w, numbers)
	}))
	f.Cleanup(server.Close)
	q, err := loki.New(serverAt(server.URL))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		numbers, logs = first, second
		result, err := q.Query(t.Context(), errorsOf())
		switch {
		case err != nil && metric.Reason(err) == "Failed":
			t.Errorf("an error of no kind: %v", err)
		case err == nil && len(result.Samples()) == 0:
			t.Error("neither a sample nor an error")
		}
		for _, line := range result.Lines {
			if len(line) > 500 {
				t.Errorf("a line of %d bytes", len(line))
			}
		}
	})
}
