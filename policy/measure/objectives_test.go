package measure_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/measure"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/slo"
)

const day = 24 * time.Hour

var roughly = cmpopts.EquateApprox(1e-9, 1e-12)

// nightOutage breaks half of all events in one night, when there are few, and one of a
// thousand at all other times.
func nightOutage(at time.Time) float64 {
	if at.Sub(epoch) >= 20*day && at.Sub(epoch) < 20*day+6*time.Hour {
		return 0.5
	}
	return 0.001
}

// ratio is an SLO of 99% over 14 days.
func ratio(good, bad, total string, counter bool) v1alpha1.SLO {
	return v1alpha1.SLO{
		Name: "availability", Objective: 99, Window: &v1alpha1.SLOWindow{Rolling: "14d"},
		Ratio: &v1alpha1.RatioIndicator{
			Provider: v1alpha1.ProviderReference{Name: "prometheus"},
			Good:     good, Bad: bad, Total: total, Counter: counter,
		},
	}
}

func subject(now time.Time, slos ...v1alpha1.SLO) measure.Subject {
	return measure.Subject{
		Spec:        v1alpha1.SLOPolicySpec{SLOs: slos},
		BurnWindows: map[string][]time.Duration{"availability": {time.Hour, day}},
		Now:         now,
	}
}

func state(t *testing.T, s measure.Subject, ask measure.Ask) slo.State {
	t.Helper()
	return measure.All(t.Context(), s, measure.Sources{Ask: ask}).SLOs["availability"]
}

// TestEventsAreCountedWhateverTheQueryYields: numbers in a window, counters with
// restarts, and numbers since the sample before give the same state, and that is the
// one of the events themselves, though traffic is a hundred times less by night. The
// mean of the days' error ratios would be another.
func TestEventsAreCountedWhateverTheQueryYields(t *testing.T) {
	s := &server{traffic: newTraffic(30, nightOutage)}
	now := epoch.Add(21 * day)
	count := func(window time.Duration) slo.Count {
		return slo.BadOf(between(s.traffic.bad, now.Add(-window), now), between(s.traffic.total, now.Add(-window), now))
	}
	want := slo.Of(0.99, 14*day, count(14*day), map[time.Duration]slo.Count{time.Hour: count(time.Hour), day: count(day)})
	if daily := meanOfDays(s.traffic, now, 14); math.Abs(daily-want.ErrorRatio) < want.ErrorRatio/2 {
		t.Fatalf("the traffic is too even to tell: %v and %v", daily, want.ErrorRatio)
	}
	cases := map[string]struct {
		reason string
		slo    v1alpha1.SLO
	}{
		"Window":      {"Queries that read the window.", ratio("", "bad[{{.window}}]", "total[{{.window}}]", false)},
		"Good":        {"Good events in place of bad ones.", ratio("good[{{.window}}]", "", "total[{{.window}}]", false)},
		"Counters":    {"Counters, of which some restart.", ratio("", "bad_counter", "total_counter", true)},
		"SinceLast":   {"Events since the sample before.", ratio("", "bad", "total", false)},
		"BothOfThem":  {"A query that reads the window beside one that does not.", ratio("good[{{.window}}]", "", "total_counter", true)},
		"WindowFirst": {"counter says nothing of a query that reads the window.", ratio("", "bad[{{.window}}]", "total[{{.window}}]", true)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, state(t, subject(now, tc.slo), s.ask), roughly); diff != "" {
				t.Errorf("%s: %s", tc.reason, diff)
			}
		})
	}
}

// meanOfDays is the mean of the error ratios of so many days' hours.
func meanOfDays(tr traffic, now time.Time, days int) float64 {
	sum, n := 0.0, 0
	for from := now.Add(-time.Duration(days) * day); from.Before(now); from = from.Add(time.Hour) {
		sum += between(tr.bad, from, from.Add(time.Hour)) / between(tr.total, from, from.Add(time.Hour))
		n++
	}
	return sum / float64(n)
}

func TestTheQuestionsOfAnObjective(t *testing.T) {
	s := &server{traffic: newTraffic(30, nightOutage)}
	now := epoch.Add(21*day + 3*time.Second + 400*time.Millisecond)
	measured := measure.All(t.Context(), subject(now, ratio("", "bad[{{.window}}]", "total_counter", true)), measure.Sources{Ask: s.ask})
	at := now.Truncate(time.Second)
	var got []string
	for _, r := range measured.Records {
		if !r.At.Equal(at) || r.For != measure.SLO || r.Name != "availability" || r.Provider != "prometheus" || r.Value == "" || r.Series != 2 {
			t.Errorf("record %+v", r)
		}
		got = append(got, fmt.Sprintf("%s %s %s/%s", r.Part, r.Query, r.At.Sub(r.From), r.Step))
	}
	want := []string{
		"bad bad[14d] 0s/0s", "total total_counter 336h0m0s/14m0s",
		"bad bad[1h] 0s/0s", "total total_counter 1h0m0s/15s",
		"bad bad[1d] 0s/0s", "total total_counter 24h0m0s/1m0s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	again := measure.All(t.Context(), subject(now, ratio("", "bad[{{.window}}]", "total_counter", true)), measure.Sources{Ask: s.ask})
	if diff := cmp.Diff(measured, again, exported); diff != "" {
		t.Errorf("the same questions have another order or answer: %s", diff)
	}
	whole := subject(now, ratio("", "bad[{{.window}}]", "total_counter", true))
	whole.BurnWindows["availability"] = []time.Duration{14 * day}
	if n := len(measure.All(t.Context(), whole, measure.Sources{Ask: s.ask}).Records); n != 2 {
		t.Errorf("the burn rate over the SLO's own window takes %d questions more", n-2)
	}
	for _, window := range []time.Duration{time.Minute, 7 * time.Hour, 30 * day, 91 * day, 365 * day} {
		if step := measure.SampleStep(window); window/step > 1500 || step%time.Second != 0 {
			t.Errorf("a window of %v has a sample each %v", window, step)
		}
	}
}

func TestWhatCannotBeCountedIsMissing(t *testing.T) {
	now := epoch.Add(21 * day)
	query := ratio("", "bad[{{.window}}]", "total[{{.window}}]", false)
	noWindow := query
	noWindow.Window = nil
	cases := map[string]struct {
		reason          string
		slo             v1alpha1.SLO
		failing         map[string]error
		missing         string
		missingInOneDay bool
	}{
		"Down":        {"The provider is down.", query, map[string]error{"prometheus": metric.ErrUnreachable}, "total: unreachable", true},
		"NoBad":       {"No event was ever bad: the author has to say that this is 0.", query, map[string]error{"bad[14d]": metric.ErrNoData}, `or vector(0)`, false},
		"NoTotal":     {"Nothing was counted.", query, map[string]error{"total[14d]": metric.ErrNoData}, "total: no data", false},
		"Syntax":      {"The template is wrong.", ratio("", "bad[{{.window}", "total", false), nil, "bad: the query is wrong", true},
		"UnknownName": {"It reads what there is not.", ratio("", "bad[{{.windows}}]", "total", false), nil, "bad: the query is wrong", true},
		"Unequal":     {"More good events than there are.", ratio("total[{{.window}}]", "", "bad[{{.window}}]", false), nil, "count the same events", true},
		"NoWindow":    {"An SLO that is not checked by the API.", noWindow, nil, "no window", true},
		"OpenSLO":     {"One that was not resolved.", v1alpha1.SLO{Name: "availability", OpenSLO: "web"}, nil, `"web" was not resolved`, true},
		"Objective":   {"One that leaves no budget.", v1alpha1.SLO{Name: "availability", Objective: 100}, nil, "leaves no error budget", true},
		"Zone": {
			"One of an unknown place.",
			v1alpha1.SLO{Name: "availability", Objective: 99, Window: &v1alpha1.SLOWindow{Calendar: "day", TimeZone: "Utopia"}}, nil, "time zone", true,
		},
		"Part": {
			"A composite of what is not there.",
			v1alpha1.SLO{Name: "availability", Objective: 99, Window: &v1alpha1.SLOWindow{Rolling: "1d"}, Composite: []v1alpha1.SLOPart{{SLO: "other"}}},
			nil, `no slo "other" above`, true,
		},
		"Nothing": {"One without an indicator.", v1alpha1.SLO{Name: "availability", Objective: 99, Window: &v1alpha1.SLOWindow{Rolling: "1d"}}, nil, "neither", true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := &server{traffic: newTraffic(30, nightOutage), failing: tc.failing}
			got := state(t, subject(now, tc.slo), s.ask)
			if !strings.Contains(got.Missing, tc.missing) {
				t.Errorf("%s: missing %q, want %q", tc.reason, got.Missing, tc.missing)
			}
			if _, missing := got.MissingBurn[day]; missing != tc.missingInOneDay {
				t.Errorf("%s: burn %v, missing %v", tc.reason, got.Burn, got.MissingBurn)
			}
		})
	}
}

func TestACalendarsWindowReachesToItsBegin(t *testing.T) {
	tr := newTraffic(120, nightOutage)
	vienna := v1alpha1.SLOWindow{Calendar: "month", TimeZone: "Europe/Vienna"}
	events := ratio("", "bad[{{.window}}]", "total[{{.window}}]", false)
	events.Window = &vienna
	slices := events
	slices.Timeslices = &v1alpha1.Timeslices{}
	// On March 29 the clocks went forward: the month began 13 days, 11 hours before.
	begin := time.Date(2026, time.February, 28, 23, 0, 0, 0, time.UTC)
	now := time.Date(2026, time.March, 30, 10, 30, 30, 0, time.UTC)
	s := &server{traffic: tr}

	got := state(t, subject(now, events), s.ask)
	if want := between(tr.total, begin, now); got.Total != want || got.Period != now.Sub(begin) {
		t.Errorf("events: total %v over %v, want %v over %v", got.Total, got.Period, want, now.Sub(begin))
	}
	if !askedFor(s, "bad[29d11h30m30s]") {
		t.Errorf("it was asked for %v", s.asked)
	}

	got = state(t, subject(now, slices), s.ask)
	if minutes := float64((31*24 - 1) * 60); got.Total != minutes || got.Period != (31*24-1)*time.Hour {
		t.Errorf("slices: total %v over %v, want %v", got.Total, got.Period, minutes)
	}
}

func askedFor(s *server, expr string) bool {
	return slices.ContainsFunc(s.asked, func(q metric.Query) bool { return q.Expr == expr })
}

// TestABurnRateReachesBeyondACalendarsBegin where the window has hardly begun.
func TestABurnRateReachesBeyondACalendarsBegin(t *testing.T) {
	s := &server{traffic: newTraffic(30, nightOutage)}
	now := epoch.Add(20*day + 30*time.Minute)
	for _, timeslices := range []*v1alpha1.Timeslices{nil, {Duration: "1m"}} {
		objective := ratio("", "bad", "total", false)
		objective.Window, objective.Timeslices = &v1alpha1.SLOWindow{Calendar: "day"}, timeslices
		got := state(t, subject(now, objective), s.ask)
		// Of the last hour one half was bad: half of the events in it, and all of its
		// minutes.
		want := map[bool]float64{true: 25, false: 50}[timeslices == nil]
		if got.Missing != "" || math.Abs(got.Burn[time.Hour]-want) > 0.1 {
			t.Errorf("burn %v, want %v in the last hour; missing %q", got.Burn, want, got.Missing)
		}
	}
}

// TestACompositeMeasuresItsPartsOverItsOwnWindows though no expression reads theirs.
func TestACompositeMeasuresItsPartsOverItsOwnWindows(t *testing.T) {
	part := ratio("", "bad[{{.window}}]", "total[{{.window}}]", false)
	other := part
	part.Name, other.Name = "first", "second"
	inner := v1alpha1.SLO{
		Name: "inner", Objective: 99, Window: &v1alpha1.SLOWindow{Rolling: "14d"},
		Composite: []v1alpha1.SLOPart{{SLO: "first"}},
	}
	three := 3.0
	composite := inner
	composite.Name = "availability"
	composite.Composite = []v1alpha1.SLOPart{{SLO: "inner", Weight: &three}, {SLO: "second"}}
	s := &server{traffic: newTraffic(30, nightOutage)}
	now := epoch.Add(21 * day)
	got := state(t, subject(now, part, other, inner, composite), s.ask)
	alone := state(t, subject(now, ratio("", "bad[{{.window}}]", "total[{{.window}}]", false)), s.ask)
	want := alone
	want.Good, want.Total = 0, 0
	if diff := cmp.Diff(want, got, roughly); diff != "" {
		t.Error(diff)
	}
	if got.Burn[day] == 0 {
		t.Errorf("burn %v", got.Burn)
	}
	s.failing = map[string]error{"bad[1h]": errors.New("boom")}
	if got = state(t, subject(now, part, other, inner, composite), s.ask); got.Missing != "" || !strings.Contains(got.MissingBurn[time.Hour], "boom") {
		t.Errorf("with one window missing: %+v", got)
	}
}
