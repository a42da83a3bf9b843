package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/gittest"
)

const goodLifecycle = `apiVersion: gitops.keptn.sh/v1alpha1
kind: Lifecycle
metadata:
  name: checkout
spec:
  postDeployment:
    policies: [slo]
---
apiVersion: gitops.keptn.sh/v1alpha1
kind: SLOPolicy
metadata:
  name: slo
spec:
  metrics:
    - {name: errors, provider: {name: prometheus}, query: errors}
    - {name: requests, provider: {name: prometheus}, query: requests}
  rules:
    - name: error-ratio
      expression: metrics.errors / metrics.requests < 0.01
      warning: metrics.errors / metrics.requests > 0.005
`

// keptn runs the program and returns what it printed and its exit code.
func keptn(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), &out, &errs, args...)
	return out.String(), errs.String(), code
}

// folder writes files into a folder of the test's own.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCheckNamesEveryProblemByItsPlaceAndExitsByWhatItFound(t *testing.T) {
	typo := strings.Replace(goodLifecycle, "    policies:", "    polices:", 1)
	cel := strings.Replace(goodLifecycle, "errors / metrics.requests < 0.01", "errrors / metrics.requests < 0.01", 1)
	cases := map[string]struct {
		reason string
		dir    string
		want   []string
		code   int
	}{
		"Fine":      {"A valid file is listed as it is.", folder(t, map[string]string{"a/lifecycle.yaml": goodLifecycle}), []string{"ok checkout (a)"}, 0},
		"Nothing":   {"A folder without a lifecycle.yaml is not wrong.", folder(t, nil), []string{"no lifecycle.yaml found"}, 0},
		"Field":     {"An unknown field is named where it is.", folder(t, map[string]string{"a/lifecycle.yaml": typo}), []string{"a/lifecycle.yaml:7:5: "}, 1},
		"CEL":       {"A CEL error is placed within its expression.", folder(t, map[string]string{"a/lifecycle.yaml": cel}), []string{`a/lifecycle.yaml:19:19: policy "slo": spec.rules[0].expression: `}, 1},
		"All":       {"One broken file does not hide another.", folder(t, map[string]string{"a/lifecycle.yaml": typo, "b/lifecycle.yaml": strings.Replace(cel, "name: checkout", "name: cart", 1)}), []string{"a/lifecycle.yaml:7:5: ", "b/lifecycle.yaml:19:19: "}, 1},
		"NoFolder":  {"What is not there cannot be looked at.", filepath.Join(t.TempDir(), "none"), []string{"no such file or directory"}, 2},
		"NotFolder": {"A file is not a folder.", filepath.Join(folder(t, map[string]string{"x": ""}), "x"), []string{"is not a folder"}, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := keptn(t, "check", c.dir)
			if code != c.code {
				t.Errorf("%s: exit code %d, want %d; it said: %s%s", c.reason, code, c.code, stdout, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(stdout+stderr, want) {
					t.Errorf("%s: want %q in:\n%s%s", c.reason, want, stdout, stderr)
				}
			}
		})
	}
}

func TestCheckPrintsJSON(t *testing.T) {
	dir := folder(t, map[string]string{"apps/a/lifecycle.yaml": strings.Replace(goodLifecycle, "    policies:", "    polices:", 1)})
	stdout, stderr, code := keptn(t, "check", dir, "-o", "json")
	var got struct {
		Apps     []checkedApp
		Problems []struct {
			File         string
			Line, Column int
			Severity     string
		}
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 1 {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if p := got.Problems[0]; p.File != "apps/a/lifecycle.yaml" || p.Line != 7 || p.Column != 5 || p.Severity != "error" {
		t.Errorf("problem is at %+v", p)
	}
}

func TestCheckLooksAtACommitOfALocalOrRemoteRepository(t *testing.T) {
	server := gittest.New(t)
	repo := server.Create(t, "shop")
	good := repo.Commit("main", "Good", map[string]string{"a/lifecycle.yaml": goodLifecycle})
	repo.Tag("v1", good, "")
	repo.Commit("main", "Bad", map[string]string{"a/lifecycle.yaml": "kind: Lifecycle\n"})
	for _, c := range []struct {
		where, ref string
		code       int
	}{
		{repo.URL, "", 1},
		{repo.URL, "main", 1},
		{repo.URL, "v1", 0},
		{repo.URL, good, 0},
		{repo.URL, "none", 2},
		{"file://" + repo.Dir, "v1", 0},
		{server.URL + "/none.git", "", 2},
	} {
		args := []string{"check", c.where}
		if c.ref != "" {
			args = append(args, "--ref", c.ref)
		}
		if stdout, stderr, code := keptn(t, args...); code != c.code {
			t.Errorf("check %s --ref %q: exit code %d, want %d: %s%s", c.where, c.ref, code, c.code, stdout, stderr)
		}
	}
}

func TestOverlaysOfSeveralEnvironmentsAreNoProblemOfTheirAuthor(t *testing.T) {
	dir := folder(t, map[string]string{
		"base/lifecycle.yaml":             goodLifecycle,
		"base/kustomization.yaml":         "resources: []\n",
		"env/staging/kustomization.yaml":  "resources: [../../base]\n",
		"env/prod/kustomization.yaml":     "resources: [../../base]\n",
		"elsewhere/unrelated/config.yaml": "a: b\n",
	})
	if stdout, stderr, code := keptn(t, "check", dir); code != 0 {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

func TestPolicyEvalExitsByTheVerdict(t *testing.T) {
	cases := map[string]struct {
		metrics string
		verdict string
		code    int
	}{
		"Pass":         {"metrics: {errors: 1, requests: 1000}", "pass", 0},
		"Warning":      {"metrics: {errors: 8, requests: 1000}", "warning", 0},
		"Fail":         {"metrics: {errors: 31, requests: 1000}", "fail", 1},
		"NoData":       {"metrics: {errors: null, requests: 1000}", "inconclusive", 3},
		"NotANumber":   {"metrics: {errors: 0, requests: 0}", "inconclusive", 3},
		"NaN":          {"metrics: {errors: .nan, requests: 1000}", "inconclusive", 3},
		"Series":       {"metrics: {errors: [{labels: {a: b}, value: 1}, {labels: {a: c}, value: 2}], requests: 1000}", "inconclusive", 3},
		"OneSeries":    {"metrics: {errors: [{value: 1}], requests: 1000}", "pass", 0},
		"NothingGiven": {"{}", "inconclusive", 3},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{"lifecycle.yaml": goodLifecycle, "metrics.yaml": c.metrics})
			stdout, stderr, code := keptn(t, "policy", "eval", "--policy", filepath.Join(dir, "lifecycle.yaml"), "--metrics", filepath.Join(dir, "metrics.yaml"), "-o", "json")
			var got map[string]any
			if err := json.Unmarshal([]byte(stdout), &got); err != nil {
				t.Fatalf("%v: %s%s", err, stdout, stderr)
			}
			if got["verdict"] != c.verdict || code != c.code {
				t.Errorf("verdict %v, exit code %d; want %s, %d", got["verdict"], code, c.verdict, c.code)
			}
			for _, key := range []string{"score", "maxScore", "rules"} {
				if _, ok := got[key]; !ok {
					t.Errorf("no %q in %s", key, stdout)
				}
			}
		})
	}
}

func TestPolicyEvalExplainsWithTheValuesOfSubExpressions(t *testing.T) {
	dir := folder(t, map[string]string{"p.yaml": goodLifecycle, "m.yaml": "metrics: {errors: 31, requests: 1000}"})
	stdout, stderr, _ := keptn(t, "policy", "eval", "--policy", filepath.Join(dir, "p.yaml"), "--metrics", filepath.Join(dir, "m.yaml"))
	for _, want := range []string{"fail", "3.1% ≥ 1%", "metrics.errors = 31", "metrics.errors / metrics.requests = 0.031"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("want %q in:\n%s%s", want, stdout, stderr)
		}
	}
	if strings.Contains(stdout, "\x1b") {
		t.Error("what is piped has colours in it")
	}
}

func TestPolicyEvalAsksAPrometheus(t *testing.T) {
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		value := map[string]string{"errors": "1", "requests": "1000"}[r.FormValue("query")]
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[` + r.FormValue("time") + `,"` + value + `"]}]}}`))
	}))
	defer prometheus.Close()
	dir := folder(t, map[string]string{"p.yaml": goodLifecycle})
	stdout, stderr, code := keptn(t, "policy", "eval", "--policy", filepath.Join(dir, "p.yaml"), "--provider", prometheus.URL)
	if code != 0 || !strings.HasPrefix(stdout, "pass") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

func TestWhatCannotBeEvaluatedIsAnErrorThatSaysWhy(t *testing.T) {
	two := goodLifecycle + strings.Replace(goodLifecycle[strings.Index(goodLifecycle, "---"):], "name: slo", "name: other", 1)
	dir := folder(t, map[string]string{
		"good.yaml": goodLifecycle, "two.yaml": two, "m.yaml": "metrics: {errors: many}",
		"none.yaml": goodLifecycle[:strings.Index(goodLifecycle, "---")],
	})
	cases := map[string]struct {
		args []string
		want string
	}{
		"NoFile":     {[]string{"--policy", "nowhere.yaml"}, "no such file"},
		"NoPolicy":   {[]string{"--policy", filepath.Join(dir, "none.yaml")}, "holds no SLOPolicy"},
		"Several":    {[]string{"--policy", filepath.Join(dir, "two.yaml")}, "choose one with --name: slo, other"},
		"WrongName":  {[]string{"--policy", filepath.Join(dir, "two.yaml"), "--name", "third"}, `holds no policy "third"`},
		"BadMetrics": {[]string{"--policy", filepath.Join(dir, "good.yaml"), "--metrics", filepath.Join(dir, "m.yaml")}, "m.yaml"},
		"BadFormat":  {[]string{"--policy", filepath.Join(dir, "good.yaml"), "-o", "xml"}, "text or json"},
		"NoFlag":     {nil, `required flag(s) "policy" not set`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := keptn(t, append([]string{"policy", "eval"}, c.args...)...)
			if code != exitError || !strings.Contains(stderr, c.want) {
				t.Errorf("exit code %d, want %d and %q in: %s%s", code, exitError, c.want, stdout, stderr)
			}
		})
	}
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	for _, args := range [][]string{{"check"}, {"policy", "eval"}, {"controller"}} {
		stdout, _, code := keptn(t, append(args, "--help")...)
		if code != 0 || !strings.Contains(stdout, "Examples:\n  keptn "+strings.Join(args, " ")) {
			t.Errorf("%v: exit code %d: %s", args, code, stdout)
		}
	}
	stdout, _, _ := keptn(t, "--version")
	if diff := cmp.Diff("keptn version dev\n", stdout); diff != "" {
		t.Error(diff)
	}
}
