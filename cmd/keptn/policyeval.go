package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/fixture"
	"github.com/keptn/gitops/policy/measure"
)

// evalFlags are the flags of policy eval.
type evalFlags struct {
	policy, name, metrics, commit, format string
	queries                               queryFlags
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
can also have slo, params, commit, commits, rollout and now. A name that the policy does
not declare is an error. What a rollout burned of error budgets is given as slo: {x:
{burned: 0.03, …}}, or measured where the file has rollout: {startedAt: …}.

Queries that are templates are filled in by the flags, else by params and rollout of
that file, else by the only Lifecycle beside the policy: its app and its params. A
query that reads what none of them gives is not asked: that is an error.

Exit code: 0 pass or warning, 1 fail, 3 inconclusive, 2 error.`,
		Example: `  keptn policy eval --policy apps/checkout/lifecycle.yaml --metrics metrics.yaml
  keptn policy eval --policy slo.yaml --provider http://localhost:9090 -o json
  keptn policy eval --policy slo.yaml --provider http://localhost:9090 --app checkout --param region=eu
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
	flags.queries.add(cmd, "")
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
	in, err := f.input(found)
	if err != nil {
		return policy.Verdict{}, err
	}
	ask, err := f.asked.ask()
	if err != nil {
		return policy.Verdict{}, err
	}
	if ask != nil {
		data := f.queryData(found, &in)
		if err := complete(ctx, &in, found.Spec, compiled.BurnWindows(), data, ask); err != nil {
			return policy.Verdict{}, err
		}
	}
	return compiled.Explain(ctx, in), nil
}

// input is what is given of the measurements.
func (f *evalFlags) input(p *foundPolicy) (policy.Input, error) {
	if err := f.queries.check(p.Spec); err != nil {
		return policy.Input{}, err
	}
	in, err := readMeasurements(f.metrics, p)
	if err != nil {
		return policy.Input{}, err
	}
	var params map[string]string
	if p.lifecycle != nil {
		params = p.lifecycle.Spec.Params
	}
	in.Params = given(f.queries.params, given(in.Params, params))
	if f.commit != "" {
		in.Commit, err = readCommit(f.commit)
	}
	return in, err
}

func readMeasurements(file string, p *foundPolicy) (policy.Input, error) {
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
	if problems := fixture.CheckMeasurements(file, data, p.Name, p.Spec); len(problems) > 0 {
		return policy.Input{}, problems
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

// evalRemedies say what to do where a query that is to be asked reads what is not
// given.
var evalRemedies = map[string]string{
	fieldApp:         "give --app, or rollout: {app: …} in --metrics",
	fieldEnvironment: "give --environment, or rollout: {environment: …} in --metrics",
	fieldNamespace:   "give --namespace, or rollout: {namespace: …} in --metrics",
	fieldVersion:     "give rollout: {version: …} in --metrics",
	fieldCommit:      "give --commit, or commit: {sha: …} in --metrics",
}

// complete measures what the input does not have yet.
func complete(ctx context.Context, in *policy.Input, spec v1alpha1.SLOPolicySpec, windows map[string][]time.Duration, data policy.QueryData, ask measure.Ask) error {
	subject := measure.Subject{Spec: missing(spec, in), BurnWindows: windows, Now: in.Now, Query: data}
	if err := needed(queriesOf(subject.Spec.Metrics, subject.Spec.SLOs), data, evalRemedies); err != nil {
		return err
	}
	if in.Rollout != nil {
		subject.RolloutStarted, subject.RolloutFinished = in.Rollout.StartedAt, in.Rollout.FinishedAt
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

// missing is a policy with those metrics and SLOs only that are to be asked for:
// not given, or a part of a composite.
func missing(spec v1alpha1.SLOPolicySpec, in *policy.Input) v1alpha1.SLOPolicySpec {
	parts := map[string]bool{}
	for _, s := range spec.SLOs {
		for _, part := range s.Composite {
			parts[part.SLO] = true
		}
	}
	spec.Metrics = slices.DeleteFunc(slices.Clone(spec.Metrics), func(m v1alpha1.Metric) bool {
		_, given := in.Metrics[m.Name]
		return given || m.Query == ""
	})
	spec.SLOs = slices.DeleteFunc(slices.Clone(spec.SLOs), func(s v1alpha1.SLO) bool {
		_, given := in.SLOs[s.Name]
		return given && !parts[s.Name]
	})
	return spec
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

// queryData is what the templates of queries read: of the flags, else of the rollout,
// else of the Lifecycle.
func (f *evalFlags) queryData(p *foundPolicy, in *policy.Input) policy.QueryData {
	var rollout policy.Rollout
	if in.Rollout != nil {
		rollout = *in.Rollout
	}
	var app string
	if p.lifecycle != nil {
		app = p.lifecycle.AppName()
	}
	data := policy.QueryData{
		App:         cmp.Or(f.queries.app, rollout.App, app),
		Environment: cmp.Or(f.queries.environment, rollout.Environment),
		Namespace:   cmp.Or(f.queries.namespace, rollout.Namespace),
		Version:     rollout.Version,
		Params:      policy.Params(p.Spec, in.Params),
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
	if err := table.Flush(); err != nil {
		return err
	}
	if burned := v.Burned(); burned != "" {
		_, err := fmt.Fprintf(w, "\n%s\n", burned)
		return err
	}
	return nil
}
