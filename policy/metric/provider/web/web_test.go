package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	"github.com/keptn/gitops/policy/metric/provider/web"
)

// at is the instant that the tests ask for.
func at() time.Time { return time.Unix(1_700_000_000, 0).UTC() }

// instant is the question that most tests ask.
func instant() metric.Query { return metric.Query{Expr: "cpu", At: at()} }

func serverAt(url string, spec metricsv1.HTTPProvider) connect.Server {
	return connect.Server{
		Spec:      metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.HTTP, TargetServer: url, HTTP: &spec},
		Addresses: outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}
}

func serve(t *testing.T, handler http.HandlerFunc, spec metricsv1.HTTPProvider) connect.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return serverAt(server.URL, spec)
}

func querier(t *testing.T, s connect.Server) metric.Querier {
	t.Helper()
	q, err := web.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// answer is a handler that answers every query alike.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// number is a result of one series without labels.
func number(value float64) []metric.Series {
	return []metric.Series{{Samples: []metric.Sample{{Time: at(), Value: value}}}}
}

func TestWhatIsAskedIsATemplate(t *testing.T) {
	const odd = "a b&c=\"d\"\n/../%\u00e4"
	cases := map[string]struct {
		reason               string
		target               string
		spec                 metricsv1.HTTPProvider
		window               time.Duration
		method, address, say string
	}{
		"Default":  {"The query is a parameter.", "", metricsv1.HTTPProvider{}, 0, "GET", "/?query=a+b%26c%3D%22d%22%0A%2F..%2F%25%C3%A4", ""},
		"Prefix":   {"The path goes on where targetServer ends.", "/api/", metricsv1.HTTPProvider{Path: "/v1?q={{.Query}}"}, 0, "GET", "/api/v1?q=a+b%26c%3D%22d%22%0A%2F..%2F%25%C3%A4", ""},
		"Instant":  {"An instant is the last 5 minutes.", "", metricsv1.HTTPProvider{Path: "/{{.From}}/{{ .To }}"}, 0, "GET", "/1699999700/1700000000", ""},
		"Window":   {"A window is itself.", "", metricsv1.HTTPProvider{Path: "/{{.From}}/{{.To}}"}, time.Hour, "GET", "/1699996400/1700000000", ""},
		"Constant": {"A path needs no query.", "", metricsv1.HTTPProvider{Path: "/health"}, 0, "GET", "/health", ""},
		"Body":     {"A body is JSON, in which a query is a text.", "", metricsv1.HTTPProvider{Method: "POST", Path: "/q", Body: `{"q": "{{.Query}}", "to": {{.To}}}`}, 0, "POST", "/q", `{"q": "a b\u0026c=\"d\"\n/../%ä", "to": 1700000000}`},
		"NoBody":   {"A POST needs no body.", "", metricsv1.HTTPProvider{Method: "POST", Path: "/q"}, 0, "POST", "/q", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || r.Method != tc.method || r.RequestURI != tc.address || string(body) != tc.say {
					t.Errorf("%s: asked %s %s %s, %v, want %s %s %s", tc.reason, r.Method, r.RequestURI, body, err, tc.method, tc.address, tc.say)
				}
				if kind := r.Header.Get("Content-Type"); (kind == "application/json") != (tc.say != "") {
					t.Errorf("%s: Content-Type = %q", tc.reason, kind)
				}
				fmt.Fprint(w, `{"value":1}`)
			}, tc.spec)
			s.Spec.TargetServer += tc.target
			got, err := querier(t, s).Query(t.Context(), metric.Query{Expr: odd, At: at(), Window: tc.window})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(metric.Result{Series: number(1), Raw: []byte(`{"value":1}`)}, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
}

func TestATypeWithoutASpecHasDefaults(t *testing.T) {
	s := serve(t, answer(200, `{"value":2.5}`), metricsv1.HTTPProvider{})
	s.Spec.HTTP = nil
	got, err := querier(t, s).Query(t.Context(), instant())
	if diff := cmp.Diff(number(2.5), got.Series); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestAValueIsFoundByItsExpression(t *testing.T) {
	labelled := func(value float64, pairs ...string) metric.Series {
		s := number(value)[0]
		s.Labels = map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			s.Labels[pairs[i]] = pairs[i+1]
		}
		return s
	}
	cases := map[string]struct {
		reason, value, body string
		want                []metric.Series
	}{
		"Number":   {"The usual place.", `body.data.result[0]`, `{"data":{"result":[7]}}`, number(7)},
		"Text":     {"Many APIs write numbers as text.", `body.v`, `{"v":" 3.5 "}`, number(3.5)},
		"Integer":  {"An expression may count.", `size(body.items)`, `{"items":[1,2]}`, number(2)},
		"Unsigned": {"Or convert.", `uint(body.v)`, `{"v":2}`, number(2)},
		"Math":     {"There are CEL's functions.", `math.greatest(body.map(x, x.v)) * 2.0`, `[{"v":1},{"v":3}]`, number(6)},
		"Strings":  {"Also for text.", `body.v.replace(",", "").split(" ")[0]`, `{"v":"1,234 ms"}`, number(1234)},
		"Choice":   {"A key may be missing.", `has(body.v) ? body.v : 0`, `{}`, number(0)},
		"Series": {"A list is one series each; labels are text, and null is no sample and no label.",
			`body.rows.map(r, {"labels": {"pod": r.pod, "n": r.n}, "value": r.v})`,
			`{"rows":[{"pod":"a","n":1,"v":1},{"pod":"b","n":null,"v":"2"},{"pod":"c","n":true,"v":null}]}`,
			[]metric.Series{labelled(1, "pod", "a", "n", "1"), labelled(2, "pod", "b")}},
		"OwnForm":  {"An API may have that form itself.", `body`, `[{"labels":{"a":"b"},"value":1},{"value":2},{"labels":null,"value":3}]`, []metric.Series{labelled(1, "a", "b"), number(2)[0], number(3)[0]}},
		"NotANumb": {"NaN is a value where it is written as text.", `body.v`, `{"v":"Inf"}`, number(inf())},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t, answer(200, tc.body), metricsv1.HTTPProvider{Value: tc.value})
			got, err := querier(t, s).Query(t.Context(), instant())
			if diff := cmp.Diff(tc.want, got.Series, cmpopts.EquateNaNs()); err != nil || diff != "" {
				t.Errorf("%s: %v (-want +got):\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestAsManySeriesAsAreAcceptedAreWithinTheCost(t *testing.T) {
	row := `{"pod":"a","v":1}`
	body := "[" + strings.Repeat(row+",", connect.MaxSeries-1) + row + "]"
	s := serve(t, answer(200, body), metricsv1.HTTPProvider{Value: `body.map(r, {"labels": {"pod": r.pod}, "value": r.v})`})
	got, err := querier(t, s).Query(t.Context(), instant())
	if err != nil || len(got.Series) != connect.MaxSeries {
		t.Errorf("%d series, %v, want %d", len(got.Series), err, connect.MaxSeries)
	}
}

func inf() float64 {
	zero := 0.0
	return 1 / zero
}

func TestErrorsAreToldApart(t *testing.T) {
	rows := "[" + strings.Repeat("1,", 2000) + "1]"
	cases := map[string]struct {
		reason, value string
		handler       http.HandlerFunc
		want          error
		says          string
	}{
		"MissingKey":   {"What is not in the answer is no data.", `body.v`, answer(200, `{}`), metric.ErrNoData, "no such key: v"},
		"Empty":        {"Nor is the first of none.", `body[0]`, answer(200, `[]`), metric.ErrNoData, "index out of bounds"},
		"Null":         {"Null is no zero.", `body.v`, answer(200, `{"v":null}`), metric.ErrNoData, "no sample"},
		"NoSeries":     {"An empty list has no sample.", `body`, answer(200, `[]`), metric.ErrNoData, "no sample"},
		"Bool":         {"True is no number.", `body.v`, answer(200, `{"v":true}`), metric.ErrBadResponse, "a bool"},
		"Map":          {"Nor is a map.", `body`, answer(200, `{"v":1}`), metric.ErrBadResponse, "a map"},
		"Text":         {"Nor is a word.", `body.v`, answer(200, `{"v":"many"}`), metric.ErrBadResponse, `"many"`},
		"EmptyText":    {"Nor is an empty text.", `body.v`, answer(200, `{"v":""}`), metric.ErrBadResponse, `""`},
		"Numbers":      {"A list of numbers says not what they are of.", `body`, answer(200, `[1]`), metric.ErrBadResponse, "list of a double"},
		"NoValue":      {"A series has a value.", `body`, answer(200, `[{"labels":{}}]`), metric.ErrBadResponse, `without "value"`},
		"BadValue":     {"Which is a number.", `body`, answer(200, `[{"value":[]}]`), metric.ErrBadResponse, "a list"},
		"BadLabels":    {"Labels are a map.", `body`, answer(200, `[{"labels":[],"value":1}]`), metric.ErrBadResponse, "labels"},
		"BadLabel":     {"And each is a text.", `body`, answer(200, `[{"labels":{"a":[]},"value":1}]`), metric.ErrBadResponse, "a list"},
		"LabelName":    {"As is its name.", `[{"labels": {1: "a"}, "value": 1}]`, answer(200, `{}`), metric.ErrBadResponse, "label"},
		"Overload":     {"The numbers of JSON are doubles, and whoever forgets is told.", `body.v * 2`, answer(200, `{"v":1}`), metric.ErrBadResponse, "2.0"},
		"TooCostly":    {"An expression must not take for ever.", `size(body.map(a, body.map(b, a + b)))`, answer(200, rows), metric.ErrTooManySeries, "http.value"},
		"TooMany":      {"Too many series.", `body`, answer(200, `[{"value":1},{"value":1},{"value":1}]`), metric.ErrTooManySeries, "limit is 2"},
		"TooLarge":     {"A huge answer.", `body.v`, answer(200, `"`+strings.Repeat("x", 10_000)+`"`), metric.ErrTooManySeries, "9000 bytes"},
		"BadQuery":     {"A refusal is the author's; its text can repeat what was sent.", `body.v`, answer(400, `{"sent":"hunter2"}`), metric.ErrBadQuery, "400"},
		"Unprocessed":  {"In either form.", `body.v`, answer(422, `hunter2`), metric.ErrBadQuery, "422"},
		"Unauthorized": {"A server that wants other credentials.", `body.v`, answer(401, `hunter2`), metric.ErrUnauthorized, "401"},
		"Forbidden":    {"Or refuses these.", `body.v`, answer(403, `hunter2`), metric.ErrUnauthorized, "403"},
		"NotFound":     {"Something else is at the URL.", `body.v`, answer(404, `hunter2`), metric.ErrBadResponse, "404"},
		"Down":         {"A server error is no answer.", `body.v`, answer(502, `hunter2`), metric.ErrUnreachable, "502"},
		"Page":         {"A page is no JSON.", `body.v`, answer(200, `<html>hunter2`), metric.ErrBadResponse, "URL"},
		"Truncated":    {"Half an answer is none.", `body.v`, answer(200, `{"v":`), metric.ErrBadResponse, "URL"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t, tc.handler, metricsv1.HTTPProvider{Value: tc.value})
			s.MaxSeries, s.MaxBytes = 2, 9000
			_, err := querier(t, s).Query(t.Context(), instant())
			if !errors.Is(err, tc.want) {
				t.Fatalf("%s: error %v, want %v", tc.reason, err, tc.want)
			}
			if !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter") {
				t.Errorf("%s: error %q, want it to say %q and no secret", tc.reason, err, tc.says)
			}
		})
	}
}

func TestALimitSaysHowLongToWait(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	}, metricsv1.HTTPProvider{})
	_, err := querier(t, s).Query(t.Context(), instant())
	var limited *metric.RateLimitedError
	if !errors.As(err, &limited) || limited.RetryAfter != 7*time.Second {
		t.Errorf("error %v, want to retry after 7s", err)
	}
}

func TestAQueryEndsWithItsContext(t *testing.T) {
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, metricsv1.HTTPProvider{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := querier(t, s).Query(ctx, instant()); !errors.Is(err, metric.ErrTimeout) {
		t.Errorf("error %v, want ErrTimeout", err)
	}
}

func TestAQueryThatCannotBeAskedIsNot(t *testing.T) {
	q := querier(t, serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") }, metricsv1.HTTPProvider{Path: "/{{.Query}}"}))
	for reason, query := range map[string]metric.Query{
		"It is empty.":                 {Expr: " ", At: at()},
		"An unknown API has no step.":  {Expr: "x", At: at(), Window: time.Hour, Step: time.Minute},
		"It makes too long a URL.":     {Expr: strings.Repeat("x", 1<<16), At: at()},
		"It grows once it is escaped.": {Expr: strings.Repeat("ä", 1<<14), At: at()},
	} {
		if _, err := q.Query(t.Context(), query); !errors.Is(err, metric.ErrBadQuery) {
			t.Errorf("%s error %v, want ErrBadQuery", reason, err)
		}
	}
}

func TestAProviderThatCannotBeIsRefused(t *testing.T) {
	cases := map[string]struct {
		reason string
		spec   metricsv1.HTTPProvider
		says   string
	}{
		"Method":      {"Only questions are asked.", metricsv1.HTTPProvider{Method: "DELETE"}, "http.method"},
		"GetBody":     {"A GET has no body.", metricsv1.HTTPProvider{Body: "{}"}, "POST only"},
		"Unclosed":    {"A template that does not parse.", metricsv1.HTTPProvider{Path: "/{{.Query"}, "http.path"},
		"Field":       {"A template reads three fields.", metricsv1.HTTPProvider{Path: "/{{.Secret}}"}, "{{.Secret}}"},
		"Method call": {"And nothing of theirs.", metricsv1.HTTPProvider{Path: "/{{.Query.Secret}}"}, ".Query.Secret"},
		"Function":    {"No function can make a text of any length.", metricsv1.HTTPProvider{Path: `/{{printf "%900000d" 1}}`}, "printf"},
		"Pipe":        {"Nor can a pipe.", metricsv1.HTTPProvider{Path: `/{{.Query | printf "%900000s"}}`}, "printf"},
		"Variable":    {"Nor a variable.", metricsv1.HTTPProvider{Path: `/{{$x := .Query}}`}, "$x"},
		"Loop":        {"Nor a loop.", metricsv1.HTTPProvider{Path: `/{{range 1000000}}x{{end}}`}, "range"},
		"All":         {"The dot is all of it.", metricsv1.HTTPProvider{Path: `/{{.}}`}, "{{.}}"},
		"OtherBody":   {"The same holds for a body.", metricsv1.HTTPProvider{Method: "POST", Body: `{{.Secret}}`}, "http.body"},
		"OtherHost":   {"A path must not lead the credentials to another host.", metricsv1.HTTPProvider{Path: "@evil.example/"}, "begin it with / or ?"},
		"OtherDomain": {"In no form.", metricsv1.HTTPProvider{Path: ".evil.example/"}, "begin it with / or ?"},
		"Port":        {"Nor to another port.", metricsv1.HTTPProvider{Path: "1/"}, "begin it with / or ?"},
		"Syntax":      {"An expression that does not parse.", metricsv1.HTTPProvider{Value: "body."}, "http.value"},
		"Name":        {"It sees the answer alone.", metricsv1.HTTPProvider{Value: "secret.password"}, "secret"},
		"Join":        {"It cannot fill the memory.", metricsv1.HTTPProvider{Value: `body.map(x, x.join(body))`}, "join"},
		"Loops":       {"Lists that hold lists twice, 40 times over, take for ever to compare.", metricsv1.HTTPProvider{Value: "body" + strings.Repeat(".map(x, [x, x])", 40) + " == []"}, "nesting limit"},
		"Format":      {"Not by a format.", metricsv1.HTTPProvider{Value: `"%s%s".format([body, body])`}, "format"},
		"Replace":     {"Nor by a replacement.", metricsv1.HTTPProvider{Value: `body.a.replace("", body.b)`}, "replace"},
		"ReplaceLong": {"Nor by one that is longer.", metricsv1.HTTPProvider{Value: `body.a.replace("a", "aa")`}, "replace"},
		"TooLong":     {"It has a length.", metricsv1.HTTPProvider{Value: "1" + strings.Repeat(" + 1", 2000)}, "http.value"},
		"TooDeep":     {"And a depth.", metricsv1.HTTPProvider{Value: strings.Repeat("(", 200) + "1" + strings.Repeat(")", 200)}, "http.value"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := serverAt("http://127.0.0.1:90", tc.spec)
			s.Spec.SecretKeyRef = corev1.SecretKeySelector{Key: "token"}
			s.Secret = connect.Secret{"token": []byte("hunter2")}
			_, err := web.New(s)
			if !errors.Is(err, metric.ErrConfig) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter") {
				t.Errorf("%s: error %v, want ErrConfig that says %q", tc.reason, err, tc.says)
			}
		})
	}
	half := serverAt("http://x", metricsv1.HTTPProvider{})
	half.Secret = connect.Secret{"user": []byte("hunter2")}
	blind := serverAt("http://x", metricsv1.HTTPProvider{})
	blind.Certificates = connect.Secret{"ca.crt": []byte("hunter2")}
	for _, s := range []connect.Server{serverAt("", metricsv1.HTTPProvider{}), half, blind} {
		if _, err := web.New(s); !errors.Is(err, metric.ErrConfig) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("error %v, want ErrConfig without a secret", err)
		}
	}
}

func TestCredentialsAreSentOverTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer abc" {
			t.Errorf("asked with %v", r.Header)
		}
		fmt.Fprint(w, `{"value":1}`)
	}))
	defer server.Close()
	s := serverAt(server.URL, metricsv1.HTTPProvider{})
	s.Spec.InsecureSkipTLSVerify = true
	s.Spec.SecretKeyRef = corev1.SecretKeySelector{Key: "token"}
	s.Secret = connect.Secret{"token": []byte("abc")}
	if _, err := querier(t, s).Query(t.Context(), instant()); err != nil {
		t.Error(err)
	}
}

// FuzzAnswer finds the numbers in any answer: there are samples, or an error that
// says why not.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		`{"value":1}`, `{"value":"2"}`, `{"value":null}`, `{"value":[{"labels":{"a":1},"value":2}]}`,
		`{"value":[{"labels":null,"value":"NaN"}]}`, `{"value":{}}`, `{}`, `[]`, `null`, `1e999`, ``,
	} {
		f.Add(body)
	}
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	f.Cleanup(server.Close)
	q, err := web.New(serverAt(server.URL, metricsv1.HTTPProvider{}))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, answered string) {
		body = answered
		result, err := q.Query(t.Context(), instant())
		switch {
		case err != nil && metric.Reason(err) == "Failed":
			t.Errorf("an error of no kind: %v", err)
		case err == nil && len(result.Samples()) == 0:
			t.Error("neither a sample nor an error")
		}
	})
}
