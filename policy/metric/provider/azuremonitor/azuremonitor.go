// Package azuremonitor asks Azure Monitor for the metrics of a resource
// (https://learn.microsoft.com/en-us/rest/api/monitor/metrics/list).
//
// It reads only. It uses the identity that the process has in Azure only where
// connect.Server.Ambient lets it, and shows it to nobody but Azure.
package azuremonitor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/monitor/azquery"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// querier is Azure Monitor, with an identity in Azure.
type querier struct {
	client *azquery.MetricsClient
	server connect.Server
}

// New checks the server and returns what queries it. Spec.TargetServer replaces
// https://management.azure.com; that of Azure Government or Azure China stands for
// its whole cloud, so that tokens are asked for there too. The Secret's keys are
// tenantID, clientID and clientSecret, of an application with the role Monitoring
// Reader.
func New(s connect.Server) (metric.Querier, error) {
	base, err := s.URL(cloud.AzurePublic.Services[azquery.ServiceNameMetrics].Endpoint)
	if err != nil {
		return nil, err
	}
	for _, known := range []cloud.Configuration{cloud.AzurePublic, cloud.AzureGovernment, cloud.AzureChina} {
		if endpoint, err := url.Parse(known.Services[azquery.ServiceNameMetrics].Endpoint); err == nil && strings.EqualFold(endpoint.Host, base.Host) {
			return open(s, base, known, true)
		}
	}
	return open(s, base, cloud.AzurePublic, false)
}

// open is New for a server in a cloud, or for one that lends itself out as such.
func open(s connect.Server, base *url.URL, in cloud.Configuration, own bool) (metric.Querier, error) {
	if base.Scheme != "https" {
		return nil, fmt.Errorf("%w: its targetServer %q is asked with a token, which only https may carry", metric.ErrConfig, base.Redacted())
	}
	client, err := s.Client(nil)
	if err != nil {
		return nil, err
	}
	identity, err := credentialOf(s, in, own)
	if err != nil {
		return nil, err
	}
	options := clientOptions(in, &transporter{client})
	options.Cloud.Services = maps.Clone(in.Services)
	metrics := in.Services[azquery.ServiceNameMetrics]
	metrics.Endpoint = base.String()
	options.Cloud.Services[azquery.ServiceNameMetrics] = metrics
	asks, err := azquery.NewMetricsClient(identity, &azquery.MetricsClientOptions{ClientOptions: options})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", metric.ErrConfig, err)
	}
	return &querier{client: asks, server: s}, nil
}

// clientOptions are those of a client that repeats nothing.
func clientOptions(in cloud.Configuration, over policy.Transporter) azcore.ClientOptions {
	return azcore.ClientOptions{
		Cloud:     in,
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Telemetry: policy.TelemetryOptions{Disabled: true},
		Transport: over,
	}
}

// credentialOf is that of the Secret or, where that is allowed, of the process. The
// latter's tokens are shown to Azure only: whoever may choose the server could read
// them there.
func credentialOf(s connect.Server, in cloud.Configuration, own bool) (azcore.TokenCredential, error) {
	switch {
	case s.Secret != nil:
		return secretCredential(s, in)
	case !s.Ambient:
		return nil, fmt.Errorf("%w: it needs a Secret with the keys tenantID, clientID and clientSecret: name it in secretKeyRef; the identity that the controller has in Azure may not be used here", metric.ErrConfig)
	case !own, s.Spec.InsecureSkipTLSVerify:
		return nil, fmt.Errorf("%w: the identity that the controller has in Azure is shown to no server but Azure's, over verified https: give another targetServer, or a Secret with the keys tenantID, clientID and clientSecret", metric.ErrConfig)
	default:
		return ambient(in)
	}
}

// secretCredential is an application's. Its tokens are asked for over a connection
// like the server's. That the authority is one of Azure's own need not be asked
// there: it is no choice of the Secret's.
func secretCredential(s connect.Server, in cloud.Configuration) (azcore.TokenCredential, error) {
	var values [3]string
	for i, key := range []string{"tenantID", "clientID", "clientSecret"} {
		value, err := s.Value(key)
		if err != nil {
			return nil, err
		}
		values[i] = value
	}
	plain := s
	plain.Spec.Headers = nil
	client, err := plain.Client(nil)
	if err != nil {
		return nil, err
	}
	held, err := azidentity.NewClientSecretCredential(values[0], values[1], values[2], &azidentity.ClientSecretCredentialOptions{
		ClientOptions:            clientOptions(in, &transporter{client}),
		DisableInstanceDiscovery: true,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: secret %q holds no tenantID and clientID of Azure's", metric.ErrConfig, s.Spec.SecretKeyRef.Name)
	}
	return held, nil
}

// ambient is the identity that the process has in Azure: of its environment, its
// service account or its machine
// (https://learn.microsoft.com/en-us/azure/developer/go/sdk/authentication/credential-chains).
// Azure hands it out at addresses that a provider may not have, so that it is not
// asked for over the server's connection.
func ambient(in cloud.Configuration) (azcore.TokenCredential, error) {
	held, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
		ClientOptions:            clientOptions(in, nil),
		DisableInstanceDiscovery: true,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: the controller has no identity in Azure: %w", metric.ErrConfig, err)
	}
	return &processIdentity{held}, nil
}

// Query implements metric.Querier. Expr is JSON or YAML: a resource, a metric and
// an aggregation (Average, Count, Maximum, Minimum or Total), and if need be a
// namespace, a filter over dimensions, and an interval:
//
//	resource: /subscriptions/…/resourceGroups/shop/providers/Microsoft.Web/sites/checkout
//	metric: Http5xx
//	aggregation: Total
//	filter: Instance eq '*'
//
// The interval is the step as Azure adjusts it to what the metric has or, without a
// step, the window as a whole; one of the query's own is kept, as PT1M. An instant
// is asked for as the last 5 minutes. Each series has the values of the filter's
// dimensions as labels, and the metric's name as __name__.
func (p *querier) Query(ctx context.Context, q metric.Query) (metric.Result, error) {
	if err := connect.CheckQuery(q); err != nil {
		return metric.Result{}, err
	}
	asked, err := parse(q.Expr)
	if err != nil {
		return metric.Result{}, err
	}
	ctx, failed := watch(ctx)
	answer, err := p.client.QueryResource(ctx, asked.resource, asked.options(q, p.server.Limit()))
	if err != nil {
		return metric.Result{}, queryError(ctx, err, failed.cause())
	}
	series, err := seriesOf(answer.Value, asked.aggregation, q.Step == 0)
	if err != nil {
		return metric.Result{}, err
	}
	if err := p.server.CheckSeries(series); err != nil {
		return metric.Result{}, err
	}
	raw, err := json.Marshal(answer.Value)
	if err != nil {
		return metric.Result{}, fmt.Errorf("%w: %w", metric.ErrBadResponse, err)
	}
	return metric.Result{Series: series, Raw: raw}, nil
}
