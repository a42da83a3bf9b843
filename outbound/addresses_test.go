package outbound_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/keptn/gitops/outbound"
)

func TestAddressesOfTheMachineAndOfTheLinkAreRefused(t *testing.T) {
	for host, reason := range map[string]string{
		"127.0.0.1":                "What trusts its own host lives there.",
		"127.8.9.10":               "All of 127.0.0.0/8 is loopback.",
		"0.0.0.0":                  "Linux takes it for loopback.",
		"169.254.169.254":          "The metadata service of most clouds.",
		"169.254.170.2":            "Amazon ECS hands out credentials there.",
		"224.0.0.1":                "Nobody answers for a group.",
		"100.100.100.200":          "Alibaba's metadata.",
		"192.0.0.192":              "Oracle's metadata.",
		"168.63.129.16":            "Azure's metadata.",
		"[::1]":                    "Loopback of IPv6.",
		"[::]":                     "As 0.0.0.0.",
		"[::ffff:127.0.0.1]":       "IPv4 within IPv6 is the same address.",
		"[::ffff:169.254.169.254]": "As is its metadata service.",
		"[::ffff:100.100.100.200]": "And Alibaba's.",
		"[64:ff9b::a9fe:a9fe]":     "NAT64 leads to 169.254.169.254.",
		"[fe80::1]":                "The link of IPv6.",
		"[fe80::1%25eth0]":         "With a zone too.",
		"[ff02::1]":                "A group of the link.",
		"[fd00:ec2::254]":          "Amazon's metadata over IPv6.",
		"[fd20:ce::254]":           "Google's.",
	} {
		a := outbound.Addresses{}
		if err := a.CheckHost(strings.Trim(unescaped(host), "[]")); !errors.Is(err, outbound.ErrForbidden) {
			t.Errorf("%s %s: %v", reason, host, err)
		}
		err := ask(t, a.Transport(&http.Transport{}), "http://"+host+":9")
		if !errors.Is(err, outbound.ErrForbidden) {
			t.Errorf("%s %s: error %v", reason, host, err)
		} else if strings.Contains(err.Error(), "dial") {
			t.Errorf("%s is looked at when it is dialled, which a proxy does elsewhere: %v", host, err)
		}
	}
}

// unescaped is a host of a URL with the zone as it is.
func unescaped(host string) string { return strings.ReplaceAll(host, "%25", "%") }

func TestOtherAddressesAreNotRefused(t *testing.T) {
	for _, host := range []string{"10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1", "fd12::1", "64:ff9b::808:808", "prometheus.monitoring"} {
		if err := (outbound.Addresses{}).CheckHost(host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestTheAdministratorRefusesAndAllowsNetworks(t *testing.T) {
	network := func(text string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(text)} }
	cases := map[string]struct {
		reason, host string
		addresses    outbound.Addresses
		allowed      bool
	}{
		"Refused":   {"A network may be refused that is not by default.", "10.0.0.1", outbound.Addresses{Refused: network("10.0.0.0/8")}, false},
		"Beside":    {"Others are not.", "11.0.0.1", outbound.Addresses{Refused: network("10.0.0.0/8")}, true},
		"Exception": {"A part of it may be allowed.", "10.1.2.3", outbound.Addresses{Refused: network("10.0.0.0/8"), Allowed: network("10.1.2.0/24")}, true},
		"Only":      {"Nothing but what is allowed is reached where all is refused.", "8.8.8.8", outbound.Addresses{Refused: network("0.0.0.0/0"), Allowed: network("10.1.2.0/24")}, false},
		"Default":   {"What is refused by default may be allowed.", "127.0.0.1", outbound.Addresses{Allowed: network("127.0.0.0/8")}, true},
		"Anywhere":  {"Anywhere is anywhere.", "169.254.169.254", outbound.Anywhere(), true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := tc.addresses.CheckHost(tc.host)
			if tc.allowed && err != nil || !tc.allowed && !errors.Is(err, outbound.ErrForbidden) {
				t.Errorf("%s\n%s: %v", tc.reason, tc.host, err)
			}
		})
	}
}

func TestANameThatLeadsToLoopbackIsRefused(t *testing.T) {
	asked := false
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer server.Close()
	url := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	err := ask(t, outbound.Addresses{}.Transport(&http.Transport{}), url)
	if !errors.Is(err, outbound.ErrForbidden) || asked {
		t.Errorf("a name is looked at once it is resolved: %v, asked %v", err, asked)
	}
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128")}
	if err := ask(t, outbound.Addresses{Allowed: loopback}.Transport(&http.Transport{}), url); err != nil || !asked {
		t.Errorf("allowed: %v, asked %v", err, asked)
	}
}

// ask makes a request.
func ask(t *testing.T, by *outbound.Transport, url string) error {
	t.Helper()
	t.Cleanup(by.CloseIdleConnections)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: by}).Do(r)
	if err == nil {
		resp.Body.Close()
	}
	return err
}
