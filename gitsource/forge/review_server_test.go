package forge_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/githubapp"
	"github.com/keptn/gitops/gitsource/githubapp/apptest"
)

// A reviewed is a repository whose pull requests are looked at, as one forge has it.
type reviewed struct {
	fakeForge
	pulls    []reviewedPull // the one that was changed last first
	comments []*reviewComment
	// nobody: the forge does not tell whose the token is.
	nobody bool
	// apps are those that authors write by, as GitHub has them.
	apps        map[string]any
	destination forge.Destination
}

// reviewedPull is a pull request from a branch of the repository, or of a fork.
type reviewedPull struct {
	number             int64
	commit, head, base string
	fork               bool
}

// from is the id of the repository that it comes from.
func (p reviewedPull) from() int64 {
	if p.fork {
		return 2
	}
	return 1
}

type reviewComment struct {
	id, pull int64
	author   string // me, or somebody else
	text     string
	version  int
	status   string // of its thread
	// deleted: what is left of it is shown, and says so.
	deleted bool
}

func (s *reviewed) into(base string) []reviewedPull {
	var found []reviewedPull
	for _, p := range s.pulls {
		if p.base == base {
			found = append(found, p)
		}
	}
	return found
}

// of are the comments on a pull request.
func (s *reviewed) of(number string) []*reviewComment {
	var found []*reviewComment
	for _, c := range s.comments {
		if itoa(c.pull) == number {
			found = append(found, c)
		}
	}
	return found
}

func (s *reviewed) add(number, author, text string) *reviewComment {
	pull, _ := strconv.ParseInt(number, 10, 64)
	c := &reviewComment{id: int64(len(s.comments) + 11), pull: pull, author: author, text: text}
	s.comments = append(s.comments, c)
	return c
}

// edit changes a comment, or answers that it is gone. Whoever may write may change those
// of others, too.
func (s *reviewed) edit(w http.ResponseWriter, id, text string) *reviewComment {
	for _, c := range s.comments {
		if itoa(c.id) == id {
			c.text = text
			c.version++
			return c
		}
	}
	refuse(w, http.StatusNotFound, "Not Found")
	return nil
}

// account answers who the token is.
func (s *reviewed) account(me any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if s.nobody {
			refuse(w, http.StatusForbidden, "Resource not accessible by this token")
			return
		}
		answer(w, http.StatusOK, me)
	}
}

// accounts are the ids of authors.
var accounts = map[string]int64{"me": 7, "them": 8}

type plainText struct {
	Body string `json:"body"`
}

// plain has comments as Gitea, GitHub and GitLab have them alike, with the field that
// names an author.
func (s *reviewed) plain(mux *http.ServeMux, all, one, edit, author string) {
	shown := func(c *reviewComment) map[string]any {
		all := map[string]any{"id": c.id, "body": strings.ReplaceAll(c.text, "\n", "\r\n"), author: map[string]any{"id": accounts[c.author]}}
		if s.apps != nil {
			all["performed_via_github_app"] = s.apps[c.author]
		}
		return all
	}
	mux.HandleFunc("GET "+all, func(w http.ResponseWriter, r *http.Request) {
		list := []map[string]any{}
		for _, c := range s.of(r.PathValue("number")) {
			list = append(list, shown(c))
		}
		if n, _ := strconv.Atoi(r.FormValue("page")); n > 1 {
			list = list[:0]
		}
		answer(w, http.StatusOK, list)
	})
	mux.HandleFunc("POST "+all, func(w http.ResponseWriter, r *http.Request) {
		var in plainText
		if decoded(w, r, &in) {
			answer(w, http.StatusCreated, shown(s.add(r.PathValue("number"), "me", in.Body)))
		}
	})
	mux.HandleFunc(edit+" "+one, func(w http.ResponseWriter, r *http.Request) {
		var in plainText
		if !decoded(w, r, &in) {
			return
		}
		if c := s.edit(w, r.PathValue("id"), in.Body); c != nil {
			answer(w, http.StatusOK, shown(c))
		}
	})
}

// start serves the routes, and opens the repository that is at path.
func (s *reviewed) start(t *testing.T, provider, path string, authorized func(*http.Request) bool, mux *http.ServeMux) *reviewed {
	s.unauthorized = func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusUnauthorized, "no") }
	s.serve(t, authorized, mux)
	s.destination = mustNew(t, provider, forge.Target{Repository: s.URL + path, API: s.api(provider), Token: secret})
	return s
}

func (s *reviewed) api(provider string) string {
	switch provider {
	case forge.GitHub:
		return s.URL + "/api/v3"
	case forge.Bitbucket:
		return s.URL
	}
	return ""
}

// reviewedForges is everything that must keep the promises of Reviews.
var reviewedForges = map[string]func(*testing.T) *reviewed{
	"Gitea":           reviewedGitea,
	"GitHub":          reviewedGitHub,
	"GitHubApp":       reviewedGitHubApp,
	"GitLab":          reviewedGitLab,
	"Bitbucket":       reviewedBitbucket,
	"BitbucketServer": reviewedBitbucketServer,
	"AzureDevOps":     reviewedAzureDevOps,
}

func reviewedGitea(t *testing.T) *reviewed {
	s, mux := &reviewed{}, http.NewServeMux()
	mux.HandleFunc("GET /api/v1/repos/acme/shop/pulls", func(w http.ResponseWriter, r *http.Request) {
		list := []map[string]any{}
		for _, p := range s.pulls { // of any base
			list = append(list, map[string]any{
				"number": p.number, "head": map[string]any{"ref": p.head, "sha": p.commit, "repo_id": p.from()}, "base": map[string]any{"ref": p.base, "repo_id": 1},
			})
		}
		number, _ := strconv.Atoi(r.FormValue("page"))
		from := min((number-1)*50, len(list))
		answer(w, http.StatusOK, list[from:min(from+50, len(list))])
	})
	mux.HandleFunc("GET /api/v1/user", s.account(map[string]any{"id": 7}))
	issues := "/api/v1/repos/acme/shop/issues"
	s.plain(mux, issues+"/{number}/comments", issues+"/comments/{id}", http.MethodPatch, "user")
	return s.start(t, forge.Gitea, "/acme/shop.git", func(r *http.Request) bool { return r.Header.Get("Authorization") == "token "+secret }, mux)
}

func reviewedGitHub(t *testing.T) *reviewed {
	s := &reviewed{}
	return s.start(t, forge.GitHub, "/acme/shop.git", withBearer, s.githubRoutes())
}

// reviewedGitHubApp is looked at by an App, which has no account to ask for.
func reviewedGitHubApp(t *testing.T) *reviewed {
	s := &reviewed{nobody: true, apps: map[string]any{"me": map[string]any{"id": 123456, "client_id": "Iv1.keptn"}, "them": nil}}
	apps := apptest.New(t, time.Now)
	mux := s.githubRoutes()
	mux.Handle("/api/v3/app/", http.StripPrefix("/api/v3", apps))
	s.unauthorized = func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusUnauthorized, "Bad credentials") }
	s.serve(t, func(r *http.Request) bool {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		return strings.HasPrefix(r.URL.Path, "/api/v3/app/") || apps.Valid(token)
	}, mux)
	app, err := githubapp.FromSecret(apps.Secret(s.URL))
	if err != nil {
		t.Fatal(err)
	}
	s.destination = mustNew(t, forge.GitHub, forge.Target{Repository: s.URL + "/acme/shop.git", App: &app, Tokens: githubapp.NewTokens(time.Now), Client: s.Client()})
	return s
}

// githubRoutes are those of GitHub's API.
func (s *reviewed) githubRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v3/repos/acme/shop/pulls", func(w http.ResponseWriter, r *http.Request) {
		list := []map[string]any{}
		for _, p := range s.into(r.FormValue("base")) {
			var from any = map[string]any{"id": 1}
			if p.fork {
				from = nil // it is gone
			}
			list = append(list, map[string]any{
				"number": p.number, "head": map[string]any{"ref": p.head, "sha": p.commit, "repo": from}, "base": map[string]any{"ref": p.base, "repo": map[string]any{"id": 1}},
			})
		}
		size, _ := strconv.Atoi(r.FormValue("per_page"))
		answer(w, http.StatusOK, list[:min(len(list), size)])
	})
	mux.HandleFunc("GET /api/v3/user", s.account(map[string]any{"id": 7}))
	issues := "/api/v3/repos/acme/shop/issues"
	s.plain(mux, issues+"/{number}/comments", issues+"/comments/{id}", http.MethodPatch, "user")
	return mux
}

func reviewedGitLab(t *testing.T) *reviewed {
	s, mux := &reviewed{}, http.NewServeMux()
	merges := "/api/v4/projects/acme%2Fshop/merge_requests"
	mux.HandleFunc("GET "+merges, func(w http.ResponseWriter, r *http.Request) {
		list := []map[string]any{}
		for _, p := range s.into(r.FormValue("target_branch")) {
			list = append(list, map[string]any{"id": 900 + p.number, "iid": p.number, "sha": p.commit, "source_branch": p.head, "source_project_id": p.from(), "target_project_id": 1})
		}
		size, _ := strconv.Atoi(r.FormValue("per_page"))
		answer(w, http.StatusOK, list[:min(len(list), size)])
	})
	mux.HandleFunc("GET /api/v4/user", s.account(map[string]any{"id": 7}))
	s.plain(mux, merges+"/{number}/notes", merges+"/{number}/notes/{id}", http.MethodPut, "author")
	return s.start(t, forge.GitLab, "/acme/shop.git", withBearer, mux)
}

func reviewedBitbucket(t *testing.T) *reviewed {
	s, mux := &reviewed{}, http.NewServeMux()
	pulls := "/2.0/repositories/acme/shop/pullrequests"
	type content struct {
		Content struct {
			Raw string `json:"raw"`
		} `json:"content"`
	}
	shown := func(c *reviewComment) map[string]any {
		return map[string]any{"type": "pullrequest_comment", "id": c.id, "content": map[string]any{"raw": c.text}, "user": map[string]any{"uuid": "{" + c.author + "}"}, "deleted": c.deleted}
	}
	mux.HandleFunc("GET "+pulls, func(w http.ResponseWriter, r *http.Request) {
		const before = `state = "OPEN" AND source.repository.full_name = "acme/shop" AND destination.branch.name = `
		base, err := strconv.Unquote(strings.TrimPrefix(r.FormValue("q"), before))
		if err != nil {
			refuse(w, http.StatusBadRequest, "Invalid query")
			return
		}
		list := []map[string]any{}
		for _, p := range s.into(base) {
			if !p.fork {
				list = append(list, map[string]any{"id": p.number, "source": map[string]any{
					"branch": map[string]any{"name": p.head}, "commit": map[string]any{"hash": p.commit[:12]}, "repository": map[string]any{"full_name": "acme/shop"},
				}})
			}
		}
		answer(w, http.StatusOK, map[string]any{"values": list[:min(len(list), 50)]})
	})
	mux.HandleFunc("GET /2.0/user", s.account(map[string]any{"uuid": "{me}"}))
	mux.HandleFunc("GET "+pulls+"/{number}/comments", func(w http.ResponseWriter, r *http.Request) {
		list := []map[string]any{}
		for _, c := range s.of(r.PathValue("number")) {
			list = append(list, shown(c))
		}
		answer(w, http.StatusOK, map[string]any{"values": list})
	})
	mux.HandleFunc("POST "+pulls+"/{number}/comments", func(w http.ResponseWriter, r *http.Request) {
		var in content
		if decoded(w, r, &in) {
			answer(w, http.StatusCreated, shown(s.add(r.PathValue("number"), "me", in.Content.Raw)))
		}
	})
	mux.HandleFunc("PUT "+pulls+"/{number}/comments/{id}", func(w http.ResponseWriter, r *http.Request) {
		var in content
		if !decoded(w, r, &in) {
			return
		}
		if c := s.edit(w, r.PathValue("id"), in.Content.Raw); c != nil {
			answer(w, http.StatusOK, shown(c))
		}
	})
	return s.start(t, forge.Bitbucket, "/acme/shop.git", withBearer, mux)
}

func reviewedBitbucketServer(t *testing.T) *reviewed {
	s, mux := &reviewed{}, http.NewServeMux()
	pulls := "/rest/api/latest/projects/ACME/repos/shop/pull-requests"
	type input struct {
		Text    string `json:"text"`
		Version *int   `json:"version"`
	}
	shown := func(c *reviewComment) map[string]any {
		return map[string]any{"id": c.id, "version": c.version, "text": c.text, "author": map[string]any{"name": c.author}}
	}
	mux.HandleFunc("GET "+pulls, func(w http.ResponseWriter, r *http.Request) {
		list := []map[string]any{}
		for _, p := range s.into(strings.TrimPrefix(r.FormValue("at"), "refs/heads/")) {
			from := "ACME"
			if p.fork {
				from = "~ada"
			}
			repository := func(key string) map[string]any {
				return map[string]any{"slug": "shop", "project": map[string]any{"key": key}}
			}
			list = append(list, map[string]any{
				"id": p.number, "fromRef": map[string]any{"id": "refs/heads/" + p.head, "latestCommit": p.commit, "repository": repository(from)},
				"toRef": map[string]any{"id": "refs/heads/" + p.base, "repository": repository("ACME")},
			})
		}
		answer(w, http.StatusOK, map[string]any{"values": list[:min(len(list), 50)], "isLastPage": len(list) <= 50})
	})
	mux.HandleFunc("GET "+pulls+"/{number}/activities", func(w http.ResponseWriter, r *http.Request) {
		if !s.nobody {
			w.Header().Set("X-Ausername", "me")
		}
		list := []map[string]any{{"action": "OPENED"}}
		for _, c := range s.of(r.PathValue("number")) {
			list = append(list, map[string]any{"action": "COMMENTED", "comment": shown(c)})
		}
		answer(w, http.StatusOK, map[string]any{"values": list, "isLastPage": true})
	})
	mux.HandleFunc("POST "+pulls+"/{number}/comments", func(w http.ResponseWriter, r *http.Request) {
		var in input
		if decoded(w, r, &in) {
			answer(w, http.StatusCreated, shown(s.add(r.PathValue("number"), "me", in.Text)))
		}
	})
	one := pulls + "/{number}/comments/{id}"
	mux.HandleFunc("GET "+one, func(w http.ResponseWriter, r *http.Request) {
		for _, c := range s.of(r.PathValue("number")) {
			if itoa(c.id) == r.PathValue("id") {
				answer(w, http.StatusOK, shown(c))
				return
			}
		}
		refuse(w, http.StatusNotFound, "Comment does not exist")
	})
	mux.HandleFunc("PUT "+one, func(w http.ResponseWriter, r *http.Request) {
		var in input
		if !decoded(w, r, &in) {
			return
		}
		for _, c := range s.comments {
			if itoa(c.id) == r.PathValue("id") && (in.Version == nil || *in.Version != c.version) {
				refuse(w, http.StatusConflict, "the comment was changed meanwhile")
				return
			}
		}
		if c := s.edit(w, r.PathValue("id"), in.Text); c != nil {
			answer(w, http.StatusOK, shown(c))
		}
	})
	return s.start(t, forge.BitbucketServer, "/scm/ACME/shop.git", withBearer, mux)
}

func reviewedAzureDevOps(t *testing.T) *reviewed {
	s, mux := &reviewed{}, http.NewServeMux()
	pulls := "/acme/shop/_apis/git/repositories/web/pullrequests"
	type comment struct {
		Parent  int64  `json:"parentCommentId"`
		Content string `json:"content"`
		Type    string `json:"commentType"`
	}
	shown := func(c *reviewComment) map[string]any {
		return map[string]any{"id": c.id, "status": c.status, "isDeleted": c.deleted, "comments": []map[string]any{
			{"id": 1, "parentCommentId": 0, "content": c.text, "commentType": "text", "author": map[string]any{"id": c.author}},
		}}
	}
	versioned := func(handle http.HandlerFunc) http.HandlerFunc { return (*fakeAzureDevOps)(nil).of(handle) }
	mux.HandleFunc("GET "+pulls, versioned(func(w http.ResponseWriter, r *http.Request) {
		list := []map[string]any{}
		for _, p := range s.into(strings.TrimPrefix(r.FormValue("searchCriteria.targetRefName"), "refs/heads/")) {
			one := map[string]any{"pullRequestId": p.number, "sourceRefName": "refs/heads/" + p.head, "lastMergeSourceCommit": map[string]any{"commitId": p.commit}}
			if p.fork {
				one["forkSource"] = map[string]any{"name": "refs/heads/" + p.head}
			}
			list = append(list, one)
		}
		top, _ := strconv.Atoi(r.FormValue("$top"))
		answer(w, http.StatusOK, map[string]any{"value": list[:min(len(list), top)]})
	}))
	mux.HandleFunc("GET /acme/_apis/connectionData", s.account(map[string]any{"authenticatedUser": map[string]any{"id": "me"}}))
	mux.HandleFunc("GET "+pulls+"/{number}/threads", versioned(func(w http.ResponseWriter, r *http.Request) {
		list := []map[string]any{{"id": 5, "comments": []any{}}} // as of a push
		for _, c := range s.of(r.PathValue("number")) {
			list = append(list, shown(c))
		}
		answer(w, http.StatusOK, map[string]any{"value": list})
	}))
	mux.HandleFunc("POST "+pulls+"/{number}/threads", versioned(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Status   string    `json:"status"`
			Comments []comment `json:"comments"`
		}
		if !decoded(w, r, &in) {
			return
		}
		c := s.add(r.PathValue("number"), "me", in.Comments[0].Content)
		c.status = in.Status
		answer(w, http.StatusOK, shown(c))
	}))
	mux.HandleFunc("PATCH "+pulls+"/{number}/threads/{id}/comments/1", versioned(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Content string `json:"content"`
		}
		if !decoded(w, r, &in) {
			return
		}
		if c := s.edit(w, r.PathValue("id"), in.Content); c != nil {
			answer(w, http.StatusOK, map[string]any{"id": 1, "content": c.text, "isDeleted": c.deleted})
		}
	}))
	return s.start(t, forge.AzureDevOps, "/acme/shop/_git/web", withBasic(""), mux)
}
