package slo

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// A Part is an objective within a composite one.
type Part struct {
	// Name is what the reason for missing data calls it.
	Name string
	// State is that of the objective, with the burn rates over the composite's
	// windows.
	State State
	// Weight is how much its error budget counts among the others'. It is above 0.
	Weight float64
}

// Composite joins objectives by what each has used of its own error budget: the
// budget that remains, what of it was burned since the rollout began, and the burn
// rate, are the means of the parts' by their weights. A weight thus multiplies a part's burn, as in OpenSLO
// (https://github.com/OpenSLO/OpenSLO#objectives). ErrorRatio is the one at which an
// objective of its own would have used as much. Where a part has no data, the
// composite has none.
//
// Each part has its own window; period is the composite's, from which its exhaustion
// is told.
func Composite(objective float64, period time.Duration, windows []time.Duration, parts []Part) State {
	s := State{Objective: objective, Period: period}
	total := 0.0
	for _, part := range parts {
		total += part.Weight
		if s.Missing == "" && part.State.Missing != "" {
			s.Missing = fmt.Sprintf("slo %q: %s", part.Name, part.State.Missing)
		}
	}
	if total <= 0 {
		return Unknown(objective, period, windows, "no part of the composite has a weight")
	}
	for _, window := range windows {
		s.setBurn(window, weighedBurn(parts, window)/total, missingBurn(parts, window))
	}
	if s.Missing != "" {
		return s
	}
	for _, part := range parts {
		s.BudgetRemaining += part.Weight * part.State.BudgetRemaining / total
	}
	s.ErrorRatio = (1 - s.BudgetRemaining) * s.Budget()
	s.Burned, s.MissingBurned = weighedBurned(parts, total)
	return s
}

// weighedBurned is the mean of what the parts have burned since the rollout began, or
// why there is none.
func weighedBurned(parts []Part, total float64) (burned *float64, missing string) {
	sum := 0.0
	for _, part := range parts {
		switch {
		case part.State.MissingBurned != "":
			return nil, fmt.Sprintf("slo %q: %s", part.Name, part.State.MissingBurned)
		case part.State.Burned == nil:
			return nil, ""
		}
		sum += part.Weight * *part.State.Burned / total
	}
	return &sum, ""
}

// weighedBurn is the sum of the parts' burn rates over a window by their weights.
func weighedBurn(parts []Part, window time.Duration) float64 {
	sum := 0.0
	for _, part := range parts {
		sum += part.Weight * part.State.Burn[window]
	}
	return sum
}

// missingBurn says which part has no burn rate over the window, and why.
func missingBurn(parts []Part, window time.Duration) string {
	for _, part := range parts {
		if _, known := part.State.Burn[window]; known {
			continue
		}
		if reason, ok := part.State.MissingBurn[window]; ok {
			return fmt.Sprintf("slo %q: %s", part.Name, reason)
		}
		measured := slices.Sorted(maps.Keys(part.State.Burn))
		return fmt.Sprintf("slo %q was measured over %v, and not over %s", part.Name, measured, window)
	}
	return ""
}
