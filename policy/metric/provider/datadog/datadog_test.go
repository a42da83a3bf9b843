package datadog_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider/datadog"
)

func secret() string   { return "hunter2" }
func question() string { return "avg:system.cpu.idle{*} by {host}" }
func other() error     { return metric.ErrBadResponse }

func credentials(string) connect.Secret {
	return connect.Secret{"DD_CLIENT_API_KEY": []byte("api-hunter2\n"), "DD_CLIENT_APP_KEY": []byte("app-hunter2")}
}

// success is an answer as Datadog's documentation shows it.
func success(series string) string {
	return `{"status":"ok","res_type":"time_series","resp_version":1,"query":"avg:system.cpu.idle{*} by {host}",
		"from_date":1699999700000,"to_date":1700000000000,"values":[],"times":[],"message":"","group_by":["host"],
		"series":[` + series + `]}`
}

// series is one of an answer.
func series(host, points string) string {
	return `{"unit":[{"family":"percentage","scale_factor":1,"name":"percent","short_name":"%","plural":"percent","id":17},null],
		"query_index":0,"aggr":"avg","metric":"system.cpu.idle","tag_set":["host:` + host + `","spot"],"expression":"avg:system.cpu.idle{host:` + host + `}",
		"scope":"host:` + host + `","interval":20,"length":3,"start":1699999700000,"end":1699999759000,
		"pointlist":[` + points + `],"display_name":"system.cpu.idle","attributes":{}}`
}

func good() string {
	return success(series("a", "[1699999700000.0,98.5],[1699999720000.0,null],[1699999740000.0,97.25]"))
}

func labels(host string) map[string]string {
	return map[string]string{"__name__": "system.cpu.idle", "host": host, "spot": ""}
}

func sample(second int64, value float64) metric.Sample {
	return metric.Sample{Time: time.Unix(second, 0).UTC(), Value: value}
}

func TestAQuerySpeaksDatadogsAPI(t *testing.T) {
	cases := map[string]struct {
		reason string
		q      metric.Query
		want   string
	}{
		"Instant": {"Datadog knows no instant: the last 5 minutes stand for it.",
			instant(question()), "from=1699999700&query=avg%3Asystem.cpu.idle%7B%2A%7D+by+%7Bhost%7D&to=1700000000"},
		"Window": {"A window is in seconds since 1970.",
			metric.Query{Expr: "x", At: at(), Window: time.Hour}, "from=1699996400&query=x&to=1700000000"},
		"Step": {"A step is in milliseconds.",
			metric.Query{Expr: "x", At: at(), Window: time.Hour, Step: time.Minute}, "from=1699996400&interval=60000&query=x&to=1700000000"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				got := []string{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Dd-Api-Key"), r.Header.Get("Dd-Application-Key")}
				if diff := cmp.Diff([]string{"GET", "/dd/api/v1/query", tc.want, "api-hunter2", "app-hunter2"}, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
				}
				answer(200, good())(w, r)
			})
			s.Spec.TargetServer += "/dd/"
			if _, err := query(t, s, tc.q); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAResultIsWhatDatadogMeasured(t *testing.T) {
	two := success(series("a", "[1699999740000,3],[1699999700000,1.5],[1699999720000,null]") + "," +
		series("b", "[1699999700000,null]") + "," + series("c", "[1699999720000,8]"))
	cases := map[string]struct {
		reason  string
		step    time.Duration
		body    string
		want    []metric.Series
		overall float64
	}{
		"Mean": {"The value is the mean of the points that are not null, in full precision.", 0, good(),
			[]metric.Series{{Labels: labels("a"), Samples: []metric.Sample{sample(1699999740, 97.875)}}}, 97.875},
		"Several": {"All series are kept, but those of nulls only; the first is the overall value.", 0, two,
			[]metric.Series{
				{Labels: labels("a"), Samples: []metric.Sample{sample(1699999740, 2.25)}},
				{Labels: labels("c"), Samples: []metric.Sample{sample(1699999720, 8)}},
			}, 2.25},
		"Step": {"With a step all points are kept, in the order of time.", time.Minute, two,
			[]metric.Series{
				{Labels: labels("a"), Samples: []metric.Sample{sample(1699999700, 1.5), sample(1699999740, 3)}},
				{Labels: labels("c"), Samples: []metric.Sample{sample(1699999720, 8)}},
			}, 3},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := query(t, serve(t, answer(200, tc.body)), metric.Query{Expr: "x", At: at(), Window: time.Hour, Step: tc.step})
			if err != nil {
				t.Fatal(err)
			}
			want := metric.Result{Series: tc.want, Overall: &tc.overall, Raw: []byte(tc.body)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestErrorsOfTheAPIAreToldApart(t *testing.T) {
	cases := map[string]struct {
		reason string
		status int
		body   string
		want   error
		says   string
	}{
		"NoSeries":   {"A metric that does not exist yields no series.", 200, success(""), metric.ErrNoData, "no sample"},
		"NullsOnly":  {"Nulls are no data, never a zero.", 200, success(series("a", "[1699999700000,null]")), metric.ErrNoData, "no sample"},
		"BadQuery":   {"A query that cannot be parsed is its author's error.", 400, `{"errors":["Error parsing query: unable to parse x{"]}`, metric.ErrBadQuery, "unable to parse x{"},
		"InTheBody":  {"Datadog also answers 200 with an error.", 200, `{"status":"error","error":"Rule 'metric' matched in its entirety","series":[]}`, metric.ErrBadQuery, "matched in its entirety"},
		"WithoutWhy": {"An error need not say why.", 200, `{"status":"error","series":[]}`, metric.ErrBadQuery, "does not say why"},
		"OtherError": {"A 400 that is not Datadog's is a wrong URL.", 400, `<html>Bad Request</html>`, metric.ErrBadResponse, "400"},
		"BadPoint":   {"A point has a time and a value.", 200, success(series("a", "[1699999700000]")), metric.ErrBadResponse, "form"},
		"BadSeries":  {"A series is not of text.", 200, success(series("a", `["x","y"]`)), metric.ErrBadResponse, "form"},
		"TooMany":    {"A query without aggregation must not fill the memory.", 200, success(series("a", "[1,1]") + "," + series("b", "[1,1]")), metric.ErrTooManySeries, "yields 2"},
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

func TestAProviderThatCannotBeIsRefused(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*connect.Server)
		says   string
	}{
		"NoSecret": {"Datadog answers nobody without keys.", func(s *connect.Server) { s.Secret = nil }, "secretKeyRef"},
		"NoAppKey": {"It takes both keys.", func(s *connect.Server) { delete(s.Secret, "DD_CLIENT_APP_KEY") }, `"DD_CLIENT_APP_KEY"`},
		"EmptyKey": {"An empty key is none.", func(s *connect.Server) { s.Secret["DD_CLIENT_API_KEY"] = []byte("\n") }, "no value at key"},
		"NoURL":    {"Which of Datadog's sites is meant?", func(s *connect.Server) { s.Spec.TargetServer = "" }, "targetServer"},
		"BadCA":    {"A certificate that is none must not go unnoticed.", func(s *connect.Server) { s.Certificates = connect.Secret{"ca.crt": []byte("x")} }, "ca.crt"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := local("http://127.0.0.1:1")
			tc.change(&s)
			_, err := datadog.New(s)
			checkError(t, tc.reason, err, metric.ErrConfig, tc.says)
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(good(), false)
	f.Add(success(""), true)
	f.Add(`{"status":"error","error":"x"}`, false)
	f.Add(`{"status":"ok","series":[{"pointlist":[[1e300,1],[-1e300,2],[null,null]]}]}`, true)
	querier, err := datadog.New(local("http://127.0.0.1:1"))
	if err != nil {
		f.Fatal(err)
	}
	answers := &datadog.Answers{Status: 200}
	querier = datadog.AnsweredBy(querier, answers)
	f.Fuzz(func(t *testing.T, text string, steps bool) {
		answers.Body = text
		q := metric.Query{Expr: "x", At: at(), Window: time.Hour}
		if steps {
			q.Step = time.Minute
		}
		got, err := querier.Query(t.Context(), q)
		checkResult(t, got, err)
	})
}
