package metrics_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/metrics"
	"github.com/keptn/gitops/controllers/provider"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/poll"
)

// noon is when a test begins.
func noon() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

// reading is an answer of one series, so long after noon.
func reading(after time.Duration, samples ...float64) poll.Reading {
	at := noon().Add(after)
	var s metric.Series
	for _, v := range samples {
		s.Samples = append(s.Samples, metric.Sample{Time: at, Value: v})
	}
	return poll.Reading{At: at, Result: metric.Result{Series: []metric.Series{s}, Raw: []byte("raw")}}
}

// failure is a question that failed, so long after noon.
func failure(after time.Duration, err error) poll.Reading {
	return poll.Reading{At: noon().Add(after), Err: err}
}

// aMetric is asked every 10 s over the window.
func aMetric(window *metricsv1.RangeSpec) *metricsv1.KeptnMetric {
	return &metricsv1.KeptnMetric{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p95", Generation: 1},
		Spec:       metricsv1.KeptnMetricSpec{Query: "q", FetchIntervalSeconds: 10, Range: window},
	}
}

func TestAReadingBecomesAStatus(t *testing.T) {
	steps := func(a metricsv1.Aggregation) *metricsv1.RangeSpec {
		return &metricsv1.RangeSpec{Interval: "5m", Step: "1m", Aggregation: a}
	}
	two := reading(0, 1)
	two.Result.Series = append(two.Result.Series, two.Result.Series...)
	mean := two
	mean.Result.Overall = new(1.5)
	keptns := reading(0, 100, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	missing := &provider.NotFoundError{}
	missing.Name = "p"
	cases := map[string]struct {
		reason  string
		window  *metricsv1.RangeSpec
		reading poll.Reading
		value   string
		ready   string // status and reason of the condition
		says    string // in errMsg
	}{
		"Number":       {"A number is written in decimal.", nil, reading(0, 1e-7), "0.0000001", "True Measured", ""},
		"Large":        {"Also a large one: an exponent is not what autoscalers read.", nil, reading(0, 1e21), "1000000000000000000000", "True Measured", ""},
		"Newest":       {"Without an aggregation the newest sample counts, not the first (M20).", &metricsv1.RangeSpec{Interval: "5m"}, reading(0, 1, 2, 3), "3", "True Measured", ""},
		"P90":          {"A percentile is over sorted samples (M9).", steps(metricsv1.AggregationP90), keptns, "9", "True Measured", ""},
		"P99":          {"Keptn takes the last sample for it.", steps(metricsv1.AggregationP99), keptns, "100", "True Measured", ""},
		"Max":          {"M8.", steps(metricsv1.AggregationMax), keptns, "100", "True Measured", ""},
		"Min":          {"M8.", steps(metricsv1.AggregationMin), keptns, "1", "True Measured", ""},
		"Avg":          {"M8.", steps(metricsv1.AggregationAvg), keptns, "14.5", "True Measured", ""},
		"Median":       {"The mean of the middle two (M8).", steps(metricsv1.AggregationMedian), keptns, "5.5", "True Measured", ""},
		"Overall":      {"Datadog and Dynatrace have one number for several series.", nil, mean, "1.5", "True Measured", ""},
		"TooMany":      {"Which of two series is meant is not guessed (M22).", nil, two, "", "False TooManySeries", "too many series"},
		"NaN":          {"0/0 is no measurement.", nil, reading(0, math.NaN()), "", "Unknown NoData", "NaN"},
		"NaNStep":      {"One step that is no number spoils the aggregate (M10).", steps(metricsv1.AggregationAvg), reading(0, 1, math.NaN()), "", "Unknown NoData", "NaN"},
		"Infinite":     {"Nor is 1/0.", nil, reading(0, math.Inf(-1)), "", "Unknown NoData", "-Inf"},
		"NoSamples":    {"Of nothing there is no maximum: Keptn says 0.", steps(metricsv1.AggregationMax), poll.Reading{At: noon()}, "", "Unknown NoData", "no sample"},
		"NoProvider":   {"Keptn says nothing (M14).", nil, failure(0, missing), "", "False ProviderNotFound", `no KeptnMetricsProvider "p"`},
		"Unauthorized": {"Nobody but people can help.", nil, failure(0, fmt.Errorf("%w: 401", metric.ErrUnauthorized)), "", "False Unauthorized", "401"},
		"BadQuery":     {"Nor here.", nil, failure(0, fmt.Errorf("%w: parse error", metric.ErrBadQuery)), "", "False BadQuery", "parse error"},
		"Unreachable":  {"An outage passes.", nil, failure(0, fmt.Errorf("%w: 503", metric.ErrUnreachable)), "", "Unknown Unreachable", "503"},
		"RateLimited":  {"So does a limit.", nil, failure(0, &metric.RateLimitedError{}), "", "Unknown RateLimited", "rate limited"},
		"LongError":    {"A status has to stay small.", nil, failure(0, fmt.Errorf("%w: %s", metric.ErrTimeout, strings.Repeat("x", 1000))), "", "Unknown Timeout", "…"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			m := aMetric(tc.window)
			metrics.Observe(m, tc.reading)
			s := m.Status
			if s.Value != tc.value || !strings.Contains(s.ErrMsg, tc.says) || tc.says == "" && s.ErrMsg != "" || len(s.ErrMsg) > 500 {
				t.Errorf("%s: value %q and error %q, want %q and %q", tc.reason, s.Value, s.ErrMsg, tc.value, tc.says)
			}
			ready := condition.Of(m, meta.ReadyCondition)
			if got := string(ready.Status) + " " + ready.Reason; got != tc.ready {
				t.Errorf("%s: ready is %s, want %s", tc.reason, got, tc.ready)
			}
			if !s.LastUpdated.Time.Equal(noon()) || s.ObservedGeneration != 1 {
				t.Errorf("of %s and generation %d", s.LastUpdated, s.ObservedGeneration)
			}
			if (len(s.RawValue) > 0) != (tc.value != "") {
				t.Errorf("%s: a raw value of %q for the value %q", tc.reason, s.RawValue, s.Value)
			}
		})
	}
}

func TestAValueStaysWhileQueriesFail(t *testing.T) {
	m := aMetric(nil)
	metrics.Observe(m, reading(0, 4))
	metrics.Observe(m, failure(time.Minute, metric.ErrUnreachable))
	s := m.Status
	if s.Value != "4" || string(s.RawValue) != "raw" || s.ErrMsg == "" || !s.LastUpdated.Time.Equal(noon().Add(time.Minute)) {
		t.Errorf("after a failure: %+v", s)
	}
	metrics.Observe(m, reading(2*time.Minute, 5))
	if s := m.Status; s.Value != "5" || s.ErrMsg != "" || condition.Of(m, meta.ReadyCondition).Status != metav1.ConditionTrue {
		t.Errorf("after it recovered: %+v", s)
	}
}

func TestARawValueIsOneMiBAtMostAndLeavesRoomForTheRest(t *testing.T) {
	m, large := aMetric(nil), reading(0, 1)
	large.Result.Raw = make([]byte, 1<<20+1)
	metrics.Observe(m, large)
	if got := len(m.Status.RawValue); got != 1<<20 {
		t.Errorf("%d bytes are kept", got)
	}

	m = aMetric(&metricsv1.RangeSpec{Interval: "5m", StoredResults: 255})
	m.Spec.Query = strings.Repeat("<", 64<<10) // as JSON 6 bytes each
	metrics.Observe(m, large)
	for i := range 255 {
		metrics.Observe(m, failure(time.Duration(i+1)*time.Minute, fmt.Errorf("%w: %s", metric.ErrTimeout, strings.Repeat("x", 1000))))
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	const etcd = 3 << 19
	if len(text) > etcd-1<<15 || len(text) < etcd-1<<17 || len(m.Status.IntervalResults) != 255 || m.Status.Value != "1" {
		t.Errorf("the largest KeptnMetric has %d bytes, %d of them raw", len(text), len(m.Status.RawValue))
	}
}

func TestResultsAreStoredInAdditionToTheValue(t *testing.T) {
	m := aMetric(&metricsv1.RangeSpec{Interval: "5m", StoredResults: 2})
	stored := func() []string {
		var all []string
		for _, r := range m.Status.IntervalResults {
			all = append(all, fmt.Sprintf("%s %q %q %s", r.LastUpdated.UTC().Format("15:04"), r.Value, r.ErrMsg, r.Range.Interval))
		}
		return all
	}
	expect := func(reason, value string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, stored()); diff != "" || m.Status.Value != value {
			t.Errorf("%s The value is %q, want %q; results (-want +got):\n%s", reason, m.Status.Value, value, diff)
		}
	}
	metrics.Observe(m, reading(0, 1))
	expect("The first.", "1", `12:00 "1" "" 5m`)
	metrics.Observe(m, reading(0, 1))
	expect("The same once more is no second result.", "1", `12:00 "1" "" 5m`)
	metrics.Observe(m, failure(time.Minute, metric.ErrTimeout))
	expect("A failure is a result without a value.", "1", `12:00 "1" "" 5m`, `12:01 "" "timed out" 5m`)
	metrics.Observe(m, reading(2*time.Minute, 3))
	expect("The oldest goes.", "3", `12:01 "" "timed out" 5m`, `12:02 "3" "" 5m`)
	m.Spec.Range.StoredResults = 1
	metrics.Observe(m, reading(2*time.Minute, 3))
	expect("As many as the spec says now.", "3", `12:02 "3" "" 5m`)
	m.Spec.Range = nil
	metrics.Observe(m, reading(2*time.Minute, 3))
	expect("Or none.", "3")
}

func TestAStatusIsWrittenWhereItSaysSomethingNew(t *testing.T) {
	storing := &metricsv1.RangeSpec{Interval: "5m", StoredResults: 1}
	slow := func(m *metricsv1.KeptnMetric) { m.Spec.FetchIntervalSeconds = 120 }
	cases := map[string]struct {
		reason string
		window *metricsv1.RangeSpec
		change func(*metricsv1.KeptnMetric)
		next   poll.Reading
		want   bool
	}{
		"Same":          {"At 10,000 KeptnMetrics a write each would be the API server's whole work.", nil, nil, reading(time.Minute, 1), false},
		"Value":         {"A new value is news.", nil, nil, reading(time.Minute, 2), true},
		"Error":         {"So is a failure.", nil, nil, failure(time.Minute, metric.ErrTimeout), true},
		"Generation":    {"Who changed the spec waits for its generation.", nil, func(m *metricsv1.KeptnMetric) { m.Generation = 2 }, reading(time.Minute, 1), true},
		"Stored":        {"Each result is stored.", storing, nil, reading(time.Minute, 1), true},
		"StoredSame":    {"But once.", storing, nil, reading(0, 1), false},
		"Heartbeat":     {"Every 5 minutes lastUpdated shows that it is measured still.", nil, nil, reading(5*time.Minute, 1), true},
		"Earlier":       {"Not before.", nil, nil, reading(5*time.Minute-time.Second, 1), false},
		"SlowHeartbeat": {"After 10 intervals where those are longer.", nil, slow, reading(20*time.Minute, 1), true},
		"SlowEarlier":   {"Not before.", nil, slow, reading(20*time.Minute-time.Second, 1), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			m := aMetric(tc.window)
			metrics.Observe(m, reading(0, 1))
			if tc.change != nil {
				tc.change(m)
			}
			before := m.DeepCopy()
			metrics.Observe(m, tc.next)
			if got := metrics.WorthWriting(before, m); got != tc.want {
				t.Errorf("%s: %t", tc.reason, got)
			}
		})
	}
}

func TestTheFirstReadingIsWritten(t *testing.T) {
	for reason, first := range map[string]poll.Reading{"A value is.": reading(0, 0), "So is a failure.": failure(0, metric.ErrNoData)} {
		m := aMetric(nil)
		m.Generation = 0 // as if it had been observed
		before := m.DeepCopy()
		metrics.Observe(m, first)
		if !metrics.WorthWriting(before, m) {
			t.Error(reason)
		}
	}
}

func TestTheTimeOfAValueIsNotThatOfAQueryThatFailed(t *testing.T) {
	failing := metav1.Condition{Type: meta.ReadyCondition, Status: metav1.ConditionUnknown, LastTransitionTime: metav1.NewTime(noon())}
	status := metricsv1.KeptnMetricStatus{Value: "4", LastUpdated: metav1.NewTime(noon().Add(time.Hour)), ErrMsg: "down", Conditions: []metav1.Condition{failing}}
	m := aMetric(nil)
	m.Status = status
	got := metrics.NewValues(nil).Of(m)
	if got.Text != "4" || got.Value != 4 || !got.HasValue || got.Reason != "down" || !got.Time.Equal(noon()) {
		t.Errorf("an hour after it began to fail it is served as %+v, want the value as of %s", got, noon())
	}
	m.Status.ErrMsg, m.Status.Conditions[0].Status = "", metav1.ConditionTrue
	if got := metrics.NewValues(nil).Of(m); got.Reason != "" || !got.Time.Equal(status.LastUpdated.Time) {
		t.Errorf("while it is measured it is served as %+v, want the value as of %s", got, status.LastUpdated)
	}
}
