package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/history"
)

// noted reads the deployments that notes keep. A repository without any notes is an
// error: the question then is not yet how often was deployed.
func noted(ctx context.Context, repository history.Repository, remote bool) ([]dora.Deployment, error) {
	deployments, err := repository.Deployments(ctx, forge.NotesRef)
	if err != nil || len(deployments) > 0 {
		return deployments, err
	}
	_, err = repository.Fetch(ctx, gitsource.Ref{Name: forge.NotesRef})
	switch {
	case !errors.Is(err, gitsource.ErrRefNotFound) && !errors.Is(err, gitsource.ErrEmptyRepository):
		return nil, err
	case remote:
		return nil, fmt.Errorf("--notes: the repository has no %s: the controller keeps deployments there where its statuses are Git notes", forge.NotesRef)
	default:
		return nil, fmt.Errorf("--notes: there is no %[1]s here, as clones leave it out: get it with git fetch origin '+%[1]s:%[1]s'", forge.NotesRef)
	}
}

func appOf(d dora.Deployment) string         { return d.App }
func environmentOf(d dora.Deployment) string { return d.Environment }

// choose returns the deployments that --app and --environment ask for. A name that no
// deployment has is an error, as is a path of several apps.
func (f *doraFlags) choose(all []dora.Deployment) ([]dora.Deployment, error) {
	for _, asked := range []struct {
		flag, name string
		of         func(dora.Deployment) string
	}{{"--app", f.app, appOf}, {"--environment", f.environment, environmentOf}} {
		if asked.name == "" || len(all) == 0 {
			continue
		}
		var chosen []dora.Deployment
		for _, d := range all {
			if asked.of(d) == asked.name {
				chosen = append(chosen, d)
			}
		}
		if len(chosen) == 0 {
			return nil, fmt.Errorf("%s %q: the log has no deployment of it; it has %s", asked.flag, asked.name, namesOf(all, asked.of))
		}
		all = chosen
	}
	if len(f.paths) > 0 && slices.ContainsFunc(all, func(d dora.Deployment) bool { return d.App != all[0].App }) {
		return nil, fmt.Errorf("--path is of one app: give --app, of %s", namesOf(all, appOf))
	}
	return all, nil
}

// namesOf lists what deployments are called, each once.
func namesOf(all []dora.Deployment, of func(dora.Deployment) string) string {
	seen := map[string]bool{}
	var names []string
	for _, d := range all {
		if name := of(d); !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// strayIncidents tells of the incidents that are blamed on nobody, because they name an
// app, an environment or a commit that no deployment has.
func strayIncidents(incidents []dora.Incident, deployments []dora.Deployment, services []dora.Service) []string {
	if len(deployments) == 0 {
		return nil
	}
	environments := map[string][]dora.Deployment{}
	for _, d := range deployments {
		known := environments[d.App]
		if !slices.ContainsFunc(known, func(k dora.Deployment) bool { return k.Environment == d.Environment }) {
			environments[d.App] = append(known, d)
		}
	}
	var t tally
	for _, i := range incidents {
		switch known := environments[i.App]; {
		case known == nil:
			t.add(i.ID, fmt.Sprintf("no deployment of app %s, only of %s", i.App, namesOf(deployments, appOf)))
		case !slices.ContainsFunc(known, func(k dora.Deployment) bool { return k.Environment == i.Environment }):
			t.add(i.ID, fmt.Sprintf("no deployment of app %s to %s, only to %s", i.App, i.Environment, namesOf(known, environmentOf)))
		}
	}
	for _, s := range services {
		for _, i := range s.Strays {
			t.add(i.ID, fmt.Sprintf("commit %s is of no deployment of %s to %s, or may be of several", i.Commit, s.App, s.Environment))
		}
	}
	return t.lines()
}

// A tally holds what is wrong with incidents, each mistake with the first one's id and
// how many there are.
type tally struct {
	mistakes []string
	first    map[string]string
	count    map[string]int
}

func (t *tally) add(id, mistake string) {
	if t.count == nil {
		t.first, t.count = map[string]string{}, map[string]int{}
	}
	if t.count[mistake]++; t.count[mistake] == 1 {
		t.mistakes, t.first[mistake] = append(t.mistakes, mistake), id
	}
}

func (t *tally) lines() []string {
	lines := make([]string, len(t.mistakes))
	for n, mistake := range t.mistakes {
		others := ""
		if more := t.count[mistake] - 1; more > 0 {
			others = fmt.Sprintf(" and %d more", more)
		}
		lines[n] = fmt.Sprintf("incident %s%s: %s", t.first[mistake], others, mistake)
	}
	return lines
}

// A watchedHistory notes which paths the commits change that it is asked about.
type watchedHistory struct {
	history.Repository
	asked   bool
	touched map[string]bool
}

// Changes implements [dora.History]. A path that was changed before is only asked about
// where no other one tells.
func (h *watchedHistory) Changes(ctx context.Context, sha string, paths []string) (bool, error) {
	h.asked = true
	var known []string
	changes := false
	for _, p := range paths {
		if h.touched[p] {
			known = append(known, p)
			continue
		}
		changed, err := h.Repository.Changes(ctx, sha, []string{p})
		if err != nil {
			return false, err
		}
		if changed {
			h.touched[p], changes = true, true
		}
	}
	if changes || len(known) == 0 {
		return changes, nil
	}
	return h.Repository.Changes(ctx, sha, known)
}

// untouched tells of the paths that no delivered commit changes, and whether the newest
// deployed commit has them.
func (h *watchedHistory) untouched(ctx context.Context, paths []string, services []dora.Service) []string {
	newest := newestCommit(services)
	var told []string
	for _, p := range paths {
		if h.touched[p] || newest == "" {
			continue
		}
		_, err := fs.Stat(h.Tree(ctx, newest), p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			told = append(told, fmt.Sprintf("--path %s: %.7s, the newest deployed commit, has no such file or folder; paths are from the repository's root", p, newest))
		case h.asked:
			told = append(told, fmt.Sprintf("--path %s: no delivered commit changes it", p))
		}
	}
	return told
}

// newestCommit is that of the last deployment whose commit the repository has, or empty.
func newestCommit(services []dora.Service) string {
	var newest *dora.Outcome
	for i := range services {
		for n := range services[i].Outcomes {
			if o := &services[i].Outcomes[n]; o.Problem == nil && (newest == nil || o.FinishedAt.After(newest.FinishedAt)) {
				newest = o
			}
		}
	}
	if newest == nil {
		return ""
	}
	return newest.Commit
}
