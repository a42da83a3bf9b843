package metric_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/quick"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keptn/gitops/policy/metric"
)

// samples are values one second apart.
func samples(values ...float64) []metric.Sample {
	all := make([]metric.Sample, len(values))
	for i, v := range values {
		all[i] = metric.Sample{Time: time.Unix(int64(i), 0), Value: v}
	}
	return all
}

// reducers are all reducers.
func reducers() []metric.Reducer {
	return []metric.Reducer{
		metric.Last, metric.Avg, metric.Min, metric.Max, metric.Sum, metric.Count,
		metric.Median, metric.P90, metric.P95, metric.P99, metric.Rate,
	}
}

func TestAReducerMakesOneNumber(t *testing.T) {
	keptn := []float64{100, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	nan, inf := math.NaN(), math.Inf(1)
	cases := map[string]struct {
		reason string
		r      metric.Reducer
		values []float64
		want   float64
	}{
		"Last":           {"The newest value.", metric.Last, keptn, 9},
		"Avg":            {"The arithmetic mean.", metric.Avg, keptn, 14.5},
		"Min":            {"The smallest.", metric.Min, keptn, 1},
		"Max":            {"The largest.", metric.Max, keptn, 100},
		"Sum":            {"The sum.", metric.Sum, keptn, 145},
		"Count":          {"The number of samples.", metric.Count, keptn, 10},
		"MedianEven":     {"The mean of the middle two.", metric.Median, keptn, 5.5},
		"MedianOdd":      {"The middle one.", metric.Median, []float64{9, 1, 5}, 5},
		"P90":            {"A percentile is over sorted samples, not over their order in time.", metric.P90, keptn, 9},
		"P95":            {"The nearest rank is rounded up.", metric.P95, keptn, 100},
		"P99":            {"Of few samples it is the largest.", metric.P99, keptn, 100},
		"P90Of100":       {"Where the rank is whole it is not rounded.", metric.P90, hundred, 90},
		"P95Of100":       {"As for P95.", metric.P95, hundred, 95},
		"P99Of100":       {"And for P99.", metric.P99, hundred, 99},
		"P99Of101":       {"One more sample makes the rank 100.", metric.P99, append([]float64{101}, hundred...), 100},
		"Single":         {"One sample is every percentile.", metric.P90, []float64{7}, 7},
		"Rate":           {"An increase of 6 in 3 seconds.", metric.Rate, []float64{4, 6, 6, 10}, 2},
		"RateReset":      {"After a reset the counter began at 0.", metric.Rate, []float64{10, 12, 1, 4}, 2},
		"RateTwice":      {"It can be reset more than once.", metric.Rate, []float64{5, 1, 1, 0, 2}, 0.75},
		"RateIdle":       {"A counter that stands still.", metric.Rate, []float64{3, 3}, 0},
		"NaN":            {"A NaN has no rank, and must not vanish.", metric.Max, []float64{1, nan, 3}, nan},
		"NaNMedian":      {"Nor in the middle.", metric.Median, []float64{nan, 1}, nan},
		"NaNAvg":         {"Nor in a mean.", metric.Avg, []float64{1, nan}, nan},
		"NaNRate":        {"Nor in a rate.", metric.Rate, []float64{1, nan, 2}, nan},
		"Infinity":       {"An infinity is the largest value.", metric.Max, []float64{1, inf}, inf},
		"InfinityMedian": {"It does not reach into the middle.", metric.Median, []float64{inf, 1, 2}, 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			given := samples(tc.values...)
			got, err := tc.r.Reduce(given)
			if err != nil || !cmp.Equal(got, tc.want, cmpopts.EquateNaNs()) {
				t.Errorf("%s: %s of %v = %v, %v, want %v", tc.reason, tc.r, tc.values, got, err, tc.want)
			}
			if !cmp.Equal(given, samples(tc.values...), cmpopts.EquateNaNs()) {
				t.Errorf("%s changed the samples, which others share: %v", tc.r, given)
			}
		})
	}
}

func TestWithoutSamplesThereIsNoNumber(t *testing.T) {
	for _, r := range reducers() {
		if got, err := r.Reduce(nil); !errors.Is(err, metric.ErrNoData) {
			t.Errorf("%s of nothing = %v, %v, want ErrNoData", r, got, err)
		}
		if got, err := r.ReduceAll(nil); r != metric.Rate && !errors.Is(err, metric.ErrNoData) {
			t.Errorf("%s of no series = %v, %v, want ErrNoData", r, got, err)
		}
	}
	if got, err := metric.Rate.Reduce(samples(1)); !errors.Is(err, metric.ErrNoData) {
		t.Errorf("a rate of one sample = %v, %v, want ErrNoData", got, err)
	}
	if got, err := metric.Reducer("mode").Reduce(samples(1)); err == nil {
		t.Errorf("an unknown reducer yields %v", got)
	}
}

func TestARateOfNoSeriesIsNoData(t *testing.T) {
	if got, err := metric.Rate.ReduceAll(nil); !errors.Is(err, metric.ErrNoData) {
		t.Errorf("the rate of no series = %v, %v, want ErrNoData and never a zero", got, err)
	}
}

func TestSeveralSeriesMakeOneNumber(t *testing.T) {
	series := []metric.Series{{Samples: samples(1, 9)}, {Samples: samples(4, 2)}}
	for r, want := range map[metric.Reducer]float64{
		metric.Avg: 4, metric.Min: 1, metric.Max: 9, metric.Sum: 16, metric.Count: 4, metric.Median: 3,
		metric.Rate: 10, // 8 per second, and 2 after a reset
	} {
		if got, err := r.ReduceAll(series); err != nil || got != want {
			t.Errorf("%s = %v, %v, want %v", r, got, err, want)
		}
	}
	if got, err := metric.Last.ReduceAll(series); !errors.Is(err, metric.ErrTooManySeries) {
		t.Errorf("last of two series = %v, %v, want ErrTooManySeries", got, err)
	}
	if got, err := metric.Last.ReduceAll(series[:1]); err != nil || got != 9 {
		t.Errorf("last of one series = %v, %v, want 9", got, err)
	}
	if got, err := metric.Rate.ReduceAll([]metric.Series{series[0], {Samples: samples(1)}}); !errors.Is(err, metric.ErrNoData) {
		t.Errorf("a rate of a series of one sample = %v, %v, want ErrNoData", got, err)
	}
}

// few are values that quick can vary, none of them so large that sums overflow.
func few(raw []int32) []float64 {
	values := make([]float64, len(raw)+1)
	for i, v := range raw {
		values[i+1] = float64(v) / 8
	}
	return values
}

func reduce(t *testing.T, r metric.Reducer, values []float64) float64 {
	t.Helper()
	got, err := r.Reduce(samples(values...))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTheOrderOfSamplesDoesNotMatterToARank(t *testing.T) {
	check := func(raw []int32, seed uint64) bool {
		values := few(raw)
		shuffled := slices.Clone(values)
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for _, r := range []metric.Reducer{metric.Min, metric.Max, metric.Median, metric.P90, metric.P95, metric.P99, metric.Count, metric.Sum, metric.Avg} {
			if reduce(t, r, values) != reduce(t, r, shuffled) { // eighths are summed exactly
				return false
			}
		}
		return true
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

func TestRanksAreOrdered(t *testing.T) {
	check := func(raw []int32) bool {
		values := few(raw)
		var ranks []float64
		for _, r := range []metric.Reducer{metric.Min, metric.Median, metric.P90, metric.P95, metric.P99, metric.Max} {
			ranks = append(ranks, reduce(t, r, values))
		}
		avg := reduce(t, metric.Avg, values)
		return slices.IsSorted(ranks) && ranks[0] <= avg && avg <= ranks[len(ranks)-1]
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

func TestAPercentileIsTheSmallestSampleThatEnoughDoNotExceed(t *testing.T) {
	check := func(raw []int32) bool {
		values := few(raw)
		for r, percent := range map[metric.Reducer]int{metric.P90: 90, metric.P95: 95, metric.P99: 99} {
			got := reduce(t, r, values)
			below, upTo := 0, 0
			for _, v := range values {
				if v < got {
					below++
				}
				if v <= got {
					upTo++
				}
			}
			if upTo*100 < percent*len(values) || below*100 >= percent*len(values) {
				return false
			}
		}
		return true
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

func TestACounterIncreasesByWhatWasAddedThroughResets(t *testing.T) {
	check := func(steps []uint8, resets []bool) bool {
		counter, added := 1000.0, 0.0
		values := []float64{counter}
		for i, step := range steps {
			if i < len(resets) && resets[i] && float64(step) < counter {
				counter = 0
			}
			counter += float64(step)
			added += float64(step)
			values = append(values, counter)
		}
		return metric.Increase(samples(values...)) == added
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}
