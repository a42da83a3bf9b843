package dora

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// DefaultIncidentWindow is how long after a deployment an incident is taken for its
// effect. What a deployment breaks is mostly seen at once; a day covers what only the
// next peak of traffic or the nightly job shows, and blames no deployment of last week.
const DefaultIncidentWindow = 24 * time.Hour

// Options say how deployments are evaluated. The zero value is usable.
type Options struct {
	// Paths are the files and folders that the app is made of: only commits that change
	// them count. None is the whole repository.
	Paths []string
	// LeadTimeFrom is where lead times begin; by default [FromCommit].
	LeadTimeFrom LeadTimeFrom
	// Incidents are those of all apps; those of apps without deployments are ignored, and
	// those whose commit nothing deployed are [Service.Strays].
	Incidents []Incident
	// IncidentWindow is how long after a deployment an incident is taken for its
	// effect; by default [DefaultIncidentWindow].
	IncidentWindow time.Duration
}

// A Kind is what a deployment did to what runs.
type Kind string

// What a deployment can do.
const (
	// Baseline is the first success: what it delivered is not known.
	Baseline Kind = "baseline"
	// Forward is a success with commits that the one before had not.
	Forward Kind = "forward"
	// Rollback is a success of a commit that what ran had long since, or of the commit
	// that ran before a failure.
	Rollback Kind = "rollback"
	// Redeployment is a deployment, whatever its result, of the commit that runs
	// already. It is no deployment to any metric.
	Redeployment Kind = "redeployment"
	// Failed is a failure that is no redeployment.
	Failed Kind = "failed"
	// Unknown is a success of a commit that the repository does not have.
	Unknown Kind = "unknown"
)

// An Outcome is a deployment and what became of it.
type Outcome struct {
	Deployment
	Kind Kind
	// Problem says why it is not known what was delivered; it wraps [ErrUnknownCommit].
	Problem error
	// Delivered are the commits that it delivered, newest first.
	Delivered []Delivery
	// Causes say why it counts as failed, without repetitions; none if it does not.
	Causes []Cause
	// RecoveredAt is when what failed was mended; zero while it is not.
	RecoveredAt time.Time
	// Rework tells that it was made to mend something.
	Rework bool
	// Incidents are those that it is taken to have caused.
	Incidents []Incident
}

// A Delivery is a commit and how long it took.
type Delivery struct {
	SHA string
	// LeadTime is how long it took; zero if Err is set.
	LeadTime time.Duration
	// Err is ErrNegative or ErrNoTime.
	Err error
}

// Counts tells whether the outcome is a deployment to the metrics.
func (o *Outcome) Counts() bool { return o.Kind != Redeployment }

// Failed tells whether it counts as failed.
func (o *Outcome) Failed() bool { return len(o.Causes) > 0 }

// A Service is the history of an app in an environment.
type Service struct {
	App, Environment string
	// Outcomes are sorted by the time they finished.
	Outcomes []Outcome
	// Strays are the incidents that name a commit which no deployment is of and none
	// delivered, or an abbreviation that fits several. They are blamed on nobody.
	Strays []Incident
}

// Evaluate works out what deployments did, by app and environment, sorted by these.
//
// A success delivers the commits that it can reach and that no success before it could,
// but for merges; the first one delivers none that are counted. An unknown commit is its
// outcome's Problem; any other error of the history ends the evaluation.
func Evaluate(ctx context.Context, h History, deployments []Deployment, o Options) ([]Service, error) {
	if !slices.Contains([]LeadTimeFrom{"", FromCommit, FromFirstCommit, FromMerge}, o.LeadTimeFrom) {
		return nil, fmt.Errorf("lead time from %q: has to be %s, %s or %s", o.LeadTimeFrom, FromCommit, FromFirstCommit, FromMerge)
	}
	o.IncidentWindow = cmp.Or(o.IncidentWindow, DefaultIncidentWindow)
	g := newGraph(h)
	groups := byName(deployments)
	services := make([]Service, 0, len(groups))
	for _, n := range slices.SortedFunc(maps.Keys(groups), name.compare) {
		c := course{graph: g, options: o, ran: -1, running: -1, gone: map[int]bool{}, bringer: map[string]int{}, mends: map[int]time.Time{}}
		for _, d := range groups[n] {
			if err := c.take(ctx, d); err != nil {
				return nil, fmt.Errorf("%s in %s: %w", n.app, n.environment, err)
			}
		}
		strays := c.attribute(incidentsOf(n, o.Incidents))
		c.recover()
		services = append(services, Service{App: n.app, Environment: n.environment, Outcomes: c.outcomes, Strays: strays})
	}
	return services, nil
}

// A course follows the deployments of one service.
type course struct {
	graph    *graph
	options  Options
	outcomes []Outcome
	// ran is the outcome of the latest success, -1 before the first.
	ran int
	// running is the node of the latest success whose commit is known, or -1.
	running int
	// broken tells that a failure came after the latest success.
	broken bool
	// gone holds commits that an earlier success could reach and running cannot.
	gone map[int]bool
	// bringer maps commits, merges too, to the outcome that delivered them.
	bringer map[string]int
	// mends are for each outcome when a rollback or a revert mended it.
	mends map[int]time.Time
}

// take adds the next deployment.
func (c *course) take(ctx context.Context, d Deployment) error {
	o := Outcome{Deployment: d}
	current, err := c.graph.load(ctx, d.Commit)
	if errors.Is(err, ErrUnknownCommit) {
		current, o.Problem = -1, err
	} else if err != nil {
		return err
	}
	repeats := c.ran >= 0 && !c.broken && c.outcomes[c.ran].Commit == d.Commit
	switch {
	case repeats:
		o.Kind = Redeployment
	case d.Result == Failure:
		o.Kind, o.Causes = Failed, []Cause{cmp.Or(d.FailedBy, CauseResult)}
		c.broken = true
	default:
		o.Rework = c.broken
		if err := c.succeed(ctx, &o, current); err != nil {
			return err
		}
		c.broken, c.ran = false, len(c.outcomes)
	}
	c.outcomes = append(c.outcomes, o)
	return nil
}

// succeed says what a success did.
func (c *course) succeed(ctx context.Context, o *Outcome, current int) error {
	if current < 0 {
		o.Kind = Unknown
		return nil
	}
	before := c.running
	c.running = current
	if before < 0 {
		o.Kind = Baseline
		return nil
	}
	added, lost := c.graph.apart(current, before)
	if len(added) == 0 {
		o.Kind = Rollback
		c.rollBack(o)
	} else {
		o.Kind = Forward
		if err := c.deliver(ctx, o, current, added); err != nil {
			return err
		}
	}
	for _, n := range lost {
		c.gone[n] = true
	}
	return nil
}

// rollBack blames what ran, unless a failure since then tells what is mended.
func (c *course) rollBack(o *Outcome) {
	o.Rework = true
	if !c.broken {
		c.mend(c.ran, CauseRollback, o.FinishedAt)
	}
}

// deliver lists the commits that are new with a success.
func (c *course) deliver(ctx context.Context, o *Outcome, current int, added []int) error {
	begins := c.begins(current, added)
	for _, n := range added {
		commit := &c.graph.nodes[n]
		if c.gone[n] {
			continue
		}
		c.bringer[commit.sha] = len(c.outcomes)
		if len(commit.parents) > 1 {
			continue
		}
		if counts, err := c.counts(ctx, commit.sha); err != nil || !counts {
			if err != nil {
				return err
			}
			continue
		}
		lead, err := LeadTime(begins(n), o.FinishedAt)
		o.Delivered = append(o.Delivered, Delivery{SHA: commit.sha, LeadTime: lead, Err: err})
	}
	c.revert(o)
	return nil
}

// counts tells whether a commit changes the app.
func (c *course) counts(ctx context.Context, sha string) (bool, error) {
	if len(c.options.Paths) == 0 {
		return true, nil
	}
	return c.graph.history.Changes(ctx, sha, c.options.Paths)
}

// begins returns where the lead times of added commits begin.
func (c *course) begins(current int, added []int) func(n int) time.Time {
	nodes := c.graph.nodes
	if from := c.options.LeadTimeFrom; from != FromFirstCommit && from != FromMerge {
		return func(n int) time.Time { return nodes[n].authored }
	}
	bringers := c.graph.bringers(current, added)
	if c.options.LeadTimeFrom == FromMerge {
		return func(n int) time.Time { return nodes[bringers[n]].committed }
	}
	first := map[int]time.Time{}
	for _, n := range added {
		at, known := first[bringers[n]]
		if len(nodes[n].parents) <= 1 && (!known || nodes[n].authored.Before(at)) {
			first[bringers[n]] = nodes[n].authored
		}
	}
	return func(n int) time.Time { return first[bringers[n]] }
}
