package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/policy/convert"
)

// formatYAML is what convert prints unless told otherwise.
const formatYAML = "yaml"

func newConvert() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "convert",
		Short: "Convert files of older Keptns to today's resources",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConvertSLI(), newConvertSLO(), newConvertResources())
	return cmd
}

func newConvertSLI() *cobra.Command {
	var provider metricsv1.ObjectReference
	cmd := converter(func(data []byte) ([]any, []string, error) {
		templates, notes, err := convert.SLI(data, provider)
		return list(templates), notes, err
	})
	cmd.Use = "sli FILE --provider NAME"
	cmd.Short = "Convert a Keptn v1 sli.yaml to AnalysisValueTemplates"
	cmd.Long = `sli makes an AnalysisValueTemplate of each indicator in FILE, a Keptn v1 sli.yaml,
or standard input for -. Placeholders as $SERVICE become {{.service}}: an
Analysis gives their values in spec.args. What else begins with a dollar, as
$handler, is left as it is, and said on standard error.

Exit code: 0 converted, 2 could not convert.`
	cmd.Example = `  keptn convert sli sli.yaml --provider prometheus
  keptn convert sli sli.yaml --provider dynatrace --provider-namespace monitoring | kubectl apply -f -`
	cmd.Flags().StringVar(&provider.Name, "provider", "", "name of the KeptnMetricsProvider that is asked")
	cmd.Flags().StringVar(&provider.Namespace, "provider-namespace", "", "its namespace (default: that of the AnalysisDefinition)")
	_ = cmd.MarkFlagRequired("provider") // fails only for a flag that does not exist
	return cmd
}

func newConvertSLO() *cobra.Command {
	var name, templateNamespace string
	cmd := converter(func(data []byte) ([]any, []string, error) {
		definition, notes, err := convert.SLO(data, name, templateNamespace)
		return []any{definition}, notes, err
	})
	cmd.Use = "slo FILE --name NAME"
	cmd.Short = "Convert a Keptn v1 slo.yaml to an AnalysisDefinition"
	cmd.Long = `slo makes an AnalysisDefinition of FILE, a Keptn v1 slo.yaml, or standard input
for -. Its objectives refer to the AnalysisValueTemplates that convert sli makes.

What an AnalysisDefinition cannot express, as criteria relative to earlier
results, and criteria that cannot be read, are left out, and said on standard error.

Exit code: 0 converted, 2 could not convert.`
	cmd.Example = `  keptn convert slo slo.yaml --name checkout
  keptn convert slo slo.yaml --name checkout --template-namespace monitoring -o json`
	cmd.Flags().StringVar(&name, "name", "", "name of the AnalysisDefinition")
	cmd.Flags().StringVar(&templateNamespace, "template-namespace", "", "namespace of the AnalysisValueTemplates (default: that of the AnalysisDefinition)")
	_ = cmd.MarkFlagRequired("name") // fails only for a flag that does not exist
	return cmd
}

func newConvertResources() *cobra.Command {
	cmd := converter(func(data []byte) ([]any, []string, error) {
		objects, notes, err := convert.Resources(data)
		return list(objects), notes, err
	})
	cmd.Use = "resources FILE"
	cmd.Short = "Convert resources of older API versions to today's"
	cmd.Long = `resources converts what is in FILE, or standard input for -, from the versions
v1alpha1 to v1beta1 of metrics.keptn.sh and lifecycle.keptn.sh to v1: a
KeptnEvaluationProvider to a KeptnMetricsProvider, queries of evaluations to
KeptnMetrics, checks of a KeptnApp to a KeptnAppContext. Status, uid and the like
are removed, and records of deliveries left out. Other objects are left as they
are. All that is to know is said on standard error.

Exit code: 0 converted, 2 could not convert.`
	cmd.Example = `  keptn convert resources metrics.yaml
  kubectl get keptnmetrics -A -o yaml | keptn convert resources - > metrics.yaml`
	return cmd
}

// converter is a command that reads a file and prints objects, and notes on
// standard error.
func converter(run func(data []byte) (objects []any, notes []string, err error)) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != formatYAML && format != formatJSON {
				return fmt.Errorf("-o %q: has to be %s or %s", format, formatYAML, formatJSON)
			}
			data, err := readFile(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			objects, notes, err := run(data)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			for _, note := range notes {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", args[0], note)
			}
			return printObjects(cmd.OutOrStdout(), objects, format)
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", formatYAML, "yaml or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{formatYAML, formatJSON}, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that does not exist
	return cmd
}

// readFile reads a file, or what is piped in for -.
func readFile(stdin io.Reader, file string) ([]byte, error) {
	if file == "-" {
		data, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return data, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	return data, nil
}

// printObjects prints YAML documents, or one JSON object: a List where there are
// several.
func printObjects(w io.Writer, objects []any, format string) error {
	if format == formatJSON {
		if len(objects) == 1 {
			return printJSON(w, objects[0])
		}
		return printJSON(w, map[string]any{"apiVersion": "v1", "kind": "List", "items": objects})
	}
	for i, object := range objects {
		text, err := yaml.Marshal(object)
		if err != nil {
			return fmt.Errorf("print object: %w", err)
		}
		separator := ""
		if i > 0 {
			separator = "---\n"
		}
		if _, err := fmt.Fprintf(w, "%s%s", separator, text); err != nil {
			return err
		}
	}
	return nil
}

func list[T any](items []T) []any {
	all := make([]any, len(items))
	for i := range items {
		all[i] = items[i]
	}
	return all
}
