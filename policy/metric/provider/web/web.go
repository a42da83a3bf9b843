// Package web asks any HTTP API that answers in JSON: what is asked is a template,
// and where the number is in the answer is a CEL expression
// (https://github.com/google/cel-spec). Neither can read a credential.
package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// What an API is asked where its administrator does not say.
const (
	defaultPath  = "?query={{.Query}}"
	defaultValue = "body.value"
)

// defaultWindow is what an instant becomes, since the API may know none.
const defaultWindow = 5 * time.Minute

// querier is one server.
type querier struct {
	*http.Client
	server connect.Server
	method string
	base   *url.URL
	path   *template
	body   *template
	value  *value
}

// New checks the server, its templates and its expression, and returns what queries
// it. The Secret's keys are those of connect.Server.Auth.
func New(s connect.Server) (metric.Querier, error) {
	base, err := s.URL("")
	if err != nil {
		return nil, err
	}
	q := &querier{server: s, base: base}
	spec := s.Spec.HTTP
	if spec == nil {
		spec = &metricsv1.HTTPProvider{}
	}
	if err := q.compile(spec); err != nil {
		return nil, err
	}
	auth, err := s.Auth()
	if err != nil {
		return nil, err
	}
	if q.Client, err = s.Client(auth); err != nil {
		return nil, err
	}
	return q, nil
}

// compile reads what the administrator wrote.
func (w *querier) compile(spec *metricsv1.HTTPProvider) (err error) {
	w.method = cmp.Or(spec.Method, http.MethodGet)
	if w.method != http.MethodGet && w.method != http.MethodPost {
		return fmt.Errorf("%w: its http.method is neither GET nor POST", metric.ErrConfig)
	}
	if w.method == http.MethodGet && spec.Body != "" {
		return fmt.Errorf("%w: its http.body goes with http.method POST only", metric.ErrConfig)
	}
	if w.path, err = parseTemplate("http.path", cmp.Or(spec.Path, defaultPath), url.QueryEscape); err != nil {
		return err
	}
	if w.body, err = parseTemplate("http.body", spec.Body, escapeJSON); err != nil {
		return err
	}
	if w.value, err = compileValue(cmp.Or(spec.Value, defaultValue)); err != nil {
		return err
	}
	_, err = w.address(metric.Query{Expr: "x", At: time.Unix(0, 0)})
	return err
}

// escapeJSON is a text as it stands within the quotes of a JSON string.
func escapeJSON(text string) string {
	quoted, _ := json.Marshal(text) //nolint:errchkjson // every text can be JSON
	return string(quoted[1 : len(quoted)-1])
}

// Query implements metric.Querier. Each series has one value, which is given the
// time that is asked about.
func (w *querier) Query(ctx context.Context, q metric.Query) (metric.Result, error) {
	if err := connect.CheckQuery(q); err != nil {
		return metric.Result{}, err
	}
	if q.Step > 0 {
		return metric.Result{}, fmt.Errorf("%w: a provider of type http knows no step: leave it out", metric.ErrBadQuery)
	}
	q.Window = cmp.Or(q.Window, defaultWindow)
	r, err := w.request(ctx, q)
	if err != nil {
		return metric.Result{}, err
	}
	var body any
	raw, err := connect.JSON(w.Client, r, &body)
	if err != nil {
		return metric.Result{}, queryError(err)
	}
	series, err := w.value.series(ctx, body, q.At)
	if err != nil {
		return metric.Result{}, err
	}
	if err := w.server.CheckSeries(series); err != nil {
		return metric.Result{}, err
	}
	return metric.Result{Series: series, Raw: raw}, nil
}

// request is what the templates make of a query.
func (w *querier) request(ctx context.Context, q metric.Query) (*http.Request, error) {
	address, err := w.address(q)
	if err != nil {
		return nil, err
	}
	if w.method == http.MethodGet {
		return connect.Request(ctx, w.method, address, nil)
	}
	text, err := w.body.render(q)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if text != "" {
		body = strings.NewReader(text)
	}
	return connect.Request(ctx, w.method, address, body)
}

// address is the URL of a query. It never leaves the server's scheme and host,
// whatever a template makes of a query.
func (w *querier) address(q metric.Query) (string, error) {
	path, err := w.path.render(q)
	if err != nil {
		return "", err
	}
	base := w.base.String()
	if strings.HasPrefix(path, "/") {
		base = strings.TrimSuffix(base, "/")
	}
	u, err := url.Parse(base + path)
	if err != nil || u.Scheme != w.base.Scheme || u.Host != w.base.Host || u.User != nil {
		return "", fmt.Errorf("%w: its http.path makes no URL of the targetServer: begin it with / or ?", metric.ErrConfig)
	}
	return u.String(), nil
}

// queryError says of a failed query which error it is. The answer is not repeated:
// an unknown API's can hold what was sent.
func queryError(err error) error {
	var refused *connect.Answer
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: the server answers %d %s", metric.ErrBadQuery, refused.Status, http.StatusText(refused.Status))
	default:
		return err
	}
}
