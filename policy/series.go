package policy

import (
	"fmt"
	"math"
	"reflect"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// seriesType is the CEL type of an element of series.<metric>: labels, a map of
// strings, and value, a double.
var seriesType = types.NewObjectType("keptn.Series")

// celSeries is a Series as a CEL value.
type celSeries struct {
	of *Series
}

var _ ref.Val = celSeries{}

// seriesList is a metric's series as a CEL list. It shares the given memory.
func seriesList(adapter types.Adapter, series []Series) ref.Val {
	elements := make([]ref.Val, len(series))
	for i := range series {
		elements[i] = celSeries{&series[i]}
	}
	return types.NewRefValList(adapter, elements)
}

// seriesField describes how a field of a series is read.
func seriesField(field string) (*types.FieldType, bool) {
	always := func(any) bool { return true }
	switch field {
	case "labels":
		return &types.FieldType{
			Type:  cel.MapType(cel.StringType, cel.StringType),
			IsSet: always,
			GetFrom: func(target any) (any, error) {
				return target.(celSeries).of.Labels, nil
			},
		}, true
	case "value":
		return &types.FieldType{Type: cel.DoubleType, IsSet: always, GetFrom: seriesValue}, true
	default:
		return nil, false
	}
}

// seriesValue is the number of a series, if it is one.
func seriesValue(target any) (any, error) {
	v := target.(celSeries).of.Value
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, &undecidedError{what: "the value of a series is " + formatNumber(v)}
	}
	return types.Double(v), nil
}

// ConvertToNative implements ref.Val.
func (s celSeries) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a series cannot be converted to %s", t)
}

// ConvertToType implements ref.Val.
func (s celSeries) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return seriesType
	}
	return types.NewErr("a series cannot be converted to %s", t.TypeName())
}

// Equal implements ref.Val: two series are equal when they are the same one.
func (s celSeries) Equal(other ref.Val) ref.Val {
	o, ok := other.(celSeries)
	return types.Bool(ok && o == s)
}

// Type implements ref.Val.
func (s celSeries) Type() ref.Type { return seriesType }

// Value implements ref.Val.
func (s celSeries) Value() any { return s }
