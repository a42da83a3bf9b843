// Package dynatrace asks the metrics API v2 of Dynatrace for data points
// (https://docs.dynatrace.com/docs/shortlink/api-metrics-v2-get-datapoints). Its
// query language, DQL, is the matter of package dql. It never sends metrics.
package dynatrace

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// defaultWindow is the window of a query that has none: the API knows no instant.
const defaultWindow = 5 * time.Minute

// querier is one environment of Dynatrace.
type querier struct {
	client *http.Client
	query  *url.URL
	server connect.Server
}

// New checks the server and returns what queries it. The Secret has an API token
// with the scope metrics.read at the key of Spec.SecretKeyRef.
func New(s connect.Server) (metric.Querier, error) {
	address, err := s.URL("")
	if err != nil {
		return nil, err
	}
	token, err := s.Credential()
	if err != nil {
		return nil, err
	}
	client, err := s.Client(connect.Header("Authorization", "Api-Token "+token))
	if err != nil {
		return nil, err
	}
	return &querier{client: client, query: endpoint(address), server: s}, nil
}

// endpoint is where data points are asked for. The server's address may, but need
// not, end in /api.
func endpoint(address *url.URL) *url.URL {
	if !strings.HasSuffix(strings.TrimSuffix(address.Path, "/"), "/api") {
		address = address.JoinPath("api")
	}
	return address.JoinPath("v2", "metrics", "query")
}

// Query implements metric.Querier. Without a step, the value of a series is the
// mean of its values, at the time of the newest. Overall is the mean of all values
// of all series, as in Keptn.
func (d *querier) Query(ctx context.Context, q metric.Query) (metric.Result, error) {
	if err := connect.CheckQuery(q); err != nil {
		return metric.Result{}, err
	}
	if q.Step%time.Minute != 0 {
		return metric.Result{}, fmt.Errorf("%w: it has a step of %s: Dynatrace takes whole minutes", metric.ErrBadQuery, q.Step)
	}
	if q.Window == 0 {
		q.Window = defaultWindow
	}
	r, err := d.request(ctx, q)
	if err != nil {
		return metric.Result{}, err
	}
	var got answer
	raw, err := connect.JSON(d.client, r, &got)
	if err != nil {
		return metric.Result{}, queryError(err)
	}
	series, err := got.series()
	if err != nil {
		return metric.Result{}, err
	}
	if err := d.server.CheckSeries(series); err != nil {
		return metric.Result{}, err
	}
	overall, err := metric.Avg.ReduceAll(series)
	if err != nil {
		return metric.Result{}, err
	}
	if q.Step == 0 {
		if series, err = means(series); err != nil {
			return metric.Result{}, err
		}
	}
	return metric.Result{Series: series, Overall: &overall, Raw: raw, Warnings: got.warnings()}, nil
}

// request asks for the window, in milliseconds since 1970.
func (d *querier) request(ctx context.Context, q metric.Query) (*http.Request, error) {
	values := url.Values{
		"metricSelector": {q.Expr},
		"from":           {strconv.FormatInt(q.From().UnixMilli(), 10)},
		"to":             {strconv.FormatInt(q.At.UnixMilli(), 10)},
	}
	if q.Step > 0 {
		values.Set("resolution", strconv.FormatInt(int64(q.Step/time.Minute), 10)+"m")
	}
	where := *d.query
	where.RawQuery = values.Encode()
	return connect.Request(ctx, http.MethodGet, where.String(), nil)
}

// means are the series, each with the mean of its samples.
func means(series []metric.Series) ([]metric.Series, error) {
	reduced := make([]metric.Series, len(series))
	for i, s := range series {
		mean, err := metric.Avg.Reduce(s.Samples)
		if err != nil {
			return nil, err
		}
		reduced[i] = metric.Series{Labels: s.Labels, Samples: []metric.Sample{{Time: s.Last().Time, Value: mean}}}
	}
	return reduced, nil
}
