package gitsource

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/proxy"

	"github.com/keptn/gitops/gitsource/internal/wire"
	"github.com/keptn/gitops/outbound"
)

// Proxy is a server to go through to a remote; the zero value is none. It never shows its
// user and password.
type Proxy struct{ at *url.URL }

// ProxyFromSecret reads the keys of a Secret as Flux's proxySecretRef does: address, an
// http, https or socks5 URL, and optionally username and password
// (https://fluxcd.io/flux/components/source/gitrepositories/#proxy-secret-reference).
// Errors name the key that is wrong.
func ProxyFromSecret(data map[string][]byte) (Proxy, error) {
	address := strings.TrimSpace(string(data["address"]))
	at, err := url.Parse(address)
	switch {
	case address == "":
		return Proxy{}, errors.New("secret key address: missing; want for example http://proxy.example.com:3128")
	case err != nil || at.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5"}, at.Scheme):
		return Proxy{}, errors.New("secret key address: not an address of a proxy; want for example http://proxy.example.com:3128, or https://…, or socks5://…")
	}
	user, password := string(data["username"]), string(data["password"])
	switch {
	case user == "" && password != "":
		return Proxy{}, errors.New("secret key username: missing; password needs one")
	case password != "":
		at.User = url.UserPassword(user, password)
	case user != "":
		at.User = url.User(user)
	}
	return Proxy{&url.URL{Scheme: at.Scheme, Host: at.Host, User: at.User}}, nil
}

// URL is the proxy's address with its user and password; nil if there is none.
func (p Proxy) URL() *url.URL {
	if p.at == nil {
		return nil
	}
	at := *p.at
	return &at
}

// String is the proxy's address without user and password.
func (p Proxy) String() string {
	if p.at == nil {
		return "no proxy"
	}
	return p.at.Scheme + "://" + p.at.Host
}

// GoString is String.
func (p Proxy) GoString() string { return "gitsource.Proxy{" + p.String() + "}" }

// way tells a way to a remote from others: who names the proxy, and the certificates that
// are trusted behind it, can answer in the remote's stead. It is empty without a proxy.
func (p Proxy) way(c *credentials) string {
	if p.at == nil {
		return ""
	}
	parts := []string{p.at.String()}
	if c != nil {
		parts = append(parts, string(c.ca), string(c.knownHosts))
	}
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%q", parts)))
}

// socksPort is where a SOCKS proxy listens that names no port (RFC 1928, section 3).
const socksPort = "1080"

// dialer makes connections to allowed addresses, through the proxy if there is one, which
// has to be a SOCKS proxy.
func (p Proxy) dialer(addresses outbound.Addresses) (wire.Dialer, error) {
	direct := addresses.Dialer()
	if p.at == nil {
		return direct, nil
	}
	if p.at.Scheme != "socks5" {
		return nil, fmt.Errorf("the proxy %s: an ssh URL takes a socks5:// proxy; or use an https URL", p)
	}
	at := p.at.Host
	if p.at.Port() == "" {
		at = net.JoinHostPort(p.at.Hostname(), socksPort)
	}
	var auth *proxy.Auth
	if user := p.at.User; user != nil {
		auth = &proxy.Auth{User: user.Username()}
		auth.Password, _ = user.Password()
	}
	socks, err := proxy.SOCKS5("tcp", at, auth, direct)
	if err != nil {
		return nil, fmt.Errorf("the proxy %s: %w", p, err)
	}
	through, ok := socks.(proxy.ContextDialer)
	if !ok {
		return nil, fmt.Errorf("the proxy %s: its client cannot be cancelled", p)
	}
	return guarded{addresses, through}, nil
}

// guarded looks at the addresses that a name has before a proxy is asked for it, which
// resolves the name itself: as [outbound.Transport] does.
type guarded struct {
	addresses outbound.Addresses
	next      proxy.ContextDialer
}

// DialContext implements wire.Dialer.
func (g guarded) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	if err := g.addresses.CheckHost(host); err != nil {
		return nil, err
	}
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", outbound.ErrUnresolved, err)
	}
	for _, ip := range all {
		if err := g.addresses.CheckHost(ip.String()); err != nil {
			return nil, err
		}
	}
	return g.next.DialContext(ctx, network, address)
}
