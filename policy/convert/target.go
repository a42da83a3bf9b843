package convert

import (
	"fmt"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// target says when an objective fails and warns, of its pass and warning
// criteria. It is empty where nothing can be said.
func target(o *sloObjective) (metricsv1.Target, []string) {
	var t teller
	made := t.target(t.alternatives("pass", o.Pass), t.alternatives("warning", o.Warning))
	if made == (metricsv1.Target{}) && len(o.Pass)+len(o.Warning) > 0 {
		t.tell("it has become informative: it always passes")
	}
	return made, t.notes
}

// A teller collects notes.
type teller struct{ notes []string }

func (t *teller) tell(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// alternatives reads criteria, without those that are relative and those after
// the second, as Keptn's converter does, and without those that are none. An
// alternative of which nothing is left is left out.
func (t *teller) alternatives(what string, written []alternative) []interval {
	var read []interval
	for _, a := range written {
		both, kept := interval{}, 0
		for _, text := range a.Criteria {
			one, relative, err := criterion(text)
			switch {
			case err != nil:
				t.tell("%s criterion %q is left out: %v", what, text, err)
			case relative:
				t.tell("%s criterion %q is left out: an Analysis compares with no earlier result", what, text)
			case kept == 2:
				t.tell("%s criterion %q is left out: only two of one list are converted", what, text)
			default:
				both, kept = both.and(one), kept+1
			}
		}
		if kept > 0 {
			read = append(read, both)
		}
	}
	return read
}

// target follows the rules of Keptn's converter
// (https://github.com/keptn/lifecycle-toolkit/blob/main/metrics-operator/converter/slo_converter.md).
func (t *teller) target(pass, warning []interval) metricsv1.Target {
	switch {
	case len(pass) == 0:
		return metricsv1.Target{}
	case len(warning) > 1, len(warning) == 1 && len(pass) > 1:
		t.tell("alternatives of pass and warning criteria cannot be expressed: only one list of each is converted")
		return metricsv1.Target{}
	case len(pass) > 1:
		return metricsv1.Target{Failure: t.neither(pass)}
	case len(warning) == 0:
		return metricsv1.Target{Failure: t.outside("pass", pass[0])}
	case warning[0].includes(pass[0]):
		return t.both(t.outside("warning", warning[0]), t.outside("pass", pass[0]))
	case pass[0].includes(warning[0]):
		t.tell("values that meet warning criteria warn, though they meet pass criteria too")
		return t.both(t.outside("pass", pass[0]), t.inside("warning", warning[0]))
	default:
		t.tell("pass and warning criteria of which neither includes the other cannot be expressed")
		return metricsv1.Target{}
	}
}

// both is a target of both operators: one alone would say something else.
func (t *teller) both(failure, warning *metricsv1.Operator) metricsv1.Target {
	if failure == nil || warning == nil {
		return metricsv1.Target{}
	}
	return metricsv1.Target{Failure: failure, Warning: warning}
}

// neither is fulfilled by values in none of the first two alternatives.
func (t *teller) neither(pass []interval) *metricsv1.Operator {
	if len(pass) > 2 {
		t.tell("pass criteria after the second alternative are left out: only two are converted")
	}
	a, b := pass[0], pass[1]
	if a.low != nil && b.high != nil {
		a, b = b, a
	}
	switch {
	case a.includes(b):
		return t.outside("pass", a)
	case b.includes(a):
		return t.outside("pass", b)
	case a.low != nil || b.high != nil:
		t.tell("alternatives of pass criteria cannot be expressed unless one is an upper and one a lower bound")
		return nil
	case a.high.value.Cmp(b.low.value) >= 0:
		t.tell("one of the two alternatives of pass criteria always holds, or for every value but one")
		return nil
	default:
		return &metricsv1.Operator{InRange: &metricsv1.RangeValue{LowBound: a.high.value, HighBound: b.low.value}}
	}
}

// outside is fulfilled by values that are not in an interval.
func (t *teller) outside(what string, i interval) *metricsv1.Operator {
	switch {
	case i.point():
		t.tell("%s criteria hold for %s only: that any other value does not meet them cannot be expressed", what, &i.low.value)
		return nil
	case i.empty():
		t.tell("%s criteria hold for no value", what)
		return nil
	case i.low == nil && i.high.inclusive:
		return &metricsv1.Operator{GreaterThan: &metricsv1.OperatorValue{FixedValue: i.high.value}}
	case i.low == nil:
		return &metricsv1.Operator{GreaterThanOrEqual: &metricsv1.OperatorValue{FixedValue: i.high.value}}
	case i.high == nil && i.low.inclusive:
		return &metricsv1.Operator{LessThan: &metricsv1.OperatorValue{FixedValue: i.low.value}}
	case i.high == nil:
		return &metricsv1.Operator{LessThanOrEqual: &metricsv1.OperatorValue{FixedValue: i.low.value}}
	default:
		return &metricsv1.Operator{NotInRange: i.rangeValue()}
	}
}

// inside is fulfilled by values in an interval.
func (t *teller) inside(what string, i interval) *metricsv1.Operator {
	switch {
	case i.point():
		return &metricsv1.Operator{EqualTo: &metricsv1.OperatorValue{FixedValue: i.low.value}}
	case i.empty():
		t.tell("%s criteria hold for no value", what)
		return nil
	case i.low == nil && i.high.inclusive:
		return &metricsv1.Operator{LessThanOrEqual: &metricsv1.OperatorValue{FixedValue: i.high.value}}
	case i.low == nil:
		return &metricsv1.Operator{LessThan: &metricsv1.OperatorValue{FixedValue: i.high.value}}
	case i.high == nil && i.low.inclusive:
		return &metricsv1.Operator{GreaterThanOrEqual: &metricsv1.OperatorValue{FixedValue: i.low.value}}
	case i.high == nil:
		return &metricsv1.Operator{GreaterThan: &metricsv1.OperatorValue{FixedValue: i.low.value}}
	default:
		return &metricsv1.Operator{InRange: i.rangeValue()}
	}
}
