package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/keptn/gitops/outbound"
)

// names are those that TestAProxy… know.
func names(_ context.Context, _, host string) ([]netip.Addr, error) {
	known := map[string][]string{
		"metadata.google.internal": {"169.254.169.254"},
		"169.254.169.254.nip.io":   {"169.254.169.254"},
		"mixed.example":            {"203.0.113.1", "::1"},
		"mapped.example":           {"::ffff:169.254.169.254"},
		"prometheus.example":       {"203.0.113.1", "2001:db8::1"},
		"prometheus.123":           {"10.0.0.1"},
		"xn--bcher-kva.example":    {"203.0.113.1"},
		"empty.example":            {},
	}
	found, ok := known[host]
	if !ok {
		return nil, errors.New("no such host")
	}
	addresses := make([]netip.Addr, len(found))
	for i, text := range found {
		addresses[i] = netip.MustParseAddr(text)
	}
	return addresses, nil
}

func TestAProxyIsAskedForAllowedAddressesOnly(t *testing.T) {
	cases := map[string]struct {
		reason, host string
		want         error
	}{
		"Metadata":    {"A name that the cloud's own DNS knows.", "metadata.google.internal", outbound.ErrForbidden},
		"NipIO":       {"A name that anybody can have.", "169.254.169.254.nip.io", outbound.ErrForbidden},
		"Mixed":       {"The proxy can take any of the addresses.", "mixed.example", outbound.ErrForbidden},
		"Mapped":      {"IPv4 within IPv6 is the same address.", "mapped.example", outbound.ErrForbidden},
		"Octal":       {"A proxy reads it as inet_aton does.", "0251.0376.0251.0376", outbound.ErrForbidden},
		"Decimal":     {"As one number too.", "2852039166", outbound.ErrForbidden},
		"Hexadecimal": {"Of base 16 as well.", "0xA9FEA9FE", outbound.ErrForbidden},
		"Short":       {"Or of fewer parts.", "169.254.0xa9fe", outbound.ErrForbidden},
		"Dotted":      {"A dot at the end makes no other address.", "169.254.169.254.", outbound.ErrForbidden},
		"Wide":        {"Digits of another width become the usual ones on the way.", "１６９.254.169.254", outbound.ErrForbidden},
		"Literal":     {"An address needs no name.", "169.254.169.254", outbound.ErrForbidden},
		"Unknown":     {"What cannot be looked at is not asked for.", "unknown.example", outbound.ErrUnresolved},
		"Empty":       {"Nor is a name without addresses.", "empty.example", outbound.ErrUnresolved},
		"Allowed":     {"What a proxy is for.", "prometheus.example", nil},
		"Number":      {"A namespace may be a number.", "prometheus.123", nil},
		"Foreign":     {"A name in another script is resolved as it is sent.", "xn--bcher-kva.example", nil},
		"Address":     {"An allowed address is not resolved.", "203.0.113.7", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := 0
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked++
				fmt.Fprint(w, "{}")
			}))
			defer proxy.Close()
			err := ask(t, through(t, proxy.URL, names), "http://"+tc.host+"/api")
			if !errors.Is(err, tc.want) {
				t.Errorf("%s: error %v, want %v", tc.reason, err, tc.want)
			}
			if passed := asked == 1; passed != (tc.want == nil) {
				t.Errorf("%s: the proxy was asked %d times", tc.reason, asked)
			}
		})
	}
}

func TestLookingAServerUpEndsWithTheRequest(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	by := through(t, "http://127.0.0.1:9", func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://prometheus.example", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := by.RoundTrip(r); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("DNS can hang too: %v", err)
	}
}

// through is a Transport behind a proxy.
func through(t *testing.T, proxy string, names func(context.Context, string, string) ([]netip.Addr, error)) *outbound.Transport {
	t.Helper()
	at, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	by := outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}.Transport(&http.Transport{})
	by.Through(at, names)
	return by
}
