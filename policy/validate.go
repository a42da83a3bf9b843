package policy

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/slo"
)

// maxWeight is the API's bound of a rule's weight.
const maxWeight = 1_000_000

// fields are all fields that can have a problem, in the order of the policy.
func fields(spec v1alpha1.SLOPolicySpec) []string {
	all := []string{"spec.metrics"}
	each := func(list string, n int, names ...string) {
		for i := range n {
			for _, name := range names {
				all = append(all, fmt.Sprintf("%s[%d]%s", list, i, name))
			}
		}
	}
	each("spec.metrics", len(spec.Metrics), ".name", ".query", ".reducer")
	for i, s := range spec.SLOs {
		path := fmt.Sprintf("spec.slos[%d]", i)
		all = append(all, path, path+".name", path+".objective", path+".window", path+".window.rolling", path+".window.calendar", path+".window.timeZone",
			path+".ratio", path+".ratio.good", path+".ratio.bad", path+".ratio.total", path+".threshold.query", path+".threshold.op", path+".timeslices", path+".timeslices.duration")
		each(path+".composite", len(s.Composite), ".slo", ".weight")
	}
	each("spec.params", len(spec.Params), ".name")
	each("spec.variables", len(spec.Variables), ".name", ".expression")
	all = append(all, "spec.rules")
	each("spec.rules", len(spec.Rules), ".name", ".expression", ".warning", ".message", ".weight")
	return append(all, "spec.score.pass", "spec.score.warning", "spec.count", "spec.failureLimit", "spec.inconclusiveLimit")
}

// validate repeats what the API server checks and an expression relies on, for
// policies that no API server has seen.
func (c *compiler) validate() {
	c.checkNames()
	for i, m := range c.spec.Metrics {
		c.checkMetric(fmt.Sprintf("spec.metrics[%d]", i), m)
	}
	for i := range c.spec.SLOs {
		c.checkSLO(fmt.Sprintf("spec.slos[%d]", i), i)
	}
	c.checkScore()
	c.checkLimits()
}

// checkNames reports names that are missing, malformed or given twice.
func (c *compiler) checkNames() {
	identifier := regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	for _, r := range roots(c.spec) {
		if list, ok := map[string]string{rootMetrics: "spec.metrics", rootSLO: "spec.slos", rootParams: "spec.params", rootVariables: "spec.variables"}[r.name]; ok {
			c.checkList(list, r.one, r.names, identifier)
		}
	}
	rules := namesOf(c.spec.Rules, func(r v1alpha1.Rule) string { return r.Name })
	c.checkList("spec.rules", "rule", rules, regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?$`))
	if len(rules) == 0 {
		c.problem("spec.rules", "there is no rule: a policy needs at least one")
	}
}

// checkList reports the bad names of one list. The patterns are the API's.
func (c *compiler) checkList(list, what string, names []string, pattern *regexp.Regexp) {
	for i, name := range names {
		path := fmt.Sprintf("%s[%d].name", list, i)
		switch first := slices.Index(names, name); {
		case name == "":
			c.problem(path, "the %s has no name", what)
		case !pattern.MatchString(name):
			c.problem(path, "%q is no name of a %s: it has to match %s", name, what, pattern)
		case first < i:
			c.problem(path, "there are two %ss named %q: %s[%d] is the other; rename one", what, name, list, first)
		}
	}
}

// checkMetric reports a query that cannot be rendered, and a reducer that does not
// exist or has nothing to reduce.
func (c *compiler) checkMetric(path string, m v1alpha1.Metric) {
	c.checkQuery(path+".query", m.Query, false)
	known := append(aggregates(), metric.Last, metric.Rate)
	switch {
	case m.Reducer == "":
	case !slices.Contains(known, metric.Reducer(m.Reducer)):
		names := namesOf(known, func(r metric.Reducer) string { return string(r) })
		c.problem(path+".reducer", "there is no reducer `%s`%s", m.Reducer, didYouMean(string(m.Reducer), names))
	case metric.Reducer(m.Reducer) == metric.Rate && m.Window == nil:
		c.problem(path+".reducer", "the reducer rate needs a window")
	}
}

// checkScore reports percentages that are none.
func (c *compiler) checkScore() {
	if c.spec.Score == nil {
		return
	}
	pass, warning := c.spec.Score.Pass, c.spec.Score.Warning
	if pass < 0 || pass > 100 {
		c.problem("spec.score.pass", "%d is no percentage: give 0 to 100", pass)
	}
	if warning != nil && (*warning < 0 || *warning > pass) {
		c.problem("spec.score.warning", "%d is not from 0 to %d: it is the lower of the two percentages", *warning, pass)
	}
}

// checkLimits reports a repetition that could not end as it says.
func (c *compiler) checkLimits() {
	count := max(c.spec.Count, 1)
	if c.spec.Count < 0 {
		c.problem("spec.count", "%d is no number of measurements: give 1 at least", c.spec.Count)
	}
	if count > 1 && c.spec.Interval == nil {
		c.problem("spec.count", "%d measurements need an interval between them: give interval", count)
	}
	if limit := c.spec.FailureLimit; limit < 0 || limit >= count {
		c.problem("spec.failureLimit", "%d is not from 0 to %d: as many failures as measurements would never fail the policy", limit, count-1)
	}
	if limit := c.spec.InconclusiveLimit; limit < 0 || limit >= count {
		c.problem("spec.inconclusiveLimit", "%d is not from 0 to %d: it has to be below count", limit, count-1)
	}
}

// checkSLO reports an objective that cannot be measured.
func (c *compiler) checkSLO(path string, index int) {
	s := c.spec.SLOs[index]
	indicators := 0
	for _, given := range []bool{s.Ratio != nil, s.Threshold != nil, len(s.Composite) > 0, s.OpenSLO != ""} {
		if given {
			indicators++
		}
	}
	if indicators != 1 {
		c.problem(path, "an slo has exactly one of ratio, threshold, composite and openSLO")
	}
	c.checkObjective(path, s)
	if s.Ratio != nil {
		c.checkRatio(path+".ratio", s.Ratio)
	}
	if s.Threshold != nil {
		c.checkQuery(path+".threshold.query", s.Threshold.Query, false)
		if op := s.Threshold.Op; !slices.Contains([]string{"lt", "lte", "gt", "gte"}, op) {
			c.problem(path+".threshold.op", "%q is no comparison: write lt, lte, gt or gte", op)
		}
	}
	c.checkTimeslices(path+".timeslices", s)
	c.checkComposite(path, index)
}

// checkObjective reports an objective without its percentage and its window.
func (c *compiler) checkObjective(path string, s v1alpha1.SLO) {
	if s.OpenSLO != "" && s.Objective == 0 && s.Window == nil {
		return // both are in the OpenSLO document
	}
	if !(s.Objective > 0 && s.Objective < 100) {
		c.problem(path+".objective", "%v is no objective: give the percentage that has to be good, above 0 and below 100", s.Objective)
	}
	c.checkWindow(path+".window", s.Window)
}

// checkWindow reports a window of no, or of two lengths.
func (c *compiler) checkWindow(path string, w *v1alpha1.SLOWindow) {
	switch {
	case w == nil || (w.Rolling != "") == (w.Calendar != ""):
		c.problem(path, "an slo has a window: give either rolling, as 30d, or calendar, as month")
	case w.Rolling != "":
		if _, err := slo.ParsePeriod(w.Rolling); err != nil {
			c.problem(path+".rolling", "%v", err)
		}
	case calendarPeriod(w.Calendar) == 0:
		c.problem(path+".calendar", "%q is no period of the calendar: write day, week, month, quarter or year", w.Calendar)
	case w.TimeZone != "":
		if _, err := parseZone(w.TimeZone); err != nil {
			c.problem(path+".timeZone", "%v", err)
		}
	}
}

// checkRatio reports a ratio that does not count two things.
func (c *compiler) checkRatio(path string, r *v1alpha1.RatioIndicator) {
	if (r.Good != "") == (r.Bad != "") {
		c.problem(path, "a ratio has either good or bad events, and the total")
	}
	c.checkQuery(path+".good", r.Good, true)
	c.checkQuery(path+".bad", r.Bad, true)
	c.checkQuery(path+".total", r.Total, true)
}

// checkTimeslices reports slices of no length.
func (c *compiler) checkTimeslices(path string, s v1alpha1.SLO) {
	if s.Timeslices == nil {
		return
	}
	if s.Ratio == nil && s.Threshold == nil {
		c.problem(path, "timeslices go with ratio or threshold")
	}
	if d := s.Timeslices.Duration; d != "" {
		if _, err := slo.ParsePeriod(d); err != nil {
			c.problem(path+".duration", "%v", err)
		}
	}
}

// checkComposite reports parts that are not known above the objective.
func (c *compiler) checkComposite(path string, index int) {
	names := namesOf(c.spec.SLOs, func(s v1alpha1.SLO) string { return s.Name })
	parts := c.spec.SLOs[index].Composite
	for i, part := range parts {
		at := fmt.Sprintf("%s.composite[%d]", path, i)
		first := slices.IndexFunc(parts, func(p v1alpha1.SLOPart) bool { return p.SLO == part.SLO })
		switch known := slices.Index(names, part.SLO); {
		case known < 0:
			c.problem(at+".slo", "no slo `%s`%s", part.SLO, didYouMean(part.SLO, names[:index]))
		case known >= index:
			c.problem(at+".slo", "slo %q is not known here: a composite joins objectives above it only; move it up", part.SLO)
		case first < i:
			c.problem(at+".slo", "slo %q is given twice: raise its weight instead", part.SLO)
		}
		if part.Weight != nil && !(*part.Weight > 0) {
			c.problem(at+".weight", "%v is no weight: give one above 0", *part.Weight)
		}
	}
}
