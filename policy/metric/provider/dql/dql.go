// Package dql asks Dynatrace's Grail in the Dynatrace Query Language
// (https://docs.dynatrace.com/docs/dynatrace-api/platform-api/platform-storage-query-v1).
// It starts a query, and polls until that is done or the context ends. It never
// changes a query: its own timeframe and interval win over those of the question.
package dql

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

const (
	// defaultWindow is the timeframe of a query that has none.
	defaultWindow = 5 * time.Minute
	// firstPoll is the time before the first poll. Each further one takes twice as
	// long, up to lastPoll.
	firstPoll = 50 * time.Millisecond
	lastPoll  = 2 * time.Second
)

// querier is one environment of Dynatrace.
type querier struct {
	client  *http.Client
	execute *url.URL
	poll    *url.URL
	server  connect.Server
}

// New checks the server and returns what queries it. The Secret has, at the key of
// Spec.SecretKeyRef, JSON with an OAuth client's token and, if it is not the
// production's, the URL that gives access tokens:
//
//	{"token": "dt0s08.<id>.<secret>", "authUrl": "https://sso.dynatrace.com/sso/oauth2/token"}
//
// The client needs the scopes storage:metrics:read and environment:roles:viewer.
func New(s connect.Server) (metric.Querier, error) {
	address, err := s.URL("")
	if err != nil {
		return nil, err
	}
	config, err := credentials(s)
	if err != nil {
		return nil, err
	}
	auth, err := s.OAuth2(config)
	if err != nil {
		return nil, err
	}
	client, err := s.Client(auth)
	if err != nil {
		return nil, err
	}
	api := address.JoinPath("platform", "storage", "query", "v1")
	return &querier{client: client, execute: api.JoinPath("query:execute"), poll: api.JoinPath("query:poll"), server: s}, nil
}

// Query implements metric.Querier. Each record is a series: of the values of its
// first array of numbers, or else of its first number. Without a step that is the
// newest value; with one all values, at the times of the record's timeframe and
// interval, so that the step is the query's own. Its labels are the record's
// strings.
func (d *querier) Query(ctx context.Context, q metric.Query) (metric.Result, error) {
	if err := connect.CheckQuery(q); err != nil {
		return metric.Result{}, err
	}
	got, raw, err := d.ask(ctx, q)
	if err != nil {
		return metric.Result{}, queryError(err)
	}
	series, err := got.Result.series(q)
	if err != nil {
		return metric.Result{}, err
	}
	if err := d.server.CheckSeries(series); err != nil {
		return metric.Result{}, err
	}
	return metric.Result{Series: series, Raw: raw, Warnings: got.Result.warnings()}, nil
}

// ask starts the query, and polls until its state is final.
func (d *querier) ask(ctx context.Context, q metric.Query) (answer, []byte, error) {
	r, err := d.start(ctx, q)
	if err != nil {
		return answer{}, nil, err
	}
	var got answer
	raw, err := connect.JSON(d.client, r, &got)
	token, wait := got.RequestToken, firstPoll
	for err == nil && got.running() {
		if token == "" {
			return answer{}, nil, fmt.Errorf("%w: the query runs, but has no request token", metric.ErrBadResponse)
		}
		if err := sleep(ctx, wait); err != nil {
			return answer{}, nil, connect.Error(ctx, err)
		}
		wait = min(2*wait, lastPoll)
		got, raw, err = d.look(ctx, token)
	}
	if err != nil {
		return answer{}, nil, err
	}
	return got, raw, got.stateError()
}

// start is the request that executes the query. The body is Keptn's.
func (d *querier) start(ctx context.Context, q metric.Query) (*http.Request, error) {
	if q.Window == 0 {
		q.Window = defaultWindow
	}
	body, err := json.Marshal(map[string]any{
		"query":                      q.Expr,
		"defaultTimeframeStart":      q.From().UTC().Format(time.RFC3339Nano),
		"defaultTimeframeEnd":        q.At.UTC().Format(time.RFC3339Nano),
		"timezone":                   "UTC",
		"locale":                     "en_US",
		"fetchTimeoutSeconds":        60,
		"requestTimeoutMilliseconds": 1000,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", metric.ErrBadQuery, err)
	}
	return connect.Request(ctx, http.MethodPost, d.execute.String(), bytes.NewReader(body))
}

// look asks what has become of the query with the token.
func (d *querier) look(ctx context.Context, token string) (answer, []byte, error) {
	where := *d.poll
	where.RawQuery = url.Values{"request-token": {token}}.Encode()
	r, err := connect.Request(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return answer{}, nil, err
	}
	var got answer
	raw, err := connect.JSON(d.client, r, &got)
	return got, raw, err
}

// sleep waits, or returns the context's error once that ends.
func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
