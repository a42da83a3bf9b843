package connect

import (
	"fmt"
	"strings"

	"github.com/keptn/gitops/policy/metric"
)

// CheckQuery refuses a query that no provider can answer.
func CheckQuery(q metric.Query) error {
	switch {
	case strings.TrimSpace(q.Expr) == "":
		return fmt.Errorf("%w: it is empty", metric.ErrBadQuery)
	case q.At.IsZero():
		return fmt.Errorf("%w: it has no time", metric.ErrBadQuery)
	case q.Window < 0, q.Step < 0, q.Step > 0 && q.Window == 0:
		return fmt.Errorf("%w: it has a window of %s and a step of %s", metric.ErrBadQuery, q.Window, q.Step)
	case q.Step > 0 && int64(q.Window/q.Step) > MaxSamples/10:
		return fmt.Errorf("%w: it asks for a sample each %s of %s: take a longer step", metric.ErrBadQuery, q.Step, q.Window)
	default:
		return nil
	}
}

// CheckSeries refuses a result that has no sample, or too many. A series without
// samples is left out before.
func (s Server) CheckSeries(series []metric.Series) error {
	samples := 0
	for _, one := range series {
		samples += len(one.Samples)
	}
	switch {
	case samples == 0:
		return fmt.Errorf("%w: the query yields no sample", metric.ErrNoData)
	case samples > MaxSamples:
		return fmt.Errorf("%w: the query yields %d samples, and the limit is %d: aggregate them, or take a longer step", metric.ErrTooManySeries, samples, MaxSamples)
	default:
		return s.CheckCount(len(series))
	}
}

// CheckCount refuses a result of n series where those are too many. It is worth
// asking before they are converted, which takes memory.
func (s Server) CheckCount(n int) error {
	if n > s.Limit() {
		return fmt.Errorf("%w: the query yields %d, and the limit is %d: aggregate them", metric.ErrTooManySeries, n, s.Limit())
	}
	return nil
}
