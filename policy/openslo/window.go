package openslo

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/slo"
)

// calendars are the calendar's windows, by OpenSLO's duration-shorthand.
var calendars = map[string]string{"1d": "day", "1w": "week", "1M": "month", "1Q": "quarter", "1Y": "year"}

// window is the SLO's time window; nil with a problem if it cannot be used.
func (c *converter) window() *v1alpha1.SLOWindow {
	windows := c.of.windows
	if len(windows.value) != 1 {
		at := windows.at
		if windows.given {
			at = at.key()
		}
		c.problems.add(at, "timeWindow has to hold exactly one window, as {duration: 30d, isRolling: true}")
		return nil
	}
	m := mappingAt(&c.problems, windows.at.item(0), windows.value[0], "duration", "isRolling", "calendar")
	duration, rolling := m.text("duration"), m.boolean("isRolling")
	calendar := m.mapping("calendar", "startTime", "timeZone")
	switch {
	case duration.value == "":
		c.problems.add(duration.at, "duration is required, as 30d, or 1M with a calendar")
		return nil
	case calendar.given && rolling.value:
		c.problems.add(rolling.at, "a rolling window has no calendar: remove one of the two")
		return nil
	case calendar.given:
		return c.calendarWindow(duration, calendar)
	case rolling.given && !rolling.value:
		c.problems.add(rolling.at, "a window that is not rolling needs a calendar: add calendar.startTime and timeZone, or write isRolling: true")
		return nil
	}
	period, reason := shorthand(duration.value)
	if reason != "" {
		c.problems.add(duration.at, "%s", reason)
		return nil
	}
	return &v1alpha1.SLOWindow{Rolling: period}
}

// shorthand is OpenSLO's duration-shorthand as a fixed time, or why it is none.
func shorthand(text string) (period v1alpha1.Period, reason string) {
	const how = "write it in minutes, hours, days or weeks, as 5m, 12h, 30d or 4w"
	if len(text) > 1 && strings.Trim(text[:len(text)-1], "0123456789") == "" {
		switch text[len(text)-1] {
		case 'M', 'Q', 'Y':
			return "", fmt.Sprintf("%q has no fixed length: take days, as 30d, 90d or 365d, or a calendar", text)
		case 'm', 'h', 'd', 'w':
			if _, err := slo.ParsePeriod(v1alpha1.Period(text)); err != nil {
				return "", err.Error()
			}
			return v1alpha1.Period(text), ""
		}
	}
	return "", fmt.Sprintf("%q is no duration: %s", text, how)
}

// calendarWindow is a day, week, month, quarter or year of the calendar.
func (c *converter) calendarWindow(duration field[string], calendar mapping) *v1alpha1.SLOWindow {
	name, known := calendars[duration.value]
	if !known {
		c.problems.add(duration.at, "a calendar's window of %q is not supported: write 1d, 1w, 1M (a month; m are minutes), 1Q or 1Y", duration.value)
		return nil
	}
	start, zone := calendar.text("startTime"), calendar.text("timeZone")
	window := &v1alpha1.SLOWindow{Calendar: name, TimeZone: zone.value}
	begin := time.Unix(0, 0)
	if start.given {
		location, err := time.LoadLocation(zone.value)
		if err != nil {
			location = time.UTC // Bounds tells that it is unknown
		}
		if begin, err = time.ParseInLocation(time.DateTime, start.value, location); err != nil {
			c.problems.add(start.at, "%q is no time: write it as 2026-01-01 00:00:00", start.value)
			return nil
		}
	}
	from, _, err := slo.Bounds(*window, begin)
	switch {
	case err != nil:
		c.problems.add(zone.at, "%v", err)
		return nil
	case start.given && !from.Equal(begin):
		c.problems.add(start.at, "windows that begin at %q are not supported: they begin with the calendar's %s, as at %q", start.value, name, from.Format(time.DateTime))
		return nil
	}
	return window
}

// slices are the slices of time of an objective; nil where events are counted.
func (c *converter) slices(o *objectiveText) *v1alpha1.Timeslices {
	if c.of.method.value != methodTimeslices {
		if o.sliceTarget.given || o.sliceWindow != nil {
			c.problems.warn(o.at, "timeSliceTarget and timeSliceWindow mean nothing with budgetingMethod %s: remove them", c.of.method.value)
		}
		return nil
	}
	t := &v1alpha1.Timeslices{Duration: c.sliceWindow(o)}
	switch target := o.sliceTarget; {
	case !target.given:
		c.problems.add(target.at, "timeSliceTarget is required with Timeslices: the fraction of a slice that has to be good for the slice to be, as 0.95")
	case !(target.value > 0 && target.value <= 1):
		c.problems.add(target.at, "timeSliceTarget %v is no fraction above 0 and up to 1, as 0.95", target.value)
	default:
		percent := percentOf(target.value)
		t.Target = &percent
	}
	return t
}

// sliceWindow is the length of a slice: a number is in minutes.
func (c *converter) sliceWindow(o *objectiveText) v1alpha1.Period {
	var minutes float64
	switch given := o.sliceWindow.(type) {
	case string:
		period, reason := shorthand(given)
		if reason != "" {
			c.problems.add(o.sliceWindowAt, "%s", reason)
		}
		return period
	case int64:
		minutes = float64(given)
	case float64:
		minutes = given
	default:
		c.problems.add(o.sliceWindowAt, "timeSliceWindow is required with Timeslices, as 1m or, in minutes, 1")
		return ""
	}
	seconds := minutes * 60
	switch {
	case seconds < 1 || seconds > 366*24*3600 || seconds != math.Trunc(seconds):
		c.problems.add(o.sliceWindowAt, "%v minutes are no slice of time: take whole seconds, up to a year", minutes)
		return ""
	case minutes == math.Trunc(minutes):
		return v1alpha1.Period(fmt.Sprintf("%.0fm", minutes))
	default:
		return v1alpha1.Period(fmt.Sprintf("%.0fs", seconds))
	}
}
