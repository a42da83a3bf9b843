package forge_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/forge"
)

// giteaPull is a pull request as Gitea answers with it.
type giteaPull struct {
	Number int64       `json:"number"`
	State  string      `json:"state"`
	Title  string      `json:"title"`
	Body   string      `json:"body"`
	URL    string      `json:"html_url"`
	Head   giteaBranch `json:"head"`
	Base   giteaBranch `json:"base"`
}

type giteaBranch struct {
	Ref        string `json:"ref"`
	Repository int64  `json:"repo_id"`
}

// servePulls has acme/shop take pull requests between the branches main, prod, a and b.
func (g *fakeGitea) servePulls(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/repos/acme/shop/pulls", func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		open := []*giteaPull{}
		for _, p := range slices.Backward(g.pulls) {
			if p.State == r.FormValue("state") {
				open = append(open, p)
			}
		}
		page, _ := strconv.Atoi(r.FormValue("page"))
		limit, _ := strconv.Atoi(r.FormValue("limit"))
		limit = min(limit, g.pageLimit)
		from := min((page-1)*limit, len(open))
		answer(w, http.StatusOK, open[from:min(from+limit, len(open))])
	})
	mux.HandleFunc("POST /api/v1/repos/acme/shop/pulls", func(w http.ResponseWriter, r *http.Request) {
		var option struct{ Head, Base, Title, Body string }
		_ = json.NewDecoder(r.Body).Decode(&option)
		branches := []string{"main", "prod", "a", "b"}
		if !slices.Contains(branches, option.Head) || !slices.Contains(branches, option.Base) {
			refuse(w, http.StatusNotFound, "the branch does not exist")
			return
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, p := range g.pulls {
			if p.State == "open" && p.Head.Ref == option.Head && p.Base.Ref == option.Base && p.Head.Repository == 1 {
				refuse(w, http.StatusConflict, "pull request already exists for these targets")
				return
			}
		}
		answer(w, http.StatusCreated, g.addPull(option.Head, option.Base, option.Title, option.Body, 1))
	})
	mux.HandleFunc("PATCH /api/v1/repos/acme/shop/pulls/{number}", func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, p := range g.pulls {
			if strconv.FormatInt(p.Number, 10) == r.PathValue("number") {
				_ = json.NewDecoder(r.Body).Decode(p)
				answer(w, http.StatusCreated, p)
				return
			}
		}
		refuse(w, http.StatusNotFound, "not found")
	})
}

// addPull adds an open pull request from a branch of the repository with the id from.
func (g *fakeGitea) addPull(head, base, title, body string, from int64) *giteaPull {
	n := int64(len(g.pulls) + 1)
	p := &giteaPull{
		Number: n, State: "open", Title: title, Body: strings.ReplaceAll(body, "\n", "\r\n"), URL: "https://git.example.com/acme/shop/pulls/" + strconv.FormatInt(n, 10),
		Head: giteaBranch{head, from}, Base: giteaBranch{base, 1},
	}
	g.pulls = append(g.pulls, p)
	return p
}

// A pullBackend is what takes pull requests in, opened anew for each test.
type pullBackend struct {
	// destination is a repository with the branches main, prod, a and b.
	destination forge.Destination
	// held is all pull requests of the repository, oldest first.
	held func() []giteaPull
	// close closes one.
	close func(number int64)
	// title and body are how much of either it takes, in runes; where they are not given
	// 250 and 60,000.
	title, body int
}

var pullBackends = map[string]func(*testing.T) pullBackend{
	"Gitea": func(t *testing.T) pullBackend {
		g := newGitea(t)
		return pullBackend{
			destination: mustNew(t, forge.Gitea, forge.Target{Repository: g.URL + "/acme/shop.git", Token: secret}),
			held: func() []giteaPull {
				var all []giteaPull
				for _, p := range g.pulls {
					all = append(all, *p)
				}
				return all
			},
			close: func(number int64) { g.pulls[number-1].State = "closed" },
		}
	},
	"GitLab":          func(t *testing.T) pullBackend { return newGitLab(t).pullBackend(t) },
	"Bitbucket":       func(t *testing.T) pullBackend { return newBitbucket(t, withBearer).pullBackend(t) },
	"BitbucketServer": func(t *testing.T) pullBackend { return newBitbucketServer(t).pullBackend(t) },
	"AzureDevOps":     func(t *testing.T) pullBackend { return newAzureDevOps(t, withBasic("")).pullBackend(t) },
	"GiteaServer": func(t *testing.T) pullBackend {
		g := realGitea(t)
		name, _ := g.repository(t)
		repo := "/repos/" + g.owner + "/" + name
		var ignored any
		for _, branch := range []string{"prod", "a", "b"} {
			g.call(t, http.MethodPost, repo+"/contents/"+branch, map[string]string{"content": "YQ==", "new_branch": branch}, &ignored)
		}
		return pullBackend{
			destination: g.open(t, name, g.token),
			held: func() []giteaPull {
				var all []giteaPull
				g.call(t, http.MethodGet, repo+"/pulls?state=all", nil, &all)
				slices.Reverse(all)
				return all
			},
			close: func(number int64) {
				g.call(t, http.MethodPatch, repo+"/pulls/"+strconv.FormatInt(number, 10), map[string]string{"state": "closed"}, &ignored)
			},
		}
	},
}

// onPulls runs a test with every backend.
func onPulls(t *testing.T, test func(*testing.T, pullBackend)) {
	for name, open := range pullBackends {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func openPull(t *testing.T, b pullBackend, p forge.PullRequest) forge.OpenPullRequest {
	t.Helper()
	got, err := b.destination.PullRequests.Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// titles are the pull requests as head>base state title body.
func (b pullBackend) titles() []string {
	var all []string
	for _, p := range b.held() {
		all = append(all, p.Head.Ref+">"+p.Base.Ref+" "+p.State+" "+p.Title+" "+strings.ReplaceAll(p.Body, "\r\n", "\n"))
	}
	return all
}

func wantTitles(t *testing.T, b pullBackend, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, b.titles()); diff != "" {
		t.Errorf("pull requests (-want +got):\n%s", diff)
	}
}

func TestAPullRequestIsOpenedOnceAndKeptUpToDate(t *testing.T) {
	onPulls(t, func(t *testing.T, b pullBackend) {
		p := forge.PullRequest{Head: "a", Base: "main", Title: "Promote\n1", Body: "| a |\n|---|\n\n"}
		first := openPull(t, b, p)
		if held := b.held()[0]; first.Number != held.Number || first.URL != held.URL || !strings.HasPrefix(first.URL, "http") {
			t.Errorf("got %+v, the forge has %+v", first, held)
		}
		if again := openPull(t, b, p); again != first {
			t.Errorf("opened once more it is %+v, not %+v", again, first)
		}
		wantTitles(t, b, "a>main open Promote 1 | a |\n|---|")
		p.Title, p.Body = "Promote 2", "b"
		if again := openPull(t, b, p); again != first {
			t.Errorf("brought up to date it is %+v, not %+v", again, first)
		}
		wantTitles(t, b, "a>main open Promote 2 b")
	})
}

func TestOtherPullRequestsAreLeftAlone(t *testing.T) {
	onPulls(t, func(t *testing.T, b pullBackend) {
		openPull(t, b, forge.PullRequest{Head: "a", Base: "main", Title: "one"})
		openPull(t, b, forge.PullRequest{Head: "b", Base: "main", Title: "two"})
		openPull(t, b, forge.PullRequest{Head: "a", Base: "prod", Title: "three"})
		wantTitles(t, b, "a>main open one ", "b>main open two ", "a>prod open three ")
	})
}

func TestAClosedPullRequestStaysClosed(t *testing.T) {
	onPulls(t, func(t *testing.T, b pullBackend) {
		b.close(openPull(t, b, forge.PullRequest{Head: "a", Base: "main", Title: "one"}).Number)
		openPull(t, b, forge.PullRequest{Head: "a", Base: "main", Title: "two"})
		wantTitles(t, b, "a>main closed one ", "a>main open two ")
	})
}

func TestABranchThatTheForgeDoesNotHaveYetIsTemporary(t *testing.T) {
	onPulls(t, func(t *testing.T, b pullBackend) {
		_, err := b.destination.PullRequests.Open(t.Context(), forge.PullRequest{Head: "none", Base: "main", Title: "one"})
		if !errors.Is(err, forge.ErrTemporary) || errors.Is(err, forge.ErrNotFound) {
			t.Errorf("got %v, want ErrTemporary", err)
		}
	})
}

func TestAVeryLongTitleAndBodyAreCut(t *testing.T) {
	onPulls(t, func(t *testing.T, b pullBackend) {
		title, body := 250, 60_000
		if b.title != 0 {
			title, body = b.title, b.body
		}
		p := forge.PullRequest{Head: "a", Base: "main", Title: strings.Repeat("ü", 500), Body: strings.Repeat("ü", 100_000)}
		first := openPull(t, b, p)
		if held := b.held()[0]; len([]rune(held.Title)) != title || len([]rune(held.Body)) != body || openPull(t, b, p) != first {
			t.Errorf("title of %d, body of %d characters; want %d and %d", len([]rune(held.Title)), len([]rune(held.Body)), title, body)
		}
	})
}

func TestGiteaServerRefusesPullRequestsAsItRefusesStatuses(t *testing.T) {
	g := realGitea(t)
	name, _ := g.repository(t)
	p := forge.PullRequest{Head: "a", Base: "main", Title: "one"}
	if _, err := g.open(t, name, strings.Repeat("0", 40)).PullRequests.Open(t.Context(), p); !errors.Is(err, forge.ErrUnauthorized) {
		t.Errorf("a wrong token: %v, want ErrUnauthorized", err)
	}
	if _, err := g.open(t, "no-such-repository", g.token).PullRequests.Open(t.Context(), p); !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("an unknown repository: %v, want ErrNotFound", err)
	}
}

func TestAPullRequestIsFoundOnAnyPage(t *testing.T) {
	g := newGitea(t)
	g.pageLimit = 2
	mine := g.addPull("a", "main", "mine", "", 1)
	for range 5 {
		g.addPull("other", "main", "theirs", "", 1)
	}
	d := mustNew(t, forge.Gitea, forge.Target{Repository: g.URL + "/acme/shop.git", Token: secret})
	got, err := d.PullRequests.Open(t.Context(), forge.PullRequest{Head: "a", Base: "main", Title: "mine"})
	if err != nil || got.Number != mine.Number || len(g.pulls) != 6 {
		t.Errorf("got %+v of %d, %v; want %d", got, len(g.pulls), err, mine.Number)
	}
	if last := g.requests[len(g.requests)-1]; !strings.HasPrefix(last, "GET ") {
		t.Errorf("%s: nothing was to be changed", last)
	}
}

func TestAPullRequestThatSaysItAllIsNotWritten(t *testing.T) {
	g := newGitea(t)
	g.addPull("a", "main", "one", "two\nlines", 1) // Gitea's pages end lines as browsers do
	d := mustNew(t, forge.Gitea, forge.Target{Repository: g.URL + "/acme/shop.git", Token: secret})
	if _, err := d.PullRequests.Open(t.Context(), forge.PullRequest{Head: "a", Base: "main", Title: "one", Body: "two\nlines\n"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"GET /api/v1/repos/acme/shop/pulls"}, g.requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestAForksPullRequestIsNotOurs(t *testing.T) {
	g := newGitea(t)
	g.addPull("a", "main", "theirs", "", 2)
	d := mustNew(t, forge.Gitea, forge.Target{Repository: g.URL + "/acme/shop.git", Token: secret})
	got, err := d.PullRequests.Open(t.Context(), forge.PullRequest{Head: "a", Base: "main", Title: "ours"})
	if err != nil || got.Number != 2 || g.pulls[0].Title != "theirs" {
		t.Errorf("got %+v, %v; the fork's is %q", got, err, g.pulls[0].Title)
	}
}

func TestAPullRequestThatSomebodyElseOpensMeanwhileIsTaken(t *testing.T) {
	g := newGitea(t)
	first := true
	inner := g.Config.Handler
	g.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r)
		if r.Method == http.MethodGet && first {
			first = false
			g.addPull("a", "main", "theirs", "", 1)
		}
	})
	d := mustNew(t, forge.Gitea, forge.Target{Repository: g.URL + "/acme/shop.git", Token: secret})
	got, err := d.PullRequests.Open(t.Context(), forge.PullRequest{Head: "a", Base: "main", Title: "ours"})
	if err != nil || got.Number != 1 || len(g.pulls) != 1 || g.pulls[0].Title != "ours" {
		t.Errorf("got %+v of %d, %v", got, len(g.pulls), err)
	}
}

func TestAPullRequestsErrorsTellWhatToDoAndNoSecret(t *testing.T) {
	limited := &forge.RateLimitedError{}
	cases := map[string]struct {
		reason string
		fault  fault
		want   func(error) bool
	}{
		"Unauthorized": {"Only another token helps.", fault{code: http.StatusForbidden}, func(err error) bool { return errors.Is(err, forge.ErrUnauthorized) }},
		"NotFound":     {"Pull requests may be turned off.", fault{code: http.StatusNotFound}, func(err error) bool { return errors.Is(err, forge.ErrNotFound) }},
		"Rejected":     {"The same would be refused again.", fault{code: http.StatusUnprocessableEntity}, func(err error) bool { return errors.Is(err, forge.ErrRejected) }},
		"Down":         {"Later it may be up.", fault{code: http.StatusBadGateway}, func(err error) bool { return errors.Is(err, forge.ErrTemporary) }},
		"Cut":          {"As above.", fault{cut: true}, func(err error) bool { return errors.Is(err, forge.ErrTemporary) }},
		"RateLimited":  {"It says when.", fault{code: http.StatusTooManyRequests}, func(err error) bool { return errors.As(err, &limited) }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := newGitea(t)
			g.fail(tc.fault)
			d := mustNew(t, forge.Gitea, forge.Target{Repository: g.URL + "/acme/shop.git", Token: secret})
			_, err := d.PullRequests.Open(t.Context(), forge.PullRequest{Head: "a", Base: "main", Title: "one"})
			if err == nil || !tc.want(err) || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "acme/shop") {
				t.Errorf("%s\n%v", tc.reason, err)
			}
		})
	}
}

func TestAnAddressThatIsNoneIsNotShown(t *testing.T) {
	g := newGitea(t)
	d := mustNew(t, forge.Gitea, forge.Target{Repository: g.URL + "/acme/shop.git", Token: secret})
	for _, address := range []string{"javascript:alert(1)", "", "https://user:" + secret + "@git.example.com/", "https:///x"} {
		g.pulls = nil
		g.addPull("a", "main", "one", "", 1).URL = address
		got, err := d.PullRequests.Open(t.Context(), forge.PullRequest{Head: "a", Base: "main", Title: "one"})
		if err != nil || got.URL != g.URL+"/acme/shop/pulls/1" {
			t.Errorf("for %q the page is %q, %v", address, got.URL, err)
		}
	}
}

func TestNotesHaveNoPullRequests(t *testing.T) {
	d := mustNew(t, forge.Generic, forge.Target{Repository: "https://h/o/r", Notes: &noteStore{}})
	if d.PullRequests != nil {
		t.Error("Git alone has no pull requests")
	}
}
