package dora_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/dora"
)

// A world is a random history with merges, rewrites, clocks that are wrong, commits of other
// apps and reverts, and random deployments of it: failed ones, rollbacks, and of commits
// that are gone.
type world struct {
	*repository
	order []string
	log   []dora.Deployment
}

func random(seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 0))
	w := &world{repository: &repository{commits: map[string]dora.Commit{}, others: map[string]bool{}}}
	for i := range 5 + r.IntN(40) {
		c := dora.Commit{SHA: full(fmt.Sprint(i)), AuthoredAt: at(i*10 + r.IntN(30)), CommittedAt: at(r.IntN(500))}
		// Mostly the newest commit goes on; some go on from an older one, or are merges.
		for range min(i, 1+r.IntN(4)/3) {
			parent := w.order[max(0, i-1-r.IntN(2)*r.IntN(6))]
			if !slices.Contains(c.Parents, parent) {
				c.Parents = append(c.Parents, parent)
			}
		}
		if i > 2 && r.IntN(8) == 0 {
			c.Message = "This reverts commit " + w.order[r.IntN(i)] + "."
		}
		w.commits[c.SHA], w.others[c.SHA] = c, r.IntN(4) == 0
		w.order = append(w.order, c.SHA)
	}
	for i := range 1 + r.IntN(25) {
		d := dora.Deployment{App: "shop", Environment: "production", Result: dora.Success, StartedAt: at(i * 20), FinishedAt: at(i*20 + r.IntN(50))}
		d.Commit = w.order[min(len(w.order)-1, i*len(w.order)/25+r.IntN(6))]
		if r.IntN(3) == 0 {
			d.Commit = w.order[r.IntN(len(w.order))]
		}
		if r.IntN(15) == 0 {
			d.Commit = full("gone")
		}
		if r.IntN(4) == 0 {
			d.Result = dora.Failure
		}
		w.log = append(w.log, d)
	}
	return w
}

// reach adds what a commit can reach to a set.
func (w *world) reach(sha string, into map[string]bool) {
	for todo := []string{sha}; len(todo) > 0; {
		next := todo[0]
		todo = todo[1:]
		if c, known := w.commits[next]; known && !into[next] {
			into[next] = true
			todo = append(todo, c.Parents...)
		}
	}
}

// story is all that is said of the deployments, the commits of each sorted.
func (w *world) story(t *testing.T) []string {
	t.Helper()
	var story []string
	for _, s := range evaluate(t, w.repository, w.log, dora.Options{Paths: []string{"app"}}) {
		for _, o := range s.Outcomes {
			words := strings.Fields(describe(o))
			slices.Sort(words)
			story = append(story, o.Commit+" "+strings.Join(words, " "))
		}
	}
	return story
}

// worlds runs a test on many.
func worlds(t *testing.T, check func(t *testing.T, seed uint64, w *world)) {
	t.Helper()
	for seed := range uint64(300) {
		check(t, seed, random(seed))
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}

func TestEveryCommitIsDeliveredOnceByTheFirstSuccessThatHasIt(t *testing.T) {
	delivered := 0
	worlds(t, func(t *testing.T, _ uint64, w *world) {
		had := map[string]bool{}
		first := true
		for _, o := range evaluate(t, w.repository, w.log, dora.Options{Paths: []string{"app"}})[0].Outcomes {
			var want, got []string
			if _, known := w.commits[o.Commit]; known && o.Result == dora.Success {
				before := len(had)
				has := map[string]bool{}
				w.reach(o.Commit, has)
				for sha := range has {
					if !first && before > 0 && !had[sha] && len(w.commits[sha].Parents) < 2 && !w.others[sha] {
						want = append(want, sha)
					}
					had[sha] = true
				}
				first = false
			}
			for _, d := range o.Delivered {
				got = append(got, d.SHA)
			}
			delivered += len(got)
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("deployment of %s at %s (-all that is new +delivered):\n%s", o.Commit, o.FinishedAt, diff)
			}
		}
	})
	if delivered < 1000 {
		t.Errorf("only %d commits were delivered", delivered)
	}
}

func TestReplayingAnyPrefixOfTheDeploymentsChangesNothing(t *testing.T) {
	worlds(t, func(t *testing.T, seed uint64, w *world) {
		r := rand.New(rand.NewPCG(seed, 1))
		before := w.story(t)
		for range 2 {
			w.log = append(w.log, w.log[:r.IntN(len(w.log)+1)]...)
		}
		r.Shuffle(len(w.log), func(i, j int) { w.log[i], w.log[j] = w.log[j], w.log[i] })
		if diff := cmp.Diff(before, w.story(t)); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	})
}

func TestACommitThatHasNothingToDoWithTheAppChangesNothing(t *testing.T) {
	worlds(t, func(t *testing.T, seed uint64, w *world) {
		r := rand.New(rand.NewPCG(seed, 2))
		before := w.story(t)
		tip := w.order[r.IntN(len(w.order))]
		// One that is on a branch of its own, and one of another app in the middle of things.
		w.commits[full("apart")] = dora.Commit{SHA: full("apart"), Parents: []string{tip}, AuthoredAt: noon, CommittedAt: noon}
		child := w.commits[w.order[1+r.IntN(len(w.order)-1)]]
		if len(child.Parents) > 0 {
			w.commits[full("other")] = dora.Commit{SHA: full("other"), Parents: child.Parents[:1], AuthoredAt: noon, CommittedAt: noon}
			w.others[full("other")] = true
			child.Parents = append([]string{full("other")}, child.Parents[1:]...)
			w.commits[child.SHA] = child
		}
		if diff := cmp.Diff(before, w.story(t)); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	})
}

func TestNumbersAreWithinTheirBounds(t *testing.T) {
	rolledBack := 0
	worlds(t, func(t *testing.T, seed uint64, w *world) {
		r := rand.New(rand.NewPCG(seed, 3))
		var incidents []dora.Incident
		for i := range r.IntN(4) {
			began := r.IntN(600)
			incidents = append(incidents, dora.Incident{App: "shop", Environment: "production", ID: fmt.Sprint(i), At: at(began), ResolvedAt: at(began + r.IntN(60))})
		}
		for _, from := range []dora.LeadTimeFrom{dora.FromCommit, dora.FromFirstCommit, dora.FromMerge} {
			s := evaluate(t, w.repository, w.log, dora.Options{Incidents: incidents, LeadTimeFrom: from})[0]
			m := s.Metrics(dora.Window{})
			if m.FailedDeployments > m.Deployments || m.LeadTime.Count+m.LeadTime.Invalid != len(m.Commits) || m.Recovery.Count > m.FailedDeployments {
				t.Errorf("metrics %s", encode(t, m))
			}
			for _, o := range s.Outcomes {
				if !o.Counts() && (o.Failed() || o.Rework || len(o.Delivered) > 0) || o.Failed() && !o.RecoveredAt.IsZero() && o.RecoveredAt.Before(o.FinishedAt) {
					t.Errorf("%s of %s", describe(o), o.Commit)
				}
				if slices.Contains(o.Causes, dora.CauseRollback) {
					rolledBack++
				}
				for _, d := range o.Delivered {
					if d.Err == nil && (d.LeadTime < 0 || d.LeadTime > 1000*time.Hour) {
						t.Errorf("%s took %s", d.SHA, d.LeadTime)
					}
				}
			}
		}
	})
	if rolledBack < 100 {
		t.Errorf("only %d rollbacks were seen", rolledBack)
	}
}
