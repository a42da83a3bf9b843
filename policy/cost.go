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
	// MaxCommits is how many commits a rollout is assumed to deliver at most.
	MaxCommits = 250
	// MaxFiles is how many files a commit is assumed to change at most.
	MaxFiles = 250

	maxTrailers = 16
	maxLabels   = 64
	maxString   = 1024
	maxPath     = 256
)

// sizes estimates what the CEL checker does not know. It implements
// checker.CostEstimator.
type sizes struct {
	functions map[string]*function
}

// EstimateSize implements checker.CostEstimator.
func (sizes) EstimateSize(node checker.AstNode) *checker.SizeEstimate {
	switch node.Type().Kind() {
	case types.ListKind:
		return &checker.SizeEstimate{Max: listSize(node)}
	case types.MapKind:
		return &checker.SizeEstimate{Max: maxLabels}
	case types.StringKind, types.BytesKind, types.DynKind:
		if path := node.Path(); len(path) > 1 && path[len(path)-1] == "@items" && isFiles(path[len(path)-2]) {
			return &checker.SizeEstimate{Max: maxPath}
		}
		return &checker.SizeEstimate{Max: maxString}
	case types.StructKind, types.TypeKind: // they are compared by what they are
		return &checker.SizeEstimate{Min: 1, Max: 1}
	default:
		return nil
	}
}

// listSize is how many elements a list has at most: by the type of its elements,
// and for texts, which are files or trailers, by the name.
func listSize(node checker.AstNode) uint64 {
	element := node.Type().Parameters()[0]
	path := node.Path()
	switch {
	case element.IsExactType(commitObjects.celType):
		return MaxCommits
	case element.Kind() != types.StringKind:
		return MaxSeries
	case len(path) > 0 && isFiles(path[len(path)-1]):
		return MaxFiles
	case len(path) > 0:
		return maxTrailers
	default:
		return MaxSeries
	}
}

func isFiles(name string) bool { return name == fieldFiles || name == "commit."+fieldFiles }

// EstimateCallCost implements checker.CostEstimator.
func (s sizes) EstimateCallCost(name, _ string, target *checker.AstNode, args []checker.AstNode) *checker.CallEstimate {
	f, ok := s.functions[name]
	if !ok {
		return nil
	}
	var all []uint64
	if target != nil {
		all = append(all, s.largest(*target))
	}
	for _, arg := range args {
		all = append(all, s.largest(arg))
	}
	estimate := &checker.CallEstimate{CostEstimate: checker.CostEstimate{Min: 1, Max: f.cost(all)}}
	if f.text > 0 {
		estimate.ResultSize = &checker.SizeEstimate{Min: 1, Max: f.text}
	}
	return estimate
}

// largest is the largest size of an argument.
func (s sizes) largest(node checker.AstNode) uint64 {
	if size := node.ComputedSize(); size != nil {
		return size.Max
	}
	if size := s.EstimateSize(node); size != nil {
		return size.Max
	}
	return 1
}

// addCost adds two costs, up to the largest.
func addCost(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

// multiplyCost multiplies two costs, up to the largest.
func multiplyCost(a, b uint64) uint64 {
	if b != 0 && a > math.MaxUint64/b {
		return math.MaxUint64
	}
	return a * b
}
