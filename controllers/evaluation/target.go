package evaluation

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A target is what a value has to be.
type target struct {
	operator operator
	number   float64
}

// An operator compares a value with a number. Nothing holds of NaN.
type operator struct {
	text  string
	holds func(value, number float64) bool
}

// operators are all that a target can have. One that begins like another goes
// before it.
var operators = []operator{
	{"<=", func(value, number float64) bool { return value <= number }},
	{">=", func(value, number float64) bool { return value >= number }},
	{"==", func(value, number float64) bool { return value == number }},
	{"<", func(value, number float64) bool { return value < number }},
	{">", func(value, number float64) bool { return value > number }},
}

// met says whether a value is as it has to be.
func (t target) met(value float64) bool { return t.operator.holds(value, t.number) }

// parseTarget reads an evaluationTarget: an operator and a number, with blanks
// wherever one likes.
func parseTarget(text string) (target, error) {
	for _, o := range operators {
		rest, ok := strings.CutPrefix(strings.TrimSpace(text), o.text)
		if !ok {
			continue
		}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "=") || strings.HasPrefix(rest, "<") || strings.HasPrefix(rest, ">") {
			break
		}
		number, err := strconv.ParseFloat(rest, 64)
		if err != nil || math.IsNaN(number) || math.IsInf(number, 0) {
			return target{}, fmt.Errorf("invalid syntax in evaluationTarget '%s': %q is not a number", text, rest)
		}
		return target{o, number}, nil
	}
	return target{}, fmt.Errorf("invalid operator in evaluationTarget '%s': write one of <, <=, >, >= and ==, and a number", text)
}
