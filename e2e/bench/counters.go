package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// families are what a process tells of itself, by name.
type families map[string]*dto.MetricFamily

// scrape reads what a process tells of itself, in the text format of Prometheus,
// https://prometheus.io/docs/instrumenting/exposition_formats/.
func scrape(ctx context.Context, by *http.Client, url string) (families, error) {
	told, _, err := scrapeAt(ctx, by, url)
	return told, err
}

// scrapeAt is scrape, and when the answer began to come: all that it tells was
// gathered before.
func scrapeAt(ctx context.Context, by *http.Client, url string) (told families, at time.Time, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, at, fmt.Errorf("scrape: %w", err)
	}
	response, err := by.Do(request)
	if err != nil {
		return nil, at, fmt.Errorf("scrape: %w", err)
	}
	defer response.Body.Close()
	at = time.Now()
	if response.StatusCode != http.StatusOK {
		return nil, at, fmt.Errorf("scrape %s: %s", url, response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if told, err = parser.TextToMetricFamilies(response.Body); err != nil {
		return nil, at, fmt.Errorf("scrape %s: %w", url, err)
	}
	return told, at, nil
}

// by adds up the counters, or gauges, of a name for each value of one label.
func (f families) by(name, label string) map[string]float64 {
	sums := map[string]float64{}
	for _, m := range f[name].GetMetric() {
		sums[labelOf(m, label)] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return sums
}

// total adds up the counters, or gauges, of a name.
func (f families) total(name string) float64 {
	var sum float64
	for _, n := range f.by(name, "") {
		sum += n
	}
	return sum
}

// labelOf is the value of a label, empty where there is none.
func labelOf(m *dto.Metric, label string) string {
	for _, pair := range m.GetLabel() {
		if pair.GetName() == label {
			return pair.GetValue()
		}
	}
	return ""
}

// prometheus reads what the testbed's Prometheus tells of itself.
func (b *bench) prometheus(ctx context.Context) (families, error) {
	return scrape(ctx, http.DefaultClient, b.bed.prometheusURL+"/metrics")
}

// queriesTo is how many queries were put to one of Prometheus's handlers so far.
func (f families) queriesTo(handler string) float64 {
	return f.by("prometheus_http_requests_total", "handler")[handler]
}

// cpu is the CPU time of a process so far, in seconds, by its own account.
func (f families) cpu() float64 { return f.total("process_cpu_seconds_total") }
