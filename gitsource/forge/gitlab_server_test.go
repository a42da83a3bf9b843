package forge_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/keptn/gitops/gitsource/forge"
)

// fakeGitLab holds to the API of GitLab 18 as far as statuses and merge requests go, and to what
// app/services/ci/create_commit_status_service.rb does: a status is a job, looked for
// among those of the same user that are pending or running in the newest pipeline or the
// one that is named, and made if there is none.
type fakeGitLab struct {
	fakeForge
	fakePulls
	user      string // whose token it is
	unordered bool   // as servers before 17.9: neither order_by nor sort
	forked    bool   // the commit is on no branch of the project
	jobs      []*gitlabJob
	pipelines []gitlabPipeline // newest last
}

type gitlabPipeline struct {
	id       int64
	ref      string
	archived bool
}

type gitlabJob struct {
	ID          int64      `json:"id"`
	Status      string     `json:"status"`
	Ref         string     `json:"ref"`
	Pipeline    int64      `json:"pipeline_id"`
	Name        string     `json:"name"`
	Description *string    `json:"description"`
	TargetURL   *string    `json:"target_url"`
	Created     time.Time  `json:"created_at"`
	Finished    *time.Time `json:"finished_at"`
	user        string
	retried     bool
}

func newGitLab(t *testing.T) *fakeGitLab {
	g := &fakeGitLab{user: "bot"}
	g.unauthorized = func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusUnauthorized, "401 Unauthorized") }
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sub/api/v4/projects/{project}/statuses/{sha}", g.of(g.create))
	mux.HandleFunc("GET /sub/api/v4/projects/{project}/repository/commits/{sha}/statuses", g.of(g.list))
	g.servePulls(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, "404 Not Found") })
	g.serve(t, withBearer, mux)
	return g
}

// of has only the project acme/apps/shop, with one commit.
func (*fakeGitLab) of(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.PathValue("project") != "acme/apps/shop":
			refuse(w, http.StatusNotFound, "404 Project Not Found")
		case r.PathValue("sha") != "" && r.PathValue("sha") != knownCommit:
			refuse(w, http.StatusNotFound, "404 Commit Not Found")
		default:
			handle(w, r)
		}
	}
}

func (g *fakeGitLab) target(token forge.Token) forge.Target {
	return forge.Target{Repository: g.URL + "/sub/acme/apps/shop.git", API: g.URL + "/sub", Token: token}
}

func (g *fakeGitLab) open(t *testing.T, token forge.Token) forge.Reporter {
	return mustNew(t, forge.GitLab, g.target(token))
}

func openFakeGitLab(t *testing.T) backend {
	g := newGitLab(t)
	return backend{reporter: g.open(t, secret), commit: knownCommit, fail: g.fail}
}

// optional is nil for nothing, as the database has it.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (g *fakeGitLab) create(w http.ResponseWriter, r *http.Request) {
	var in struct {
		State       string `json:"state"`
		Ref         string `json:"ref"`
		Name        string `json:"name"`
		Description string `json:"description"`
		TargetURL   string `json:"target_url"`
		Pipeline    int64  `json:"pipeline_id"`
	}
	if !decoded(w, r, &in) {
		return
	}
	pipeline := g.pipeline(in.Pipeline, in.Ref)
	to, err := url.Parse(in.TargetURL)
	switch {
	case pipeline == nil && in.Pipeline == 0:
		refuse(w, http.StatusNotFound, "404 References for commit Not Found")
		return
	case pipeline == nil:
		refuse(w, http.StatusNotFound, "404 Pipeline for pipeline_id, sha and ref Not Found")
		return
	case !slices.Contains([]string{"pending", "running", "success", "failed", "canceled", "skipped"}, in.State):
		answer(w, http.StatusBadRequest, map[string]string{"error": "state does not have a valid value"})
		return
	case longerThan(in.Name, 255), longerThan(in.Description, 255), longerThan(in.TargetURL, 255):
		answer(w, http.StatusBadRequest, map[string]any{"message": map[string][]string{"name": {"is too long (maximum is 255 characters)"}}})
		return
	case in.TargetURL != "" && (err != nil || to.Host == ""):
		answer(w, http.StatusBadRequest, map[string]any{"message": map[string][]string{"target_url": {"must be a valid URL"}}})
		return
	}
	job := g.waiting(pipeline, in.Name)
	status := "created"
	if job != nil {
		status = job.Status
	}
	event := map[string]string{"pending": "enqueue", "running": "run"}[in.State]
	if event == "enqueue" && status != "created" || event == "run" && status == "running" {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("Cannot transition status via :%s from :%s (Reason(s): Status cannot transition via \"%s\")", event, status, event))
		return
	}
	if job == nil {
		job = g.add(pipeline, in.Name)
	}
	job.Status, job.Description = in.State, optional(in.Description)
	if in.TargetURL != "" { // what is not given stays as it is
		job.TargetURL = optional(in.TargetURL)
	}
	if event == "" {
		now := job.Created.Add(time.Minute)
		job.Finished = &now
	}
	answer(w, http.StatusCreated, job)
}

// pipeline is the one that is named, else the newest of the reference or a new one.
func (g *fakeGitLab) pipeline(id int64, ref string) *gitlabPipeline {
	for i := range slices.Backward(g.pipelines) {
		p := &g.pipelines[i]
		if !p.archived && (id == 0 || p.id == id) && (ref == "" || p.ref == ref) {
			return p
		}
	}
	if id != 0 {
		return nil
	}
	switch {
	case ref == "" && g.forked:
		return nil
	case ref == "":
		ref = "main"
	}
	g.pipelines = append(g.pipelines, gitlabPipeline{id: int64(1000 + len(g.pipelines)), ref: ref})
	return &g.pipelines[len(g.pipelines)-1]
}

// waiting is the job of the name that a status changes.
func (g *fakeGitLab) waiting(p *gitlabPipeline, name string) *gitlabJob {
	for _, j := range g.jobs {
		if j.Pipeline == p.id && j.Name == name && j.user == g.user && (j.Status == "pending" || j.Status == "running") {
			return j
		}
	}
	return nil
}

// add makes a job, which retries those of the same name.
func (g *fakeGitLab) add(p *gitlabPipeline, name string) *gitlabJob {
	for _, j := range g.jobs {
		j.retried = j.retried || j.Pipeline == p.id && j.Name == name
	}
	n := len(g.jobs)
	j := &gitlabJob{ID: int64(5000 + n), Ref: p.ref, Pipeline: p.id, Name: name, Created: noon.Add(time.Duration(n) * time.Hour), user: g.user}
	g.jobs = append(g.jobs, j)
	return j
}

func (g *fakeGitLab) list(w http.ResponseWriter, r *http.Request) {
	found := []*gitlabJob{}
	for _, j := range g.jobs {
		if !j.retried && j.Name == r.FormValue("name") {
			found = append(found, j)
		}
	}
	if r.FormValue("sort") == "desc" && !g.unordered {
		slices.Reverse(found)
	}
	answer(w, http.StatusOK, gitlabPage(w, r, found))
}

// gitlabPage is one page, with at most 100 of all.
func gitlabPage[E any](w http.ResponseWriter, r *http.Request, all []E) []E {
	page, _ := strconv.Atoi(r.FormValue("page"))
	size, _ := strconv.Atoi(r.FormValue("per_page"))
	page, size = max(page, 1), min(max(size, 1), 100)
	from := min((page-1)*size, len(all))
	to := min(from+size, len(all))
	if to < len(all) {
		next := *r.URL
		query := next.Query()
		query.Set("page", strconv.Itoa(page+1))
		next.RawQuery = query.Encode()
		w.Header().Set("X-Next-Page", strconv.Itoa(page+1))
		w.Header().Set("Link", "<http://"+r.Host+next.String()+`>; rel="next"`)
	}
	return all[from:to]
}

// states are the jobs as pipeline state.
func (g *fakeGitLab) states() []string {
	var all []string
	for _, j := range g.jobs {
		all = append(all, fmt.Sprintf("%d %s", j.Pipeline, j.Status))
	}
	return all
}
