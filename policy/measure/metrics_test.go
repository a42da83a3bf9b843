package measure_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/measure"
	"github.com/keptn/gitops/policy/metric"
)

var exported = cmp.Exporter(func(reflect.Type) bool { return true })

var now = epoch.Add(100 * day)

func query(name, expr string) v1alpha1.Metric {
	return v1alpha1.Metric{Name: name, Provider: &v1alpha1.ProviderReference{Name: "prometheus"}, Query: expr}
}

func duration(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

// echo answers with one sample at the end of what was asked about.
func echo(_ context.Context, _ string, q metric.Query) (metric.Result, error) {
	return metric.Result{Series: []metric.Series{{Samples: []metric.Sample{{Time: q.At, Value: 1}}}}}, nil
}

func TestMetricsAreMeasured(t *testing.T) {
	sample := func(age time.Duration, value float64) metric.Sample {
		return metric.Sample{Time: now.Add(-age), Value: value}
	}
	window := query("window", "p95")
	window.Window, window.Reducer = &v1alpha1.Window{Duration: duration(10 * time.Minute)}, v1alpha1.Reducer(metric.Max)
	pods := query("pods", "by_pod")
	rate := query("rate", "single")
	rate.Window, rate.Reducer = window.Window, v1alpha1.Reducer(metric.Rate)
	spec := v1alpha1.SLOPolicySpec{Metrics: []v1alpha1.Metric{
		query("errors", `errors{app="{{.app}}",team="{{.params.team}}"}`), window, pods, rate,
		query("old", "old"), query("down", "down"), query("none", "none"), query("wrong", "{{.nothing}}"),
		{Name: "keptn", KeptnMetric: &v1alpha1.KeptnMetricReference{Name: "checkout"}},
		{Name: "lost", KeptnMetric: &v1alpha1.KeptnMetricReference{Name: "lost"}},
	}}
	podA := metric.Series{Labels: map[string]string{"pod": "a"}, Samples: []metric.Sample{sample(0, 4)}}
	podB := metric.Series{Labels: map[string]string{"pod": "b"}, Samples: []metric.Sample{sample(0, 5)}}
	answers := map[string]metric.Result{
		`errors{app="shop",team="red"}`: {Series: []metric.Series{{Samples: []metric.Sample{sample(0, 12)}}}, Lines: []string{"boom"}, Warnings: []string{"partial"}},
		"p95":                           {Series: []metric.Series{{Samples: []metric.Sample{sample(time.Minute, 3), sample(0, 2)}}, {Labels: map[string]string{"empty": "yes"}}}},
		"by_pod":                        {Series: []metric.Series{podA, podB}},
		"single":                        {Series: []metric.Series{podA}},
	}
	ask := func(_ context.Context, provider string, q metric.Query) (metric.Result, error) {
		if provider != "prometheus" || !q.At.Equal(now) {
			return metric.Result{}, fmt.Errorf("asked %q as of %v", provider, q.At)
		}
		if result, ok := answers[q.Expr]; ok {
			return result, nil
		}
		return metric.Result{}, map[string]error{
			"old":  fmt.Errorf("%w: it is an hour old", metric.ErrStale),
			"down": fmt.Errorf("%w: %s", metric.ErrUnreachable, strings.Repeat("ö", 300)),
		}[q.Expr]
	}
	keptn := func(_ context.Context, name string) (float64, time.Time, error) {
		if name != "checkout" {
			return 0, time.Time{}, metric.ErrNoData
		}
		return 7, now.Add(-time.Minute), nil
	}
	got := measure.All(t.Context(), measure.Subject{
		Spec: spec, Now: now.Add(999 * time.Millisecond),
		Query: policy.QueryData{App: "shop", Params: map[string]string{"team": "red"}},
	}, measure.Sources{Ask: ask, KeptnMetric: keptn})

	one := func(labels map[string]string, samples ...metric.Sample) policy.Series {
		return policy.Series{Labels: labels, Value: samples[len(samples)-1].Value, Samples: samples}
	}
	want := map[string]policy.Value{
		"errors": policy.Vector([]policy.Series{one(nil, sample(0, 12))}),
		"window": policy.Vector([]policy.Series{one(nil, sample(time.Minute, 3), sample(0, 2))}),
		"pods":   policy.Vector([]policy.Series{one(podA.Labels, sample(0, 4)), one(podB.Labels, sample(0, 5))}),
		"rate":   policy.Vector([]policy.Series{one(podA.Labels, sample(0, 4))}),
		"old":    policy.Stale("it is an hour old"),
		"none":   policy.NoData("the query yields no sample"),
		"keptn":  policy.Vector([]policy.Series{one(nil, sample(time.Minute, 7))}),
		"lost":   policy.NoData("no data"),
	}
	for name, value := range want {
		if diff := cmp.Diff(value, got.Metrics[name], exported); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	var records []string
	for _, r := range got.Records {
		records = append(records, strings.TrimRight(fmt.Sprintf("%s.%s %s%s %s %s %d %v%v", r.For, r.Name, r.Provider, r.KeptnMetric, r.Value, r.Reason, r.Series, r.Lines, r.Warnings), " "))
		if len(r.Message) > 510 || strings.ContainsRune(r.Message, '\uFFFD') || (r.Message == "") != (r.Reason == "") {
			t.Errorf("%s: message %q", r.Name, r.Message)
		}
	}
	if diff := cmp.Diff([]string{
		"metrics.errors prometheus 12  1 [boom][partial]",
		"metrics.window prometheus 3  1 [][]",
		"metrics.pods prometheus   2 [][]",
		"metrics.rate prometheus  NoData 1 [][]",
		"metrics.old prometheus  Stale 0 [][]",
		"metrics.down prometheus  Unreachable 0 [][]",
		"metrics.none prometheus  NoData 0 [][]",
		"metrics.wrong prometheus  BadQuery 0 [][]",
		"metrics.keptn checkout 7  1 [][]",
		"metrics.lost lost  NoData 0 [][]",
	}, records); diff != "" {
		t.Error(diff)
	}
	if got.Records[1].Step != 10*time.Second || !got.Records[1].From.Equal(now.Add(-10*time.Minute)) {
		t.Errorf("record of a window: %+v", got.Records[1])
	}
	if len(got.Baseline) != 0 || !got.At.Equal(now) {
		t.Errorf("as of %v, with a baseline %v", got.At, got.Baseline)
	}
}

func TestWithoutSourcesNothingHasData(t *testing.T) {
	spec := v1alpha1.SLOPolicySpec{Metrics: []v1alpha1.Metric{
		query("errors", "errors"), {Name: "keptn", KeptnMetric: &v1alpha1.KeptnMetricReference{Name: "x"}},
	}}
	got := measure.All(t.Context(), measure.Subject{Spec: spec, Now: now}, measure.Sources{})
	for _, r := range got.Records {
		if r.Reason != "Failed" || !strings.Contains(r.Message, "here") {
			t.Errorf("record %+v", r)
		}
	}
}

func TestWindowsOfMetrics(t *testing.T) {
	rollout := now.Add(-20 * time.Minute)
	previous := &measure.Previous{Evaluated: now.Add(-7 * day), Finished: now.Add(-7*day - 5*time.Minute)}
	cases := map[string]struct {
		reason        string
		window        *v1alpha1.Window
		offset        v1alpha1.Period
		finished      time.Time
		previous      *measure.Previous
		expression    string
		ask, baseline string // window and step, and for the baseline the age of its end
	}{
		"Instant": {
			reason:   "Without a window the previous rollout's judgement is the instant.",
			finished: rollout, previous: previous, ask: "0s/0s", baseline: "168h0m0s 0s/0s",
		},
		"Duration": {
			reason: "A fixed window ended with it.",
			window: &v1alpha1.Window{Duration: duration(5 * time.Minute)}, finished: rollout, previous: previous,
			ask: "5m0s/5s", baseline: "168h0m0s 5m0s/5s",
		},
		"SinceRollout": {
			reason: "A window since the rollout is as long as today's, and begins with the previous one's end.",
			window: &v1alpha1.Window{Since: "rollout"}, finished: rollout, previous: previous,
			ask: "20m0s/20s", baseline: "167h45m0s 20m0s/20s",
		},
		"Offset": {
			reason: "A fixed offset needs no previous rollout.",
			window: &v1alpha1.Window{Since: "rollout"}, offset: "1d", finished: rollout,
			ask: "20m0s/20s", baseline: "24h0m0s 20m0s/20s",
		},
		"OffsetFirst": {
			reason: "And is taken in its place.",
			offset: "1w1d", finished: rollout, previous: previous, ask: "0s/0s", baseline: "192h0m0s 0s/0s",
		},
		"BadOffset": {
			reason: "An offset that is none is no data.",
			offset: "soon", finished: rollout, ask: "0s/0s", baseline: "Failed",
		},
		"Step": {
			reason: "The author's step counts.",
			window: &v1alpha1.Window{Duration: duration(time.Hour), Step: duration(5 * time.Minute)}, finished: rollout, ask: "1h0m0s/5m0s",
		},
		"LongStep": {
			reason: "But never exceeds the window.",
			window: &v1alpha1.Window{Duration: duration(time.Hour), Step: duration(2 * time.Hour)}, finished: rollout, ask: "1h0m0s/1h0m0s",
		},
		"Short": {
			reason: "A step is a second at least.",
			window: &v1alpha1.Window{Duration: duration(90 * time.Second)}, finished: rollout, ask: "1m30s/1s",
		},
		"NoRollout": {
			reason: "Nobody knows when the rollout was complete.",
			window: &v1alpha1.Window{Since: "rollout"}, previous: previous, ask: "NoData", baseline: "NoData",
		},
		"JustNow": {
			reason: "A window of no length has no data.",
			window: &v1alpha1.Window{Since: "rollout"}, finished: now, ask: "NoData",
		},
		"NoPreviousEnd": {
			reason: "Nor does one whose begin is unknown.",
			window: &v1alpha1.Window{Since: "rollout"}, finished: rollout, previous: &measure.Previous{Evaluated: previous.Evaluated},
			ask: "20m0s/20s", baseline: "NoData",
		},
		"FirstRollout": {
			reason: "The first rollout has no baseline.", finished: rollout, ask: "0s/0s",
		},
		"Unread": {
			reason:   "A baseline that no expression reads is not asked for.",
			finished: rollout, previous: previous, expression: "metrics.x < 1", ask: "0s/0s",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			m := query("x", "x")
			m.Window = tc.window
			if tc.offset != "" {
				m.Baseline = &v1alpha1.Baseline{Offset: tc.offset}
			}
			if tc.expression == "" {
				tc.expression = "metrics.x < baseline.x"
			}
			keptn := v1alpha1.Metric{Name: "k", KeptnMetric: &v1alpha1.KeptnMetricReference{Name: "k"}}
			got := measure.All(t.Context(), measure.Subject{
				Spec: v1alpha1.SLOPolicySpec{
					Metrics:   []v1alpha1.Metric{m, keptn},
					Variables: []v1alpha1.Variable{{Name: "v", Expression: tc.expression}},
				},
				Now: now, RolloutFinished: tc.finished, Previous: tc.previous,
			}, measure.Sources{Ask: echo})
			if text := asked(got.Records[0]); text != tc.ask {
				t.Errorf("%s: asked %q, want %q", tc.reason, text, tc.ask)
			}
			text := ""
			if len(got.Records) > 2 {
				text = asked(got.Records[2])
				if got.Records[2].Reason == "" {
					text = now.Sub(got.Records[2].At).String() + " " + text
				}
			}
			if _, measured := got.Baseline["x"]; text != tc.baseline || measured != (tc.baseline != "") || len(got.Baseline) > 1 {
				t.Errorf("%s: baseline %q, want %q; measured %v", tc.reason, text, tc.baseline, got.Baseline)
			}
		})
	}
}

// asked is a window and its step, or why nothing was asked.
func asked(r measure.Record) string {
	if r.Reason != "" {
		return r.Reason
	}
	return fmt.Sprintf("%s/%s", r.At.Sub(r.From), r.Step)
}

// TestOneProviderDownHidesNoOther and questions are asked side by side, but not too
// many of them.
func TestOneProviderDownHidesNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		ask := func(ctx context.Context, provider string, q metric.Query) (metric.Result, error) {
			n := running.Add(1)
			defer running.Add(-1)
			for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
			}
			if provider == "down" {
				<-ctx.Done()
				return metric.Result{}, fmt.Errorf("%w: %w", metric.ErrTimeout, ctx.Err())
			}
			time.Sleep(time.Second)
			return echo(ctx, provider, q)
		}
		var metrics []v1alpha1.Metric
		for i := range 20 {
			metrics = append(metrics, query(fmt.Sprintf("m%d", i), "x"))
		}
		metrics[3].Provider = &v1alpha1.ProviderReference{Name: "down"}
		began := time.Now()
		got := measure.All(t.Context(), measure.Subject{Spec: v1alpha1.SLOPolicySpec{Metrics: metrics}, Now: now}, measure.Sources{Ask: ask})
		if took := time.Since(began); took != measure.DefaultTimeout || most.Load() != measure.Parallel {
			t.Errorf("it took %v, %d at a time; want %v, %d", took, most.Load(), measure.DefaultTimeout, measure.Parallel)
		}
		for i, r := range got.Records {
			want := ""
			if i == 3 {
				want = "Timeout"
			}
			if r.Name != metrics[i].Name || r.Reason != want {
				t.Errorf("record %d: %+v", i, r)
			}
		}
	})
}

func TestAnEndedContextIsNoError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ask := func(ctx context.Context, _ string, _ metric.Query) (metric.Result, error) {
		return metric.Result{}, errors.Join(metric.ErrTimeout, ctx.Err())
	}
	got := measure.All(ctx, measure.Subject{Spec: v1alpha1.SLOPolicySpec{Metrics: []v1alpha1.Metric{query("x", "x")}}, Now: now}, measure.Sources{Ask: ask})
	if got.Records[0].Reason != "Timeout" {
		t.Errorf("record %+v", got.Records[0])
	}
}
