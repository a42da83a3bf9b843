package main

import (
	"cmp"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitsource/forge"
)

func TestNotesAndLogTellOfTheSameDeployments(t *testing.T) {
	root := t.TempDir()
	h := deployedHistory{history{commits: 60, apps: 2, oneIn: 1}}
	if err := h.make(t.Context(), root); err != nil {
		t.Fatal(err)
	}
	repo := &workingCopy{dir: h.repository(root), env: gitEnv()}
	listed, err := repo.git(t.Context(), "rev-list", "--reverse", "main", "--", delivered)
	if err != nil {
		t.Fatal(err)
	}
	want := h.deployments(strings.Fields(listed))
	if len(want) != h.commits {
		t.Fatalf("%d deployments, want one for each of %d commits, all of which change the app", len(want), h.commits)
	}
	text, err := repo.git(t.Context(), "log", "--format=%N", "--notes="+forge.NotesRef, "main")
	if err != nil {
		t.Fatal(err)
	}
	var noted []dora.Deployment
	said := 0
	for line := range strings.Lines(text) {
		if d, ok := dora.DeploymentOfNote(strings.TrimSpace(line)); ok {
			noted = append(noted, d)
		} else if _, err := forge.ParseNote("", strings.TrimSpace(line)); err == nil {
			said++
		}
	}
	slices.SortFunc(noted, func(a, b dora.Deployment) int { return cmp.Compare(a.StartedAt.Unix(), b.StartedAt.Unix()) })
	same := gocmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
	if diff := gocmp.Diff(want, noted, same); diff != "" {
		t.Error(diff)
	}
	if said != 6*h.commits {
		t.Errorf("the notes hold %d statuses, want six of each deployment", said)
	}
	file, err := os.Open(h.log(root))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	logged, err := dora.ReadDeployments(file, "log")
	if diff := gocmp.Diff(want, logged, same); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestWhatACommandPrintsIsCounted(t *testing.T) {
	h := deployedHistory{history{commits: 3}}
	cases := map[string]struct {
		reason  string
		command string
		printed string
		fine    bool
	}{
		"All commits":     {"Git's log has as many as there are.", "log", "commit a\n\ncommit b\n\ncommit c\n", true},
		"A commit less":   {"A log of fewer commits is no measure.", "log", "commit a\n\ncommit b\n", false},
		"All deployments": {"The number stands behind the frequency.", "dora", "a in production\n  deployment frequency  1.50 a day  3 deployments\n", true},
		"Fewer":           {"Deployments that are not found cost nothing.", "dora", "  deployment frequency  1.50 a day  2 deployments\n", false},
		"None":            {"Nothing found is no error of keptn.", "dora", "no deployments found\n", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if err := h.check([]string{c.command}, []byte(c.printed)); (err == nil) != c.fine {
				t.Errorf("%s got %v", c.reason, err)
			}
		})
	}
}

func TestTheMemoryOfACommandIsItsOwn(t *testing.T) {
	ballast := make([]byte, 256<<20)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
	r, err := runCommand(t.Context(), []string{"sleep", "0.05"})
	if err != nil {
		t.Fatal(err)
	}
	if r.peak <= 0 || r.peak > float64(len(ballast))/4 {
		t.Errorf("sleep is said to have had %s, beside a parent of %s", size(r.peak), size(float64(len(ballast))))
	}
	runtime.KeepAlive(ballast)
}
