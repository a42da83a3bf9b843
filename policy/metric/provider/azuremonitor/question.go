package azuremonitor

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/monitor/azquery"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/policy/metric"
)

const (
	// defaultWindow is what a question for an instant asks about: Azure Monitor has
	// values of intervals only.
	defaultWindow = 5 * time.Minute
	// whole is the interval that is the window as a whole.
	whole = "FULL"
)

// A question is what an expression says.
type question struct {
	// resource is its path, escaped.
	resource    string
	aggregation azquery.AggregationType
	text        questionText
}

// questionText is an expression's text.
type questionText struct {
	Resource    string `json:"resource"`
	Metric      string `json:"metric"`
	Namespace   string `json:"namespace"`
	Aggregation string `json:"aggregation"`
	Filter      string `json:"filter"`
	Interval    string `json:"interval"`
}

// parse reads an expression.
func parse(expr string) (question, error) {
	var text questionText
	if err := yaml.UnmarshalStrict([]byte(expr), &text); err != nil {
		return question{}, fmt.Errorf("%w: it is no YAML or JSON of resource, metric, aggregation, namespace, filter and interval: %w", metric.ErrBadQuery, err)
	}
	if strings.TrimSpace(text.Metric) == "" {
		return question{}, fmt.Errorf("%w: it names no metric, as Percentage CPU", metric.ErrBadQuery)
	}
	aggregation, err := aggregationOf(text.Aggregation)
	if err != nil {
		return question{}, err
	}
	resource, err := resourcePath(text.Resource)
	if err != nil {
		return question{}, err
	}
	return question{resource: resource, aggregation: aggregation, text: text}, nil
}

// aggregationOf is an aggregation by its name, in any case.
func aggregationOf(name string) (azquery.AggregationType, error) {
	var known []string
	for _, a := range azquery.PossibleAggregationTypeValues() {
		if strings.EqualFold(string(a), name) && a != azquery.AggregationTypeNone {
			return a, nil
		}
		if a != azquery.AggregationTypeNone {
			known = append(known, string(a))
		}
	}
	return "", fmt.Errorf("%w: it has the aggregation %q: give one of %s", metric.ErrBadQuery, name, strings.Join(known, ", "))
}

// resourcePath escapes a resource's ID, so that it is a path and no more.
func resourcePath(id string) (string, error) {
	parts := strings.Split(strings.Trim(id, "/"), "/")
	if len(parts) < 2 || !strings.EqualFold(parts[0], "subscriptions") {
		return "", fmt.Errorf("%w: its resource %q is no resource ID: give it as /subscriptions/…", metric.ErrBadQuery, id)
	}
	for i, part := range parts {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("%w: its resource %q has the part %q", metric.ErrBadQuery, id, part)
		}
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/"), nil
}

// options are the parameters of the request. With a filter, Azure answers with the
// first 10 series unless it is asked for more: one above the limit tells that there
// are too many.
func (a question) options(q metric.Query, limit int) *azquery.MetricsClientQueryResourceOptions {
	window := q.Window
	if window == 0 {
		window = defaultWindow
	}
	options := &azquery.MetricsClientQueryResourceOptions{
		MetricNames: to.Ptr(a.text.Metric),
		Aggregation: []*azquery.AggregationType{to.Ptr(a.aggregation)},
		Timespan:    to.Ptr(azquery.NewTimeInterval(q.At.UTC().Add(-window), q.At.UTC())),
		Interval:    to.Ptr(whole),
	}
	switch {
	case a.text.Interval != "":
		options.Interval = to.Ptr(a.text.Interval)
	case q.Step > 0:
		options.Interval = to.Ptr(isoDuration(q.Step))
		options.AutoAdjustTimegrain = to.Ptr(true)
	}
	if a.text.Namespace != "" {
		options.MetricNamespace = to.Ptr(a.text.Namespace)
	}
	if a.text.Filter != "" {
		options.Filter = to.Ptr(a.text.Filter)
		options.Top = to.Ptr(int32(min(limit, 1<<30) + 1)) //nolint:gosec // it is bounded
	}
	return options
}

// isoDuration is a duration as ISO 8601 has it, in whole minutes, rounded up: the
// shortest interval of Azure Monitor is a minute.
func isoDuration(d time.Duration) string {
	minutes := int64((d + time.Minute - 1) / time.Minute)
	switch {
	case minutes%(24*60) == 0:
		return fmt.Sprintf("P%dD", minutes/(24*60))
	case minutes%60 == 0:
		return fmt.Sprintf("PT%dH", minutes/60)
	default:
		return fmt.Sprintf("PT%dM", minutes)
	}
}
