// Package prometheus asks servers that speak the HTTP API of Prometheus
// (https://prometheus.io/docs/prometheus/latest/querying/api/): Prometheus, Thanos,
// Cortex, Mimir and VictoriaMetrics.
package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// querier is one server.
type querier struct {
	*http.Client
	api    v1.API
	server connect.Server
}

// New checks the server and returns what queries it. The Secret's keys are those
// of connect.Server.Auth.
func New(s connect.Server) (metric.Querier, error) {
	address, err := s.URL("")
	if err != nil {
		return nil, err
	}
	auth, err := s.Auth()
	if err != nil {
		return nil, err
	}
	connection, err := s.Client(auth)
	if err != nil {
		return nil, err
	}
	client, err := api.NewClient(api.Config{Address: address.String(), Client: connection})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", metric.ErrConfig, err)
	}
	return &querier{Client: connection, api: v1.NewAPI(client), server: s}, nil
}

// Query implements metric.Querier. Without a step, a window yields its newest
// samples.
func (p *querier) Query(ctx context.Context, q metric.Query) (metric.Result, error) {
	if err := connect.CheckQuery(q); err != nil {
		return metric.Result{}, err
	}
	value, warnings, infos, err := p.ask(ctx, q)
	if err != nil {
		return metric.Result{}, queryError(ctx, err)
	}
	series, err := SeriesOf(value, q)
	if err != nil {
		return metric.Result{}, err
	}
	if err := p.server.CheckSeries(series); err != nil {
		return metric.Result{}, err
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return metric.Result{}, fmt.Errorf("%w: %w", metric.ErrBadResponse, err)
	}
	return metric.Result{Series: series, Raw: raw, Warnings: append(warnings, infos...)}, nil
}

// steps is how many steps a window has whose newest sample is asked for.
const steps = 60

// ask asks for an instant, or for a window: its samples each step, or else as many
// as it takes to find the newest of each series. The last step ends with the window.
func (p *querier) ask(ctx context.Context, q metric.Query) (model.Value, v1.Warnings, v1.Infos, error) {
	if q.Window == 0 {
		return p.api.Query(ctx, q.Expr, q.At)
	}
	window := v1.Range{Start: q.From(), End: q.At, Step: q.Step}
	if q.Step == 0 {
		window.Step = max((q.Window / steps).Round(time.Second), time.Second)
		window.Start = q.At.Add(-q.Window.Truncate(window.Step))
	}
	return p.api.QueryRange(ctx, q.Expr, window)
}

// SeriesOf are the series of an answer, which is a scalar, a vector or a matrix. A
// matrix that answers a query without a step yields the newest sample of each; that
// of a series that ended within the window keeps its own time.
func SeriesOf(value model.Value, q metric.Query) ([]metric.Series, error) {
	switch v := value.(type) {
	case *model.Scalar:
		return []metric.Series{{Samples: []metric.Sample{{Time: v.Timestamp.Time(), Value: float64(v.Value)}}}}, nil
	case model.Vector:
		return seriesOfVector(v)
	case model.Matrix:
		if q.Window == 0 {
			return nil, fmt.Errorf("%w: it yields a range of samples: give one that yields a number or a vector, as with avg_over_time", metric.ErrBadQuery)
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

// queryError says of a failed query which error it is.
func queryError(ctx context.Context, err error) error {
	var failure *connect.Failure
	if errors.As(err, &failure) {
		return failureError(failure)
	}
	var answered *v1.Error
	if ctx.Err() != nil || !errors.As(err, &answered) {
		return connect.Error(ctx, err)
	}
	switch answered.Type {
	case v1.ErrBadData, v1.ErrExec:
		return fmt.Errorf("%w: %s", metric.ErrBadQuery, answered.Msg)
	case v1.ErrTimeout, v1.ErrCanceled:
		return fmt.Errorf("%w: the server gave up: %s", metric.ErrTimeout, answered.Msg)
	case v1.ErrServer:
		return fmt.Errorf("%w: the server answers %s", metric.ErrUnreachable, answered.Msg)
	default:
		return fmt.Errorf("%w: %s: is the URL that of a Prometheus API?", metric.ErrBadResponse, answered.Msg)
	}
}

// failureError is that the query took longer than the server allows, where it says
// so, or else the failure.
func failureError(failure *connect.Failure) error {
	var answer struct {
		ErrorType v1.ErrorType `json:"errorType"`
		Error     string       `json:"error"`
	}
	if err := json.Unmarshal(failure.Body, &answer); err != nil || answer.ErrorType != v1.ErrTimeout {
		return failure
	}
	return fmt.Errorf("%w: the server gave up: %s", metric.ErrTimeout, answer.Error)
}
