package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/rules"
)

// formatPrometheusRule prints an object of the Prometheus operator.
const formatPrometheusRule = "prometheusrule"

// ruleFlags are the flags of policy rules.
type ruleFlags struct {
	policy, name, format string
	queries              queryFlags
	labels               map[string]string
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
		Example: `  keptn policy rules --policy apps/payment/lifecycle.yaml --app payment > rules.yaml
  keptn policy rules --policy slo.yaml --name payment-slo --app payment --environment production --param region=eu
  keptn policy rules --policy slo.yaml --app payment -o prometheusrule --label release=monitoring | kubectl apply -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.print(cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.policy, "policy", "", "file with the SLOPolicy, such as a lifecycle.yaml")
	f.StringVar(&flags.name, "name", "", "name of the SLOPolicy, where the file has several")
	flags.queries.add(cmd, "a label of the rules and ")
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

// ruleRemedies say what to do where the queries of rules read what is not given.
var ruleRemedies = map[string]string{
	fieldApp:         "give --app",
	fieldEnvironment: "give --environment",
	fieldNamespace:   "give --namespace",
	fieldVersion:     "rules serve all versions, so leave it out",
	fieldCommit:      "rules serve all commits, so leave it out",
}

// data are what fills in the queries, all of which has to be known.
func (f *ruleFlags) data(spec v1alpha1.SLOPolicySpec) (policy.QueryData, error) {
	if err := f.queries.check(spec); err != nil {
		return policy.QueryData{}, err
	}
	data := policy.QueryData{
		App: f.queries.app, Environment: f.queries.environment, Namespace: f.queries.namespace,
		Params: policy.Params(spec, f.queries.params),
	}
	return data, needed(queriesOf(nil, spec.SLOs), data, ruleRemedies)
}
