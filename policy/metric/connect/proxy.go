package connect

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"unicode"

	"github.com/keptn/gitops/policy/metric"
)

// A lookup yields the addresses of a name, as net.Resolver.LookupNetIP does.
type lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

// checkServer refuses a request to a server that may not be reached. Without a
// proxy, the dialer looks at the addresses that a name has. A proxy resolves the
// name itself and looks at nothing, so that its addresses are looked up here: a
// name that has one that is refused, or none that is known, does not go to the
// proxy. Against a name that means another address to the proxy only the proxy's
// own rules help.
func (t *transport) checkServer(r *http.Request) error {
	host := r.URL.Hostname()
	if err := t.addresses.checkHost(host); err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	switch proxy, err := t.base.Proxy(r); {
	case err != nil:
		return fmt.Errorf("%w: the controller's proxy: %w", metric.ErrUnreachable, err)
	case proxy == nil:
		return nil
	case strings.ContainsFunc(host, func(c rune) bool { return c > unicode.MaxASCII }):
		return fmt.Errorf("%w: host %q is written in several ways on its way through the controller's proxy: give it in ASCII, as xn--bcher-kva.example", metric.ErrConfig, host)
	}
	addresses, err := t.lookup(r.Context(), "ip", host)
	switch {
	case r.Context().Err() != nil:
		return r.Context().Err()
	case err != nil:
		return fmt.Errorf("%w: a proxy is asked for known addresses only: %w", metric.ErrUnreachable, err)
	case len(addresses) == 0:
		return fmt.Errorf("%w: a proxy is asked for known addresses only: %s has none", metric.ErrUnreachable, host)
	}
	for _, ip := range addresses {
		if err := t.addresses.check(ip); err != nil {
			return err
		}
	}
	return nil
}
