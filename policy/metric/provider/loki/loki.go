// Package loki asks metric queries over logs of servers that speak the HTTP API of
// Grafana Loki (https://grafana.com/docs/loki/latest/reference/loki-http-api/), and
// shows the newest log lines behind a number that is above 0 where these are asked
// for. It asks for no other lines, and writes none.
package loki

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider/prometheus"
)

// querier is one server.
type querier struct {
	*http.Client
	server connect.Server
	base   *url.URL
}

// New checks the server and returns what queries it. The Secret's keys are those
// of connect.Server.Auth; a tenant is named by the header X-Scope-OrgID.
func New(s connect.Server) (metric.Querier, error) {
	base, err := s.URL("")
	if err != nil {
		return nil, err
	}
	auth, err := s.Auth()
	if err != nil {
		return nil, err
	}
	client, err := s.Client(auth)
	if err != nil {
		return nil, err
	}
	return &querier{Client: client, server: s, base: base.JoinPath("/loki/api/v1")}, nil
}

// Query implements metric.Querier. Without a step, a window yields its newest
// samples.
func (l *querier) Query(ctx context.Context, q metric.Query) (metric.Result, error) {
	if err := connect.CheckQuery(q); err != nil {
		return metric.Result{}, err
	}
	answer, err := l.ask(ctx, q)
	if err != nil {
		return metric.Result{}, err
	}
	value, err := answer.value()
	if err != nil {
		return metric.Result{}, err
	}
	series, err := prometheus.SeriesOf(l.server, value, q)
	if err != nil {
		return metric.Result{}, err
	}
	result := metric.Result{Series: series, Raw: answer.Data.Result, Warnings: answer.Warnings}
	l.addLines(ctx, q, &result)
	return result, nil
}

// ask asks for an instant, or for a window: its samples each step, or else those
// at its begin and its end.
func (l *querier) ask(ctx context.Context, q metric.Query) (*answer, error) {
	if q.Window == 0 {
		return l.get(ctx, "query", url.Values{"query": {q.Expr}, "time": {nanoseconds(q.At)}})
	}
	step := q.Step
	if step == 0 {
		step = q.Window
	}
	return l.get(ctx, "query_range", url.Values{
		"query": {q.Expr}, "start": {nanoseconds(q.From())}, "end": {nanoseconds(q.At)},
		"step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	})
}

// get asks one endpoint.
func (l *querier) get(ctx context.Context, endpoint string, params url.Values) (*answer, error) {
	at := l.base.JoinPath(endpoint)
	at.RawQuery = params.Encode()
	r, err := connect.Request(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	a := new(answer)
	if _, err := connect.JSON(l.Client, r, a); err != nil {
		return nil, queryError(err)
	}
	if a.Status != "success" {
		return nil, fmt.Errorf("%w: it is no answer of Loki's: is the URL that of the API?", metric.ErrBadResponse)
	}
	return a, nil
}

// nanoseconds since 1970, as the API takes them.
func nanoseconds(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

// An answer is the API's envelope.
type answer struct {
	Status string `json:"status"`
	Data   struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	} `json:"data"`
	Warnings []string `json:"warnings"`
}

// value is the result of a metric query, which has Prometheus's shapes.
func (a *answer) value() (model.Value, error) {
	var value model.Value
	switch kind := a.Data.ResultType; kind {
	case "scalar":
		value = new(model.Scalar)
	case "vector":
		value = new(model.Vector)
	case "matrix":
		value = new(model.Matrix)
	case "streams":
		return nil, errLogQuery()
	default:
		return nil, fmt.Errorf("%w: a result of type %.40q: is the URL that of Loki?", metric.ErrBadResponse, kind)
	}
	if err := json.Unmarshal(a.Data.Result, value); err != nil {
		return nil, fmt.Errorf("%w: it is no %s: %w", metric.ErrBadResponse, a.Data.ResultType, err)
	}
	switch v := value.(type) {
	case *model.Vector:
		return *v, nil
	case *model.Matrix:
		return *v, nil
	default:
		return value, nil
	}
}

func errLogQuery() error {
	return fmt.Errorf("%w: it yields log lines: count them, as with count_over_time", metric.ErrBadQuery)
}

// queryError says of a failed query which error it is. Loki explains a status in
// plain text.
func queryError(err error) error {
	var refused *connect.Answer
	var failure *connect.Failure
	switch {
	case errors.As(err, &failure) && isOwnTimeout(failure):
		return &metric.AnsweredError{Err: fmt.Errorf("%w: the server gave up: %s", metric.ErrTimeout, clean(string(failure.Body)))}
	case errors.As(err, &failure) && failure.Status == http.StatusGatewayTimeout:
		return fmt.Errorf("%w: the server gave up: %s", metric.ErrTimeout, clean(string(failure.Body)))
	case !errors.As(err, &refused), refused.Status != http.StatusBadRequest && refused.Status != http.StatusUnprocessableEntity:
		return err
	}
	message := clean(string(refused.Body))
	switch {
	case strings.Contains(message, "of series") && strings.Contains(message, "reached"):
		return fmt.Errorf("%w: %s", metric.ErrTooManySeries, message)
	case strings.HasPrefix(message, "log queries are not supported"):
		return errLogQuery()
	default:
		return fmt.Errorf("%w: %s", metric.ErrBadQuery, message)
	}
}

// isOwnTimeout says whether Loki itself ended a query, and not a proxy before it: by
// its text (https://github.com/grafana/loki/blob/main/pkg/util/server/error.go).
func isOwnTimeout(failure *connect.Failure) bool {
	return failure.Status == http.StatusGatewayTimeout &&
		strings.HasPrefix(strings.ToLower(string(failure.Body)), "request timed out")
}
