// Package serving answers requests of others. It hands the values of KeptnMetrics to
// whoever asks: to autoscalers through the custom metrics API of Kubernetes, to
// Prometheus as gauges, to everyone else as JSON. And it serves the routes that other
// packages have. It measures nothing, and keeps no values of its own: each answer is
// read from a Source at the moment it is asked for.
package serving

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/keptn/gitops/controllers/guard"
)

// Source has the newest values of all KeptnMetrics. It is asked by many at a time.
type Source interface {
	// Get returns one KeptnMetric; where there is none the error is one for which
	// IsNotFound of k8s.io/apimachinery/pkg/api/errors holds. A KeptnMetric that
	// has not been measured yet is no error: its HasValue is false.
	Get(ctx context.Context, name types.NamespacedName) (Value, error)
	// List returns, in any order, the KeptnMetrics of a namespace (of all, if it is
	// empty) that a selector of labels matches.
	List(ctx context.Context, namespace string, selector labels.Selector) ([]Value, error)
}

// Value is what is known of one KeptnMetric.
type Value struct {
	Namespace, Name string
	// Labels are those of the KeptnMetric.
	Labels map[string]string
	// Value is the number that was measured, in the unit of its query; it means
	// something only if HasValue.
	Value float64
	// HasValue tells whether a number has been measured.
	HasValue bool
	// Text is the value as status.value has it, also where it is no number.
	Text string
	// Time is when it was measured.
	Time time.Time
	// Reason says why there is no value, as status.errMsg has it.
	Reason string
}

// Options are what is served, and where. An address is what net.Listen takes, as
// ":9999"; what has the address "" or "0" is not served.
type Options struct {
	// CustomMetricsAddress is where the custom metrics API is served over TLS.
	CustomMetricsAddress string
	// Namespace is the one that this process and its Services are in. The custom
	// metrics API needs it, for its certificate.
	Namespace string

	// Address is where Metrics, JSON and Routes are served over plain HTTP.
	Address string
	// Metrics tells whether GET /metrics answers with a gauge for each KeptnMetric.
	Metrics bool
	// JSON tells whether GET /api/v1/metrics/{namespace}/{metric} answers.
	JSON bool
	// Collectors have more to say at /metrics. Should one use the name of a
	// KeptnMetric, then it is the KeptnMetric that is left out.
	Collectors []prometheus.Collector

	// Routes are what else is served. Each pattern may be there once, beside those of
	// Metrics and JSON: http.ServeMux panics for two that are the same.
	Routes []guard.Route
}

// Setup registers the servers with the manager. They run in every replica, whoever
// leads, once the caches are filled.
func Setup(mgr ctrl.Manager, source Source, o Options) error {
	log := mgr.GetLogger().WithName("serving")
	if served(o.Address) && (o.Metrics || o.JSON || len(o.Routes) > 0) {
		handler, err := NewHandler(source, o, log)
		if err != nil {
			return err
		}
		if err := mgr.Add(newHTTPServer(o.Address, handler)); err != nil {
			return err
		}
	}
	if !served(o.CustomMetricsAddress) {
		return nil
	}
	if o.Namespace == "" {
		return errors.New("serve custom metrics: the namespace of this process is not known; set POD_NAMESPACE, or serve none")
	}
	config := rest.CopyConfig(mgr.GetConfig())
	keeper, err := newKeeper(config, mgr.GetHTTPClient(), o.Namespace, mgr.GetEventRecorder("keptn-custom-metrics"), log)
	if err != nil {
		return err
	}
	return mgr.Add(&customMetricsServer{
		address: o.CustomMetricsAddress, config: config, source: source, keeper: keeper, log: log,
	})
}

// served tells whether an address is one.
func served(address string) bool { return address != "" && address != "0" }
