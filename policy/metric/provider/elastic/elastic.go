// Package elastic asks Elasticsearch and OpenSearch for a number of a search
// (https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-search).
//
// A query is the JSON of the search. Which number of the answer is meant is its
// metricPath, such as aggregations.latency.value: the query's own top-level key of
// that name, which is not sent, or the argument metricPath. The range of time is
// the search's own. It never writes, and reaches nothing but _search.
//
// It does without Elastic's own client, which refuses servers that do not call
// themselves Elasticsearch, as OpenSearch.
package elastic

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// querier is one cluster.
type querier struct {
	client  *http.Client
	address *url.URL
}

// New checks the server and returns what queries it. The Secret has the keys user
// and password, or an API key at the key of Spec.SecretKeyRef: encoded, as
// Elasticsearch gives it, or as id:api_key.
func New(s connect.Server) (metric.Querier, error) {
	address, err := s.URL("")
	if err != nil {
		return nil, err
	}
	auth, err := authenticator(s)
	if err != nil {
		return nil, err
	}
	client, err := s.Client(auth)
	if err != nil {
		return nil, err
	}
	return &querier{client: client, address: address}, nil
}

// authenticator is connect.Server.Auth, but with an API key in place of a bearer
// token (https://www.elastic.co/docs/deploy-manage/api-keys/elasticsearch-api-keys).
func authenticator(s connect.Server) (connect.Authenticator, error) {
	_, hasUser := s.Secret["user"]
	_, hasPassword := s.Secret["password"]
	if s.Secret == nil || s.Spec.OAuth2 != nil || hasUser && hasPassword {
		return s.Auth()
	}
	key, err := s.Credential()
	if err != nil {
		return nil, fmt.Errorf("%w: put an API key there, or the keys user and password", err)
	}
	if strings.Contains(key, ":") {
		key = base64.StdEncoding.EncodeToString([]byte(key))
	}
	return connect.Header("Authorization", "ApiKey "+key), nil
}

// Query implements metric.Querier. The result is one number, as of q.At. The
// argument index names the indices that are searched, all by default; metricPath
// is the path of the number, and goes before the query's own. There are no steps.
func (e *querier) Query(ctx context.Context, q metric.Query) (metric.Result, error) {
	if err := connect.CheckQuery(q); err != nil {
		return metric.Result{}, err
	}
	if q.Step > 0 {
		return metric.Result{}, fmt.Errorf("%w: it has a step of %s, but a search yields one number: leave out the step", metric.ErrBadQuery, q.Step)
	}
	body, path, err := split(q.Expr)
	if err != nil {
		return metric.Result{}, err
	}
	if given := q.Args["metricPath"]; given != "" {
		path = given
	}
	r, err := e.request(ctx, q.Args["index"], body)
	if err != nil {
		return metric.Result{}, err
	}
	var got answer
	raw, err := connect.JSON(e.client, r, &got)
	if err != nil {
		return metric.Result{}, queryError(err)
	}
	if err := got.partial(); err != nil {
		return metric.Result{}, err
	}
	name, value, err := pick(raw, path)
	if err != nil {
		return metric.Result{}, err
	}
	series := []metric.Series{{Samples: []metric.Sample{{Time: q.At, Value: value}}}}
	return metric.Result{Series: series, Raw: raw, Warnings: got.warnings(name)}, nil
}

// split takes the metricPath out of a query.
func split(expr string) (body []byte, path string, err error) {
	var search map[string]json.RawMessage
	if err := json.Unmarshal([]byte(expr), &search); err != nil {
		return nil, "", fmt.Errorf(`%w: it is no JSON object, as {"size": 0, "aggs": {…}}: %w`, metric.ErrBadQuery, err)
	}
	raw, ok := search["metricPath"]
	if !ok {
		return []byte(expr), "", nil
	}
	if err := json.Unmarshal(raw, &path); err != nil {
		return nil, "", fmt.Errorf("%w: its metricPath is no string", metric.ErrBadQuery)
	}
	delete(search, "metricPath")
	body, err = json.Marshal(search)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", metric.ErrBadQuery, err)
	}
	return body, path, nil
}

// request is the search of an index, or of all of them.
func (e *querier) request(ctx context.Context, index string, body []byte) (*http.Request, error) {
	where := e.address
	switch index {
	case "":
	case ".", "..":
		return nil, fmt.Errorf("%w: its index is %q", metric.ErrBadQuery, index)
	default:
		where = where.JoinPath(url.PathEscape(index))
	}
	return connect.Request(ctx, http.MethodPost, where.JoinPath("_search").String(), bytes.NewReader(body))
}
