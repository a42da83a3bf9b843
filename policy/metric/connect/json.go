package connect

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/keptn/gitops/policy/metric"
)

// JSON sends a request and decodes its answer, which it also returns as it came.
// The statuses that transport does not explain, 3xx and 4xx, are an *Answer; an
// answer that is no JSON is metric.ErrBadResponse.
func JSON(client *http.Client, r *http.Request, into any) (raw []byte, err error) {
	resp, err := client.Do(r)
	if err != nil {
		return nil, Error(r.Context(), err)
	}
	defer resp.Body.Close()
	raw, err = io.ReadAll(resp.Body)
	if err != nil {
		return nil, Error(r.Context(), err)
	}
	if resp.StatusCode/100 != 2 {
		return raw, &Answer{Status: resp.StatusCode, Body: raw[:min(len(raw), maxErrorBytes)]}
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && kind == "text/html" {
		return nil, fmt.Errorf("%w: it is a page and no JSON: is the URL that of the API?", metric.ErrBadResponse)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return nil, fmt.Errorf("%w: it is no JSON of the API's: %w: is the URL that of the API?", metric.ErrBadResponse, err)
	}
	return raw, nil
}

// An Answer is one of a status that only the provider can explain: 4xx, but not
// 401, 403 and 429. Unexplained it is metric.ErrBadResponse.
type Answer struct {
	// Status of HTTP.
	Status int
	// Body is the begin of the body.
	Body []byte
}

// Error names the status.
func (a *Answer) Error() string {
	return fmt.Sprintf("%v: the server answers %d %s: is the URL that of the API?", metric.ErrBadResponse, a.Status, http.StatusText(a.Status))
}

// Is makes it metric.ErrBadResponse.
func (a *Answer) Is(target error) bool { return target == metric.ErrBadResponse }

// Request is a request for JSON that ends with ctx. Its body, if it has one, is
// JSON too.
func Request(ctx context.Context, method, url string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, fmt.Errorf("%w: there is no such request: %w", metric.ErrConfig, err)
	}
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, nil
}
