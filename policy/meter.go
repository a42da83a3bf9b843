package policy

import (
	"errors"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// runName is the hidden name by which a call finds the evaluation it is part of.
const runName = "@run"

// textPerUnit is how many bytes of text that a call makes cost one unit, as in CEL
// (common.StringTraversalCostFactor).
const textPerUnit = 10

// A meteredCall is a call in an expression whose cost depends on the input. It
// costs a unit, another for each argument, and the text that it makes; every
// iteration of a loop has such calls. CEL's own tracker would be closer, but takes
// time that is quadratic in the iterations: its stack keeps the values of a loop's
// attributes, and is searched for each.
type meteredCall struct {
	interpreter.InterpretableCall
	units uint64
}

// Exec implements interpreter.InterpretableV2. Over the limit it ends the whole
// evaluation, as CEL does, so that no loop goes on with errors.
func (c *meteredCall) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := c.InterpretableCall.Exec(frame)
	units := c.units
	if s, ok := v.(types.String); ok {
		units = addCost(units, uint64(len(s)/textPerUnit))
	}
	spend(frame, units)
	return v
}

// Eval implements interpreter.Interpretable.
func (c *meteredCall) Eval(vars interpreter.Activation) ref.Val {
	return c.Exec(interpreter.AsFrame(vars))
}

// A sizedCall is a call of one of the language's own functions, which costs what
// the function says of the sizes of its arguments.
type sizedCall struct {
	interpreter.InterpretableCall
	function *function
	args     []interpreter.InterpretableV2
}

// newSizedCall puts a sizedCall in the place of a call.
func newSizedCall(call interpreter.InterpretableCall, f *function) *sizedCall {
	c := &sizedCall{call, f, make([]interpreter.InterpretableV2, len(call.Args()))}
	for i, arg := range call.Args() {
		c.args[i] = arg
	}
	return c
}

// Exec implements interpreter.InterpretableV2. The cost is counted before the
// call.
func (c *sizedCall) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	args, sizes := make([]ref.Val, len(c.args)), make([]uint64, len(c.args))
	for i, arg := range c.args {
		if args[i] = arg.Exec(frame); types.IsUnknownOrError(args[i]) {
			return args[i]
		}
		sizes[i] = sizeOf(args[i])
	}
	spend(frame, c.function.cost(sizes))
	if c.function.steps != nil {
		spend(frame, c.function.steps(args))
	}
	return types.LabelErrNode(c.ID(), c.function.call(args...))
}

// Eval implements interpreter.Interpretable.
func (c *sizedCall) Eval(vars interpreter.Activation) ref.Val {
	return c.Exec(interpreter.AsFrame(vars))
}

// sizeOf is the size of a value, as function.cost counts it.
func sizeOf(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v))
	case types.Bytes:
		return uint64(len(v))
	case traits.Lister:
		if n, ok := v.Size().(types.Int); ok {
			return uint64(max(n, 0))
		}
	}
	return 1
}

// spend counts a cost on the run that a call is part of.
func spend(frame *interpreter.ExecutionFrame, units uint64) {
	if found, ok := frame.ResolveName(runName); ok {
		found.(*run).spend(units)
	}
}

// spend counts the cost of an expression.
func (r *run) spend(units uint64) {
	r.spent = addCost(r.spent, units)
	if r.spent > r.policy.costLimit {
		panic(interpreter.EvalCancelledError{Message: overLimit, Cause: interpreter.CostLimitExceeded})
	}
}

// isOverLimit says whether an evaluation was ended by spend or by take, and by which
// limit.
func isOverLimit(err error) (limit string, is bool) {
	var cancelled interpreter.EvalCancelledError
	is = errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded
	return cancelled.Message, is
}
