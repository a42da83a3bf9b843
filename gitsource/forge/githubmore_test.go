package forge_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/forge"
)

func TestADeploymentIsShownAsOneToo(t *testing.T) {
	g := newGitHub(t)
	target := g.asApp(t)
	target.Deployments = "production"
	reporter := mustNew(t, forge.GitHub, target)
	say := func(app string, state forge.State, deploys bool) {
		s := status(knownCommit, state, "2 pods")
		s.Context, s.Deploys = "keptn/production/"+app+"/deployment", deploys
		if err := reporter.Set(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	say("checkout", forge.Pending, true)
	say("checkout", forge.Pending, true)
	say("checkout", forge.Warning, true)
	say("cart", forge.Failure, true)
	say("cart", forge.Error, true)
	say("search", forge.Success, false)
	var got []string
	for _, d := range g.deployments {
		if d.Production != nil || d.Transient {
			t.Errorf("deployment %d says what GitHub knows better", d.ID)
		}
		for _, s := range d.Statuses {
			got = append(got, strings.Join([]string{d.Environment, d.Task, s.State, s.Description, s.LogURL}, " "))
		}
	}
	const at = " https://keptn.example.com/checkout?a=1&b=2"
	want := []string{
		"production deploy:checkout in_progress 2 pods" + at, "production deploy:checkout success Warning: 2 pods" + at,
		"production deploy:cart failure 2 pods" + at, "production deploy:cart error 2 pods" + at,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(g.runs) != 4 {
		t.Errorf("there are %d checks, want those of 3 apps, one of them twice", len(g.runs))
	}
}

func TestADeploymentThatIsRefusedDoesNotHideTheStatus(t *testing.T) {
	cases := map[string]struct {
		reason string
		code   int
		want   error
		shown  int
	}{
		"Forbidden": {"The token may not, and nobody waits for it.", 403, forge.ErrUnauthorized, 1},
		"Alone":     {"It may do all else on the commit.", 403, forge.ErrRejected, 1},
		"Fault":     {"A status that is shown has its deployment.", 502, forge.ErrTemporary, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := newGitHub(t)
			pages := g.Config.Handler
			g.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/deployments") {
					refuse(w, tc.code, "Resource not accessible by personal access token")
					return
				}
				pages.ServeHTTP(w, r)
			})
			target := g.token(secret)
			target.Deployments = "production"
			s := status(knownCommit, forge.Success, "")
			s.Deploys = true
			err := mustNew(t, forge.GitHub, target).Set(t.Context(), s)
			if !errors.Is(err, tc.want) || len(g.statuses) != tc.shown {
				t.Errorf("%s\ngot %v, and %d statuses", tc.reason, err, len(g.statuses))
			}
			if tc.code == 403 && !strings.Contains(err.Error(), `"Deployments: write"`) {
				t.Errorf("got %v, want it to name the permission", err)
			}
		})
	}
}

func TestAPullRequestIsOpenedOnceOnGitHub(t *testing.T) {
	g := newGitHub(t)
	pulls := mustNew(t, forge.GitHub, g.token(secret)).PullRequests
	ask := forge.PullRequest{Head: "promote", Base: "main", Title: "Promote 1", Body: "a\nb\n"}
	first, err := pulls.Open(t.Context(), ask)
	if err != nil || first.Number != 1 || first.URL != "https://github.example.com/acme/shop/pull/1" {
		t.Fatalf("got %+v, %v", first, err)
	}
	g.asked()
	if again, err := pulls.Open(t.Context(), ask); err != nil || again != first {
		t.Errorf("got %+v, %v", again, err)
	}
	if asked := g.asked(); slices.ContainsFunc(asked, func(r string) bool { return !strings.HasPrefix(r, "GET") }) {
		t.Errorf("what it says already is sent again: %v", asked)
	}
	ask.Title = "Promote 2 " + strings.Repeat("ü", 300)
	if _, err := pulls.Open(t.Context(), ask); err != nil || len(g.pulls) != 1 || !strings.HasPrefix(g.pulls[0].Title, "Promote 2") {
		t.Errorf("%d pull requests, %v", len(g.pulls), err)
	}
	g.pulls[0].State = "closed"
	if reopened, err := pulls.Open(t.Context(), ask); err != nil || reopened.Number != 2 {
		t.Errorf("one that was closed stays so: got %+v, %v", reopened, err)
	}
}

func TestAPullRequestThatGitHubRefusesSaysWhatToDo(t *testing.T) {
	cases := map[string]struct {
		reason, head string
		want         error
	}{
		"NoBranch":  {"It may have been pushed just now.", "later", forge.ErrTemporary},
		"NoCommits": {"There is nothing to merge.", "main", forge.ErrRejected},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := newGitHub(t)
			_, err := mustNew(t, forge.GitHub, g.token(secret)).PullRequests.Open(t.Context(), forge.PullRequest{Head: tc.head, Base: "main", Title: "a"})
			if !errors.Is(err, tc.want) || errors.Is(tc.want, forge.ErrTemporary) && errors.Is(err, forge.ErrRejected) {
				t.Errorf("%s\ngot %v", tc.reason, err)
			}
		})
	}
}

func TestAPullRequestThatSomebodyElseOpensOnGitHubMeanwhileIsTaken(t *testing.T) {
	g := newGitHub(t)
	pages := g.Config.Handler
	g.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			g.pulls = append(g.pulls, &ghPull{Number: 1, State: "open", Head: "promote", Base: "main"})
		}
		pages.ServeHTTP(w, r)
	})
	got, err := mustNew(t, forge.GitHub, g.token(secret)).PullRequests.Open(t.Context(), forge.PullRequest{Head: "promote", Base: "main", Title: "a"})
	if err != nil || got.Number != 1 || g.pulls[0].Title != "a" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAForkOfTheSameOwnersIsAForkAtGitHubToo(t *testing.T) {
	g := newGitHub(t)
	g.pulls = append(g.pulls, &ghPull{Number: 1, State: "open", Head: "later", Base: "main", Title: "theirs", Fork: true})
	g.branches = append(g.branches, "later")
	pages := g.Config.Handler
	g.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			g.pulls[0].Head = "elsewhere" // it does not keep ours from being made
		}
		pages.ServeHTTP(w, r)
	})
	got, err := mustNew(t, forge.GitHub, g.token(secret)).PullRequests.Open(t.Context(), forge.PullRequest{Head: "later", Base: "main", Title: "ours"})
	if err != nil || got.Number != 2 || g.pulls[0].Title != "theirs" {
		t.Errorf("got %+v, %v; the fork's is %q", got, err, g.pulls[0].Title)
	}
}
