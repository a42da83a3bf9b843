package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const askedPolicy = `---
apiVersion: gitops.keptn.sh/v1alpha1
kind: SLOPolicy
metadata:
  name: asked
spec:
  params: [{name: region}]
  metrics:
    - {name: errors, provider: {name: prometheus}, query: 'errors{app="{{.app}}",region="{{.params.region}}"}'}
  rules:
    - {name: few, expression: metrics.errors < 10}
`

const askedLifecycle = `apiVersion: gitops.keptn.sh/v1alpha1
kind: Lifecycle
metadata:
  name: cart
spec:
  params: {region: eu}
  postDeployment: {policies: [asked]}
`

func TestQueriesAreFilledInOrNotAsked(t *testing.T) {
	read := func(field string) string { return strings.Replace(askedPolicy, "{{.app}}", "{{."+field+"}}", 1) }
	cases := map[string]struct {
		reason, policy, metrics string
		args                    []string
		asked, refused          string
	}{
		"Flags":     {"Flags go before all.", askedLifecycle + askedPolicy, "{rollout: {app: shop}, params: {region: us}}", []string{"--app", "checkout", "--param", "region=ap"}, `errors{app="checkout",region="ap"}`, ""},
		"File":      {"The file goes before the Lifecycle.", askedLifecycle + askedPolicy, "{rollout: {app: shop}, params: {region: us}}", nil, `errors{app="shop",region="us"}`, ""},
		"Lifecycle": {"The name of the Lifecycle is the app's.", askedLifecycle + askedPolicy, "", nil, `errors{app="cart",region="eu"}`, ""},
		"App":       {"Unless it gives another.", strings.Replace(askedLifecycle, "spec:", "spec:\n  app: basket", 1) + askedPolicy, "", nil, `errors{app="basket",region="eu"}`, ""},
		"Two":       {"Of two Lifecycles none is meant.", askedLifecycle + "---\n" + strings.Replace(askedLifecycle, "name: cart", "name: two", 1) + askedPolicy, "", []string{"--param", "region=eu"}, "", `metric "errors": its query reads .app: give --app, or rollout: {app: …} in --metrics`},
		"NoApp":     {"An empty app would find no errors.", askedPolicy, "", []string{"--param", "region=eu"}, "", `metric "errors": its query reads .app: give --app`},
		"NoParam":   {"Nor would an empty param.", askedPolicy, "", []string{"--app", "a"}, "", "params.region is neither set nor has a default: set it in the Lifecycle, or give --param"},
		"Other":     {"A flag fills in environment and namespace.", read("namespace"), "", []string{"--namespace", "n", "--param", "region=eu"}, `errors{app="n",region="eu"}`, ""},
		"NoOther":   {"Which are empty otherwise.", read("environment"), "", []string{"--param", "region=eu"}, "", "reads .environment: give --environment, or rollout"},
		"Version":   {"A version is the rollout's.", read("version"), "", []string{"--param", "region=eu"}, "", "reads .version: give rollout: {version: …} in --metrics"},
		"Commit":    {"A commit has a file.", read("commit"), "", []string{"--param", "region=eu"}, "", "reads .commit: give --commit, or commit: {sha: …} in --metrics"},
		"Given":     {"What is given is not asked for.", askedPolicy, "{metrics: {errors: 1}}", nil, "", ""},
		"Param":     {"A misspelled param is not ignored.", askedPolicy, "", []string{"--param", "regoin=eu"}, "", "--param regoin: the policy declares no such param: it has region"},
		"InFile":    {"Nor is one of the file.", askedPolicy, "{params: {regoin: eu}}", nil, "", `m.yaml:1:11: policy "asked" has no param "regoin": it has region`},
		"Metric":    {"Nor a metric.", askedPolicy, "{metrics: &m {erors: 1}, baseline: *m}", nil, "", `m.yaml:1:15: policy "asked" has no metric "erors": it has errors`},
		"SLO":       {"Nor an slo.", askedPolicy, "{slo: {a: null}}", nil, "", `policy "asked" has no slos`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var asked []string
			prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, r.FormValue("query"))
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[` + r.FormValue("time") + `,"1"]}]}}`))
			}))
			defer prometheus.Close()
			dir := folder(t, map[string]string{"p.yaml": tc.policy, "m.yaml": tc.metrics})
			args := []string{"policy", "eval", "--policy", filepath.Join(dir, "p.yaml"), "--provider", prometheus.URL, "--metrics", filepath.Join(dir, "m.yaml")}
			stdout, stderr, code := keptn(t, append(args, tc.args...)...)
			mu.Lock()
			defer mu.Unlock()
			if got := strings.Join(asked, "\n"); got != tc.asked {
				t.Errorf("%s: asked %q, want %q", tc.reason, got, tc.asked)
			}
			want := map[bool]int{true: exitError, false: 0}[tc.refused != ""]
			if code != want || !strings.Contains(stderr, tc.refused) {
				t.Errorf("%s: exit code %d, want %d and %q in: %s%s", tc.reason, code, want, tc.refused, stdout, stderr)
			}
		})
	}
}
