package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

const (
	minutesOfDay  = 24 * 60
	minutesOfWeek = 7 * minutesOfDay
)

// A recurrence is a window of time that comes back every day, or every week. It
// holds its begin, and not its end, both in minutes of the day or of the week, which
// begins on Monday. Where the end is the lower, it lies in the next day or week.
type recurrence struct {
	begin, end int
	weekly     bool
}

// newRecurrence reads a window such as "22:00" to "06:00", or "Fri 14:00" to
// "Mon 08:00".
func newRecurrence(from, to string) (recurrence, error) {
	begin, weekly, err := parseClock(from)
	if err != nil {
		return recurrence{}, err
	}
	end, endsWeekly, err := parseClock(to)
	switch {
	case err != nil:
		return recurrence{}, err
	case weekly != endsWeekly:
		return recurrence{}, fmt.Errorf("%q and %q have to name a day both, or none", from, to)
	case begin == end:
		return recurrence{}, fmt.Errorf("the window from %q to %q is empty", from, to)
	}
	return recurrence{begin, end, weekly}, nil
}

// holds says whether the window is open at a time, as the clock and the calendar
// of its location show it.
func (w recurrence) holds(at time.Time) bool {
	minute := at.Hour()*60 + at.Minute()
	if w.weekly {
		minute += (int(at.Weekday()) + 6) % 7 * minutesOfDay
	}
	if w.begin < w.end {
		return w.begin <= minute && minute < w.end
	}
	return minute >= w.begin || minute < w.end
}

// weekdays are the days of the week as they are written, from Monday.
var weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

// parseClock reads "14:00" as a minute of the day, and "Fri 14:00" as one of the
// week.
func parseClock(text string) (minute int, weekly bool, err error) {
	wrong := fmt.Errorf("%q is no time of a window: write 14:00, or Fri 14:00", text)
	clock := text
	if day, rest, found := strings.Cut(text, " "); found {
		i := slices.Index(weekdays, strings.ToLower(day))
		if i < 0 {
			return 0, false, wrong
		}
		minute, weekly, clock = i*minutesOfDay, true, rest
	}
	hours, minutes, found := strings.Cut(clock, ":")
	h, errHours := strconv.ParseUint(hours, 10, 8)
	m, errMinutes := strconv.ParseUint(minutes, 10, 8)
	if !found || errHours != nil || errMinutes != nil || len(minutes) != 2 || len(hours) > 2 || h > 23 || m > 59 {
		return 0, false, wrong
	}
	return minute + int(h)*60 + int(m), weekly, nil
}

// parseZone reads the name of a time zone, as Europe/Vienna or UTC. The machine's
// own is none: it is another on each.
func parseZone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is no time zone: write one of the IANA database, as Europe/Vienna", name)
	}
	return zone, nil
}

// within is t.within(from, to) and t.within(from, to, zone).
func within(args ...ref.Val) ref.Val {
	at, isTime := args[0].(types.Timestamp)
	texts := textsOf(args[1:])
	if !isTime || len(texts) < len(args)-1 {
		return types.MaybeNoSuchOverloadErr(args[0])
	}
	window, err := newRecurrence(texts[0], texts[1])
	if err != nil {
		return undecided(noID, "%v", err)
	}
	zone := time.UTC
	if len(texts) > 2 {
		if zone, err = parseZone(texts[2]); err != nil {
			return undecided(noID, "%v", err)
		}
	}
	return types.Bool(window.holds(at.In(zone)))
}

// checkWithin finds a mistake in the literal arguments of within.
func checkWithin(args []*string) (int, error) {
	for i := 1; i <= 2; i++ {
		if args[i] == nil {
			continue
		}
		if _, _, err := parseClock(*args[i]); err != nil {
			return i, err
		}
	}
	if args[1] != nil && args[2] != nil {
		if _, err := newRecurrence(*args[1], *args[2]); err != nil {
			return 2, err
		}
	}
	if len(args) > 3 && args[3] != nil {
		if _, err := parseZone(*args[3]); err != nil {
			return 3, err
		}
	}
	return 0, nil
}
