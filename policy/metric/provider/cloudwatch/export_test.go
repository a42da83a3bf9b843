package cloudwatch

import (
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// NewAnywhere is New, but shows the process's identity to any server.
func NewAnywhere(s connect.Server) (metric.Querier, error) { return open(s) }
