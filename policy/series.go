package policy

import (
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
)

// seriesObjects is the CEL type of an element of series.<metric>.
var seriesObjects = &objectType{
	celType: types.NewObjectType("keptn.Series"),
	fields: []objectField{
		known("labels", cel.MapType(cel.StringType, cel.StringType), func(s *measuredSeries) map[string]string { return s.labels }),
		field("value", cel.DoubleType, func(s *measuredSeries) (any, error) {
			v, why := s.number()
			if why != "" {
				return nil, &undecidedError{what: why}
			}
			return types.Double(v), nil
		}),
	},
	show: func(of any) string {
		s := of.(*measuredSeries)
		if s.undecided != "" {
			return fmt.Sprintf("%v undecided: %s", s.labels, s.undecided)
		}
		return fmt.Sprintf("%v %s", s.labels, formatExact(s.value))
	},
}

// A measuredSeries is a series whose samples have become one number, unless it
// says why not.
type measuredSeries struct {
	labels    map[string]string
	value     float64
	undecided string
}

// number is the value of the series, or why there is none.
func (s *measuredSeries) number() (value float64, undecided string) {
	switch {
	case s.undecided != "":
		return 0, s.undecided
	case !isFinite(s.value):
		return 0, "the value of a series is " + formatNumber(s.value)
	default:
		return s.value, ""
	}
}
