package policy

import (
	"errors"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
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
	if found, ok := frame.ResolveName(runName); ok {
		found.(*run).spend(units)
	}
	return v
}

// Eval implements interpreter.Interpretable.
func (c *meteredCall) Eval(vars interpreter.Activation) ref.Val {
	return c.Exec(interpreter.AsFrame(vars))
}

// spend counts the cost of an expression.
func (r *run) spend(units uint64) {
	r.spent = addCost(r.spent, units)
	if r.spent > r.policy.costLimit {
		panic(interpreter.EvalCancelledError{Message: "cost limit reached", Cause: interpreter.CostLimitExceeded})
	}
}

// isOverLimit says whether an evaluation was ended by spend.
func isOverLimit(err error) bool {
	var cancelled interpreter.EvalCancelledError
	return errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded
}
