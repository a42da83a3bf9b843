package policy

import (
	"errors"
	"fmt"
	"math"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy/slo"
)

// defaultPeriod is the window of an SLO in a file that does not give it.
const defaultPeriod = 30 * 24 * time.Hour

// parseSLOs reads the states of SLOs. Null is no data.
func parseSLOs(name string, n *yaml.Node) (map[string]slo.State, error) {
	states := map[string]slo.State{}
	err := eachField(n, name, func(key string, value *yaml.Node) error {
		if target(value).Tag == "!!null" {
			return nil
		}
		state, err := parseSLO(name+"."+key, value)
		states[key] = state
		return err
	})
	return states, err
}

// An sloText is the state of an SLO as it is written.
type sloText struct {
	Objective       *float64                     `json:"objective"`
	Window          v1alpha1.Period              `json:"window"`
	Good            *float64                     `json:"good"`
	Total           *float64                     `json:"total"`
	BudgetRemaining *float64                     `json:"budgetRemaining"`
	Burned          *float64                     `json:"burned"`
	Burn            map[v1alpha1.Period]*float64 `json:"burn"`
}

func parseSLO(name string, n *yaml.Node) (slo.State, error) {
	var text sloText
	if err := decodeStrict(name, n, &text); err != nil {
		return slo.State{}, err
	}
	state, err := text.state()
	if err != nil {
		return slo.State{}, misread(n, "%s: %v", name, err)
	}
	return state, nil
}

// state is the state that is written, of which an objective that is not given is
// no number.
func (t sloText) state() (slo.State, error) {
	objective, period := math.NaN(), defaultPeriod
	if t.Objective != nil {
		if objective = slo.Fraction(*t.Objective); *t.Objective <= 1 || *t.Objective >= 100 {
			return slo.State{}, fmt.Errorf("objective %v is no percentage as in a policy: write 99.9", *t.Objective)
		}
	}
	if t.Window != "" {
		var err error
		if period, err = slo.ParsePeriod(t.Window); err != nil {
			return slo.State{}, err
		}
	}
	var state slo.State
	counted := t.Good != nil && t.Total != nil
	switch {
	case (t.Good != nil) != (t.Total != nil), counted == (t.BudgetRemaining != nil):
		return slo.State{}, errors.New("give either good and total, or budgetRemaining")
	case counted && t.Objective == nil:
		return slo.State{}, errors.New("good and total say nothing of the budget without an objective")
	case counted:
		state = slo.Of(objective, period, slo.GoodOf(*t.Good, *t.Total), nil)
	default:
		state = slo.State{Objective: objective, Period: period, BudgetRemaining: *t.BudgetRemaining}
		state.ErrorRatio = (1 - state.BudgetRemaining) * state.Budget()
		state.Good, state.Total = math.NaN(), math.NaN()
	}
	return state, t.setBurn(&state)
}

// setBurn sets what was burned, and the burn rates.
func (t sloText) setBurn(state *slo.State) error {
	if state.Burned = t.Burned; t.Burned != nil && *t.Burned < 0 {
		return fmt.Errorf("burned %v is no fraction of the error budget: write 0.03 for 3%%", *t.Burned)
	}
	state.Burn, state.MissingBurn = map[time.Duration]float64{}, map[time.Duration]string{}
	for text, rate := range t.Burn {
		window, err := slo.ParsePeriod(text)
		switch {
		case err != nil:
			return err
		case rate == nil:
			state.MissingBurn[window] = "no data"
		default:
			state.Burn[window] = *rate
		}
	}
	return nil
}
