package main

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/spf13/pflag"

	"github.com/keptn/gitops/controllers"
	"github.com/keptn/gitops/controllers/provider"
	"github.com/keptn/gitops/controllers/serving"
	"github.com/keptn/gitops/policy/metric/connect"
)

// metricsFlags are the controller's flags for metrics: who may be asked, and where
// the values are served.
type metricsFlags struct {
	addresses              []string
	ambient, oneNamespace  bool
	customAddress, address string
	prometheus, json       bool
}

func (f *metricsFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.addresses, "allow-provider-addresses", nil, "networks that metrics providers may be in although they are loopback, link-local or of a metadata service, as 127.0.0.0/8")
	flags.BoolVar(&f.ambient, "ambient-credentials", false, "let a cloud's metrics provider without a Secret use the identity that the controller has in that cloud")
	flags.BoolVar(&f.oneNamespace, "no-cross-namespace-refs", false, "keep Analyses and their definitions from naming objects of other namespaces")
	flags.StringVar(&f.customAddress, "custom-metrics-bind-address", "0", "where the custom metrics API is served over TLS; 0 for nowhere")
	flags.StringVar(&f.address, "keptn-metrics-bind-address", ":9999", "where values of KeptnMetrics are served over HTTP; 0 for nowhere")
	flags.BoolVar(&f.prometheus, "keptn-metrics-prometheus", true, "serve a gauge for each KeptnMetric at /metrics")
	flags.BoolVar(&f.json, "keptn-metrics-json", true, "serve /api/v1/metrics/{namespace}/{metric}")
}

// set writes what the flags say into the options.
func (f *metricsFlags) set(o *controllers.Options) error {
	allowed := make([]netip.Prefix, len(f.addresses))
	for i, text := range f.addresses {
		var err error
		if allowed[i], err = netip.ParsePrefix(text); err != nil {
			return fmt.Errorf("--allow-provider-addresses: %q is no network: give it as 10.0.0.0/8", text)
		}
	}
	o.Providers = provider.Options{Addresses: connect.Addresses{Allowed: allowed}, Ambient: f.ambient}
	o.OneNamespace = f.oneNamespace
	o.Serving = serving.Options{
		CustomMetricsAddress: f.customAddress, Namespace: os.Getenv("POD_NAMESPACE"),
		Address: f.address, Metrics: f.prometheus, JSON: f.json,
	}
	return nil
}
