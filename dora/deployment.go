package dora

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keptn/gitops/gitname"
)

// A Result is how a deployment ended.
type Result string

// How a deployment can end.
const (
	Success Result = "success"
	Failure Result = "failure"
)

// A Cause is why a deployment counts as failed.
type Cause string

// Why a deployment can count as failed. A record may give the first four; the others
// are found by [Evaluate].
const (
	// CauseResult: its record says so, and not why.
	CauseResult Cause = "result"
	// CauseRollout: its pods did not become ready.
	CauseRollout Cause = "rollout"
	// CauseVerdict: a task or a policy failed.
	CauseVerdict Cause = "verdict"
	// CauseBurn: it burned the error budget of an SLO.
	CauseBurn Cause = "burn"
	// CauseRollback: an older commit was deployed in its place.
	CauseRollback Cause = "rollback"
	// CauseRevert: a commit that it delivered was reverted.
	CauseRevert Cause = "revert"
	// CauseIncident: an incident began soon after it.
	CauseIncident Cause = "incident"
)

// A Deployment is the record of one deployment that has ended, and one line of JSON in
// a log of deployments. One is known by its app, environment, commit and start: if
// there are several, the one that finished last counts, and of two at once a failure.
type Deployment struct {
	// App and Environment say what was deployed, and where.
	App         string `json:"app"`
	Environment string `json:"environment"`
	// Commit is the full object name of the commit that was deployed.
	Commit string `json:"commit"`
	// StartedAt and FinishedAt are when it began, and when its verdict was known.
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
	// Result is how it ended.
	Result Result `json:"result"`
	// FailedBy, of a failure, is why, if that is known.
	FailedBy Cause `json:"failedBy,omitempty"`
	// Cluster is where it was recorded. It tells nothing apart: two clusters that are
	// measured each on its own are two environments.
	Cluster string `json:"cluster,omitempty"`
}

// Line returns the deployment as one line of JSON, without the line's end and with its
// times in UTC.
func (d Deployment) Line() string {
	d.StartedAt, d.FinishedAt = d.StartedAt.UTC(), d.FinishedAt.UTC()
	line, _ := json.Marshal(d) // it fails for years beyond 9999 only, which no record of a check has
	return string(line)
}

// fields are where the values of a line go, by their names.
func (d *Deployment) fields() map[string]any {
	return map[string]any{
		"app": &d.App, "environment": &d.Environment, "commit": &d.Commit, "startedAt": &d.StartedAt,
		"finishedAt": &d.FinishedAt, "result": &d.Result, "failedBy": &d.FailedBy, "cluster": &d.Cluster,
	}
}

// check says what is wrong with a deployment that was read, and normalises its commit.
func (d *Deployment) check() error {
	d.Commit = strings.ToLower(d.Commit)
	var wrong []error
	if d.Commit != "" && !gitname.IsCommit(d.Commit) {
		wrong = append(wrong, fmt.Errorf("commit %q has to be a full SHA, of 40 or 64 hexadecimal digits", d.Commit))
	}
	if !slices.Contains([]Result{Success, Failure}, d.Result) {
		wrong = append(wrong, fmt.Errorf("result %q has to be %s or %s", d.Result, Success, Failure))
	}
	if !slices.Contains([]Cause{"", CauseResult, CauseRollout, CauseVerdict, CauseBurn}, d.FailedBy) {
		wrong = append(wrong, fmt.Errorf("failedBy %q has to be %s, %s or %s", d.FailedBy, CauseRollout, CauseVerdict, CauseBurn))
	} else if d.FailedBy != "" && d.Result == Success {
		wrong = append(wrong, errors.New("a success has no failedBy"))
	}
	if d.FinishedAt.Before(d.StartedAt) {
		wrong = append(wrong, fmt.Errorf("finishedAt %s is before startedAt %s", stamp(d.FinishedAt), stamp(d.StartedAt)))
	}
	return errors.Join(wrong...)
}

// compare sorts deployments by the time they finished.
func (d Deployment) compare(other Deployment) int {
	return cmp.Or(
		d.FinishedAt.Compare(other.FinishedAt),
		d.StartedAt.Compare(other.StartedAt),
		cmp.Compare(d.Commit, other.Commit),
		cmp.Compare(d.Result, other.Result), // failure, then success
		cmp.Compare(d.FailedBy, other.FailedBy),
		cmp.Compare(d.Cluster, other.Cluster),
	)
}

// A name is that of an app in an environment.
type name struct{ app, environment string }

func (n name) compare(other name) int {
	return cmp.Or(cmp.Compare(n.app, other.app), cmp.Compare(n.environment, other.environment))
}

// byName groups deployments by app and environment, each sorted and each record once.
func byName(all []Deployment) map[name][]Deployment {
	type key struct {
		name
		commit  string
		started time.Time
	}
	latest := map[key]Deployment{}
	for _, d := range all {
		k := key{name{d.App, d.Environment}, d.Commit, d.StartedAt.UTC().Round(0)}
		if held, ok := latest[k]; !ok || d.replaces(held) {
			latest[k] = d
		}
	}
	groups := map[name][]Deployment{}
	for k, d := range latest {
		groups[k.name] = append(groups[k.name], d)
	}
	for _, group := range groups {
		slices.SortFunc(group, Deployment.compare)
	}
	return groups
}

// replaces tells which of two records of one deployment counts.
func (d Deployment) replaces(held Deployment) bool {
	return cmp.Or(d.FinishedAt.Compare(held.FinishedAt), held.compare(d)) > 0
}
