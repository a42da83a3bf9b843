package metric

import (
	"context"
	"sync/atomic"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// pushing logs pushes that failed, which the SDK would hand to a handler that is global
// to the process: the first, since each is made up for by the next that does not.
type pushing struct {
	sdkmetric.Exporter
	log    logr.Logger
	failed atomic.Bool
}

// Export implements sdkmetric.Exporter.
func (p *pushing) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	err := p.Exporter.Export(ctx, rm)
	if failed := err != nil; p.failed.Swap(failed) != failed {
		if failed {
			p.log.Error(err, "Could not push metrics; the next push makes up for it", "toPushNone", "OTEL_METRICS_EXPORTER=none")
		} else {
			p.log.Info("Metrics are pushed again")
		}
	}
	return nil
}

// A Measured is the newest value of a KeptnMetric.
type Measured struct {
	// Series is the name of the gauge, as Prometheus is shown it.
	Series string
	// Namespace and Name of the KeptnMetric.
	Namespace, Name string
	Value           float64
}

// producer shows the values of KeptnMetrics as a port of their own shows them to
// Prometheus: each under its own name.
type producer func(ctx context.Context) ([]metricdata.ScopeMetrics, error)

// Produce implements sdkmetric.Producer.
func (p producer) Produce(ctx context.Context) ([]metricdata.ScopeMetrics, error) { return p(ctx) }

func (m *Metrics) keptnMetrics() producer {
	return func(ctx context.Context) ([]metricdata.ScopeMetrics, error) {
		sources := m.sources.Load()
		if sources == nil || sources.KeptnMetrics == nil {
			return nil, nil
		}
		values, err := sources.KeptnMetrics(ctx)
		if err != nil {
			m.log.Error(err, "Could not read the values of KeptnMetrics")
			return nil, nil
		}
		if len(values) == 0 {
			return nil, nil
		}
		return []metricdata.ScopeMetrics{{Scope: instrumentation.Scope{Name: "keptn/metrics"}, Metrics: m.gauges(values)}}, nil
	}
}

// gauges are one metric for each name, with a point for each KeptnMetric that has it.
func (m *Metrics) gauges(values []Measured) []metricdata.Metrics {
	now, at := m.now(), map[string]int{}
	var all []metricdata.Metrics
	var points [][]metricdata.DataPoint[float64]
	for _, v := range values {
		i, known := at[v.Series]
		if !known {
			i = len(all)
			at[v.Series] = i
			all, points = append(all, metricdata.Metrics{Name: v.Series, Description: "KeptnMetric " + v.Name}), append(points, nil)
		}
		points[i] = append(points[i], metricdata.DataPoint[float64]{
			Attributes: attribute.NewSet(attribute.String("name", v.Name), attribute.String("namespace", v.Namespace)),
			Time:       now, Value: v.Value,
		})
	}
	for i := range all {
		all[i].Data = metricdata.Gauge[float64]{DataPoints: points[i]}
	}
	return all
}
