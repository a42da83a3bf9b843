package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/check"
	"github.com/keptn/gitops/gitsource/manifest"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/metric"
)

func newPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Try out SLO policies",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyEval())
	return cmd
}

// evalFlags are the flags of policy eval.
type evalFlags struct {
	policy, name, metrics, commit, provider, format string
}

func newPolicyEval() *cobra.Command {
	var flags evalFlags
	cmd := &cobra.Command{
		Use:   "eval --policy FILE [--metrics FILE | --provider URL] [--commit FILE]",
		Short: "Evaluate a policy once and explain the verdict",
		Long: `eval judges measurements by an SLOPolicy. The measurements come from a file, or
from a Prometheus that is asked now; a metric that is in neither has no data.

  # metrics.yaml
  metrics: {errors: 12, requests: 1000, p95: null}
  baseline: {p95: 0.2}

A value is a number, .nan, null for no data, or a list of series:
[{labels: {path: /}, value: 3}, …].

Exit code: 0 pass or warning, 1 fail, 3 inconclusive, 2 error.`,
		Example: `  keptn policy eval --policy apps/checkout/lifecycle.yaml --metrics metrics.yaml
  keptn policy eval --policy slo.yaml --provider http://localhost:9090 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			verdict, err := flags.eval(cmd.Context())
			if err != nil {
				return err
			}
			return printVerdict(cmd.OutOrStdout(), verdict, flags.format)
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.policy, "policy", "", "file with the SLOPolicy, such as a lifecycle.yaml")
	f.StringVar(&flags.name, "name", "", "name of the SLOPolicy, where the file has several")
	f.StringVar(&flags.metrics, "metrics", "", "file with measurements")
	f.StringVar(&flags.commit, "commit", "", "file with the commit: sha, author, email, message, time")
	f.StringVar(&flags.provider, "provider", "", "address of a Prometheus that is asked for the metrics not in --metrics")
	addOutput(cmd, &flags.format)
	_ = cmd.MarkFlagRequired("policy") // fails only for a flag that does not exist
	return cmd
}

// eval carries out the command.
func (f *evalFlags) eval(ctx context.Context) (policy.Verdict, error) {
	if err := checkOutput(f.format); err != nil {
		return policy.Verdict{}, err
	}
	spec, err := readPolicy(f.policy, f.name)
	if err != nil {
		return policy.Verdict{}, err
	}
	compiled, err := policy.Compile(spec.Name, spec.Spec)
	if err != nil {
		return policy.Verdict{}, err
	}
	in := policy.Input{Now: time.Now()}
	if in.Metrics, in.Baseline, err = readMetrics(f.metrics); err != nil {
		return policy.Verdict{}, err
	}
	if in.Commit, err = readCommit(f.commit); err != nil {
		return policy.Verdict{}, err
	}
	if f.provider != "" {
		if err := measure(ctx, f.provider, spec.Spec.Metrics, &in); err != nil {
			return policy.Verdict{}, err
		}
	}
	return compiled.Explain(ctx, in), nil
}

// readPolicy reads the policy of that name from a file; without a name the file
// has to hold exactly one.
func readPolicy(file, name string) (*v1alpha1.SLOPolicy, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	parsed, problems := manifest.Parse(file, data)
	for i := range parsed.Policies {
		problems = append(problems, check.Policy(parsed, &parsed.Policies[i])...)
	}
	if problems.HasErrors() {
		return nil, problems
	}
	var names []string
	for i := range parsed.Policies {
		if p := &parsed.Policies[i]; p.Name == name || name == "" && len(parsed.Policies) == 1 {
			return p, nil
		}
		names = append(names, parsed.Policies[i].Name)
	}
	switch {
	case len(names) == 0:
		return nil, fmt.Errorf("%s holds no SLOPolicy", file)
	case name == "":
		return nil, fmt.Errorf("%s holds several policies: choose one with --name: %s", file, strings.Join(names, ", "))
	default:
		return nil, fmt.Errorf("%s holds no policy %q: it has %s", file, name, strings.Join(names, ", "))
	}
}

func readMetrics(file string) (metrics, baseline map[string]policy.Value, err error) {
	if file == "" {
		return map[string]policy.Value{}, nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("read metrics: %w", err)
	}
	metrics, baseline, err = policy.ParseMeasurements(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	if metrics == nil {
		metrics = map[string]policy.Value{}
	}
	return metrics, baseline, nil
}

func readCommit(file string) (*policy.Commit, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // no commit is what the policy is given then
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read commit: %w", err)
	}
	var commit policy.Commit
	if err := yaml.UnmarshalStrict(data, &commit); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &commit, nil
}

// measure asks a Prometheus for the metrics that are not given yet.
func measure(ctx context.Context, url string, metrics []v1alpha1.Metric, in *policy.Input) error {
	querier, err := metric.New(metric.Provider{Type: "prometheus", URL: url})
	if err != nil {
		return err
	}
	for _, m := range metrics {
		if _, given := in.Metrics[m.Name]; given || m.Query == "" {
			continue
		}
		result, err := querier.Query(ctx, m.Query, in.Now)
		if errors.Is(err, metric.ErrNoData) {
			in.Metrics[m.Name] = policy.NoData(err.Error())
			continue
		}
		if err != nil {
			return fmt.Errorf("metric %q: %w", m.Name, err)
		}
		series := make([]policy.Series, len(result.Series))
		for i, s := range result.Series {
			series[i] = policy.Series{Labels: s.Labels, Value: s.Value}
		}
		in.Metrics[m.Name] = policy.Vector(series)
	}
	return nil
}

// printVerdict prints the verdict, and returns its exit code.
func printVerdict(w io.Writer, v policy.Verdict, format string) error {
	print := verdictText
	if format == formatJSON {
		print = func(w io.Writer, v policy.Verdict) error { return printJSON(w, v) }
	}
	if err := print(w, v); err != nil {
		return err
	}
	switch v.Result {
	case policy.Fail:
		return exitCode(exitBad)
	case policy.Inconclusive:
		return exitCode(exitInconclusive)
	case policy.Pass, policy.Warning:
		return nil
	default:
		return fmt.Errorf("unknown verdict %q", v.Result)
	}
}

func verdictText(w io.Writer, v policy.Verdict) error {
	if _, err := fmt.Fprintf(w, "%s  score %g of %g\n\n", painted(w, string(v.Result), string(v.Result)), v.Score, v.MaxScore); err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, rule := range v.Rules {
		fmt.Fprintf(table, "%s\t%s\t%s\n", rule.Name, rule.Result, rule.Message)
		for _, x := range rule.Explain {
			fmt.Fprintf(table, "\t\t  %s = %s\n", x.Expr, x.Value)
		}
	}
	return table.Flush()
}
