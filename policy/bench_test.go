package policy_test

import (
	"testing"

	"github.com/google/cel-go/cel"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
)

// BenchmarkEvaluate and BenchmarkProgramEval evaluate the same expression over the
// same values: the first as the only rule of a policy, from the input to the verdict
// with its message; the second as cel-go's own Program, with the same cost limit and
// without guards against NaN.
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

// BenchmarkTenRules is a policy as a team would write it: shares, limits and a
// comparison with the rollout before, with warnings, weights and a score.
func BenchmarkTenRules(b *testing.B) {
	p, err := policy.Compile("bench", tenRules())
	if err != nil {
		b.Fatal(err)
	}
	in := policy.Input{
		Metrics: map[string]policy.Value{
			"requests": policy.Number(12_000), "errors": policy.Number(12), "p50": policy.Number(0.04), "p95": policy.Number(0.21),
			"p99": policy.Number(0.6), "cpu": policy.Number(0.55), "memory": policy.Number(3e8), "restarts": policy.Number(0),
		},
		Baseline: map[string]policy.Value{"p95": policy.Number(0.2), "memory": policy.Number(2.9e8)},
	}
	b.ReportAllocs()
	for b.Loop() {
		if v := p.Evaluate(b.Context(), in); v.Result != policy.Pass || len(v.Rules) != 10 {
			b.Fatal(v)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "evaluations/s")
}

func tenRules() v1alpha1.SLOPolicySpec {
	return v1alpha1.SLOPolicySpec{
		Metrics: []v1alpha1.Metric{
			{Name: "requests"}, {Name: "errors"}, {Name: "p50"}, {Name: "p95"}, {Name: "p99"}, {Name: "cpu"}, {Name: "memory"}, {Name: "restarts"},
		},
		Variables: []v1alpha1.Variable{{Name: "ratio", Expression: "metrics.errors / metrics.requests"}},
		Rules: []v1alpha1.Rule{
			{Name: "traffic", Expression: "metrics.requests > 100"},
			{Name: "error-ratio", Expression: "variables.ratio < 0.01", Warning: "variables.ratio > 0.005", Required: true},
			{Name: "errors", Expression: "metrics.errors < 100"},
			{Name: "median", Expression: "metrics.p50 < 0.1"},
			{Name: "p95", Expression: "metrics.p95 < 0.5", Warning: "metrics.p95 > 0.4", Weight: new(int64(2))},
			{Name: "p99", Expression: "metrics.p99 < 1"},
			{Name: "no-slower", Expression: "baseline.p95 == null || metrics.p95 <= baseline.p95 * 1.1", Weight: new(int64(2))},
			{Name: "no-larger", Expression: "baseline.memory == null || metrics.memory <= baseline.memory * 1.2"},
			{Name: "cpu", Expression: "metrics.cpu < 0.8", Warning: "metrics.cpu > 0.7"},
			{Name: "restarts", Expression: "metrics.restarts == 0", Required: true},
		},
		Score: &v1alpha1.Score{Pass: 90, Warning: new(int32(75))},
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
