package fabric

import (
	"maps"
	"time"
)

// maxInstants is how many tolerances are remembered before old ones are dropped.
const maxInstants = 1024

// Instant is the time to ask about at now: one that all who name the same
// tolerance share while it is not older than that. So those who ask the same a
// little apart, as many analyses over the last 5 minutes that begin together, ask
// one query. It is a whole second, never after now, and never older than the
// tolerance; one below a second counts as a second.
func (f *Fabric) Instant(now time.Time, tolerance time.Duration) time.Time {
	tolerance = max(tolerance, time.Second)
	f.mu.Lock()
	defer f.mu.Unlock()
	if last, ok := f.instants[tolerance]; ok && !last.After(now) && now.Sub(last) <= tolerance {
		return last
	}
	if len(f.instants) >= maxInstants {
		maps.DeleteFunc(f.instants, func(tolerance time.Duration, last time.Time) bool {
			return now.Sub(last) > tolerance
		})
	}
	instant := now.Truncate(time.Second)
	f.instants[tolerance] = instant
	return instant
}
