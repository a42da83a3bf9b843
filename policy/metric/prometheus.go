package metric

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// prometheus queries a server that speaks the HTTP API of Prometheus
// (https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries).
type prometheus struct {
	api      v1.API
	settings settings
}

// newPrometheus checks the provider and returns what queries it.
func newPrometheus(p Provider, s settings) (Querier, error) {
	u, err := url.Parse(p.URL)
	switch {
	case err != nil:
		return nil, errors.New("the provider's URL is none: give it as http://host:9090")
	case u.User != nil:
		return nil, errors.New("the provider's URL has credentials in it: give them as user and password, or as a token")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("the provider's URL %q is no http or https address: give it as http://host:9090", p.URL)
	case p.BearerToken != "" && (p.User != "" || p.Password != ""):
		return nil, errors.New("the provider has a bearer token and a user: give one of them")
	}
	client, err := api.NewClient(api.Config{Address: p.URL, Client: newClient(p, s)})
	if err != nil {
		return nil, fmt.Errorf("creating the client: %w", err)
	}
	return &prometheus{api: v1.NewAPI(client), settings: s}, nil
}

// Query implements Querier.
func (p *prometheus) Query(ctx context.Context, query string, at time.Time) (Result, error) {
	if strings.TrimSpace(query) == "" {
		return Result{}, fmt.Errorf("%w: it is empty", ErrBadQuery)
	}
	if at.IsZero() {
		return Result{}, fmt.Errorf("%w: it has no time", ErrBadQuery)
	}
	value, warnings, infos, err := p.api.Query(ctx, query, at)
	if err != nil {
		return Result{}, queryError(ctx, err)
	}
	series, err := seriesOf(value)
	if err != nil {
		return Result{}, err
	}
	if err := p.check(series, at); err != nil {
		return Result{}, err
	}
	return Result{Series: series, Warnings: append(warnings, infos...)}, nil
}

// check says whether the series are what may be judged.
func (p *prometheus) check(series []Series, at time.Time) error {
	switch n := len(series); {
	case n == 0:
		return fmt.Errorf("%w: the query yields no sample", ErrNoData)
	case n > p.settings.maxSeries:
		return fmt.Errorf("%w: the query yields %d, and the limit is %d: aggregate them", ErrTooManySeries, n, p.settings.maxSeries)
	case p.settings.maxAge == 0:
		return nil
	}
	for _, s := range series {
		if age := at.Sub(s.Time); age > p.settings.maxAge {
			return fmt.Errorf("%w: a sample is %s old, and the limit is %s", ErrStale, age.Round(time.Second), p.settings.maxAge)
		}
	}
	return nil
}

// seriesOf are the series of an answer.
func seriesOf(value model.Value) ([]Series, error) {
	switch v := value.(type) {
	case *model.Scalar:
		return []Series{{Value: float64(v.Value), Time: v.Timestamp.Time()}}, nil
	case model.Vector:
		series := make([]Series, len(v))
		for i, sample := range v {
			if sample.Histogram != nil {
				return nil, fmt.Errorf("%w: it yields a histogram: reduce it to numbers, as with histogram_quantile", ErrBadQuery)
			}
			series[i] = Series{Labels: labelsOf(sample.Metric), Value: float64(sample.Value), Time: sample.Timestamp.Time()}
		}
		return series, nil
	default:
		return nil, fmt.Errorf("%w: it yields a %s: give one that yields a number or a vector, as with avg_over_time", ErrBadQuery, value.Type())
	}
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
	var answered *v1.Error
	var refused *url.Error
	var network net.Error
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: the server did not answer in time", ErrTimeout)
	case ctx.Err() != nil:
		return fmt.Errorf("the query was cancelled: %w", ctx.Err())
	case errors.As(err, &answered):
		return answerError(answered)
	}
	if errors.As(err, &refused) { // its own text repeats the query
		err = refused.Err
	}
	switch {
	case isTold(err):
		return err
	case errors.As(err, &network) && network.Timeout():
		return fmt.Errorf("%w: the server did not answer in time", ErrTimeout)
	case refused != nil:
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	default:
		return fmt.Errorf("%w: reading the answer: %w", ErrUnreachable, err)
	}
}

// answerError says what an error means that the server's API answers with.
func answerError(e *v1.Error) error {
	switch e.Type {
	case v1.ErrBadData, v1.ErrExec:
		return fmt.Errorf("%w: %s", ErrBadQuery, e.Msg)
	case v1.ErrTimeout, v1.ErrCanceled:
		return fmt.Errorf("%w: the server gave up: %s", ErrTimeout, e.Msg)
	case v1.ErrServer:
		return fmt.Errorf("%w: the server answers %s", ErrUnreachable, e.Msg)
	default:
		return fmt.Errorf("%w: %s: is the URL that of a Prometheus API?", ErrBadResponse, e.Msg)
	}
}
