package connect

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
)

// Through lets a client of Server.Client reach names by a proxy.
func Through(client *http.Client, proxy *url.URL, names func(ctx context.Context, network, host string) ([]netip.Addr, error)) {
	t := client.Transport.(*transport)
	t.base.Proxy, t.lookup = http.ProxyURL(proxy), names
}
