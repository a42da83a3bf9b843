package sandbox

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
)

// A Network joins a sandbox to its machine by one pair of virtual interfaces. It
// has no way to anywhere else.
type Network struct {
	Interface string       `json:"interface"` // the machine's end
	Subnet    netip.Prefix `json:"subnet"`
}

// insideInterface is the sandbox's end of the pair.
const insideInterface = "eth0"

// Host is the machine's address in the network.
func (n Network) Host() netip.Addr { return n.Subnet.Masked().Addr().Next() }

// Node is the sandbox's address in the network.
func (n Network) Node() netip.Addr { return n.Host().Next() }

// FreeNetwork finds a subnet that the machine has no address in and no route to:
// the first that is free of 10.89.0.0/24 to 10.89.255.0/24. The interface is named
// after the given key, always alike.
func FreeNetwork(key string) (Network, error) {
	used, err := usedSubnets()
	if err != nil {
		return Network{}, err
	}
	for i := range 256 {
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 89, byte(i), 0}), 24)
		if !overlaps(subnet, used) {
			return Network{Interface: InterfaceName(key), Subnet: subnet}, nil
		}
	}
	return Network{}, errors.New("every subnet of 10.89.0.0/16 is in use on this machine")
}

// InterfaceName is the machine's interface to the sandbox of the given key.
func InterfaceName(key string) string {
	h := fnv.New32a()
	h.Write([]byte(key))
	return fmt.Sprintf("ktb%08x", h.Sum32())
}

func overlaps(p netip.Prefix, others []netip.Prefix) bool {
	for _, o := range others {
		if o.Bits() > 0 && p.Overlaps(o) { // a default route takes nothing
			return true
		}
	}
	return false
}

func usedSubnets() ([]netip.Prefix, error) {
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var used []netip.Prefix
	add := func(n *net.IPNet) {
		if n == nil {
			return
		}
		if ip, ok := netip.AddrFromSlice(n.IP.To4()); ok {
			bits, _ := n.Mask.Size()
			used = append(used, netip.PrefixFrom(ip, bits))
		}
	}
	for _, a := range addrs {
		add(a.IPNet)
	}
	for _, r := range routes {
		add(r.Dst)
	}
	return used, nil
}

// connect makes the pair, with its far end in the sandbox of the given process.
func (n Network) connect(pid int) error {
	link := netlink.NewLinkAttrs()
	link.Name = n.Interface
	veth := &netlink.Veth{LinkAttrs: link, PeerName: insideInterface, PeerNamespace: netlink.NsPid(pid)}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("make interface %s: %w", n.Interface, err)
	}
	return setUp(veth, n.Host(), n.Subnet.Bits())
}

// Configure sets up the inside of the network. Addresses in services are answered
// by whatever the sandbox's firewall rules turn them into.
func (n Network) Configure(services netip.Prefix) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set up loopback: %w", err)
	}
	eth, err := netlink.LinkByName(insideInterface)
	if err != nil {
		return fmt.Errorf("find %s: %w", insideInterface, err)
	}
	if err := setUp(eth, n.Node(), n.Subnet.Bits()); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("forward packets: %w", err)
	}
	dst := &net.IPNet{IP: services.Addr().AsSlice(), Mask: net.CIDRMask(services.Bits(), 32)}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK}); err != nil {
		return fmt.Errorf("route services: %w", err)
	}
	return nil
}

func setUp(link netlink.Link, addr netip.Addr, bits int) error {
	name := link.Attrs().Name
	a := &netlink.Addr{IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(bits, 32)}}
	if err := netlink.AddrAdd(link, a); err != nil {
		return fmt.Errorf("give %s the address %s: %w", name, addr, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set up %s: %w", name, err)
	}
	return nil
}

// RemoveInterface removes a sandbox's interface if it is still there; the kernel
// does so by itself a moment after the sandbox's end.
func RemoveInterface(name string) error {
	link, err := netlink.LinkByName(name)
	var notFound netlink.LinkNotFoundError
	if errors.As(err, &notFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find interface %s: %w", name, err)
	}
	if err := netlink.LinkDel(link); err != nil && !isGone(name) {
		return fmt.Errorf("remove interface %s: %w", name, err)
	}
	return nil
}

func isGone(name string) bool {
	_, err := netlink.LinkByName(name)
	var notFound netlink.LinkNotFoundError
	return errors.As(err, &notFound)
}
