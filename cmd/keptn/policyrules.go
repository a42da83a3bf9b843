package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/rules"
)

// formatPrometheusRule prints an object of the Prometheus operator.
const formatPrometheusRule = "prometheusrule"

// ruleFlags are the flags of policy rules.
type ruleFlags struct {
	policy, name, format        string
	app, environment, namespace string
	params, labels              map[string]string
}

func newPolicyRules() *cobra.Command {
	var flags ruleFlags
	cmd := &cobra.Command{
		Use:   "rules --policy FILE",
		Short: "Print Prometheus rules for the slos of a policy",
		Long: `rules prints recording rules for the slos of a policy, and alerts on the burn rates
of their error budgets over several windows, as the SRE workbook recommends:
https://sre.google/workbook/alerting-on-slos/.

Queries that are templates are filled in by the flags. What cannot be expressed as
rules is left out, and said in comments, or for json on standard error.

-o yaml is a rule file of Prometheus, json the same, and prometheusrule an object
of the Prometheus operator, whose labels have to match its ruleSelector.

Exit code: 0 printed, 2 could not make rules.`,
		Example: `  keptn policy rules --policy apps/checkout/lifecycle.yaml > rules.yaml
  keptn policy rules --policy slo.yaml --name checkout-slo --app checkout --environment production --param region=eu
  keptn policy rules --policy slo.yaml -o prometheusrule --label release=monitoring | kubectl apply -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.print(cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.policy, "policy", "", "file with the SLOPolicy, such as a lifecycle.yaml")
	f.StringVar(&flags.name, "name", "", "name of the SLOPolicy, where the file has several")
	f.StringVar(&flags.app, "app", "", "app, a label of the rules and {{.app}} of queries")
	f.StringVar(&flags.environment, "environment", "", "environment, a label of the rules and {{.environment}} of queries")
	f.StringVar(&flags.namespace, "namespace", "", "{{.namespace}} of queries")
	f.StringToStringVar(&flags.params, "param", nil, "param of the policy, as region=eu")
	f.StringToStringVar(&flags.labels, "label", nil, "label of the PrometheusRule, as release=monitoring")
	f.StringVarP(&flags.format, "output", "o", formatYAML, "yaml, json or prometheusrule")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{formatYAML, formatJSON, formatPrometheusRule}, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that does not exist
	_ = cmd.MarkFlagRequired("policy")                                                                                                                               // fails only for a flag that does not exist
	return cmd
}

// print carries out the command.
func (f *ruleFlags) print(stdout, stderr io.Writer) error {
	if !slices.Contains([]string{formatYAML, formatJSON, formatPrometheusRule}, f.format) {
		return fmt.Errorf("-o %q: has to be %s, %s or %s", f.format, formatYAML, formatJSON, formatPrometheusRule)
	}
	if len(f.labels) > 0 && f.format != formatPrometheusRule {
		return fmt.Errorf("--label is for -o %s: a rule file has no labels of its own", formatPrometheusRule)
	}
	found, err := readPolicy(f.policy, f.name)
	if err != nil {
		return err
	}
	data, err := f.data(found.Spec)
	if err != nil {
		return err
	}
	groups, err := rules.For(found.Name, found.Spec, data)
	if err != nil {
		return err
	}
	var text []byte
	switch f.format {
	case formatJSON:
		for _, note := range groups.Notes {
			fmt.Fprintf(stderr, "%s: %s\n", f.policy, note)
		}
		return printJSON(stdout, groups)
	case formatPrometheusRule:
		text, err = groups.PrometheusRule(found.Name, f.labels)
	default:
		text, err = groups.YAML()
	}
	if err != nil {
		return err
	}
	_, err = stdout.Write(text)
	return err
}

// data are what fills in the queries, all of which has to be known.
func (f *ruleFlags) data(spec v1alpha1.SLOPolicySpec) (policy.QueryData, error) {
	var declared []string
	for _, p := range spec.Params {
		declared = append(declared, p.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(f.params)) {
		if !slices.Contains(declared, name) {
			return policy.QueryData{}, fmt.Errorf("--param %s: the policy declares no such param: it has %s", name, cmp.Or(strings.Join(declared, ", "), "none"))
		}
	}
	data := policy.QueryData{
		App: f.app, Environment: f.environment, Namespace: f.namespace, Params: policy.Params(spec, f.params),
	}
	return data, needed(spec.SLOs, data)
}

// needed is an error where a query reads what is not given: an empty text in its
// place would select nothing, and alert of nothing.
func needed(slos []v1alpha1.SLO, data policy.QueryData) error {
	data.Window = "5m"
	fields := []struct {
		name, remedy string
		of           func(*policy.QueryData) *string
	}{
		{"app", "give --app", func(d *policy.QueryData) *string { return &d.App }},
		{"environment", "give --environment", func(d *policy.QueryData) *string { return &d.Environment }},
		{"namespace", "give --namespace", func(d *policy.QueryData) *string { return &d.Namespace }},
		{"version", "rules serve all versions, so leave it out", func(d *policy.QueryData) *string { return &d.Version }},
		{"commit", "rules serve all commits, so leave it out", func(d *policy.QueryData) *string { return &d.Commit }},
	}
	for _, s := range slos {
		for _, query := range queriesOf(s) {
			text, err := policy.RenderQuery(query, data)
			if err != nil {
				return fmt.Errorf("slo %q: %w, or give --param", s.Name, err)
			}
			for _, field := range fields {
				other := data
				if of := field.of(&other); *of == "" {
					*of = "given"
				}
				if filled, err := policy.RenderQuery(query, other); err == nil && filled != text {
					return fmt.Errorf("slo %q: its query reads .%s: %s", s.Name, field.name, field.remedy)
				}
			}
		}
	}
	return nil
}

// queriesOf are the queries of an SLO.
func queriesOf(s v1alpha1.SLO) []string {
	var queries []string
	if s.Ratio != nil {
		queries = append(queries, s.Ratio.Good, s.Ratio.Bad, s.Ratio.Total)
	}
	if s.Threshold != nil {
		queries = append(queries, s.Threshold.Query)
	}
	return queries
}
