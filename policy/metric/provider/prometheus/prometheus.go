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
	series, err := SeriesOf(p.server, value, q)
	if err != nil {
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
		return gaveUp(answered.Msg)
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
	if json.Unmarshal(failure.Body, &answer) == nil && (answer.ErrorType == v1.ErrTimeout || answer.ErrorType == v1.ErrCanceled) {
		return gaveUp(answer.Error)
	}
	return failure
}

// gaveUp is a query that took longer than the server allows. The server is up: it
// says so itself.
func gaveUp(says string) error {
	return &metric.AnsweredError{Err: fmt.Errorf("%w: the server gave up: %s", metric.ErrTimeout, says)}
}
