package policy

import (
	"math"

	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
)

// The sizes that the estimate of a cost assumes of input whose size a policy
// cannot know. Larger input is judged too, as far as the cost limit carries.
const (
	// MaxSeries is how many series a metric is assumed to have at most.
	MaxSeries = 10_000
	maxLabels = 64
	maxString = 1024
)

// sizes estimates what the CEL checker does not know. It implements
// checker.CostEstimator.
type sizes struct{}

// EstimateSize implements checker.CostEstimator.
func (sizes) EstimateSize(node checker.AstNode) *checker.SizeEstimate {
	switch node.Type().Kind() {
	case types.ListKind:
		return &checker.SizeEstimate{Max: MaxSeries}
	case types.MapKind:
		return &checker.SizeEstimate{Max: maxLabels}
	case types.StringKind, types.BytesKind, types.DynKind:
		return &checker.SizeEstimate{Max: maxString}
	default:
		return nil
	}
}

// EstimateCallCost implements checker.CostEstimator.
func (sizes) EstimateCallCost(_, overload string, _ *checker.AstNode, _ []checker.AstNode) *checker.CallEstimate {
	switch overload {
	case "percent_double", "percent_int64":
		return &checker.CallEstimate{
			CostEstimate: checker.FixedCostEstimate(1),
			ResultSize:   &checker.SizeEstimate{Min: 2, Max: 32},
		}
	default:
		return nil
	}
}

// addCost adds two costs, up to the largest.
func addCost(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
