package measure_test

import (
	"testing"
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/measure"
	"github.com/keptn/gitops/policy/metric"
)

// TestWhatIsMeasuredIsJudged goes the whole way: the windows that the expressions read
// are measured, and what is measured is what they then read.
func TestWhatIsMeasuredIsJudged(t *testing.T) {
	busiest := query("busiest", "total[1m]")
	busiest.Window = &v1alpha1.Window{Duration: duration(day), Step: duration(time.Minute)}
	busiest.Reducer = v1alpha1.Reducer(metric.Max)
	spec := v1alpha1.SLOPolicySpec{
		Metrics: []v1alpha1.Metric{busiest},
		SLOs:    []v1alpha1.SLO{ratio("", "bad[{{.window}}]", "total[{{.window}}]", false)},
		Rules: []v1alpha1.Rule{
			{Name: "busy", Expression: "metrics.busiest == 3000 && baseline.busiest == 3000"},
			{Name: "budget", Expression: "slo.availability.budgetRemaining > 0.85 && slo.availability.budgetRemaining < 0.9"},
			{Name: "burn", Expression: "slo.availability.burnRate('1h') == 0 && slo.availability.burnRate('12h') > 0.01"},
			{Name: "lasts", Expression: "slo.availability.exhaustedIn('1d') > duration('240h')"},
		},
	}
	compiled, err := policy.Compile("checkout", spec)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{traffic: newTraffic(30, nightOutage)}
	now := epoch.Add(21 * day)
	subject := measure.Subject{
		Spec: spec, BurnWindows: compiled.BurnWindows(), Now: now,
		Previous: &measure.Previous{Evaluated: now.Add(-3 * day)},
	}
	judge := func() policy.Verdict {
		measured := measure.All(t.Context(), subject, measure.Sources{Ask: s.ask})
		return compiled.Explain(t.Context(), policy.Input{
			Metrics: measured.Metrics, Baseline: measured.Baseline, SLOs: measured.SLOs, Now: measured.At,
		})
	}
	if v := judge(); v.Result != policy.Pass {
		t.Errorf("verdict %+v", v)
	}
	s.failing = map[string]error{"bad[12h]": metric.ErrUnreachable}
	want := map[string]policy.Result{"busy": policy.Pass, "budget": policy.Pass, "burn": policy.Inconclusive, "lasts": policy.Pass}
	for _, rule := range judge().Rules {
		if rule.Result != want[rule.Name] {
			t.Errorf("with a window missing %q is %s: %s", rule.Name, rule.Result, rule.Message)
		}
	}
}
