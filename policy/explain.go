package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// Explain is Evaluate, with the values that led to each rule's result. It costs a
// second evaluation, of programs that are planned for it and that note every
// value: use it where someone will read it, such as for the verdict that ends a
// policy, and not for each measurement. What it explains is bounded: maxExplained
// values of a rule, maxVerdict of the verdict, and the last entry says how many more
// there were.
func (p *Policy) Explain(ctx context.Context, in Input) Verdict {
	v := p.Evaluate(ctx, in)
	r := newRun(ctx, p, in)
	r.track = p.tracked
	r.states = map[*expression]interpreter.EvalState{}
	for i := range p.rules {
		r.findRule(&p.rules[i])
	}
	total := 0
	for i := range p.rules {
		x := explainer{run: r, seen: map[string]bool{}}
		x.expression(p.rules[i].expression)
		if p.rules[i].warning != nil {
			x.expression(p.rules[i].warning)
		}
		v.Rules[i].Explain = bounded(x.values, min(maxExplained, (maxVerdict-total)/(len(p.rules)-i)))
		total += len(v.Rules[i].Explain)
	}
	return v
}

// The most values that explain a rule, and a verdict. A verdict of many rules
// shares them out evenly.
const (
	maxExplained = 20
	maxVerdict   = 200
)

// bounded are the values of a rule, n at most. Too many lose first those that
// others are joined to, which the others tell, and then the last.
func bounded(values []explained, n int) []Explanation {
	if len(values) > n {
		values = slices.Concat(
			slices.DeleteFunc(slices.Clone(values), func(x explained) bool { return x.joined }),
			slices.DeleteFunc(slices.Clone(values), func(x explained) bool { return !x.joined }))
	}
	shown := make([]Explanation, 0, min(len(values), n))
	for i, x := range values {
		if i == n-1 && len(values) > n {
			return append(shown, Explanation{Expr: "…", Value: fmt.Sprintf("%d more", len(values)-i)})
		}
		shown = append(shown, x.Explanation)
	}
	return shown
}

// An explained is a value of a rule. It is joined where the expression is one of &&
// or ||.
type explained struct {
	Explanation
	joined bool
}

// tracked plans an expression so that it notes every value.
func (p *Policy) tracked(e *expression) (cel.Program, error) {
	guards := p.newGuards(e)
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
	values []explained
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
		if s, ok := x.run.policy.symbols[part.AsIdent()]; ok && s.root.name == rootVariables {
			x.expression(x.run.policy.variables[s.index])
		}
	}
	for _, child := range e.children(part) {
		x.part(e, state, child)
	}
	joined := part.Kind() == ast.CallKind && slices.Contains([]string{operators.LogicalAnd, operators.LogicalOr}, part.AsCall().FunctionName())
	x.add(e.text(part.ID()), value, joined)
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
func (x *explainer) add(text string, value ref.Val, joined bool) {
	if text != "" && !x.seen[text] {
		x.seen[text] = true
		x.values = append(x.values, explained{Explanation{Expr: shorten(text, maxText), Value: shorten(formatValue(value), maxValue)}, joined})
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
		return strconv.Quote(string(v))
	case types.Timestamp:
		return v.UTC().Format(time.RFC3339)
	case types.Duration:
		return v.Duration.String()
	case *object:
		return v.String()
	case openList:
		return "list of more than is known"
	case traits.Lister:
		return fmt.Sprintf("list of %v", v.Size().Value())
	case traits.Mapper:
		return fmt.Sprintf("map of %v", v.Size().Value())
	default:
		return fmt.Sprint(v.Value())
	}
}
