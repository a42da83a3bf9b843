package connect

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/keptn/gitops/policy/metric"
)

// Addresses say which addresses a provider may have. Loopback, unspecified,
// link-local and multicast ones, and those of metadata services, are refused unless
// they are in Allowed: what trusts its own host, and what hands out a cloud's
// credentials, live there. All others may be reached, private networks among them.
type Addresses struct {
	// Allowed are networks that may be reached although they are refused by
	// default.
	Allowed []netip.Prefix
}

// dialTimeout is how long a connection may take to be made.
const dialTimeout = 10 * time.Second

// metadata are the addresses of metadata services that are not link-local: of
// Amazon and Google over IPv6, Alibaba, Oracle and Azure.
func metadata() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("fd00:ec2::/32"),
		netip.MustParsePrefix("fd20:ce::254/128"),
		netip.MustParsePrefix("100.100.100.200/32"),
		netip.MustParsePrefix("192.0.0.192/32"),
		netip.MustParsePrefix("168.63.129.16/32"),
	}
}

// dialer connects to allowed addresses only. It looks at them once names are
// resolved, so that no name can lead elsewhere.
func (a Addresses) dialer() *net.Dialer {
	return &net.Dialer{
		Timeout:   dialTimeout,
		KeepAlive: 30 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return fmt.Errorf("address %q: %w", address, err)
			}
			return a.checkHost(host)
		},
	}
}

// checkHost refuses a host that is an address that may not be reached, or a number
// that others take for one. A name is looked at once it is resolved.
func (a Addresses) checkHost(host string) error {
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil:
		return a.check(ip)
	case isNumber(host):
		return fmt.Errorf("%w: a provider may not be at %q: write an IPv4 address as four decimal numbers without leading zeros", metric.ErrForbiddenAddress, host)
	default:
		return nil
	}
}

// check refuses an address that may not be reached.
func (a Addresses) check(ip netip.Addr) error {
	if ip = embedded(ip.Unmap().WithZone("")); a.allows(ip) {
		return nil
	}
	return fmt.Errorf("%w: a provider may not be at %s: loopback, unspecified, link-local, multicast and metadata addresses have to be allowed by the controller's flag --allow-provider-addresses", metric.ErrForbiddenAddress, ip)
}

// isNumber says whether all parts of a host are decimal, octal or hexadecimal
// numbers, as in 0251.0376.0251.0376, 0xa9fea9fe or 2852039166: many a proxy reads
// an IPv4 address out of them, as inet_aton does
// (https://pubs.opengroup.org/onlinepubs/9799919799/functions/inet_addr.html).
func isNumber(host string) bool {
	for part := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		digits, allowed := strings.ToLower(part), "0123456789"
		if hex, ok := strings.CutPrefix(digits, "0x"); ok {
			digits, allowed = hex, "0123456789abcdef"
		}
		if strings.Trim(digits, allowed) != "" {
			return false
		}
	}
	return true
}

// embedded is the IPv4 address that a NAT64 gateway takes an address of the
// well-known prefix for (RFC 6052, section 2.1), or the address itself.
func embedded(ip netip.Addr) netip.Addr {
	if !netip.MustParsePrefix("64:ff9b::/96").Contains(ip) {
		return ip
	}
	bytes := ip.As16()
	return netip.AddrFrom4([4]byte(bytes[12:]))
}

// allows says whether an address may be reached.
func (a Addresses) allows(ip netip.Addr) bool {
	for _, allowed := range a.Allowed {
		if allowed.Contains(ip) {
			return true
		}
	}
	for _, refused := range metadata() {
		if refused.Contains(ip) {
			return false
		}
	}
	return !ip.IsLoopback() && !ip.IsLinkLocalUnicast() && !ip.IsLinkLocalMulticast() &&
		!ip.IsMulticast() && !ip.IsUnspecified()
}
