package metric

import (
	"fmt"
	"math"
)

// Reduce is the one number of a result: what the reducer makes of all samples, or
// without one the result's own (Number). It is finite: ErrNoData says that it would
// be none.
func (r Result) Reduce(reducer Reducer) (float64, error) {
	number, err := r.reduce(reducer)
	if err != nil {
		return 0, err
	}
	if math.IsNaN(number) || math.IsInf(number, 0) {
		return 0, fmt.Errorf("%w: the query yields %v, which is no measurement", ErrNoData, number)
	}
	return number, nil
}

func (r Result) reduce(reducer Reducer) (float64, error) {
	if reducer == "" {
		return r.Number()
	}
	return reducer.ReduceAll(r.Series)
}
