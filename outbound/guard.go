package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"unicode"
)

// ErrUnresolved is a server whose addresses are not known, so that no proxy is asked for
// it.
var ErrUnresolved = errors.New("a proxy is asked for known addresses only")

// A Transport reaches allowed addresses only, be it through a proxy.
type Transport struct {
	base      *http.Transport
	addresses Addresses
	lookup    lookup
}

var _ http.RoundTripper = (*Transport)(nil)

// A lookup yields the addresses of a name, as net.Resolver.LookupNetIP does.
type lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

// Transport makes base reach allowed addresses only. The base belongs to it from then on,
// and its DialContext is replaced.
func (a Addresses) Transport(base *http.Transport) *Transport {
	base.DialContext = a.Dialer().DialContext
	return &Transport{base: base, addresses: a, lookup: net.DefaultResolver.LookupNetIP}
}

// RoundTrip implements http.RoundTripper. Its error is ErrForbidden where the server may
// not be reached.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.check(r); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	return t.base.RoundTrip(r)
}

// CloseIdleConnections lets http.Client.CloseIdleConnections end what is idle.
func (t *Transport) CloseIdleConnections() { t.base.CloseIdleConnections() }

// check refuses a request to a server that may not be reached. Without a
// proxy, the dialer looks at the addresses that a name has. A proxy resolves the
// name itself and looks at nothing, so that its addresses are looked up here: a
// name that has one that is refused, or none that is known, does not go to the
// proxy. Against a name that means another address to the proxy only the proxy's
// own rules help.
func (t *Transport) check(r *http.Request) error {
	host := r.URL.Hostname()
	if err := t.addresses.CheckHost(host); err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err == nil || t.base.Proxy == nil {
		return nil
	}
	switch proxy, err := t.base.Proxy(r); {
	case err != nil:
		return fmt.Errorf("the proxy: %w", err)
	case proxy == nil:
		return nil
	case strings.ContainsFunc(host, func(c rune) bool { return c > unicode.MaxASCII }):
		return fmt.Errorf("%w: host %q is written in several ways on its way through a proxy: give it in ASCII, as xn--bcher-kva.example", ErrForbidden, host)
	}
	return t.checkName(r.Context(), host)
}

// checkName refuses a name of which any address may not be reached.
func (t *Transport) checkName(ctx context.Context, host string) error {
	addresses, err := t.lookup(ctx, "ip", host)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnresolved, err)
	case len(addresses) == 0:
		return fmt.Errorf("%w: %s has none", ErrUnresolved, host)
	}
	for _, ip := range addresses {
		if err := t.addresses.check(ip); err != nil {
			return err
		}
	}
	return nil
}
