package main

import (
	"time"

	"github.com/keptn/gitops/dora"
)

// A doraRow is what keptn dora prints of an app in an environment.
type doraRow struct {
	dora.Metrics
	Bands   dora.Bands   `json:"bands,omitzero"`
	Trend   []dora.Point `json:"trend"`
	Records []doraRecord `json:"records"`
}

// A doraRecord is a deployment and what became of it.
type doraRecord struct {
	Commit          string       `json:"commit"`
	StartedAt       time.Time    `json:"startedAt"`
	FinishedAt      time.Time    `json:"finishedAt"`
	Kind            dora.Kind    `json:"kind"`
	FailedBy        []dora.Cause `json:"failedBy,omitempty"`
	RecoverySeconds *float64     `json:"recoverySeconds,omitempty"`
	Rework          bool         `json:"rework,omitempty"`
	Incidents       []string     `json:"incidents,omitempty"`
	Problem         string       `json:"problem,omitempty"`
}

func newDoraRow(s *dora.Service, w dora.Window, report dora.Report) (doraRow, error) {
	row := doraRow{Metrics: s.Metrics(w), Records: []doraRecord{}}
	outcomes := w.Outcomes(s)
	for i := range outcomes {
		row.Records = append(row.Records, newDoraRecord(&outcomes[i]))
	}
	row.Trend = doraTrend(s, w, outcomes)
	var err error
	row.Bands, err = row.Metrics.Bands(report)
	return row, err
}

func newDoraRecord(o *dora.Outcome) doraRecord {
	r := doraRecord{
		Commit: o.Commit, StartedAt: o.StartedAt, FinishedAt: o.FinishedAt, Kind: o.Kind, FailedBy: o.Causes, Rework: o.Rework,
	}
	if !o.RecoveredAt.IsZero() {
		r.RecoverySeconds = new(o.RecoveredAt.Sub(o.FinishedAt).Seconds())
	}
	for _, i := range o.Incidents {
		r.Incidents = append(r.Incidents, i.ID)
	}
	if o.Problem != nil {
		r.Problem = o.Problem.Error()
	}
	return r
}

// doraTrend is by days for up to a month, by weeks for up to a year, else by months, and
// covers the whole window. Without a begin it covers all outcomes in whole parts.
func doraTrend(s *dora.Service, w dora.Window, outcomes []dora.Outcome) []dora.Point {
	if len(outcomes) == 0 && w.Length == 0 {
		return []dora.Point{}
	}
	if w.Length > 0 {
		return s.Trend(w, trendSpan(w.Length))
	}
	if w.End.IsZero() {
		w.End = outcomes[len(outcomes)-1].FinishedAt
	}
	all := w.End.Sub(outcomes[0].FinishedAt)
	span := trendSpan(all)
	w.Length = all.Truncate(span) + span // more than all: a window's begin is not part of it
	return s.Trend(w, span)
}

// trendSpan is how long a part of a trend is.
func trendSpan(length time.Duration) time.Duration {
	const days, weeks = 31, 53
	switch {
	case length <= days*dora.Day:
		return dora.Day
	case length <= weeks*dora.Week:
		return dora.Week
	default:
		return dora.Month
	}
}
