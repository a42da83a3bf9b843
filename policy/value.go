package policy

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/keptn/gitops/policy/metric"
)

// A Value is what was measured for one metric. The zero Value is no data.
type Value struct {
	state  dataState
	number float64
	series []Series
	reason string
}

type dataState uint8

const (
	stateNoData dataState = iota
	stateStale
	stateNumber
	stateSeries
)

// A Series is one labelled number of a metric, and the samples that it comes from
// where a window was measured.
type Series struct {
	Labels map[string]string
	// Value is the newest, or the only, one.
	Value float64
	// Samples are all of the window, in the order of time. Without any, Value is a
	// single sample that is current.
	Samples []metric.Sample
}

// all are the samples of the series.
func (s Series) all() []metric.Sample {
	if len(s.Samples) > 0 {
		return s.Samples
	}
	return []metric.Sample{{Value: s.Value}}
}

// Number is a measured number. NaN and infinities are kept: what reads them is
// undecided.
func Number(v float64) Value { return Value{state: stateNumber, number: v} }

// Vector is a metric of several series. Without any it is no data; a metric of
// exactly one series can also be read as a number.
func Vector(series []Series) Value {
	if len(series) == 0 {
		return Value{}
	}
	return Value{state: stateSeries, series: series}
}

// Measured is a metric as a provider answered it. A result without series is no
// data.
func Measured(result metric.Result) Value {
	series := make([]Series, 0, len(result.Series))
	for _, s := range result.Series {
		if len(s.Samples) > 0 {
			series = append(series, Series{Labels: s.Labels, Value: s.Last().Value, Samples: s.Samples})
		}
	}
	return Vector(series)
}

// NoData is a metric that has no value. In CEL it equals null, and reading it is
// undecided. The reason, which may be empty, is shown to the author.
func NoData(reason string) Value { return Value{reason: reason} }

// Stale is a metric whose last value is too old to judge by. Reading it is
// undecided, but it is not null: it does have data. The reason, which may be
// empty, is shown to the author.
func Stale(reason string) Value { return Value{state: stateStale, reason: reason} }

// A reading is how a policy reads a metric: with which reducer, if any, and how
// old its newest sample may be, if that is limited.
type reading struct {
	reducer metric.Reducer
	maxAge  time.Duration
}

// scalar is the number that a metric is read as, or why there is none.
func (v Value) scalar(reducer metric.Reducer) (number float64, undecided string) {
	switch {
	case v.state != stateNumber && v.state != stateSeries:
		return 0, v.absence()
	case v.state == stateNumber: // it is one already, whatever made it
		number = v.number
	case reducer != "":
		return v.reduced(reducer)
	case len(v.series) > 1:
		return 0, "has several series, and a number is one: aggregate them in the query, or read series"
	default:
		number = v.series[0].Value
	}
	if !isFinite(number) {
		return 0, "is " + formatNumber(number)
	}
	return number, ""
}

// reduced is the number that a reducer makes of all samples, or why there is none.
func (v Value) reduced(reducer metric.Reducer) (number float64, undecided string) {
	series := make([]metric.Series, len(v.all()))
	for i, s := range v.all() {
		series[i] = metric.Series{Labels: s.Labels, Samples: s.all()}
	}
	number, err := reducer.ReduceAll(series)
	switch {
	case err != nil:
		return 0, fmt.Sprintf("has no %s: %s", reducer, plainReason(err))
	case !isFinite(number):
		return 0, fmt.Sprintf("has %s as its %s", formatNumber(number), reducer)
	default:
		return number, ""
	}
}

// measured are the series with a number each: that of the reducer, or without one
// the newest.
func (v Value) measured(reducer metric.Reducer) []measuredSeries {
	all := v.all()
	measured := make([]measuredSeries, len(all))
	for i, s := range all {
		measured[i] = measuredSeries{labels: s.Labels, value: s.Value}
		if reducer == "" || v.state == stateNumber {
			continue
		}
		number, err := reducer.Reduce(s.all())
		if err != nil {
			measured[i].undecided = fmt.Sprintf("a series has no %s: %s", reducer, plainReason(err))
		}
		measured[i].value = number
	}
	return measured
}

// plainReason is what a reducer says, without the class of the error.
func plainReason(err error) string {
	if errors.Is(err, metric.ErrNoData) {
		return strings.TrimPrefix(err.Error(), metric.ErrNoData.Error()+": ")
	}
	return strings.TrimPrefix(err.Error(), metric.ErrTooManySeries.Error()+": ")
}

// limited is the value, or that it is stale, as its newest sample is older than
// maxAge.
func (v Value) limited(maxAge time.Duration, now time.Time) Value {
	var newest time.Time
	for _, s := range v.series {
		if n := len(s.Samples); n > 0 && s.Samples[n-1].Time.After(newest) {
			newest = s.Samples[n-1].Time
		}
	}
	switch {
	case newest.IsZero():
		return v
	case now.IsZero():
		return Stale("no time of the evaluation was given, so that nobody knows how old it is")
	case now.Sub(newest) > maxAge:
		return Stale(fmt.Sprintf("the newest sample is %s old, and %s is the limit", now.Sub(newest).Round(time.Second), maxAge))
	default:
		return v
	}
}

// absence says why there is nothing to read.
func (v Value) absence() string {
	text := "has no data"
	if v.state == stateStale {
		text = "is stale"
	}
	if v.reason != "" {
		text += ": " + v.reason
	}
	return text
}

// all are the series of the metric, of which a number is one without labels.
func (v Value) all() []Series {
	if v.state == stateNumber {
		return []Series{{Value: v.number}}
	}
	return v.series
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
