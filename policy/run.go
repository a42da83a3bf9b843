package policy

import (
	"context"
	"errors"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
)

// A run is one evaluation of a policy over one input. It implements
// interpreter.Activation.
type run struct {
	policy    *Policy
	ctx       context.Context
	input     Input
	variables []variableValue
	findings  []finding
	found     map[*symbol]ref.Val                      // by once
	commit    *commitView                              // by commitView
	spent     uint64                                   // on the expression that is being evaluated, without variables
	made      uint64                                   // bytes of the texts and lists that expressions made
	track     func(e *expression) (cel.Program, error) // nil unless it explains
	states    map[*expression]interpreter.EvalState
}

// A variableValue is what a variable was found to be, once it is known.
type variableValue struct {
	value ref.Val
	cost  uint64
}

// A finding is what a part of a rule found. The sides are those of a comparison.
type finding struct {
	known, holds bool
	left, right  float64
}

func newRun(ctx context.Context, p *Policy, in Input) *run {
	r := &run{policy: p, ctx: ctx, input: in}
	if len(p.variables) > 0 {
		r.variables = make([]variableValue, len(p.variables))
	}
	if len(p.leaves) > 0 {
		r.findings = make([]finding, len(p.leaves))
	}
	for _, has := range p.presences {
		r.findings[has.leaf] = finding{known: true, holds: has.symbol.present(r, has.symbol)}
	}
	return r
}

// Parent implements interpreter.Activation.
func (r *run) Parent() interpreter.Activation { return nil }

// ResolveName implements interpreter.Activation: it finds the value of a name, or
// the error that it has none.
func (r *run) ResolveName(name string) (any, bool) {
	s, ok := r.policy.symbols[name]
	if !ok {
		return r, name == runName
	}
	if s.presence {
		return types.Bool(s.present(r, s)), true
	}
	return s.read(r, s), true
}

// overLimit is the reason of what costs too much.
const overLimit = "the cost limit was reached: loop over fewer series, or aggregate them in the query"

// noID labels an error that belongs to no expression yet.
const noID = -1

// variable evaluates a variable the first time it is read.
func (r *run) variable(s *symbol) any {
	v := &r.variables[s.index]
	if v.value == nil {
		value, cost, err := r.evaluate(r.policy.variables[s.index])
		if err != nil {
			value = types.LabelErrNode(noID, types.WrapErr(reason(err)))
		}
		v.value, v.cost = value, cost
	}
	return v.value
}

// evaluate evaluates one expression, and says what that cost. A bounded one is
// known to stay below the limit, and is not measured.
func (r *run) evaluate(e *expression) (value ref.Val, cost uint64, err error) {
	if e.bounded && r.track == nil {
		value, _, err = e.program.Eval(r)
		return value, e.cost, err
	}
	program := e.program
	if r.track != nil {
		if program, err = r.track(e); err != nil {
			return nil, 0, err
		}
	}
	outer := r.spent
	r.spent = 0
	value, details, err := program.ContextEval(r.ctx, r)
	cost, r.spent = r.spent, outer
	if r.track != nil {
		r.states[e] = details.State()
	}
	return value, cost, err
}

// decide evaluates a part of a rule, together with the variables it reads.
func (r *run) decide(e *expression) (ref.Val, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, &undecidedError{what: "the evaluation was cut short: " + err.Error()}
	}
	value, cost, err := r.evaluate(e)
	if err != nil {
		return nil, reason(err)
	}
	for _, i := range e.reads {
		cost = addCost(cost, r.variables[i].cost)
	}
	if cost > r.policy.costLimit {
		return nil, &undecidedError{what: overLimit}
	}
	return value, nil
}

// reason is why an expression has no value, in its author's words.
func reason(err error) error {
	var why *undecidedError
	if errors.As(err, &why) {
		return why
	}
	if limit, is := isOverLimit(err); is {
		return &undecidedError{what: limit}
	}
	return &undecidedError{what: err.Error()}
}
