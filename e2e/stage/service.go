package stage

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
)

// Post posts JSON to an address of a Service, as http://name.namespace:port/path, by way
// of the API server, and returns the status code.
func (c *Cluster) Post(ctx context.Context, address string, header http.Header, body []byte) (int, error) {
	cfg, err := config.GetConfig()
	if err != nil {
		return 0, fmt.Errorf("find the cluster: %w", err)
	}
	caller, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return 0, fmt.Errorf("open the cluster: %w", err)
	}
	to, err := url.Parse(address)
	if err != nil {
		return 0, fmt.Errorf("post to %s: %w", address, err)
	}
	name, namespace, _ := strings.Cut(to.Hostname(), ".")
	proxy := fmt.Sprintf("%s/api/v1/namespaces/%s/services/%s:%s/proxy%s", cfg.Host, namespace, name, to.Port(), to.RequestURI())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, proxy, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("post to %s: %w", address, err)
	}
	req.Header = header.Clone()
	req.Header.Set("Content-Type", "application/json")
	resp, err := caller.Do(req)
	if err != nil {
		return 0, fmt.Errorf("post to %s: %w", address, err)
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}
