package main

import (
	"fmt"
	"net/netip"

	"github.com/spf13/pflag"

	"github.com/keptn/gitops/outbound"
)

// addressFlags are the controller's flags for where servers may be that tenants name.
type addressFlags struct {
	allowed, refused []string
}

func (f *addressFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.allowed, "allow-addresses", nil, "networks in which repositories, forges, registries and metrics providers may be although they are refused, as 127.0.0.0/8")
	flags.StringSliceVar(&f.refused, "deny-addresses", nil, "networks in which they may not be, besides loopback, link-local and metadata services, as 10.0.0.0/8")
}

// parse reads the networks.
func (f *addressFlags) parse() (outbound.Addresses, error) {
	allowed, err := networks("--allow-addresses", f.allowed)
	if err != nil {
		return outbound.Addresses{}, err
	}
	refused, err := networks("--deny-addresses", f.refused)
	return outbound.Addresses{Allowed: allowed, Refused: refused}, err
}

func networks(flag string, texts []string) ([]netip.Prefix, error) {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		var err error
		if all[i], err = netip.ParsePrefix(text); err != nil {
			return nil, fmt.Errorf("%s: %q is no network: give it as 10.0.0.0/8", flag, text)
		}
	}
	return all, nil
}
