package policy

import (
	"math"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/slo"
)

// A namedSLO is what is known of slo.<name>.
type namedSLO struct {
	name string
	slo.State
	// unburned says why it is not known what the rollout burned; it is empty where
	// it is.
	unburned string
}

// namedSLO is what a run knows of an SLO.
func (r *run) namedSLO(name string, state slo.State) *namedSLO {
	n := &namedSLO{name: name, State: state}
	switch {
	case state.Missing != "":
		n.unburned = state.Missing
	case state.Burned != nil:
	case state.MissingBurned != "":
		n.unburned = state.MissingBurned
	case r.input.Rollout == nil || r.input.Rollout.StartedAt.IsZero():
		n.unburned = "the rollout has not begun"
	default:
		n.unburned = "it was not measured"
	}
	return n
}

// sloObjects is the CEL type of slo.<name>.
var sloObjects = &objectType{
	celType: types.NewObjectType("keptn.SLO"),
	fields: []objectField{
		sloNumber("budget", slo.State.Budget),
		sloMeasured("budgetRemaining", func(s slo.State) float64 { return s.BudgetRemaining }),
		sloBurned(),
		sloMeasured("errorRatio", func(s slo.State) float64 { return s.ErrorRatio }),
		sloMeasured("good", func(s slo.State) float64 { return s.Good }),
		sloNumber("objective", func(s slo.State) float64 { return s.Objective }),
		sloMeasured("total", func(s slo.State) float64 { return s.Total }),
	},
	show: func(of any) string {
		s := of.(*namedSLO)
		if s.Missing != "" {
			return "no data: " + s.Missing
		}
		text := formatPercent(s.Objective) + " objective, " + formatPercent(s.BudgetRemaining) + " of the error budget left"
		if s.unburned == "" {
			text += ", " + formatPercent(*s.Burned) + " burned by the rollout"
		}
		return text
	},
}

// sloMeasured is a number that there is only where there is data over the SLO's
// window.
func sloMeasured(name string, get func(slo.State) float64) objectField {
	number := sloNumber(name, get)
	return field(name, number.celType, func(s *namedSLO) (any, error) {
		if s.Missing != "" {
			return nil, &undecidedError{what: "slo." + s.name + " has no data: " + s.Missing}
		}
		return number.get(s)
	})
}

// sloBurned is what the rollout used up of the error budget, as a fraction of it.
func sloBurned() objectField {
	const name = "burned"
	number := sloNumber(name, func(s slo.State) float64 { return *s.Burned })
	return field(name, number.celType, func(s *namedSLO) (any, error) {
		if s.unburned != "" {
			return nil, &undecidedError{what: "slo." + s.name + "." + name + " has no data: " + s.unburned}
		}
		return number.get(s)
	})
}

func sloNumber(name string, get func(slo.State) float64) objectField {
	return finite(name, "the "+name+" of an slo", func(s *namedSLO) float64 { return get(s.State) })
}

// The names of the functions of an SLO, whose windows have to be known before
// anything is measured.
const (
	functionBurnRate    = "burnRate"
	functionExhaustedIn = "exhaustedIn"
)

// burnRate is slo.x.burnRate(window).
func burnRate(args ...ref.Val) ref.Val {
	s, window, err := burnArguments(args)
	if err != nil {
		return err
	}
	return types.Double(s.Burn[window])
}

// exhaustedIn is slo.x.exhaustedIn(window): after what time the error budget is
// used up at the burn rate over the window. Never is the longest duration that
// there is, 292 years, so that "not within a day" holds.
func exhaustedIn(args ...ref.Val) ref.Val {
	s, window, err := burnArguments(args)
	if err != nil {
		return err
	}
	if s.Missing != "" {
		return undecided(noID, "slo.%s has no data: %s", s.name, s.Missing)
	}
	left, ever := s.Exhaustion(window)
	if !ever {
		left = math.MaxInt64
	}
	return types.Duration{Duration: left}
}

// burnArguments are an SLO and a window over which its burn rate is known, or why
// there are none.
func burnArguments(args []ref.Val) (*namedSLO, time.Duration, ref.Val) {
	o, isObject := args[0].(*object)
	text, isText := args[1].(types.String)
	if !isObject || !isText {
		return nil, 0, types.MaybeNoSuchOverloadErr(args[0])
	}
	s, isSLO := o.of.(*namedSLO)
	if !isSLO {
		return nil, 0, types.MaybeNoSuchOverloadErr(args[0])
	}
	window, err := slo.ParsePeriod(v1alpha1.Period(text))
	if err != nil {
		return nil, 0, undecided(noID, "%v", err)
	}
	switch rate, measured := s.Burn[window]; {
	case s.MissingBurn[window] != "":
		return nil, 0, undecided(noID, "slo.%s has no burn rate over %s: %s", s.name, text, s.MissingBurn[window])
	case !measured:
		return nil, 0, undecided(noID, "slo.%s has no burn rate over %s: it was not measured", s.name, text)
	case !isFinite(rate):
		return nil, 0, undecided(noID, "the burn rate of slo.%s over %s is %s", s.name, text, formatNumber(rate))
	}
	return s, window, nil
}
