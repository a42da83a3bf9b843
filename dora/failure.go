package dora

import (
	"slices"
	"sort"
	"strings"
	"time"
)

// revert blames the deployments of the commits that a success takes back.
func (c *course) revert(o *Outcome) {
	for _, d := range o.Delivered {
		for _, sha := range c.graph.nodes[c.graph.index[d.SHA]].undoes {
			if by, delivered := c.bringer[sha]; delivered && by < len(c.outcomes) {
				o.Rework = true
				c.mend(by, CauseRevert, o.FinishedAt)
			}
		}
	}
}

// mend blames an outcome, and says when it was mended. The first time counts.
func (c *course) mend(outcome int, cause Cause, at time.Time) {
	c.outcomes[outcome].blame(cause)
	if _, mended := c.mends[outcome]; !mended {
		c.mends[outcome] = at
	}
}

func (o *Outcome) blame(cause Cause) {
	if !slices.Contains(o.Causes, cause) {
		o.Causes = append(o.Causes, cause)
	}
}

// attribute blames deployments for incidents, and marks the success that came while one
// lasted as made to mend it. It returns those whose commit nothing deployed.
func (c *course) attribute(incidents []Incident) (strays []Incident) {
	if len(incidents) == 0 {
		return nil
	}
	fixes := c.following(func(o *Outcome) bool { return o.Counts() && o.Result == Success })
	for _, i := range incidents {
		since := sort.Search(len(c.outcomes), func(n int) bool { return c.outcomes[n].FinishedAt.After(i.At) })
		commit := c.inFull(i.Commit)
		if commit == "" && i.Commit != "" {
			strays = append(strays, i)
			continue
		}
		by := c.culprit(i.At, commit, since)
		if by < 0 {
			continue
		}
		o := &c.outcomes[by]
		o.Incidents = append(o.Incidents, i)
		if o.Result == Success {
			o.blame(CauseIncident)
		}
		if fix := fixes[since]; fix < len(c.outcomes) && i.lasts(c.outcomes[fix].FinishedAt) {
			c.outcomes[fix].Rework = true
		}
	}
	return strays
}

// inFull returns the commit that a name abbreviates: the only one that was deployed, else
// the only one that was delivered. It is empty if there is none, or are several.
func (c *course) inFull(name string) string {
	if name == "" {
		return ""
	}
	if _, delivered := c.bringer[name]; delivered {
		return name
	}
	var deployed, delivered []string
	for n := range c.outcomes {
		if sha := c.outcomes[n].Commit; strings.HasPrefix(sha, name) && !slices.Contains(deployed, sha) {
			deployed = append(deployed, sha)
		}
	}
	for sha := range c.bringer {
		if strings.HasPrefix(sha, name) {
			delivered = append(delivered, sha)
		}
	}
	switch {
	case len(deployed) == 1:
		return deployed[0]
	case len(deployed) == 0 && len(delivered) == 1:
		return delivered[0]
	default:
		return ""
	}
}

// culprit returns the outcome that an incident is blamed on, or -1: that of the commit
// which it names, else the newest of those that had finished, if it had not long since.
func (c *course) culprit(began time.Time, commit string, since int) int {
	if commit != "" {
		by, delivered := c.bringer[commit]
		for n := since - 1; n >= 0; n-- {
			if o := &c.outcomes[n]; o.Counts() && o.Commit == commit || delivered && n == by {
				return n
			}
		}
		return -1
	}
	for n := since - 1; n >= 0 && began.Sub(c.outcomes[n].FinishedAt) <= c.options.IncidentWindow; n-- {
		if c.outcomes[n].Counts() {
			return n
		}
	}
	return -1
}

// following are for each place in the outcomes, and for their end, the first outcome
// from there on that is wanted, or their number.
func (c *course) following(wanted func(*Outcome) bool) []int {
	next := make([]int, len(c.outcomes)+1)
	next[len(c.outcomes)] = len(c.outcomes)
	for n := range slices.Backward(c.outcomes) {
		next[n] = next[n+1]
		if wanted(&c.outcomes[n]) {
			next[n] = n
		}
	}
	return next
}

// recover says when what failed was mended: at the next success, or the rollback or the
// revert that mended it, but not later than its incidents ended. What only incidents
// blame was mended when they ended, if that is known.
func (c *course) recover() {
	successes := c.following(func(o *Outcome) bool { return o.Result == Success })
	for n := range c.outcomes {
		o := &c.outcomes[n]
		if !o.Failed() {
			continue
		}
		at, mended := c.mends[n]
		if next := successes[n+1]; !mended && next < len(c.outcomes) {
			at = c.outcomes[next].FinishedAt
		}
		over := o.incidentsOver()
		if !over.IsZero() && (at.IsZero() || over.Before(at) || slices.Equal(o.Causes, []Cause{CauseIncident})) {
			at = over
		}
		o.RecoveredAt = at
	}
}

// incidentsOver is when the last of the incidents ended, zero if one may last.
func (o *Outcome) incidentsOver() time.Time {
	var over time.Time
	for _, i := range o.Incidents {
		if i.ResolvedAt.IsZero() {
			return time.Time{}
		}
		if i.ResolvedAt.After(over) {
			over = i.ResolvedAt
		}
	}
	return over
}
