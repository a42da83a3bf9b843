// Package outbound keeps requests to servers that tenants name away from addresses that
// the administrator does not allow. It imports nothing of this project.
package outbound

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrForbidden is a server at an address that the administrator does not allow.
var ErrForbidden = errors.New("forbidden address")

// Addresses say which addresses may be reached: those in Allowed, and all that are
// neither in Refused nor refused by default. Refused by default are loopback,
// unspecified, link-local and multicast addresses, and those of metadata services: what
// trusts its own host, and what hands out a cloud's credentials, live there. Private
// networks are not.
type Addresses struct {
	// Allowed are networks that may be reached although they are refused.
	Allowed []netip.Prefix
	// Refused are networks that may not be reached unless they are allowed.
	Refused []netip.Prefix
}

// Anywhere refuses nothing.
func Anywhere() Addresses {
	return Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
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

// Dialer connects to allowed addresses only. It looks at them once names are
// resolved, so that no name can lead elsewhere.
func (a Addresses) Dialer() *net.Dialer {
	return &net.Dialer{
		Timeout:   dialTimeout,
		KeepAlive: 30 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				return fmt.Errorf("address %q: %w", address, err)
			}
			return a.CheckHost(host)
		},
	}
}

// CheckHost refuses a host that is an address that may not be reached, or a number
// that others take for one. A name is looked at once it is resolved.
func (a Addresses) CheckHost(host string) error {
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil:
		return a.check(ip)
	case isNumber(host):
		return fmt.Errorf("%w: %q: write an IPv4 address as four decimal numbers without leading zeros", ErrForbidden, host)
	default:
		return nil
	}
}

// check refuses an address that may not be reached.
func (a Addresses) check(ip netip.Addr) error {
	if ip = embedded(ip.Unmap().WithZone("")); a.allows(ip) {
		return nil
	}
	return fmt.Errorf("%w: %s may not be reached: it is in a network that is refused, and that the controller's flag --allow-addresses does not have", ErrForbidden, ip)
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
	within := func(networks []netip.Prefix) bool {
		return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(ip) })
	}
	switch {
	case within(a.Allowed):
		return true
	case within(a.Refused), within(metadata()):
		return false
	}
	return !ip.IsLoopback() && !ip.IsLinkLocalUnicast() && !ip.IsLinkLocalMulticast() &&
		!ip.IsMulticast() && !ip.IsUnspecified()
}
