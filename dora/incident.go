package dora

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keptn/gitops/gitname"
)

// An Incident is a time in which an app did not do in production what it should. It is
// known by its app, environment and id: if there are several, the one that was resolved
// last counts.
type Incident struct {
	App         string `json:"app"`
	Environment string `json:"environment"`
	ID          string `json:"id"`
	// At is when it began.
	At time.Time `json:"at"`
	// ResolvedAt is when it ended; zero if that is not known.
	ResolvedAt time.Time `json:"resolvedAt,omitzero"`
	// Commit, if known, is the commit that caused it, by its object name, which may be
	// abbreviated to seven digits: one that was deployed, else one that was delivered, if
	// it is the only one of that name.
	Commit string `json:"commit,omitempty"`
}

// fields are where the values of a line go, by their names.
func (i *Incident) fields() map[string]any {
	return map[string]any{
		"app": &i.App, "environment": &i.Environment, "id": &i.ID, "at": &i.At, "resolvedAt": &i.ResolvedAt, "commit": &i.Commit,
	}
}

func (i *Incident) check() error {
	i.Commit = strings.ToLower(i.Commit)
	var wrong []error
	if i.Commit != "" && !gitname.IsCommitish(i.Commit) {
		wrong = append(wrong, fmt.Errorf("commit %q has to be a SHA, of which seven digits will do", i.Commit))
	}
	if !i.ResolvedAt.IsZero() && i.ResolvedAt.Before(i.At) {
		wrong = append(wrong, fmt.Errorf("resolvedAt %s is before at %s", stamp(i.ResolvedAt), stamp(i.At)))
	}
	return errors.Join(wrong...)
}

func (i Incident) compare(other Incident) int {
	return cmp.Or(i.At.Compare(other.At), cmp.Compare(i.ID, other.ID), i.ResolvedAt.Compare(other.ResolvedAt), cmp.Compare(i.Commit, other.Commit))
}

// lasts tells whether the incident is not over at a time after it began.
func (i Incident) lasts(at time.Time) bool { return i.ResolvedAt.IsZero() || !i.ResolvedAt.Before(at) }

// incidentsOf are the incidents of an app in an environment, sorted and each once.
func incidentsOf(n name, all []Incident) []Incident {
	latest := map[string]Incident{}
	for _, i := range all {
		held, known := latest[i.ID]
		if n == (name{i.App, i.Environment}) && (!known || cmp.Or(i.ResolvedAt.Compare(held.ResolvedAt), held.compare(i)) > 0) {
			latest[i.ID] = i
		}
	}
	var incidents []Incident
	for _, i := range latest {
		incidents = append(incidents, i)
	}
	slices.SortFunc(incidents, Incident.compare)
	return incidents
}
