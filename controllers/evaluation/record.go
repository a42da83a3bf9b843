package evaluation

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/measure"
	"github.com/keptn/gitops/policy/slo"
)

// The reasons of an evaluation's conditions.
const (
	reasonSucceeded    = "Succeeded"
	reasonWarning      = "Warning"
	reasonFailed       = "Failed"
	reasonInconclusive = "Inconclusive"
	reasonMeasuring    = "Measuring"
	reasonAnalysing    = "Analysing"
	reasonNotMet       = "NotMet"
	reasonNotFound     = "DefinitionNotFound"
)

const (
	// maxPart is how much is kept of what is one of many, in bytes.
	maxPart = 200
	// maxWarnings is how many remarks are kept with a question.
	maxWarnings = 5
)

// record writes what the verdict says of each rule.
func record(s *lifecyclev1.KeptnEvaluationStatus, v policy.Verdict) {
	s.Score = decimal(v.Score)
	s.MaxScore = decimal(v.MaxScore)
	s.EvaluationStatus = make(map[string]lifecyclev1.EvaluationStatusItem, len(v.Rules))
	for _, rule := range v.Rules {
		item := lifecyclev1.EvaluationStatusItem{
			Value:   string(rule.Result),
			Status:  stateOf(rule.Result),
			Message: rule.Message,
		}
		for _, x := range rule.Explain {
			item.Explain = append(item.Explain, lifecyclev1.ExpressionValue{Expr: x.Expr, Value: x.Value})
		}
		s.EvaluationStatus[rule.Name] = item
	}
}

// explainLines adds the log lines behind a metric to the explanations of the rules
// that read it.
func explainLines(s *lifecyclev1.KeptnEvaluationStatus, measured measure.Measured) {
	for _, r := range measured.Records {
		if r.For != measure.Metrics || len(r.Lines) == 0 {
			continue
		}
		for name, item := range s.EvaluationStatus {
			reads := slices.ContainsFunc(item.Explain, func(x lifecyclev1.ExpressionValue) bool {
				return x.Expr == "metrics."+r.Name || x.Expr == "series."+r.Name
			})
			if reads {
				item.Explain = append(item.Explain, lifecyclev1.ExpressionValue{Expr: "log of " + r.Name, Value: strings.Join(r.Lines, "\n")})
				s.EvaluationStatus[name] = item
			}
		}
	}
}

// measurementsOf is what a record keeps of the questions.
func measurementsOf(measured measure.Measured) []lifecyclev1.Measurement {
	all := make([]lifecyclev1.Measurement, len(measured.Records))
	for i, r := range measured.Records {
		at := metav1.NewTime(r.At)
		m := lifecyclev1.Measurement{
			Name: nameOf(r), Provider: r.Provider, Query: r.Query, At: &at,
			Value: r.Value, Series: int32(r.Series), //nolint:gosec // the limit of series is far below 2^31
			Reason: r.Reason, Message: r.Message, Lines: r.Lines, Warnings: few(r.Warnings),
		}
		if !r.From.Equal(r.At) {
			from := metav1.NewTime(r.From)
			m.From = &from
		}
		if r.Step > 0 {
			m.Step = &metav1.Duration{Duration: r.Step}
		}
		all[i] = m
	}
	return all
}

// few are the first remarks of a provider, and the begins of long ones.
func few(warnings []string) []string {
	var kept []string
	for _, w := range warnings[:min(len(warnings), maxWarnings)] {
		kept = append(kept, condition.Bounded(w, maxPart))
	}
	return kept
}

// nameOf says what a question was for: a metric's name, baseline.<metric>, or
// slo.<objective>.<part>.
func nameOf(r measure.Record) string {
	name := r.Name
	if r.For != measure.Metrics {
		name = r.For + "." + r.Name
	}
	if r.Part != "" {
		name += "." + r.Part
	}
	return name
}

// objectivesOf is what a record keeps of the objectives.
func objectivesOf(measured measure.Measured) []lifecyclev1.SLOStatus {
	all := make([]lifecyclev1.SLOStatus, 0, len(measured.SLOs))
	for _, name := range slices.Sorted(maps.Keys(measured.SLOs)) {
		all = append(all, objectiveOf(name, measured.SLOs[name]))
	}
	return all
}

func objectiveOf(name string, state slo.State) lifecyclev1.SLOStatus {
	if state.Missing != "" {
		return lifecyclev1.SLOStatus{Name: name, Message: state.Missing}
	}
	status := lifecyclev1.SLOStatus{
		Name:            name,
		ErrorRatio:      percent(state.ErrorRatio),
		BudgetRemaining: percent(state.BudgetRemaining),
	}
	switch {
	case state.Burned != nil:
		status.BudgetBurned = percent(*state.Burned)
	case state.MissingBurned != "":
		status.Message = "budget burned: " + state.MissingBurned
	}
	for window, rate := range state.Burn {
		if status.BurnRates == nil {
			status.BurnRates = map[string]string{}
		}
		status.BurnRates[slo.Notation(window)] = strconv.FormatFloat(rate, 'g', 6, 64)
	}
	return status
}

func percent(fraction float64) string {
	return strconv.FormatFloat(fraction*100, 'g', 6, 64) + "%"
}

// begin notes which generation is evaluated, and since when.
func begin(e *lifecyclev1.KeptnEvaluation, now time.Time) {
	e.Status.ObservedGeneration = e.Generation
	if e.Status.StartTime.IsZero() {
		e.Status.StartTime = metav1.NewTime(now)
	}
}

// proceed says that the evaluation goes on.
func proceed(e *lifecyclev1.KeptnEvaluation, state lifecyclev1.KeptnState, reason, message string) {
	e.Status.OverallStatus = state
	e.Status.Summary = message
	condition.Summarize(e, condition.Waiting(reason, "%s", message))
}

// end makes the evaluation final.
func end(e *lifecyclev1.KeptnEvaluation, now time.Time, result policy.Result, summary string) {
	s := &e.Status
	s.OverallStatus = stateOf(result)
	s.Verdict = lifecyclev1.Verdict(result)
	s.Summary = summary
	s.EndTime = metav1.NewTime(now)
	o := condition.Ready(reasonSucceeded, "%s", summary)
	switch result {
	case policy.Pass:
	case policy.Warning:
		o.Reason = reasonWarning
	case policy.Fail:
		o = condition.Failed(reasonFailed, "%s", summary)
	case policy.Inconclusive:
		o = condition.Failed(reasonInconclusive, "%s", summary)
	}
	condition.Summarize(e, o)
}

func stateOf(r policy.Result) lifecyclev1.KeptnState {
	switch r {
	case policy.Pass:
		return lifecyclev1.StateSucceeded
	case policy.Warning:
		return lifecyclev1.StateWarning
	case policy.Fail:
		return lifecyclev1.StateFailed
	case policy.Inconclusive:
		return lifecyclev1.StateUnknown
	default:
		return lifecyclev1.StateUnknown
	}
}

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}
