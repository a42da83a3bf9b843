package slo

import (
	"fmt"
	"math"
)

// tolerance is by how much, as a fraction of all, good or bad events may exceed all
// of them: the rounding of sums in a different order.
const tolerance = 1e-9

// A Count is what was counted over a span of time.
type Count struct {
	// Good and Total are events, samples or slices of time. 0 ≤ Good ≤ Total.
	Good, Total float64
	// Missing says why nothing could be counted; then the numbers are 0. That
	// nothing happened is no such reason: it is a Total of 0.
	Missing string
}

// NoCount is what could not be counted, and why.
func NoCount(reason string) Count { return Count{Missing: reason} }

// GoodOf counts good events among all. It is missing where they cannot be: negative
// or not finite, or more good ones than there are.
func GoodOf(good, total float64) Count {
	if reason := impossible("good", good, total); reason != "" {
		return NoCount(reason)
	}
	return Count{Good: min(good, total), Total: total}
}

// BadOf counts bad events among all, as GoodOf.
func BadOf(bad, total float64) Count {
	if reason := impossible("bad", bad, total); reason != "" {
		return NoCount(reason)
	}
	return Count{Good: total - min(bad, total), Total: total}
}

// impossible says why the numbers are none of events.
func impossible(which string, part, total float64) string {
	switch {
	case math.IsNaN(part) || math.IsInf(part, 0):
		return fmt.Sprintf("the number of %s events is %v", which, part)
	case math.IsNaN(total) || math.IsInf(total, 0):
		return fmt.Sprintf("the number of all events is %v", total)
	case part < 0 || total < 0:
		return fmt.Sprintf("events cannot be fewer than none: %v are %s of %v", part, which, total)
	case part > total*(1+tolerance):
		return fmt.Sprintf("%v events are %s, which is more than all: %v: the queries have to count the same events", part, which, total)
	default:
		return ""
	}
}

// Plus are the counts of two spans of time that do not overlap, as one. It is missing
// where either is.
func (c Count) Plus(d Count) Count {
	switch {
	case c.Missing != "":
		return c
	case d.Missing != "":
		return d
	default:
		return Count{Good: c.Good + d.Good, Total: c.Total + d.Total}
	}
}

// ErrorRatio is the fraction that was not good: 0 where nothing happened, for then
// nothing failed.
func (c Count) ErrorRatio() float64 {
	if c.Total == 0 {
		return 0
	}
	return (c.Total - c.Good) / c.Total
}

// Slices counts slices of time: one is good where at least target, a fraction, of
// its events are. A slice in which nothing happened is good; one without data counts
// neither way, so that an outage of the monitoring neither burns the budget nor
// earns it (OpenSLO leaves it open). It is missing where no slice has data, and then
// says what the first of them does.
func Slices(slices []Count, target float64) Count {
	var counted Count
	for _, slice := range slices {
		if slice.Missing != "" {
			continue
		}
		counted.Total++
		if 1-slice.ErrorRatio() >= target-tolerance {
			counted.Good++
		}
	}
	switch {
	case counted.Total > 0:
		return counted
	case len(slices) == 0:
		return NoCount("no slice of time is complete yet")
	default:
		return NoCount(slices[0].Missing)
	}
}

// OfAll are slices counted against all those of a calendar's whole period, in which
// every other slice is good: its budget in time is fixed from the beginning.
func (c Count) OfAll(all float64) Count {
	if c.Missing != "" {
		return c
	}
	return GoodOf(all-(c.Total-c.Good), all)
}
