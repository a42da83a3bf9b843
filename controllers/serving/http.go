package serving

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/keptn/gitops/controllers/guard"
)

// What a client of the HTTP server may take: whoever needs longer is cut off, so
// that slow clients cannot pile up.
const (
	readTimeout     = 5 * time.Second
	writeTimeout    = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 5 * time.Second
	maxHeaderBytes  = 16 << 10
)

// An httpServer serves in every replica, and not before the caches are filled: the
// manager would start a plain manager.Server earlier.
type httpServer struct{ *manager.Server }

func newHTTPServer(address string, handler http.Handler) httpServer {
	timeout := shutdownTimeout
	return httpServer{&manager.Server{
		Name: "keptn-metrics",
		Server: &http.Server{
			Addr: address, Handler: handler,
			ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
			MaxHeaderBytes: maxHeaderBytes,
		},
		ShutdownTimeout: &timeout,
	}}
}

// NewHandler returns the handler of all routes that o asks for: GET /metrics,
// GET /api/v1/metrics/{namespace}/{metric}, of both of which anyone may ask, and
// o.Routes. The error is of a collector that contradicts another.
func NewHandler(source Source, o Options, log logr.Logger) (http.Handler, error) {
	routes := slices.Clone(o.Routes)
	if o.JSON {
		routes = append(routes, guard.Route{Pattern: "GET /api/v1/metrics/{namespace}/{metric}", Handler: jsonHandler(source, log)})
	}
	if o.Metrics {
		others := prometheus.NewRegistry()
		for _, c := range o.Collectors {
			if err := others.Register(c); err != nil {
				return nil, fmt.Errorf("serve metrics: %w", err)
			}
		}
		routes = append(routes, guard.Route{Pattern: "GET /metrics", Handler: metricsHandler(source, others, log)})
	}
	return guard.Handler(routes, time.Now, log), nil
}

// metricsHandler serves what others have gathered and a gauge for each KeptnMetric.
// What contradicts the rest is logged and left out.
func metricsHandler(source Source, others prometheus.Gatherer, log logr.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gauges := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
			values, err := source.List(r.Context(), metav1.NamespaceAll, labels.Everything())
			if err != nil {
				return nil, fmt.Errorf("list KeptnMetrics: %w", err)
			}
			return families(values), nil
		})
		promhttp.HandlerFor(prometheus.Gatherers{others, gauges}, promhttp.HandlerOpts{
			ErrorHandling: promhttp.ContinueOnError, ErrorLog: gatherLog{log},
		}).ServeHTTP(w, r)
	})
}

// A gatherLog logs what could not be gathered.
type gatherLog struct{ logr.Logger }

// Println implements promhttp.Logger.
func (l gatherLog) Println(v ...any) {
	l.Info("Some metrics are not served", "because", fmt.Sprint(v...))
}

// jsonHandler answers with one value, as status.value has it:
// {"metric":"checkout-p95","namespace":"shop","value":"4.0"}.
func jsonHandler(source Source, log logr.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("metric")}
		v, err := source.Get(r.Context(), name)
		switch {
		case apierrors.IsNotFound(err):
			http.Error(w, "there is no KeptnMetric "+name.String(), http.StatusNotFound)
			return
		case err != nil:
			log.Error(err, "A KeptnMetric cannot be read", "metric", name)
			http.Error(w, "KeptnMetric "+name.String()+" cannot be read", http.StatusInternalServerError)
			return
		case v.Text == "":
			http.Error(w, "KeptnMetric "+name.String()+" has no value yet", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		answer := struct {
			Metric    string `json:"metric"`
			Namespace string `json:"namespace"`
			Value     string `json:"value"`
		}{v.Name, v.Namespace, v.Text}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			log.V(1).Info("A client left before its answer", "metric", name, "because", err.Error())
		}
	})
}
