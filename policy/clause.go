package policy

import (
	"slices"
	"strings"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/parser"
)

// A clause is how a bool is put together of comparisons and other leaves, so that
// the one that decided can be named.
type clause struct {
	operator string // &&, ||, ! or ?: in CEL's inner names; empty at a leaf
	parts    []*clause
	leaf     int // at a leaf: its index within the policy
}

// A leaf is a bool that is not put together of others.
type leaf struct {
	text     string
	operator string // of a comparison of two doubles; else empty
	subject  string // the side that is compared
	swapped  bool   // the subject stands on the right, behind a constant
	fraction bool   // the subject's name makes it a fraction
}

// A presence is a leaf that asks whether there is data.
type presence struct {
	leaf   int
	symbol *symbol
}

// analyse finds out how a bool is put together.
func (p *Policy) analyse(e *expression) {
	e.leaves = map[int64]int{}
	e.clause = p.clauseOf(e, e.checked.NativeRep().Expr())
}

// clauseOf is the clause of a part of an expression. A variable that is a bool is
// the clause that it was defined as.
func (p *Policy) clauseOf(e *expression, x ast.Expr) *clause {
	switch x.Kind() {
	case ast.IdentKind:
		s, ok := p.symbols[x.AsIdent()]
		if !ok {
			break
		}
		if s.root.name == rootVariables && p.variables[s.index] != nil && p.variables[s.index].clause != nil {
			return p.variables[s.index].clause
		}
		if s.presence {
			p.presences = append(p.presences, presence{leaf: len(p.leaves), symbol: s})
		}
	case ast.CallKind:
		call := x.AsCall()
		if e.isAbsence(x) {
			break
		}
		switch call.FunctionName() {
		case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Conditional:
			c := &clause{operator: call.FunctionName()}
			for _, arg := range call.Args() {
				c.parts = append(c.parts, p.clauseOf(e, arg))
			}
			return c
		}
	}
	e.leaves[x.ID()] = len(p.leaves)
	p.leaves = append(p.leaves, e.leafOf(x))
	return &clause{leaf: len(p.leaves) - 1}
}

// leafOf describes a leaf.
func (e *expression) leafOf(x ast.Expr) leaf {
	l := leaf{text: shorten(e.text(x.ID()), maxText)}
	if x.Kind() != ast.CallKind || len(x.AsCall().Args()) != 2 {
		return l
	}
	call := x.AsCall()
	left, right := call.Args()[0], call.Args()[1]
	if e.kindOf(left.ID()) != types.DoubleKind || e.kindOf(right.ID()) != types.DoubleKind {
		return l
	}
	if _, ok := shown(call.FunctionName(), true); !ok {
		return l
	}
	l.operator = call.FunctionName()
	l.swapped = left.Kind() == ast.LiteralKind && right.Kind() != ast.LiteralKind
	subject := left
	if l.swapped {
		subject = right
	}
	l.subject = shorten(e.text(subject.ID()), maxText)
	l.fraction = isFraction(l.subject)
	return l
}

// text is a part of the expression as the author wrote it, but for blanks.
// It is empty for what the author did not write.
func (e *expression) text(id int64) string {
	part := partOf(e.parsed, id)
	if part == nil {
		return ""
	}
	text, err := parser.Unparse(part, e.parsed.SourceInfo())
	if err != nil {
		return ""
	}
	return text
}

// partOf is the part of an expression that has that id, or nil.
func partOf(a *ast.AST, id int64) ast.Expr {
	var found ast.Expr
	ast.PreOrderVisit(a.Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		if x.ID() == id {
			found = x
		}
	}))
	return found
}

// isAbsence says whether a negation stands for the author's comparison with null.
func (e *expression) isAbsence(x ast.Expr) bool {
	written := partOf(e.parsed, x.ID())
	return x.AsCall().FunctionName() == operators.LogicalNot &&
		written != nil && written.Kind() == ast.CallKind &&
		written.AsCall().FunctionName() == operators.Equals
}

// A comparison is how people write an operator, which one holds where it does
// not, and which one it is with its sides swapped.
type comparison struct {
	sign, negated, swapped string
}

func comparisonOf(operator string) (comparison, bool) {
	switch operator {
	case operators.Less:
		return comparison{"<", operators.GreaterEquals, operators.Greater}, true
	case operators.LessEquals:
		return comparison{"≤", operators.Greater, operators.GreaterEquals}, true
	case operators.Greater:
		return comparison{">", operators.LessEquals, operators.Less}, true
	case operators.GreaterEquals:
		return comparison{"≥", operators.Less, operators.LessEquals}, true
	case operators.Equals:
		return comparison{"=", operators.NotEquals, operators.Equals}, true
	case operators.NotEquals:
		return comparison{"≠", operators.Equals, operators.NotEquals}, true
	default:
		return comparison{}, false
	}
}

// shown is the sign of what is true: of the operator, or of its opposite.
func shown(operator string, holds bool) (string, bool) {
	c, ok := comparisonOf(operator)
	if ok && !holds {
		c, ok = comparisonOf(c.negated)
	}
	return c.sign, ok
}

// value is what was found of a clause.
func (c *clause) value(findings []finding) (holds, known bool) {
	switch c.operator {
	case "":
		return findings[c.leaf].holds, findings[c.leaf].known
	case operators.LogicalNot:
		holds, known = c.parts[0].value(findings)
		return !holds, known
	case operators.Conditional:
		if chosen := c.chosen(findings); chosen != nil {
			return chosen.value(findings)
		}
		return false, false
	default:
		return c.joined(findings)
	}
}

// joined is the value of && and ||.
func (c *clause) joined(findings []finding) (holds, known bool) {
	decides := c.operator == operators.LogicalOr
	known = true
	for _, part := range c.parts {
		partHolds, partKnown := part.value(findings)
		if partKnown && partHolds == decides {
			return decides, true
		}
		known = known && partKnown
	}
	return !decides, known
}

// chosen is the branch of ?: that was taken, if that is known.
func (c *clause) chosen(findings []finding) *clause {
	switch holds, known := c.parts[0].value(findings); {
	case !known:
		return nil
	case holds:
		return c.parts[1]
	default:
		return c.parts[2]
	}
}

// A decider is a leaf that decided, and what it was.
type decider struct {
	leaf  int
	holds bool
}

// deciders are the leaves that made the clause what it is: of a conjunction that
// fails the first that fails, of one that holds all. It is empty where what was
// found does not tell.
func (c *clause) deciders(findings []finding, holds bool) []decider {
	switch c.operator {
	case "":
		return []decider{{c.leaf, holds}}
	case operators.LogicalNot:
		return c.parts[0].deciders(findings, !holds)
	case operators.Conditional:
		chosen := c.chosen(findings)
		if chosen == nil {
			return nil
		}
		condition, _ := c.parts[0].value(findings)
		return slices.Concat(chosen.deciders(findings, holds), c.parts[0].deciders(findings, condition))
	default:
		return c.joinedDeciders(findings, holds)
	}
}

// joinedDeciders are the deciders of && and ||.
func (c *clause) joinedDeciders(findings []finding, holds bool) []decider {
	if holds == (c.operator == operators.LogicalAnd) {
		var all []decider
		for _, part := range c.parts {
			all = append(all, part.deciders(findings, holds)...)
		}
		return all
	}
	var open []*clause
	for _, part := range c.parts {
		switch partHolds, known := part.value(findings); {
		case known && partHolds == holds:
			return part.deciders(findings, holds)
		case !known:
			open = append(open, part)
		}
	}
	if len(open) == 1 {
		return open[0].deciders(findings, holds)
	}
	return nil
}

// isFraction says whether the name of a rule or a value makes people read the
// value as a percentage: with the words ratio, fraction, share, burned or availability, or
// as the rate of errors, failures or successes.
func isFraction(name string) bool {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return r < 'a' || r > 'z'
	})
	rate, of := false, false
	for _, w := range words {
		switch w {
		case "ratio", "fraction", "share", "burned", "availability":
			return true
		case "rate":
			rate = true
		case "error", "errors", "failure", "failures", "fail", "success":
			of = true
		}
	}
	return rate && of
}
