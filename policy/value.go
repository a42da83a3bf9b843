package policy

import (
	"math"
	"time"
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

// A Series is one labelled number of a metric.
type Series struct {
	Labels map[string]string
	Value  float64
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

// NoData is a metric that has no value. In CEL it equals null, and reading it is
// undecided. The reason, which may be empty, is shown to the author.
func NoData(reason string) Value { return Value{reason: reason} }

// Stale is a metric whose last value is too old to judge by. Reading it is
// undecided, but it is not null: it does have data. The reason, which may be
// empty, is shown to the author.
func Stale(reason string) Value { return Value{state: stateStale, reason: reason} }

// scalar is the number that a metric is read as, or why there is none.
func (v Value) scalar() (number float64, undecided string) {
	switch v.state {
	case stateNumber:
		number = v.number
	case stateSeries:
		if len(v.series) > 1 {
			return 0, "has several series, and a number is one: aggregate them in the query, or read series"
		}
		number = v.series[0].Value
	default:
		return 0, v.absence()
	}
	if math.IsNaN(number) || math.IsInf(number, 0) {
		return 0, "is " + formatNumber(number)
	}
	return number, ""
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

// Input is what one evaluation judges.
type Input struct {
	// Metrics are the measurements by the names that the policy declares. A
	// name that is missing is no data; one that is not declared is ignored.
	Metrics map[string]Value
	// Baseline are the same metrics for the previous good rollout.
	Baseline map[string]Value
	// Commit is the judged commit. Without one, what reads it is undecided.
	Commit *Commit
	// Now is the time of the evaluation. When it is zero, what reads it is
	// undecided.
	Now time.Time
}

// Commit is the commit that is judged, as CEL's commit.<field> in lower case.
type Commit struct {
	// SHA is the full object name.
	SHA string `json:"sha"`
	// Author and Email are the author's, as Git records them.
	Author string `json:"author"`
	Email  string `json:"email"`
	// Message is the whole commit message.
	Message string `json:"message"`
	// Time is the author's time.
	Time time.Time `json:"time"`
}
