// Package analysis gives Keptn's weighted verdict over an AnalysisDefinition: it
// renders the query of each objective and scores the values that were measured
// (https://keptn.sh/stable/docs/guides/slo/).
//
// A value that is missing, NaN or infinite is an error. An error never passes:
// neither its objective nor the whole.
//
// The package never fetches a value, never reads a clock, and knows no cluster: a
// caller measures, and hands the values in.
package analysis

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// A Value is what was measured for one AnalysisValueTemplate.
type Value struct {
	// Query as it was asked.
	Query string
	// Value that the provider answered, in the unit of the query.
	Value float64
	// Err says why there is no value.
	Err error
}

// ParseValue reads a value as Keptn stores it in an Analysis's status. What
// cannot be read is a Value with an error.
func ParseValue(stored metricsv1.ProviderResult) Value {
	v := Value{Query: stored.Query}
	switch {
	case stored.ErrMsg != "":
		v.Err = errors.New(stored.ErrMsg)
	default:
		var err error
		if v.Value, err = strconv.ParseFloat(stored.Value, 64); err != nil {
			v.Err = fmt.Errorf("value %q is not a number", stored.Value)
		}
	}
	return v
}

// Key is the name under which Keptn stores a template's value in an Analysis's
// status: its name, and its namespace if that is given.
func Key(template metricsv1.ObjectReference) string {
	if template.Namespace == "" {
		return template.Name
	}
	return template.Name + "-" + template.Namespace
}

// Result is the verdict. As JSON it is what Keptn writes into an Analysis's
// status.raw, but that an error is its text.
type Result struct {
	// ObjectiveResults are in the order of the objectives.
	ObjectiveResults []ObjectiveResult `json:"objectiveResults"`
	// TotalScore is the sum of the objectives' scores.
	TotalScore float64 `json:"totalScore"`
	// MaximumScore is the sum of all weights.
	MaximumScore float64 `json:"maximumScore"`
	// Pass says that the score reaches passPercentage.
	Pass bool `json:"pass"`
	// Warning says that the score reaches warningPercentage only.
	Warning bool `json:"warning"`
}

// ObjectiveResult is the result of one objective.
type ObjectiveResult struct {
	// Result of the comparison; empty where there is an error.
	Result TargetResult `json:"result"`
	// Objective that was judged.
	Objective metricsv1.Objective `json:"objective"`
	// Value that was judged; 0 where there is an error.
	Value float64 `json:"value"`
	// Query that the value answers.
	Query string `json:"query"`
	// Score is the weight if the objective passes, half of it if it warns, else 0.
	Score float64 `json:"score"`
	// Error says why there is no value to judge.
	Error string `json:"error,omitempty"`
}

// TargetResult is how a value compares with a target. It fails where neither
// Warning nor Pass is set.
type TargetResult struct {
	// FailResult is the comparison with target.failure.
	FailResult OperatorResult `json:"failResult"`
	// WarnResult is the comparison with target.warning.
	WarnResult OperatorResult `json:"warnResult"`
	// Warning says that the value does not fail, but warns.
	Warning bool `json:"warning"`
	// Pass says that the value neither fails nor warns.
	Pass bool `json:"pass"`
}

// OperatorResult is one comparison.
type OperatorResult struct {
	// Operator that was compared by; empty if the target has none.
	Operator metricsv1.Operator `json:"operator"`
	// Fulfilled says that the comparison holds.
	Fulfilled bool `json:"fulfilled"`
}

// Evaluate scores the values of a definition's objectives, by the template that
// each objective names.
//
// An objective passes unless its target.failure or target.warning is fulfilled.
// The whole passes from passPercentage of the summed weights, and warns from
// warningPercentage. It does neither where a key objective fails, or where the
// value of any objective is an error.
func Evaluate(spec *metricsv1.AnalysisDefinitionSpec, values map[metricsv1.ObjectReference]Value) Result {
	r := Result{ObjectiveResults: make([]ObjectiveResult, 0, len(spec.Objectives))}
	lost := false
	for _, o := range spec.Objectives {
		result := objective(o, values)
		r.ObjectiveResults = append(r.ObjectiveResults, result)
		r.MaximumScore += weight(o)
		r.TotalScore += result.Score
		failed := !result.Result.Pass && !result.Result.Warning
		lost = lost || result.Error != "" || o.KeyObjective && failed
	}
	if !lost {
		achieved := r.Percentage()
		r.Pass = achieved >= float64(spec.TotalScore.PassPercentage)
		r.Warning = !r.Pass && achieved >= float64(spec.TotalScore.WarningPercentage)
	}
	return r
}

// Percentage is how much of the maximum score was reached, from 0 to 100. It is 0
// where there is nothing to reach.
func (r Result) Percentage() float64 {
	switch r.MaximumScore {
	case 0:
		return 0
	case r.TotalScore:
		return 100
	default:
		return r.TotalScore / r.MaximumScore * 100
	}
}

// Err joins the errors of all objectives, each with its template's name; nil if
// there are none.
func (r Result) Err() error {
	var errs []error
	for i := range r.ObjectiveResults {
		if o := &r.ObjectiveResults[i]; o.Error != "" {
			errs = append(errs, fmt.Errorf("%s: %s", o.Objective.AnalysisValueTemplateRef.Name, o.Error))
		}
	}
	return errors.Join(errs...)
}

// objective judges one objective.
func objective(o metricsv1.Objective, values map[metricsv1.ObjectReference]Value) ObjectiveResult {
	r := ObjectiveResult{Objective: o}
	v, measured := values[o.AnalysisValueTemplateRef]
	r.Query = v.Query
	switch {
	case !measured:
		r.Error = fmt.Sprintf("required value '%s' not available", Key(o.AnalysisValueTemplateRef))
	case v.Err != nil:
		r.Error = v.Err.Error()
	case math.IsNaN(v.Value) || math.IsInf(v.Value, 0):
		r.Error = fmt.Sprintf("value is %v: the query has to yield a finite number", v.Value)
	default:
		r.Value = v.Value
		r.Result = compare(o.Target, v.Value)
		r.Score = score(r.Result, weight(o))
	}
	return r
}

func score(r TargetResult, weight float64) float64 {
	switch {
	case r.Pass:
		return weight
	case r.Warning:
		return weight / 2
	default:
		return 0
	}
}

// weight is 1 unless the objective says otherwise, as the API server would set it.
func weight(o metricsv1.Objective) float64 {
	if o.Weight == nil {
		return 1
	}
	return float64(*o.Weight)
}
