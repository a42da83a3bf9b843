package prometheus

import (
	"fmt"

	"github.com/prometheus/common/model"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// SeriesOf are the series of an answer, which is a scalar, a vector or a matrix, if
// the server may yield as many. A matrix that answers a query without a step yields
// the newest sample of each; that of a series that ended within the window keeps
// its own time.
func SeriesOf(s connect.Server, value model.Value, q metric.Query) ([]metric.Series, error) {
	series, err := convert(s, value, q)
	if err != nil {
		return nil, err
	}
	return series, s.CheckSeries(series)
}

// convert makes series of the values of a kind.
func convert(s connect.Server, value model.Value, q metric.Query) ([]metric.Series, error) {
	switch v := value.(type) {
	case *model.Scalar:
		return []metric.Series{{Samples: []metric.Sample{{Time: v.Timestamp.Time(), Value: float64(v.Value)}}}}, nil
	case model.Vector:
		if err := s.CheckCount(len(v)); err != nil {
			return nil, err
		}
		return seriesOfVector(v)
	case model.Matrix:
		if q.Window == 0 {
			return nil, fmt.Errorf("%w: it yields a range of samples: give one that yields a number or a vector, as with avg_over_time", metric.ErrBadQuery)
		}
		if err := s.CheckCount(len(v)); err != nil {
			return nil, err
		}
		return seriesOfMatrix(v, q.Step == 0)
	default:
		return nil, fmt.Errorf("%w: it has no result: is the URL that of the API?", metric.ErrBadResponse)
	}
}

// seriesOfVector are the series of an instant.
func seriesOfVector(vector model.Vector) ([]metric.Series, error) {
	series := make([]metric.Series, len(vector))
	for i, s := range vector {
		switch {
		case s == nil:
			return nil, errNull()
		case s.Histogram != nil:
			return nil, errHistogram()
		}
		series[i] = metric.Series{
			Labels:  labelsOf(s.Metric),
			Samples: []metric.Sample{{Time: s.Timestamp.Time(), Value: float64(s.Value)}},
		}
	}
	return series, nil
}

// seriesOfMatrix are the series of a window, or the newest sample of each.
func seriesOfMatrix(matrix model.Matrix, newest bool) ([]metric.Series, error) {
	series := make([]metric.Series, 0, len(matrix))
	for _, stream := range matrix {
		switch {
		case stream == nil:
			return nil, errNull()
		case len(stream.Histograms) > 0:
			return nil, errHistogram()
		}
		values := stream.Values
		if newest && len(values) > 1 {
			values = values[len(values)-1:]
		}
		if len(values) == 0 {
			continue
		}
		one := metric.Series{Labels: labelsOf(stream.Metric), Samples: make([]metric.Sample, len(values))}
		for i, v := range values {
			one.Samples[i] = metric.Sample{Time: v.Timestamp.Time(), Value: float64(v.Value)}
		}
		series = append(series, one)
	}
	return series, nil
}

func errHistogram() error {
	return fmt.Errorf("%w: it yields a histogram: reduce it to numbers, as with histogram_quantile", metric.ErrBadQuery)
}

func errNull() error {
	return fmt.Errorf("%w: it has a series that is null: is the URL that of the API?", metric.ErrBadResponse)
}

func labelsOf(m model.Metric) map[string]string {
	labels := make(map[string]string, len(m))
	for name, value := range m {
		labels[string(name)] = string(value)
	}
	return labels
}
