package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/metric"
)

// An expression is one compiled expression of a policy.
type expression struct {
	checked *cel.Ast
	parsed  *ast.AST // as the author wrote it, with the ids of checked
	program cel.Program
	bounded bool          // whether its cost is known to stay below the limit
	cost    uint64        // its largest cost alone, as estimated
	reads   []int         // the variables it reads, also through others
	clause  *clause       // of a bool, how it is put together
	leaves  map[int64]int // the leaves of clause, by id
}

// A compiler compiles one policy and collects its author's mistakes.
type compiler struct {
	spec      v1alpha1.SLOPolicySpec
	costLimit uint64
	names     namespace
	readable  string // the roots, for a message
	env       *environment
	policy    *Policy
	problems  Problems
}

// problem reports a mistake that concerns a whole field.
func (c *compiler) problem(path, format string, args ...any) {
	c.problems = append(c.problems, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

// compile compiles everything, however many problems there are.
func (c *compiler) compile() *Policy {
	c.validate()
	all := roots(c.spec)
	c.names, c.readable = newNamespace(all), readable(all)
	c.policy = &Policy{
		costLimit: c.costLimit,
		symbols:   c.names.symbols(),
		functions: functions(),
		readings:  readings(c.spec.Metrics),
		defaults:  Params(c.spec, nil),
		score:     c.spec.Score,
	}
	env, err := newEnvironment(c.names, c.policy.functions)
	if err != nil {
		c.problem("spec.metrics", "%v", err)
		return nil
	}
	c.env = env
	if c.policy.makers, err = newMakers(env.Env); err != nil {
		c.problem("spec.metrics", "%v", err)
		return nil
	}
	for i, v := range c.spec.Variables {
		c.variable(i, v)
	}
	for i, r := range c.spec.Rules {
		c.rule(i, r)
	}
	c.policy.env = env
	return c.policy
}

// readings are how the metrics are read.
func readings(metrics []v1alpha1.Metric) []reading {
	all := make([]reading, len(metrics))
	for i, m := range metrics {
		all[i].reducer = metric.Reducer(m.Reducer)
		if m.MaxAge != nil {
			all[i].maxAge = m.MaxAge.Duration
		}
	}
	return all
}

// variable compiles a variable and makes it known. One that does not compile is
// known all the same, of any type, so that it is reported once.
func (c *compiler) variable(i int, v v1alpha1.Variable) {
	path := fmt.Sprintf("spec.variables[%d].expression", i)
	e := c.expression(path, v.Expression, i)
	t := cel.DynType
	if e != nil {
		t = e.checked.OutputType()
	}
	c.policy.variables = append(c.policy.variables, e)
	if slices.Index(c.names[rootVariables].names, v.Name) != i {
		return
	}
	if err := c.env.declare(v.Name, t); err != nil {
		c.problem(path, "%v", err)
	}
}

// rule compiles a rule.
func (c *compiler) rule(i int, r v1alpha1.Rule) {
	path := fmt.Sprintf("spec.rules[%d]", i)
	out := rule{name: r.Name, weight: 1, required: r.Required, fraction: isFraction(r.Name)}
	out.expression = c.typed(path+".expression", r.Expression, cel.BoolType)
	if r.Warning != "" {
		out.warning = c.typed(path+".warning", r.Warning, cel.BoolType)
	}
	if r.Message != "" {
		out.message = c.typed(path+".message", r.Message, cel.StringType)
	}
	if r.Weight != nil {
		out.weight = *r.Weight
	}
	if out.weight < 0 || out.weight > maxWeight {
		c.problem(path+".weight", "%d is not from 0 to %d", out.weight, maxWeight)
	}
	c.checkCost(path, out)
	c.policy.rules = append(c.policy.rules, out)
}

// typed compiles an expression of the given type.
func (c *compiler) typed(path, source string, want *cel.Type) *expression {
	e := c.expression(path, source, len(c.spec.Variables))
	if e == nil {
		return nil
	}
	if got := e.checked.OutputType(); !got.IsExactType(want) {
		c.problems = append(c.problems, Problem{Path: path, Line: 1, Column: 1,
			Message: fmt.Sprintf("the expression is of type %s, and it has to be a %s", got, want)})
		return nil
	}
	return e
}

// expression compiles one expression, which can read the first variables only. It
// is nil if there were problems.
func (c *compiler) expression(path, source string, variables int) *expression {
	if strings.TrimSpace(source) == "" {
		c.problem(path, "the expression is empty")
		return nil
	}
	parsed, issues := c.env.Parse(source)
	if issues.Err() != nil {
		c.issues(path, issues, parsed)
		return nil
	}
	before := len(c.problems)
	e := &expression{parsed: ast.Copy(parsed.NativeRep())}
	report := c.reporter(path, e.parsed.SourceInfo())
	r := &resolver{ExprFactory: ast.NewExprFactory(), names: c.names, declared: variables, report: report}
	r.resolve(parsed.NativeRep().Expr())
	if e.checked, issues = c.env.check(parsed); issues.Err() != nil {
		c.issues(path, issues, parsed)
	} else {
		(&inspector{compiler: c, checked: e.checked.NativeRep(), report: report}).inspect()
	}
	if len(c.problems) > before {
		return nil
	}
	e.reads = c.closure(r.reads)
	e.bounded = scalarsOnly(e.checked)
	if e.checked.OutputType().IsExactType(cel.BoolType) {
		c.policy.analyse(e)
	}
	if err := c.plan(e); err != nil {
		c.problem(path, "%v", err)
		return nil
	}
	return e
}

// reporter reports what is wrong with a part of the expression at path.
func (c *compiler) reporter(path string, info *ast.SourceInfo) func(id int64, message string) {
	return func(id int64, message string) {
		at := info.GetStartLocation(id)
		c.problems = append(c.problems, Problem{
			Path: path, Line: at.Line(), Column: at.Column() + 1, Message: message,
		})
	}
}

// closure adds to variables those that they read themselves, each once.
func (c *compiler) closure(reads []int) []int {
	var all []int
	for _, i := range reads {
		all = append(all, i)
		if v := c.policy.variables[i]; v != nil {
			all = append(all, v.reads...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// plan estimates the cost of a checked expression and makes a program of it.
func (c *compiler) plan(e *expression) error {
	estimate, err := c.env.EstimateCost(e.checked, sizes{c.policy.functions})
	if err != nil {
		return fmt.Errorf("estimating the cost: %w", err)
	}
	e.cost = estimate.Max
	guards := c.policy.newGuards(e)
	opts := []cel.ProgramOption{
		cel.CustomDecoratorV2(guards.decorate),
		cel.OptimizeRegex(interpreter.MatchesRegexOptimization),
	}
	if !e.bounded {
		opts = append(opts, cel.InterruptCheckFrequency(interruptEvery))
	}
	e.program, err = c.env.Program(e.checked, opts...)
	if err != nil {
		return fmt.Errorf("planning the evaluation: %w", err)
	}
	return nil
}

// checkCost reports a rule that could cost too much together with the variables
// that it reads.
func (c *compiler) checkCost(path string, r rule) {
	parts := map[string]*expression{"expression": r.expression, "warning": r.warning, "message": r.message}
	for _, field := range []string{"expression", "warning", "message"} {
		e := parts[field]
		if e == nil {
			continue
		}
		cost := e.cost
		for _, i := range e.reads {
			if v := c.policy.variables[i]; v != nil {
				cost = addCost(cost, v.cost)
			}
		}
		if cost > c.costLimit {
			c.problems = append(c.problems, Problem{Path: path + "." + field, Line: 1, Column: 1,
				Message: fmt.Sprintf("the expression can cost %d units with %d series, and the limit is %d: loop over fewer series, or aggregate them in the query", cost, MaxSeries, c.costLimit)})
		}
	}
}

// kindOf is the kind of a part of a checked expression.
func (e *expression) kindOf(id int64) types.Kind {
	t := e.checked.NativeRep().GetType(id)
	if t == nil {
		return types.DynKind
	}
	return t.Kind()
}
