// Package policy turns measurements into a verdict: it compiles the rules of an
// SLOPolicy, evaluates them over metrics, and explains the result by the values
// that led there.
//
// Expressions are CEL (https://github.com/google/cel-spec). They are typed by the
// names that the policy declares, limited in cost, and compiled once; a Policy is
// immutable and safe for concurrent use.
//
// A verdict is three-valued. Data that is missing or stale, NaN and infinities
// never pass and never fail a rule: they leave it undecided, unless CEL's own &&,
// || and ?: decide it without them.
//
// The package never fetches a metric, never reads a clock, and knows neither
// Kubernetes nor Git: a caller measures, and hands the values in.
package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
)

// DefaultCostLimit is the CostLimit when none is given. A unit is about one step of
// the evaluation, and the default about a second of one core.
const DefaultCostLimit uint64 = 10_000_000

// A Policy is a compiled SLOPolicy.
type Policy struct {
	name      string
	costLimit uint64
	symbols   map[string]*symbol
	functions map[string]*function
	makers    map[string]maker
	readings  []reading         // of the metrics
	defaults  map[string]string // of the params
	variables []*expression
	rules     []rule
	score     *v1alpha1.Score
	leaves    []leaf
	presences []presence
	env       *environment

	burnWindows              map[string][]time.Duration
	readsCommits, readsFiles bool
}

// A rule is a compiled v1alpha1.Rule. Warning and message are nil where the
// author wrote none.
type rule struct {
	name       string
	expression *expression
	warning    *expression
	message    *expression
	weight     int64
	required   bool
	fraction   bool // its name makes it one of a fraction
}

// An Option changes how a policy is compiled.
type Option func(*compiler)

// CostLimit sets what an expression of a rule, together with the variables that it
// reads, may cost in CEL's cost units. A rule whose worst case is estimated above
// it, for a metric of MaxSeries series, does not compile; one that reaches it in an
// evaluation is inconclusive. The default is DefaultCostLimit.
func CostLimit(units uint64) Option {
	return func(c *compiler) { c.costLimit = units }
}

// Compile compiles the policy of that name. Where the author made mistakes it
// returns all of them at once, as an error that wraps Problems.
func Compile(name string, spec v1alpha1.SLOPolicySpec, opts ...Option) (*Policy, error) {
	c := &compiler{spec: spec, costLimit: DefaultCostLimit}
	for _, opt := range opts {
		opt(c)
	}
	p := c.compile()
	if len(c.problems) > 0 {
		order := fields(spec)
		slices.SortStableFunc(c.problems, func(a, b Problem) int {
			return slices.Index(order, a.Path) - slices.Index(order, b.Path)
		})
		return nil, fmt.Errorf("policy %q: %w", name, c.problems)
	}
	p.name = name
	return p, nil
}

// Name is the name that the policy was compiled under.
func (p *Policy) Name() string { return p.name }

// BurnWindows are the windows over which the expressions read burn rates, by the
// name of the SLO, shortest first: exactly what has to be measured for Input.SLOs.
func (p *Policy) BurnWindows() map[string][]time.Duration {
	windows := make(map[string][]time.Duration, len(p.burnWindows))
	for name, w := range p.burnWindows {
		windows[name] = slices.Clone(w)
	}
	return windows
}

// ReadsCommits says whether an expression reads Input.Commits, so that a policy
// that does not need them is not given them.
func (p *Policy) ReadsCommits() bool { return p.readsCommits }

// ReadsFiles says whether an expression reads Commit.Files, of the judged commit or
// of Input.Commits.
func (p *Policy) ReadsFiles() bool { return p.readsFiles }
