package policy

import (
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
)

// Metrics are doubles, and CEL does not mix them with integers. A promoter makes
// every integer that stands beside a double, in arithmetic, in a comparison or as
// the other branch of ?:, a double itself: a literal becomes a double literal,
// anything else is wrapped in double(). Arithmetic among integers stays CEL's.
//
// The types come from CEL's own checker. Arithmetic and ordering have overloads
// for the mixture (mixedArithmetic, cel.CrossTypeNumericComparisons). Equality
// and ?: cannot have any, since they take two values of one type; where these
// keep an expression from passing the check, it is checked again with looser
// stand-ins in their place, only to learn the types.
type promoter struct {
	ast.ExprFactory
	env    *environment
	parsed *cel.Ast
	nextID int64
	even   map[int64]bool // the ?: whose branches are known to be of one type
}

// loose are the stand-ins, by the operators whose place they take.
func loose() map[string]string {
	return map[string]string{
		operators.Equals:      "@equals",
		operators.NotEquals:   "@not_equals",
		operators.Conditional: "@conditional",
	}
}

// looseOperators declares the stand-ins.
func looseOperators() []cel.EnvOption {
	dyn := cel.DynType
	return []cel.EnvOption{
		cel.Function("@equals", cel.Overload("loose_equals", []*cel.Type{dyn, dyn}, cel.BoolType)),
		cel.Function("@not_equals", cel.Overload("loose_not_equals", []*cel.Type{dyn, dyn}, cel.BoolType)),
		cel.Function("@conditional", cel.Overload("loose_conditional", []*cel.Type{cel.BoolType, dyn, dyn}, dyn)),
	}
}

// check checks the types of a parsed expression, promoting integers on the way.
func (e *environment) check(parsed *cel.Ast) (*cel.Ast, *cel.Issues) {
	p := promoter{
		ExprFactory: ast.NewExprFactory(),
		env:         e,
		parsed:      parsed,
		nextID:      ast.MaxID(parsed.NativeRep()) + 1,
		even:        map[int64]bool{},
	}
	for {
		checked, issues := e.Check(parsed)
		if issues.Err() == nil {
			if !p.promoteMixed(checked.NativeRep()) {
				return checked, issues
			}
			continue
		}
		progress, looseIssues := p.promoteLoose()
		if looseIssues.Err() != nil {
			return nil, looseIssues
		}
		if !progress {
			return nil, issues
		}
	}
}

// promoteMixed promotes the integers in calls that were resolved to a mixture,
// and says whether there were any.
func (p *promoter) promoteMixed(checked *ast.AST) bool {
	promoted := false
	ast.PostOrderVisit(p.parsed.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || !isMixture(checked.GetOverloadIDs(e.ID())) {
			return
		}
		for _, arg := range e.AsCall().Args() {
			if checked.GetType(arg.ID()).Kind() == types.IntKind {
				p.toDouble(arg)
				promoted = true
			}
		}
	}))
	return promoted
}

// isMixture says whether a call takes an integer and a double.
func isMixture(ids []string) bool {
	return len(ids) == 1 && (strings.HasSuffix(ids[0], "_double_int64") || strings.HasSuffix(ids[0], "_int64_double"))
}

// promoteLoose checks the expression with the stand-ins, promotes what it learns,
// and says whether that was anything.
func (p *promoter) promoteLoose() (progress bool, issues *cel.Issues) {
	replaced := p.loosen()
	checked, issues := p.env.Check(p.parsed)
	for _, e := range replaced {
		p.restore(e)
	}
	if issues.Err() != nil {
		return false, issues
	}
	for _, e := range replaced {
		if p.settle(checked.NativeRep(), e) {
			progress = true
		}
	}
	return progress, issues
}

// loosen puts the stand-ins in their place, and returns where.
func (p *promoter) loosen() []ast.Expr {
	var replaced []ast.Expr
	names := loose()
	ast.PostOrderVisit(p.parsed.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || p.even[e.ID()] {
			return
		}
		if name, ok := names[e.AsCall().FunctionName()]; ok {
			e.SetKindCase(p.NewCall(e.ID(), name, e.AsCall().Args()...))
			replaced = append(replaced, e)
		}
	}))
	return replaced
}

// restore puts the operator back.
func (p *promoter) restore(e ast.Expr) {
	call := e.AsCall()
	for operator, name := range loose() {
		if name == call.FunctionName() {
			e.SetKindCase(p.NewCall(e.ID(), operator, call.Args()...))
		}
	}
}

// settle compares the two sides of an operator: an integer beside a double is
// promoted, and branches of one type are remembered, so that the next check can
// see that type through the ?:.
func (p *promoter) settle(checked *ast.AST, e ast.Expr) (progress bool) {
	args := e.AsCall().Args()
	left, right := args[len(args)-2], args[len(args)-1]
	a, b := checked.GetType(left.ID()).Kind(), checked.GetType(right.ID()).Kind()
	switch {
	case a == types.DoubleKind && b == types.IntKind:
		p.toDouble(right)
	case a == types.IntKind && b == types.DoubleKind:
		p.toDouble(left)
	case a == b && a != types.DynKind:
	default:
		return false
	}
	p.even[e.ID()] = true
	return true
}

// toDouble makes an integer a double.
func (p *promoter) toDouble(e ast.Expr) {
	if e.Kind() == ast.LiteralKind {
		if i, ok := e.AsLiteral().(types.Int); ok {
			e.SetKindCase(p.NewLiteral(e.ID(), types.Double(i)))
			return
		}
	}
	outer, inner := e.ID(), p.nextID
	p.nextID++
	operand := p.CopyExpr(e)
	operand.RenumberIDs(func(id int64) int64 {
		if id == outer {
			return inner
		}
		return id
	})
	info := p.parsed.NativeRep().SourceInfo()
	if at, ok := info.GetOffsetRange(outer); ok {
		info.SetOffsetRange(inner, at)
	}
	e.SetKindCase(p.NewCall(outer, overloads.TypeConvertDouble, operand))
}
