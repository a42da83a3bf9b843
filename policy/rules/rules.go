// Package rules turns the objectives of a policy into recording and alerting rules of
// Prometheus (https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/),
// by the multiwindow, multi-burn-rate scheme of the Google SRE workbook, chapter 5
// (https://sre.google/workbook/alerting-on-slos/#6-multiwindow-multi-burn-rate-alerts).
//
// An author then has alerts by the same objectives as gate the rollouts. The names of
// the rules are those that Sloth gives (https://sloth.dev), so that its dashboards need
// little change.
//
// The package asks nothing, and takes every provider for one that speaks PromQL: it
// knows only their names.
package rules

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/slo"
)

// Groups are the groups of a Prometheus rule file.
type Groups struct {
	Groups []Group `json:"groups"`
	// Notes are what the rules lack of the policy, and why, in the order of its
	// SLOs.
	Notes []string `json:"-"`
}

// A Group is the rules of one SLO. They have to be evaluated in their order, as those
// of a group are: each reads the ones above it.
type Group struct {
	Name  string `json:"name"`
	Rules []Rule `json:"rules"`
}

// A Rule records the value of an expression, or alerts while it has one.
type Rule struct {
	// Record is the name that the value gets, Alert that of the alert. A rule has
	// one of them.
	Record string `json:"record,omitempty"`
	Alert  string `json:"alert,omitempty"`
	// Expr is in PromQL.
	Expr        string            `json:"expr"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// For are the rules for the SLOs of the policy of that name. The data fill in the
// queries; an app and an environment also become labels, beside service, which is the
// policy, and slo.
//
// A ratio needs queries that read {{.window}}. A threshold counts the value at each
// evaluation of the rules. A calendar's window becomes the rolling one of about its
// length. What has no rules is in the Notes; that no SLO has any is an error.
func For(name string, spec v1alpha1.SLOPolicySpec, data policy.QueryData) (Groups, error) {
	var groups Groups
	for _, s := range spec.SLOs {
		group, notes, err := groupFor(name, s, data)
		if err != nil {
			notes = []string{err.Error()}
		} else {
			groups.Groups = append(groups.Groups, group)
		}
		for _, note := range notes {
			groups.Notes = append(groups.Notes, fmt.Sprintf("slo %q: %s", s.Name, note))
		}
	}
	switch {
	case len(spec.SLOs) == 0:
		return Groups{}, fmt.Errorf("policy %q has no slos: rules are made for those", name)
	case len(groups.Groups) == 0:
		return Groups{}, fmt.Errorf("policy %q has no slo that rules can be made for: %s", name, strings.Join(groups.Notes, "; "))
	default:
		return groups, nil
	}
}

// An objective is an SLO as its rules need it.
type objective struct {
	labels  map[string]string
	period  time.Duration
	percent float64   // that have to be good
	state   slo.State // of which only the objective is known
	events  events
}

// groupFor are the rules of one SLO, and what they lack.
func groupFor(service string, s v1alpha1.SLO, data policy.QueryData) (Group, []string, error) {
	if err := refused(s); err != nil {
		return Group{}, nil, err
	}
	o := objective{
		labels: labels(service, s.Name, data), percent: s.Objective,
		state: slo.State{Objective: slo.Fraction(s.Objective)},
	}
	if objective := o.state.Objective; objective <= 0 || objective >= 1 {
		return Group{}, nil, fmt.Errorf("an objective of %v%% leaves no error budget, or nothing else", s.Objective)
	}
	period, note, err := periodOf(*s.Window)
	if err != nil {
		return Group{}, nil, err
	}
	o.period = period
	if o.events, err = eventsOf(s, data); err != nil {
		return Group{}, nil, err
	}
	var notes []string
	if note != "" {
		notes = append(notes, note)
	}
	kept, left := conditions(o.period, o.state.Budget())
	group := Group{Name: "keptn-slo-" + strings.Join(compact(data.App, data.Environment, service, s.Name), "-")}
	group.Rules = append(o.recordings(kept), o.alerts(kept)...)
	return group, append(notes, left...), nil
}

// refused says why an SLO has no rules.
func refused(s v1alpha1.SLO) error {
	switch {
	case s.OpenSLO != "" && s.Objective == 0:
		return fmt.Errorf("the OpenSLO document %q was not resolved", s.OpenSLO)
	case s.Composite != nil:
		return errors.New("a composite has no rules: its parts have")
	case s.Timeslices != nil:
		return errors.New("timeslices have no rules: they would need a recording at the end of each slice, which Prometheus does not promise")
	case s.Window == nil:
		return errors.New("it has no window")
	case s.Ratio == nil && s.Threshold == nil:
		return errors.New("it has neither of ratio and threshold")
	default:
		return nil
	}
}

// calendars are the rolling windows of about a calendar window's length.
var calendars = map[string]v1alpha1.Period{"day": "1d", "week": "7d", "month": "30d", "quarter": "91d", "year": "365d"}

// periodOf is the length of a window, and what is to be said of it.
func periodOf(w v1alpha1.SLOWindow) (period time.Duration, note string, err error) {
	rolling := w.Rolling
	if w.Calendar != "" {
		var known bool
		if rolling, known = calendars[w.Calendar]; !known {
			return 0, "", fmt.Errorf("calendar has no %q", w.Calendar)
		}
		note = fmt.Sprintf("PromQL knows no calendar %s: its rules are those of a rolling window of %s", w.Calendar, rolling)
	}
	period, err = slo.ParsePeriod(rolling)
	return period, note, err
}

// labels are those of all rules of an SLO.
func labels(service, name string, data policy.QueryData) map[string]string {
	all := map[string]string{"service": service, "slo": name}
	if data.App != "" {
		all["app"] = data.App
	}
	if data.Environment != "" {
		all["environment"] = data.Environment
	}
	return all
}

// compact are the texts that are not empty.
func compact(texts ...string) []string {
	var some []string
	for _, text := range texts {
		if text != "" {
			some = append(some, text)
		}
	}
	return some
}
