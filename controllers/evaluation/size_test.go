package evaluation_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/evaluation"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/metric"
)

// largest is a policy with as much in it as a lifecycle.yaml can hold.
func largest() *gitopsv1alpha1.SLOPolicySpec {
	p := &gitopsv1alpha1.ProviderReference{Name: "p"}
	spec := &gitopsv1alpha1.SLOPolicySpec{Count: 1000, FailureLimit: 999, Interval: &metav1.Duration{Duration: time.Minute}}
	for i := range 64 {
		spec.Metrics = append(spec.Metrics, gitopsv1alpha1.Metric{Name: fmt.Sprintf("m%d", i), Provider: p, Query: fmt.Sprintf("q%d %s", i, strings.Repeat("x", 4<<10)), Baseline: &gitopsv1alpha1.Baseline{Offset: "7d"}})
	}
	for i := range 16 {
		spec.SLOs = append(spec.SLOs, gitopsv1alpha1.SLO{
			Name: fmt.Sprintf("s%d", i), Objective: 99.9, Window: &gitopsv1alpha1.SLOWindow{Rolling: "30d"},
			Ratio: &gitopsv1alpha1.RatioIndicator{Provider: *p, Bad: strings.Repeat("b", 4<<10) + "{{.window}}", Total: strings.Repeat("t", 4<<10) + "{{.window}}"},
		})
	}
	for i := range 64 {
		parts := []string{fmt.Sprintf("metrics.m%d + baseline.m%d < 1.0", i, i)}
		for w := range 16 {
			parts = append(parts, fmt.Sprintf("slo.s%d.burnRate('%dm') < 1.0", i%16, i*16+w+1))
		}
		spec.Rules = append(spec.Rules, gitopsv1alpha1.Rule{Name: fmt.Sprintf("r%d", i), Expression: strings.Join(parts, " && ")})
	}
	return spec
}

func TestTheLargestRecordFitsIntoAnObject(t *testing.T) {
	for reason, answer := range map[string]querier{
		"With all values.": func(metric.Query) (float64, error) { return 2, nil },
		"With none.": func(metric.Query) (float64, error) {
			return 0, fmt.Errorf("%w: %s", metric.ErrBadQuery, strings.Repeat("<", 1000))
		},
	} {
		c := newCluster(t, largest(), answer)
		e := &lifecyclev1.KeptnEvaluation{Spec: lifecyclev1.KeptnEvaluationSpec{EvaluationDefinition: "largest", Policy: largest()}}
		e.Namespace = "shop"
		e.Spec.Rollout = &lifecyclev1.Rollout{StartedAt: after(-90 * time.Second)}
		e.Status.StartTime = *after(-1000 * time.Minute)
		for i := range 999 {
			e.Status.Repeated = append(e.Status.Repeated, lifecyclev1.RepeatedVerdict{At: *after(time.Duration(i-999) * time.Minute), Verdict: "fail", Summary: strings.Repeat("<", 200)})
		}
		c.MeasureOnce(t.Context(), e, noon())
		evaluation.Fit(e)
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		s := e.Status
		if len(text) > evaluation.MaxObject {
			t.Errorf("%s The record has %d bytes", reason, len(text))
		}
		if s.Summary == "" || len(s.EvaluationStatus) != 64 || len(s.Repeated) < 999 || len(s.Measurements) < 128 || len(s.SLOs) != 16 {
			t.Errorf("%s %d rules, %d measurements, %d objectives and %d repetitions are left: %s", reason, len(s.EvaluationStatus), len(s.Measurements), len(s.SLOs), len(s.Repeated), s.Summary)
		}
	}
}

func TestARecordThatFitsIsLeftAsItIs(t *testing.T) {
	e := &lifecyclev1.KeptnEvaluation{}
	evaluation.Record(&e.Status, policy.Verdict{Rules: []policy.RuleResult{{Name: "r", Explain: []policy.Explanation{{Expr: "x", Value: "1"}}}}})
	before := e.DeepCopy()
	evaluation.Fit(e)
	if diff := cmp.Diff(before, e); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestWhatARecordCanDoWithoutGoesFirst(t *testing.T) {
	explained := func(result policy.Result, size int) policy.RuleResult {
		return policy.RuleResult{Name: string(result), Result: result, Explain: []policy.Explanation{{Expr: "x", Value: strings.Repeat("v", size)}}}
	}
	cases := map[string]struct {
		reason string
		size   int
		left   []string
	}{
		"Small":  {"What fits stays.", 100 << 10, []string{"fail", "inconclusive", "pass", "warning"}},
		"Large":  {"Nobody asks why what holds does.", 400 << 10, []string{"fail", "inconclusive"}},
		"Larger": {"The queries outlast all explanations.", 700 << 10, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e := &lifecyclev1.KeptnEvaluation{}
			evaluation.Record(&e.Status, policy.Verdict{Score: 0.5, MaxScore: 3, Rules: []policy.RuleResult{
				explained(policy.Pass, tc.size), explained(policy.Warning, tc.size), explained(policy.Fail, tc.size), explained(policy.Inconclusive, tc.size),
			}})
			e.Status.Measurements = []lifecyclev1.Measurement{{Name: "a", Query: strings.Repeat("q", 500)}}
			evaluation.Fit(e)
			var left []string
			for _, rule := range slices.Sorted(maps.Keys(e.Status.EvaluationStatus)) {
				if len(e.Status.EvaluationStatus[rule].Explain) > 0 {
					left = append(left, rule)
				}
			}
			if diff := cmp.Diff(tc.left, left); diff != "" {
				t.Errorf("%s Explained (-want +got):\n%s", tc.reason, diff)
			}
			if s := e.Status; len(s.Measurements[0].Query) != 500 || s.Score != "0.5" || s.MaxScore != "3" {
				t.Errorf("%s score %s of %s, a query of %d bytes", tc.reason, s.Score, s.MaxScore, len(s.Measurements[0].Query))
			}
		})
	}
}
