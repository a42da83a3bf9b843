package measure_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/measure"
	"github.com/keptn/gitops/policy/metric"
)

// deployed is the subject of a rollout that began so long before now.
func deployed(now time.Time, ago time.Duration, slos ...v1alpha1.SLO) measure.Subject {
	s := subject(now, slos...)
	s.RolloutStarted = now.Add(-ago)
	return s
}

// shown is what was burned as a number; NaN where it is not known.
func shown(burned *float64) float64 {
	if burned == nil {
		return math.NaN()
	}
	return *burned
}

// TestWhatFailsSinceTheRolloutIsItsPartOfTheBudget, whatever the queries yield: of the
// night's outage of 6 hours the rollout had the last two, and then 18 hours of others.
func TestWhatFailsSinceTheRolloutIsItsPartOfTheBudget(t *testing.T) {
	tr := newTraffic(30, nightOutage)
	now := epoch.Add(21 * day)
	const ago = 20 * time.Hour
	want := between(tr.bad, now.Add(-ago), now) / (0.01 * between(tr.total, now.Add(-14*day), now))
	if all := between(tr.bad, now.Add(-14*day), now) / (0.01 * between(tr.total, now.Add(-14*day), now)); want < all/20 || want > all/2 {
		t.Fatalf("the traffic is too even to tell: %v of %v", want, all)
	}
	cases := map[string]struct {
		reason string
		slo    v1alpha1.SLO
	}{
		"Window":    {"Queries that read the window.", ratio("", "bad[{{.window}}]", "total[{{.window}}]", false)},
		"Good":      {"Good events in place of bad ones.", ratio("good[{{.window}}]", "", "total[{{.window}}]", false)},
		"Counters":  {"Counters.", ratio("", "bad_counter", "total_counter", true)},
		"SinceLast": {"Events since the sample before.", ratio("", "bad", "total", false)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := &server{traffic: tr}
			got := state(t, deployed(now, ago, tc.slo), s.ask)
			if got.Burned == nil || math.Abs(*got.Burned-want) > 1e-9 {
				t.Errorf("%s: burned %v (%s), want %v", tc.reason, shown(got.Burned), got.MissingBurned, want)
			}
			without := state(t, subject(now, tc.slo), s.ask)
			if without.Burned != nil || without.MissingBurned != "" || without.BudgetRemaining != got.BudgetRemaining {
				t.Errorf("%s: before the rollout %+v", tc.reason, without)
			}
		})
	}
}

func TestTheWindowSinceTheRolloutIsWithinTheSLOs(t *testing.T) {
	now := epoch.Add(21*day + 20*time.Minute)
	month := ratio("", "bad[{{.window}}]", "total[{{.window}}]", false)
	today := month
	today.Window = &v1alpha1.SLOWindow{Calendar: "day"}
	cases := map[string]struct {
		reason    string
		slo       v1alpha1.SLO
		ago       time.Duration
		asked     string // the window, and how many questions there are beside those without a rollout
		questions int
		missing   string
	}{
		"Since":    {"Exactly since it began.", month, 7*time.Minute + 5*time.Second, "bad[7m5s]", 2, ""},
		"Longer":   {"What the SLO does not count any more burns nothing: its own window is asked about already.", month, 15 * day, "bad[14d]", 0, ""},
		"Midnight": {"A calendar's budget is new since midnight.", today, 50 * time.Minute, "bad[20m]", 0, ""},
		"Burn":     {"A window of a burn rate is asked about already.", month, time.Hour, "bad[1h]", 0, ""},
		"Now":      {"There is no time to count in yet.", month, 0, "bad[14d]", 0, "the rollout began only now"},
		"Clocks":   {"Another machine's clock is ahead.", month, -time.Minute, "bad[14d]", 0, "the rollout began only now"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			with, without := &server{traffic: newTraffic(30, nightOutage)}, &server{traffic: newTraffic(30, nightOutage)}
			got := state(t, deployed(now, tc.ago, tc.slo), with.ask)
			state(t, subject(now, tc.slo), without.ask)
			if !askedFor(with, tc.asked) || len(with.asked)-len(without.asked) != tc.questions {
				t.Errorf("%s: it was asked for %v", tc.reason, with.asked)
			}
			if got.MissingBurned != tc.missing || (got.Burned != nil) != (tc.missing == "") || got.Missing != "" {
				t.Errorf("%s: %+v", tc.reason, got)
			}
			if got.Burned != nil && *got.Burned > 1-got.BudgetRemaining+1e-9 {
				t.Errorf("%s: burned %v, of %v that was used", tc.reason, *got.Burned, 1-got.BudgetRemaining)
			}
		})
	}
}

// TestAShortRolloutIsSampledUpToNow: of samples each 15 s the newest is that of now, and
// those before the rollout are not its own.
func TestAShortRolloutIsSampledUpToNow(t *testing.T) {
	now := epoch.Add(day)
	for ago, want := range map[time.Duration]string{40 * time.Second: "30s/15s", 7 * time.Second: "7s/7s"} {
		s := &server{traffic: newTraffic(30, nightOutage)}
		measured := measure.All(t.Context(), deployed(now, ago, ratio("", "bad", "total_counter", true)), measure.Sources{Ask: s.ask})
		for _, r := range measured.Records[len(measured.Records)-2:] {
			if got := r.At.Sub(r.From).String() + "/" + r.Step.String(); got != want || !r.At.Equal(now) {
				t.Errorf("%v after its begin %s is asked for over %s up to %v, want %s", ago, r.Part, got, r.At, want)
			}
		}
	}
}

func TestSlicesThatBeganSinceTheRolloutAreItsOwn(t *testing.T) {
	tr := newTraffic(30, nightOutage)
	now := epoch.Add(20*day + 2*time.Hour + 30*time.Second)
	cases := map[string]struct {
		reason  string
		window  v1alpha1.SLOWindow
		ago     time.Duration
		burned  float64
		missing string
	}{
		// 1% of 20,160 minutes may be bad.
		"Minutes":  {"All of them were bad; the one in which it began is not its own.", v1alpha1.SLOWindow{Rolling: "14d"}, 10 * time.Minute, 9 / 201.6, ""},
		"Whole":    {"Nor is what was before the window.", v1alpha1.SLOWindow{Rolling: "1h"}, 10 * day, 60 / 0.6, ""},
		"Calendar": {"Of a day that has 1,440 of them.", v1alpha1.SLOWindow{Calendar: "day"}, 10*time.Minute + 30*time.Second, 10 / 14.4, ""},
		"Soon":     {"No minute is over yet.", v1alpha1.SLOWindow{Rolling: "14d"}, 50 * time.Second, 0, "no slice of time is complete yet"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			objective := ratio("", "bad[{{.window}}]", "total[{{.window}}]", false)
			objective.Window, objective.Timeslices = &tc.window, &v1alpha1.Timeslices{}
			s := &server{traffic: tr}
			got := state(t, deployed(now, tc.ago, objective), s.ask)
			if got.MissingBurned != tc.missing || (got.Burned != nil) != (tc.missing == "") || got.Burned != nil && math.Abs(*got.Burned-tc.burned) > 1e-9 {
				t.Errorf("%s: burned %v, missing %q; want %v, %q", tc.reason, shown(got.Burned), got.MissingBurned, tc.burned, tc.missing)
			}
		})
	}
}

// TestOnlyWhatTheRolloutBurnedIsMissing where its window has no data: the budget is
// known all the same.
func TestOnlyWhatTheRolloutBurnedIsMissing(t *testing.T) {
	part := ratio("", "bad[{{.window}}]", "total[{{.window}}]", false)
	part.Name = "part"
	composite := v1alpha1.SLO{
		Name: "availability", Objective: 99, Window: &v1alpha1.SLOWindow{Rolling: "14d"},
		Composite: []v1alpha1.SLOPart{{SLO: "part"}},
	}
	now := epoch.Add(21 * day)
	s := &server{traffic: newTraffic(30, nightOutage), failing: map[string]error{"total[5m]": metric.ErrNoData}}
	measured := measure.All(t.Context(), deployed(now, 5*time.Minute, part, composite), measure.Sources{Ask: s.ask})
	for name, missing := range map[string]string{"part": "total: no data", "availability": `slo "part": total: no data`} {
		if got := measured.SLOs[name]; got.Missing != "" || got.Burned != nil || !strings.HasPrefix(got.MissingBurned, missing) {
			t.Errorf("%s: %+v, want %q missing", name, got, missing)
		}
	}
	s.failing = nil
	measured = measure.All(t.Context(), deployed(now, 5*time.Minute, part, composite), measure.Sources{Ask: s.ask})
	if a, b := measured.SLOs["part"].Burned, measured.SLOs["availability"].Burned; a == nil || b == nil || *a != *b {
		t.Errorf("a composite of one burned %v, its part %v", shown(b), shown(a))
	}
}
