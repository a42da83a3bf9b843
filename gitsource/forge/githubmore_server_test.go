package forge_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

type ghDeployment struct {
	ID               int            `json:"id"`
	SHA              string         `json:"sha"`
	Ref              string         `json:"ref"`
	Task             string         `json:"task"`
	Environment      string         `json:"environment"`
	AutoMerge        *bool          `json:"auto_merge,omitempty"`
	RequiredContexts []string       `json:"required_contexts,omitempty"`
	Production       *bool          `json:"production_environment,omitempty"`
	Transient        bool           `json:"transient_environment"`
	Statuses         []ghDeployStep `json:"-"`
}

type ghDeployStep struct {
	State       string `json:"state"`
	Description string `json:"description"`
	LogURL      string `json:"log_url"`
}

func (g *fakeGitHub) serveDeployments(mux *http.ServeMux, repo string) {
	mux.HandleFunc("GET "+repo+"/deployments", func(w http.ResponseWriter, r *http.Request) {
		found := []*ghDeployment{}
		for _, d := range slices.Backward(g.deployments) {
			if d.SHA == r.FormValue("sha") && d.Task == r.FormValue("task") && d.Environment == r.FormValue("environment") {
				found = append(found, d)
			}
		}
		answer(w, http.StatusOK, page(w, r, found))
	})
	mux.HandleFunc("POST "+repo+"/deployments", func(w http.ResponseWriter, r *http.Request) {
		d := &ghDeployment{ID: len(g.deployments) + 1}
		if err := json.NewDecoder(r.Body).Decode(d); err != nil || d.Ref == "" {
			refuse(w, http.StatusBadRequest, "Problems parsing JSON")
			return
		}
		switch d.SHA = d.Ref; {
		case d.Ref != knownCommit:
			answer(w, http.StatusUnprocessableEntity, map[string]any{"message": "No ref found for: " + d.Ref})
		case d.AutoMerge == nil || *d.AutoMerge:
			refuse(w, http.StatusConflict, "Conflict merging main into "+d.Ref)
		case d.RequiredContexts == nil:
			refuse(w, http.StatusConflict, "Conflict: Commit status checks failed for "+d.Ref)
		default:
			g.deployments = append(g.deployments, d)
			answer(w, http.StatusCreated, d)
		}
	})
	mux.HandleFunc("/api/v3/repos/acme/shop/deployments/{id}/statuses", g.deploymentStatuses)
}

func (g *fakeGitHub) deploymentStatuses(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.Atoi(r.PathValue("id"))
	if id < 1 || id > len(g.deployments) {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	d := g.deployments[id-1]
	if r.Method == http.MethodGet {
		newest := slices.Clone(d.Statuses)
		slices.Reverse(newest)
		answer(w, http.StatusOK, page(w, r, newest))
		return
	}
	var s ghDeployStep
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil || utf8.RuneCountInString(s.Description) > 140 ||
		!slices.Contains([]string{"error", "failure", "inactive", "in_progress", "queued", "pending", "success"}, s.State) {
		invalid(w, "state or description")
		return
	}
	d.Statuses = append(d.Statuses, s)
	answer(w, http.StatusCreated, s)
}

type ghPull struct {
	Number int    `json:"number"`
	State  string `json:"state"`
	Title  string `json:"title"`
	Body   string `json:"body"`
	URL    string `json:"html_url"`
	Head   string `json:"-"`
	Base   string `json:"-"`
	Fork   bool   `json:"-"`
}

// MarshalJSON shows the repositories that it is from, and goes to.
func (p *ghPull) MarshalJSON() ([]byte, error) {
	type plain ghPull
	end := func(fork bool) map[string]any {
		return map[string]any{"repo": map[string]any{"id": map[bool]int{false: 1, true: 2}[fork]}}
	}
	return json.Marshal(struct {
		*plain
		From any `json:"head"`
		To   any `json:"base"`
	}{(*plain)(p), end(p.Fork), end(false)})
}

func (g *fakeGitHub) servePulls(mux *http.ServeMux, repo string) {
	mux.HandleFunc("GET "+repo+"/pulls", func(w http.ResponseWriter, r *http.Request) {
		found := []*ghPull{}
		for _, p := range slices.Backward(g.pulls) {
			if p.State == r.FormValue("state") && "acme:"+p.Head == r.FormValue("head") && p.Base == r.FormValue("base") {
				found = append(found, p)
			}
		}
		answer(w, http.StatusOK, page(w, r, found))
	})
	mux.HandleFunc("POST "+repo+"/pulls", g.createPull)
	mux.HandleFunc("PATCH "+repo+"/pulls/{number}", func(w http.ResponseWriter, r *http.Request) {
		number, _ := strconv.Atoi(r.PathValue("number"))
		if number < 1 || number > len(g.pulls) || json.NewDecoder(r.Body).Decode(g.pulls[number-1]) != nil {
			refuse(w, http.StatusNotFound, "Not Found")
			return
		}
		answer(w, http.StatusOK, g.pulls[number-1])
	})
}

func (g *fakeGitHub) createPull(w http.ResponseWriter, r *http.Request) {
	var asked struct{ Head, Base, Title, Body string }
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, "Problems parsing JSON")
		return
	}
	number := len(g.pulls) + 1
	p := &ghPull{
		Number: number, State: "open", Title: asked.Title, Body: strings.ReplaceAll(asked.Body, "\n", "\r\n"),
		URL: "https://github.example.com/acme/shop/pull/" + strconv.Itoa(number), Head: asked.Head, Base: asked.Base,
	}
	wrong := func(field string) {
		invalid(w, []map[string]string{{"resource": "PullRequest", "field": field, "code": "invalid"}})
	}
	switch {
	case !slices.Contains(g.branches, asked.Head):
		wrong("head")
	case !slices.Contains(g.branches, asked.Base):
		wrong("base")
	case asked.Head == asked.Base:
		invalid(w, []map[string]string{{"resource": "PullRequest", "code": "custom", "message": "No commits between " + asked.Base + " and " + asked.Head}})
	case utf8.RuneCountInString(asked.Title) > 256, utf8.RuneCountInString(asked.Body) > 65536:
		invalid(w, []map[string]string{{"resource": "Issue", "code": "custom", "field": "title", "message": "title is too long (maximum is 256 characters)"}})
	case slices.ContainsFunc(g.pulls, func(o *ghPull) bool { return o.State == "open" && o.Head == p.Head && o.Base == p.Base }):
		invalid(w, []map[string]string{{"resource": "PullRequest", "code": "custom", "message": "A pull request already exists for acme:" + asked.Head + "."}})
	default:
		g.pulls = append(g.pulls, p)
		answer(w, http.StatusCreated, p)
	}
}
