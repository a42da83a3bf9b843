package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
)

func TestBurnRatesAreReadOverAFewWindows(t *testing.T) {
	compile := func(windows int) error {
		var rules []v1alpha1.Rule
		for i := range windows {
			rules = append(rules, v1alpha1.Rule{Name: fmt.Sprint("r", i), Expression: fmt.Sprintf("slo.a.burnRate('%dm') < 1 && slo.a.burnRate('1m') < 1", i+1)})
		}
		_, err := policy.Compile("p", v1alpha1.SLOPolicySpec{
			SLOs:  []v1alpha1.SLO{{Name: "a", Objective: 99, Window: &v1alpha1.SLOWindow{Rolling: "30d"}, Ratio: &v1alpha1.RatioIndicator{Bad: "b", Total: "t"}}},
			Rules: rules,
		})
		return err
	}
	if err := compile(64); err != nil {
		t.Errorf("64 windows: %v", err)
	}
	if err := compile(65); err == nil || !strings.Contains(err.Error(), "more than 64 windows") {
		t.Errorf("65 windows: %v, want that they are too many", err)
	}
}
