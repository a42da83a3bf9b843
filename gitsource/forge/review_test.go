package forge_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/forge"
)

// onReviews runs a test with every forge.
func onReviews(t *testing.T, test func(*testing.T, *reviewed)) {
	for name, open := range reviewedForges {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// headOf is a commit of a pull request's own.
func headOf(number int64) string { return fmt.Sprintf("%040x", number+0xabc0) }

func TestTheOpenPullRequestsIntoABranchAreListed(t *testing.T) {
	refs := map[string]string{
		"Gitea": "refs/pull/%d/head", "GitHub": "refs/pull/%d/head", "GitHubApp": "refs/pull/%d/head", "GitLab": "refs/merge-requests/%d/head",
		"BitbucketServer": "refs/pull-requests/%d/from",
	}
	for name, open := range reviewedForges {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			s.pulls = []reviewedPull{
				{3, headOf(3), "c/1", "main", false}, {2, headOf(2), "b", "main", true}, {4, headOf(4), "d", "next", false}, {1, headOf(1), "a", "main", false},
			}
			var want []forge.Head
			for _, p := range s.into("main") {
				head := forge.Head{Number: p.number, Commit: p.commit, Fork: p.fork, Ref: "refs/heads/" + p.head}
				switch {
				case refs[name] != "":
					head.Ref = fmt.Sprintf(refs[name], p.number)
				case name == "Bitbucket" && p.fork:
					continue // nobody could read it
				case name == "Bitbucket":
					head.Commit = p.commit[:12]
				case p.fork:
					head.Ref = ""
				}
				want = append(want, head)
			}
			got, err := s.destination.Reviews.Heads(t.Context(), "main")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("heads (-want +got):\n%s", diff)
			}
			if none, err := s.destination.Reviews.Heads(t.Context(), "none"); err != nil || len(none) != 0 {
				t.Errorf("into another branch there are %v, %v", none, err)
			}
		})
	}
}

func TestOfVeryManyPullRequestsThe50NewestAreListed(t *testing.T) {
	onReviews(t, func(t *testing.T, s *reviewed) {
		for n := range int64(260) {
			s.pulls = append(s.pulls, reviewedPull{300 - n, headOf(300 - n), "a", []string{"main", "next"}[n%2], false})
		}
		got, err := s.destination.Reviews.Heads(t.Context(), "main")
		if err != nil || len(got) != 50 || got[0].Number != 300 {
			t.Errorf("got %d, %v", len(got), err)
		}
		if asked := len(s.asked()); asked > 2 {
			t.Errorf("it took %d requests", asked)
		}
	})
}

// commented writes a comment, and returns its ID.
func commented(t *testing.T, s *reviewed, number int64, c forge.Comment) string {
	t.Helper()
	id, err := s.destination.Reviews.Comment(t.Context(), number, c)
	if err != nil || id == "" {
		t.Fatalf("got %q, %v", id, err)
	}
	return id
}

// texts are all comments, as <pull> <author>: <text>.
func (s *reviewed) texts() []string {
	var all []string
	for _, c := range s.comments {
		all = append(all, fmt.Sprintf("%d %s: %s", c.pull, c.author, c.text))
	}
	return all
}

const marked = "\n\n[//]: # (keptn prod/shop)"

func TestACommentIsMadeOnceAndUpdatedInPlace(t *testing.T) {
	onReviews(t, func(t *testing.T, s *reviewed) {
		c := forge.Comment{Key: "prod/shop", Text: "one\n"}
		first := commented(t, s, 7, c)
		s.asked()
		if again := commented(t, s, 7, c); again != first {
			t.Errorf("found again it is %q, not %q", again, first)
		}
		for _, request := range s.asked() {
			if !strings.HasPrefix(request, "GET ") {
				t.Errorf("%s: nothing was to be changed", request)
			}
		}
		c.Text = "two"
		if again := commented(t, s, 7, c); again != first {
			t.Errorf("found by its key it is %q, not %q", again, first)
		}
		c.ID, c.Text = first, "three"
		if again := commented(t, s, 7, c); again != first {
			t.Errorf("changed by its ID it is %q, not %q", again, first)
		}
		commented(t, s, 7, forge.Comment{Key: "staging/shop", Text: "other"})
		commented(t, s, 8, forge.Comment{Key: "prod/shop", Text: "elsewhere"})
		want := []string{"7 me: three" + marked, "7 me: other\n\n[//]: # (keptn staging/shop)", "8 me: elsewhere" + marked}
		if diff := cmp.Diff(want, s.texts()); diff != "" {
			t.Errorf("comments (-want +got):\n%s", diff)
		}
	})
}

func TestACommentOfSomebodyElseIsNeverChanged(t *testing.T) {
	onReviews(t, func(t *testing.T, s *reviewed) {
		s.add("7", "them", "mine looks like it"+marked)
		s.add("7", "me", "a quote: [//]: # (keptn prod/shop) of it")
		commented(t, s, 7, forge.Comment{Key: "prod/shop", Text: "ours"})
		want := []string{"7 them: mine looks like it" + marked, "7 me: a quote: [//]: # (keptn prod/shop) of it", "7 me: ours" + marked}
		if diff := cmp.Diff(want, s.texts()); diff != "" {
			t.Errorf("comments (-want +got):\n%s", diff)
		}
	})
}

func TestACommentThatIsGoneIsMadeAnew(t *testing.T) {
	onReviews(t, func(t *testing.T, s *reviewed) {
		c := forge.Comment{Key: "prod/shop", Text: "one"}
		c.ID = commented(t, s, 7, c)
		s.comments = []*reviewComment{{id: 1, pull: 1, author: "them"}, {id: 2, pull: 1, author: "them"}}
		if id := commented(t, s, 7, c); id == c.ID || len(s.comments) != 3 {
			t.Errorf("got %q of %d", id, len(s.comments))
		}
	})
}

func TestACommentThatIsShownAsDeletedIsMadeAnew(t *testing.T) {
	for _, name := range []string{"Bitbucket", "AzureDevOps"} {
		t.Run(name, func(t *testing.T) {
			s := reviewedForges[name](t)
			c := forge.Comment{Key: "prod/shop", Text: "one"}
			c.ID = commented(t, s, 7, c)
			s.comments[0].deleted = true
			if id := commented(t, s, 7, c); id == c.ID || len(s.comments) != 2 {
				t.Errorf("got %q of %d", id, len(s.comments))
			}
		})
	}
}

func TestACommentThatTheTokenMayNotChangeIsMadeAnew(t *testing.T) {
	onReviews(t, func(t *testing.T, s *reviewed) {
		c := forge.Comment{Key: "prod/shop", Text: "of the bot before"}
		c.ID = commented(t, s, 7, c)
		s.comments[0].author = "them"
		pages, refused := s.Config.Handler, true
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if refused && (r.Method == http.MethodPatch || r.Method == http.MethodPut) {
				refuse(w, http.StatusForbidden, "Must have admin rights to Repository.")
				return
			}
			pages.ServeHTTP(w, r)
		})
		c.Text = "of this one"
		now := commented(t, s, 7, c)
		refused = false
		c.ID, c.Text = now, "again"
		if id := commented(t, s, 7, c); id != now {
			t.Errorf("changed by its ID it is %q, not %q", id, now)
		}
		want := []string{"7 them: of the bot before" + marked, "7 me: again" + marked}
		if diff := cmp.Diff(want, s.texts()); diff != "" {
			t.Errorf("comments (-want +got):\n%s", diff)
		}
	})
}

func TestWhatNoBranchOfTheRepositoryBringsCountsAsAFork(t *testing.T) {
	// As of a push to refs/for at Gitea, for which it takes to be allowed to read.
	s := reviewedGitea(t)
	for number, head := range map[int64]string{8: "refs/pull/8/head", 9: ""} {
		s.pulls = []reviewedPull{{number, headOf(number), head, "main", false}}
		heads, err := s.destination.Reviews.Heads(t.Context(), "main")
		if err != nil || len(heads) != 1 || !heads[0].Fork {
			t.Errorf("from %q: got %+v, %v", head, heads, err)
		}
	}
}

func TestPagesOfBitbucketServerBeginWhereItSays(t *testing.T) {
	s := reviewedBitbucketServer(t)
	pages := s.Config.Handler
	activities := map[string]map[string]any{
		"0": {"values": []any{}, "isLastPage": false, "nextPageStart": 173}, // the rest may not be seen
		"173": {"isLastPage": true, "values": []any{map[string]any{"action": "COMMENTED", "comment": map[string]any{
			"id": 5, "version": 1, "text": "ours" + marked, "author": map[string]any{"name": "ada l"}}}}},
	}
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/activities") {
			w.Header().Set("X-Ausername", "ada%20l")
			answer(w, http.StatusOK, activities[r.FormValue("start")])
			return
		}
		pages.ServeHTTP(w, r)
	})
	if id := commented(t, s, 7, forge.Comment{Key: "prod/shop", Text: "ours"}); id != "5" || len(s.comments) != 0 {
		t.Errorf("got %q, and %d more", id, len(s.comments))
	}
}

func TestATokenOfNobodyChangesWhatItKnowsByItsID(t *testing.T) {
	onReviews(t, func(t *testing.T, s *reviewed) {
		s.nobody = true
		c := forge.Comment{Key: "prod/shop", Text: "one"}
		c.ID = commented(t, s, 7, c)
		c.Text = "two"
		commented(t, s, 7, c)
		if diff := cmp.Diff([]string{"7 me: two" + marked}, s.texts()); diff != "" {
			t.Errorf("comments (-want +got):\n%s", diff)
		}
	})
}

func TestAKeyCannotEndItsMarker(t *testing.T) {
	s := reviewedGitea(t)
	commented(t, s, 7, forge.Comment{Key: "a) [x](https://evil.example.com\n", Text: "one"})
	if diff := cmp.Diff([]string{"7 me: one\n\n[//]: # (keptn a---x--https-//evil.example.com-)"}, s.texts()); diff != "" {
		t.Errorf("comments (-want +got):\n%s", diff)
	}
}

func TestAThreadOfAzureDevOpsIsClosed(t *testing.T) {
	s := reviewedAzureDevOps(t)
	commented(t, s, 7, forge.Comment{Key: "prod/shop", Text: "one"})
	if got := s.comments[0].status; got != "closed" {
		t.Errorf("it is %q, which may keep the pull request from being completed", got)
	}
}

func TestLookingAtPullRequestsFailsAsStatusesDo(t *testing.T) {
	limited := &forge.RateLimitedError{}
	cases := map[string]struct {
		reason string
		fault  fault
		want   func(error) bool
	}{
		"Unauthorized": {"Only another token helps.", fault{code: http.StatusForbidden}, func(err error) bool { return errors.Is(err, forge.ErrUnauthorized) }},
		"Down":         {"Later it may be up.", fault{code: http.StatusBadGateway}, func(err error) bool { return errors.Is(err, forge.ErrTemporary) }},
		"RateLimited":  {"It says when.", fault{code: http.StatusTooManyRequests}, func(err error) bool { return errors.As(err, &limited) }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			onReviews(t, func(t *testing.T, s *reviewed) {
				s.fail(tc.fault)
				_, listed := s.destination.Reviews.Heads(t.Context(), "main")
				_, said := s.destination.Reviews.Comment(t.Context(), 7, forge.Comment{ID: "1/1", Key: "k", Text: "one"})
				for _, err := range []error{listed, said} {
					if err == nil || !tc.want(err) || strings.Contains(err.Error(), secret) {
						t.Errorf("%s\n%v", tc.reason, err)
					}
				}
			})
		})
	}
}

func TestARefusalToListNamesWhatATokenHasToBeAllowed(t *testing.T) {
	want := map[string]string{
		"Gitea": "read:repository", "GitHub": "Pull requests: read", "GitLab": "scope api",
		"Bitbucket": "read pull requests", "BitbucketServer": "Repository read", "AzureDevOps": "Code (Read)",
	}
	for name, open := range reviewedForges {
		s := open(t)
		s.fail(fault{code: http.StatusForbidden})
		if _, err := s.destination.Reviews.Heads(t.Context(), "main"); !errors.Is(err, forge.ErrUnauthorized) || !strings.Contains(err.Error(), want[name]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNotesHaveNothingToLookAt(t *testing.T) {
	if d := mustNew(t, forge.Generic, forge.Target{Repository: "https://h/o/r", Notes: &noteStore{}}); d.Reviews != nil {
		t.Error("Git alone has no pull requests")
	}
}

func TestGiteaServersPullRequestsAreListedAndCommentedOn(t *testing.T) {
	g := realGitea(t)
	name, _ := g.repository(t)
	repo := "/repos/" + g.owner + "/" + name
	var ignored any
	g.call(t, http.MethodPost, repo+"/contents/a", map[string]string{"content": "YQ==", "new_branch": "a"}, &ignored)
	var made struct {
		Number int64 `json:"number"`
		Head   struct {
			SHA string `json:"sha"`
		} `json:"head"`
	}
	g.call(t, http.MethodPost, repo+"/pulls", map[string]string{"head": "a", "base": "main", "title": "one"}, &made)
	reviews := g.open(t, name, g.token).Reviews
	heads, err := reviews.Heads(t.Context(), "main")
	want := []forge.Head{{Number: made.Number, Commit: made.Head.SHA, Ref: fmt.Sprintf("refs/pull/%d/head", made.Number)}}
	if diff := cmp.Diff(want, heads); err != nil || diff != "" {
		t.Fatalf("heads (-want +got):\n%s%v", diff, err)
	}
	c := forge.Comment{Key: "prod/shop", Text: "| a |\n|---|\n| `b` |"}
	first, err := reviews.Comment(t.Context(), made.Number, c)
	if err != nil {
		t.Fatal(err)
	}
	c.Text = "two"
	again, err := reviews.Comment(t.Context(), made.Number, c)
	if err != nil || again != first {
		t.Fatalf("found by its key it is %q, not %q, %v", again, first, err)
	}
	c.ID, c.Text = first, "three"
	if _, err := reviews.Comment(t.Context(), made.Number, c); err != nil {
		t.Fatal(err)
	}
	var held []struct {
		Body string `json:"body"`
	}
	g.call(t, http.MethodGet, fmt.Sprintf("%s/issues/%d/comments", repo, made.Number), nil, &held)
	if len(held) != 1 || held[0].Body != "three"+marked {
		t.Errorf("the server has %+v", held)
	}
}
