package policy

import (
	"fmt"
	"math"

	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
)

// An undecidedError is why an expression has no value.
type undecidedError struct {
	what string
}

// Error says what has no value, and why.
func (e *undecidedError) Error() string { return e.what }

// undecided is an undecidedError as a CEL value. It carries an expression id, so
// that CEL does not write one into it.
func undecided(id int64, format string, args ...any) ref.Val {
	return types.LabelErrNode(id, types.WrapErr(&undecidedError{what: fmt.Sprintf(format, args...)}))
}

// guards put themselves around the calls of a program while CEL plans it. A call
// that yields NaN or an infinity becomes undecided, so that neither ever reaches
// a comparison; and the comparisons that a rule consists of note what they
// compared, for the message.
type guards struct {
	expression *expression
	functions  map[string]*function
	makers     map[string]maker
	appended   map[int64]bool
}

// newGuards are the guards for a program of an expression.
func (p *Policy) newGuards(e *expression) *guards {
	return &guards{e, p.functions, p.makers, appended(e.checked.NativeRep())}
}

// decorate implements interpreter.InterpretableDecoratorV2.
func (g *guards) decorate(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	if v, ok := i.(interpreter.InterpretableConstructor); ok && !g.appended[v.ID()] {
		return &madeValue{v}, nil
	}
	call, ok := i.(interpreter.InterpretableCall)
	if !ok {
		return i, nil
	}
	if f, ok := g.functions[call.Function()]; ok {
		call = newSizedCall(call, f)
	}
	call = g.newMadeCall(call)
	if call.Function() == overloads.Size && len(call.Args()) == 1 {
		call = &sizeCall{call, call.Args()[0]}
	}
	call = g.guard(call)
	if !g.expression.bounded {
		call = &meteredCall{call, uint64(1 + len(call.Args()))}
	}
	return call, nil
}

// guard puts the guard around a call that it needs.
func (g *guards) guard(call interpreter.InterpretableCall) interpreter.InterpretableCall {
	guarded := guardedCall{InterpretableCall: call, guards: g}
	if args := call.Args(); len(args) == 2 {
		if op, ok := arithmetic(call.OverloadID()); ok {
			return &arithmeticCall{guarded, op, args[0], args[1]}
		}
		if op, ok := g.comparison(call); ok {
			return &comparisonCall{guarded, op, g.slot(call.ID()), args[0], args[1]}
		}
	}
	if slot := g.slot(call.ID()); slot >= 0 {
		return &leafCall{guarded, slot}
	}
	switch g.expression.kindOf(call.ID()) {
	case types.DoubleKind, types.DynKind:
		return &finiteCall{guarded}
	default:
		return call
	}
}

// slot is where a part of a rule notes what it found, or -1.
func (g *guards) slot(id int64) int {
	if slot, ok := g.expression.leaves[id]; ok {
		return slot
	}
	return -1
}

// arithmetic are the operators on two doubles.
func arithmetic(overload string) (func(a, b float64) float64, bool) {
	switch overload {
	case overloads.AddDouble:
		return func(a, b float64) float64 { return a + b }, true
	case overloads.SubtractDouble:
		return func(a, b float64) float64 { return a - b }, true
	case overloads.MultiplyDouble:
		return func(a, b float64) float64 { return a * b }, true
	case overloads.DivideDouble:
		return func(a, b float64) float64 { return a / b }, true
	default:
		return nil, false
	}
}

// comparison are the comparisons of two doubles.
func (g *guards) comparison(call interpreter.InterpretableCall) (func(a, b float64) bool, bool) {
	for _, arg := range call.Args() {
		if g.expression.kindOf(arg.ID()) != types.DoubleKind {
			return nil, false
		}
	}
	switch call.Function() {
	case operators.Less:
		return func(a, b float64) bool { return a < b }, true
	case operators.LessEquals:
		return func(a, b float64) bool { return a <= b }, true
	case operators.Greater:
		return func(a, b float64) bool { return a > b }, true
	case operators.GreaterEquals:
		return func(a, b float64) bool { return a >= b }, true
	case operators.Equals:
		return func(a, b float64) bool { return a == b }, true
	case operators.NotEquals:
		return func(a, b float64) bool { return a != b }, true
	default:
		return nil, false
	}
}

// A guardedCall is what all guards share.
type guardedCall struct {
	interpreter.InterpretableCall
	guards *guards
}

// finite is v unless that is NaN or an infinity.
func (c *guardedCall) finite(v float64) (ref.Val, bool) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return undecided(c.ID(), "%s is %s", c.guards.expression.text(c.ID()), formatNumber(v)), false
	}
	return types.Double(v), true
}

// A finiteCall is any call that can yield a double.
type finiteCall struct{ guardedCall }

// Exec implements interpreter.InterpretableV2.
func (c *finiteCall) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := c.InterpretableCall.Exec(frame)
	if d, ok := v.(types.Double); ok {
		if bad, fine := c.finite(float64(d)); !fine {
			return bad
		}
	}
	return v
}

// Eval implements interpreter.Interpretable.
func (c *finiteCall) Eval(vars interpreter.Activation) ref.Val {
	return c.Exec(interpreter.AsFrame(vars))
}

// An arithmeticCall is an operator on two doubles.
type arithmeticCall struct {
	guardedCall
	op          func(a, b float64) float64
	left, right interpreter.InterpretableV2
}

// Exec implements interpreter.InterpretableV2.
func (c *arithmeticCall) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	a, b, err := doubles(frame, c.left, c.right)
	if err != nil {
		return err
	}
	v, _ := c.finite(c.op(a, b))
	return v
}

// Eval implements interpreter.Interpretable.
func (c *arithmeticCall) Eval(vars interpreter.Activation) ref.Val {
	return c.Exec(interpreter.AsFrame(vars))
}

// A comparisonCall compares two doubles.
type comparisonCall struct {
	guardedCall
	op          func(a, b float64) bool
	slot        int
	left, right interpreter.InterpretableV2
}

// Exec implements interpreter.InterpretableV2.
func (c *comparisonCall) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	a, b, err := doubles(frame, c.left, c.right)
	if err != nil {
		return err
	}
	holds := c.op(a, b)
	note(frame, c.slot, finding{known: true, holds: holds, left: a, right: b})
	return types.Bool(holds)
}

// Eval implements interpreter.Interpretable.
func (c *comparisonCall) Eval(vars interpreter.Activation) ref.Val {
	return c.Exec(interpreter.AsFrame(vars))
}

// A leafCall is any other call that a rule consists of.
type leafCall struct {
	guardedCall
	slot int
}

// Exec implements interpreter.InterpretableV2.
func (c *leafCall) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := c.InterpretableCall.Exec(frame)
	if b, ok := v.(types.Bool); ok {
		note(frame, c.slot, finding{known: true, holds: bool(b)})
	}
	return v
}

// Eval implements interpreter.Interpretable.
func (c *leafCall) Eval(vars interpreter.Activation) ref.Val {
	return c.Exec(interpreter.AsFrame(vars))
}

// doubles evaluates two operands. Where one is no double, err says why.
func doubles(frame *interpreter.ExecutionFrame, left, right interpreter.InterpretableV2) (a, b float64, err ref.Val) {
	l := left.Exec(frame)
	x, ok := l.(types.Double)
	if !ok {
		return 0, 0, noDouble(left.ID(), l)
	}
	r := right.Exec(frame)
	y, ok := r.(types.Double)
	if !ok {
		return 0, 0, noDouble(right.ID(), r)
	}
	return float64(x), float64(y), nil
}

// noDouble is the error of an operand that is no double.
func noDouble(id int64, v ref.Val) ref.Val {
	if types.IsError(v) {
		return v
	}
	return undecided(id, "%s is no number", v.Type().TypeName())
}

// note keeps what a part of a rule found.
func note(frame *interpreter.ExecutionFrame, slot int, f finding) {
	if slot < 0 {
		return
	}
	if r, ok := frame.Activation.(*run); ok {
		r.findings[slot] = f
	}
}
