package analysis

import (
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// compare tells a value that fails from one that warns and one that passes. An
// empty target passes everything.
func compare(target metricsv1.Target, value float64) TargetResult {
	r := TargetResult{
		FailResult: operate(target.Failure, value),
		WarnResult: operate(target.Warning, value),
	}
	r.Warning = !r.FailResult.Fulfilled && r.WarnResult.Fulfilled
	r.Pass = !r.FailResult.Fulfilled && !r.WarnResult.Fulfilled
	return r
}

func operate(o *metricsv1.Operator, value float64) OperatorResult {
	if o == nil {
		return OperatorResult{}
	}
	return OperatorResult{Operator: *o, Fulfilled: fulfilled(o, value)}
}

// fulfilled compares by the operator that is given; none is never fulfilled.
func fulfilled(o *metricsv1.Operator, value float64) bool {
	switch {
	case o.LessThanOrEqual != nil:
		return value <= number(o.LessThanOrEqual.FixedValue)
	case o.LessThan != nil:
		return value < number(o.LessThan.FixedValue)
	case o.GreaterThan != nil:
		return value > number(o.GreaterThan.FixedValue)
	case o.GreaterThanOrEqual != nil:
		return value >= number(o.GreaterThanOrEqual.FixedValue)
	case o.EqualTo != nil:
		return value == number(o.EqualTo.FixedValue)
	case o.InRange != nil:
		return within(*o.InRange, value)
	case o.NotInRange != nil:
		return !within(*o.NotInRange, value)
	default:
		return false
	}
}

func within(r metricsv1.RangeValue, value float64) bool {
	return number(r.LowBound) <= value && value <= number(r.HighBound)
}

// number is the float nearest to a quantity, so that 3m equals a measured 0.003.
func number(q resource.Quantity) float64 {
	q = q.DeepCopy() // AsDec changes what it is called on
	f, err := strconv.ParseFloat(q.AsDec().String(), 64)
	if err != nil {
		return q.AsApproximateFloat64()
	}
	return f
}
