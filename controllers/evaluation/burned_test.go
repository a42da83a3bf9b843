package evaluation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/policy/metric"
)

// burning fails where a rollout burned a fifth of the budget: of 10,000 requests in 30
// days 100 may fail.
func burning() *gitopsv1alpha1.SLOPolicySpec {
	return &gitopsv1alpha1.SLOPolicySpec{
		Timeout: &metav1.Duration{Duration: 10 * time.Second},
		SLOs: []gitopsv1alpha1.SLO{{
			Name: "availability", Objective: 99, Window: &gitopsv1alpha1.SLOWindow{Rolling: "30d"},
			Ratio: &gitopsv1alpha1.RatioIndicator{Provider: gitopsv1alpha1.ProviderReference{Name: "p"}, Bad: "errors[{{.window}}]", Total: "requests[{{.window}}]"},
		}},
		Rules: []gitopsv1alpha1.Rule{{Name: "burn", Expression: "slo.availability.burned == null || slo.availability.burned < 0.2"}},
	}
}

func TestAnEvaluationTellsWhatTheRolloutBurned(t *testing.T) {
	const missing = -1
	cases := map[string]struct {
		reason  string
		failed  float64 // in the 5 minutes since the rollout began
		rollout *lifecyclev1.Rollout
		want    lifecyclev1.SLOStatus
		verdict lifecyclev1.Verdict
		summary string
	}{
		"Little": {
			"A part of the whole window's budget.", 3.1, &lifecyclev1.Rollout{StartedAt: after(-5 * time.Minute)},
			lifecyclev1.SLOStatus{BudgetBurned: "3.1%"}, "pass", "; burned 3.1% of availability's budget",
		},
		"Much": {
			"A rule can fail on it.", 31, &lifecyclev1.Rollout{StartedAt: after(-5 * time.Minute)},
			lifecyclev1.SLOStatus{BudgetBurned: "31%"}, "fail", "burn: slo.availability.burned == null is false, slo.availability.burned 31% ≥ 20%; burned 31% of availability's budget",
		},
		"Nothing": {
			"Which is worth saying.", 0, &lifecyclev1.Rollout{StartedAt: after(-5 * time.Minute)},
			lifecyclev1.SLOStatus{BudgetBurned: "0%"}, "pass", "; burned no error budget",
		},
		"Missing": {
			"It can be missing alone.", missing, &lifecyclev1.Rollout{StartedAt: after(-5 * time.Minute)},
			lifecyclev1.SLOStatus{Message: "budget burned: total: no data"}, "pass", "is true",
		},
		"Before": {
			"Before the rollout, and without one, there is nothing to tell.", 31, &lifecyclev1.Rollout{},
			lifecyclev1.SLOStatus{}, "pass", "is true",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			answer := func(q metric.Query) (float64, error) {
				value := map[string]float64{"errors[30d]": 50, "requests[30d]": 10_000, "errors[5m]": tc.failed, "requests[5m]": 100}
				n, known := value[q.Expr]
				if !known || tc.failed == missing && q.Expr == "requests[5m]" {
					return 0, metric.ErrNoData
				}
				return n, nil
			}
			spec := lifecyclev1.KeptnEvaluationSpec{EvaluationDefinition: "checkout", Policy: burning(), Rollout: tc.rollout}
			e, _ := newClusterOf(t, spec, answer).reconcile(t)
			tc.want.Name, tc.want.ErrorRatio, tc.want.BudgetRemaining = "availability", "0.5%", "50%"
			if diff := cmp.Diff([]lifecyclev1.SLOStatus{tc.want}, e.Status.SLOs); diff != "" {
				t.Errorf("%s: (-want +got):\n%s", tc.reason, diff)
			}
			if e.Status.Verdict != tc.verdict || !strings.HasSuffix(e.Status.Summary, tc.summary) {
				t.Errorf("%s: %s, %q", tc.reason, e.Status.Verdict, e.Status.Summary)
			}
		})
	}
}
