package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Result is what was found of a rule or of a policy.
type Result string

// The results. Inconclusive is the result where data that would decide is
// missing.
const (
	Pass         Result = "pass"
	Warning      Result = "warning"
	Fail         Result = "fail"
	Inconclusive Result = "inconclusive"
)

// A Verdict is the result of one evaluation.
type Verdict struct {
	// Result of the whole policy.
	Result Result `json:"verdict"`
	// Score is the sum of the weights earned, of MaxScore: a rule that passes
	// earns its weight, a warning half of it. Of an inconclusive rule it counts
	// what is earned however the rule turns out. Both are also computed for a
	// policy without score, whose result does not depend on them.
	Score    float64 `json:"score"`
	MaxScore float64 `json:"maxScore"`
	// Rules are the rules' results in the order of the policy.
	Rules []RuleResult `json:"rules"`
	// BudgetBurned are the fractions of the error budgets that were used up since the
	// rollout began, by the names of the SLOs; of the others it is not known.
	BudgetBurned map[string]float64 `json:"budgetBurned,omitempty"`
}

// A RuleResult is what was found of one rule.
type RuleResult struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	// Message is the author's own, or the comparison that decided with its
	// values, like "error-ratio 3.1% ≥ 1%", or what is missing.
	Message string `json:"message"`
	// Explain are the values that led to the result. It is empty unless the
	// verdict comes from Policy.Explain.
	Explain []Explanation `json:"explain"`
}

// An Explanation is the value that a part of an expression had.
type Explanation struct {
	Expr  string `json:"expr"`
	Value string `json:"value"`
}

// Summary is the verdict in one line of at most maxRunes characters, as a commit
// status shows it. The rules that decided come first: those that failed, then
// the inconclusive ones, then warnings; and when all rules hold, how many. Where
// the score makes the verdict another than that of the worst rule, it comes before
// them. What the rollout burned of error budgets stands at the end, where there is
// room.
func (v Verdict) Summary(maxRunes int) string {
	line := v.holding()
	if decisive := v.decisive(); len(decisive) > 0 {
		line = strings.Join(decisive, "; ")
		if v.Result != v.worst() {
			line = fmt.Sprintf("score %s of %s: %s", formatNumber(v.Score), formatNumber(v.MaxScore), line)
		}
	}
	line = shorten(line, maxRunes)
	burned := v.Burned()
	if burned == "" || utf8.RuneCountInString(line)+len("; ")+utf8.RuneCountInString(burned) > maxRunes {
		return line
	}
	return line + "; " + burned
}

// maxBurned is of how many SLOs a line tells what of their budgets was burned.
const maxBurned = 2

// Burned says what the rollout burned of the error budgets, the most first, as "burned
// 3.1% of availability's budget, 0.2% of latency's and some of 2 more". It is empty
// where that is known of none.
func (v Verdict) Burned() string {
	if len(v.BudgetBurned) == 0 {
		return ""
	}
	names := slices.SortedFunc(maps.Keys(v.BudgetBurned), func(a, b string) int {
		return cmp.Or(cmp.Compare(v.BudgetBurned[b], v.BudgetBurned[a]), strings.Compare(a, b))
	})
	names = slices.DeleteFunc(names, func(name string) bool { return v.BudgetBurned[name] == 0 })
	if len(names) == 0 {
		return "burned no error budget"
	}
	line := fmt.Sprintf("burned %s of %s's budget", formatPercent(v.BudgetBurned[names[0]]), names[0])
	for _, name := range names[1:min(len(names), maxBurned)] {
		line += fmt.Sprintf(", %s of %s's", formatPercent(v.BudgetBurned[name]), name)
	}
	if more := len(names) - maxBurned; more > 0 {
		line += fmt.Sprintf(" and some of %d more", more)
	}
	return line
}

// decisive are the messages of the rules that do not simply hold, worst first.
func (v Verdict) decisive() []string {
	var lines []string
	for _, result := range []Result{Fail, Inconclusive, Warning} {
		for _, r := range v.Rules {
			if r.Result == result {
				lines = append(lines, r.line())
			}
		}
	}
	return lines
}

// worst is the result of the worst rule.
func (v Verdict) worst() Result {
	worst := Pass
	for _, r := range v.Rules {
		worst = worse(worst, r.Result)
	}
	return worst
}

// holding is the line of a verdict whose rules all hold.
func (v Verdict) holding() string {
	if len(v.Rules) == 1 {
		return v.Rules[0].line()
	}
	if len(v.Rules) == 0 {
		return string(v.Result)
	}
	return fmt.Sprintf("%d rules hold: %s", len(v.Rules), v.Rules[0].line())
}

// line is the rule's message, which names the rule.
func (r RuleResult) line() string {
	if strings.HasPrefix(r.Message, r.Name) {
		return r.Message
	}
	return r.Name + ": " + r.Message
}

// shorten makes s one line, and cuts it to the given number of characters.
func shorten(s string, maxRunes int) string {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= maxRunes {
		return s
	}
	if maxRunes <= 0 {
		return ""
	}
	return strings.TrimRight(string([]rune(s)[:maxRunes-1]), " ") + "…"
}
