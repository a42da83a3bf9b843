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

// A fakePull is a pull request as the servers in these tests keep it.
type fakePull struct {
	giteaPull
	version   int
	reviewers []string
}

// fakePulls is the pull requests of a repository with the branches main, prod, a and b.
type fakePulls struct {
	// page is the address of a pull request's page, before its number.
	page  string
	pulls []*fakePull
}

// addPull adds an open pull request from a branch of the repository, or of a fork of it.
func (f *fakePulls) addPull(head, base, title, body string, fork bool) *fakePull {
	n := int64(len(f.pulls) + 1)
	p := &fakePull{giteaPull: giteaPull{Number: n, State: "open", Title: title, Body: body, Head: giteaBranch{head, 1}, Base: giteaBranch{base, 1}}}
	p.URL = f.page + itoa(n)
	if fork {
		p.Head.Repository = 2
	}
	f.pulls = append(f.pulls, p)
	return p
}

// lacks says whether the repository has one of the branches not.
func (*fakePulls) lacks(branches ...string) bool {
	return slices.ContainsFunc(branches, func(b string) bool { return !slices.Contains([]string{"main", "prod", "a", "b"}, b) })
}

// between is the open pull requests between the branches, the newest first; an empty
// name is every branch.
func (f *fakePulls) between(head, base string) []*fakePull {
	found := []*fakePull{}
	for _, p := range slices.Backward(f.pulls) {
		if p.State == "open" && (head == "" || p.Head.Ref == head) && (base == "" || p.Base.Ref == base) {
			found = append(found, p)
		}
	}
	return found
}

// isOpen says whether there is one between the branches of the repository itself.
func (f *fakePulls) isOpen(head, base string) bool {
	return slices.ContainsFunc(f.between(head, base), func(p *fakePull) bool { return p.Head.Repository == 1 })
}

// numbered is the pull request of that number; nil if there is none.
func (f *fakePulls) numbered(number string) *fakePull {
	for _, p := range f.pulls {
		if itoa(p.Number) == number {
			return p
		}
	}
	return nil
}

// backend is the tests' view of it.
func (f *fakePulls) backend(d forge.Destination, title, body int) pullBackend {
	return pullBackend{
		destination: d, title: title, body: body,
		held: func() []giteaPull {
			var all []giteaPull
			for _, p := range f.pulls {
				all = append(all, p.giteaPull)
			}
			return all
		},
		close: func(number int64) { f.numbered(itoa(number)).State = "closed" },
	}
}

// An openedForge is a forge in these tests with its pull requests.
type openedForge struct {
	*fakeForge
	*fakePulls
	destination forge.Destination
}

// openedForges is every forge whose pull requests an opener opens.
var openedForges = map[string]func(*testing.T) openedForge{
	"GitLab": func(t *testing.T) openedForge {
		g := newGitLab(t)
		return openedForge{&g.fakeForge, &g.fakePulls, g.pullBackend(t).destination}
	},
	"Bitbucket": func(t *testing.T) openedForge {
		b := newBitbucket(t, withBearer)
		return openedForge{&b.fakeForge, &b.fakePulls, b.pullBackend(t).destination}
	},
	"BitbucketServer": func(t *testing.T) openedForge {
		b := newBitbucketServer(t)
		return openedForge{&b.fakeForge, &b.fakePulls, b.pullBackend(t).destination}
	},
	"AzureDevOps": func(t *testing.T) openedForge {
		a := newAzureDevOps(t, withBasic(""))
		return openedForge{&a.fakeForge, &a.fakePulls, a.pullBackend(t).destination}
	},
}

func onOpenedForges(t *testing.T, test func(*testing.T, openedForge)) {
	for name, open := range openedForges {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

var onePull = forge.PullRequest{Head: "a", Base: "main", Title: "one", Body: "two\nlines\n"}

func TestAForksPullRequestIsNoneOfTheRepositorys(t *testing.T) {
	onOpenedForges(t, func(t *testing.T, f openedForge) {
		f.addPull("a", "main", "theirs", "", true)
		got, err := f.destination.PullRequests.Open(t.Context(), onePull)
		if err != nil || got.Number != 2 || f.pulls[0].Title != "theirs" {
			t.Errorf("got %+v, %v; the fork's is %q", got, err, f.pulls[0].Title)
		}
	})
}

func TestAnOpenPullRequestThatSaysItAllIsNotWritten(t *testing.T) {
	onOpenedForges(t, func(t *testing.T, f openedForge) {
		long := onePull
		long.Body = strings.Repeat("a line\n", 300) // more than a list of Azure DevOps shows
		f.addPull("a", "main", "one", strings.ReplaceAll(long.Body, "\n", "\r\n"), false)
		if _, err := f.destination.PullRequests.Open(t.Context(), long); err != nil {
			t.Fatal(err)
		}
		for _, request := range f.asked() {
			if !strings.HasPrefix(request, "GET ") {
				t.Errorf("%s: nothing was to be changed", request)
			}
		}
	})
}

func TestAPullRequestThatIsOpenedMeanwhileIsTaken(t *testing.T) {
	onOpenedForges(t, func(t *testing.T, f openedForge) {
		inner := f.Config.Handler
		f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				f.addPull("a", "main", "theirs", "", false)
			}
			inner.ServeHTTP(w, r)
		})
		got, err := f.destination.PullRequests.Open(t.Context(), onePull)
		if err != nil || got.Number != 1 || len(f.pulls) != 1 || f.pulls[0].Title != "one" {
			t.Errorf("got %+v of %d, %v", got, len(f.pulls), err)
		}
	})
}

func TestReviewersStayWhenAPullRequestIsBroughtUpToDate(t *testing.T) {
	onOpenedForges(t, func(t *testing.T, f openedForge) {
		p := f.addPull("a", "main", "old", "", false)
		p.version, p.reviewers = 3, []string{"{ada}", "{bob}"}
		if _, err := f.destination.PullRequests.Open(t.Context(), onePull); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"{ada}", "{bob}"}, f.pulls[0].reviewers); diff != "" || f.pulls[0].Title != "one" {
			t.Errorf("title %q, reviewers (-want +got):\n%s", f.pulls[0].Title, diff)
		}
	})
}

func TestAnAnswerThatNamesNoPullRequestIsNone(t *testing.T) {
	onOpenedForges(t, func(t *testing.T, f openedForge) {
		inner := f.Config.Handler
		f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				answer(w, http.StatusOK, map[string]string{"page": "of something else"})
				return
			}
			inner.ServeHTTP(w, r)
		})
		if got, err := f.destination.PullRequests.Open(t.Context(), onePull); !errors.Is(err, forge.ErrRejected) {
			t.Errorf("got %+v, %v, want ErrRejected", got, err)
		}
	})
}

func TestEachForgeSaysWhyThereIsNoPullRequest(t *testing.T) {
	limited := &forge.RateLimitedError{}
	cases := map[string]struct {
		reason string
		fault  fault
		want   func(error) bool
	}{
		"Unauthorized": {"Only another token helps.", fault{code: http.StatusForbidden}, func(err error) bool {
			return errors.Is(err, forge.ErrUnauthorized) && strings.Contains(err.Error(), "a pull request takes")
		}},
		"NotFound":    {"Pull requests may be turned off.", fault{code: http.StatusNotFound}, func(err error) bool { return errors.Is(err, forge.ErrNotFound) }},
		"Rejected":    {"The same would be refused again.", fault{code: http.StatusUnprocessableEntity}, func(err error) bool { return errors.Is(err, forge.ErrRejected) }},
		"Down":        {"Later it may be up.", fault{code: http.StatusBadGateway}, func(err error) bool { return errors.Is(err, forge.ErrTemporary) }},
		"Cut":         {"As above.", fault{cut: true}, func(err error) bool { return errors.Is(err, forge.ErrTemporary) }},
		"RateLimited": {"It says when.", fault{code: http.StatusTooManyRequests}, func(err error) bool { return errors.As(err, &limited) }},
	}
	onOpenedForges(t, func(t *testing.T, f openedForge) {
		for name, tc := range cases {
			f.fail(tc.fault)
			_, err := f.destination.PullRequests.Open(t.Context(), onePull)
			if err == nil || !tc.want(err) || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), `from "a" to "main" in `) {
				t.Errorf("%s: %s\n%v", name, tc.reason, err)
			}
		}
	})
}

func TestAPageForPeopleIsNoAnswerOfAForge(t *testing.T) {
	onOpenedForges(t, func(t *testing.T, f openedForge) {
		f.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("<html>Please sign in</html>"))
		})
		_, _, asked := f.destination.Latest(t.Context(), knownCommit, "keptn/prod/validate")
		_, opened := f.destination.PullRequests.Open(t.Context(), onePull)
		for call, err := range map[string]error{
			"Set": f.destination.Set(t.Context(), status(knownCommit, forge.Success, "")), "Latest": asked, "Open": opened,
		} {
			if !errors.Is(err, forge.ErrRejected) {
				t.Errorf("%s: got %v, want ErrRejected", call, err)
			}
		}
	})
}
