package cloudwatch_test

import (
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider/cloudwatch"
)

// at is the instant that the tests ask for: 20 seconds past a minute.
func at() time.Time { return time.Unix(1_700_000_000, 0).UTC() }

// minute is the n-th minute before the last whole one.
func minute(n int) time.Time {
	return at().Truncate(time.Minute).Add(-time.Duration(n) * time.Minute)
}

// reach is a server at an address, with credentials.
func reach(url string) connect.Server {
	s := connect.Server{
		Secret:    connect.Secret{"accessKeyID": []byte("AKIDEXAMPLE\n"), "secretAccessKey": []byte("hunter2\n"), "sessionToken": []byte("hunter3")},
		Addresses: outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}
	s.Spec.TargetServer = url
	s.Spec.SecretKeyRef.Name = "aws"
	s.Spec.CloudWatch = &metricsv1.CloudWatchProvider{Region: "eu-central-1"}
	return s
}

// serve starts a server and returns what queries it.
func serve(t *testing.T, handler http.HandlerFunc) metric.Querier {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return open(t, reach(server.URL))
}

func open(t *testing.T, s connect.Server) metric.Querier {
	t.Helper()
	q, err := cloudwatch.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// body is what a request asks.
func body(t *testing.T, r *http.Request) cbor.Map {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	value, err := cbor.Decode(text)
	if err != nil {
		t.Error(err)
	}
	asked, ok := value.(cbor.Map)
	if !ok {
		t.Errorf("the body is %T, want a map", value)
	}
	return asked
}

// answer is a handler that answers every query alike, as Smithy RPC v2 has it
// (https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html).
func answer(status int, value cbor.Value) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { write(w, status, cbor.Encode(value)) }
}

func write(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/cbor")
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// results is a page of an answer.
func results(all ...cbor.Value) cbor.Map { return cbor.Map{"MetricDataResults": cbor.List(all)} }

// result is one MetricDataResult, whose values are at the minutes.
func result(id, label string, minutes []int, values ...float64) cbor.Map {
	times, numbers := cbor.List{}, cbor.List{}
	for _, n := range minutes {
		times = append(times, &cbor.Tag{ID: 1, Value: cbor.Float64(minute(n).Unix())})
	}
	for _, v := range values {
		numbers = append(numbers, cbor.Float64(v))
	}
	return cbor.Map{
		"Id": cbor.String(id), "Label": cbor.String(label), "StatusCode": cbor.String("Complete"),
		"Timestamps": times, "Values": numbers,
	}
}

func with(m cbor.Map, key string, value cbor.Value) cbor.Map {
	m[key] = value
	return m
}

func TestAQueryIsSignedAndAsksForWholeMinutes(t *testing.T) {
	cases := map[string]struct {
		reason         string
		window, step   time.Duration
		minutes, every int
	}{
		"Instant":  {"CloudWatch knows no instant: it is asked about 5 minutes, as one period.", 0, 0, 5, 5},
		"Window":   {"Without a step the window is one period.", 10 * time.Minute, 0, 10, 10},
		"Rounded":  {"A period is a multiple of a minute, rounded up so that none of the window is lost.", 90 * time.Second, 0, 2, 2},
		"Step":     {"A step is the period.", time.Hour, 5 * time.Minute, 60, 5},
		"OddStep":  {"So is one that is no multiple of a minute, rounded up.", 3 * time.Minute, 90 * time.Second, 3, 2},
		"LongStep": {"The window holds one period at least.", 61 * time.Second, 61 * time.Second, 2, 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			q := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/operation/GetMetricData") {
					t.Errorf("asked %s %s", r.Method, r.URL.Path)
				}
				auth := r.Header.Get("Authorization")
				if !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") || !strings.Contains(auth, "/eu-central-1/monitoring/aws4_request") {
					t.Errorf("Authorization = %q", auth)
				}
				if got := r.Header.Get("X-Amz-Security-Token"); got != "hunter3" {
					t.Errorf("session token = %q", got)
				}
				asked := body(t, r)
				want := cbor.List{cbor.Map{"Id": cbor.String("q1"), "Expression": cbor.String("SELECT AVG(CPUUtilization) FROM \"AWS/EC2\""), "Period": cbor.Uint(tc.every * 60)}}
				if diff := cmp.Diff(want, asked["MetricDataQueries"]); diff != "" {
					t.Errorf("%s: queries (-want +got):\n%s", tc.reason, diff)
				}
				for key, want := range map[string]time.Time{"StartTime": minute(tc.minutes), "EndTime": minute(0)} {
					if got := timeOf(t, asked[key]); !got.Equal(want) {
						t.Errorf("%s: %s = %s, want %s", tc.reason, key, got, want)
					}
				}
				answer(http.StatusOK, results(result("q1", "x", []int{1}, 1)))(w, r)
			})
			_, err := q.Query(t.Context(), metric.Query{Expr: " SELECT AVG(CPUUtilization) FROM \"AWS/EC2\"\n", At: at(), Window: tc.window, Step: tc.step})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func timeOf(t *testing.T, v cbor.Value) time.Time {
	t.Helper()
	tag, ok := v.(*cbor.Tag)
	if !ok {
		t.Fatalf("%T is no time", v)
	}
	got, err := cbor.AsTime(tag)
	if err != nil {
		t.Fatal(err)
	}
	return got.UTC()
}

func TestQueriesMayBeAJSONArray(t *testing.T) {
	const argo = `[
	  {"id": "rate", "expression": "errors / requests"},
	  {"id": "errors", "metricStat": {"metric": {"namespace": "app", "metricName": "errors", "dimensions": [{"name": "pod", "value": "a"}]}, "period": 300, "stat": "Sum", "unit": "Count"}, "returnData": false},
	  {"Id": "requests", "MetricStat": {"Metric": {"Namespace": "app", "MetricName": "requests"}, "Stat": "Sum"}, "ReturnData": false},
	  {"id": "sql", "expression": "select max(x) from y", "returnData": false}]`
	q := serve(t, func(w http.ResponseWriter, r *http.Request) {
		want := cbor.List{
			cbor.Map{"Id": cbor.String("rate"), "Expression": cbor.String("errors / requests")},
			cbor.Map{"Id": cbor.String("errors"), "ReturnData": cbor.Bool(false), "MetricStat": cbor.Map{
				"Metric": cbor.Map{"Namespace": cbor.String("app"), "MetricName": cbor.String("errors"),
					"Dimensions": cbor.List{cbor.Map{"Name": cbor.String("pod"), "Value": cbor.String("a")}}},
				"Period": cbor.Uint(300), "Stat": cbor.String("Sum"), "Unit": cbor.String("Count")}},
			cbor.Map{"Id": cbor.String("requests"), "ReturnData": cbor.Bool(false), "MetricStat": cbor.Map{
				"Metric": cbor.Map{"Namespace": cbor.String("app"), "MetricName": cbor.String("requests")},
				"Period": cbor.Uint(600), "Stat": cbor.String("Sum")}},
			cbor.Map{"Id": cbor.String("sql"), "ReturnData": cbor.Bool(false), "Expression": cbor.String("select max(x) from y"), "Period": cbor.Uint(600)},
		}
		if diff := cmp.Diff(want, body(t, r)["MetricDataQueries"]); diff != "" {
			t.Errorf("queries (-want +got):\n%s", diff)
		}
		answer(http.StatusOK, results(result("rate", "rate", []int{1}, 0.5)))(w, r)
	})
	if _, err := q.Query(t.Context(), metric.Query{Expr: argo, At: at(), Window: 10 * time.Minute}); err != nil {
		t.Error(err)
	}
}

func TestResultsAreSeries(t *testing.T) {
	series := func(id, label string, samples ...metric.Sample) metric.Series {
		return metric.Series{Labels: map[string]string{"id": id, "label": label}, Samples: samples}
	}
	cases := map[string]struct {
		reason   string
		window   time.Duration
		step     time.Duration
		body     cbor.Value
		want     []metric.Series
		warnings []string
	}{
		"Value": {"An instant has one sample.", 0, 0,
			results(result("q1", "cpu", []int{5}, 3.5)),
			[]metric.Series{series("q1", "cpu", metric.Sample{Time: minute(5), Value: 3.5})}, nil},
		"Window": {"A window without a step is its newest sample, in whichever order it comes.", 3 * time.Minute, 0,
			results(result("q1", "cpu", []int{1, 3, 2}, 1, 3, 2)),
			[]metric.Series{series("q1", "cpu", metric.Sample{Time: minute(1), Value: 1})}, nil},
		"Step": {"With a step all samples are kept, in the order of time.", 3 * time.Minute, time.Minute,
			results(result("q1", "cpu", []int{1, 3, 2}, 1, 3, 2)),
			[]metric.Series{series("q1", "cpu", metric.Sample{Time: minute(3), Value: 3}, metric.Sample{Time: minute(2), Value: 2}, metric.Sample{Time: minute(1), Value: 1})}, nil},
		"Groups": {"Groups have their id in common; two that share a label too are still two.", 0, 0,
			results(result("q1", "b", []int{5}, 1), result("q1", "a", []int{5}, 2), result("q1", "a", []int{5}, 3)),
			[]metric.Series{series("q1", "b", metric.Sample{Time: minute(5), Value: 1}), series("q1", "a", metric.Sample{Time: minute(5), Value: 2}), series("q1", "a", metric.Sample{Time: minute(5), Value: 3})}, nil},
		"NotANumber": {"NaN and infinities are values.", 0, 0,
			results(result("q1", "a", []int{5}, math.NaN()), result("q1", "b", []int{5}, math.Inf(-1))),
			[]metric.Series{series("q1", "a", metric.Sample{Time: minute(5), Value: math.NaN()}), series("q1", "b", metric.Sample{Time: minute(5), Value: math.Inf(-1)})}, nil},
		"Empty": {"A result without values is no series.", 0, 0,
			results(result("q1", "a", nil), result("q2", "b", []int{5}, 1)),
			[]metric.Series{series("q2", "b", metric.Sample{Time: minute(5), Value: 1})}, nil},
		"Remarks": {"CloudWatch's own remarks are warnings.", 0, 0,
			with(results(with(result("q1", "a", []int{5}, 1),
				"Messages", cbor.List{cbor.Map{"Code": cbor.String("ArithmeticError"), "Value": cbor.String("division by zero")}})),
				"Messages", cbor.List{cbor.Map{"Code": cbor.String("MaxMetricsExceeded"), "Value": cbor.String("too many metrics")}}),
			[]metric.Series{series("q1", "a", metric.Sample{Time: minute(5), Value: 1})},
			[]string{"MaxMetricsExceeded: too many metrics", "q1: ArithmeticError: division by zero"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := serve(t, answer(http.StatusOK, tc.body)).Query(t.Context(), metric.Query{Expr: "x", At: at(), Window: tc.window, Step: tc.step})
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got.Series, cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.warnings, got.Warnings); diff != "" {
				t.Errorf("%s: warnings (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestPagesAreOneAnswer(t *testing.T) {
	pages := map[string]cbor.Map{
		"": with(results(with(result("q1", "a", []int{3}, 3), "StatusCode", cbor.String("PartialData")), result("q1", "b", []int{3}, 30)), "NextToken", cbor.String("2")),
		// The second page begins with the other series.
		"2": results(result("q1", "b", []int{2}, 20), result("q1", "a", []int{2}, math.NaN())),
	}
	asked := 0
	q := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		token, _ := body(t, r)["NextToken"].(cbor.String)
		answer(http.StatusOK, pages[string(token)])(w, r)
	})
	got, err := q.Query(t.Context(), metric.Query{Expr: "x", At: at(), Window: 3 * time.Minute, Step: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	want := metric.Result{
		Series: []metric.Series{
			{Labels: map[string]string{"id": "q1", "label": "a"}, Samples: []metric.Sample{{Time: minute(3), Value: 3}, {Time: minute(2), Value: math.NaN()}}},
			{Labels: map[string]string{"id": "q1", "label": "b"}, Samples: []metric.Sample{{Time: minute(3), Value: 30}, {Time: minute(2), Value: 20}}},
		},
		Raw: []byte(`[{"Id":"q1","Label":"a","StatusCode":"Complete","Timestamps":["2023-11-14T22:10:00Z","2023-11-14T22:11:00Z"],"Values":[3,"NaN"]},` +
			`{"Id":"q1","Label":"b","StatusCode":"Complete","Timestamps":["2023-11-14T22:10:00Z","2023-11-14T22:11:00Z"],"Values":[30,20]}]`),
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), cmp.Transformer("text", func(b []byte) string { return string(b) })); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if asked != 2 {
		t.Errorf("asked %d times, want twice", asked)
	}
}

func TestAnAnswerThatStaysPartialIsNone(t *testing.T) {
	body := results(with(result("q1", "a", []int{5}, 1), "StatusCode", cbor.String("PartialData")))
	got, err := serve(t, answer(http.StatusOK, body)).Query(t.Context(), metric.Query{Expr: "x", At: at()})
	var answered *metric.AnsweredError
	if !errors.Is(err, metric.ErrUnreachable) || !errors.As(err, &answered) {
		t.Errorf("got %+v and error %v, want ErrUnreachable of a server that is up", got, err)
	}
}
