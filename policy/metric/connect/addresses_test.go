package connect_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
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
		s := connect.Server{Spec: metricsv1.KeptnMetricsProviderSpec{TargetServer: "http://" + host + ":9"}}
		_, err := s.URL("")
		wantError(t, reason, err, metric.ErrForbiddenAddress, "--allow-provider-addresses")
		client, err := s.Client(nil)
		if err != nil {
			t.Fatal(err)
		}
		err = askBy(t, client, s.Spec.TargetServer)
		wantError(t, "A client built by hand looks as well: "+reason, err, metric.ErrForbiddenAddress, "")
		if strings.Contains(err.Error(), "dial") {
			t.Errorf("%s is looked at when it is dialled, which a proxy does elsewhere: %v", host, err)
		}
	}
}

func TestOtherAddressesAreNotRefused(t *testing.T) {
	for _, host := range []string{"10.0.0.1", "192.168.1.1", "8.8.8.8", "[2001:db8::1]", "[fd12::1]", "[64:ff9b::808:808]", "prometheus.monitoring"} {
		s := connect.Server{Spec: metricsv1.KeptnMetricsProviderSpec{TargetServer: "http://" + host}}
		if _, err := s.URL(""); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestANameThatLeadsToLoopbackIsRefused(t *testing.T) {
	asked := false
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked = true
		fmt.Fprint(w, "{}")
	})
	s.Spec.TargetServer = strings.Replace(s.Spec.TargetServer, "127.0.0.1", "localhost", 1)
	s.Addresses.Allowed = nil
	wantError(t, "A name is looked at once it is resolved.", ask(t, s), metric.ErrForbiddenAddress, "loopback")
	if asked {
		t.Error("the server was asked")
	}
	s.Addresses.Allowed = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128")}
	if err := ask(t, s); err != nil || !asked {
		t.Errorf("allowed: %v, asked %v", err, asked)
	}
}
