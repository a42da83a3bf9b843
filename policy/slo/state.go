// Package slo counts error budgets: how much of what happened over a window of time
// was good, how much of the budget that an objective leaves is used up, and how fast
// it burns.
//
// The terms and formulas are those of the Google SRE workbook, chapter 5
// (https://sre.google/workbook/alerting-on-slos/). A ratio is always that of the
// summed events of a window, never the mean of the ratios of its parts: those weigh
// a quiet hour as much as a busy one.
//
// The package asks nothing and reads no clock: a caller counts, and hands the counts
// in.
package slo

import (
	"fmt"
	"math"
	"time"
)

// A State is what is known of an objective at an instant.
type State struct {
	// Objective is the fraction that has to be good, as 0.999.
	Objective float64
	// Good and Total are the events, samples or slices of time over Period, in
	// which a calendar's slices to come count as good. A composite has neither.
	Good, Total float64
	// ErrorRatio is the fraction over Period that was not good; 0 where nothing
	// happened.
	ErrorRatio float64
	// BudgetRemaining is the fraction of the error budget that is left:
	// 1 - ErrorRatio/(1-Objective). It is negative once more than that was used.
	BudgetRemaining float64
	// Period is the time that the budget is counted over: the length of the SLO's
	// window, or for the events of a calendar's its part up to now.
	Period time.Duration
	// Burn is the burn rate over each window that was asked for: the error ratio
	// over it as a multiple of the error budget. At 1 the budget lasts exactly for
	// Period.
	Burn map[time.Duration]float64
	// Burned is the fraction of the error budget that was used up since the rollout
	// began: what failed since then, of all that may fail over Period. It is nil
	// where that is not known.
	Burned *float64
	// MissingBurned says why Burned is not known. It is empty where it is, where
	// Missing says why, and where nobody asked.
	MissingBurned string
	// Missing says why there is no data over Period; then Good, Total, ErrorRatio
	// and BudgetRemaining are 0. It is empty where there is data.
	Missing string
	// MissingBurn says why there is no data over a window, which then is not in
	// Burn.
	MissingBurn map[time.Duration]string
}

// Of is the state of an objective by what was counted over its period, and over the
// windows of the burn rates.
func Of(objective float64, period time.Duration, whole Count, windows map[time.Duration]Count) State {
	s := State{Objective: objective, Period: period, Missing: whole.Missing}
	for window, count := range windows {
		s.setBurn(window, count.ErrorRatio()/s.Budget(), count.Missing)
	}
	if whole.Missing == "" {
		s.Good, s.Total, s.ErrorRatio = whole.Good, whole.Total, whole.ErrorRatio()
		s.BudgetRemaining = 1 - s.ErrorRatio/s.Budget()
	}
	return s
}

// WithBurned is the state with what was counted since the rollout began, within the
// window of the SLO, set against the whole budget: of 1,000,000 events in 30 days, of
// which 1,000 may fail, 31 that failed in ten minutes are 3.1% of the budget. It is
// the rollout's part of 1 - BudgetRemaining.
func (s State) WithBurned(since Count) State {
	failed, allowed := since.Total-since.Good, s.Budget()*s.Total
	switch {
	case s.Missing != "":
	case since.Missing != "":
		s.MissingBurned = since.Missing
	case failed == 0:
		s.Burned = new(0.0)
	case allowed == 0:
		s.MissingBurned = fmt.Sprintf("%v events failed, and over the whole window there are none: the queries have to count the same events", failed)
	default:
		s.Burned = new(failed / allowed)
	}
	return s
}

// Unknown is the state of an objective of which nothing is known.
func Unknown(objective float64, period time.Duration, windows []time.Duration, reason string) State {
	s := State{Objective: objective, Period: period, Missing: reason}
	for _, window := range windows {
		s.setBurn(window, 0, reason)
	}
	return s
}

// setBurn records a burn rate, or why there is none.
func (s *State) setBurn(window time.Duration, rate float64, missing string) {
	if missing != "" {
		if s.MissingBurn == nil {
			s.MissingBurn = map[time.Duration]string{}
		}
		s.MissingBurn[window] = missing
		return
	}
	if s.Burn == nil {
		s.Burn = map[time.Duration]float64{}
	}
	s.Burn[window] = rate
}

// Fraction is an objective in percent, as 99.9, as a fraction. Neither it nor its
// budget shows the binary rounding of the division.
func Fraction(percent float64) float64 { return rounded(percent / 100) }

// Budget is the fraction that may fail: 1 - Objective.
func (s State) Budget() float64 {
	if budget := rounded(1 - s.Objective); budget > 0 {
		return budget
	}
	return 1 - s.Objective
}

// rounded is x at 12 decimals.
func rounded(x float64) float64 { return math.Round(x*1e12) / 1e12 }

// Exhaustion is how long the rest of the budget lasts at the burn rate over the
// window: BudgetRemaining·Period/Burn[window]. It is 0 once the budget is used up.
// It is not ever exhausted where nothing burns, where there is no data to tell, and
// where the time is beyond what a Duration can hold, which is 292 years.
func (s State) Exhaustion(window time.Duration) (left time.Duration, ever bool) {
	rate, known := s.Burn[window]
	switch {
	case s.Missing != "":
		return 0, false
	case s.BudgetRemaining <= 0:
		return 0, true
	case !known || rate <= 0:
		return 0, false
	}
	nanoseconds := s.BudgetRemaining * float64(s.Period) / rate
	if nanoseconds >= math.MaxInt64 {
		return 0, false
	}
	return time.Duration(nanoseconds), true
}
