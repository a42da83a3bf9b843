// Package datadog asks Datadog for the points of a metrics query
// (https://docs.datadoghq.com/api/latest/metrics/query-timeseries-points/), with
// Datadog's own client. It never sends anything else there: no metric, no event.
package datadog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/DataDog/datadog-api-client-go/v2/api/datadog"
	"github.com/DataDog/datadog-api-client-go/v2/api/datadogV1"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// defaultWindow is the window of a query that has none: Datadog knows no instant.
const defaultWindow = 5 * time.Minute

// querier is one site of Datadog, with one organisation's keys.
type querier struct {
	api    *datadogV1.MetricsApi
	server connect.Server
}

// New checks the server and returns what queries it. The Secret has the keys
// DD_CLIENT_API_KEY and DD_CLIENT_APP_KEY
// (https://docs.datadoghq.com/api/latest/authentication/).
func New(s connect.Server) (metric.Querier, error) {
	address, err := s.URL("")
	if err != nil {
		return nil, err
	}
	auth, err := keys(s)
	if err != nil {
		return nil, err
	}
	client, err := s.Client(auth)
	if err != nil {
		return nil, err
	}
	client.Transport = stepped{client.Transport}
	config := datadog.NewConfiguration()
	config.Servers = datadog.ServerConfigurations{{URL: strings.TrimSuffix(address.String(), "/")}}
	config.HTTPClient = client
	config.RetryConfiguration.EnableRetry = false
	return &querier{api: datadogV1.NewMetricsApi(datadog.NewAPIClient(config)), server: s}, nil
}

// keys authenticates with the two keys of the Secret.
func keys(s connect.Server) (connect.Authenticator, error) {
	api, err := s.Value("DD_CLIENT_API_KEY")
	if err != nil {
		return nil, err
	}
	app, err := s.Value("DD_CLIENT_APP_KEY")
	if err != nil {
		return nil, err
	}
	return func(r *http.Request) error {
		r.Header.Set("DD-API-KEY", api)
		r.Header.Set("DD-APPLICATION-KEY", app)
		return nil
	}, nil
}

// Query implements metric.Querier. Without a step, the value of a series is the
// mean of its points, as in Keptn, at the time of the newest.
func (d *querier) Query(ctx context.Context, q metric.Query) (metric.Result, error) {
	if err := connect.CheckQuery(q); err != nil {
		return metric.Result{}, err
	}
	if q.Window == 0 {
		q.Window = defaultWindow
	}
	answer, response, err := d.api.QueryMetrics(withStep(ctx, q.Step), q.From().Unix(), q.At.Unix(), q.Expr)
	if response != nil {
		defer response.Body.Close()
	}
	if err != nil {
		return metric.Result{}, queryError(ctx, response, err)
	}
	if message := answer.GetError(); message != "" || answer.GetStatus() == "error" {
		return metric.Result{}, fmt.Errorf("%w: %s", metric.ErrBadQuery, cmp.Or(message, "Datadog does not say why"))
	}
	series, err := seriesOf(answer, q.Step == 0)
	if err != nil {
		return metric.Result{}, err
	}
	if err := d.server.CheckSeries(series); err != nil {
		return metric.Result{}, err
	}
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return metric.Result{}, connect.Error(ctx, err)
	}
	first := series[0].Last().Value
	return metric.Result{Series: series, Overall: &first, Raw: raw}, nil
}

// seriesOf are the series of an answer that have points: all of them, or their
// mean.
func seriesOf(answer datadogV1.MetricsQueryResponse, mean bool) ([]metric.Series, error) {
	if answer.UnparsedObject != nil || answer.Status == nil && answer.Series == nil {
		return nil, errForm()
	}
	series := make([]metric.Series, 0, len(answer.Series))
	for _, one := range answer.Series {
		samples, err := samplesOf(one)
		if err != nil {
			return nil, err
		}
		if len(samples) == 0 {
			continue
		}
		if mean {
			value, err := metric.Avg.Reduce(samples)
			if err != nil {
				return nil, err
			}
			samples = []metric.Sample{{Time: samples[len(samples)-1].Time, Value: value}}
		}
		series = append(series, metric.Series{Labels: labelsOf(one), Samples: samples})
	}
	return series, nil
}

// samplesOf are the points of a series that have a value, in the order of time. A
// point is the milliseconds since 1970, and a value or null.
func samplesOf(one datadogV1.MetricsQueryMetadata) ([]metric.Sample, error) {
	if one.UnparsedObject != nil {
		return nil, errForm()
	}
	samples := make([]metric.Sample, 0, len(one.Pointlist))
	for _, point := range one.Pointlist {
		if len(point) != 2 || point[0] == nil {
			return nil, errForm()
		}
		if point[1] != nil {
			at := time.UnixMilli(int64(*point[0])).UTC()
			samples = append(samples, metric.Sample{Time: at, Value: *point[1]})
		}
	}
	slices.SortStableFunc(samples, func(a, b metric.Sample) int { return a.Time.Compare(b.Time) })
	return samples, nil
}

// labelsOf are the tags that tell a series from the others, and its metric's name.
func labelsOf(one datadogV1.MetricsQueryMetadata) map[string]string {
	labels := make(map[string]string, len(one.TagSet)+1)
	for _, tag := range one.TagSet {
		name, value, _ := strings.Cut(tag, ":")
		labels[name] = value
	}
	if name := one.GetMetric(); name != "" {
		labels["__name__"] = name
	}
	return labels
}

func errForm() error {
	return fmt.Errorf("%w: it has not the form of Datadog's: is targetServer the URL of its API, as https://api.datadoghq.eu?", metric.ErrBadResponse)
}

// queryError says of a failed query which error it is.
func queryError(ctx context.Context, response *http.Response, err error) error {
	var answered datadog.GenericOpenAPIError
	if response == nil || !errors.As(err, &answered) {
		return connect.Error(ctx, err)
	}
	if response.StatusCode/100 == 2 {
		return errForm()
	}
	model, ok := answered.ErrorModel.(datadogV1.APIErrorResponse)
	if !ok || len(model.Errors) == 0 {
		return &connect.Answer{Status: response.StatusCode}
	}
	return fmt.Errorf("%w: %s", metric.ErrBadQuery, strings.Join(model.Errors, "; "))
}
