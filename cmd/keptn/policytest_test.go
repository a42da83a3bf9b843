package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const goodTest = `tests:
  - name: few errors pass
    metrics: {errors: 1, requests: 1000}
    expect: {verdict: pass, rules: {error-ratio: pass}}
  - name: many errors fail
    metrics: {errors: 31, requests: 1000}
    expect: {verdict: fail, messages: {error-ratio: 3\.1%}, score: 0}
`

func TestPolicyTestTellsWhatDiffersAndWhatWasNeverSeen(t *testing.T) {
	wrong := strings.Replace(goodTest, "verdict: pass, rules: {error-ratio: pass}", "verdict: warning, rules: {error-ratio: warning}", 1)
	two := goodLifecycle + strings.Replace(goodLifecycle[strings.Index(goodLifecycle, "---"):], "name: slo", "name: other", 1)
	cases := map[string]struct {
		reason string
		files  map[string]string
		args   []string
		stdout string
		stderr string
		code   int
	}{
		"Pass": {"What passes is one line, and what no test has seen is told.",
			map[string]string{"a/lifecycle.yaml": goodLifecycle, "a/lifecycle_test.yaml": goodTest}, nil,
			`ok    a/lifecycle_test.yaml: 2 tests

slo (a/lifecycle.yaml): 2 of 4 outcomes (50%): error-ratio never warned or was inconclusive
2 tests passed, 0 failed; coverage 50% (2 of 4 outcomes)
`, "", 0},
		"Fail": {"What differs is explained, by the rule that differs.",
			map[string]string{"a/lifecycle.yaml": goodLifecycle, "a/lifecycle_test.yaml": wrong}, []string{"a"},
			`FAIL  a/lifecycle_test.yaml: 1 of 2 tests failed
  line 2: few errors pass
    verdict: got pass, want warning
    error-ratio: got pass, want warning
      error-ratio pass: error-ratio 0.1% < 1%
        metrics.errors = 1
        metrics.requests = 1000
        metrics.errors / metrics.requests = 0.001
        metrics.errors / metrics.requests < 0.01 = true
        metrics.errors / metrics.requests > 0.005 = false

slo (a/lifecycle.yaml): 2 of 4 outcomes (50%): error-ratio never warned or was inconclusive
1 test passed, 1 failed; coverage 50% (2 of 4 outcomes)
`, "", 1},
		"Verdict": {"Where no rule is named, those are explained that do not simply hold.",
			map[string]string{
				"lifecycle.yaml":      goodLifecycle + "    - {name: traffic, expression: metrics.requests > 0}\n",
				"lifecycle_test.yaml": "tests: [{name: a, metrics: {errors: 8, requests: 1000}, expect: {verdict: pass, score: 2}}]\n",
			}, nil,
			`FAIL  lifecycle_test.yaml: 1 of 1 test failed
  line 1: a
    verdict: got warning, want pass
    score: got 1.5, want 2
      error-ratio warning: error-ratio 0.8% > 0.5%
        metrics.errors = 8
        metrics.requests = 1000
        metrics.errors / metrics.requests = 0.008
        metrics.errors / metrics.requests < 0.01 = true
        metrics.errors / metrics.requests > 0.005 = true

slo (lifecycle.yaml): 2 of 7 outcomes (28%): error-ratio never passed or failed or was inconclusive; traffic never failed or was inconclusive
0 tests passed, 1 failed; coverage 28% (2 of 7 outcomes)
`, "", 1},
		"Run": {"Only tests that match run.",
			map[string]string{"lifecycle.yaml": goodLifecycle, "lifecycle_test.yaml": wrong}, []string{"--run", "^many"},
			`ok    lifecycle_test.yaml: 1 test

slo (lifecycle.yaml): 1 of 4 outcomes (25%): error-ratio never passed or warned or was inconclusive
1 test passed, 0 failed; coverage 25% (1 of 4 outcomes)
`, "", 0},
		"Low": {"A policy without tests counts too, and what is not covered can fail.",
			map[string]string{"a/lifecycle.yaml": goodLifecycle, "b/lifecycle.yaml": goodLifecycle, "a/lifecycle_test.yaml": goodTest}, []string{"--min-coverage", "25.5"},
			`ok    a/lifecycle_test.yaml: 2 tests

slo (a/lifecycle.yaml): 2 of 4 outcomes (50%): error-ratio never warned or was inconclusive
slo (b/lifecycle.yaml): 0 of 4 outcomes (0%): not tested
2 tests passed, 0 failed; coverage 25% (2 of 8 outcomes)
FAIL: the coverage is below 25.5%
`, "", 1},
		"Others": {"Other files are left alone, and a policy can be elsewhere.",
			map[string]string{
				"p/slo.yaml": two, "p/deployment.yaml": "kind: [\n", "rules/rules_test.yaml": "rule_files: [x]\ntests: []\n", ".cache/x_test.yaml": "x",
				"t/a_test.yaml": "file: ../p/slo.yaml\npolicy: slo\n" + goodTest + "---\nfile: ../p/slo.yaml\npolicy: other\n" + goodTest,
			}, nil,
			`?     rules/rules_test.yaml: no policy beside it
ok    t/a_test.yaml: 4 tests

slo (p/slo.yaml): 2 of 4 outcomes (50%): error-ratio never warned or was inconclusive
other (p/slo.yaml): 2 of 4 outcomes (50%): error-ratio never warned or was inconclusive
4 tests passed, 0 failed; coverage 50% (4 of 8 outcomes)
`, "", 0},
		"Broken": {"One file that cannot be tested hides no other.",
			map[string]string{
				"a/lifecycle.yaml": two, "a/a_test.yaml": goodTest, "a/b_test.yaml": "policy: third\n" + goodTest,
				"b/lifecycle.yaml": goodLifecycle, "b/a_test.yaml": goodTest, "b/b_test.yaml": strings.Replace(goodTest, "31", "many", 1),
				"b/c_test.yaml": strings.Replace(goodTest, "errors: 31", "eror: 31", 1),
			}, nil,
			`ERROR a/a_test.yaml: cannot be tested
  a/a_test.yaml:1:1: a holds several policies: choose one with policy: slo, other
ERROR a/b_test.yaml: cannot be tested
  a/b_test.yaml:1:9: a holds no policy "third": it has slo, other
ok    b/a_test.yaml: 2 tests
ERROR b/b_test.yaml: cannot be tested
  b/b_test.yaml:6:23: metrics.errors is neither a number, .nan, null nor a list of series
ERROR b/c_test.yaml: cannot be tested
  b/c_test.yaml:6:15: policy "slo" has no metric "eror": it has errors and requests

slo (a/lifecycle.yaml): 0 of 4 outcomes (0%): not tested
other (a/lifecycle.yaml): 0 of 4 outcomes (0%): not tested
slo (b/lifecycle.yaml): 2 of 4 outcomes (50%): error-ratio never warned or was inconclusive
2 tests passed, 0 failed; coverage 16% (2 of 12 outcomes)
`, "", 2},
		"None":       {"Without a test nothing is tested.", map[string]string{"a/lifecycle.yaml": goodLifecycle}, nil, "", "keptn: no tests in or below .: they are in files named *_test.yaml, beside a lifecycle.yaml or another file with an SLOPolicy\n", 2},
		"NoPolicy":   {"Nor without a policy.", map[string]string{"a/a_test.yaml": goodTest}, nil, "", "keptn: no tests in or below .: there is no policy beside a/a_test.yaml, and no file that it names\n", 2},
		"NoMatch":    {"Nor where no name matches.", map[string]string{"lifecycle.yaml": goodLifecycle, "a_test.yaml": goodTest}, []string{"--run", "soup"}, "", "keptn: no test in or below . matches --run \"soup\"\n", 2},
		"NoFolder":   {"What is not there cannot be tested.", nil, []string{"none"}, "", "keptn: find tests: lstat none: no such file or directory\n", 2},
		"NoFile":     {"Nor can a policy that is not there.", map[string]string{"a_test.yaml": "file: x.yaml\n" + goodTest}, nil, "ERROR a_test.yaml: cannot be tested\n  a_test.yaml:1:1: read policy: stat x.yaml: no such file or directory\n\n0 tests passed, 0 failed; coverage 0% (0 of 0 outcomes)\n", "", 2},
		"Pattern":    {"A pattern that is none.", nil, []string{"--run", "("}, "", "keptn: --run: error parsing regexp: missing closing ): `(`\n", 2},
		"Percentage": {"A percentage that is none.", nil, []string{"--min-coverage", "NaN"}, "", "keptn: --min-coverage NaN: has to be a percentage, 0 to 100\n", 2},
		"Format":     {"A format that is none.", nil, []string{"-o", "yaml"}, "", "keptn: -o \"yaml\": has to be text or json\n", 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Chdir(folder(t, tc.files))
			stdout, stderr, code := keptn(t, append([]string{"policy", "test"}, tc.args...)...)
			if diff := cmp.Diff(tc.stdout, stdout) + cmp.Diff(tc.stderr, stderr); diff != "" || code != tc.code {
				t.Errorf("%s: exit code %d, want %d (-want +got):\n%s", tc.reason, code, tc.code, diff)
			}
		})
	}
}

func TestAPolicyWithAMistakeCannotBeTested(t *testing.T) {
	broken := strings.Replace(goodLifecycle, "errors / ", "eror / ", 1)
	t.Chdir(folder(t, map[string]string{
		"a/lifecycle.yaml": broken, "a/a_test.yaml": goodTest, // with tests
		"b/lifecycle.yaml": broken, // without
		"c/lifecycle.yaml": goodLifecycle, "c/a_test.yaml": goodTest,
	}))
	stdout, stderr, code := keptn(t, "policy", "test")
	for _, want := range []string{
		"ERROR a/a_test.yaml: cannot be tested\n  a/lifecycle.yaml:19:", "ERROR b/lifecycle.yaml: cannot be tested\n  b/lifecycle.yaml:19:", "ok    c/a_test.yaml: 2 tests\n",
	} {
		if code != exitError || !strings.Contains(stdout, want) {
			t.Errorf("exit code %d, want %q in: %s%s", code, want, stdout, stderr)
		}
	}
}

func TestPolicyTestPrintsJSON(t *testing.T) {
	dir := folder(t, map[string]string{"lifecycle.yaml": goodLifecycle, "a_test.yaml": goodTest, "b_test.yaml": "tests: 1\n"})
	stdout, stderr, code := keptn(t, "policy", "test", dir, "-o", "json")
	var got struct {
		Files []struct {
			File     string
			Problems []struct{ Line, Column int }
			Tests    []struct {
				Policy, Name, Verdict string
				Line                  int
				Passed                bool
				Differences           []any
				Rules                 []struct{ Name, Result string }
			}
		}
		Coverage struct {
			Seen, Outcomes int
			Percent        float64
			Policies       []struct {
				Policy, File string
				Percent      float64
				Rules        []struct {
					Rule        string
					Seen, Never []string
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 2 {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	test := got.Files[0].Tests[1]
	if test.Policy != "slo" || test.Name != "many errors fail" || test.Line != 5 || !test.Passed || test.Differences == nil || test.Verdict != "fail" || test.Rules[0].Result != "fail" {
		t.Errorf("test %+v", test)
	}
	if p := got.Files[1].Problems[0]; p.Line != 1 || p.Column != 8 {
		t.Errorf("problem %+v", p)
	}
	rule := got.Coverage.Policies[0].Rules[0]
	if diff := cmp.Diff([][]string{{"pass", "fail"}, {"warning", "inconclusive"}}, [][]string{rule.Seen, rule.Never}); diff != "" || got.Coverage.Percent != 50 {
		t.Errorf("coverage %+v: %s", got.Coverage, diff)
	}
}

func TestAFileOfTestsIsNoManifest(t *testing.T) {
	dir := folder(t, map[string]string{
		"a/lifecycle.yaml": goodLifecycle, "a/lifecycle_test.yaml": goodTest,
		"a/deployment.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: c, image: 'c:1'}]}\n",
	})
	stdout, stderr, code := keptn(t, "check", dir)
	if code != 0 || stdout != "ok checkout (a)\n" {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

func TestTheTestsOfTheExamplesPass(t *testing.T) {
	examples := filepath.Join("..", "..", "examples")
	if stdout, stderr, code := keptn(t, "policy", "test", examples); code != 0 {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	if stdout, stderr, code := keptn(t, "policy", "test", filepath.Join(examples, "checkout"), "--min-coverage", "100"); code != 0 {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

func TestPoliciesCanStandUponOpenSLO(t *testing.T) {
	openSLO, err := os.ReadFile(filepath.Join("..", "..", "policy", "openslo", "testdata", "ratio", "input.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	policy := strings.NewReplacer("metrics.errors / metrics.requests < 0.01", "slo.availability.budgetRemaining > 0.1", "      warning: metrics.errors / metrics.requests > 0.005\n", "",
		"  rules:", "  slos: [{name: availability, openSLO: checkout-availability}]\n  rules:").Replace(goodLifecycle)
	const tests = "tests: [{name: a, slo: {availability: {budgetRemaining: 0.05}}, expect: {verdict: fail}}]\n"
	t.Chdir(folder(t, map[string]string{
		"a/lifecycle.yaml": policy, "a/slo.yaml": string(openSLO), "a/lifecycle_test.yaml": tests,
		"b/lifecycle.yaml":      policy + "---\n" + string(openSLO),
		"b/lifecycle_test.yaml": tests + "---\npolicy: checkout-availability\n" + strings.Replace(tests, "availability: {budgetRemaining: 0", "checkout_availability: {budgetRemaining: -0", 1),
	}))
	stdout, stderr, code := keptn(t, "policy", "test")
	want := `ok    a/lifecycle_test.yaml: 1 test
ok    b/lifecycle_test.yaml: 2 tests

slo (a/lifecycle.yaml): 1 of 3 outcomes (33%): error-ratio never passed or was inconclusive
slo (b/lifecycle.yaml): 1 of 3 outcomes (33%): error-ratio never passed or was inconclusive
checkout-availability (b/lifecycle.yaml): 1 of 3 outcomes (33%): error-budget never passed or was inconclusive
3 tests passed, 0 failed; coverage 33% (3 of 9 outcomes)
`
	if diff := cmp.Diff(want, stdout); diff != "" || code != 0 {
		t.Errorf("exit code %d: %s (-want +got):\n%s", code, stderr, diff)
	}
	if stdout, stderr, code = keptn(t, "policy", "rules", "--policy", "b/lifecycle.yaml"); !strings.Contains(stderr, `slo "availability": `) {
		t.Errorf("an SLO of two counters has no rules, but exit code %d: %s%s", code, stdout, stderr)
	}
}

func TestTheExampleInTheHelpOfPolicyTestIsRead(t *testing.T) {
	help, _, _ := keptn(t, "policy", "test", "--help")
	begin, end := strings.Index(help, "  # lifecycle_test.yaml\n"), strings.Index(help, "\nA test, its measurements")
	if begin < 0 || end < begin {
		t.Fatalf("no example in:\n%s", help)
	}
	lifecycle := strings.NewReplacer("name: slo", "name: checkout-slo", "  rules:", "    - {name: p95, provider: {name: prometheus}, query: p95}\n  interval: 1m\n  count: 3\n  failureLimit: 1\n  rules:\n    - {name: latency, expression: metrics.p95 <= baseline.p95, weight: 2}").Replace(goodLifecycle)
	dir := folder(t, map[string]string{"deploy/lifecycle.yaml": lifecycle, "tests/lifecycle_test.yaml": strings.ReplaceAll(help[begin:end], "\n  ", "\n")})
	stdout, stderr, code := keptn(t, "policy", "test", dir)
	if code != 0 || !strings.Contains(stdout, "2 tests passed") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}
