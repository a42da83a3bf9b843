package policy

import (
	"context"

	"github.com/google/cel-go/common/types"
)

// Evaluate judges the input. It never fails: what cannot be decided, also because
// ctx is done or a limit of cost or memory is reached, is inconclusive.
func (p *Policy) Evaluate(ctx context.Context, in Input) Verdict {
	return newRun(ctx, p, in).judge()
}

// judge evaluates all rules and sums them up.
func (r *run) judge() Verdict {
	p := r.policy
	v := Verdict{Rules: make([]RuleResult, len(p.rules))}
	ballots := make([]ballot, len(p.rules))
	for i := range p.rules {
		rule := &p.rules[i]
		f := r.findRule(rule)
		ballots[i] = ballot{outcomes: f.outcomes, weight: rule.weight, required: rule.required}
		v.Rules[i] = RuleResult{
			Name:    rule.name,
			Result:  f.outcomes.result(),
			Message: r.message(rule, f),
			Explain: []Explanation{},
		}
	}
	sum := tally(ballots)
	v.Result = sum.verdict(p.score)
	v.Score, v.MaxScore = float64(sum.certain)/2, float64(sum.max)/2
	v.BudgetBurned = r.burned()
	return v
}

// burned are the known fractions of the policy's error budgets that the rollout used
// up.
func (r *run) burned() map[string]float64 {
	var burned map[string]float64
	for name, state := range r.input.SLOs {
		if _, declared := r.policy.symbols[rootSLO+"."+name]; !declared || state.Burned == nil || state.Missing != "" {
			continue
		}
		if burned == nil {
			burned = map[string]float64{}
		}
		burned[name] = *state.Burned
	}
	return burned
}

// A ruleFinding is what was found of a rule: what results it can have, and why
// its expression and its warning are undecided, if they are.
type ruleFinding struct {
	outcomes            outcomes
	expression, warning error
}

// findRule evaluates a rule. The warning of a rule that fails is not looked at.
func (r *run) findRule(rule *rule) ruleFinding {
	holds, err := r.truth(rule.expression)
	if err == nil && !holds {
		return ruleFinding{outcomes: canFail}
	}
	f := ruleFinding{outcomes: canPass, expression: err}
	if rule.warning != nil {
		warns, err := r.truth(rule.warning)
		switch {
		case err != nil:
			f.outcomes, f.warning = canPass|canWarn, err
		case warns:
			f.outcomes = canWarn
		}
	}
	if f.expression != nil {
		f.outcomes |= canFail
	}
	return f
}

// truth evaluates a bool.
func (r *run) truth(e *expression) (bool, error) {
	value, err := r.decide(e)
	if err != nil {
		return false, err
	}
	return value == types.True, nil
}
