// Package provider opens metrics providers: each type of them is a package below
// it, which speaks that provider's protocol.
package provider

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider/azuremonitor"
	"github.com/keptn/gitops/policy/metric/provider/cloudwatch"
	"github.com/keptn/gitops/policy/metric/provider/datadog"
	"github.com/keptn/gitops/policy/metric/provider/dql"
	"github.com/keptn/gitops/policy/metric/provider/dynatrace"
	"github.com/keptn/gitops/policy/metric/provider/elastic"
	"github.com/keptn/gitops/policy/metric/provider/googlecloud"
	"github.com/keptn/gitops/policy/metric/provider/loki"
	"github.com/keptn/gitops/policy/metric/provider/prometheus"
	"github.com/keptn/gitops/policy/metric/provider/web"
)

// An opener makes what queries a server.
type opener func(connect.Server) (metric.Querier, error)

// A kind is how a type of provider is opened, and how much it may be asked where
// its administrator does not say.
type kind struct {
	open       opener
	concurrent int
	perSecond  int
}

// kinds is every type of provider there is; a type is added here and nowhere
// else. A server of one's own bears more than a service that counts requests.
func kinds() map[metricsv1.ProviderType]kind {
	own := func(o opener) kind { return kind{o, 16, 1000} }
	counted := func(o opener) kind { return kind{o, 4, 10} }
	return map[metricsv1.ProviderType]kind{
		metricsv1.Prometheus:      own(prometheus.New),
		metricsv1.Thanos:          own(prometheus.New),
		metricsv1.Cortex:          own(prometheus.New),
		metricsv1.Mimir:           own(prometheus.New),
		metricsv1.VictoriaMetrics: own(prometheus.New),
		metricsv1.Loki:            own(loki.New),
		metricsv1.Elastic:         own(elastic.New),
		metricsv1.HTTP:            own(web.New),
		metricsv1.Datadog:         counted(datadog.New),
		metricsv1.Dynatrace:       counted(dynatrace.New),
		metricsv1.DQL:             counted(dql.New),
		metricsv1.CloudWatch:      counted(cloudwatch.New),
		metricsv1.GoogleCloud:     counted(googlecloud.New),
		metricsv1.AzureMonitor:    counted(azuremonitor.New),
	}
}

// Open returns what queries the server. It does not ask it anything yet.
func Open(s connect.Server) (metric.Querier, error) {
	k, ok := kinds()[s.Spec.Type]
	if !ok {
		return nil, fmt.Errorf("%w: unknown type %q: there is %s", metric.ErrConfig, s.Spec.Type, strings.Join(names(), ", "))
	}
	return k.open(s)
}

// How long a query may take, retries included, where the spec does not say, and
// where it does at most: a query that hangs takes a place of others that long.
const (
	defaultTimeout = 20 * time.Second
	maxTimeout     = 2 * time.Minute
)

// Limits are how much a provider is asked at most.
type Limits struct {
	// Concurrent is how many queries are asked at a time.
	Concurrent int
	// PerSecond is how many queries are begun per second.
	PerSecond int
	// Timeout of one query, retries included. It is 2 minutes at most.
	Timeout time.Duration
}

// LimitsOf are the limits that the spec sets, or those of its type.
func LimitsOf(spec metricsv1.KeptnMetricsProviderSpec) Limits {
	k := kinds()[spec.Type]
	l := Limits{Concurrent: max(k.concurrent, 1), PerSecond: max(k.perSecond, 1), Timeout: defaultTimeout}
	if spec.Timeout != nil && spec.Timeout.Duration > 0 {
		l.Timeout = min(spec.Timeout.Duration, maxTimeout)
	}
	if spec.Limits == nil {
		return l
	}
	if n := spec.Limits.ConcurrentQueries; n > 0 {
		l.Concurrent = int(n)
	}
	if n := spec.Limits.QueriesPerSecond; n > 0 {
		l.PerSecond = int(n)
	}
	return l
}

// names are the known types, sorted.
func names() []string {
	var all []string
	for name := range maps.Keys(kinds()) {
		all = append(all, string(name))
	}
	slices.Sort(all)
	return all
}
