package forge_test

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/forge"
)

func TestGitLabIsToldEachStateInItsOwnWords(t *testing.T) {
	cases := map[forge.State][2]string{
		forge.Pending: {"pending", "close"},
		forge.Success: {"success", "close"},
		forge.Warning: {"success", "Warning: close"},
		forge.Failure: {"failed", "close"},
		forge.Error:   {"failed", "Inconclusive: close"},
	}
	for state, want := range cases {
		t.Run(string(state), func(t *testing.T) {
			g := newGitLab(t)
			mustSet(t, g.open(t, secret), status(knownCommit, state, "close"))
			if j := g.jobs[0]; j.Status != want[0] || *j.Description != want[1] {
				t.Errorf("got %q %q, want %q", j.Status, *j.Description, want)
			}
		})
	}
}

func TestGitLabsPendingStatusChangesItsDescriptionOnce(t *testing.T) {
	g := newGitLab(t)
	r := g.open(t, secret)
	for _, step := range []struct{ description, want, shown string }{
		{"one", "1000 pending", "one"}, {"one", "1000 pending", "one"}, {"two", "1000 running", "two"}, {"three", "1000 running", "two"},
	} {
		mustSet(t, r, status(knownCommit, forge.Pending, step.description))
		if diff := cmp.Diff([]string{step.want}, g.states()); diff != "" {
			t.Errorf("%s: GitLab refuses a second pending, and a second running (-want +got):\n%s", step.description, diff)
		}
		wantLatest(t, r, status(knownCommit, forge.Pending, step.shown))
	}
	mustSet(t, r, status(knownCommit, forge.Success, "four"))
	if diff := cmp.Diff([]string{"1000 success"}, g.states()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGitLabsRefusalOfWhatItHoldsIsDone(t *testing.T) {
	g := newGitLab(t)
	inner, first := g.Config.Handler, true
	g.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r)
		if r.Method == http.MethodGet && first {
			first = false
			job := g.add(g.pipeline(0, ""), status(knownCommit, forge.Pending, "").Context)
			job.Status = "pending"
		}
	})
	mustSet(t, g.open(t, secret), status(knownCommit, forge.Pending, "one"))
	if posts := slices.DeleteFunc(g.asked(), func(r string) bool { return !strings.HasPrefix(r, "POST") }); len(posts) != 1 || len(g.jobs) != 1 {
		t.Errorf("somebody else set it meanwhile: %d posts, %d jobs", len(posts), len(g.jobs))
	}
}

func TestAVerdictFollowsAVerdictOnGitLab(t *testing.T) {
	g := newGitLab(t)
	r := g.open(t, secret)
	for _, state := range []forge.State{forge.Pending, forge.Success, forge.Pending, forge.Failure, forge.Success, forge.Success} {
		s := status(knownCommit, state, "")
		mustSet(t, r, s)
		wantLatest(t, r, s)
	}
	want := []string{"1000 success", "1000 failed", "1000 success", "1000 success"}
	if diff := cmp.Diff(want, g.states()); diff != "" {
		t.Errorf("a job ends once; a wait after that is a new one (-want +got):\n%s", diff)
	}
}

func TestGitLabsVerdictGoesToThePipelineThatWaits(t *testing.T) {
	g := newGitLab(t)
	r := g.open(t, secret)
	mustSet(t, r, status(knownCommit, forge.Pending, ""))
	g.pipelines = append(g.pipelines, gitlabPipeline{id: 2000, ref: "refs/merge-requests/1/head"})
	mustSet(t, r, status(knownCommit, forge.Failure, ""))
	if diff := cmp.Diff([]string{"1000 failed"}, g.states()); diff != "" {
		t.Errorf("the pipeline would wait for ever (-want +got):\n%s", diff)
	}
	mustSet(t, r, status(knownCommit, forge.Success, "again"))
	if diff := cmp.Diff([]string{"1000 failed", "2000 success"}, g.states()); diff != "" {
		t.Errorf("nothing waits, and merge requests look at the newest (-want +got):\n%s", diff)
	}
	wantLatest(t, r, status(knownCommit, forge.Success, "again"))
}

func TestGitLabsArchivedPipelineTakesNothingMore(t *testing.T) {
	g := newGitLab(t)
	r := g.open(t, secret)
	mustSet(t, r, status(knownCommit, forge.Pending, ""))
	g.pipelines[0].archived = true
	mustSet(t, r, status(knownCommit, forge.Success, ""))
	wantLatest(t, r, status(knownCommit, forge.Success, ""))
}

func TestANewTokenGoesOnWhereAnotherLeftOffOnGitLab(t *testing.T) {
	g := newGitLab(t)
	r := g.open(t, secret)
	mustSet(t, r, status(knownCommit, forge.Pending, ""))
	g.user = "bot2" // each project access token is a user of its own
	mustSet(t, r, status(knownCommit, forge.Success, ""))
	wantLatest(t, r, status(knownCommit, forge.Success, ""))
}

func TestGitLabsNewestStatusIsFoundAmongManyPipelines(t *testing.T) {
	for _, unordered := range []bool{false, true} {
		g := newGitLab(t)
		g.unordered = unordered
		r := g.open(t, secret)
		for i := range 230 {
			g.pipelines = append(g.pipelines, gitlabPipeline{id: int64(3000 + i), ref: "main"})
			mustSet(t, r, status(knownCommit, forge.Success, strconv.Itoa(i)))
		}
		wantLatest(t, r, status(knownCommit, forge.Success, "229"))
	}
}

func TestGitLabsOtherStatesAreNoSuccess(t *testing.T) {
	for said, want := range map[string]forge.State{
		"created": forge.Pending, "running": forge.Pending, "manual": forge.Pending,
		"canceled": forge.Error, "skipped": forge.Error, "something new": forge.Error,
	} {
		g := newGitLab(t)
		g.add(g.pipeline(0, ""), "a").Status = said
		got, _, err := g.open(t, secret).Latest(t.Context(), knownCommit, "a")
		if err != nil || got.State != want {
			t.Errorf("%s is read as %s, %v; want %s", said, got.State, err, want)
		}
	}
}

func TestGitLabsLockIsTriedAgain(t *testing.T) {
	g := newGitLab(t)
	inner := g.Config.Handler
	g.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			refuse(w, http.StatusConflict, "409 Conflict - Another update to this commit status is in progress")
			return
		}
		inner.ServeHTTP(w, r)
	})
	if err := g.open(t, secret).Set(t.Context(), status(knownCommit, forge.Success, "")); !errors.Is(err, forge.ErrTemporary) {
		t.Errorf("got %v, want ErrTemporary", err)
	}
}

func TestAnAddressThatGitLabRefusesIsLeftOut(t *testing.T) {
	g := newGitLab(t)
	r := g.open(t, secret)
	for _, address := range []string{"https://keptn.example.com/" + strings.Repeat("a", 250), "/delivery", "javascript:alert(1)"} {
		s := status(knownCommit, forge.Success, "")
		s.TargetURL = address
		mustSet(t, r, s)
		s.TargetURL = ""
		wantLatest(t, r, s)
	}
}

func TestAGitLabProjectIsFoundByAnyFormOfItsURL(t *testing.T) {
	cases := map[string]struct {
		reason, repository, api string
		host, name              string
	}{
		"Web":       {"As git clones it.", "https://gitlab.com/acme/shop.git", "", "gitlab.com", "acme/shop"},
		"Subgroups": {"Groups nest.", "https://gitlab.com/acme/apps/shop", "", "gitlab.com", "acme/apps/shop"},
		"SCP":       {"The short form of SSH.", "git@gitlab.com:acme/apps/shop.git", "", "gitlab.com", "acme/apps/shop"},
		"SSH":       {"SSH's port is not the API's.", "ssh://git@git.example.com:2222/acme/shop.git", "", "git.example.com", "acme/shop"},
		"SubPath":   {"What the API's address has before is the server's.", "https://example.com/gitlab/acme/apps/shop", "https://example.com/gitlab/", "example.com", "acme/apps/shop"},
		"API":       {"The documented address works too.", "git@ssh.example.com:acme/shop", "https://example.com/gitlab/api/v4", "example.com", "acme/shop"},
		"GroupName": {"A group may be called as the sub-path is.", "git@example.com:gitlab/acme/shop", "https://example.com/gitlab", "example.com", "gitlab/acme/shop"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d, err := forge.New(forge.GitLab, forge.Target{Repository: tc.repository, API: tc.api, Token: secret})
			if err != nil || d.Host != tc.host || d.Repository != tc.name {
				t.Errorf("%s\ngot host %q, repository %q, %v; want %q, %q", tc.reason, d.Host, d.Repository, err, tc.host, tc.name)
			}
		})
	}
}

func TestAGitLabTargetThatCannotWorkIsRefused(t *testing.T) {
	for _, repository := range []string{"https://gitlab.com/shop", "/srv/git/acme/shop", "https://example.com/gitlab/shop"} {
		if d, err := forge.New(forge.GitLab, forge.Target{Repository: repository, API: "https://example.com/gitlab", Token: secret}); err == nil {
			t.Errorf("%s: got %q, want an error", repository, d.Repository)
		}
	}
	if _, err := forge.New(forge.GitLab, forge.Target{Repository: "https://gitlab.com/acme/shop"}); !errors.Is(err, forge.ErrUnauthorized) {
		t.Errorf("no token: got %v", err)
	}
}

func TestGitLabRefusesAWrongToken(t *testing.T) {
	g := newGitLab(t)
	wantRefused(t, func(token forge.Token) forge.Reporter { return g.open(t, token) })
}

func TestAStatusOfACommitThatIsOnNoBranchNamesARefOfIt(t *testing.T) {
	g := newGitLab(t)
	g.forked = true
	reporter := g.open(t, secret)
	s := status(knownCommit, forge.Pending, "one")
	if err := reporter.Set(t.Context(), s); !errors.Is(err, forge.ErrNotFound) || !strings.Contains(err.Error(), "References for commit") {
		t.Errorf("without one: %v", err)
	}
	s.Ref = "refs/merge-requests/7/head"
	mustSet(t, reporter, s)
	s.State = forge.Success
	mustSet(t, reporter, s)
	wantLatest(t, reporter, s)
	if len(g.pipelines) != 1 || g.pipelines[0].ref != s.Ref || len(g.jobs) != 1 {
		t.Errorf("%d jobs in the pipelines %+v", len(g.jobs), g.pipelines)
	}
}
