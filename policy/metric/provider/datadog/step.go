package datadog

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// stepKey is where a context carries the time between two points.
type stepKey struct{}

// withStep asks for a point each step. 0 leaves the choice to Datadog.
func withStep(ctx context.Context, step time.Duration) context.Context {
	return context.WithValue(ctx, stepKey{}, step)
}

// stepped adds to a query the parameter interval, in milliseconds, as Keptn sends
// it. Datadog's client has no argument for it.
type stepped struct{ base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (s stepped) RoundTrip(r *http.Request) (*http.Response, error) {
	if step, _ := r.Context().Value(stepKey{}).(time.Duration); step > 0 {
		r = r.Clone(r.Context())
		values := r.URL.Query()
		values.Set("interval", strconv.FormatInt(step.Milliseconds(), 10))
		r.URL.RawQuery = values.Encode()
	}
	return s.base.RoundTrip(r)
}

// CloseIdleConnections lets http.Client.CloseIdleConnections end what is idle.
func (s stepped) CloseIdleConnections() {
	if base, ok := s.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}
