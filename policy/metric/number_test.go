package metric_test

import (
	"errors"
	"math"
	"testing"

	"github.com/keptn/gitops/policy/metric"
)

func TestAResultIsReducedToOneFiniteNumber(t *testing.T) {
	series := func(values ...float64) metric.Series {
		s := metric.Series{Samples: make([]metric.Sample, len(values))}
		for i, v := range values {
			s.Samples[i].Value = v
		}
		return s
	}
	overall := 7.0
	cases := map[string]struct {
		reason  string
		result  metric.Result
		reducer metric.Reducer
		want    float64
		err     error
	}{
		"Newest":        {"Without a reducer it is the newest value.", metric.Result{Series: []metric.Series{series(1, 2)}}, "", 2, nil},
		"Overall":       {"Or the provider's own of several series.", metric.Result{Series: []metric.Series{series(1), series(2)}, Overall: &overall}, "", 7, nil},
		"Reduced":       {"A reducer takes the samples, and not the provider's number.", metric.Result{Series: []metric.Series{series(1, 5), series(3)}, Overall: &overall}, metric.Avg, 3, nil},
		"Several":       {"Several series have no number of their own.", metric.Result{Series: []metric.Series{series(1), series(2)}}, "", 0, metric.ErrTooManySeries},
		"Nothing":       {"Of nothing there is no maximum.", metric.Result{}, metric.Max, 0, metric.ErrNoData},
		"NotANumber":    {"0/0 is no measurement.", metric.Result{Series: []metric.Series{series(math.NaN())}}, "", 0, metric.ErrNoData},
		"Infinite":      {"Nor is 1/0.", metric.Result{Series: []metric.Series{series(math.Inf(-1))}}, metric.Min, 0, metric.ErrNoData},
		"NaNIsReduced":  {"What is made of it is none either.", metric.Result{Series: []metric.Series{series(1, math.NaN())}}, metric.Sum, 0, metric.ErrNoData},
		"NaNIsNoNumber": {"But samples that are no number can be counted.", metric.Result{Series: []metric.Series{series(1, math.NaN())}}, metric.Count, 2, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := tc.result.Reduce(tc.reducer)
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("%s Got %v and error %v, want %v and %v", tc.reason, got, err, tc.want, tc.err)
			}
		})
	}
}
