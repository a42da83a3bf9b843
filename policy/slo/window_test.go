package slo_test

import (
	"testing"
	"testing/quick"
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/slo"
)

func TestAPeriodIsRead(t *testing.T) {
	const day = 24 * time.Hour
	cases := map[string]struct {
		reason string
		period v1alpha1.Period
		want   time.Duration
		wrong  bool
	}{
		"Minutes":   {"The commonest short window.", "5m", 5 * time.Minute, false},
		"Days":      {"A day has 24 hours.", "30d", 30 * day, false},
		"Weeks":     {"A week has 7 days.", "4w", 28 * day, false},
		"All":       {"All units, in their order.", "1w2d3h4m5s", 9*day + 3*time.Hour + 4*time.Minute + 5*time.Second, false},
		"Hours90m":  {"A number may exceed the next unit.", "90m", 90 * time.Minute, false},
		"Zeros":     {"A part may be nothing.", "1h0m", time.Hour, false},
		"Order":     {"Another order is a slip.", "5m1h", 0, true},
		"Twice":     {"So is a unit twice.", "5m5m", 0, true},
		"NoUnit":    {"A bare number has no unit.", "30", 0, true},
		"NoNumber":  {"A bare unit has no number.", "d", 0, true},
		"Empty":     {"No text is no period.", "", 0, true},
		"Zero":      {"Nothing happens in no time.", "0s", 0, true},
		"Negative":  {"A period has no sign.", "-5m", 0, true},
		"Fraction":  {"There are no fractions.", "1.5h", 0, true},
		"Millis":    {"Milliseconds are no unit here.", "100ms", 0, true},
		"Space":     {"No blanks.", "1h 5m", 0, true},
		"TooLong":   {"More than a Duration holds.", "1000000w", 0, true},
		"TooLong2":  {"Parts that fit alone, and not together.", "15250w99999d", 0, true},
		"FarTooBig": {"More than an int64 holds.", "99999999999999999999s", 0, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := slo.ParsePeriod(tc.period)
			if got != tc.want || err != nil != tc.wrong {
				t.Errorf("%s: ParsePeriod(%q) = %v, %v; want %v, an error: %v", tc.reason, tc.period, got, err, tc.want, tc.wrong)
			}
		})
	}
}

func TestANotationIsReadBack(t *testing.T) {
	if err := quick.Check(func(seconds uint32) bool {
		want := time.Duration(seconds)*time.Second + time.Second
		got, err := slo.ParsePeriod(v1alpha1.Period(slo.Notation(want)))
		return err == nil && got == want
	}, nil); err != nil {
		t.Error(err)
	}
	for d, want := range map[time.Duration]string{
		30 * 24 * time.Hour:                 "30d",
		12*24*time.Hour + 3*time.Hour:       "12d3h",
		5 * time.Minute:                     "5m",
		90*time.Second + time.Millisecond:   "1m30s",
		0:                                   "1s",
		-time.Minute:                        "1s",
		365*24*time.Hour + 7*24*time.Second: "365d2m48s",
	} {
		if got := slo.Notation(d); got != want {
			t.Errorf("Notation(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestBoundsOfAWindow(t *testing.T) {
	cases := map[string]struct {
		reason        string
		window        v1alpha1.SLOWindow
		now, from, to string
		hours         float64
		wrong         bool
	}{
		"Rolling": {
			reason: "A rolling window ends now.",
			window: v1alpha1.SLOWindow{Rolling: "30d"},
			now:    "2026-03-31T10:00:00Z", from: "2026-03-01T10:00:00Z", to: "2026-03-31T10:00:00Z", hours: 720,
		},
		"Day": {
			reason: "UTC is the default.",
			window: v1alpha1.SLOWindow{Calendar: "day"},
			now:    "2026-03-31T01:00:00+02:00", from: "2026-03-30T00:00:00Z", to: "2026-03-31T00:00:00Z", hours: 24,
		},
		"SpringForward": {
			reason: "A day on which the clocks go forward has 23 hours.",
			window: v1alpha1.SLOWindow{Calendar: "day", TimeZone: "Europe/Vienna"},
			now:    "2026-03-29T12:00:00Z", from: "2026-03-29T00:00:00+01:00", to: "2026-03-30T00:00:00+02:00", hours: 23,
		},
		"FallBack": {
			reason: "A day on which they go back has 25.",
			window: v1alpha1.SLOWindow{Calendar: "day", TimeZone: "Europe/Vienna"},
			now:    "2026-10-25T12:00:00Z", from: "2026-10-25T00:00:00+02:00", to: "2026-10-26T00:00:00+01:00", hours: 25,
		},
		"MonthWithSpring": {
			reason: "March in Vienna lacks an hour.",
			window: v1alpha1.SLOWindow{Calendar: "month", TimeZone: "Europe/Vienna"},
			now:    "2026-03-30T12:00:00Z", from: "2026-03-01T00:00:00+01:00", to: "2026-04-01T00:00:00+02:00", hours: 31*24 - 1,
		},
		"NoMidnight": {
			reason: "In São Paulo the clocks went forward at midnight: that day began at 1.",
			window: v1alpha1.SLOWindow{Calendar: "day", TimeZone: "America/Sao_Paulo"},
			now:    "2018-11-04T12:00:00Z", from: "2018-11-04T01:00:00-02:00", to: "2018-11-05T00:00:00-02:00", hours: 23,
		},
		"TheDayBeforeNoMidnight": {
			reason: "And the day before ended with its 24th hour.",
			window: v1alpha1.SLOWindow{Calendar: "day", TimeZone: "America/Sao_Paulo"},
			now:    "2018-11-03T12:00:00Z", from: "2018-11-03T00:00:00-03:00", to: "2018-11-04T01:00:00-02:00", hours: 24,
		},
		"TwoMidnights": {
			reason: "In Havana they go back from 1 to 0: the day begins at the first midnight.",
			window: v1alpha1.SLOWindow{Calendar: "day", TimeZone: "America/Havana"},
			now:    "2026-11-01T12:00:00Z", from: "2026-11-01T00:00:00-04:00", to: "2026-11-02T00:00:00-05:00", hours: 25,
		},
		"TwoMidnightsInTheEast": {
			reason: "As in Amman, until 2021.",
			window: v1alpha1.SLOWindow{Calendar: "day", TimeZone: "Asia/Amman"},
			now:    "2021-10-29T12:00:00Z", from: "2021-10-29T00:00:00+03:00", to: "2021-10-30T00:00:00+02:00", hours: 25,
		},
		"LongAfterAChange": {
			reason: "A change of the clocks on the same day of another month changes nothing.",
			window: v1alpha1.SLOWindow{Calendar: "day", TimeZone: "Europe/Vienna"},
			now:    "2026-05-29T12:00:00Z", from: "2026-05-29T00:00:00+02:00", to: "2026-05-30T00:00:00+02:00", hours: 24,
		},
		"Week": {
			reason: "Sunday is the last day of the week that began on Monday.",
			window: v1alpha1.SLOWindow{Calendar: "week"},
			now:    "2026-03-01T23:59:59Z", from: "2026-02-23T00:00:00Z", to: "2026-03-02T00:00:00Z", hours: 168,
		},
		"Monday": {
			reason: "And Monday the first of the next.",
			window: v1alpha1.SLOWindow{Calendar: "week"},
			now:    "2026-03-02T00:00:00Z", from: "2026-03-02T00:00:00Z", to: "2026-03-09T00:00:00Z", hours: 168,
		},
		"December": {
			reason: "The month after December is in the next year.",
			window: v1alpha1.SLOWindow{Calendar: "month"},
			now:    "2026-12-31T23:00:00Z", from: "2026-12-01T00:00:00Z", to: "2027-01-01T00:00:00Z", hours: 744,
		},
		"Quarter": {
			reason: "The fourth quarter begins in October.",
			window: v1alpha1.SLOWindow{Calendar: "quarter"},
			now:    "2026-11-05T00:00:00Z", from: "2026-10-01T00:00:00Z", to: "2027-01-01T00:00:00Z", hours: 92 * 24,
		},
		"FirstQuarter": {
			reason: "March belongs to the first.",
			window: v1alpha1.SLOWindow{Calendar: "quarter"},
			now:    "2026-03-31T00:00:00Z", from: "2026-01-01T00:00:00Z", to: "2026-04-01T00:00:00Z", hours: 90 * 24,
		},
		"LeapYear": {
			reason: "2028 has a day more.",
			window: v1alpha1.SLOWindow{Calendar: "year"},
			now:    "2028-06-01T00:00:00Z", from: "2028-01-01T00:00:00Z", to: "2029-01-01T00:00:00Z", hours: 366 * 24,
		},
		"UnknownZone": {
			reason: "A zone that does not exist is the author's error.",
			window: v1alpha1.SLOWindow{Calendar: "day", TimeZone: "Europe/Wien"}, now: "2026-01-01T00:00:00Z", wrong: true,
		},
		"Local": {
			reason: "The machine's own zone would give each machine another verdict.",
			window: v1alpha1.SLOWindow{Calendar: "day", TimeZone: "Local"}, now: "2026-01-01T00:00:00Z", wrong: true,
		},
		"UnknownCalendar": {
			reason: "There are no fortnights.",
			window: v1alpha1.SLOWindow{Calendar: "fortnight"}, now: "2026-01-01T00:00:00Z", wrong: true,
		},
		"Neither": {
			reason: "A window that is neither rolling nor a calendar's.",
			window: v1alpha1.SLOWindow{}, now: "2026-01-01T00:00:00Z", wrong: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			from, to, err := slo.Bounds(tc.window, instant(t, tc.now))
			if err != nil != tc.wrong {
				t.Fatalf("%s: error %v, want one: %v", tc.reason, err, tc.wrong)
			}
			if tc.wrong {
				return
			}
			if !from.Equal(instant(t, tc.from)) || !to.Equal(instant(t, tc.to)) || to.Sub(from).Hours() != tc.hours {
				t.Errorf("%s: from %v to %v, %v; want %s to %s, %vh", tc.reason, from, to, to.Sub(from), tc.from, tc.to, tc.hours)
			}
		})
	}
}

// TestNowIsInItsCalendarWindow holds for every instant, zone and calendar, and the
// next window begins where one ends.
func TestNowIsInItsCalendarWindow(t *testing.T) {
	zones := []string{"", "Europe/Vienna", "America/Sao_Paulo", "America/Havana", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Amman"}
	calendars := []string{"day", "week", "month", "quarter", "year"}
	if err := quick.Check(func(seconds uint32, zone, calendar uint8) bool {
		now := time.Unix(int64(seconds)/2, 0)
		window := v1alpha1.SLOWindow{Calendar: calendars[int(calendar)%len(calendars)], TimeZone: zones[int(zone)%len(zones)]}
		from, to, err := slo.Bounds(window, now)
		if err != nil || now.Before(from) || !now.Before(to) {
			return false
		}
		next, _, err := slo.Bounds(window, to)
		return err == nil && next.Equal(to)
	}, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
