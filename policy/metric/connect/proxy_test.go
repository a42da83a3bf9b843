package connect_test

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

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
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
		"Metadata":    {"A name that the cloud's own DNS knows.", "metadata.google.internal", metric.ErrForbiddenAddress},
		"NipIO":       {"A name that anybody can have.", "169.254.169.254.nip.io", metric.ErrForbiddenAddress},
		"Mixed":       {"The proxy can take any of the addresses.", "mixed.example", metric.ErrForbiddenAddress},
		"Mapped":      {"IPv4 within IPv6 is the same address.", "mapped.example", metric.ErrForbiddenAddress},
		"Octal":       {"A proxy reads it as inet_aton does.", "0251.0376.0251.0376", metric.ErrForbiddenAddress},
		"Decimal":     {"As one number too.", "2852039166", metric.ErrForbiddenAddress},
		"Hexadecimal": {"Of base 16 as well.", "0xA9FEA9FE", metric.ErrForbiddenAddress},
		"Short":       {"Or of fewer parts.", "169.254.0xa9fe", metric.ErrForbiddenAddress},
		"Dotted":      {"A dot at the end makes no other address.", "169.254.169.254.", metric.ErrForbiddenAddress},
		"Wide":        {"Digits of another width become the usual ones on the way.", "１６９.254.169.254", metric.ErrConfig},
		"Literal":     {"An address needs no name.", "169.254.169.254", metric.ErrForbiddenAddress},
		"Unknown":     {"What cannot be looked at is not asked for.", "unknown.example", metric.ErrUnreachable},
		"Empty":       {"Nor is a name without addresses.", "empty.example", metric.ErrUnreachable},
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
			err := askBy(t, through(t, proxy.URL, names), "http://"+tc.host+"/api")
			if !errors.Is(err, tc.want) {
				t.Errorf("%s: error %v, want %v", tc.reason, err, tc.want)
			}
			if passed := asked == 1; passed != (tc.want == nil) {
				t.Errorf("%s: the proxy was asked %d times", tc.reason, asked)
			}
		})
	}
}

func TestLookingAServerUpEndsWithTheQuery(t *testing.T) {
	client := through(t, "http://127.0.0.1:9", func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	r, err := connect.Request(ctx, http.MethodGet, "http://prometheus.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = connect.JSON(client, r, new(any))
	wantError(t, "DNS can hang too.", err, metric.ErrTimeout, "in time")
}

// through is a client behind a proxy.
func through(t *testing.T, proxy string, names func(context.Context, string, string) ([]netip.Addr, error)) *http.Client {
	t.Helper()
	client, err := connect.Server{Addresses: local()}.Client(nil)
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	connect.Through(client, at, names)
	return client
}
