package policy_test

import (
	"testing"

	"github.com/google/cel-go/cel"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
)

// The two benchmarks evaluate the same expression over the same values: the first
// as the only rule of a policy, from the input to the verdict with its message;
// the second as cel-go's own Program, with the same cost limit and without guards
// against NaN.
const benchmarkedExpression = "metrics.errors / metrics.requests < 0.01 && metrics.p95 <= baseline.p95 * 1.1"

func BenchmarkEvaluate(b *testing.B) {
	p, err := policy.Compile("bench", v1alpha1.SLOPolicySpec{
		Metrics: []v1alpha1.Metric{{Name: "errors"}, {Name: "requests"}, {Name: "p95"}},
		Rules:   []v1alpha1.Rule{{Name: "healthy", Expression: benchmarkedExpression}},
	})
	if err != nil {
		b.Fatal(err)
	}
	in := policy.Input{
		Metrics:  map[string]policy.Value{"errors": policy.Number(3), "requests": policy.Number(1000), "p95": policy.Number(210)},
		Baseline: map[string]policy.Value{"p95": policy.Number(200)},
	}
	b.ReportAllocs()
	for b.Loop() {
		if v := p.Evaluate(b.Context(), in); v.Result != policy.Pass {
			b.Fatal(v)
		}
	}
}

func BenchmarkProgramEval(b *testing.B) {
	b.Run("limited", func(b *testing.B) { benchmarkProgram(b, cel.CostLimit(policy.DefaultCostLimit)) })
	b.Run("unlimited", func(b *testing.B) { benchmarkProgram(b) })
}

func benchmarkProgram(b *testing.B, opts ...cel.ProgramOption) {
	numbers := cel.MapType(cel.StringType, cel.DoubleType)
	env, err := cel.NewEnv(cel.Variable("metrics", numbers), cel.Variable("baseline", numbers))
	if err != nil {
		b.Fatal(err)
	}
	checked, issues := env.Compile(benchmarkedExpression)
	if issues.Err() != nil {
		b.Fatal(issues.Err())
	}
	program, err := env.Program(checked, opts...)
	if err != nil {
		b.Fatal(err)
	}
	in := map[string]any{
		"metrics":  map[string]any{"errors": 3.0, "requests": 1000.0, "p95": 210.0},
		"baseline": map[string]any{"p95": 200.0},
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := program.Eval(in); err != nil {
			b.Fatal(err)
		}
	}
}
