package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/fixture"
)

// A testReport is what policy test tells.
type testReport struct {
	Files    []testedFile `json:"files"`
	Coverage struct {
		Seen     int             `json:"seen"`
		Outcomes int             `json:"outcomes"`
		Percent  float64         `json:"percent"`
		Policies []*testedPolicy `json:"policies"`
	} `json:"coverage"`
}

// without is an error where there is nothing to tell: no test was found, or none
// matches.
func (r *testReport) without(where, run string) error {
	var skipped []string
	for _, f := range r.Files {
		if len(f.Tests)+len(f.Problems) > 0 {
			return nil
		}
		if f.Skipped != "" {
			skipped = append(skipped, f.File)
		}
	}
	switch {
	case len(skipped) < len(r.Files):
		return fmt.Errorf("no test in or below %s matches --run %q", where, run)
	case len(skipped) > 0:
		return fmt.Errorf("no tests in or below %s: there is no policy beside %s, and no file that it names", where, strings.Join(skipped, ", "))
	default:
		return fmt.Errorf("no tests in or below %s: they are in files named *_test.yaml, beside a lifecycle.yaml or another file with an SLOPolicy", where)
	}
}

// print prints the report, and returns its exit code.
func (r *testReport) print(w io.Writer, flags testFlags) error {
	passed, failed, broken := r.count()
	low := r.Coverage.Percent < flags.minCoverage
	if flags.format == formatJSON {
		if err := printJSON(w, r); err != nil {
			return err
		}
	} else {
		p := &printer{w: w}
		for i := range r.Files {
			p.file(&r.Files[i])
		}
		p.coverage(r.Coverage.Policies)
		p.line("%s passed, %d failed; coverage %s (%d of %d outcomes)", counted(passed, "test"), failed, percentage(r.Coverage.Percent), r.Coverage.Seen, r.Coverage.Outcomes)
		if low {
			p.line("%s: the coverage is below %v%%", painted(w, "fail", "FAIL"), flags.minCoverage)
		}
		if p.err != nil {
			return p.err
		}
	}
	switch {
	case broken:
		return exitCode(exitError)
	case failed > 0 || low:
		return exitCode(exitBad)
	default:
		return nil
	}
}

// count counts the tests, and says whether some could not be run.
func (r *testReport) count() (passed, failed int, broken bool) {
	for _, f := range r.Files {
		broken = broken || len(f.Problems) > 0
		failing := len(f.failing())
		passed, failed = passed+len(f.Tests)-failing, failed+failing
	}
	return passed, failed, broken
}

// failing are the tests that failed.
func (f *testedFile) failing() []testedCase {
	return slices.DeleteFunc(slices.Clone(f.Tests), func(c testedCase) bool { return c.Passed })
}

// A printer prints lines until there is an error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// file prints what came of a file, and what differed.
func (p *printer) file(f *testedFile) {
	failing := f.failing()
	switch {
	case f.Skipped != "":
		p.line("?     %s: %s", f.File, f.Skipped)
	case len(f.Problems) > 0:
		p.line("%s %s: cannot be tested", painted(p.w, "error", "ERROR"), f.File)
		for _, problem := range f.Problems {
			p.line("  %s", problem)
		}
	case len(failing) > 0:
		p.line("%s  %s: %d of %s failed", painted(p.w, "fail", "FAIL"), f.File, len(failing), counted(len(f.Tests), "test"))
	case len(f.Tests) == 0:
		p.line("?     %s: no test to run", f.File)
	default:
		p.line("%s    %s: %s", painted(p.w, "pass", "ok"), f.File, counted(len(f.Tests), "test"))
	}
	for _, c := range failing {
		p.failure(c)
	}
}

// failure prints what differed, and why.
func (p *printer) failure(c testedCase) {
	p.line("  line %d: %s", c.Line, c.Name)
	for _, d := range c.Differences {
		p.line("    %s", d)
	}
	for _, rule := range c.telling() {
		p.line("      %s %s: %s", rule.Name, painted(p.w, string(rule.Result), string(rule.Result)), rule.Message)
		for _, x := range rule.Explain {
			p.line("        %s = %s", x.Expr, x.Value)
		}
	}
}

// telling are the rules that say why a test failed: those that differ, else those
// that do not simply hold, else all.
func (c *testedCase) telling() []policy.RuleResult {
	var differing, decisive []policy.RuleResult
	for _, rule := range c.Rules {
		if slices.ContainsFunc(c.Differences, func(d fixture.Difference) bool { return d.Rule == rule.Name }) {
			differing = append(differing, rule)
		}
		if rule.Result != policy.Pass {
			decisive = append(decisive, rule)
		}
	}
	switch {
	case len(differing) > 0:
		return differing
	case len(decisive) > 0:
		return decisive
	default:
		return c.Rules
	}
}

// coverage prints which results the rules have had.
func (p *printer) coverage(policies []*testedPolicy) {
	p.line("")
	for _, t := range policies {
		line := fmt.Sprintf("%s (%s): %d of %d outcomes (%s)", t.Policy, t.File, t.Seen, t.Outcomes, percentage(t.Percent))
		if never := t.never(); len(never) > 0 {
			line += ": " + strings.Join(never, "; ")
		}
		p.line("%s", line)
	}
}

// happened says that a rule has had a result.
var happened = map[policy.Result]string{
	policy.Pass: "passed", policy.Warning: "warned", policy.Fail: "failed", policy.Inconclusive: "was inconclusive",
}

// never are the results that rules never had.
func (t *testedPolicy) never() []string {
	if !t.tested {
		return []string{"not tested"}
	}
	var all []string
	for _, r := range t.Rules {
		if len(r.Never) > 0 {
			all = append(all, neverOf(r))
		}
	}
	return all
}

func neverOf(r fixture.RuleCoverage) string {
	words := make([]string, len(r.Never))
	for i, result := range r.Never {
		words[i] = happened[result]
	}
	return r.Rule + " never " + strings.Join(words, " or ")
}

// percentage is rounded down, so that only what is whole is 100%.
func percentage(p float64) string { return fmt.Sprintf("%.0f%%", math.Floor(p)) }

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
