package policy

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	bindings "github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// What the texts and lists that expressions make may be at most, in bytes. The cost
// limit bounds the time of an evaluation; these bound its memory, before a call
// takes any.
const (
	maxMadeText   = 256 << 10 // one text
	maxMade       = 8 << 20   // all texts and lists of an evaluation together
	maxCompared   = 8 << 20   // a list that is compared or searched, with all that is in it
	bytesOfValue  = 32        // one element of a list, or key or value of a map
	bytesOfNumber = 512       // one number that is formatted
)

// overMemory is the reason of what would make too much.
const overMemory = "the memory limit was reached: an evaluation can make texts of up to 256 KiB, and 8 MiB of texts and lists in all"

// A maker is a function of CEL that makes a text or a list, or that takes long for
// large ones. Sizes are bytes, and are counted no further than beyond a limit.
type maker struct {
	made  func(args []ref.Val) uint64 // the bytes of the result at most; nil for none
	list  bool                        // whether the result is a list
	steps func(args []ref.Val) uint64 // what the call costs beside; nil for nothing
	call  *bindings.Overload          // the function itself
}

// newMakers are the makers by their names, with their functions.
func newMakers(env *cel.Env) (map[string]maker, error) {
	declared, all := env.Functions(), makers()
	for name, m := range all {
		overloads, err := declared[name].Bindings()
		if err != nil {
			return nil, fmt.Errorf("finding the function %q: %w", name, err)
		}
		for _, b := range overloads {
			if b.Operator == name {
				m.call = b
			}
		}
		all[name] = m
	}
	return all, nil
}

// makers are those functions without what they do.
func makers() map[string]maker {
	same := maker{made: func(args []ref.Val) uint64 { return bytesOfNumber/8 + sizeOf(args[0]) }}
	find := maker{steps: func(args []ref.Val) uint64 { return product([]uint64{sizeOf(args[0]), sizeOf(args[1])}) }}
	compare := maker{steps: compared}
	return map[string]maker{
		"replace":           {made: replaced},
		"join":              {made: joined},
		"format":            {made: formatted},
		"split":             {made: splitted, list: true},
		"strings.quote":     {made: func(args []ref.Val) uint64 { return 2 + 3*sizeOf(args[0]) }},
		"lowerAscii":        same,
		"upperAscii":        same,
		"reverse":           same,
		"substring":         same,
		"string":            same,
		"bytes":             same,
		"indexOf":           find,
		"lastIndexOf":       find,
		operators.Equals:    compare,
		operators.NotEquals: compare,
		operators.In:        {steps: searched},
		operators.Add:       {made: added},
	}
}

// textAt is an argument that is a text.
func textAt(args []ref.Val, i int) (string, bool) {
	if i >= len(args) {
		return "", false
	}
	text, ok := args[i].(types.String)
	return string(text), ok
}

// added is the size of a sum. A list is charged for the elements that it is given
// in a loop, where they are copied; elsewhere two lists are joined by reference.
func added(args []ref.Val) uint64 {
	switch left := args[0].(type) {
	case types.String, types.Bytes:
		return addCost(sizeOf(left), sizeOf(args[1]))
	case traits.MutableLister:
		return addCost(bytesOfValue, multiplyCost(bytesOfValue, sizeOf(args[1])))
	case traits.Lister:
		return 4 * bytesOfValue
	default:
		return 0
	}
}

// replaced is the size of text.replace(old, new).
func replaced(args []ref.Val) uint64 {
	text, _ := textAt(args, 0)
	before, _ := textAt(args, 1)
	after, _ := textAt(args, 2)
	n := uint64(strings.Count(text, before))
	return addCost(uint64(len(text)), multiplyCost(n, uint64(len(after))))
}

// splitted is the size of text.split(separator).
func splitted(args []ref.Val) uint64 {
	text, _ := textAt(args, 0)
	separator, _ := textAt(args, 1)
	return bytesOfValue * (1 + uint64(strings.Count(text, separator)))
}

// joined is the size of list.join(separator).
func joined(args []ref.Val) uint64 {
	separator := uint64(0)
	if len(args) > 1 {
		separator = sizeOf(args[1])
	}
	list, ok := args[0].(traits.Lister)
	if !ok {
		return 0
	}
	size := uint64(0)
	for it := list.Iterator(); it.HasNext() == types.True && size <= maxMade; {
		size += sizeOf(it.Next()) + separator
	}
	return size
}

// formatted is the size of text.format(list) at most: each element is written once.
func formatted(args []ref.Val) uint64 {
	size := sizeOf(args[0])
	list, ok := args[1].(traits.Lister)
	if !ok {
		return size
	}
	for it := list.Iterator(); it.HasNext() == types.True && size <= maxMade; {
		size += bytesOfNumber + 2*deepSize(it.Next(), maxMade)
	}
	return size
}

// compared is what it costs to compare two values, which can hold others.
func compared(args []ref.Val) uint64 {
	a := deepSize(args[0], maxCompared)
	return steps(min(a, deepSize(args[1], a)))
}

// searched is what it costs to find a value in a list.
func searched(args []ref.Val) uint64 { return steps(deepSize(args[1], maxCompared)) }

// steps is the cost of so many bytes of values. Beyond the limit it is above all
// limits, since nobody knows how many there are.
func steps(size uint64) uint64 {
	if size > maxCompared {
		return math.MaxUint64
	}
	return size / bytesOfValue
}

// deepSize is the size of a value with all that it holds, each time that it holds
// it. It counts no further than beyond the limit: a list of lists can be small in
// memory, and hold one text a billion times.
func deepSize(v ref.Val, limit uint64) uint64 {
	size := uint64(bytesOfValue)
	switch v := v.(type) {
	case types.String, types.Bytes:
		size += sizeOf(v)
	case traits.Lister:
		for it := v.Iterator(); it.HasNext() == types.True && size <= limit; {
			size += deepSize(it.Next(), limit-size)
		}
	case traits.Mapper:
		for it := v.Iterator(); it.HasNext() == types.True && size <= limit; {
			key := it.Next()
			size += deepSize(key, limit)
			if size <= limit {
				size += deepSize(v.Get(key), limit-size)
			}
		}
	}
	return size
}

// A madeCall is a call of a maker. What it makes is counted before it is made.
type madeCall struct {
	interpreter.InterpretableCall
	maker maker
	args  []interpreter.InterpretableV2
}

// newMadeCall puts a madeCall in the place of a call of a maker, unless all that it
// works on is of a fixed size.
func (g *guards) newMadeCall(call interpreter.InterpretableCall) interpreter.InterpretableCall {
	m, ok := g.makers[call.Function()]
	args := call.Args()
	if !ok || !slices.ContainsFunc(args, func(arg interpreter.InterpretableV2) bool { return !isScalar(g.expression.kindOf(arg.ID())) }) {
		return call
	}
	return &madeCall{call, m, args}
}

// Exec implements interpreter.InterpretableV2.
func (c *madeCall) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	args := make([]ref.Val, len(c.args))
	for i, arg := range c.args {
		if args[i] = arg.Exec(frame); types.IsUnknownOrError(args[i]) {
			return args[i]
		}
	}
	if c.maker.steps != nil {
		spend(frame, c.maker.steps(args))
	}
	if c.maker.made != nil {
		size := c.maker.made(args)
		if _, isList := args[0].(traits.Lister); size > maxMadeText && !c.maker.list && !(isList && c.Function() == operators.Add) {
			size = maxMade + 1
		}
		take(frame, size)
	}
	return types.LabelErrNode(c.ID(), c.maker.invoke(c.Function(), args))
}

// Eval implements interpreter.Interpretable.
func (c *madeCall) Eval(vars interpreter.Activation) ref.Val {
	return c.Exec(interpreter.AsFrame(vars))
}

// invoke calls the function, as CEL does.
func (m maker) invoke(name string, args []ref.Val) ref.Val {
	f := m.call
	switch {
	case name == operators.Equals:
		return types.Equal(args[0], args[1])
	case name == operators.NotEquals:
		return types.Bool(types.Equal(args[0], args[1]) != types.True)
	case f == nil, f.OperandTrait != 0 && !args[0].Type().HasTrait(f.OperandTrait):
	case len(args) == 1 && f.Unary != nil:
		return f.Unary(args[0])
	case len(args) == 2 && f.Binary != nil:
		return f.Binary(args[0], args[1])
	case f.Function != nil:
		return f.Function(args...)
	}
	return types.NewErr("no such overload: %s", name)
}

// appended are the lists of one element that are added to another: they are charged
// by what they are added to, as in each step of map() and filter().
func appended(checked *ast.AST) map[int64]bool {
	ids := map[int64]bool{}
	ast.PostOrderVisit(checked.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != operators.Add {
			return
		}
		if right := e.AsCall().Args()[1]; right.Kind() == ast.ListKind && right.AsList().Size() == 1 {
			ids[right.ID()] = true
		}
	}))
	return ids
}

// A madeValue is a list or a map that an expression writes out.
type madeValue struct {
	interpreter.InterpretableConstructor
}

// Exec implements interpreter.InterpretableV2.
func (v *madeValue) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	take(frame, 4*bytesOfValue+bytesOfValue*uint64(len(v.InitVals())))
	return v.InterpretableConstructor.Exec(frame)
}

// Eval implements interpreter.Interpretable.
func (v *madeValue) Eval(vars interpreter.Activation) ref.Val {
	return v.Exec(interpreter.AsFrame(vars))
}

// take counts memory on the run that a call is part of.
func take(frame *interpreter.ExecutionFrame, size uint64) {
	found, ok := frame.ResolveName(runName)
	if !ok {
		return
	}
	r := found.(*run)
	if addCost(r.made, size) > maxMade {
		panic(interpreter.EvalCancelledError{Message: overMemory, Cause: interpreter.CostLimitExceeded})
	}
	r.made += size
}
