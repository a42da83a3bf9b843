package main

import (
	"os"

	"github.com/spf13/pflag"

	"github.com/keptn/gitops/controllers"
	"github.com/keptn/gitops/controllers/serving"
)

// metricsFlags are the controller's flags for metrics, who may be asked and where the
// values are served, and for what is served beside them.
type metricsFlags struct {
	ambient, oneNamespace  bool
	customAddress, address string
	prometheus, json       bool
	gateToken              bool
}

func (f *metricsFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.ambient, "ambient-credentials", false, "let a cloud's metrics provider without a Secret use the identity that the controller has in that cloud")
	flags.BoolVar(&f.oneNamespace, "no-cross-namespace-refs", false, "keep Analyses and their definitions from naming objects of other namespaces")
	flags.StringVar(&f.customAddress, "custom-metrics-bind-address", "0", "where the custom metrics API is served over TLS; 0 for nowhere")
	flags.StringVar(&f.address, "keptn-metrics-bind-address", ":9999", "where values of KeptnMetrics are served over HTTP; 0 for nowhere")
	flags.BoolVar(&f.prometheus, "keptn-metrics-prometheus", true, "serve a gauge for each KeptnMetric at /metrics")
	flags.BoolVar(&f.json, "keptn-metrics-json", true, "serve /api/v1/metrics/{namespace}/{metric}")
	flags.BoolVar(&f.gateToken, "gate-token", false, "have callers of /gate/{namespace}/{app}/{commit} show the token of a Secret keptn-webhooks")
}

// set writes what the flags say into the options.
func (f *metricsFlags) set(o *controllers.Options) {
	o.AmbientCredentials, o.OneNamespace, o.GateToken = f.ambient, f.oneNamespace, f.gateToken
	o.Serving = serving.Options{
		CustomMetricsAddress: f.customAddress, Namespace: os.Getenv("POD_NAMESPACE"),
		Address: f.address, Metrics: f.prometheus, JSON: f.json,
	}
}
