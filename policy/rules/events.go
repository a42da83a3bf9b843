package rules

import (
	"fmt"
	"strconv"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
)

// base is the window over which a ratio's events are counted anew at each evaluation.
// Longer windows are sums of those counts.
const base = "5m"

// Names of the records of events: those of a ratio over the base window, and those of
// a threshold at each evaluation.
const (
	ratioTotal     = "slo:events:increase" + base
	ratioBad       = "slo:bad_events:increase" + base
	thresholdTotal = "slo:events:count"
	thresholdBad   = "slo:bad_events:count"
)

// events are the records that count all and bad events, and their expressions. Where
// there are events, bad ones are 0 and never absent.
type events struct {
	totalName, badName string
	total              string
	bad                func(total string) string // given the record of all
	inBase             bool                      // they are those of the base window
}

// eventsOf are the events of an SLO.
func eventsOf(s v1alpha1.SLO, data policy.QueryData) (events, error) {
	data.Window = base
	if s.Threshold != nil {
		return thresholdEvents(*s.Threshold, data)
	}
	return ratioEvents(*s.Ratio, data)
}

// ratioEvents are the events in the base window. Several series are summed, as where
// the SLO is measured. An absent series of good or bad events is none of them, as long
// as there is one of all.
func ratioEvents(r v1alpha1.RatioIndicator, data policy.QueryData) (events, error) {
	total, err := rendered("total", r.Total, data)
	if err != nil {
		return events{}, err
	}
	e := events{totalName: ratioTotal, badName: ratioBad, total: sumOf(total), inBase: true}
	if r.Bad != "" {
		bad, err := rendered("bad", r.Bad, data)
		e.bad = func(total string) string { return fmt.Sprintf("%s or sum(0 * %s)", sumOf(bad), total) }
		return e, err
	}
	good, err := rendered("good", r.Good, data)
	e.bad = func(total string) string {
		return fmt.Sprintf("clamp_min(sum(%s) - (%s or sum(0 * %s)), 0)", total, sumOf(good), total)
	}
	return e, err
}

// rendered is a query for events in the base window.
func rendered(part, query string, data policy.QueryData) (string, error) {
	text, err := policy.RenderQuery(query, data)
	if err != nil {
		return "", fmt.Errorf("%s: %w", part, err)
	}
	if !policy.ReadsWindow(query) {
		return "", fmt.Errorf("%s does not read the window, and rules need queries that do: write it as sum(increase(…[{{.window}}]))", part)
	}
	return text, nil
}

// opposites are how a value compares where it is not as it should be.
var opposites = map[string]string{"lt": ">=", "lte": ">", "gt": "<=", "gte": "<"}

// thresholdEvents are the values at each evaluation of the rules. A NaN is none.
func thresholdEvents(t v1alpha1.ThresholdIndicator, data policy.QueryData) (events, error) {
	data.Window = ""
	query, err := policy.RenderQuery(t.Query, data)
	if err != nil {
		return events{}, fmt.Errorf("query: %w", err)
	}
	opposite, known := opposites[t.Op]
	if !known {
		return events{}, fmt.Errorf("op %q is unknown: it is lt, lte, gt or gte", t.Op)
	}
	return events{
		totalName: thresholdTotal, badName: thresholdBad,
		total: fmt.Sprintf("count((\n%s\n) >= -Inf)", query),
		bad: func(total string) string {
			return fmt.Sprintf("count((\n%s\n) %s %s) or sum(0 * %s)", query, opposite, number(t.Value), total)
		},
	}, nil
}

// sumOf sums the query, which is on lines of its own: it may end with a comment.
func sumOf(query string) string { return "sum(\n" + query + "\n)" }

// number is a number as PromQL reads it.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
