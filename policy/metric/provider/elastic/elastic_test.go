package elastic_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider/elastic"
)

func secret() string   { return "hunter2" }
func question() string { return `{"size":0,"aggs":{"latency":{"avg":{"field":"ms"}}}}` }
func other() error     { return metric.ErrBadQuery }

func credentials(string) connect.Secret { return connect.Secret{"token": []byte("aWQ6aHVudGVyMg==\n")} }

// success is an answer as Elastic's documentation shows it.
func success(aggregations string) string {
	return `{"took":5,"timed_out":false,"_shards":{"total":3,"successful":3,"skipped":0,"failed":0},
		"hits":{"total":{"value":20,"relation":"eq"},"max_score":null,"hits":[]},"aggregations":{` + aggregations + `}}`
}

func good() string { return success(`"latency":{"value":12.125}`) }

func TestAQuerySpeaksTheSearchAPI(t *testing.T) {
	cases := map[string]struct {
		reason string
		expr   string
		args   map[string]string
		path   string
		body   string
	}{
		"AllIndices": {"By default all indices are searched, with the query as it is.", question(), nil, "/es/_search", question()},
		"Index": {"The argument index names some.", question(), map[string]string{"index": "logs-*,<a/b>", "other": "x"},
			"/es/logs-%2A%2C%3Ca%2Fb%3E/_search", question()},
		"MetricPath": {"The metricPath is no part of the search; what is left keeps its numbers.", `{"metricPath":"latency.value","size":0,"query":{"range":{"n":{"gt":9007199254740993}}}}`, nil,
			"/es/_search", `{"query":{"range":{"n":{"gt":9007199254740993}}},"size":0}`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				var body json.RawMessage
				if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
					t.Error(err)
				}
				got := []string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Get("Content-Type"), string(body)}
				if diff := cmp.Diff([]string{"POST", tc.path, "", "application/json", tc.body}, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
				}
				answer(200, good())(w, r)
			})
			s.Spec.TargetServer += "/es/"
			got, err := query(t, s, metric.Query{Expr: tc.expr, At: at(), Window: time.Hour, Args: tc.args})
			if err != nil {
				t.Fatal(err)
			}
			want := metric.Result{Series: []metric.Series{{Samples: []metric.Sample{{Time: at(), Value: 12.125}}}}, Raw: []byte(good())}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestCredentialsAreSent(t *testing.T) {
	cases := map[string]struct {
		reason string
		secret connect.Secret
		want   string
	}{
		"Encoded": {"An API key as Elasticsearch gives it.", connect.Secret{"token": []byte("aWQ6aHVudGVyMg==\n")}, "ApiKey aWQ6aHVudGVyMg=="},
		"Pair":    {"An API key as id:api_key.", connect.Secret{"token": []byte("id:hunter2")}, "ApiKey aWQ6aHVudGVyMg=="},
		"Basic":   {"A user goes before a key.", connect.Secret{"user": []byte("u"), "password": []byte("p"), "token": []byte("x")}, "Basic dTpw"},
		"None":    {"A cluster may ask for none.", nil, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Authorization"); got != tc.want {
					t.Errorf("%s: Authorization = %q, want %q", tc.reason, got, tc.want)
				}
				answer(200, good())(w, r)
			})
			if s.Secret = tc.secret; tc.secret == nil {
				s.Spec.SecretKeyRef = corev1.SecretKeySelector{}
			}
			if _, err := query(t, s, instant(question())); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheNumberIsTheOneThatIsMeant(t *testing.T) {
	hosts := success(`"hosts":{"sum_other_doc_count":0,"buckets":[{"key":"a","p95":{"values":{"95.0":7}}},{"key":"b","p95":{"values":{"95.0":8}}}]}`)
	cases := map[string]struct {
		reason, path, body string
		want               float64
	}{
		"OnlyAggregation": {"The only number of the aggregations needs no name; text is no number.", "", success(`"latency":{"value":3,"value_as_string":"3.0"}`), 3},
		"Hits":            {"A search without aggregations counts.", "", `{"hits":{"total":{"value":20,"relation":"eq"},"hits":[{"_score":1}]}}`, 20},
		"Exact":           {"The very path goes before longer ones.", "aggregations.a.value", success(`"a":{"value":1,"value2":2},"b":{"aggregations.a.value":5}`), 1},
		"Suffix":          {"A path's end will do.", "a.value", success(`"a":{"value":1},"ba":{"value":2}`), 1},
		"Contained":       {"So will a part of it.", "tenc", success(`"latency":{"value":4},"b":{"value":2}`), 4},
		"List":            {"The elements of a list have their index.", "hosts.buckets.1.p95.values.95.0", hosts, 8},
		"Count":           {"What is beside the aggregations can be named.", "hits.total.value", good(), 20},
		"NaN":             {"NaN is written as text.", "", success(`"m":{"value":"NaN"}`), math.NaN()},
		"Infinity":        {"So is an infinity.", "", success(`"m":{"value":"-Infinity"}`), math.Inf(-1)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			q := instant(question())
			q.Args = map[string]string{"metricPath": tc.path}
			got, err := query(t, serve(t, answer(200, tc.body)), q)
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if value, err := got.Number(); err != nil || !cmp.Equal(value, tc.want, cmpopts.EquateNaNs()) {
				t.Errorf("%s: got %v and error %v, want %v", tc.reason, value, err, tc.want)
			}
		})
	}
}

func TestTheArgumentGoesBeforeTheQuerysOwnPath(t *testing.T) {
	q := metric.Query{Expr: `{"metricPath":"a.value"}`, At: at(), Args: map[string]string{"metricPath": "b.value"}}
	got, err := query(t, serve(t, answer(200, success(`"a":{"value":1},"b":{"value":2}`))), q)
	if value, _ := got.Number(); err != nil || value != 2 {
		t.Errorf("got %v and error %v, want 2", value, err)
	}
}

func TestErrorsOfTheAPIAreToldApart(t *testing.T) {
	const wrong = `{"error":{"root_cause":[{"type":"parsing_exception","reason":"unknown query [mtch]","line":1,"col":17}],"type":"parsing_exception","reason":"outer"},"status":400}`
	const noIndex = `{"error":{"root_cause":[],"type":"index_not_found_exception","reason":"no such index [logs]"},"status":404}`
	many := make([]string, 12)
	for i := range many {
		many[i] = fmt.Sprintf(`"m%02d":{"value":1}`, i)
	}
	deep := strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)
	cases := map[string]struct {
		reason string
		status int
		path   string
		body   string
		want   error
		says   string
	}{
		"Null":       {"An average of nothing is no data, never a zero.", 200, "", success(`"a":{"value":null}`), metric.ErrNoData, "aggregations.a.value is null"},
		"NoDocument": {"Where no document is found, a bucket can be missing.", 200, "buckets.0.n", `{"hits":{"total":{"value":0}},"aggregations":{"h":{"buckets":[]}}}`, metric.ErrNoData, "no document"},
		"Several":    {"Which of several numbers is meant is not guessed.", 200, "", success(`"b":{"value":1},"a":{"value":2}`), metric.ErrBadQuery, "aggregations.a.value, aggregations.b.value"},
		"Ambiguous":  {"Nor is it by a path that fits several.", 200, "value", success(`"a":{"value":1}`), metric.ErrBadQuery, "aggregations.a.value, hits.total.value"},
		"Missing":    {"A path that is not there names those that are.", 200, "nothing", good(), metric.ErrBadQuery, "_shards.failed"},
		"Many":       {"But not all of very many.", 200, "", success(strings.Join(many, ",")), metric.ErrBadQuery, "aggregations.m09.value and 2 more"},
		"NoHits":     {"An answer need not count.", 200, "", `{"took":1,"hits":{"hits":[]}}`, metric.ErrBadQuery, "took"},
		"BadQuery":   {"A search that is wrong is its author's error.", 400, "", wrong, metric.ErrBadQuery, "unknown query [mtch]"},
		"NoIndex":    {"So is one of an index that is not there.", 404, "", noIndex, metric.ErrBadQuery, "no such index [logs]"},
		"NotTheAPIs": {"A 400 that is not the API's is a wrong URL.", 400, "", `{"error":"no handler"}`, metric.ErrBadResponse, "400"},
		"Conflict":   {"Other statuses are not the search's.", 405, "", wrong, metric.ErrBadResponse, "405"},
		"TooDeep":    {"An answer is not looked into without end.", 200, "", success(`"a":` + deep), metric.ErrTooManySeries, "size"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			q := instant(question())
			q.Args = map[string]string{"metricPath": tc.path}
			_, err := query(t, serve(t, answer(tc.status, tc.body)), q)
			checkError(t, tc.reason, err, tc.want, tc.says)
		})
	}
}

func TestAnAnswerCannotMakeItsPathsFillTheMemory(t *testing.T) {
	long := strings.Repeat("k", 100_000)
	body := success(`"` + long + `":[` + strings.Repeat("0,", 1000) + `0]`)
	_, err := query(t, serve(t, answer(200, body)), instant(question()))
	checkError(t, "A long name is repeated in the path of each number below it.", err, metric.ErrTooManySeries, "too many values")
}

func TestAPartialAnswerIsNone(t *testing.T) {
	cases := map[string]struct {
		reason, body string
		want         error
		says         string
	}{
		"TimedOut": {"The shards were cut off.", `{"timed_out":true,"aggregations":{"a":{"value":1}}}`, metric.ErrTimeout, "cut off"},
		"Failed":   {"Some did not answer.", `{"_shards":{"total":3,"failed":1},"aggregations":{"a":{"value":1}}}`, metric.ErrUnreachable, "1 of 3 shards failed"},
		"Why":      {"And say why.", `{"_shards":{"total":3,"failed":1,"failures":[{"shard":0,"index":"a","reason":{"type":"illegal_argument_exception","reason":"Fielddata is disabled"}}]},"aggregations":{"a":{"value":1}}}`, metric.ErrUnreachable, "failed: Fielddata is disabled"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := query(t, serve(t, answer(200, tc.body)), instant(question()))
			checkError(t, tc.reason, err, tc.want, tc.says)
			var answered *metric.AnsweredError
			if !errors.As(err, &answered) {
				t.Errorf("%s: error %v, want one of a server that is up", tc.reason, err)
			}
		})
	}
}

func TestALowerBoundOfHitsWarns(t *testing.T) {
	got, err := query(t, serve(t, answer(200, `{"hits":{"total":{"value":10000,"relation":"gte"}}}`)), instant(question()))
	if err != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "track_total_hits") {
		t.Errorf("warnings %q and error %v, want one that hits are counted up to 10,000 only", got.Warnings, err)
	}
}

func TestAQueryThatCannotBeAskedIsRefused(t *testing.T) {
	cases := map[string]struct {
		reason string
		q      metric.Query
		says   string
	}{
		"Step":         {"A search yields one number.", metric.Query{Expr: "{}", At: at(), Window: time.Hour, Step: time.Minute}, "leave out the step"},
		"NoJSON":       {"A search is JSON.", instant("status:500"), "no JSON object"},
		"List":         {"And an object.", instant("[]"), "no JSON object"},
		"PathOfNumber": {"A path is text.", instant(`{"metricPath":1}`), "no string"},
		"Parent":       {"An index is no way to other APIs.", metric.Query{Expr: "{}", At: at(), Args: map[string]string{"index": ".."}}, `index is ".."`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(http.ResponseWriter, *http.Request) { t.Errorf("%s: the server was asked", tc.reason) })
			_, err := query(t, s, tc.q)
			checkError(t, tc.reason, err, metric.ErrBadQuery, tc.says)
		})
	}
}

func TestAProviderThatCannotBeIsRefused(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*connect.Server)
		says   string
	}{
		"NoSecret":   {"A Secret that is named but not there is no leave to ask as nobody.", func(s *connect.Server) { s.Secret = nil }, "credentials"},
		"NoKey":      {"The API key is in the Secret, and not the name of its key.", func(s *connect.Server) { s.Secret = connect.Secret{} }, `key "token"`},
		"NoPassword": {"A user alone is no credential.", func(s *connect.Server) { s.Secret = connect.Secret{"user": []byte("u")} }, "user and password"},
		"Empty":      {"An empty key is none.", func(s *connect.Server) { s.Secret["token"] = []byte("\n") }, "API key"},
		"OAuth2":     {"OAuth2 needs its client.", func(s *connect.Server) { s.Spec.OAuth2 = &metricsv1.OAuth2{TokenURL: "http://x"} }, "clientID"},
		"NoURL":      {"There is nothing to ask.", func(s *connect.Server) { s.Spec.TargetServer = "" }, "targetServer"},
		"BadCA":      {"A certificate that is none must not go unnoticed.", func(s *connect.Server) { s.Certificates = connect.Secret{"ca.crt": []byte("x")} }, "ca.crt"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := local("http://127.0.0.1:1")
			tc.change(&s)
			_, err := elastic.New(s)
			checkError(t, tc.reason, err, metric.ErrConfig, tc.says)
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(good(), "")
	f.Add(success(`"a":{"value":null}`), "a.value")
	f.Add(success(`"a":[{"b":"NaN"},[[1e999]]]`), "a.0")
	f.Add(`{"hits":{"total":{"value":0}}}`, "x")
	querier, err := elastic.New(local("http://127.0.0.1:1"))
	if err != nil {
		f.Fatal(err)
	}
	answers := &elastic.Answers{Status: 200}
	querier = elastic.AnsweredBy(querier, answers)
	f.Fuzz(func(t *testing.T, text, path string) {
		answers.Body = text
		got, err := querier.Query(t.Context(), metric.Query{Expr: "{}", At: at(), Args: map[string]string{"metricPath": path}})
		checkResult(t, got, err)
	})
}
