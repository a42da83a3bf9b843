// Package dora computes the software delivery metrics of the DORA research
// program from facts that its caller has.
//
// All of it is pure: it reads no clock, no repository and no cluster, and it
// never corrects a fact that cannot be true, but says so.
package dora

import (
	"errors"
	"fmt"
	"time"
)

// ErrNegative: a change was deployed before it was authored, so the clocks that
// the two times come from disagree.
var ErrNegative = errors.New("lead time is negative")

// ErrNoTime: one of the times is missing.
var ErrNoTime = errors.New("lead time needs both times")

// LeadTime returns the change lead time, "the amount of time it takes for a change
// to go from committed to version control to deployed in production"
// (https://dora.dev/guides/dora-metrics/): from the time that the change was
// authored to the time that its delivery finished successfully.
//
// It fails with ErrNegative where the first is after the second, and with
// ErrNoTime where either is zero.
func LeadTime(authored, finished time.Time) (time.Duration, error) {
	if authored.IsZero() || finished.IsZero() {
		return 0, fmt.Errorf("%w: authored %s, deployed %s", ErrNoTime, stamp(authored), stamp(finished))
	}
	if authored.After(finished) {
		return 0, fmt.Errorf("%w: authored %s, deployed %s; the clocks of the author and the cluster disagree",
			ErrNegative, stamp(authored), stamp(finished))
	}
	return finished.Sub(authored), nil
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "at no known time"
	}
	return t.UTC().Format(time.RFC3339Nano)
}
