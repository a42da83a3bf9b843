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

// LeadTimeFrom is where the lead time of a change begins. The zero value is
// [FromCommit].
type LeadTimeFrom string

// Where a lead time can begin. "Brought" is said of the commits that a commit on the
// first-parent line has and its own first parent has not: those of a merged branch
// with their merge, and else the commit alone.
const (
	// FromCommit is the author time of the commit itself.
	FromCommit LeadTimeFrom = "commit"
	// FromFirstCommit is the earliest author time of the commits that were brought
	// together with it. Of a squashed branch only the one commit is known.
	FromFirstCommit LeadTimeFrom = "firstCommit"
	// FromMerge is the committer time of the commit that brought it.
	FromMerge LeadTimeFrom = "merge"
)

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
