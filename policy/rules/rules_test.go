package rules_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/rules"
)

const (
	badRequests = `sum(increase(http_requests_total{code=~"5.."}[{{.window}}])) # of all pods`
	requests    = `sum(increase(http_requests_total[{{.window}}]))`
)

// availability is an SLO of 99.9% over 30 days.
func availability() v1alpha1.SLO {
	return v1alpha1.SLO{
		Name: "availability", Objective: 99.9, Window: &v1alpha1.SLOWindow{Rolling: "30d"},
		Ratio: &v1alpha1.RatioIndicator{Bad: badRequests, Total: requests},
	}
}

func latency() v1alpha1.SLO {
	return v1alpha1.SLO{
		Name: "latency", Objective: 99.9, Window: &v1alpha1.SLOWindow{Rolling: "30d"},
		Threshold: &v1alpha1.ThresholdIndicator{Query: "latency_seconds", Op: "lt", Value: 0.5},
	}
}

func with(s v1alpha1.SLO, change func(*v1alpha1.SLO)) v1alpha1.SLO {
	change(&s)
	return s
}

func rulesFor(slos ...v1alpha1.SLO) (rules.Groups, error) {
	return rules.For("checkout-slo", v1alpha1.SLOPolicySpec{SLOs: slos}, policy.QueryData{})
}

func TestFactorsFollowFromTheWindow(t *testing.T) {
	cases := map[string]struct {
		reason    string
		window    v1alpha1.Period
		objective float64
		limits    []string // of the alerts
		notes     int
	}{
		"Month":     {"The workbook's own.", "30d", 99.9, []string{"14.4 * 0.001", "6 * 0.001", "1 * 0.001"}, 0},
		"FourWeeks": {"Slightly less of each.", "28d", 99.9, []string{"13.44 * 0.001", "5.6 * 0.001", "0.933333 * 0.001"}, 0},
		"Week":      {"A tenth of a week's budget may go within 3 days.", "1w", 99, []string{"3.36 * 0.01", "1.4 * 0.01"}, 1},
		"Day":       {"A day is too short for each of them.", "1d", 99, nil, 3},
		"Lax":       {"A budget of 10% cannot burn 14.4 times as fast.", "30d", 90, []string{"6 * 0.1", "1 * 0.1"}, 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			groups, err := rulesFor(with(availability(), func(s *v1alpha1.SLO) {
				s.Objective, s.Window = tc.objective, &v1alpha1.SLOWindow{Rolling: tc.window}
			}))
			if err != nil {
				t.Fatal(err)
			}
			var limits []string
			for _, rule := range groups.Groups[0].Rules {
				if rule.Alert == "" {
					continue
				}
				for line := range strings.Lines(rule.Expr) {
					if _, limit, ok := strings.Cut(strings.TrimSpace(line), " > "); ok && !slices.Contains(limits, limit) {
						limits = append(limits, limit)
					}
				}
			}
			if diff := cmp.Diff(tc.limits, limits); diff != "" || len(groups.Notes) != tc.notes {
				t.Errorf("%s: %s, notes %q", tc.reason, diff, groups.Notes)
			}
		})
	}
}

func TestWhatHasNoRulesSaysWhy(t *testing.T) {
	cases := map[string]struct {
		reason string
		slo    v1alpha1.SLO
		note   string
		rules  bool
	}{
		"Calendar": {"A calendar's window is a rolling one here.", with(availability(), func(s *v1alpha1.SLO) {
			s.Window = &v1alpha1.SLOWindow{Calendar: "month"}
		}), "rolling window of 30d", true},
		"Counter": {"A counter's own query has no window.", with(availability(), func(s *v1alpha1.SLO) {
			s.Ratio = &v1alpha1.RatioIndicator{Bad: "errors_total", Total: requests, Counter: true}
		}), "bad does not read the window", false},
		"Total": {"Nor may the total lack it.", with(availability(), func(s *v1alpha1.SLO) {
			s.Ratio = &v1alpha1.RatioIndicator{Good: requests, Total: "requests_total"}
		}), "total does not read the window", false},
		"Timeslices": {"Slices are not recorded.", with(availability(), func(s *v1alpha1.SLO) {
			s.Timeslices = &v1alpha1.Timeslices{}
		}), "timeslices", false},
		"Composite": {"Nor is what joins others.", with(availability(), func(s *v1alpha1.SLO) {
			s.Ratio, s.Composite = nil, []v1alpha1.SLOPart{{SLO: "x"}}
		}), "its parts have", false},
		"OpenSLO":  {"One that was not resolved.", v1alpha1.SLO{Name: "availability", OpenSLO: "web"}, "not resolved", false},
		"Template": {"A query that cannot be filled in.", with(availability(), func(s *v1alpha1.SLO) { s.Ratio = &v1alpha1.RatioIndicator{Bad: requests, Total: "{{.params.team}}"} }), "total: ", false},
		"Window":   {"A window that is none.", with(availability(), func(s *v1alpha1.SLO) { s.Window = &v1alpha1.SLOWindow{Rolling: "soon"} }), "no period", false},
		"NoWindow": {"None at all.", with(availability(), func(s *v1alpha1.SLO) { s.Window = nil }), "no window", false},
		"Nothing":  {"Nothing to count.", with(availability(), func(s *v1alpha1.SLO) { s.Ratio = nil }), "neither", false},
		"All":      {"No error budget.", with(availability(), func(s *v1alpha1.SLO) { s.Objective = 100 }), "no error budget", false},
		"Op":       {"A comparison that there is not.", with(latency(), func(s *v1alpha1.SLO) { s.Threshold = &v1alpha1.ThresholdIndicator{Query: "x", Op: "eq"} }), "unknown", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			groups, err := rulesFor(latencyOfAll(), tc.slo)
			if err != nil {
				t.Fatal(err)
			}
			if len(groups.Notes) != 1 || !strings.HasPrefix(groups.Notes[0], `slo "`+tc.slo.Name+`": `) || !strings.Contains(groups.Notes[0], tc.note) {
				t.Errorf("%s: notes %q, want %q", tc.reason, groups.Notes, tc.note)
			}
			if got := len(groups.Groups) == 2; got != tc.rules {
				t.Errorf("%s: it has rules: %v", tc.reason, got)
			}
			if _, err := rulesFor(tc.slo); (err == nil) != tc.rules || err != nil && !strings.Contains(err.Error(), tc.note) {
				t.Errorf("%s: alone: error %v", tc.reason, err)
			}
		})
	}
	if _, err := rulesFor(); err == nil || !strings.Contains(err.Error(), "no slos") {
		t.Errorf("a policy without slos: %v", err)
	}
}

// latencyOfAll is an SLO that always has rules.
func latencyOfAll() v1alpha1.SLO {
	return with(latency(), func(s *v1alpha1.SLO) { s.Name = "all" })
}

func TestRulesAreWritten(t *testing.T) {
	groups, err := rules.For("checkout-slo", v1alpha1.SLOPolicySpec{SLOs: []v1alpha1.SLO{
		availability(), with(availability(), func(s *v1alpha1.SLO) { s.Name, s.Timeslices = "sliced", &v1alpha1.Timeslices{} }),
	}}, policy.QueryData{App: "checkout", Environment: "prod"})
	if err != nil {
		t.Fatal(err)
	}
	file, err := groups.YAML()
	if err != nil || !strings.HasPrefix(string(file), "# slo \"sliced\": timeslices have no rules") {
		t.Errorf("%v:\n%s", err, file)
	}
	object, err := groups.PrometheusRule("checkout", map[string]string{"release": "monitoring"})
	if err != nil {
		t.Fatal(err)
	}
	var written struct {
		APIVersion, Kind string
		Metadata         struct {
			Name   string
			Labels map[string]string
		}
		Spec rules.Groups
	}
	if err := yaml.UnmarshalStrict(object, &written); err != nil {
		t.Fatal(err)
	}
	if written.APIVersion != "monitoring.coreos.com/v1" || written.Kind != "PrometheusRule" || written.Metadata.Name != "checkout" || written.Metadata.Labels["release"] != "monitoring" {
		t.Errorf("object %+v", written)
	}
	groups.Notes = nil
	if diff := cmp.Diff(groups, written.Spec); diff != "" {
		t.Error(diff)
	}
	for _, rule := range written.Spec.Groups[0].Rules {
		want := map[string]string{"service": "checkout-slo", "slo": "availability", "app": "checkout", "environment": "prod"}
		if rule.Alert != "" {
			want["severity"] = rule.Labels["severity"]
		}
		if diff := cmp.Diff(want, rule.Labels); diff != "" {
			t.Errorf("%s%s: %s", rule.Record, rule.Alert, diff)
		}
	}
	if name := written.Spec.Groups[0].Name; name != "keptn-slo-checkout-prod-checkout-slo-availability" {
		t.Errorf("group %q", name)
	}
}
