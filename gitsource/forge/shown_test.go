package forge_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/keptn/gitops/gitsource/forge"
)

// A shower tells of all contexts of a commit at once.
type shower interface {
	Shown(ctx context.Context, commit, context string) (func(string) (forge.Status, bool), bool, error)
}

func TestOneQuestionTellsOfAllContextsOfACommit(t *testing.T) {
	for name, open := range map[string]func(*testing.T) backend{"Gitea": backends["Gitea"], "GitHub": openFakeGitHub, "GiteaServer": openRealGitea} {
		t.Run(name, func(t *testing.T) {
			b := open(t)
			var all []forge.Status
			for _, name := range []string{"keptn/prod/validate", "keptn/prod/" + strings.Repeat("long", 200), "keptn/größe/结帐"} {
				before, now := status(b.commit, forge.Pending, "waits"), status(b.commit, forge.Warning, "for "+name[:7])
				before.Context, now.Context = name, name
				mustSet(t, b.reporter, before, now)
				all = append(all, now)
			}
			to, ok := reporterOf(b).(shower)
			if !ok {
				t.Fatalf("%T", b.reporter)
			}
			latest, whole, err := to.Shown(t.Context(), b.commit, "ci/build")
			if err != nil || !whole {
				t.Fatalf("the whole: %t, %v", whole, err)
			}
			for _, s := range all {
				if got, found := latest(s.Context); !found || !got.Same(b.reporter.Fit(s)) {
					t.Errorf("%.30s: found %t, %+v", s.Context, found, got)
				}
			}
			if _, found := latest("ci/build"); found {
				t.Error("it shows what nobody has set")
			}
		})
	}
}

func TestOfACommitThatShowsTooMuchOneContextIsKept(t *testing.T) {
	g := newGitHub(t)
	text := strings.Repeat("x", 140)
	for i := range 3000 {
		name := fmt.Sprintf("ci/%04d", i)
		g.statuses = append(g.statuses, ghStatus{SHA: knownCommit, State: "success", Context: name, Description: &text})
	}
	to, ok := mustNew(t, forge.GitHub, g.token(secret)).Reporter.(shower)
	if !ok {
		t.Fatal("it cannot tell")
	}
	latest, whole, err := to.Shown(t.Context(), knownCommit, "ci/0000") // the oldest, which comes last
	if err != nil || whole {
		t.Fatalf("the whole: %t, %v", whole, err)
	}
	if _, found := latest("ci/0000"); !found {
		t.Error("what was asked for is not there")
	}
}

// reporterOf returns the reporter of a backend, which may come with a destination.
func reporterOf(b backend) forge.Reporter {
	if d, ok := b.reporter.(forge.Destination); ok {
		return d.Reporter
	}
	return b.reporter
}
