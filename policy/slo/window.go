package slo

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
)

// units of a Period, in the order in which it has them.
var units = []struct {
	letter byte
	length time.Duration
}{
	{'w', 7 * 24 * time.Hour},
	{'d', 24 * time.Hour},
	{'h', time.Hour},
	{'m', time.Minute},
	{'s', time.Second},
}

// ParsePeriod reads a period, as 90m, 1h30m, 7d or 4w: weeks, days of 24 hours, hours,
// minutes and seconds, in this order, each at most once, of which one at least is
// above 0.
func ParsePeriod(p v1alpha1.Period) (time.Duration, error) {
	total, rest := time.Duration(0), string(p)
	for _, unit := range units {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 || digits == len(rest) || rest[digits] != unit.letter {
			continue
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil || n > int64((math.MaxInt64-total)/unit.length) {
			return 0, fmt.Errorf("period %q is too long: it can be 292 years at most", p)
		}
		total += time.Duration(n) * unit.length
		rest = rest[digits+1:]
	}
	switch {
	case rest != "":
		return 0, fmt.Errorf("%q is no period: write it as 90m, 1h30m, 7d or 4w", p)
	case total == 0:
		return 0, fmt.Errorf("period %q is empty: write one as 90m, 1h30m, 7d or 4w", p)
	default:
		return total, nil
	}
}

// Notation is a duration as Prometheus writes it
// (https://prometheus.io/docs/prometheus/latest/querying/basics/#float-literals-and-time-durations),
// in days, hours, minutes and seconds, as 30d, 12d3h or 5m. What is below a second is
// left out; less than one is 1s.
func Notation(d time.Duration) string {
	d = max(d.Truncate(time.Second), time.Second)
	var text strings.Builder
	for _, unit := range units[1:] {
		if n := d / unit.length; n > 0 {
			fmt.Fprintf(&text, "%d%c", n, unit.letter)
			d %= unit.length
		}
	}
	return text.String()
}

// Bounds are the begin and the end of the window that now is in. A rolling one ends
// now. A calendar's day, week, month, quarter or year ends where the next one begins,
// in its time zone: a day on which the clocks change has 23 or 25 hours. A week begins
// on Monday.
//
// It is an error if the window is neither, or its time zone is unknown.
func Bounds(window v1alpha1.SLOWindow, now time.Time) (from, to time.Time, err error) {
	if window.Calendar == "" {
		length, err := ParsePeriod(window.Rolling)
		if err != nil {
			return time.Time{}, time.Time{}, fmt.Errorf("rolling: %w", err)
		}
		return now.Add(-length), now, nil
	}
	zone, err := location(window.TimeZone)
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	year, month, day := now.In(zone).Date()
	begin := func(y int, m time.Month, d int) time.Time { return beginOfDay(y, m, d, zone) }
	switch window.Calendar {
	case "day":
		return begin(year, month, day), begin(year, month, day+1), nil
	case "week":
		monday := day - (int(now.In(zone).Weekday())+6)%7
		return begin(year, month, monday), begin(year, month, monday+7), nil
	case "month":
		return begin(year, month, 1), begin(year, month+1, 1), nil
	case "quarter":
		first := month - (month-1)%3
		return begin(year, first, 1), begin(year, first+3, 1), nil
	case "year":
		return begin(year, time.January, 1), begin(year+1, time.January, 1), nil
	default:
		return time.Time{}, time.Time{}, fmt.Errorf("calendar has no %q: it has day, week, month, quarter and year", window.Calendar)
	}
}

// location is a time zone of the IANA database.
func location(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("time zone %q is another on each machine: name one, as Europe/Vienna", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("time zone %q is unknown: name one of the IANA database, as Europe/Vienna", name)
	}
	return zone, nil
}

// beginOfDay is the first instant of a day. That is not always its only midnight: in
// some places the clocks change at that hour, which then is left out, or comes twice.
func beginOfDay(year int, month time.Month, day int, zone *time.Location) time.Time {
	midnight := time.Date(year, month, day, 0, 0, 0, 0, zone)
	began, ends := midnight.ZoneBounds()
	if noon := time.Date(year, month, day, 12, 0, 0, 0, zone); midnight.Day() != noon.Day() {
		return ends // there is no midnight: time.Date took the hour before
	}
	_, offset := midnight.Zone()
	_, before := began.Add(-1).Zone()
	if first := midnight.Add(time.Duration(offset-before) * time.Second); first.Before(began) {
		return first
	}
	return midnight
}
