package policy

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// Explain is Evaluate, with the values that led to each rule's result. It costs a
// second evaluation, of programs that are planned for it and that note every
// value: use it where someone will read it.
func (p *Policy) Explain(ctx context.Context, in Input) Verdict {
	v := p.Evaluate(ctx, in)
	r := newRun(ctx, p, in)
	r.track = p.tracked
	r.states = map[*expression]interpreter.EvalState{}
	for i := range p.rules {
		r.findRule(&p.rules[i])
	}
	for i := range p.rules {
		x := explainer{run: r, seen: map[string]bool{}, values: []Explanation{}}
		x.expression(p.rules[i].expression)
		if p.rules[i].warning != nil {
			x.expression(p.rules[i].warning)
		}
		v.Rules[i].Explain = x.values
	}
	return v
}

// tracked plans an expression so that it notes every value.
func (p *Policy) tracked(e *expression) (cel.Program, error) {
	guards := &guards{expression: e}
	return p.env.Program(e.checked,
		cel.CustomDecoratorV2(guards.decorate),
		cel.EvalOptions(cel.OptTrackState),
		cel.InterruptCheckFrequency(interruptEvery))
}

// An explainer collects the values of one rule, in the order in which they were
// needed, each once.
type explainer struct {
	run    *run
	seen   map[string]bool
	values []Explanation
}

// expression collects the values of an expression that was evaluated.
func (x *explainer) expression(e *expression) {
	if state, ok := x.run.states[e]; ok {
		x.part(e, state, e.checked.NativeRep().Expr())
	}
}

// part collects the values below a part, and then its own. What is inside a loop
// has many values, and is left out.
func (x *explainer) part(e *expression, state interpreter.EvalState, part ast.Expr) {
	value, known := state.Value(part.ID())
	if !known || part.Kind() == ast.LiteralKind {
		return
	}
	if part.Kind() == ast.IdentKind {
		if s := x.run.policy.symbols[part.AsIdent()]; s.root == rootVariables {
			x.expression(x.run.policy.variables[s.index])
		}
	}
	for _, child := range e.children(part) {
		x.part(e, state, child)
	}
	x.add(e.text(part.ID()), value)
}

// children are the parts of a part that have one value each.
func (e *expression) children(part ast.Expr) []ast.Expr {
	switch part.Kind() {
	case ast.CallKind:
		call := part.AsCall()
		switch {
		case e.isAbsence(part):
			return nil
		case call.IsMemberFunction():
			return append([]ast.Expr{call.Target()}, call.Args()...)
		default:
			return call.Args()
		}
	case ast.SelectKind:
		return []ast.Expr{part.AsSelect().Operand()}
	case ast.ComprehensionKind:
		return []ast.Expr{part.AsComprehension().IterRange()}
	case ast.ListKind:
		return part.AsList().Elements()
	default:
		return nil
	}
}

// add adds the value of a part that the author wrote.
func (x *explainer) add(text string, value ref.Val) {
	if text != "" && !x.seen[text] {
		x.seen[text] = true
		x.values = append(x.values, Explanation{Expr: text, Value: formatValue(value)})
	}
}

// formatValue shows a value of any type in one line.
func formatValue(v ref.Val) string {
	switch v := v.(type) {
	case *types.Err:
		var why *undecidedError
		if errors.As(v, &why) {
			return "undecided: " + why.what
		}
		return "undecided: " + v.String()
	case types.Double:
		return formatExact(float64(v))
	case types.String:
		return shorten(strconv.Quote(string(v)), 200)
	case types.Timestamp:
		return v.UTC().Format(time.RFC3339)
	case types.Duration:
		return v.Duration.String()
	case celSeries:
		return fmt.Sprintf("%v %s", v.of.Labels, formatExact(v.of.Value))
	case traits.Lister:
		return fmt.Sprintf("list of %v", v.Size().Value())
	case traits.Mapper:
		return fmt.Sprintf("map of %v", v.Size().Value())
	default:
		return fmt.Sprint(v.Value())
	}
}
