package config_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/shard"
)

// What kubectl shows of a kind, as far as Keptn's kinds have it: the columns in Keptn's
// order, with a * where only -o wide shows them. Others may stand between them. The
// columns of its KeptnTask led nowhere, so that ours lead elsewhere.
func TestKeptnsKindsAreShownAsKeptnShowsThem(t *testing.T) {
	wanted := map[string]struct {
		short   []string
		columns []string
	}{
		"KeptnApp":        {},
		"KeptnAppContext": {},
		"KeptnAppVersion": {[]string{"kav"}, []string{
			"AppName .spec.appName", "Version .spec.version", "Phase .status.currentPhase",
			"PreDeploymentStatus* .status.preDeploymentStatus", "PreDeploymentEvaluationStatus* .status.preDeploymentEvaluationStatus",
			"WorkloadOverallStatus* .status.workloadOverallStatus",
			"PostDeploymentStatus* .status.postDeploymentStatus", "PostDeploymentEvaluationStatus* .status.postDeploymentEvaluationStatus",
			"PromotionStatus* .status.promotionStatus",
		}},
		"KeptnWorkload": {nil, []string{"AppName .spec.app", "Version .spec.version"}},
		"KeptnWorkloadVersion": {[]string{"kwv"}, []string{
			"AppName .spec.app", "WorkloadName .spec.workloadName", "WorkloadVersion .spec.version", "Phase .status.currentPhase",
			"PreDeploymentStatus* .status.preDeploymentStatus", "PreDeploymentEvaluationStatus* .status.preDeploymentEvaluationStatus",
			"DeploymentStatus* .status.deploymentStatus",
			"PostDeploymentStatus* .status.postDeploymentStatus", "PostDeploymentEvaluationStatus* .status.postDeploymentEvaluationStatus",
		}},
		"KeptnTask": {nil, []string{
			"AppName .spec.context.appName", "AppVersion .spec.context.appVersion",
			"WorkloadName .spec.context.workloadName", "WorkloadVersion .spec.context.workloadVersion",
			"Job Name .status.jobName", "Status .status.status",
		}},
		"KeptnTaskDefinition": {},
		"KeptnEvaluation": {[]string{"ke"}, []string{
			"AppName .spec.appName", "AppVersion .spec.appVersion", "WorkloadName .spec.workload", "WorkloadVersion .spec.workloadVersion",
			"RetryCount .status.retryCount", "EvaluationStatus* .status.evaluationStatus", "OverallStatus .status.overallStatus",
		}},
		"KeptnEvaluationDefinition": {[]string{"ked"}, nil},
		"KeptnConfig":               {},
		"KeptnMetric": {nil, []string{
			"Provider .spec.provider.name", "Query .spec.query", "Interval .spec.range.interval", "Value .status.value",
			"Step .spec.range.step", "Aggregation .spec.range.aggregation",
		}},
		"KeptnMetricsProvider": {[]string{"kmp"}, nil},
		"Analysis": {nil, []string{
			"AnalysisDefinition .spec.analysisDefinition.name", "State .status.state", "Warning .status.warning", "Pass .status.pass",
		}},
		"AnalysisDefinition":    {},
		"AnalysisValueTemplate": {},
	}
	for _, definition := range definitions(t) {
		want, ok := wanted[definition.Spec.Names.Kind]
		if !ok {
			continue // a kind of our own
		}
		delete(wanted, definition.Spec.Names.Kind)
		for _, name := range want.short {
			if !slices.Contains(definition.Spec.Names.ShortNames, name) {
				t.Errorf("%s has the short names %q, which lack %s", definition.Spec.Names.Kind, definition.Spec.Names.ShortNames, name)
			}
		}
		for _, version := range definition.Spec.Versions {
			var have []string
			for _, c := range version.AdditionalPrinterColumns {
				name := c.Name
				if c.Priority > 0 {
					name += "*"
				}
				if column := name + " " + c.JSONPath; slices.Contains(want.columns, column) {
					have = append(have, column)
				}
			}
			if diff := cmp.Diff(want.columns, have); diff != "" {
				t.Errorf("%s in %s (-want +got):\n%s", definition.Spec.Names.Kind, version.Name, diff)
			}
		}
	}
	for kind := range wanted {
		t.Errorf("there is no %s", kind)
	}
}

func TestAGitSourceShowsItsShardAndWhetherCommitsAreTold(t *testing.T) {
	source := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": "shop", "labels": map[string]any{shard.Label: "a"}},
		"status":   map[string]any{"conditions": []any{map[string]any{"type": gitopsv1alpha1.ReportedCondition, "status": "False"}}},
	}}
	for _, definition := range definitions(t) {
		if definition.Spec.Names.Kind != "GitSource" {
			continue
		}
		printer, err := tableconvertor.New(definition.Spec.Versions[0].AdditionalPrinterColumns)
		if err != nil {
			t.Fatal(err)
		}
		table, err := printer.ConvertToTable(t.Context(), source, nil)
		if err != nil {
			t.Fatal(err)
		}
		shown := map[string]any{}
		for i, column := range table.ColumnDefinitions {
			if column.Priority > 0 {
				shown[column.Name] = table.Rows[0].Cells[i]
			}
		}
		if diff := cmp.Diff(map[string]any{"Shard": "a", "Reported": "False"}, shown); diff != "" {
			t.Errorf("with -o wide (-want +got):\n%s", diff)
		}
	}
}
