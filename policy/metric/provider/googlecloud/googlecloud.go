// Package googlecloud asks Google Cloud Monitoring for metrics, in PromQL, by its
// Prometheus-compatible API
// (https://cloud.google.com/monitoring/api/ref_v3/rest/v1/projects.location.prometheus.api.v1/query).
//
// It reads only, of one project and its metrics scope. Of Google's kinds of
// credentials a Secret may hold but one, a service account's key: the others can
// name files, programs and URLs of the controller's machine to read. It uses the
// identity that the process has in Google Cloud only where connect.Server.Ambient
// lets it, and shows it to nobody but Google.
//
// The generated client, google.golang.org/api/monitoring/v1, is not used: it
// decodes an answer as an HttpBody, which none is, and so loses it.
package googlecloud

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// A cloud is where Google Cloud is.
type cloud struct {
	// endpoint is that of the Monitoring API.
	endpoint string
	// domain is what all addresses of its APIs end with.
	domain string
}

// public is Google Cloud itself.
func public() cloud {
	return cloud{endpoint: "https://monitoring.googleapis.com", domain: "googleapis.com"}
}

// querier is a project's metrics.
type querier struct {
	client *http.Client
	tokens *tokens
	server connect.Server
	// api is where the project's API of Prometheus begins.
	api string
}

// New checks the server and returns what queries the project of Spec.GoogleCloud.
// Spec.TargetServer replaces https://monitoring.googleapis.com, as an endpoint of
// Private Service Connect does. The Secret holds a service account's key, as
// Google's JSON, at the key that Spec.SecretKeyRef names; the account needs the
// role roles/monitoring.viewer.
func New(s connect.Server) (metric.Querier, error) { return open(s, public()) }

func open(s connect.Server, c cloud) (metric.Querier, error) {
	if s.Spec.GoogleCloud == nil || strings.Trim(s.Spec.GoogleCloud.Project, ".") == "" {
		return nil, fmt.Errorf("%w: it needs a project: give its ID in googleCloud.project", metric.ErrConfig)
	}
	base, err := s.URL(c.endpoint)
	if err != nil {
		return nil, err
	}
	held, err := tokensOf(s, c, base)
	if err != nil {
		return nil, err
	}
	client, err := s.Client(nil)
	if err != nil {
		return nil, err
	}
	path := "v1/projects/" + url.PathEscape(s.Spec.GoogleCloud.Project) + "/location/global/prometheus/api/v1/"
	return &querier{client: client, tokens: held, server: s, api: strings.TrimSuffix(base.String(), "/") + "/" + path}, nil
}

// Query implements metric.Querier. Expr is PromQL. Without a step, a window yields
// its newest samples.
func (p *querier) Query(ctx context.Context, q metric.Query) (metric.Result, error) {
	if err := connect.CheckQuery(q); err != nil {
		return metric.Result{}, err
	}
	r, err := p.request(ctx, q)
	if err != nil {
		return metric.Result{}, err
	}
	var a answer
	if _, err := connect.JSON(p.client, r, &a); err != nil {
		return metric.Result{}, answerError(err)
	}
	if a.Status != "success" {
		return metric.Result{}, a.failure()
	}
	series, err := a.Data.series(q)
	if err != nil {
		return metric.Result{}, err
	}
	if err := p.server.CheckSeries(series); err != nil {
		return metric.Result{}, err
	}
	return metric.Result{Series: series, Raw: a.Data.Result, Warnings: append(a.Warnings, a.Infos...)}, nil
}

// A question is a QueryInstantRequest, or a QueryRangeRequest
// (https://cloud.google.com/monitoring/api/ref_v3/rest/v1/projects.location.prometheus.api.v1/query_range).
type question struct {
	Query string `json:"query"`
	Time  string `json:"time,omitempty"`
	Start string `json:"start,omitempty"`
	End   string `json:"end,omitempty"`
	// Step is in seconds.
	Step string `json:"step,omitempty"`
}

// request asks for an instant, or for a window: its samples each step, or else
// those at its begin and its end.
func (p *querier) request(ctx context.Context, q metric.Query) (*http.Request, error) {
	method, asked := "query", question{Query: q.Expr, Time: timestamp(q.At)}
	if q.Window > 0 {
		step := q.Step
		if step == 0 {
			step = q.Window
		}
		method, asked = "query_range", question{
			Query: q.Expr, Start: timestamp(q.From()), End: timestamp(q.At),
			Step: strconv.FormatFloat(step.Seconds(), 'f', -1, 64),
		}
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", metric.ErrBadQuery, err)
	}
	token, err := p.tokens.token(ctx)
	if err != nil {
		return nil, err
	}
	r, err := connect.Request(ctx, http.MethodPost, p.api+method, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r, nil
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
