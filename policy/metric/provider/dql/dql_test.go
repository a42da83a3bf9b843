package dql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider/dql"
)

// secret is the part of the token that nobody may see.
func secret() string   { return strings.Repeat("S", 64) }
func question() string { return "timeseries cpu=avg(dt.host.cpu.usage), by:{host}" }
func other() error     { return metric.ErrBadResponse }

// sso gives an access token to the tests' client, and to no other.
func sso(w http.ResponseWriter, r *http.Request) {
	got := []string{r.Method, r.PostFormValue("grant_type"), r.PostFormValue("client_id"), r.PostFormValue("client_secret"), r.PostFormValue("scope")}
	want := []string{"POST", "client_credentials", "dt0s08.ID", "dt0s08.ID." + secret(), "storage:metrics:read environment:roles:viewer"}
	w.Header().Set("Content-Type", "application/json")
	if diff := cmp.Diff(want, got); diff != "" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":"invalid_client","error_description":%q}`, diff)
		return
	}
	fmt.Fprint(w, `{"access_token":"access","token_type":"Bearer","expires_in":300}`)
}

// credentials are a client of the tests' own SSO, if that is at the URL.
func credentials(url string) connect.Secret {
	return connect.Secret{"token": []byte(`{"token": "dt0s08.ID.` + secret() + `", "authUrl": "` + url + `/sso"}` + "\n")}
}

// success is an answer as Dynatrace's documentation shows it.
func success(records, types string) string {
	return `{"state":"SUCCEEDED","progress":100,"result":{"records":[` + records + `],"types":[` + types + `],
		"metadata":{"grail":{"notifications":[{"severity":"WARNING","message":"Your result has been limited."}]}}}}`
}

// timeseries is a record of that command.
func timeseries(host, values string) string {
	return `{"timeframe":{"start":"2023-11-14T22:10Z","end":"2023-11-14T22:13:00.000000000Z"},"interval":"60000000000","host":"` + host + `","cpu":` + values + `,"max":[9,9,9]}`
}

const timeseriesTypes = `{"indexRange":[0,9],"mappings":{"timeframe":{"type":"timeframe"},"interval":{"type":"duration"},"host":{"type":"string"},
	"cpu":{"type":"array","types":[{"indexRange":[0,2],"mappings":{"element":{"type":"double"}}}]}}}`

func good() string { return success(timeseries("a", "[10.5,11.25,12.125]"), timeseriesTypes) }

func sample(at string, value float64) metric.Sample {
	parsed, err := time.Parse(time.RFC3339, at)
	if err != nil {
		panic(err)
	}
	return metric.Sample{Time: parsed, Value: value}
}

// api is the API with the SSO beside it, at the address that the Secret has.
func api(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sso" {
			sso(w, r)
			return
		}
		handler(w, r)
	}
}

func TestAQuerySpeaksTheQueryAPI(t *testing.T) {
	polls := 0
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer access" {
			t.Errorf("Authorization = %q", got)
		}
		switch r.Method + " " + r.URL.Path {
		case "POST /env/platform/storage/query/v1/query:execute":
			var body map[string]any
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
			want := map[string]any{
				"query": question(), "defaultTimeframeStart": "2023-11-14T22:08:20Z", "defaultTimeframeEnd": "2023-11-14T22:13:20Z",
				"timezone": "UTC", "locale": "en_US", "fetchTimeoutSeconds": 60.0, "requestTimeoutMilliseconds": 1000.0,
			}
			if diff := cmp.Diff(want, body); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			answer(202, `{"state":"NOT_STARTED","requestToken":"to/k+en=","ttlSeconds":399}`)(w, r)
		case "GET /env/platform/storage/query/v1/query:poll":
			if got := r.URL.Query().Get("request-token"); got != "to/k+en=" {
				t.Errorf("request-token = %q", got)
			}
			if polls++; polls == 1 {
				answer(200, `{"state":"RUNNING","progress":50}`)(w, r)
				return
			}
			answer(200, good())(w, r)
		default:
			t.Errorf("asked %s %s", r.Method, r.URL.Path)
		}
	})
	s.Spec.TargetServer += "/env/"
	got, err := query(t, s, instant(question()))
	if err != nil {
		t.Fatal(err)
	}
	want := metric.Result{
		Series:   []metric.Series{{Labels: map[string]string{"host": "a"}, Samples: []metric.Sample{sample("2023-11-14T22:12:00Z", 12.125)}}},
		Raw:      []byte(good()),
		Warnings: []string{"Your result has been limited."},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if polls != 2 {
		t.Errorf("polled %d times, want twice", polls)
	}
}

func TestAnAccessTokenIsAskedForOnce(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sso" {
			asked++
		}
		api(answer(200, good()))(w, r)
	}))
	defer server.Close()
	querier, err := dql.New(local(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := querier.Query(t.Context(), instant("x")); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked for %d tokens, want 1", asked)
	}
}

func TestTheSSORefusesAWrongClient(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the API was asked") })
	s.Secret["token"] = []byte(strings.Replace(string(s.Secret["token"]), ".ID.", ".OTHER.", 1))
	_, err := query(t, s, instant("x"))
	checkError(t, "A client that is not known has no access.", err, metric.ErrUnauthorized, "invalid_client")
}

func TestRecordsAreSeries(t *testing.T) {
	const summarized = `{"indexRange":[0,0],"mappings":{"count":{"type":"long"},"avg":{"type":"double"},"at":{"type":"timestamp"},"took":{"type":"duration"},"host":{"type":"string"}}}`
	window := metric.Query{Expr: "x", At: at(), Window: time.Hour}
	steps := window
	steps.Step = time.Minute
	cases := map[string]struct {
		reason string
		q      metric.Query
		body   string
		want   []metric.Series
	}{
		"Window": {"The value is the newest of the first array; nulls are none.", window,
			success(timeseries("a", "[1,2,null]")+","+timeseries("b", "[null,null,null]")+","+timeseries("c", "[5]"), timeseriesTypes),
			[]metric.Series{
				{Labels: map[string]string{"host": "a"}, Samples: []metric.Sample{sample("2023-11-14T22:11:00Z", 2)}},
				{Labels: map[string]string{"host": "c"}, Samples: []metric.Sample{sample("2023-11-14T22:10:00Z", 5)}},
			}},
		"Step": {"With a step all values are kept, at the times of timeframe and interval.", steps,
			success(timeseries("a", "[1,null,3]"), timeseriesTypes),
			[]metric.Series{{Labels: map[string]string{"host": "a"}, Samples: []metric.Sample{sample("2023-11-14T22:10:00Z", 1), sample("2023-11-14T22:12:00Z", 3)}}}},
		"QuotedElements": {"Long values are written as strings; their type tells.", window,
			success(timeseries("a", `["1","9007199254740993"]`), strings.Replace(timeseriesTypes, "double", "long", 1)),
			[]metric.Series{{Labels: map[string]string{"host": "a"}, Samples: []metric.Sample{sample("2023-11-14T22:11:00Z", 9007199254740992)}}}},
		"QuotedNumber": {"So is the first number of a record without arrays; times and durations are neither numbers nor labels.", window,
			success(`{"at":"2023-11-14T22:10:00Z","took":"5","host":"a","count":"42","avg":1.5}`, summarized),
			[]metric.Series{{Labels: map[string]string{"host": "a"}, Samples: []metric.Sample{{Time: at(), Value: 42}}}}},
		"NaN": {"NaN is what Grail measured.", window, success(`{"avg":"NaN"}`, summarized),
			[]metric.Series{{Labels: map[string]string{}, Samples: []metric.Sample{{Time: at(), Value: math.NaN()}}}}},
		"Infinity": {"So is an infinity.", window, success(`{"avg":"-Infinity"}`, summarized),
			[]metric.Series{{Labels: map[string]string{}, Samples: []metric.Sample{{Time: at(), Value: math.Inf(-1)}}}}},
		"Untyped": {"Without types, numbers are numbers and strings are labels; a list of text is neither.", window, success(`{"tags":["x"],"empty":[],"code":"200","n":3,"on":true,"none":null}`, ""),
			[]metric.Series{{Labels: map[string]string{"code": "200"}, Samples: []metric.Sample{{Time: at(), Value: 3}}}}},
		"ArrayWithoutTimes": {"An array without a timeframe has a newest value, as of the question.", window, success(`{"n":1,"v":[1,2]}`, ""),
			[]metric.Series{{Labels: map[string]string{}, Samples: []metric.Sample{{Time: at(), Value: 2}}}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := query(t, serve(t, answer(200, tc.body)), tc.q)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.Series, cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestErrorsOfTheAPIAreToldApart(t *testing.T) {
	const wrong = `{"error":{"message":"PARSE_ERROR","code":400,"details":{"exceptionType":"DQL-SYNTAX-ERROR","errorType":"PARSE_ERROR","errorMessage":"There's no command ` + "`limt`" + `.",
		"arguments":[],"queryString":"fetch logs | limt 5","syntaxErrorPosition":{"start":{"column":14,"index":13,"line":1},"end":{"column":17,"index":16,"line":1}}}}}`
	const gone = `{"error":{"message":"QUERY_GONE","code":410,"details":{"errorMessage":"not available anymore"}}}`
	cases := map[string]struct {
		reason string
		status int
		body   string
		step   time.Duration
		want   error
		says   string
	}{
		"NoRecords":   {"A query that finds nothing has no records.", 200, success("", ""), 0, metric.ErrNoData, "no sample"},
		"NullsOnly":   {"Nulls are no data, never a zero; the next array is not meant.", 200, success(timeseries("a", "[null,null]"), ""), 0, metric.ErrNoData, "no sample"},
		"NoNumbers":   {"Nor is text.", 200, success(`{"a":"b"},null`, ""), 0, metric.ErrNoData, "no sample"},
		"BadQuery":    {"A query that cannot be parsed is its author's error, with its place.", 400, wrong, 0, metric.ErrBadQuery, "There's no command `limt`. (line 1, column 14)"},
		"Gone":        {"A query that the server forgot can be asked again.", 410, gone, 0, metric.ErrUnreachable, "not available anymore"},
		"Other":       {"Other errors keep their explanation.", 404, `{"error":{"message":"no such environment"}}`, 0, metric.ErrBadResponse, "no such environment"},
		"NotTheAPIs":  {"A 400 that is not the API's is a wrong URL.", 400, `Bad Request`, 0, metric.ErrBadResponse, "400"},
		"Failed":      {"A query that fails does so again: Grail itself is up.", 200, `{"state":"FAILED"}`, 0, metric.ErrBadQuery, "FAILED"},
		"Cancelled":   {"One that somebody ended can be asked again.", 200, `{"state":"CANCELLED"}`, 0, metric.ErrUnreachable, "CANCELLED"},
		"NoToken":     {"A query that runs can be found again.", 202, `{"state":"RUNNING"}`, 0, metric.ErrBadResponse, "request token"},
		"UntimedStep": {"A step takes times.", 200, success(`{"v":[1,2]}`, ""), time.Minute, metric.ErrBadQuery, "makeTimeseries"},
		"HugeStep":    {"An interval beyond all times gives none.", 200, success(strings.Replace(timeseries("a", "[1,2]"), "60000000000", "9223372036854770000", 1), timeseriesTypes), time.Minute, metric.ErrBadQuery, "interval"},
		"BadRecord":   {"A record is an object.", 200, success(`1`, ""), 0, metric.ErrBadResponse, "no object"},
		"TooMany":     {"A query without aggregation must not fill the memory.", 200, success(`{"v":1},{"v":2}`, ""), 0, metric.ErrTooManySeries, "yields 2"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := serve(t, answer(tc.status, tc.body))
			s.MaxSeries = 1
			_, err := query(t, s, metric.Query{Expr: "x", At: at(), Window: time.Hour, Step: tc.step})
			checkError(t, tc.reason, err, tc.want, tc.says)
		})
	}
}

func TestPollingEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answer(200, `{"state":"RUNNING","requestToken":"x"}`)(w, r)
		if r.Method == http.MethodGet {
			cancel()
		}
	})
	querier, err := dql.New(s)
	if err != nil {
		t.Fatal(err)
	}
	_, err = querier.Query(ctx, instant("x"))
	checkError(t, "Nobody waits for the result any more.", err, context.Canceled, "cancelled")
}

func TestTheWaitForAPollEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		if err := dql.Sleep(ctx, 2*time.Second); err != nil || time.Since(begin) != 2*time.Second {
			t.Errorf("error %v after %s, want none after 2s", err, time.Since(begin))
		}
		if err := dql.Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("error %v after %s, want the deadline's after 3s", err, time.Since(begin))
		}
	})
}

func TestAPollThatFailsEndsTheQuery(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			answer(202, `{"state":"RUNNING","requestToken":"x"}`)(w, r)
			return
		}
		answer(503, "")(w, r)
	})
	_, err := query(t, s, instant("x"))
	checkError(t, "A server that goes away while the query runs.", err, metric.ErrUnreachable, "503")
}

func TestAProviderThatCannotBeIsRefused(t *testing.T) {
	set := func(value string) func(*connect.Server) {
		return func(s *connect.Server) { s.Secret["token"] = []byte(value) }
	}
	cases := map[string]struct {
		reason string
		change func(*connect.Server)
		says   string
	}{
		"NoSecret":    {"Grail answers nobody without a token.", func(s *connect.Server) { s.Secret = nil }, "secretKeyRef"},
		"OtherKey":    {"The token is at the key that is named.", func(s *connect.Server) { s.Spec.SecretKeyRef.Key = "x" }, `key "x"`},
		"NoJSON":      {"A bare token is not the form.", set("dt0s08.ID." + secret()), `is no JSON of the form {"token"`},
		"NoToken":     {"There has to be a token.", set(`{"authUrl":"https://sso"}`), "is missing"},
		"APIToken":    {"An API token is no OAuth client.", set(`{"token":"dt0c01.ID.` + secret() + `"}`), "does not begin with dt0s08."},
		"TwoParts":    {"A part is missing.", set(`{"token":"dt0s08.` + secret() + `"}`), "has 2 parts"},
		"NoID":        {"The ID is missing.", set(`{"token":"dt0s08..` + secret() + `"}`), "has no ID"},
		"ShortSecret": {"The token was cut off.", set(`{"token":"dt0s08.ID.` + secret()[1:] + `"}`), "63 characters"},
		"BadAuthURL":  {"The SSO is at an address.", set(`{"token":"dt0s08.ID.` + secret() + `","authUrl":"sso.dynatrace.com"}`), "token URL"},
		"NoURL":       {"There is nothing to ask.", func(s *connect.Server) { s.Spec.TargetServer = "" }, "targetServer"},
		"BadCA":       {"A certificate that is none must not go unnoticed.", func(s *connect.Server) { s.Certificates = connect.Secret{"ca.crt": []byte("x")} }, "ca.crt"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := local("http://127.0.0.1:1")
			tc.change(&s)
			_, err := dql.New(s)
			checkError(t, tc.reason, err, metric.ErrConfig, tc.says)
		})
	}
}

func TestTheProductionSSOIsTheDefault(t *testing.T) {
	s := local("http://127.0.0.1:1")
	s.Secret["token"] = []byte(`{"token":"dt0s08.ID.` + secret() + `"}`)
	if _, err := dql.New(s); err != nil {
		t.Error(err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(good(), false)
	f.Add(good(), true)
	f.Add(success("", ""), false)
	f.Add(success(`{"count":"1"}`, `{"indexRange":[0,0],"mappings":{"count":{"type":"long"}}}`), true)
	f.Add(`{"state":"SUCCEEDED","result":{"records":[{"v":[1,2],"timeframe":{"start":"2023-11-14T22:10Z"},"interval":9e18}]}}`, true)
	querier, err := dql.New(local("http://127.0.0.1:1"))
	if err != nil {
		f.Fatal(err)
	}
	answers := &dql.Answers{Status: 200}
	querier = dql.AnsweredBy(querier, answers)
	f.Fuzz(func(t *testing.T, text string, steps bool) {
		if answers.Body = text; strings.Contains(text, "RUNNING") || strings.Contains(text, "NOT_STARTED") || strings.Contains(text, `\u`) {
			t.Skip("a query that runs has to be waited for")
		}
		q := metric.Query{Expr: "x", At: at(), Window: time.Hour}
		if steps {
			q.Step = time.Minute
		}
		got, err := querier.Query(t.Context(), q)
		checkResult(t, got, err)
	})
}
