package policy

import (
	"fmt"
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
)

// A resolver turns the names of one parsed expression into the variables of the
// environment, in place:
//
//   - metrics.x and metrics["x"] into the variable "metrics.x";
//   - has(metrics.x), metrics.x != null and metrics.x == null into whether there
//     is data, which is always decided; and so of the fields of slo.x;
//   - a name that does not exist into a problem.
type resolver struct {
	ast.ExprFactory
	names    namespace
	declared int   // how many variables stand above the expression
	reads    []int // the variables read
	report   func(id int64, message string)
}

// resolve rewrites the expression below e, parents first.
func (r *resolver) resolve(e ast.Expr) {
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.CallKind:
			r.call(e)
		case ast.SelectKind:
			sel := e.AsSelect()
			if root, ok := r.root(sel.Operand()); ok {
				r.name(e, sel.Operand().ID(), root, sel.FieldName(), sel.IsTestOnly())
			} else if sel.IsTestOnly() {
				r.field(e)
			}
		case ast.IdentKind:
			r.bare(e)
		case ast.ComprehensionKind:
			r.loop(e)
		}
	}))
}

// root says whether e is one of the roots that names follow.
func (r *resolver) root(e ast.Expr) (string, bool) {
	if e.Kind() != ast.IdentKind {
		return "", false
	}
	root, ok := r.names[e.AsIdent()]
	return e.AsIdent(), ok && !root.isValue()
}

// call rewrites metrics["x"] and comparisons with null.
func (r *resolver) call(e ast.Expr) {
	call := e.AsCall()
	if len(call.Args()) != 2 {
		return
	}
	left, right := call.Args()[0], call.Args()[1]
	switch call.FunctionName() {
	case operators.Index:
		root, isRoot := r.root(left)
		field, isName := literalString(right)
		if isRoot && isName {
			r.name(e, left.ID(), root, field, false)
		}
	case operators.Equals, operators.NotEquals:
		if isNull(left) {
			left, right = right, left
		}
		if isNull(right) && r.presence(left) {
			if call.FunctionName() == operators.Equals {
				e.SetKindCase(r.NewCall(e.ID(), operators.LogicalNot, left))
			} else {
				e.SetKindCase(r.NewIdent(e.ID(), left.AsIdent()))
			}
		}
	}
}

// presence makes a name, or a field of what it stands for, whether there is data. It
// says whether e is either.
func (r *resolver) presence(e ast.Expr) bool {
	if root, name, at, ok := r.reference(e); ok && root != rootVariables {
		r.name(e, at, root, name, true)
		return true
	}
	return e.Kind() == ast.SelectKind && !e.AsSelect().IsTestOnly() && r.field(e)
}

// field makes <root>.<name>.<field> whether there is data. It says whether e is one;
// what is misspelled is none.
func (r *resolver) field(e ast.Expr) bool {
	sel := e.AsSelect()
	root, name, _, ok := r.reference(sel.Operand())
	if !ok {
		return false
	}
	known := r.names[root]
	if !slices.Contains(known.names, name) || !slices.ContainsFunc(known.fields, func(f objectField) bool { return f.name == sel.FieldName() }) {
		return false
	}
	e.SetKindCase(r.NewIdent(e.ID(), presencePrefix+root+"."+name+"."+sel.FieldName()))
	return true
}

// reference splits <root>.<name> and <root>["<name>"]. The id is that of the root.
func (r *resolver) reference(e ast.Expr) (root, field string, at int64, ok bool) {
	switch e.Kind() {
	case ast.SelectKind:
		sel := e.AsSelect()
		root, ok = r.root(sel.Operand())
		return root, sel.FieldName(), sel.Operand().ID(), ok && !sel.IsTestOnly()
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() != operators.Index || len(call.Args()) != 2 {
			return "", "", 0, false
		}
		root, ok = r.root(call.Args()[0])
		field, isName := literalString(call.Args()[1])
		return root, field, call.Args()[0].ID(), ok && isName
	default:
		return "", "", 0, false
	}
}

// name makes e the variable that <root>.<name> is, or reports that there is none.
func (r *resolver) name(e ast.Expr, at int64, root, name string, presence bool) {
	known := r.names[root]
	i := slices.Index(known.names, name)
	full := root + "." + name
	problem := ""
	switch {
	case i < 0:
		problem = known.unknown(name)
	case root == rootVariables && i >= r.declared:
		problem = fmt.Sprintf("%s is not known here: a variable can read those above it only; move it up", full)
	case presence && known.present == nil:
		problem = fmt.Sprintf("has(%s) has no meaning: ask for data where the metric is read, as in metrics.x != null", full)
	case root == rootVariables:
		r.reads = append(r.reads, i)
	}
	switch {
	case problem != "":
		r.report(at, problem)
		full = unknownName
	case presence:
		full = presencePrefix + full
	}
	e.SetKindCase(r.NewIdent(e.ID(), full))
}

// bare reports a root that is not followed by a name.
func (r *resolver) bare(e ast.Expr) {
	if root, ok := r.root(e); ok {
		r.report(e.ID(), fmt.Sprintf("%s is no value by itself: write %s.<name>", root, root))
		e.SetKindCase(r.NewIdent(e.ID(), unknownName))
	}
}

// loop reports a loop whose variable would hide a root.
func (r *resolver) loop(e ast.Expr) {
	loop := e.AsComprehension()
	for _, name := range []string{loop.IterVar(), loop.IterVar2()} {
		if _, taken := r.names[name]; taken {
			r.report(loop.IterRange().ID(), fmt.Sprintf("the loop variable %s hides what %s means: choose another name", name, name))
		}
	}
}

func isNull(e ast.Expr) bool {
	return e.Kind() == ast.LiteralKind && e.AsLiteral() == types.NullValue
}

func literalString(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}

// scalarsOnly says whether every part of a checked expression is of a fixed size,
// so that its estimated cost is a true bound.
func scalarsOnly(checked *cel.Ast) bool {
	for _, t := range checked.NativeRep().TypeMap() {
		if !isScalar(t.Kind()) {
			return false
		}
	}
	return true
}

// isScalar says whether values of a kind are of a fixed size.
func isScalar(kind types.Kind) bool {
	switch kind {
	case types.BoolKind, types.DoubleKind, types.IntKind, types.UintKind,
		types.DurationKind, types.TimestampKind, types.NullTypeKind:
		return true
	default:
		return false
	}
}
