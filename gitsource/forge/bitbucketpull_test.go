package forge_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/keptn/gitops/gitsource/forge"
)

// bitbucketPull is a pull request as Bitbucket Cloud answers with it: a list leaves out
// who reviews it.
func bitbucketPull(p *fakePull, whole bool) map[string]any {
	end := func(b giteaBranch) map[string]any {
		name := "acme/shop"
		if b.Repository != 1 {
			name = "fork/shop"
		}
		return map[string]any{"branch": map[string]string{"name": b.Ref}, "repository": map[string]string{"full_name": name}}
	}
	all := map[string]any{
		"type": "pullrequest", "id": p.Number, "title": p.Title, "description": p.Body, "state": strings.ToUpper(p.State),
		"source": end(p.Head), "destination": end(p.Base), "links": map[string]any{"html": map[string]string{"href": p.URL}},
	}
	if whole {
		reviewers := []map[string]string{}
		for _, r := range p.reviewers {
			reviewers = append(reviewers, map[string]string{"uuid": r, "display_name": "Somebody"})
		}
		all["reviewers"] = reviewers
	}
	return all
}

// bitbucketInput is what a pull request is made of, or changed to.
type bitbucketInput struct {
	Title, Description  string
	Source, Destination *struct{ Branch struct{ Name string } }
	Reviewers           []struct{ UUID string }
}

// asks reads Bitbucket's language of queries, as far as it is used here.
var asks = regexp.MustCompile(`^state = "OPEN" AND source\.branch\.name = "([^"]*)" AND source\.repository\.full_name = "acme/shop" AND destination\.branch\.name = "([^"]*)"$`)

// servePulls has acme/shop take pull requests.
func (b *fakeBitbucket) servePulls(mux *http.ServeMux) {
	b.page = "https://bitbucket.org/acme/shop/pull-requests/"
	pulls := "/2.0/repositories/acme/shop/pullrequests"
	mux.HandleFunc("GET "+pulls, func(w http.ResponseWriter, r *http.Request) {
		asked := asks.FindStringSubmatch(r.FormValue("q"))
		if asked == nil {
			bitbucketRefuses(w, http.StatusBadRequest, "Invalid query")
			return
		}
		found := []map[string]any{}
		for _, p := range b.between(asked[1], asked[2]) {
			if p.Head.Repository == 1 {
				found = append(found, bitbucketPull(p, false))
			}
		}
		answer(w, http.StatusOK, map[string]any{"values": found, "pagelen": 50, "size": len(found), "page": 1})
	})
	mux.HandleFunc("POST "+pulls, func(w http.ResponseWriter, r *http.Request) {
		var in bitbucketInput
		if !decoded(w, r, &in) {
			return
		}
		head, base := in.Source.Branch.Name, in.Destination.Branch.Name
		switch {
		case b.lacks(head, base):
			answer(w, http.StatusBadRequest, map[string]any{"type": "error", "error": map[string]any{
				"message": "Bad request", "fields": map[string][]string{"source": {"branch not found: " + head}}}})
		case longerThan(in.Title, 255):
			bitbucketRefuses(w, http.StatusBadRequest, "title: Ensure this value has at most 255 characters.")
		case b.isOpen(head, base):
			bitbucketRefuses(w, http.StatusConflict, "A pull request already exists for these branches.")
		default:
			answer(w, http.StatusCreated, bitbucketPull(b.addPull(head, base, in.Title, in.Description, false), true))
		}
	})
	mux.HandleFunc("GET "+pulls+"/{number}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, bitbucketPull(b.numbered(r.PathValue("number")), true))
	})
	mux.HandleFunc("PUT "+pulls+"/{number}", func(w http.ResponseWriter, r *http.Request) {
		var in bitbucketInput
		if !decoded(w, r, &in) {
			return
		}
		p := b.numbered(r.PathValue("number"))
		p.Title, p.Body, p.reviewers = in.Title, in.Description, nil
		for _, reviewer := range in.Reviewers {
			p.reviewers = append(p.reviewers, reviewer.UUID)
		}
		answer(w, http.StatusOK, bitbucketPull(p, true))
	})
}

func (b *fakeBitbucket) pullBackend(t *testing.T) pullBackend {
	d := mustNew(t, forge.Bitbucket, forge.Target{Repository: "https://bitbucket.org/Acme/shop.git", API: b.URL, Token: secret})
	return b.backend(d, 255, 30_000)
}

// bitbucketServerPull is a pull request as Bitbucket Data Center answers with it.
func bitbucketServerPull(p *fakePull) map[string]any {
	ref := func(b giteaBranch) map[string]any {
		project := "ACME"
		if b.Repository != 1 {
			project = "~fork"
		}
		return map[string]any{"id": "refs/heads/" + b.Ref, "displayId": b.Ref, "repository": map[string]any{"slug": "shop", "project": map[string]string{"key": project}}}
	}
	reviewers := []map[string]any{}
	for _, r := range p.reviewers {
		reviewers = append(reviewers, map[string]any{"user": map[string]string{"name": r}, "role": "REVIEWER", "approved": false})
	}
	return map[string]any{
		"id": p.Number, "version": p.version, "title": p.Title, "description": p.Body, "state": strings.ToUpper(p.State), "reviewers": reviewers,
		"fromRef": ref(p.Head), "toRef": ref(p.Base), "links": map[string]any{"self": []map[string]string{{"href": p.URL}}},
	}
}

// bitbucketServerInput is what a pull request is made of, or changed to.
type bitbucketServerInput struct {
	ID                 int64
	Version            int
	Title, Description string
	FromRef, ToRef     *struct {
		ID         string
		Repository struct {
			Slug    string
			Project struct{ Key string }
		}
	}
	Reviewers []struct{ User struct{ Name string } }
}

// servePulls has ACME/shop take pull requests.
func (b *fakeBitbucketServer) servePulls(mux *http.ServeMux) {
	b.page = "https://git.example.com/git/projects/ACME/repos/shop/pull-requests/"
	pulls := "/git/rest/api/latest/projects/{project}/repos/shop/pull-requests"
	mux.HandleFunc("GET "+pulls, b.of(func(w http.ResponseWriter, r *http.Request) {
		found := b.between(strings.TrimPrefix(r.FormValue("at"), "refs/heads/"), "")
		if r.FormValue("direction") != "OUTGOING" || r.FormValue("state") != "OPEN" {
			found = nil
		}
		var start, limit int
		_, _ = fmt.Sscan(r.FormValue("start")+" "+r.FormValue("limit"), &start, &limit)
		to := min(start+limit, len(found))
		values := []map[string]any{}
		for _, p := range found[min(start, to):to] {
			values = append(values, bitbucketServerPull(p))
		}
		answer(w, http.StatusOK, map[string]any{"values": values, "size": len(values), "isLastPage": to == len(found), "start": start, "limit": limit, "nextPageStart": to})
	}))
	mux.HandleFunc("POST "+pulls, b.of(func(w http.ResponseWriter, r *http.Request) {
		var in bitbucketServerInput
		if !decoded(w, r, &in) {
			return
		}
		head, base := strings.TrimPrefix(in.FromRef.ID, "refs/heads/"), strings.TrimPrefix(in.ToRef.ID, "refs/heads/")
		switch {
		case b.lacks(head, base):
			bitbucketServerRefuses(w, http.StatusNotFound, "Branch \""+head+"\" does not exist.", "com.atlassian.bitbucket.repository.NoSuchBranchException")
		case longerThan(in.Title, 255), longerThan(in.Description, 32_768):
			bitbucketServerRefuses(w, http.StatusBadRequest, "title too long", "javax.validation.ConstraintViolationException")
		case b.isOpen(head, base):
			bitbucketServerRefuses(w, http.StatusConflict, "Only one pull request may be open for a given source and target branch", "com.atlassian.bitbucket.pull.DuplicatePullRequestException")
		default:
			answer(w, http.StatusCreated, bitbucketServerPull(b.addPull(head, base, in.Title, in.Description, false)))
		}
	}))
	mux.HandleFunc("GET "+pulls+"/{number}", b.of(func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, bitbucketServerPull(b.numbered(r.PathValue("number"))))
	}))
	mux.HandleFunc("PUT "+pulls+"/{number}", b.of(func(w http.ResponseWriter, r *http.Request) {
		var in bitbucketServerInput
		if !decoded(w, r, &in) {
			return
		}
		p := b.numbered(r.PathValue("number"))
		if in.Version != p.version {
			bitbucketServerRefuses(w, http.StatusConflict, "You are attempting to modify a pull request based on out-of-date information.", "com.atlassian.bitbucket.pull.PullRequestOutOfDateException")
			return
		}
		p.Title, p.Body, p.reviewers = in.Title, in.Description, nil
		p.version++
		for _, reviewer := range in.Reviewers {
			p.reviewers = append(p.reviewers, reviewer.User.Name)
		}
		answer(w, http.StatusOK, bitbucketServerPull(p))
	}))
}

func (b *fakeBitbucketServer) pullBackend(t *testing.T) pullBackend {
	d := mustNew(t, forge.BitbucketServer, forge.Target{Repository: b.URL + "/git/scm/ACME/shop.git", Token: secret})
	return b.backend(d, 255, 30_000)
}

func TestAChangeThatSomebodyElseMakesMeanwhileIsTriedAgain(t *testing.T) {
	b := newBitbucketServer(t)
	d := b.pullBackend(t).destination
	p := b.addPull("a", "main", "old", "", false)
	inner := b.Config.Handler
	b.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			p.version++
		}
		inner.ServeHTTP(w, r)
	})
	_, err := d.PullRequests.Open(t.Context(), forge.PullRequest{Head: "a", Base: "main", Title: "one"})
	if !errors.Is(err, forge.ErrTemporary) || p.Title != "old" {
		t.Errorf("title %q, %v, want ErrTemporary", p.Title, err)
	}
}

func TestBitbucketServersPullRequestIsFoundOnAnyPage(t *testing.T) {
	b := newBitbucketServer(t)
	d := b.pullBackend(t).destination
	mine := b.addPull("a", "main", "one", "", false)
	for range 250 {
		b.addPull("a", "prod", "another", "", true)
	}
	got, err := d.PullRequests.Open(t.Context(), forge.PullRequest{Head: "a", Base: "main", Title: "one"})
	if err != nil || got.Number != mine.Number || len(b.pulls) != 251 {
		t.Errorf("got %+v of %d, %v", got, len(b.pulls), err)
	}
}
