package azuremonitor

import (
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/monitor/azquery"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// NewAt is New for a cloud whose tokens are asked for at an authority, and which
// is at Spec.TargetServer.
func NewAt(s connect.Server, authority string) (metric.Querier, error) {
	base, err := s.URL("")
	if err != nil {
		return nil, err
	}
	return open(s, base, cloud.Configuration{
		ActiveDirectoryAuthorityHost: authority,
		Services: map[cloud.ServiceName]cloud.ServiceConfiguration{
			azquery.ServiceNameMetrics: {Audience: "https://management.example.com", Endpoint: base.String()},
		},
	}, true)
}
