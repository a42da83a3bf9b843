package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
)

// queryFlags fill in the queries of a policy.
type queryFlags struct {
	app, environment, namespace string
	params                      map[string]string
}

// add adds the flags to a command. Also is what app and environment are beside what
// queries read, such as "a label of the rules and ".
func (f *queryFlags) add(cmd *cobra.Command, also string) {
	cmd.Flags().StringVar(&f.app, "app", "", "app, "+also+"{{.app}} of queries")
	cmd.Flags().StringVar(&f.environment, "environment", "", "environment, "+also+"{{.environment}} of queries")
	cmd.Flags().StringVar(&f.namespace, "namespace", "", "{{.namespace}} of queries")
	cmd.Flags().StringToStringVar(&f.params, "param", nil, "param of the policy, as region=eu")
}

// check refuses params that the policy does not declare.
func (f *queryFlags) check(spec v1alpha1.SLOPolicySpec) error {
	var declared []string
	for _, p := range spec.Params {
		declared = append(declared, p.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(f.params)) {
		if !slices.Contains(declared, name) {
			return fmt.Errorf("--param %s: the policy declares no such param: it has %s", name, cmp.Or(strings.Join(declared, ", "), "none"))
		}
	}
	return nil
}

// A query is one that is asked, and whose it is, as slo "availability".
type query struct{ of, text string }

// queriesOf are the queries of metrics and SLOs.
func queriesOf(metrics []v1alpha1.Metric, slos []v1alpha1.SLO) []query {
	var queries []query
	for _, m := range metrics {
		queries = append(queries, query{fmt.Sprintf("metric %q", m.Name), m.Query})
	}
	for _, s := range slos {
		of := fmt.Sprintf("slo %q", s.Name)
		if s.Ratio != nil {
			queries = append(queries, query{of, s.Ratio.Good}, query{of, s.Ratio.Bad}, query{of, s.Ratio.Total})
		}
		if s.Threshold != nil {
			queries = append(queries, query{of, s.Threshold.Query})
		}
	}
	return queries
}

// The fields of a query's template that may have no value.
const (
	fieldApp         = "app"
	fieldEnvironment = "environment"
	fieldNamespace   = "namespace"
	fieldVersion     = "version"
	fieldCommit      = "commit"
)

// needed is an error where a query reads what is not given: an empty text in its
// place would select nothing, and so find nothing wrong. Remedies are what to do
// about it, by the fields.
func needed(queries []query, data policy.QueryData, remedies map[string]string) error {
	data.Window = "5m"
	fields := []struct {
		name string
		of   func(*policy.QueryData) *string
	}{
		{fieldApp, func(d *policy.QueryData) *string { return &d.App }},
		{fieldEnvironment, func(d *policy.QueryData) *string { return &d.Environment }},
		{fieldNamespace, func(d *policy.QueryData) *string { return &d.Namespace }},
		{fieldVersion, func(d *policy.QueryData) *string { return &d.Version }},
		{fieldCommit, func(d *policy.QueryData) *string { return &d.Commit }},
	}
	for _, q := range queries {
		text, err := policy.RenderQuery(q.text, data)
		if err != nil {
			return fmt.Errorf("%s: %w, or give --param", q.of, err)
		}
		for _, field := range fields {
			other := data
			if of := field.of(&other); *of == "" {
				*of = "given"
			}
			if filled, err := policy.RenderQuery(q.text, other); err == nil && filled != text {
				return fmt.Errorf("%s: its query reads .%s: %s", q.of, field.name, remedies[field.name])
			}
		}
	}
	return nil
}
