package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keptn/gitops/gitsource/manifest"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/fixture"
)

// testFlags are the flags of policy test.
type testFlags struct {
	run, format string
	minCoverage float64
}

func newPolicyTest() *cobra.Command {
	var flags testFlags
	cmd := &cobra.Command{
		Use:   "test [DIR|FILE]",
		Short: "Test policies by the verdicts that measurements should get",
		Long: `test runs the tests in all files *_test.yaml below DIR (default: the current
folder), each beside the policy that it tests, and tells which results the rules of
these policies, and of all in a lifecycle.yaml, have had.

  # lifecycle_test.yaml
  policy: checkout-slo             # where the folder has several
  file: ../deploy/lifecycle.yaml   # where it is in another folder
  defaults:                        # beneath each test
    metrics: {requests: 1000, p95: 0.2}
    baseline: {p95: 0.2}
  tests:
    - name: errors above one percent fail
      metrics: {errors: 12}
      expect:
        verdict: fail
        rules: {error-ratio: fail}
        messages: {error-ratio: 1\.2%}   # regular expressions
        score: 2
    - name: one failure is let pass
      measurements:                # of a policy with interval and count
        - metrics: {errors: 0}
        - metrics: {errors: 90}
        - metrics: {errors: 0}
      expect: {verdict: warning}

A test, its measurements and the defaults can have what a file for
policy eval --metrics has: metrics, baseline, slo, params, commit, commits,
rollout and now. Mappings are merged, anything else is replaced; null is no data.
Without now it is 2026-01-01T12:00:00Z, a Thursday. Of expect one key is enough;
of several measurements, rules, messages and score are those of the last.

A file can have several documents, one for each policy.

Exit code: 0 all tests pass, 1 some fail or the coverage is too low, 2 could not
test.`,
		Example: `  keptn policy test
  keptn policy test apps/checkout --run 'errors|latency'
  keptn policy test --min-coverage 80 -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			where := "."
			if len(args) > 0 {
				where = args[0]
			}
			report, err := flags.test(cmd.Context(), where)
			if err != nil {
				return err
			}
			return report.print(cmd.OutOrStdout(), flags)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.run, "run", "", "run only the tests whose name matches this regular expression")
	f.Float64Var(&flags.minCoverage, "min-coverage", 0, "fail if less than this percentage of the rules' results was seen")
	addOutput(cmd, &flags.format)
	return cmd
}

// test carries out the command.
func (f *testFlags) test(ctx context.Context, where string) (*testReport, error) {
	if err := checkOutput(f.format); err != nil {
		return nil, err
	}
	if !(f.minCoverage >= 0 && f.minCoverage <= 100) {
		return nil, fmt.Errorf("--min-coverage %v: has to be a percentage, 0 to 100", f.minCoverage)
	}
	run, err := regexp.Compile(f.run)
	if err != nil {
		return nil, fmt.Errorf("--run: %w", err)
	}
	folders, err := findTests(where)
	if err != nil {
		return nil, err
	}
	b := &bench{run: run}
	for _, folder := range folders {
		b.folder(ctx, folder)
	}
	if err := ctx.Err(); err != nil {
		return nil, err // a verdict without time is inconclusive
	}
	report := b.report()
	return report, report.without(where, f.run)
}

// A testFolder is a folder with tests, or with policies that could have some.
type testFolder struct {
	dir   string
	tests []string
}

// isTest says whether a file is one of tests, by its name.
func isTest(file string) bool { return strings.HasSuffix(file, "_test.yaml") }

// findTests walks over a folder, but for hidden ones. A file is its own folder.
func findTests(where string) ([]testFolder, error) {
	var folders []testFolder
	err := filepath.WalkDir(where, func(path string, entry fs.DirEntry, err error) error {
		hidden := strings.HasPrefix(filepath.Base(path), ".") && path != where
		switch {
		case err != nil:
			return err
		case entry.IsDir() && hidden:
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		test := isTest(path) || path == where
		if !test && entry.Name() != manifest.FileName {
			return nil
		}
		dir := filepath.Dir(path)
		at := slices.IndexFunc(folders, func(f testFolder) bool { return f.dir == dir })
		if at < 0 {
			at, folders = len(folders), append(folders, testFolder{dir: dir})
		}
		if test {
			folders[at].tests = append(folders[at].tests, path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find tests: %w", err)
	}
	return folders, nil
}

// A bench holds the policies that are tested, and what came of it.
type bench struct {
	run      *regexp.Regexp
	policies []*testedPolicy
	files    []testedFile
}

// A testedPolicy is a policy and its coverage.
type testedPolicy struct {
	Policy   string  `json:"policy"`
	File     string  `json:"file"`
	Seen     int     `json:"seen"`
	Outcomes int     `json:"outcomes"`
	Percent  float64 `json:"percent"`
	*fixture.Coverage

	compiled     *policy.Policy
	plan         policy.Plan
	tested, made bool
}

// A testedFile is a file of tests: what came of them, or why there are none.
type testedFile struct {
	File     string            `json:"file"`
	Skipped  string            `json:"skipped,omitempty"`
	Problems manifest.Problems `json:"problems,omitempty"`
	Tests    []testedCase      `json:"tests"`
}

// A testedCase is what came of one test.
type testedCase struct {
	Policy      string               `json:"policy"`
	Name        string               `json:"name"`
	Line        int                  `json:"line"`
	Passed      bool                 `json:"passed"`
	Differences []fixture.Difference `json:"differences"`
	policy.Verdict
}

// folder runs the tests of a folder.
func (b *bench) folder(ctx context.Context, folder testFolder) {
	beside, broken := policiesIn(folder.dir)
	for i := range beside {
		if _, err := b.policy(&beside[i]); err != nil {
			broken = errors.Join(broken, err)
		}
	}
	for _, file := range folder.tests {
		b.files = append(b.files, b.file(ctx, file, beside, broken))
	}
	if len(folder.tests) == 0 && broken != nil {
		file := filepath.Join(folder.dir, manifest.FileName)
		b.files = append(b.files, testedFile{File: file, Problems: problemsOf(file, broken), Tests: []testedCase{}})
	}
}

// names matches a file of tests that says which policy it means. Other programs have
// files *_test.yaml too.
var names = regexp.MustCompile(`(?m)^(policy|file):`)

// file runs the tests of a file.
func (b *bench) file(ctx context.Context, file string, beside []foundPolicy, broken error) testedFile {
	tested := testedFile{File: file, Tests: []testedCase{}}
	data, err := os.ReadFile(file)
	if err != nil {
		tested.Problems = problemsOf(file, err)
		return tested
	}
	if len(beside) == 0 && broken == nil && !names.Match(data) {
		tested.Skipped = "no policy beside it"
		return tested
	}
	suites, err := fixture.Parse(file, data)
	if err != nil {
		tested.Problems = problemsOf(file, err)
		return tested
	}
	for _, suite := range suites {
		subject, err := b.subject(file, suite, beside, broken)
		if err != nil {
			tested.Problems = append(tested.Problems, problemsOf(file, err)...)
			continue
		}
		tested.Tests = append(tested.Tests, b.suite(ctx, suite, subject)...)
	}
	return tested
}

// subject is the policy that a suite tests.
func (b *bench) subject(file string, suite fixture.Suite, beside []foundPolicy, broken error) (*testedPolicy, error) {
	where := filepath.Dir(file)
	if suite.File != "" {
		where = filepath.Join(where, filepath.FromSlash(suite.File))
		beside, broken = readPolicies(where)
	}
	if broken != nil {
		return nil, broken
	}
	chosen, err := choosePolicy(beside, where, suite.Policy, "policy")
	if err != nil {
		return nil, fixture.Problems{{At: suite.At, Message: err.Error()}}
	}
	if problems := suite.Check(chosen.Name, chosen.Spec); len(problems) > 0 {
		return nil, problems
	}
	return b.policy(chosen)
}

// policy is the policy on the bench, which it is put on where it is not yet.
func (b *bench) policy(p *foundPolicy) (*testedPolicy, error) {
	for _, known := range b.policies {
		if known.File == p.file && known.Policy == p.Name {
			return known, nil
		}
	}
	compiled, err := policy.Compile(p.Name, p.Spec)
	if err != nil {
		return nil, err
	}
	added := &testedPolicy{
		Policy: p.Name, File: p.file, Coverage: fixture.NewCoverage(p.Spec),
		compiled: compiled, plan: policy.PlanOf(p.Spec), made: p.made,
	}
	b.policies = append(b.policies, added)
	return added, nil
}

// suite runs the tests that are to be run.
func (b *bench) suite(ctx context.Context, suite fixture.Suite, p *testedPolicy) []testedCase {
	var tested []testedCase
	for _, c := range suite.Cases {
		if !b.run.MatchString(c.Name) {
			continue
		}
		p.tested = true
		o := c.Run(ctx, p.compiled, p.plan)
		for _, v := range o.Seen {
			p.Add(v)
		}
		tested = append(tested, testedCase{
			Policy: p.Policy, Name: c.Name, Line: c.At.Line, Passed: len(o.Differences) == 0,
			Differences: append([]fixture.Difference{}, o.Differences...), Verdict: o.Verdict,
		})
	}
	return tested
}

// problemsOf are the problems that an error consists of, or the error at a file.
func problemsOf(file string, err error) manifest.Problems {
	var ofPolicy manifest.Problems
	if errors.As(err, &ofPolicy) {
		return ofPolicy
	}
	var ofTest fixture.Problems
	if !errors.As(err, &ofTest) {
		return manifest.Problems{{File: file, Line: 1, Column: 1, Severity: manifest.Error, Message: err.Error()}}
	}
	problems := make(manifest.Problems, len(ofTest))
	for i, p := range ofTest {
		problems[i] = manifest.Problem{File: p.At.File, Line: p.At.Line, Column: p.At.Column, Severity: manifest.Error, Message: p.Message}
	}
	return problems
}

// report is what is told of all.
func (b *bench) report() *testReport {
	// An SLO of OpenSLO can be there for a policy that names it: it needs no test.
	b.policies = slices.DeleteFunc(b.policies, func(p *testedPolicy) bool { return p.made && !p.tested })
	slices.SortStableFunc(b.policies, func(a, b *testedPolicy) int { return cmp.Compare(a.File, b.File) })
	r := &testReport{Files: b.files}
	for _, p := range b.policies {
		p.Seen, p.Outcomes = p.Count()
		p.Percent = percent(p.Seen, p.Outcomes)
		r.Coverage.Seen += p.Seen
		r.Coverage.Outcomes += p.Outcomes
	}
	r.Coverage.Policies = b.policies
	r.Coverage.Percent = percent(r.Coverage.Seen, r.Coverage.Outcomes)
	return r
}

func percent(part, all int) float64 {
	if all == 0 {
		return 0
	}
	return 100 * float64(part) / float64(all)
}
