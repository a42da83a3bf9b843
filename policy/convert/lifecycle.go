package convert

import (
	"errors"
	"fmt"
	"strings"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// toLifecycle renames the version: the fields are the same.
func toLifecycle(object map[string]any) ([]map[string]any, []string, error) {
	object["apiVersion"] = lifecyclev1.GroupVersion.String()
	return only(object), nil, nil
}

// leaveOut drops a record that the controller makes anew.
func leaveOut(map[string]any) ([]map[string]any, []string, error) {
	return nil, []string{"it is left out: it is a record, and the controller makes its own"}, nil
}

// contextFields are what a KeptnApp held before v1beta1, and a KeptnAppContext of its
// name holds since.
var contextFields = []string{
	"preDeploymentTasks", "postDeploymentTasks", "preDeploymentEvaluations", "postDeploymentEvaluations",
}

// toApp makes a KeptnApp, and a KeptnAppContext of the checks that it held. An app
// that was discovered from annotations is discovered again, and left out.
func toApp(object map[string]any) ([]map[string]any, []string, error) {
	metadata, _ := object["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	if labels[lifecyclev1.K8sRecommendedManagedByAnnotation] == lifecyclev1.ManagedByKeptn {
		return nil, []string{"it is left out: it was discovered from annotations, and will be again"}, nil
	}
	object["apiVersion"] = lifecyclev1.GroupVersion.String()
	spec, _ := object["spec"].(map[string]any)
	moved := map[string]any{}
	for _, field := range contextFields {
		if names, ok := spec[field]; ok {
			moved[field] = names
			delete(spec, field)
		}
	}
	if len(moved) == 0 {
		return only(object), nil, nil
	}
	context := map[string]any{
		"apiVersion": lifecyclev1.GroupVersion.String(),
		"kind":       "KeptnAppContext",
		"metadata":   identity(metadata, name(object)),
		"spec":       moved,
	}
	return []map[string]any{object, context}, []string{"its tasks and evaluations are in a KeptnAppContext of the same name now"}, nil
}

// identity is the metadata of an object in the same namespace.
func identity(metadata map[string]any, name string) map[string]any {
	made := map[string]any{"name": name}
	if namespace, ok := metadata["namespace"]; ok {
		made["namespace"] = namespace
	}
	return made
}

// toTaskDefinition makes a KeptnTaskDefinition: what was a function is a script for
// Deno.
func toTaskDefinition(object map[string]any) ([]map[string]any, []string, error) {
	object["apiVersion"] = lifecyclev1.GroupVersion.String()
	spec, ok := object["spec"].(map[string]any)
	if !ok {
		return nil, nil, errors.New("it has no spec")
	}
	function, ok := spec["function"]
	if !ok {
		return only(object), nil, nil
	}
	delete(spec, "function")
	if _, both := spec["deno"]; !both {
		spec["deno"] = function
	}
	return only(object), []string{"function is named deno now"}, nil
}

// toEvaluationDefinition makes a KeptnEvaluationDefinition. Before v1alpha3 an objective
// held its query: it becomes a KeptnMetric of its own.
func toEvaluationDefinition(object map[string]any) ([]map[string]any, []string, error) {
	object["apiVersion"] = lifecyclev1.GroupVersion.String()
	spec, ok := object["spec"].(map[string]any)
	if !ok {
		return nil, nil, errors.New("it has no spec")
	}
	source, _ := spec["source"].(string)
	delete(spec, "source")
	made := only(object)
	metadata, _ := object["metadata"].(map[string]any)
	objectives, _ := spec["objectives"].([]any)
	for i := range objectives {
		objective, _ := objectives[i].(map[string]any)
		query, ok := objective["query"].(string)
		if !ok {
			continue
		}
		metric, err := metricOf(object, objective, source, query, metadata)
		if err != nil {
			return nil, nil, fmt.Errorf("objective %d: %w", i+1, err)
		}
		made = append(made, metric)
	}
	if len(made) == 1 {
		return made, nil, nil
	}
	return made, []string{"its queries are KeptnMetrics of their own now"}, nil
}

// metricOf moves the query of an objective into a KeptnMetric.
func metricOf(object, objective map[string]any, source, query string, metadata map[string]any) (map[string]any, error) {
	given, _ := objective["name"].(string)
	called, err := resourceName(strings.Trim(name(object)+"-"+given, "-"))
	if err != nil {
		return nil, err
	}
	if source == "" {
		return nil, errors.New("it has a query and no spec.source: name the provider there")
	}
	delete(objective, "query")
	delete(objective, "name")
	objective["keptnMetricRef"] = map[string]any{"name": called}
	return map[string]any{
		"apiVersion": metricsv1.GroupVersion.String(),
		"kind":       "KeptnMetric",
		"metadata":   identity(metadata, called),
		"spec": map[string]any{
			"provider":             map[string]any{"name": source},
			"query":                query,
			"fetchIntervalSeconds": float64(10),
		},
	}, nil
}
