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

// gaugeName is the name of the gauge of a KeptnMetric: what is neither letter nor
// digit becomes one underscore, as in Keptn; and an underscore goes before a digit
// that would begin it, which Prometheus does not allow.
func gaugeName(metric string) string {
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
	values = slices.Clone(values)
	slices.SortFunc(values, func(a, b Value) int {
		return cmp.Or(cmp.Compare(gaugeName(a.Name), gaugeName(b.Name)), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace))
	})
	var all []*dto.MetricFamily
	var names []string
	for _, v := range values {
		if !v.HasValue {
			continue
		}
		name := gaugeName(v.Name)
		if len(all) == 0 || all[len(all)-1].GetName() != name {
			all = append(all, &dto.MetricFamily{Name: new(name), Type: dto.MetricType_GAUGE.Enum()})
			names = nil
		}
		family := all[len(all)-1]
		if !slices.Contains(names, v.Name) {
			names = append(names, v.Name)
			family.Help = new(strings.Join(names, ", "))
		}
		family.Metric = append(family.Metric, &dto.Metric{
			Label: []*dto.LabelPair{
				{Name: new("name"), Value: new(v.Name)},
				{Name: new("namespace"), Value: new(v.Namespace)},
			},
			Gauge: &dto.Gauge{Value: new(v.Value)},
		})
	}
	return all
}
