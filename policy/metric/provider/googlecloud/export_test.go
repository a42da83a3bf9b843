package googlecloud

import (
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// NewAt is New for a cloud whose addresses end with a domain.
func NewAt(s connect.Server, domain string) (metric.Querier, error) {
	return open(s, cloud{endpoint: s.Spec.TargetServer, domain: domain})
}
