package serving

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// notInNames is what a Kubernetes name may have and the name of a gauge not.
var notInNames = regexp.MustCompile(`[^a-zA-Z0-9]+`)

// GaugeName is the name of the gauge of a KeptnMetric: what is neither letter nor
// digit becomes one underscore, as in Keptn; and an underscore goes before a digit
// that would begin it, which Prometheus does not allow.
func GaugeName(metric string) string {
	name := notInNames.ReplaceAllString(metric, "_")
	if name != "" && name[0] >= '0' && name[0] <= '9' {
		return "_" + name
	}
	return name
}

// families are the gauges of all values that are numbers, with their namespace and
// name as labels. KeptnMetrics whose names become the same share one gauge, and its
// help tells all their names.
func families(values []Value) []*dto.MetricFamily {
	var all []*dto.MetricFamily
	var names []string
	for _, g := range gauges(values) {
		if len(all) == 0 || all[len(all)-1].GetName() != g.name {
			all = append(all, &dto.MetricFamily{Name: new(g.name), Type: dto.MetricType_GAUGE.Enum()})
			names = nil
		}
		family := all[len(all)-1]
		if !slices.Contains(names, g.of.Name) {
			names = append(names, g.of.Name)
			family.Help = new(strings.Join(names, ", "))
		}
		family.Metric = append(family.Metric, &dto.Metric{
			Label: []*dto.LabelPair{
				{Name: new("name"), Value: new(g.of.Name)},
				{Name: new("namespace"), Value: new(g.of.Namespace)},
			},
			Gauge: &dto.Gauge{Value: new(g.of.Value)},
		})
	}
	return all
}

// A gauge is a value under the name of its gauge.
type gauge struct {
	name string
	of   *Value
}

// gauges are the values that are numbers, sorted by the names of their gauges.
func gauges(values []Value) []gauge {
	all := make([]gauge, 0, len(values))
	for i := range values {
		if values[i].HasValue {
			all = append(all, gauge{GaugeName(values[i].Name), &values[i]})
		}
	}
	slices.SortFunc(all, func(a, b gauge) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.of.Name, b.of.Name), strings.Compare(a.of.Namespace, b.of.Namespace))
	})
	return all
}
