package outbound

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
)

// Through lets a Transport reach names by a proxy.
func (t *Transport) Through(proxy *url.URL, names func(ctx context.Context, network, host string) ([]netip.Addr, error)) {
	t.base.Proxy, t.lookup = http.ProxyURL(proxy), names
}
