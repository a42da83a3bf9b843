package convert

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// An interval are the values that criteria hold for. Without a bound it has no
// end on that side.
type interval struct{ low, high *bound }

type bound struct {
	value     resource.Quantity
	inclusive bool
}

var (
	compared = regexp.MustCompile(`^(<=|<|>=|>|=)(.*)$`)
	// decimal has as many digits as a quantity holds exactly.
	decimal = regexp.MustCompile(`^[0-9]{1,15}([.][0-9]{1,9})?$`)
)

// criterion reads one criterion, as "<600" or "=0". A relative one, as "<=+10%" or
// "<=+10", compares with earlier results and is no interval.
func criterion(text string) (i interval, relative bool, err error) {
	parts := compared.FindStringSubmatch(strings.Join(strings.Fields(text), ""))
	switch {
	case parts == nil && strings.Contains(text, "%"):
		return interval{}, true, nil
	case parts == nil:
		return interval{}, false, errors.New("it does not begin with <, <=, >, >= or =")
	}
	operator, number := parts[1], parts[2]
	if strings.HasSuffix(number, "%") || strings.HasPrefix(number, "+") || strings.HasPrefix(number, "-") {
		return interval{}, true, nil
	}
	if !decimal.MatchString(number) {
		return interval{}, false, fmt.Errorf("%q is no number of at most 15 digits and 9 decimals", number)
	}
	value, err := resource.ParseQuantity(number)
	if err != nil {
		return interval{}, false, err
	}
	b := &bound{value, strings.HasSuffix(operator, "=")}
	switch operator[0] {
	case '<':
		return interval{high: b}, false, nil
	case '>':
		return interval{low: b}, false, nil
	default:
		return interval{low: b, high: b}, false, nil
	}
}

// and are the values in both intervals.
func (i interval) and(j interval) interval {
	if i.low == nil || j.low != nil && !j.reachesBelow(i) {
		i.low = j.low
	}
	if i.high == nil || j.high != nil && !j.reachesAbove(i) {
		i.high = j.high
	}
	return i
}

// includes says that every value in j is in i.
func (i interval) includes(j interval) bool { return i.reachesBelow(j) && i.reachesAbove(j) }

// reachesBelow says that i begins where j does, or below.
func (i interval) reachesBelow(j interval) bool {
	if i.low == nil || j.low == nil {
		return i.low == nil
	}
	order := i.low.value.Cmp(j.low.value)
	return order < 0 || order == 0 && (i.low.inclusive || !j.low.inclusive)
}

// reachesAbove says that i ends where j does, or above.
func (i interval) reachesAbove(j interval) bool {
	if i.high == nil || j.high == nil {
		return i.high == nil
	}
	order := i.high.value.Cmp(j.high.value)
	return order > 0 || order == 0 && (i.high.inclusive || !j.high.inclusive)
}

// empty says that an interval holds no range of values.
func (i interval) empty() bool {
	return i.low == nil && i.high == nil || i.low != nil && i.high != nil && i.low.value.Cmp(i.high.value) >= 0
}

// point says that an interval holds exactly one value.
func (i interval) point() bool {
	return i.low != nil && i.high != nil && i.low.inclusive && i.high.inclusive && i.low.value.Cmp(i.high.value) == 0
}

func (i interval) rangeValue() *metricsv1.RangeValue {
	return &metricsv1.RangeValue{LowBound: i.low.value, HighBound: i.high.value}
}
