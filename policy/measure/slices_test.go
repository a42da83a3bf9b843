package measure_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/measure"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/slo"
)

func TestSlicesOfTimeAreCounted(t *testing.T) {
	tr := newTraffic(30, nightOutage)
	now := epoch.Add(20*day + 12*time.Hour + 30*time.Second)
	cases := map[string]struct {
		reason string
		slo    v1alpha1.SLO
	}{
		"Window":    {"The events of each minute, as the query tells them.", ratio("", "bad[{{.window}}]", "total[{{.window}}]", false)},
		"Counters":  {"Those by which counters grew.", ratio("good_counter", "", "total_counter", true)},
		"SinceLast": {"Those since the minute before.", ratio("", "bad", "total", false)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.slo.Timeslices = &v1alpha1.Timeslices{Duration: "1m"}
			s := &server{traffic: tr}
			measured := measure.All(t.Context(), subject(now, tc.slo), measure.Sources{Ask: s.ask})
			got := measured.SLOs["availability"]
			// 14 days of minutes, of which 6 hours were bad: also 6 hours of the last
			// day, and none of the last hour.
			want := slo.State{
				Objective: 0.99, Period: 14 * day,
				Good: (14*24 - 6) * 60, Total: 14 * 24 * 60,
				ErrorRatio: 6.0 / (14 * 24), BudgetRemaining: 1 - 600.0/(14*24),
				Burn: map[time.Duration]float64{time.Hour: 0, day: 25},
			}
			if diff := cmp.Diff(want, got, roughly); diff != "" {
				t.Errorf("%s: %s", tc.reason, diff)
			}
			end := now.Truncate(time.Minute)
			if events := fmt.Sprintf("%v", between(tr.total, end.Add(-14*day), end)); measured.Records[1].Value != events {
				t.Errorf("%s: %s events are recorded, want %s", tc.reason, measured.Records[1].Value, events)
			}
			for _, q := range s.asked {
				if q.Window/q.Step > 10_000 || !q.At.Equal(q.At.Truncate(time.Minute)) {
					t.Errorf("%s: it was asked for %d samples as of %v", tc.reason, q.Window/q.Step, q.At)
				}
			}
			if len(s.asked) != 6 {
				t.Errorf("%s: 14 days of minutes, twice, are asked for in %d queries, not 6", tc.reason, len(s.asked))
			}
		})
	}
}

func TestSlicesWithoutDataCountNeitherWay(t *testing.T) {
	s := ratio("", "bad", "total", false)
	s.Window.Rolling = "10m"
	s.Timeslices = &v1alpha1.Timeslices{Duration: "1m"}
	now := epoch.Add(day)
	gap := func(_ context.Context, _ string, q metric.Query) (metric.Result, error) {
		one := metric.Series{}
		for i := range 11 {
			if i >= 3 && i < 6 || i == 8 && q.Expr == "bad" {
				continue
			}
			value := map[string]float64{"bad": 0, "total": 10}[q.Expr]
			if i == 10 && q.Expr == "bad" {
				value = 5
			}
			one.Samples = append(one.Samples, metric.Sample{Time: q.At.Add(-10*time.Minute + time.Duration(i)*time.Minute), Value: value})
		}
		return metric.Result{Series: []metric.Series{one}}, nil
	}
	subject := subject(now, s)
	subject.BurnWindows = nil
	got := state(t, subject, gap)
	// Of 10 minutes 3 have no data, and 1 none of bad events; 1 was bad.
	if got.Good != 5 || got.Total != 6 {
		t.Errorf("%v of %v slices are good, want 5 of 6", got.Good, got.Total)
	}
	counter := s
	counter.Ratio = &v1alpha1.RatioIndicator{Good: "total", Total: "total", Counter: true}
	subject.Spec.SLOs[0] = counter
	// What a counter grew by over the gap belongs to none of its minutes.
	if got := state(t, subject, gap); got.Total != 6 {
		t.Errorf("%v slices of a counter are known, want 6", got.Total)
	}
	subject.Spec.SLOs[0] = s
	s.Timeslices.Duration = "1s"
	s.Window.Rolling = "7d"
	if got := state(t, subject, gap); !strings.Contains(got.Missing, "take longer ones") {
		t.Errorf("604,800 slices: missing %q", got.Missing)
	}
}

// TestSlicesBeforeTheFirstSampleHaveNoData though the first of several queries for them
// then has none at all.
func TestSlicesBeforeTheFirstSampleHaveNoData(t *testing.T) {
	s := &server{traffic: newTraffic(30, nightOutage)}
	now := epoch.Add(20 * day)
	young := func(ctx context.Context, provider string, q metric.Query) (metric.Result, error) {
		if q.At.Before(now.Add(-5 * day)) {
			return metric.Result{}, fmt.Errorf("%w: it was not deployed then", metric.ErrNoData)
		}
		return s.ask(ctx, provider, q)
	}
	objective := ratio("", "bad", "total", false)
	objective.Timeslices = &v1alpha1.Timeslices{}
	if got := state(t, subject(now, objective), young); got.Missing != "" || got.Total <= 0 || got.Total >= 14*24*60 {
		t.Errorf("%v slices are known: %s", got.Total, got.Missing)
	}
	down := func(ctx context.Context, provider string, q metric.Query) (metric.Result, error) {
		if q.At.Before(now.Add(-5 * day)) {
			return metric.Result{}, metric.ErrUnreachable
		}
		return s.ask(ctx, provider, q)
	}
	if got := state(t, subject(now, objective), down); !strings.Contains(got.Missing, "unreachable") {
		t.Errorf("with a part that failed: missing %q", got.Missing)
	}
}

func TestAThresholdCountsSamplesOrSlices(t *testing.T) {
	now := epoch.Add(day)
	// A second's latency in the last 6 minutes of an hour, and no number in its first
	// but for the one at its begin, which is not in it.
	latency := func(_ context.Context, _ string, q metric.Query) (metric.Result, error) {
		one := metric.Series{}
		for at := q.From(); !at.After(q.At); at = at.Add(q.Step) {
			value := 0.1
			if since := now.Sub(at); since < 6*time.Minute {
				value = 1
			} else if since >= 59*time.Minute && since < time.Hour {
				value = math.NaN()
			}
			one.Samples = append(one.Samples, metric.Sample{Time: at, Value: value})
		}
		return metric.Result{Series: []metric.Series{one}}, nil
	}
	target := 50.0
	cases := map[string]struct {
		reason      string
		op          string
		slices      *v1alpha1.Timeslices
		good, total float64
	}{
		"Samples": {"One each 15 seconds.", "lt", nil, 212, 236},
		"Above":   {"The other way round.", "gte", nil, 24, 236},
		"Minutes": {"A sample for each minute.", "lte", &v1alpha1.Timeslices{Duration: "1m"}, 53, 59},
		"Longer":  {"5 samples for 5 minutes, all of which are measured by the objective.", "lt", &v1alpha1.Timeslices{Duration: "5m"}, 10, 12},
		"Target":  {"Half of them is enough: the one with 4 bad is bad, the one with 1 is not.", "lt", &v1alpha1.Timeslices{Duration: "5m", Target: &target}, 11, 12},
		"Exact":   {"The compared value itself is not above it.", "gt", nil, 0, 236},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := v1alpha1.SLO{
				Name: "availability", Objective: 99, Window: &v1alpha1.SLOWindow{Rolling: "1h"}, Timeslices: tc.slices,
				Threshold: &v1alpha1.ThresholdIndicator{Query: "latency", Op: tc.op, Value: 0.5},
			}
			if name == "Exact" {
				s.Threshold.Value = 1
			}
			got := state(t, measure.Subject{Spec: v1alpha1.SLOPolicySpec{SLOs: []v1alpha1.SLO{s}}, Now: now}, latency)
			if got.Good != tc.good || got.Total != tc.total {
				t.Errorf("%s: %v of %v are good (%s), want %v of %v", tc.reason, got.Good, got.Total, got.Missing, tc.good, tc.total)
			}
		})
	}
}
