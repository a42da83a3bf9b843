package openslo

import (
	"slices"
	"strconv"
	"strings"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
)

// The budgeting methods of OpenSLO.
const (
	methodOccurrences     = "Occurrences"
	methodTimeslices      = "Timeslices"
	methodRatioTimeslices = "RatioTimeslices"
)

// maxObjectives is how many objectives an SLO may have: a policy holds 16 SLOs, one
// of which joins them.
const maxObjectives = 15

// A converter makes an SLO of its documents.
type converter struct {
	*documents
	problems problems
	of       *sloDocument
	made     *SLO
}

func (c *converter) convert() *SLO {
	c.made = &SLO{Name: c.of.name.value, At: c.of.name.at, Documents: []int{c.of.name.at.Document}}
	c.method()
	window := c.window()
	switch n := len(c.of.objective); {
	case n == 0:
		c.problems.add(c.of.list.at, "objectives are required, as [{target: 0.999}]")
	case n > maxObjectives:
		c.problems.add(c.of.list.at, "%d objectives are more than %d: split the SLO", n, maxObjectives)
	}
	c.made.composed = slices.ContainsFunc(c.of.objective, func(o objectiveText) bool { return o.indicator.isGiven() })
	if c.made.composed && c.of.indicator.isGiven() {
		c.problems.add(c.of.spec.at, "an SLO has an indicator either of its own or in each of its objectives: remove the one or the others")
	}
	for i := range c.of.objective {
		c.made.objectives = append(c.made.objectives, c.objective(&c.of.objective[i], window))
	}
	return c.made
}

// method checks the budgetingMethod.
func (c *converter) method() {
	known := []string{methodOccurrences, methodTimeslices}
	switch method := c.of.method; {
	case method.value == "":
		c.problems.add(method.at, "budgetingMethod is required: write Occurrences, to count events, or Timeslices, to count slices of time")
	case method.value == methodRatioTimeslices:
		c.problems.add(method.at, "RatioTimeslices, the mean of the ratios of all slices, is not supported: write Occurrences, or Timeslices with a timeSliceTarget")
	case !slices.Contains(known, method.value):
		c.problems.add(method.at, "budgetingMethod %q is unknown%s: write Occurrences or Timeslices", method.value, didYouMean(method.value, known))
	}
}

// objective makes an SLO, still without a name, of an objective.
func (c *converter) objective(o *objectiveText, window *v1alpha1.SLOWindow) objective {
	made := objective{
		SLO:    v1alpha1.SLO{Objective: c.target(o), Window: window, Timeslices: c.slices(o)},
		places: map[string]Place{"": o.at, "window": c.of.windows.at, "timeslices": o.sliceWindowAt},
	}
	if o.weight.given {
		made.weight = &o.weight.value
		if !(o.weight.value > 0) {
			c.problems.add(o.weight.at, "compositeWeight %v is no weight: give one above 0", o.weight.value)
		}
		if len(c.of.objective) == 1 {
			c.problems.warn(o.weight.at, "compositeWeight means nothing with one objective: remove it")
		}
	}
	use := o.indicator
	if !use.isGiven() {
		use = c.of.indicator
	}
	if spec := c.indicator(use, o); spec != nil {
		c.measure(&made, o, spec)
	}
	return made
}

// target is the objective in percent; 0 with a problem.
func (c *converter) target(o *objectiveText) float64 {
	switch {
	case o.target.given && o.targetPercent.given:
		c.problems.add(o.targetPercent.at, "target and targetPercent are the same: remove one of them")
	case o.target.given:
		return c.fraction(o.target)
	case !o.targetPercent.given:
		c.problems.add(o.target.at, "target is required, as 0.999, or targetPercent, as 99.9")
	case !(o.targetPercent.value > 0 && o.targetPercent.value < 100):
		c.problems.add(o.targetPercent.at, "targetPercent %v is no percentage above 0 and below 100, as 99.9", o.targetPercent.value)
	default:
		return o.targetPercent.value
	}
	return 0
}

// fraction is a target in percent; 0 with a problem.
func (c *converter) fraction(target field[float64]) float64 {
	percent := percentOf(target.value)
	switch {
	case target.value > 1:
		c.problems.add(target.at, "target %v is no fraction above 0 and below 1, as 0.999: write targetPercent for a percentage", target.value)
	case !(percent > 0 && percent < 100):
		c.problems.add(target.at, "target %v leaves nothing to measure: give a fraction above 0 and below 1, as 0.999", target.value)
	default:
		return percent
	}
	return 0
}

// percentOf is a fraction in percent, without the noise of its last binary digits.
func percentOf(fraction float64) float64 {
	percent, _ := strconv.ParseFloat(strconv.FormatFloat(fraction*100, 'g', 12, 64), 64)
	return percent
}

func (u indicatorUse) isGiven() bool { return u.given || u.ref.given }

// indicator is the spec of the SLI that is used; nil with a problem.
func (c *converter) indicator(use indicatorUse, o *objectiveText) *sliSpec {
	switch {
	case use.given && use.ref.given:
		c.problems.add(use.ref.at, "indicator and indicatorRef are both given: remove one of them")
	case use.given:
		return &use.inline.spec
	case !use.ref.given && c.made.composed:
		c.problems.add(o.at, "indicator or indicatorRef is required: other objectives have one of their own")
	case !use.ref.given:
		c.problems.add(c.of.indicator.ref.at, "indicator or indicatorRef is required: write the indicator, or name an SLI of this folder")
	default:
		names := make([]string, len(c.slis))
		for i, s := range c.slis {
			if names[i] = s.name.value; s.name.value == use.ref.value {
				c.uses(s.name.at.Document)
				return &c.slis[i].spec
			}
		}
		c.problems.add(use.ref.at, "there is no SLI %q%s: write it in a file beside lifecycle.yaml", use.ref.value, didYouMean(use.ref.value, names))
	}
	return nil
}

// uses notes a document that the SLO is made of.
func (c *converter) uses(document int) {
	if !slices.Contains(c.made.Documents, document) {
		c.made.Documents = append(c.made.Documents, document)
	}
}

// provider is the KeptnMetricsProvider of a source; empty with a problem.
func (c *converter) provider(s source) string {
	if s.empty {
		c.problems.add(s.at, "metricSource is required, with metricSourceRef or type, and spec.query")
		return ""
	}
	if !s.ref.given {
		if s.kind.value == "" {
			c.problems.add(s.at, "metricSourceRef is required, the name of a DataSource or a KeptnMetricsProvider; or type, as Prometheus")
		}
		return strings.ToLower(s.kind.value)
	}
	names := make([]string, len(c.sources))
	for i, known := range c.sources {
		if names[i] = known.name.value; known.name.value == s.ref.value {
			c.uses(known.name.at.Document)
			return known.provider
		}
	}
	if near := didYouMean(s.ref.value, names); near != "" {
		c.problems.warn(s.ref.at, "there is no DataSource %q%s: the KeptnMetricsProvider of that name is asked", s.ref.value, near)
	}
	return s.ref.value
}
