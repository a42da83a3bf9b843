package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/measure"
)

// evalFlags are the flags of policy eval.
type evalFlags struct {
	policy, name, metrics, commit, format string
	asked                                 askFlags
}

func newPolicyEval() *cobra.Command {
	var flags evalFlags
	cmd := &cobra.Command{
		Use:   "eval --policy FILE [--metrics FILE] [--provider URL | --providers FILE] [--commit FILE]",
		Short: "Evaluate a policy once and explain the verdict",
		Long: `eval judges measurements by an SLOPolicy. The measurements come from a file, or
from providers that are asked now; a metric that is in neither has no data.

  # metrics.yaml
  metrics: {errors: 12, requests: 1000, p95: null}
  baseline: {p95: 0.2}

A value is a number, .nan, null for no data, or a list of series:
[{labels: {path: /}, value: 3}, …]. A series can have values, one a minute up to
now, in place of value: [1, 2, 3], or '0+10x5' as promtool writes them. The file
can also have slo, params, commit, commits, rollout and now.

Exit code: 0 pass or warning, 1 fail, 3 inconclusive, 2 error.`,
		Example: `  keptn policy eval --policy apps/checkout/lifecycle.yaml --metrics metrics.yaml
  keptn policy eval --policy slo.yaml --provider http://localhost:9090 -o json
  keptn policy eval --policy slo.yaml --providers providers.yaml`,
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
	flags.asked.add(cmd)
	addOutput(cmd, &flags.format)
	_ = cmd.MarkFlagRequired("policy") // fails only for a flag that does not exist
	return cmd
}

// eval carries out the command.
func (f *evalFlags) eval(ctx context.Context) (policy.Verdict, error) {
	if err := checkOutput(f.format); err != nil {
		return policy.Verdict{}, err
	}
	found, err := readPolicy(f.policy, f.name)
	if err != nil {
		return policy.Verdict{}, err
	}
	compiled, err := policy.Compile(found.Name, found.Spec)
	if err != nil {
		return policy.Verdict{}, err
	}
	in, err := readMeasurements(f.metrics)
	if err != nil {
		return policy.Verdict{}, err
	}
	if f.commit != "" {
		if in.Commit, err = readCommit(f.commit); err != nil {
			return policy.Verdict{}, err
		}
	}
	ask, err := f.asked.ask()
	if err != nil {
		return policy.Verdict{}, err
	}
	if ask != nil {
		if err := complete(ctx, &in, found.Spec, compiled.BurnWindows(), ask); err != nil {
			return policy.Verdict{}, err
		}
	}
	return compiled.Explain(ctx, in), nil
}

func readMeasurements(file string) (policy.Input, error) {
	if file == "" {
		return policy.Input{Now: time.Now()}, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return policy.Input{}, fmt.Errorf("read metrics: %w", err)
	}
	in, err := policy.ParseMeasurements(data, time.Now())
	if err != nil {
		return policy.Input{}, fmt.Errorf("%s: %w", file, err)
	}
	return in, nil
}

func readCommit(file string) (*policy.Commit, error) {
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

// complete measures what the input does not have yet.
func complete(ctx context.Context, in *policy.Input, spec v1alpha1.SLOPolicySpec, windows map[string][]time.Duration, ask measure.Ask) error {
	subject := measure.Subject{Spec: spec, BurnWindows: windows, Now: in.Now, Query: queryData(spec, in)}
	subject.Spec.Metrics = nil
	for _, m := range spec.Metrics {
		if _, given := in.Metrics[m.Name]; !given && m.Query != "" {
			subject.Spec.Metrics = append(subject.Spec.Metrics, m)
		}
	}
	if in.Rollout != nil {
		subject.RolloutFinished = in.Rollout.FinishedAt
	}
	measured := measure.All(ctx, subject, measure.Sources{Ask: ask})
	for _, r := range measured.Records {
		if r.For != measure.Baseline && r.Reason != "" && r.Reason != "NoData" {
			return fmt.Errorf("%s %q: %s", map[string]string{measure.Metrics: "metric", measure.SLO: "slo"}[r.For], r.Name, r.Message)
		}
	}
	in.Metrics = given(in.Metrics, measured.Metrics)
	in.Baseline = given(in.Baseline, measured.Baseline)
	in.SLOs = given(in.SLOs, measured.SLOs)
	in.Now = measured.At
	return nil
}

// given is what was given, and of the rest what was measured.
func given[V any](values, measured map[string]V) map[string]V {
	all := maps.Clone(measured)
	if all == nil {
		all = map[string]V{}
	}
	maps.Copy(all, values)
	return all
}

// queryData is what the templates of queries read.
func queryData(spec v1alpha1.SLOPolicySpec, in *policy.Input) policy.QueryData {
	data := policy.QueryData{Params: policy.Params(spec, in.Params)}
	if in.Rollout != nil {
		data.App, data.Environment, data.Namespace, data.Version = in.Rollout.App, in.Rollout.Environment, in.Rollout.Namespace, in.Rollout.Version
	}
	if in.Commit != nil {
		data.Commit = in.Commit.SHA
	}
	return data
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
