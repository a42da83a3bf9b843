package policy

import (
	"fmt"
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
// them.
func (v Verdict) Summary(maxRunes int) string {
	decisive := v.decisive()
	if len(decisive) == 0 {
		return shorten(v.holding(), maxRunes)
	}
	line := strings.Join(decisive, "; ")
	if v.Result != v.worst() {
		line = fmt.Sprintf("score %s of %s: %s", formatNumber(v.Score), formatNumber(v.MaxScore), line)
	}
	return shorten(line, maxRunes)
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
