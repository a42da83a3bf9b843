package connect_test

import (
	"testing"
	"time"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

func TestAQueryThatNobodyCanAnswerIsRefused(t *testing.T) {
	good := metric.Query{Expr: "up", At: now(), Window: time.Hour, Step: time.Minute}
	if err := connect.CheckQuery(good); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		reason string
		change func(*metric.Query)
		says   string
	}{
		"NoText":         {"There is no question.", func(q *metric.Query) { q.Expr = " \n" }, "empty"},
		"NoTime":         {"No instant is asked about.", func(q *metric.Query) { q.At = time.Time{} }, "no time"},
		"NegativeWindow": {"A window reaches back.", func(q *metric.Query) { q.Window = -1 }, "window"},
		"NegativeStep":   {"Time goes forward.", func(q *metric.Query) { q.Step = -1 }, "step"},
		"StepAlone":      {"Steps need a window.", func(q *metric.Query) { q.Window = 0 }, "window of 0s"},
		"TooFine":        {"A step this short yields more than anyone can hold.", func(q *metric.Query) { q.Step = time.Millisecond }, "longer step"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			q := good
			tc.change(&q)
			wantError(t, tc.reason, connect.CheckQuery(q), metric.ErrBadQuery, tc.says)
		})
	}
}

func TestAResultHasASampleAndNotTooMany(t *testing.T) {
	s := connect.Server{MaxSeries: 2}
	series := func(n, samples int) []metric.Series {
		all := make([]metric.Series, n)
		for i := range all {
			all[i].Samples = make([]metric.Sample, samples)
		}
		return all
	}
	if err := s.CheckSeries(series(2, 3)); err != nil {
		t.Error(err)
	}
	wantError(t, "No series is no data.", s.CheckSeries(nil), metric.ErrNoData, "no sample")
	wantError(t, "Nor are series without samples.", s.CheckSeries(series(2, 0)), metric.ErrNoData, "no sample")
	wantError(t, "More series than the limit.", s.CheckSeries(series(3, 1)), metric.ErrTooManySeries, "3, and the limit is 2")
	wantError(t, "More samples than the limit.", s.CheckSeries(series(1, connect.MaxSamples+1)), metric.ErrTooManySeries, "1000001 samples")
	if got := (connect.Server{}).Limit(); got != connect.MaxSeries {
		t.Errorf("the limit is %d by default", got)
	}
}
