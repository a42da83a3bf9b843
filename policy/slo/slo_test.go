package slo_test

import (
	"math"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keptn/gitops/policy/slo"
)

const (
	hour = time.Hour
	day  = 24 * hour
)

var roughly = cmpopts.EquateApprox(1e-9, 1e-12)

func TestAnObjectiveIsKnownByItsCounts(t *testing.T) {
	got := slo.Of(0.999, 30*day, slo.BadOf(250, 1_000_000), map[time.Duration]slo.Count{
		hour:     slo.GoodOf(9_856, 10_000),
		6 * hour: slo.NoCount("the provider is down"),
	})
	want := slo.State{
		Objective: 0.999, Good: 999_750, Total: 1_000_000, Period: 30 * day,
		ErrorRatio: 0.00025, BudgetRemaining: 0.75,
		Burn:        map[time.Duration]float64{hour: 14.4},
		MissingBurn: map[time.Duration]string{6 * hour: "the provider is down"},
	}
	if diff := cmp.Diff(want, got, roughly); diff != "" {
		t.Error(diff)
	}
	// 75% of a month's budget at 14.4 times the pace: 22.5 days / 14.4.
	if left, ever := got.Exhaustion(hour); !ever || left.Round(time.Second) != 37*hour+30*time.Minute {
		t.Errorf("exhausted in %v, %v; want 37h30m", left, ever)
	}
}

func TestExhaustion(t *testing.T) {
	cases := map[string]struct {
		reason string
		state  slo.State
		left   time.Duration
		ever   bool
	}{
		"UsedUp":  {"A budget below 0 is used up, whatever burns.", slo.Of(0.9, day, slo.BadOf(2, 10), nil), 0, true},
		"Pace":    {"At 1 an untouched budget lasts for the period.", slo.Of(0.9, day, slo.BadOf(0, 10), map[time.Duration]slo.Count{hour: slo.BadOf(1, 10)}), day, true},
		"Still":   {"What does not burn lasts for ever.", slo.Of(0.9, day, slo.BadOf(0, 10), map[time.Duration]slo.Count{hour: slo.BadOf(0, 10)}), 0, false},
		"Unknown": {"Nobody can tell without a burn rate.", slo.Of(0.9, day, slo.BadOf(0, 10), map[time.Duration]slo.Count{hour: slo.NoCount("x")}), 0, false},
		"NoData":  {"Nor without a budget.", slo.Of(0.9, day, slo.NoCount("x"), map[time.Duration]slo.Count{hour: slo.BadOf(1, 10)}), 0, false},
		"Slow":    {"In 300 years nobody waits.", slo.Of(0.9, 3650*day, slo.BadOf(0, 10), map[time.Duration]slo.Count{hour: slo.BadOf(1, 1000)}), 0, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if left, ever := tc.state.Exhaustion(hour); left.Round(time.Millisecond) != tc.left || ever != tc.ever {
				t.Errorf("%s: %v, %v; want %v, %v", tc.reason, left, ever, tc.left, tc.ever)
			}
		})
	}
}

func TestNumbersThatAreNoEventsAreMissing(t *testing.T) {
	cases := map[string]struct {
		reason  string
		count   slo.Count
		missing string
	}{
		"Nothing":      {"That nothing happened is known.", slo.GoodOf(0, 0), ""},
		"Rounding":     {"Sums differ by rounding.", slo.GoodOf(1000.0000000001, 1000), ""},
		"MoreGood":     {"More good events than there are.", slo.GoodOf(11, 10), "count the same events"},
		"MoreBad":      {"More bad events than there are.", slo.BadOf(11, 10), "count the same events"},
		"BadOfNothing": {"Bad events where there are none.", slo.BadOf(1, 0), "count the same events"},
		"NegativeBad":  {"Fewer than none.", slo.BadOf(-1, 10), "fewer than none"},
		"Negative":     {"Fewer than none at all.", slo.GoodOf(-3, -2), "fewer than none"},
		"NaN":          {"0/0 is no number of events.", slo.GoodOf(math.NaN(), 10), "good events is NaN"},
		"NaNTotal":     {"Nor of all.", slo.BadOf(0, math.NaN()), "all events is NaN"},
		"Infinite":     {"Nor is an infinity.", slo.GoodOf(1, math.Inf(1)), "all events is +Inf"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if (tc.missing == "") != (tc.count.Missing == "") || !strings.Contains(tc.count.Missing, tc.missing) {
				t.Errorf("%s: missing %q, want %q", tc.reason, tc.count.Missing, tc.missing)
			}
			if state := slo.Of(0.99, day, tc.count, nil); state.Missing != tc.count.Missing || state.Missing == "" && state.BudgetRemaining != 1 {
				t.Errorf("%s: state %+v", tc.reason, state)
			}
		})
	}
}

func TestSlicesOfTime(t *testing.T) {
	good, half, none, idle := slo.GoodOf(100, 100), slo.GoodOf(50, 100), slo.NoCount("no sample"), slo.GoodOf(0, 0)
	cases := map[string]struct {
		reason string
		slices []slo.Count
		want   slo.Count
	}{
		"Target":   {"A slice is good or bad as a whole.", []slo.Count{good, half, good}, slo.Count{Good: 2, Total: 3}},
		"NoData":   {"A slice without data counts neither way.", []slo.Count{good, none, half}, slo.Count{Good: 1, Total: 2}},
		"Idle":     {"Nothing failed where nothing happened.", []slo.Count{idle, half}, slo.Count{Good: 1, Total: 2}},
		"AtTarget": {"As good as the target is good.", []slo.Count{slo.GoodOf(9, 10)}, slo.Count{Good: 1, Total: 1}},
		"Below":    {"Hardly below it is not.", []slo.Count{slo.GoodOf(8999, 10000)}, slo.Count{Good: 0, Total: 1}},
		"AllGone":  {"Without any data there is none.", []slo.Count{none, none}, slo.NoCount("no sample")},
		"TooSoon":  {"Without any slice neither.", nil, slo.NoCount("no slice of time is complete yet")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, slo.Slices(tc.slices, 0.9)); diff != "" {
				t.Errorf("%s: %s", tc.reason, diff)
			}
		})
	}
	if got := slo.Slices([]slo.Count{slo.GoodOf(7, 100)}, 0.07); got.Good != 1 {
		t.Errorf("7%% are not 7%% by rounding: %+v", got)
	}
	// In a month of 30 days one bad minute in 1,440 measured is one of 43,200.
	month := slo.GoodOf(1439, 1440).OfAll(43200)
	if diff := cmp.Diff(slo.Count{Good: 43199, Total: 43200}, month); diff != "" {
		t.Error(diff)
	}
}

func TestACompositeWeighsWhatItsPartsHaveUsed(t *testing.T) {
	windows := []time.Duration{hour}
	burn := func(bad, total float64) map[time.Duration]slo.Count {
		return map[time.Duration]slo.Count{hour: slo.BadOf(bad, total)}
	}
	half := slo.Part{Name: "half", Weight: 1, State: slo.Of(0.99, 30*day, slo.BadOf(5, 1000), burn(20, 1000))}
	full := slo.Part{Name: "full", Weight: 3, State: slo.Of(0.999, 7*day, slo.BadOf(0, 10), burn(0, 10))}
	got := slo.Composite(0.995, 28*day, windows, []slo.Part{half, full})
	want := slo.State{
		Objective: 0.995, Period: 28 * day,
		BudgetRemaining: (1*0.5 + 3*1) / 4.0,
		ErrorRatio:      0.125 * 0.005,
		Burn:            map[time.Duration]float64{hour: (1*2 + 3*0) / 4.0},
	}
	if diff := cmp.Diff(want, got, roughly); diff != "" {
		t.Error(diff)
	}

	down := slo.Part{Name: "down", Weight: 1, State: slo.Unknown(0.99, 30*day, windows, "unreachable")}
	got = slo.Composite(0.995, 28*day, windows, []slo.Part{half, down})
	if got.Missing != `slo "down": unreachable` || got.MissingBurn[hour] != got.Missing || got.BudgetRemaining != 0 || len(got.Burn) != 0 {
		t.Errorf("without data of a part: %+v", got)
	}
	unmeasured := slo.Part{Name: "other", Weight: 1, State: slo.Of(0.9, day, slo.BadOf(0, 1), nil)}
	if got = slo.Composite(0.9, day, windows, []slo.Part{unmeasured}); got.Missing != "" || !strings.Contains(got.MissingBurn[hour], "not over 1h") {
		t.Errorf("without a window of a part: %+v", got)
	}
	if got = slo.Composite(0.9, day, windows, nil); got.Missing == "" {
		t.Errorf("without a part: %+v", got)
	}
}

func TestARolloutBurnsItsPartOfTheBudget(t *testing.T) {
	month := slo.Of(0.999, 30*day, slo.BadOf(500, 1_000_000), nil) // of which 1,000 may fail
	cases := map[string]struct {
		reason  string
		state   slo.State
		since   slo.Count
		burned  float64
		missing string
	}{
		"Part":       {"31 of 1,000, however many there were since.", month, slo.BadOf(31, 60), 0.031, ""},
		"None":       {"Nothing failed.", month, slo.BadOf(0, 6000), 0, ""},
		"Quiet":      {"Nothing happened: that burns nothing.", month, slo.BadOf(0, 0), 0, ""},
		"Everything": {"A rollout can burn more than there is.", month, slo.BadOf(2500, 2500), 2.5, ""},
		"FirstEvent": {"Where nothing ever happened nothing is burned.", slo.Of(0.99, day, slo.BadOf(0, 0), nil), slo.BadOf(0, 0), 0, ""},
		"Unequal":    {"The queries do not count the same.", slo.Of(0.99, day, slo.BadOf(0, 0), nil), slo.BadOf(1, 1), 0, "1 events failed, and over the whole window there are none"},
		"Down":       {"It could not be counted.", month, slo.NoCount("unreachable"), 0, "unreachable"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := tc.state.WithBurned(tc.since)
			if known := got.Burned != nil; known != (tc.missing == "") || known && !near(*got.Burned, tc.burned) || !strings.HasPrefix(got.MissingBurned, tc.missing) {
				t.Errorf("%s: burned %v, missing %q; want %v, %q", tc.reason, got.Burned, got.MissingBurned, tc.burned, tc.missing)
			}
			got.Burned, got.MissingBurned = nil, ""
			if diff := cmp.Diff(tc.state, got); diff != "" {
				t.Errorf("%s: the rest of the state is another: %s", tc.reason, diff)
			}
		})
	}
	unknown := slo.Unknown(0.99, day, nil, "down")
	if diff := cmp.Diff(unknown, unknown.WithBurned(slo.BadOf(1, 1))); diff != "" {
		t.Errorf("without the budget: %s", diff)
	}
}

// TestWhatIsBurnedBeforeAndSinceARolloutIsAllThatWasUsed: budgets are neither lost nor
// counted twice.
func TestWhatIsBurnedBeforeAndSinceARolloutIsAllThatWasUsed(t *testing.T) {
	check(t, func(e events) bool {
		before, since, all := e.counts()
		s := slo.Of(0.995, 30*day, all, nil)
		return near(*s.WithBurned(before).Burned+*s.WithBurned(since).Burned, 1-s.BudgetRemaining)
	})
}

func TestACompositeBurnsWhatItsPartsDo(t *testing.T) {
	of := func(name string, weight, bad float64) slo.Part {
		return slo.Part{Name: name, Weight: weight, State: slo.Of(0.99, day, slo.BadOf(0, 1000), nil).WithBurned(slo.BadOf(bad, 100))}
	}
	got := slo.Composite(0.995, 28*day, nil, []slo.Part{of("half", 1, 5), of("none", 3, 0)})
	if got.Burned == nil || !near(*got.Burned, 0.5/4) || got.MissingBurned != "" {
		t.Errorf("burned %v (%s), want an eighth", got.Burned, got.MissingBurned)
	}
	down := of("down", 1, 0)
	down.State = slo.Of(0.99, day, slo.BadOf(0, 1000), nil).WithBurned(slo.NoCount("unreachable"))
	if got = slo.Composite(0.995, day, nil, []slo.Part{of("half", 1, 5), down}); got.Burned != nil || got.MissingBurned != `slo "down": unreachable` || got.Missing != "" {
		t.Errorf("without a part's: %+v", got)
	}
	down.State.MissingBurned = ""
	if got = slo.Composite(0.995, day, nil, []slo.Part{down, of("half", 1, 5)}); got.Burned != nil || got.MissingBurned != "" {
		t.Errorf("without a rollout: %+v", got)
	}
}

func TestAnObjectiveInPercentShowsNoRounding(t *testing.T) {
	for percent, want := range map[float64][2]float64{99.9: {0.999, 0.001}, 99.95: {0.9995, 0.0005}, 90: {0.9, 0.1}, 99.9999: {0.999999, 0.000001}} {
		objective := slo.Fraction(percent)
		budget := slo.State{Objective: objective}.Budget()
		if objective != want[0] || budget != want[1] {
			t.Errorf("%v%%: objective %v, budget %v; want %v", percent, objective, budget, want)
		}
	}
	if budget := (slo.State{Objective: 1 - 1e-14}).Budget(); budget <= 0 {
		t.Errorf("a budget beyond the decimals is %v", budget)
	}
}

// events are arbitrary counts of two spans of time.
type events struct{ bad1, good1, bad2, good2 uint16 }

func (e events) counts() (first, second, both slo.Count) {
	first = slo.BadOf(float64(e.bad1), float64(e.bad1)+float64(e.good1))
	second = slo.BadOf(float64(e.bad2), float64(e.bad2)+float64(e.good2))
	both = slo.BadOf(float64(e.bad1)+float64(e.bad2), float64(e.bad1)+float64(e.good1)+float64(e.bad2)+float64(e.good2))
	return first, second, both
}

func TestRemainingAndConsumedAreTheWholeBudget(t *testing.T) {
	check(t, func(e events) bool {
		_, _, all := e.counts()
		s := slo.Of(0.995, 30*day, all, nil)
		consumed := all.ErrorRatio() / s.Budget()
		return near(s.BudgetRemaining+consumed, 1)
	})
}

// TestABurnRateOverTimeIsTheShareOfTheBudgetThatItTakes: with even traffic a window
// at burn rate b takes b·window/period of the budget.
func TestABurnRateOverTimeIsTheShareOfTheBudgetThatItTakes(t *testing.T) {
	check(t, func(e events) bool {
		const windows = 30
		first, _, _ := e.counts()
		total := first.Total * windows // all else was good
		s := slo.Of(0.99, windows*day, slo.BadOf(first.Total-first.Good, total), map[time.Duration]slo.Count{day: first})
		return near(1-s.BudgetRemaining, s.Burn[day]*float64(day)/float64(s.Period))
	})
}

func TestAWindowIsTheSumOfItsParts(t *testing.T) {
	check(t, func(e events) bool {
		first, second, both := e.counts()
		return cmp.Equal(first.Plus(second), both) && cmp.Equal(second.Plus(first), both)
	})
	missing := slo.NoCount("gone")
	if got := slo.GoodOf(1, 1).Plus(missing); got != missing {
		t.Errorf("with a part missing: %+v", got)
	}
	if got := missing.Plus(slo.GoodOf(1, 1)); got != missing {
		t.Errorf("with a part missing: %+v", got)
	}
}

// TestUnevenTraffic: a quiet hour that failed wholly, and a busy one that did not, are
// 10 bad events of 10,010, and not a mean error ratio of 50%.
func TestUnevenTraffic(t *testing.T) {
	quiet, busy := slo.BadOf(10, 10), slo.BadOf(0, 10_000)
	s := slo.Of(0.99, 2*hour, quiet.Plus(busy), nil)
	if !near(s.ErrorRatio, 10.0/10_010) || !near(s.BudgetRemaining, 1-10.0/100.1) {
		t.Errorf("error ratio %v, remaining %v", s.ErrorRatio, s.BudgetRemaining)
	}
}

func check(t *testing.T, holds func(events) bool) {
	t.Helper()
	err := quick.Check(func(b1, g1, b2, g2 uint16) bool { return holds(events{b1, g1, b2, g2}) }, &quick.Config{MaxCount: 1000})
	if err != nil {
		t.Error(err)
	}
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b)) }
