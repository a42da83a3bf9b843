package dynatrace_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider/dynatrace"
)

func secret() string   { return "hunter2" }
func question() string { return "builtin:host.cpu.idle" }
func other() error     { return metric.ErrBadResponse }

func credentials(string) connect.Secret {
	return connect.Secret{"token": []byte("dt0c01.id.hunter2\n")}
}

// success is an answer as Dynatrace's documentation shows it.
func success(data string) string {
	return `{"totalCount":3,"nextPageKey":null,"resolution":"1h","warnings":["most of it"],"result":[{"metricId":"builtin:host.cpu.idle",
		"dataPointCountRatio":0.1,"dimensionCountRatio":0.2,"warnings":["one of it"],"data":[` + data + `]}]}`
}

// row is a series of an answer.
func row(disk, times, values string) string {
	return `{"dimensions":["` + disk + `"],"dimensionMap":{"dt.entity.disk":"` + disk + `"},"timestamps":[` + times + `],"values":[` + values + `]}`
}

func good() string {
	return success(row("a", "1699999700000,1699999760000,1699999820000", "11.1,null,22.3"))
}

func labels(disk string) map[string]string {
	return map[string]string{"__name__": "builtin:host.cpu.idle", "dt.entity.disk": disk}
}

func sample(second int64, value float64) metric.Sample {
	return metric.Sample{Time: time.Unix(second, 0).UTC(), Value: value}
}

func TestAQuerySpeaksTheMetricsAPI(t *testing.T) {
	cases := map[string]struct {
		reason, suffix string
		q              metric.Query
		path, query    string
	}{
		"Instant": {"The API knows no instant: the last 5 minutes stand for it.", "",
			instant(`m:filter(eq("a","b"))`), "/api/v2/metrics/query", "from=1699999700000&metricSelector=m%3Afilter%28eq%28%22a%22%2C%22b%22%29%29&to=1700000000000"},
		"Window": {"A window is in milliseconds since 1970; an environment of one's own has a path.", "/e/abc/",
			metric.Query{Expr: "m", At: at(), Window: time.Hour}, "/e/abc/api/v2/metrics/query", "from=1699996400000&metricSelector=m&to=1700000000000"},
		"Step": {"A step is a resolution; an address that ends in api/ is not given it again.", "/e/abc/api/",
			metric.Query{Expr: "m", At: at(), Window: time.Hour, Step: 5 * time.Minute}, "/e/abc/api/v2/metrics/query", "from=1699996400000&metricSelector=m&resolution=5m&to=1700000000000"},
		"APIWithoutSlash": {"Nor is one that ends in api.", "/api",
			metric.Query{Expr: "m", At: at(), Window: time.Hour, Step: 2 * time.Hour}, "/api/v2/metrics/query", "from=1699996400000&metricSelector=m&resolution=120m&to=1700000000000"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				got := []string{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Authorization"), r.Header.Get("Accept")}
				want := []string{"GET", tc.path, tc.query, "Api-Token dt0c01.id.hunter2", "application/json"}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
				}
				answer(200, good())(w, r)
			})
			s.Spec.TargetServer += tc.suffix
			if _, err := query(t, s, tc.q); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAResultIsWhatDynatraceMeasured(t *testing.T) {
	two := success(row("a", "1699999700000,1699999760000,1699999820000", "1,2,6") + "," +
		row("b", "1699999700000", "null") + "," + row("c", "1699999760000,1699999700000", "7,4"))
	cases := map[string]struct {
		reason  string
		step    time.Duration
		body    string
		want    []metric.Series
		overall float64
	}{
		"Mean": {"The value is the mean of what is not null.", 0, good(),
			[]metric.Series{{Labels: labels("a"), Samples: []metric.Sample{sample(1699999820, 16.7)}}}, 16.7},
		"Several": {"The overall value is the mean of all values, and not of the series' means.", 0, two,
			[]metric.Series{
				{Labels: labels("a"), Samples: []metric.Sample{sample(1699999820, 3)}},
				{Labels: labels("c"), Samples: []metric.Sample{sample(1699999760, 5.5)}},
			}, 4},
		"Step": {"With a step all values are kept, in the order of time.", time.Minute, two,
			[]metric.Series{
				{Labels: labels("a"), Samples: []metric.Sample{sample(1699999700, 1), sample(1699999760, 2), sample(1699999820, 6)}},
				{Labels: labels("c"), Samples: []metric.Sample{sample(1699999700, 4), sample(1699999760, 7)}},
			}, 4},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := query(t, serve(t, answer(200, tc.body)), metric.Query{Expr: "x", At: at(), Window: time.Hour, Step: tc.step})
			if err != nil {
				t.Fatal(err)
			}
			want := metric.Result{Series: tc.want, Overall: &tc.overall, Raw: []byte(tc.body), Warnings: []string{"most of it", "one of it"}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestErrorsOfTheAPIAreToldApart(t *testing.T) {
	failure := func(code int) string {
		return fmt.Sprintf(`{"error":{"code":%d,"message":"Constraints violated.","constraintViolations":[{"path":"metricSelector","message":"must be recognized","parameterLocation":"QUERY","location":null}]}}`, code)
	}
	cases := map[string]struct {
		reason string
		status int
		body   string
		want   error
		says   string
	}{
		"NoRows":         {"A metric without data yields no rows.", 200, success(""), metric.ErrNoData, "no sample"},
		"NullsOnly":      {"Nulls are no data, never a zero.", 200, success(row("a", "1,2", "null,null")), metric.ErrNoData, "no sample"},
		"BadQuery":       {"A selector that is wrong is its author's error.", 400, failure(400), metric.ErrBadQuery, "Constraints violated.: metricSelector: must be recognized"},
		"UnknownMetric":  {"So is one of a metric that is not there.", 404, failure(404), metric.ErrBadQuery, "Constraints"},
		"InTheBody":      {"An error counts whatever the status is.", 200, failure(400), metric.ErrBadQuery, "Constraints"},
		"BodyForbids":    {"The code in the body is told apart as a status is: no permission.", 200, failure(403), metric.ErrUnauthorized, "Constraints"},
		"BodyLimits":     {"Too many requests.", 200, failure(429), metric.ErrRateLimited, ""},
		"BodyBreaks":     {"A server that is out of order.", 200, failure(503), metric.ErrUnreachable, "Constraints"},
		"NotTheAPIs":     {"A 400 that is not the API's is a wrong URL.", 400, `{"a":1}`, metric.ErrBadResponse, "400"},
		"UnequalLengths": {"Each value has its time.", 200, success(row("a", "1,2", "1")), metric.ErrBadResponse, "2 times and 1 values"},
		"MorePages":      {"The first page is not to be judged by.", 200, `{"nextPageKey":"x","result":[{"metricId":"m","data":[` + row("a", "1", "1") + `]}]}`, metric.ErrTooManySeries, ":splitBy()"},
		"TooMany":        {"A query without aggregation must not fill the memory.", 200, success(row("a", "1", "1") + "," + row("b", "1", "1")), metric.ErrTooManySeries, "yields 2"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t, answer(tc.status, tc.body))
			s.MaxSeries = 1
			_, err := query(t, s, instant("x"))
			checkError(t, tc.reason, err, tc.want, tc.says)
		})
	}
}

func TestAStepIsOfWholeMinutes(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") })
	_, err := query(t, s, metric.Query{Expr: "x", At: at(), Window: time.Hour, Step: 90 * time.Second})
	checkError(t, "A resolution has no seconds.", err, metric.ErrBadQuery, "whole minutes")
}

func TestAProviderThatCannotBeIsRefused(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*connect.Server)
		says   string
	}{
		"NoSecret": {"Dynatrace answers nobody without a token.", func(s *connect.Server) { s.Secret = nil }, "secretKeyRef"},
		"OtherKey": {"The token is at the key that is named.", func(s *connect.Server) { s.Spec.SecretKeyRef.Key = "x" }, `key "x"`},
		"Empty":    {"An empty token is none.", func(s *connect.Server) { s.Secret["token"] = []byte("\n") }, "no value at key"},
		"NoURL":    {"There is nothing to ask.", func(s *connect.Server) { s.Spec.TargetServer = "" }, "targetServer"},
		"BadCA":    {"A certificate that is none must not go unnoticed.", func(s *connect.Server) { s.Certificates = connect.Secret{"ca.crt": []byte("x")} }, "ca.crt"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := local("http://127.0.0.1:1")
			tc.change(&s)
			_, err := dynatrace.New(s)
			checkError(t, tc.reason, err, metric.ErrConfig, tc.says)
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(good(), 200, false)
	f.Add(success(""), 200, true)
	f.Add(`{"error":{"code":400,"message":"x"}}`, 400, false)
	f.Add(`{"result":[{"data":[{"timestamps":[9223372036854775807,-9223372036854775808],"values":[1e308,1e308]}]}]}`, 200, true)
	querier, err := dynatrace.New(local("http://127.0.0.1:1"))
	if err != nil {
		f.Fatal(err)
	}
	answers := &dynatrace.Answers{Status: 200}
	querier = dynatrace.AnsweredBy(querier, answers)
	f.Fuzz(func(t *testing.T, text string, code int, steps bool) {
		answers.Body, answers.Status = text, code
		q := metric.Query{Expr: "x", At: at(), Window: time.Hour}
		if steps {
			q.Step = time.Minute
		}
		got, err := querier.Query(t.Context(), q)
		checkResult(t, got, err)
	})
}
