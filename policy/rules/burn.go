package rules

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keptn/gitops/policy/slo"
)

// A condition holds while a share of the error budget is used up within a window. The
// short window, a twelfth of it, lets it end soon after what burnt the budget.
type condition struct {
	severity    string
	share       float64
	long, short time.Duration
	factor      float64 // the burn rate at which it holds
}

const day = 24 * time.Hour

// workbook are the conditions that the SRE workbook recommends, worst first.
var workbook = []condition{
	{severity: "page", share: 0.02, long: time.Hour, short: 5 * time.Minute},
	{severity: "page", share: 0.05, long: 6 * time.Hour, short: 30 * time.Minute},
	{severity: "ticket", share: 0.10, long: 3 * day, short: 6 * time.Hour},
}

// leastFactor is the burn rate below which a condition is left out: a budget that
// burns so lasts for its window. It is not 1, for in 28 days, as in the workbook's 30,
// a tenth within 3 days is worth a ticket.
const leastFactor = 0.9

// conditions are those of the workbook for a budget, with the factors that follow from
// its period: share·period/window. What they lack is told.
func conditions(period time.Duration, budget float64) (kept []condition, left []string) {
	for _, c := range workbook {
		c.factor = math.Round(c.share*float64(period)/float64(c.long)*1e6) / 1e6
		var why string
		switch {
		case c.factor < leastFactor:
			why = fmt.Sprintf("that is a burn rate of %s, at which a budget of %s lasts", number(c.factor), slo.Notation(period))
		case c.factor*budget >= 1:
			why = fmt.Sprintf("that is a burn rate of %s, which the budget is too large for: not even failing wholly burns it so fast", number(c.factor))
		default:
			kept = append(kept, c)
			continue
		}
		left = append(left, fmt.Sprintf("there is no %s for %s%% of the budget within %s: %s", c.severity, number(c.share*100), slo.Notation(c.long), why))
	}
	return kept, left
}

// recordings are the recording rules of an objective: its events, the error ratios
// over all windows, and what is known of its budget.
func (o objective) recordings(kept []condition) []Rule {
	total := o.series(o.events.totalName)
	rules := []Rule{
		o.record(o.events.totalName, o.events.total),
		o.record(o.events.badName, o.events.bad(total)),
	}
	for _, window := range o.windows(kept) {
		rules = append(rules, o.record(ratioName(window), o.ratio(window)))
	}
	budget := number(o.state.Budget())
	return append(rules,
		o.record("slo:objective:ratio", fmt.Sprintf("vector(%s)", number(o.state.Objective))),
		o.record("slo:error_budget:ratio", fmt.Sprintf("vector(%s)", budget)),
		o.record("slo:time_period:days", fmt.Sprintf("vector(%s)", number(o.period.Hours()/24))),
		o.record("slo:current_burn_rate:ratio", o.series(ratioName(5*time.Minute))+" / "+budget),
		o.record("slo:period_burn_rate:ratio", o.series(ratioName(o.period))+" / "+budget),
		o.record("slo:period_error_budget_remaining:ratio", "1 - "+o.series("slo:period_burn_rate:ratio")),
	)
}

// windows are those of the conditions, of the current burn rate and of the budget,
// shortest first.
func (o objective) windows(kept []condition) []time.Duration {
	windows := map[time.Duration]bool{5 * time.Minute: true, o.period: true}
	for _, c := range kept {
		windows[c.short], windows[c.long] = true, true
	}
	return slices.Sorted(maps.Keys(windows))
}

// ratio is the error ratio over a window: of the sums of its events. Without any it
// has no value.
func (o objective) ratio(window time.Duration) string {
	bad, total := o.series(o.events.badName), o.series(o.events.totalName)
	if !o.events.inBase || slo.Notation(window) != base {
		over := slo.Notation(window)
		bad, total = fmt.Sprintf("sum_over_time(%s[%s])", bad, over), fmt.Sprintf("sum_over_time(%s[%s])", total, over)
	}
	return fmt.Sprintf("%s\n/\n(%s > 0)", bad, total)
}

// ratioName is the name of the error ratio over a window.
func ratioName(window time.Duration) string { return "slo:sli_error:ratio_rate" + slo.Notation(window) }

// alerts are a page and a ticket, as far as there are conditions for them.
func (o objective) alerts(kept []condition) []Rule {
	var rules []Rule
	for _, severity := range []string{"page", "ticket"} {
		var either []string
		for _, c := range kept {
			if c.severity == severity {
				either = append(either, o.burning(c))
			}
		}
		if len(either) == 0 {
			continue
		}
		alert := Rule{
			Alert:  "SLOErrorBudgetBurn",
			Expr:   strings.Join(either, "\nor\n"),
			Labels: maps.Clone(o.labels),
			Annotations: map[string]string{
				"summary":     "The error budget of {{ $labels.slo }} ({{ $labels.service }}) burns too fast.",
				"description": "{{ $value | humanizePercentage }} fails, where the objective is that " + number(o.percent) + "% does not.",
			},
		}
		alert.Labels["severity"] = severity
		rules = append(rules, alert)
	}
	return rules
}

// burning is whether a condition holds.
func (o objective) burning(c condition) string {
	limit := fmt.Sprintf("%s * %s", number(c.factor), number(o.state.Budget()))
	return fmt.Sprintf("(\n  %s > %s\nand\n  %s > %s\n)",
		o.series(ratioName(c.long)), limit, o.series(ratioName(c.short)), limit)
}

func (o objective) record(name, expr string) Rule {
	return Rule{Record: name, Expr: expr, Labels: o.labels}
}

// series selects the record of that name.
func (o objective) series(record string) string {
	var matchers []string
	for _, name := range slices.Sorted(maps.Keys(o.labels)) {
		matchers = append(matchers, name+"="+strconv.Quote(o.labels[name]))
	}
	return record + "{" + strings.Join(matchers, ",") + "}"
}
