package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

const burnedPolicy = `apiVersion: gitops.keptn.sh/v1alpha1
kind: SLOPolicy
metadata: {name: burned}
spec:
  slos:
    - name: availability
      objective: 99
      window: {rolling: 30d}
      ratio:
        provider: {name: prometheus}
        bad: errors[{{.window}}]
        total: requests[{{.window}}]
  rules:
    - name: burn
      expression: slo.availability.burned == null || slo.availability.burned < 0.2
`

// TestPolicyEvalTellsWhatARolloutBurned: of 10,000 requests in 30 days 100 may fail.
func TestPolicyEvalTellsWhatARolloutBurned(t *testing.T) {
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		value := map[string]string{"errors[30d]": "50", "requests[30d]": "10000", "errors[10m]": "31", "requests[10m]": "60"}[r.FormValue("query")]
		if value == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[%s,%q]}]}}`, r.FormValue("time"), value)
	}))
	defer prometheus.Close()
	const begun = "now: 2026-11-01T12:10:00Z\nrollout: {startedAt: 2026-11-01T12:00:00Z}\n"
	cases := map[string]struct {
		reason, metrics string
		provider        bool
		want            string // part of the output
		code            int
	}{
		"Asked":     {"With the begin of the rollout a provider is asked what failed since then.", begun, true, "burned 31% of availability's budget", 1},
		"NoRollout": {"Without it that is not known.", "", true, "slo.availability.burned == null = true", 0},
		"Given":     {"A file can say it.", begun + "slo: {availability: {objective: 99, budgetRemaining: 0.5, burned: 0.031}}", true, "burned 3.1% of availability's budget", 0},
		"TooMuch":   {"Also without a provider.", "slo: {availability: {objective: 99, good: 9950, total: 10000, burned: 0.5}}", false, "availability.burned = 0.5", 1},
		"None":      {"Or that nothing was.", "slo: {availability: {objective: 99, good: 9950, total: 10000, burned: 0}}", false, "burned no error budget", 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{"p.yaml": burnedPolicy, "m.yaml": tc.metrics})
			args := []string{"policy", "eval", "--policy", filepath.Join(dir, "p.yaml"), "--metrics", filepath.Join(dir, "m.yaml")}
			if tc.provider {
				args = append(args, "--provider", prometheus.URL)
			}
			stdout, stderr, code := keptn(t, args...)
			if code != tc.code || !strings.Contains(stdout, tc.want) {
				t.Errorf("%s: exit code %d, want %d with %q:\n%s%s", tc.reason, code, tc.code, tc.want, stdout, stderr)
			}
			if known := !strings.Contains(tc.want, "null"); strings.Contains(stdout, "\nburned ") != known {
				t.Errorf("%s: the last line says what is not known, or not what is:\n%s", tc.reason, stdout)
			}
		})
	}
}
