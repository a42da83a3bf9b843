package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/interpreter"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
)

// maxWeight is the API's bound of a rule's weight.
const maxWeight = 1_000_000

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
	env       *environment
	policy    *Policy
	problems  Problems
}

func newCompiler(spec v1alpha1.SLOPolicySpec) *compiler {
	return &compiler{spec: spec, costLimit: DefaultCostLimit}
}

// problem reports a mistake that concerns a whole field.
func (c *compiler) problem(path, format string, args ...any) {
	c.problems = append(c.problems, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

// fields are all fields that can have a problem, in the order of the policy.
func fields(spec v1alpha1.SLOPolicySpec) []string {
	all := []string{"spec.metrics"}
	each := func(list string, n int, names ...string) {
		for i := range n {
			for _, name := range names {
				all = append(all, fmt.Sprintf("%s[%d].%s", list, i, name))
			}
		}
	}
	each("spec.metrics", len(spec.Metrics), "name")
	each("spec.variables", len(spec.Variables), "name", "expression")
	all = append(all, "spec.rules")
	each("spec.rules", len(spec.Rules), "name", "expression", "warning", "message", "weight")
	return append(all, "spec.score.pass", "spec.score.warning")
}

// compile compiles everything, however many problems there are.
func (c *compiler) compile() *Policy {
	c.checkNames()
	c.checkScore()
	c.policy = &Policy{costLimit: c.costLimit, symbols: c.names.symbols(), score: c.spec.Score}
	env, err := newEnvironment(c.names)
	if err != nil {
		c.problem("spec.metrics", "%v", err)
		return nil
	}
	c.env = env
	for i, v := range c.spec.Variables {
		c.variable(i, v)
	}
	for i, r := range c.spec.Rules {
		c.rule(i, r)
	}
	c.policy.env = env
	return c.policy
}

// checkNames reports names that are missing, malformed or given twice.
func (c *compiler) checkNames() {
	metrics := make([]string, len(c.spec.Metrics))
	for i, m := range c.spec.Metrics {
		metrics[i] = m.Name
	}
	variables := make([]string, len(c.spec.Variables))
	for i, v := range c.spec.Variables {
		variables[i] = v.Name
	}
	rules := make([]string, len(c.spec.Rules))
	for i, r := range c.spec.Rules {
		rules[i] = r.Name
	}
	identifier := regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	c.checkList("spec.metrics", "metric", metrics, identifier)
	c.checkList("spec.variables", "variable", variables, identifier)
	c.checkList("spec.rules", "rule", rules, regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?$`))
	if len(rules) == 0 {
		c.problem("spec.rules", "there is no rule: a policy needs at least one")
	}
	c.names = newNamespace(metrics, variables)
}

// checkList reports the bad names of one list. The patterns are the API's.
func (c *compiler) checkList(list, what string, names []string, pattern *regexp.Regexp) {
	for i, name := range names {
		path := fmt.Sprintf("%s[%d].name", list, i)
		switch first := slices.Index(names, name); {
		case name == "":
			c.problem(path, "the %s has no name", what)
		case !pattern.MatchString(name):
			c.problem(path, "%q is no name of a %s: it has to match %s", name, what, pattern)
		case first < i:
			c.problem(path, "there are two %ss named %q: %s[%d] is the other; rename one", what, name, list, first)
		}
	}
}

// checkScore reports percentages that are none.
func (c *compiler) checkScore() {
	if c.spec.Score == nil {
		return
	}
	pass, warning := c.spec.Score.Pass, c.spec.Score.Warning
	if pass < 0 || pass > 100 {
		c.problem("spec.score.pass", "%d is no percentage: give 0 to 100", pass)
	}
	if warning != nil && (*warning < 0 || *warning > pass) {
		c.problem("spec.score.warning", "%d is not from 0 to %d: it is the lower of the two percentages", *warning, pass)
	}
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
	if slices.Index(c.names[rootVariables], v.Name) != i {
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
	r := c.resolver(path, e.parsed.SourceInfo(), variables)
	r.resolve(parsed.NativeRep().Expr())
	if e.checked, issues = c.env.check(parsed); issues.Err() != nil {
		c.issues(path, issues, parsed)
	}
	if len(c.problems) > before {
		return nil
	}
	e.reads = c.closure(r.reads)
	e.bounded = !r.sized && scalarsOnly(e.checked)
	if e.checked.OutputType().IsExactType(cel.BoolType) {
		c.policy.analyse(e)
	}
	if err := c.plan(e); err != nil {
		c.problem(path, "%v", err)
		return nil
	}
	return e
}

// resolver is what resolves the names of the expression at path.
func (c *compiler) resolver(path string, info *ast.SourceInfo, variables int) *resolver {
	return &resolver{
		ExprFactory: ast.NewExprFactory(),
		names:       c.names,
		declared:    variables,
		report: func(id int64, message string) {
			at := info.GetStartLocation(id)
			c.problems = append(c.problems, Problem{
				Path: path, Line: at.Line(), Column: at.Column() + 1, Message: message,
			})
		},
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
	estimate, err := c.env.EstimateCost(e.checked, sizes{})
	if err != nil {
		return fmt.Errorf("estimating the cost: %w", err)
	}
	e.cost = estimate.Max
	guards := &guards{expression: e}
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

// issues reports what CEL found.
func (c *compiler) issues(path string, issues *cel.Issues, parsed *cel.Ast) {
	for _, issue := range issues.Errors() {
		line, column := issue.Location.Line(), issue.Location.Column()+1
		if line < 1 {
			line, column = 1, 1
		}
		function := parsed != nil && isCall(parsed.NativeRep(), issue.ExprID)
		p := Problem{Path: path, Line: line, Column: column, Message: authorsWords(issue.Message, function)}
		if !slices.Contains(c.problems, p) {
			c.problems = append(c.problems, p)
		}
	}
}

// authorsWords says what CEL says in one line and without its inner names.
func authorsWords(message string, function bool) string {
	message, _, _ = strings.Cut(strings.Join(strings.Fields(message), " "), " expecting {")
	for operator, name := range loose() {
		message = strings.ReplaceAll(message, "'"+name+"'", "'"+operator+"'")
	}
	before, inContainer := strings.CutSuffix(message, " (in container '')")
	switch {
	case inContainer && function:
		return before + ": there is no such function"
	case inContainer:
		return before + ": expressions read metrics, baseline, series, variables, commit and now"
	default:
		return before
	}
}

// isCall says whether the part of that id is a call.
func isCall(a *ast.AST, id int64) bool {
	part := partOf(a, id)
	return part != nil && part.Kind() == ast.CallKind
}

// kindOf is the kind of a part of a checked expression.
func (e *expression) kindOf(id int64) types.Kind {
	t := e.checked.NativeRep().GetType(id)
	if t == nil {
		return types.DynKind
	}
	return t.Kind()
}
