package azuremonitor

import (
	"fmt"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/monitor/azquery"

	"github.com/keptn/gitops/policy/metric"
)

// seriesOf are the series of an answer: all samples, or the newest of each. An
// interval without a value is left out.
func seriesOf(metrics []*azquery.Metric, by azquery.AggregationType, newest bool) ([]metric.Series, error) {
	var all []metric.Series
	for _, m := range metrics {
		if m == nil {
			continue
		}
		name := localized(m.Name)
		if code := value(m.ErrorCode); code != "" && code != "Success" {
			return nil, fmt.Errorf("%w: Azure Monitor has no values of metric %q: %s: %s", metric.ErrBadResponse, name, code, value(m.ErrorMessage))
		}
		for _, element := range m.TimeSeries {
			if element == nil {
				continue
			}
			samples, err := samplesOf(element.Data, by, newest)
			if err != nil {
				return nil, err
			}
			if len(samples) > 0 {
				all = append(all, metric.Series{Labels: labelsOf(name, element.MetadataValues), Samples: samples})
			}
		}
	}
	return all, nil
}

// samplesOf are the values of one aggregation in the order of time.
func samplesOf(data []*azquery.MetricValue, by azquery.AggregationType, newest bool) ([]metric.Sample, error) {
	var samples []metric.Sample
	for _, one := range data {
		if one == nil {
			continue
		}
		v := aggregated(one, by)
		if v == nil {
			continue
		}
		if one.TimeStamp == nil {
			return nil, fmt.Errorf("%w: it has a value without a time", metric.ErrBadResponse)
		}
		samples = append(samples, metric.Sample{Time: one.TimeStamp.UTC(), Value: *v})
	}
	slices.SortStableFunc(samples, func(x, y metric.Sample) int { return x.Time.Compare(y.Time) })
	if newest && len(samples) > 1 {
		samples = samples[len(samples)-1:]
	}
	return samples, nil
}

// aggregated is the value of an aggregation, or nil where there is none.
func aggregated(v *azquery.MetricValue, by azquery.AggregationType) *float64 {
	switch by {
	case azquery.AggregationTypeAverage:
		return v.Average
	case azquery.AggregationTypeCount:
		return v.Count
	case azquery.AggregationTypeMaximum:
		return v.Maximum
	case azquery.AggregationTypeMinimum:
		return v.Minimum
	case azquery.AggregationTypeTotal:
		return v.Total
	default:
		return nil
	}
}

// labelsOf are the dimensions of a series, and the metric's name.
func labelsOf(name string, dimensions []*azquery.MetadataValue) map[string]string {
	labels := map[string]string{}
	if name != "" {
		labels["__name__"] = name
	}
	for _, d := range dimensions {
		if d != nil {
			labels[localized(d.Name)] = value(d.Value)
		}
	}
	return labels
}

// localized is the name of which the language does not matter.
func localized(s *azquery.LocalizableString) string {
	if s == nil {
		return ""
	}
	return value(s.Value)
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
