package metric

import (
	"fmt"
	"math"
	"slices"
)

// A Reducer makes one number of samples.
type Reducer string

// The reducers.
const (
	// Last is the newest value.
	Last Reducer = "last"
	// Avg is the arithmetic mean.
	Avg Reducer = "avg"
	// Min is the smallest value.
	Min Reducer = "min"
	// Max is the largest value.
	Max Reducer = "max"
	// Sum is the sum.
	Sum Reducer = "sum"
	// Count is the number of samples.
	Count Reducer = "count"
	// Median is the middle value; of an even number of samples the mean of the
	// middle two.
	Median Reducer = "median"
	// P90 is the 90th percentile by the nearest rank
	// (https://en.wikipedia.org/wiki/Percentile#The_nearest-rank_method): the
	// smallest sample that at least 90% of all samples do not exceed.
	P90 Reducer = "p90"
	// P95 is the 95th percentile, as P90.
	P95 Reducer = "p95"
	// P99 is the 99th percentile, as P90.
	P99 Reducer = "p99"
	// Rate is the increase of a counter per second. A value below the one before
	// is a reset, after which the counter has begun at 0.
	Rate Reducer = "rate"
)

// Reduce makes one number of the samples of one series, which are in the order
// of time. It is ErrNoData if there are none, or of a rate fewer than two. NaN
// and infinities are values: what is made of them is NaN or an infinity too.
func (r Reducer) Reduce(samples []Sample) (float64, error) {
	if len(samples) == 0 {
		return 0, fmt.Errorf("%w: there is no sample to take the %s of", ErrNoData, r)
	}
	switch r {
	case Last:
		return samples[len(samples)-1].Value, nil
	case Count:
		return float64(len(samples)), nil
	case Sum:
		return sum(samples), nil
	case Avg:
		return sum(samples) / float64(len(samples)), nil
	case Rate:
		return rate(samples)
	case Min, Max, Median, P90, P95, P99:
		return r.ranked(samples)
	default:
		return 0, fmt.Errorf("unknown reducer %q", r)
	}
}

// ReduceAll makes one number of all series: of all their samples, but for Rate
// the sum of the series' rates, and for Last the newest value of the only series.
func (r Reducer) ReduceAll(series []Series) (float64, error) {
	switch {
	case len(series) == 0:
		return r.Reduce(nil)
	case r == Last && len(series) > 1:
		return 0, fmt.Errorf("%w: %d have a last value, and a number is one: take another reducer, or aggregate them in the query", ErrTooManySeries, len(series))
	case r == Rate:
		total := 0.0
		for _, s := range series {
			rate, err := r.Reduce(s.Samples)
			if err != nil {
				return 0, err
			}
			total += rate
		}
		return total, nil
	default:
		return r.Reduce(Result{Series: series}.Samples())
	}
}

// ranked are the reducers that depend on the order of the values. A NaN has none.
func (r Reducer) ranked(samples []Sample) (float64, error) {
	values := make([]float64, len(samples))
	for i, s := range samples {
		if math.IsNaN(s.Value) {
			return math.NaN(), nil
		}
		values[i] = s.Value
	}
	slices.Sort(values)
	n := len(values)
	switch r {
	case Min:
		return values[0], nil
	case Max:
		return values[n-1], nil
	case P90:
		return values[rank(n, 90)], nil
	case P95:
		return values[rank(n, 95)], nil
	case P99:
		return values[rank(n, 99)], nil
	default: // Median
		return (values[(n-1)/2] + values[n/2]) / 2, nil
	}
}

// rank is the index of the percentile among n sorted values.
func rank(n, percent int) int { return (n*percent+99)/100 - 1 }

func sum(samples []Sample) float64 {
	total := 0.0
	for _, s := range samples {
		total += s.Value
	}
	return total
}

// rate is the increase per second between the first and the last sample.
func rate(samples []Sample) (float64, error) {
	elapsed := samples[len(samples)-1].Time.Sub(samples[0].Time).Seconds()
	if elapsed <= 0 {
		return 0, fmt.Errorf("%w: a rate takes two samples at least", ErrNoData)
	}
	return Increase(samples) / elapsed, nil
}

// Increase is by how much a counter grew over the samples, which are in the order
// of time. A value below the one before is a reset: the counter began at 0.
func Increase(samples []Sample) float64 {
	total := 0.0
	for i := 1; i < len(samples); i++ {
		before, now := samples[i-1].Value, samples[i].Value
		if now < before {
			before = 0
		}
		total += now - before
	}
	return total
}
