package dora

import (
	"slices"
	"sort"
	"time"
)

// A Window is a span of time that ends with End, which is part of it, and begins after
// End minus Length. Without a Length it has no begin, without an End no end.
type Window struct {
	End    time.Time
	Length time.Duration
}

// from is when the window begins, zero if it has no begin.
func (w Window) from() time.Time {
	if w.Length <= 0 || w.End.IsZero() {
		return time.Time{}
	}
	return w.End.Add(-w.Length)
}

// Outcomes returns those of a service that finished in the window.
func (w Window) Outcomes(s *Service) []Outcome {
	outcomes := s.Outcomes
	after := func(t time.Time) int {
		return sort.Search(len(outcomes), func(n int) bool { return outcomes[n].FinishedAt.After(t) })
	}
	begin, end := 0, len(outcomes)
	if !w.from().IsZero() {
		begin = after(w.from())
	}
	if !w.End.IsZero() {
		end = after(w.End)
	}
	return outcomes[begin:end]
}

// Metrics are the five metrics of an app in an environment. A number that nothing says
// anything about is null in JSON.
type Metrics struct {
	App         string `json:"app"`
	Environment string `json:"environment"`
	// Deployments counts all but redeployments, and FailedDeployments those of them that
	// failed.
	Deployments       int `json:"deployments"`
	FailedDeployments int `json:"failedDeployments"`
	// DeploymentsPerDay divides by the days of the window, or, where it has no begin, by
	// those from the first record's end to the last one's; by one day at least.
	DeploymentsPerDay float64 `json:"deploymentsPerDay"`
	// LeadTime is about all commits that were delivered.
	LeadTime LeadTimes `json:"leadTime"`
	// ChangeFailRate is the failed part of the deployments, from 0 to 1.
	ChangeFailRate *float64 `json:"changeFailRate"`
	// Recovery is about the failed deployments that were mended.
	Recovery Recovery `json:"recovery"`
	// ReworkRate is the part of the deployments that were made to mend something.
	ReworkRate *float64 `json:"reworkRate"`
	// Commits are those that were delivered: by deployment, the newest last, and of each
	// the newest first.
	Commits []DeliveredCommit `json:"commits"`
}

// LeadTimes sum up lead times.
type LeadTimes struct {
	// Count is of those that are valid, Invalid of those that are negative, or whose
	// begin is not known.
	Count      int      `json:"count"`
	P50Seconds *float64 `json:"p50Seconds"`
	P90Seconds *float64 `json:"p90Seconds"`
	Invalid    int      `json:"invalid"`
}

// Recovery sums up recovery times.
type Recovery struct {
	Count      int      `json:"count"`
	P50Seconds *float64 `json:"p50Seconds"`
}

// A DeliveredCommit is a commit and what delivered it.
type DeliveredCommit struct {
	SHA string `json:"sha"`
	// DeployedBy is the commit of the deployment.
	DeployedBy string `json:"deployedBy"`
	// LeadTimeSeconds is null where it is invalid, and Problem then says why.
	LeadTimeSeconds *float64 `json:"leadTimeSeconds"`
	Problem         string   `json:"problem,omitempty"`
}

// Metrics sums up what finished in a window. What is known by now of a deployment counts
// for its window, also what happened later, as its rollback.
func (s *Service) Metrics(w Window) Metrics {
	outcomes := w.Outcomes(s)
	m := Metrics{App: s.App, Environment: s.Environment, Commits: []DeliveredCommit{}}
	var rework int
	var leads, recoveries []float64
	for i := range outcomes {
		o := &outcomes[i]
		if !o.Counts() {
			continue
		}
		m.Deployments++
		if o.Failed() {
			m.FailedDeployments++
		}
		if o.Failed() && !o.RecoveredAt.IsZero() {
			recoveries = append(recoveries, o.RecoveredAt.Sub(o.FinishedAt).Seconds())
		}
		if o.Rework {
			rework++
		}
		for _, d := range o.Delivered {
			commit := DeliveredCommit{SHA: d.SHA, DeployedBy: o.Commit}
			if d.Err != nil {
				m.LeadTime.Invalid++
				commit.Problem = d.Err.Error()
			} else {
				leads = append(leads, d.LeadTime.Seconds())
				commit.LeadTimeSeconds = new(d.LeadTime.Seconds())
			}
			m.Commits = append(m.Commits, commit)
		}
	}
	m.DeploymentsPerDay = float64(m.Deployments) / w.days(outcomes)
	m.ChangeFailRate = share(m.FailedDeployments, m.Deployments)
	m.ReworkRate = share(rework, m.Deployments)
	slices.Sort(leads)
	slices.Sort(recoveries)
	m.LeadTime.Count, m.LeadTime.P50Seconds, m.LeadTime.P90Seconds = len(leads), quantile(leads, 50), quantile(leads, 90)
	m.Recovery = Recovery{Count: len(recoveries), P50Seconds: quantile(recoveries, 50)}
	return m
}

// days is what the number of deployments is divided by.
func (w Window) days(outcomes []Outcome) float64 {
	span := w.Length
	if w.from().IsZero() {
		span = 0
		if len(outcomes) > 0 {
			span = outcomes[len(outcomes)-1].FinishedAt.Sub(outcomes[0].FinishedAt)
		}
	}
	return max(1, span.Hours()/24)
}

// share is a part of a whole, nil if there is no whole.
func share(part, whole int) *float64 {
	if whole == 0 {
		return nil
	}
	return new(float64(part) / float64(whole))
}

// quantile interpolates between the two nearest of sorted values, as PERCENTILE_CONT of
// SQL and quantile_over_time of Prometheus do; nil if there are none.
func quantile(sorted []float64, percent int) *float64 {
	if len(sorted) == 0 {
		return nil
	}
	rank := percent * (len(sorted) - 1)
	low, rest := rank/100, float64(rank%100)
	high := min(low+1, len(sorted)-1)
	return new(sorted[low] + rest*(sorted[high]-sorted[low])/100)
}
