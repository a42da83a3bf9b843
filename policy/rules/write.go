package rules

import (
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"
)

// YAML is the file that Prometheus reads as one of its rule_files. It begins with the
// notes, as comments.
func (g Groups) YAML() ([]byte, error) { return g.write(g) }

// PrometheusRule is the object of that name by which the Prometheus operator loads the
// groups
// (https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusRule).
// It has the labels by which the operator's ruleSelector chooses it, if any.
func (g Groups) PrometheusRule(name string, labels map[string]string) ([]byte, error) {
	type metadata struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels,omitempty"`
	}
	return g.write(struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Metadata   metadata `json:"metadata"`
		Spec       Groups   `json:"spec"`
	}{"monitoring.coreos.com/v1", "PrometheusRule", metadata{name, labels}, g})
}

func (g Groups) write(document any) ([]byte, error) {
	body, err := yaml.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("write the rules: %w", err)
	}
	var notes strings.Builder
	for _, note := range g.Notes {
		for line := range strings.Lines(note) {
			notes.WriteString("# " + strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	return append([]byte(notes.String()), body...), nil
}
