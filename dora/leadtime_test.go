package dora_test

import (
	"errors"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/keptn/gitops/dora"
)

func TestLeadTimeRunsFromAuthoringToTheEndOfTheDelivery(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cases := map[string]struct {
		reason             string
		authored, finished time.Time
		want               time.Duration
		err                error
	}{
		"AnHour": {
			"The plain case.",
			noon, noon.Add(time.Hour), time.Hour, nil,
		},
		"TimeZones": {
			"An author's time zone changes how the time is written, not how long it took.",
			noon.In(time.FixedZone("", 9*60*60)), noon.Add(time.Minute), time.Minute, nil,
		},
		"SameInstant": {
			"Git keeps seconds: a delivery within the second took no time, and is not wrong.",
			noon, noon, 0, nil,
		},
		"Negative": {
			"It must be counted as invalid, never as a fast delivery.",
			noon, noon.Add(-time.Nanosecond), 0, dora.ErrNegative,
		},
		"AuthoredUnknown": {
			"A missing time must not become a lead time of two thousand years.",
			time.Time{}, noon, 0, dora.ErrNoTime,
		},
		"FinishedUnknown": {
			"A delivery that has not finished has no lead time.",
			noon, time.Time{}, 0, dora.ErrNoTime,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := dora.LeadTime(tc.authored, tc.finished)
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("%s\nLeadTime(%s, %s) = %v, %v; want %v, %v", tc.reason, tc.authored, tc.finished, got, err, tc.want, tc.err)
			}
		})
	}
}

func TestANegativeLeadTimeNamesBothTimes(t *testing.T) {
	authored := time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("", 60*60))
	_, err := dora.LeadTime(authored, authored.Add(-90*time.Second))
	for _, want := range []string{"2026-03-01T12:00:00Z", "2026-03-01T11:58:30Z", "clocks"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not hold %q", err, want)
		}
	}
}

func TestALeadTimeLeadsFromOneTimeToTheOther(t *testing.T) {
	leads := func(authored, finished uint32) bool {
		from, to := time.Unix(int64(authored), 0), time.Unix(int64(finished), 0)
		d, err := dora.LeadTime(from, to)
		if authored > finished {
			return d == 0 && errors.Is(err, dora.ErrNegative)
		}
		return err == nil && d >= 0 && from.Add(d).Equal(to)
	}
	if err := quick.Check(leads, nil); err != nil {
		t.Error(err)
	}
}

func TestLeadTimesOfConsecutiveSpansAddUp(t *testing.T) {
	adds := func(start, first, second uint32) bool {
		a := time.Unix(int64(start), 0)
		b := a.Add(time.Duration(first) * time.Second)
		c := b.Add(time.Duration(second) * time.Second)
		ab, errAB := dora.LeadTime(a, b)
		bc, errBC := dora.LeadTime(b, c)
		ac, errAC := dora.LeadTime(a, c)
		return errors.Join(errAB, errBC, errAC) == nil && ab+bc == ac
	}
	if err := quick.Check(adds, nil); err != nil {
		t.Error(err)
	}
}
