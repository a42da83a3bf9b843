package image

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guard bounds what a registry answers with, and asks none without TLS that may not
// be asked so: neither the registry, nor the server that it sends for a token or for
// a blob.
type guard struct {
	base     http.RoundTripper
	plain    func(host string) bool
	maxBytes int64
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !g.plain(r.URL.Host) {
		return nil, fmt.Errorf("%w: %s", ErrPlainHTTP, r.URL.Host)
	}
	resp, err := g.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.ContentLength > g.maxBytes && r.Method != http.MethodHead {
		resp.Body.Close()
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, resp.ContentLength, g.maxBytes)
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: g.maxBytes, limit: g.maxBytes}
	return resp, nil
}

// boundedBody ends with an error where there is more than may be read.
type boundedBody struct {
	io.ReadCloser
	left, limit int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, fmt.Errorf("%w: at most %d bytes are read", ErrTooLarge, b.limit)
	}
	return n, err
}

// plain says whether a host may be asked without TLS.
func (r *Resolver) plain(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if slices.Contains(r.plainHTTP, host) || slices.Contains(r.plainHTTP, name) {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || err == nil && ip.Unmap().IsLoopback()
}
