package forge_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"

	"github.com/keptn/gitops/gitsource/forge"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// gitlabMerge is a merge request as GitLab answers with it.
func gitlabMerge(p *fakePull) map[string]any {
	return map[string]any{
		"id": 9000 + p.Number, "iid": p.Number, "title": p.Title, "description": p.Body, "web_url": p.URL,
		"source_branch": p.Head.Ref, "target_branch": p.Base.Ref, "source_project_id": p.Head.Repository, "target_project_id": p.Base.Repository,
	}
}

// servePulls has acme/apps/shop take merge requests.
func (g *fakeGitLab) servePulls(mux *http.ServeMux) {
	g.page = "https://gitlab.example.com/acme/apps/shop/-/merge_requests/"
	project := "/sub/api/v4/projects/{project}"
	mux.HandleFunc("GET "+project+"/repository/branches/{branch}", g.of(func(w http.ResponseWriter, r *http.Request) {
		if g.lacks(r.PathValue("branch")) {
			refuse(w, http.StatusNotFound, "404 Branch Not Found")
			return
		}
		answer(w, http.StatusOK, map[string]string{"name": r.PathValue("branch")})
	}))
	mux.HandleFunc("GET "+project+"/merge_requests", g.of(func(w http.ResponseWriter, r *http.Request) {
		all := []map[string]any{}
		for _, p := range g.between(r.FormValue("source_branch"), r.FormValue("target_branch")) {
			all = append(all, gitlabMerge(p))
		}
		answer(w, http.StatusOK, gitlabPage(w, r, all))
	}))
	mux.HandleFunc("POST "+project+"/merge_requests", g.of(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Title       string `json:"title"`
			Description string `json:"description"`
			Head        string `json:"source_branch"`
			Base        string `json:"target_branch"`
		}
		if !decoded(w, r, &in) {
			return
		}
		switch {
		case g.lacks(in.Head, in.Base):
			answer(w, http.StatusBadRequest, map[string]any{"message": []string{"Source branch does not exist"}})
		case longerThan(in.Title, 255), longerThan(in.Description, 1<<20):
			answer(w, http.StatusBadRequest, map[string]any{"message": map[string][]string{"title": {"is too long (maximum is 255 characters)"}}})
		case g.isOpen(in.Head, in.Base):
			answer(w, http.StatusConflict, map[string]any{"message": []string{"Another open merge request already exists for this source branch: !1"}})
		default:
			answer(w, http.StatusCreated, gitlabMerge(g.addPull(in.Head, in.Base, in.Title, in.Description, false)))
		}
	}))
	mux.HandleFunc("PUT "+project+"/merge_requests/{number}", g.of(func(w http.ResponseWriter, r *http.Request) {
		p := g.numbered(r.PathValue("number"))
		var in struct{ Title, Description *string }
		if p == nil || json.NewDecoder(r.Body).Decode(&in) != nil {
			refuse(w, http.StatusNotFound, "404 Not Found")
			return
		}
		p.Title, p.Body = *in.Title, *in.Description
		answer(w, http.StatusOK, gitlabMerge(p))
	}))
}

func (g *fakeGitLab) pullBackend(t *testing.T) pullBackend {
	return g.backend(mustNew(t, forge.GitLab, g.target(secret)), 255, 60_000)
}

func TestGitLabsMergeRequestIsFoundOnAnyPage(t *testing.T) {
	g := newGitLab(t)
	d := g.pullBackend(t).destination
	mine := g.addPull("a", "main", "one", "", false)
	for range 250 {
		g.addPull("a", "main", "a fork's", "", true)
	}
	got, err := d.PullRequests.Open(t.Context(), forge.PullRequest{Head: "a", Base: "main", Title: "one"})
	if err != nil || got.Number != mine.Number || len(g.pulls) != 251 {
		t.Errorf("got %+v of %d, %v", got, len(g.pulls), err)
	}
}

func TestAMergeRequestsAddressThatIsNoneIsNotShown(t *testing.T) {
	g := newGitLab(t)
	d := g.pullBackend(t).destination
	for _, address := range []string{"javascript:alert(1)", "", "https://user:" + secret + "@git.example.com/"} {
		g.pulls = nil
		g.addPull("a", "main", "one", "", false).URL = address
		got, err := d.PullRequests.Open(t.Context(), forge.PullRequest{Head: "a", Base: "main", Title: "one"})
		if err != nil || got.URL != g.URL+"/sub/acme/apps/shop/-/merge_requests/1" {
			t.Errorf("for %q the page is %q, %v", address, got.URL, err)
		}
	}
}
