package metrics

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/policy/analysis"
)

// collectTimeout is how long one scrape may take.
const collectTimeout = 5 * time.Second

// Collector tells Prometheus of the completed Analyses that there are, as Keptn
// does: keptn_analysis_result is the percentage of the score that was reached, and
// keptn_objective_result the value of an objective. Series go with their Analysis.
type Collector struct {
	reader              client.Reader
	analyses, objective *prometheus.Desc
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns a collector that reads Analyses by the reader, which should
// cache them.
func NewCollector(r client.Reader) *Collector {
	return &Collector{
		reader: r,
		analyses: prometheus.NewDesc("keptn_analysis_result", "Result of Analysis",
			[]string{"name", "namespace", "from", "to"}, nil),
		objective: prometheus.NewDesc("keptn_objective_result", "Result of the Analysis Objective",
			[]string{"name", "namespace", "analysis_name", "analysis_namespace", "key_objective", "weight", "from", "to"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.analyses
	ch <- c.objective
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout) //nolint:forbidigo // a collector is given no context
	defer cancel()
	var all metricsv1.AnalysisList
	if err := c.reader.List(ctx, &all, client.UnsafeDisableDeepCopy); err != nil {
		ch <- prometheus.NewInvalidMetric(c.analyses, err)
		return
	}
	for i := range all.Items {
		if a := &all.Items[i]; a.Status.State == metricsv1.StateCompleted {
			c.collect(ch, a)
		}
	}
}

// collect tells of one Analysis. An objective that several objectives share a
// template with is told of once.
func (c *Collector) collect(ch chan<- prometheus.Metric, a *metricsv1.Analysis) {
	var result analysis.Result
	if json.Unmarshal([]byte(a.Status.Raw), &result) != nil {
		return // somebody else wrote it
	}
	from, to := a.Status.Timeframe.From.UTC().Format(time.RFC3339), a.Status.Timeframe.To.UTC().Format(time.RFC3339)
	ch <- prometheus.MustNewConstMetric(c.analyses, prometheus.GaugeValue, result.Percentage(), a.Name, a.Namespace, from, to)
	told := map[string]bool{}
	for _, o := range result.ObjectiveResults {
		ref := o.Objective.AnalysisValueTemplateRef
		weight := "1"
		if o.Objective.Weight != nil {
			weight = strconv.FormatInt(*o.Objective.Weight, 10)
		}
		labels := []string{ref.Name, ref.Namespace, a.Name, a.Namespace, strconv.FormatBool(o.Objective.KeyObjective), weight, from, to}
		if id := ref.Namespace + "/" + ref.Name + "/" + weight + labels[4]; o.Error == "" && !told[id] {
			told[id] = true
			ch <- prometheus.MustNewConstMetric(c.objective, prometheus.GaugeValue, o.Value, labels...)
		}
	}
}
