package policy

import (
	"strings"

	"github.com/google/cel-go/common/types"
)

// The most characters that a message, and that an expression within one, is shown
// with.
const (
	maxMessage = 500
	maxText    = 120
	maxValue   = 200
)

// message is what is said of a rule's result: the author's own words, or the
// comparison that decided; and of an inconclusive rule what is missing.
func (r *run) message(rule *rule, f ruleFinding) string {
	message := r.wholeMessage(rule, f)
	if len(message) > maxMessage || strings.ContainsAny(message, "\r\n") {
		return shorten(message, maxMessage)
	}
	return message
}

func (r *run) wholeMessage(rule *rule, f ruleFinding) string {
	own := r.ownMessage(rule)
	switch {
	case f.expression != nil && own != "":
		return own + " (undecided: " + f.expression.Error() + ")"
	case f.expression != nil:
		return rule.name + " is undecided: " + f.expression.Error()
	case f.warning != nil && own != "":
		return own + " (a warning is undecided: " + f.warning.Error() + ")"
	case f.warning != nil:
		return rule.name + " holds, a warning is undecided: " + f.warning.Error()
	case own != "":
		return own
	case f.outcomes == canWarn:
		return r.decision(rule, rule.warning, true)
	default:
		return r.decision(rule, rule.expression, f.outcomes != canFail)
	}
}

// ownMessage is the author's own message, where there is one and it has a value.
func (r *run) ownMessage(rule *rule) string {
	if rule.message == nil {
		return ""
	}
	value, err := r.decide(rule.message)
	if err != nil {
		return ""
	}
	text, _ := value.(types.String)
	return shorten(string(text), maxMessage)
}

// decision names what made an expression what it is. A single comparison reads
// as the rule's own: "error-ratio 3.1% ≥ 1%".
func (r *run) decision(rule *rule, e *expression, holds bool) string {
	deciders := e.clause.deciders(r.findings, holds)
	if len(deciders) == 0 {
		return rule.name + ": " + shorten(e.text(e.parsed.Expr().ID()), maxText) + isBool(holds)
	}
	if len(deciders) == 1 && r.policy.leaves[deciders[0].leaf].operator != "" {
		return r.compared(rule.name, rule.fraction, deciders[0])
	}
	parts := make([]string, len(deciders))
	for i, d := range deciders {
		l := r.policy.leaves[d.leaf]
		if l.operator == "" {
			parts[i] = l.text + isBool(d.holds)
			continue
		}
		parts[i] = r.compared(l.subject, rule.fraction, d)
	}
	return rule.name + ": " + strings.Join(parts, ", ")
}

// compared shows a comparison: its subject, the value, the sign of what is true,
// and the limit. They are percentages where both are within 0 and 1, and the name
// of the rule or of the value says that it is a fraction (isFraction).
func (r *run) compared(subject string, fraction bool, d decider) string {
	l, f := r.policy.leaves[d.leaf], r.findings[d.leaf]
	operator, value, limit := l.operator, f.left, f.right
	if l.swapped {
		c, _ := comparisonOf(operator)
		operator, value, limit = c.swapped, f.right, f.left
	}
	within := value >= 0 && value <= 1 && limit >= 0 && limit <= 1
	left, right := formatPair(value, limit, within && (fraction || l.fraction))
	sign, _ := shown(operator, d.holds)
	return subject + " " + left + " " + sign + " " + right
}

func isBool(holds bool) string {
	if holds {
		return " is true"
	}
	return " is false"
}
