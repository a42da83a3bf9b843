package policy

import (
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// An openList is a list of which only the first elements are known. A loop meets
// an error after them, so that it is undecided where they do not decide it; one
// that does not look at its elements only counts one more of them.
type openList struct {
	traits.Lister
	rest ref.Val // the error in place of the other elements
}

// Iterator implements traits.Iterable.
func (l openList) Iterator() traits.Iterator { return &openIterator{l.Lister.Iterator(), l.rest} }

// Get implements traits.Indexer.
func (l openList) Get(index ref.Val) ref.Val {
	if v := l.Lister.Get(index); !types.IsError(v) {
		return v
	}
	return l.rest
}

// Contains implements traits.Container.
func (l openList) Contains(value ref.Val) ref.Val {
	if found := l.Lister.Contains(value); found == types.True {
		return found
	}
	return l.rest
}

// Add implements traits.Adder.
func (l openList) Add(ref.Val) ref.Val { return l.rest }

// Equal implements ref.Val.
func (l openList) Equal(ref.Val) ref.Val { return l.rest }

// An openIterator yields the known elements, and then the error.
type openIterator struct {
	traits.Iterator
	rest ref.Val
}

// HasNext implements traits.Iterator.
func (i *openIterator) HasNext() ref.Val {
	return types.Bool(i.rest != nil)
}

// Next implements traits.Iterator.
func (i *openIterator) Next() ref.Val {
	if i.Iterator.HasNext() == types.True {
		return i.Iterator.Next()
	}
	rest := i.rest
	i.rest = nil
	return rest
}

// A sizeCall is a call of size(), which is undecided for a list that is open. That
// its Size is a number is what CEL relies upon where it looks up an index.
type sizeCall struct {
	interpreter.InterpretableCall
	arg interpreter.InterpretableV2
}

// Exec implements interpreter.InterpretableV2.
func (c *sizeCall) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	switch v := c.arg.Exec(frame).(type) {
	case openList:
		return v.rest
	case traits.Sizer:
		return v.Size()
	default:
		return types.MaybeNoSuchOverloadErr(v)
	}
}

// Eval implements interpreter.Interpretable.
func (c *sizeCall) Eval(vars interpreter.Activation) ref.Val {
	return c.Exec(interpreter.AsFrame(vars))
}
