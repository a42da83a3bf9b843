package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/cel-go/common/ast"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/slo"
)

// minBurnWindow is the shortest window of a burn rate: less holds too few samples.
const minBurnWindow = time.Minute

// An inspector looks through one checked expression for what CEL does not check,
// literal arguments, and for what an evaluation of it will ask for.
type inspector struct {
	compiler *compiler
	checked  *ast.AST
	report   func(id int64, message string)
}

// inspect looks through an expression.
func (i *inspector) inspect() {
	ast.PreOrderVisit(i.checked.Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		switch x.Kind() {
		case ast.IdentKind:
			i.name(x.AsIdent())
		case ast.SelectKind:
			sel := x.AsSelect()
			if sel.FieldName() == fieldFiles && i.checked.GetType(sel.Operand().ID()).IsExactType(commitObjects.celType) {
				i.compiler.policy.readsFiles = true
			}
		case ast.CallKind:
			i.call(x)
		}
	}))
}

// name notes what is costly to find out.
func (i *inspector) name(name string) {
	s, ok := i.compiler.policy.symbols[name]
	if !ok {
		return
	}
	p := i.compiler.policy
	p.readsCommits = p.readsCommits || s.root.name == rootCommits
	p.readsFiles = p.readsFiles || s.root.name == rootCommit && s.name == fieldFiles
}

// call checks the arguments of one of the language's own functions.
func (i *inspector) call(x ast.Expr) {
	call := x.AsCall()
	f, ok := i.compiler.policy.functions[call.FunctionName()]
	if !ok || f.member != call.IsMemberFunction() {
		return
	}
	args := call.Args()
	if f.member {
		args = append([]ast.Expr{call.Target()}, args...)
	}
	if f.name == functionBurnRate || f.name == functionExhaustedIn {
		i.burn(args[0], args[1])
	}
	if f.check == nil {
		return
	}
	literals := make([]*string, len(args))
	for n, arg := range args {
		if text, ok := literalString(arg); ok {
			literals[n] = &text
		}
	}
	if n, err := f.check(literals); err != nil {
		i.report(args[n].ID(), err.Error())
	}
}

// burn notes the window over which the burn rate of an SLO is read. Both have to
// be known before anything is measured.
func (i *inspector) burn(target, argument ast.Expr) {
	s, ok := i.symbol(target)
	if !ok || s.root.name != rootSLO {
		i.report(target.ID(), "a burn rate is that of one slo: write it as slo.<name>.burnRate('1h')")
		return
	}
	text, ok := literalString(argument)
	if !ok {
		i.report(argument.ID(), "write the window as text, as '1h': it has to be known before anything is measured")
		return
	}
	window, err := slo.ParsePeriod(v1alpha1.Period(text))
	if err != nil {
		i.report(argument.ID(), err.Error())
		return
	}
	longest := i.compiler.periodOf(s.index)
	switch {
	case window < minBurnWindow:
		i.report(argument.ID(), fmt.Sprintf("the window %s is too short: a burn rate takes 1m at least", text))
	case longest > 0 && window > longest:
		i.report(argument.ID(), fmt.Sprintf("the window %s is longer than that of slo.%s", text, s.name))
	case !i.compiler.policy.addBurnWindow(s.name, window):
		i.report(argument.ID(), fmt.Sprintf("burn rates of slo.%s are read over more than %d windows: each is a question to its provider", s.name, maxBurnWindows))
	}
}

// symbol is the name that an expression is, if it is one.
func (i *inspector) symbol(x ast.Expr) (*symbol, bool) {
	if x.Kind() != ast.IdentKind {
		return nil, false
	}
	s, ok := i.compiler.policy.symbols[x.AsIdent()]
	return s, ok
}

// maxBurnWindows is over how many windows the burn rates of one SLO are read at most.
const maxBurnWindows = 64

// addBurnWindow adds a window in its order, once. It says whether there was room.
func (p *Policy) addBurnWindow(name string, window time.Duration) bool {
	if p.burnWindows == nil {
		p.burnWindows = map[string][]time.Duration{}
	}
	windows := p.burnWindows[name]
	at, found := slices.BinarySearch(windows, window)
	if found {
		return true
	}
	if len(windows) >= maxBurnWindows {
		return false
	}
	p.burnWindows[name] = slices.Insert(windows, at, window)
	return true
}

// periodOf is how long the window of an SLO is at most, or 0 where that is not
// known.
func (c *compiler) periodOf(index int) time.Duration {
	window := c.spec.SLOs[index].Window
	switch {
	case window == nil:
		return 0
	case window.Calendar != "":
		return calendarPeriod(window.Calendar)
	}
	period, err := slo.ParsePeriod(window.Rolling)
	if err != nil {
		return 0
	}
	return period
}

// calendarPeriod is how long a period of the calendar is at most, or 0 where there
// is none of that name.
func calendarPeriod(name string) time.Duration {
	const day = 24 * time.Hour
	switch name {
	case "day":
		return day
	case "week":
		return 7 * day
	case "month":
		return 31 * day
	case "quarter":
		return 92 * day
	case "year":
		return 366 * day
	default:
		return 0
	}
}
