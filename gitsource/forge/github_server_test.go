package forge_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/githubapp"
	"github.com/keptn/gitops/gitsource/githubapp/apptest"
)

// fakeGitHub holds to GitHub's API, version 2022-11-28, as far as statuses, checks,
// deployments and pull requests go (https://docs.github.com/rest), with what is not
// written there: an unknown commit is a 422, which a limit and a wrong field are too; the
// explanation of a 422 may be a text, or a list of objects; a run under way that lacks an
// address leads to the App's home; contexts are told apart without their case; a renamed
// repository is a 301, or 307 for what writes, to its number.
type fakeGitHub struct {
	*httptest.Server
	app *apptest.Server

	mu          sync.Mutex
	statuses    []ghStatus
	runs        []*ghRun
	deployments []*ghDeployment
	pulls       []*ghPull
	branches    []string
	requests    []string // those that count for the limit
	broken      *fault
}

const appHome = "https://apps.example.com/keptn"

type ghStatus struct {
	SHA         string    `json:"-"`
	ID          int       `json:"id"`
	State       string    `json:"state"`
	Context     string    `json:"context"`
	Description *string   `json:"description"`
	TargetURL   *string   `json:"target_url"`
	Created     time.Time `json:"created_at"`
}

// newGitHub returns a server that knows the repository acme/shop with one commit.
func newGitHub(t *testing.T) *fakeGitHub {
	g := &fakeGitHub{app: apptest.New(t, time.Now), branches: []string{"main", "promote"}}
	mux := http.NewServeMux()
	const repo = "/api/v3/repos/acme/shop"
	mux.HandleFunc("POST "+repo+"/statuses/{sha}", g.createStatus)
	mux.HandleFunc("GET "+repo+"/commits/{sha}/status", g.combined)
	g.serveChecks(mux, repo)
	g.serveDeployments(mux, repo)
	g.servePulls(mux, repo)
	mux.HandleFunc("/api/v3/repositories/1/", func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = strings.Replace(r.URL.Path, "/repositories/1/", "/repos/acme/shop/", 1)
		mux.ServeHTTP(w, r)
	})
	mux.HandleFunc("/api/v3/repos/acme/store/", func(w http.ResponseWriter, r *http.Request) {
		code := http.StatusTemporaryRedirect
		if r.Method == http.MethodGet {
			code = http.StatusMovedPermanently
		}
		http.Redirect(w, r, strings.Replace(r.URL.String(), "/repos/acme/store/", "/repositories/1/", 1), code)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, "Not Found") })
	all := http.NewServeMux()
	all.Handle("/api/v3/app/", http.StripPrefix("/api/v3", g.app))
	all.Handle("/", g.guard(mux))
	g.Server = httptest.NewServer(all)
	t.Cleanup(g.Close)
	return g
}

// token is a target with a token, and asApp one as the App.
func (g *fakeGitHub) token(token forge.Token) forge.Target {
	return forge.Target{Repository: g.URL + "/acme/shop.git", Token: token}
}

func (g *fakeGitHub) asApp(t *testing.T) forge.Target {
	t.Helper()
	app, err := githubapp.FromSecret(g.app.Secret(g.URL))
	if err != nil {
		t.Fatal(err)
	}
	return forge.Target{Repository: g.URL + "/acme/shop.git", App: &app, Tokens: githubapp.NewTokens(time.Now), Client: g.Client()}
}

func openFakeGitHub(t *testing.T) backend {
	g := newGitHub(t)
	return backend{reporter: mustNew(t, forge.GitHub, g.token(secret)), commit: knownCommit, fail: g.fail}
}

func openFakeGitHubChecks(t *testing.T) backend {
	g := newGitHub(t)
	return backend{reporter: mustNew(t, forge.GitHub, g.asApp(t)), commit: knownCommit, fail: g.fail}
}

func (g *fakeGitHub) fail(f fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.broken = &f
}

// asked returns the requests that counted for the limit since the last call.
func (g *fakeGitHub) asked() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	asked := g.requests
	g.requests = nil
	return asked
}

// guard lets requests meet the fault, asks for a token, and answers a read whose answer
// is known with 304, which does not count.
func (g *fakeGitHub) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		asked := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v3/repos/acme/shop")
		switch {
		case g.broken != nil:
			g.requests = append(g.requests, asked)
			g.broken.serve(w, r)
		case token != secret && !g.app.Valid(token):
			refuse(w, http.StatusUnauthorized, "Bad credentials")
		case r.Header.Get("Accept") != "application/vnd.github+json" || r.Header.Get("X-GitHub-Api-Version") != "2022-11-28":
			refuse(w, http.StatusBadRequest, "the documentation recommends both headers")
		default:
			recorded := httptest.NewRecorder()
			next.ServeHTTP(recorded, r)
			tag := fmt.Sprintf(`W/"%x"`, sha256.Sum256([]byte(token+recorded.Body.String())))
			for name, values := range recorded.Header() {
				w.Header()[name] = values
			}
			if r.Method == http.MethodGet && recorded.Code == http.StatusOK {
				w.Header().Set("ETag", tag)
				if r.Header.Get("If-None-Match") == tag {
					w.WriteHeader(http.StatusNotModified)
					return
				}
			}
			g.requests = append(g.requests, asked)
			w.WriteHeader(recorded.Code)
			_, _ = w.Write(recorded.Body.Bytes())
		}
	})
}

// serve answers as the fault has it. The explanation repeats what was sent.
func (f *fault) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case f.cut:
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"id":`))
		panic(http.ErrAbortHandler)
	case f.hang:
		<-r.Context().Done()
	default:
		for k, v := range f.header {
			w.Header()[k] = v
		}
		message := f.said
		if message == "" {
			message = "no, " + r.Header.Get("Authorization") + "\n" + strings.Repeat("because ", 500)
		}
		refuse(w, f.code, message)
	}
}

// invalid answers 422 as GitHub does to what its rules do not allow.
func invalid(w http.ResponseWriter, errors any) {
	answer(w, http.StatusUnprocessableEntity, map[string]any{
		"message": "Validation Failed", "errors": errors, "documentation_url": "https://docs.github.com/rest", "status": "422",
	})
}

// known answers 422 to a commit that the repository does not have.
func known(w http.ResponseWriter, sha string) bool {
	if sha == knownCommit {
		return true
	}
	answer(w, http.StatusUnprocessableEntity, map[string]any{"message": "No commit found for SHA: " + sha, "status": "422"})
	return false
}

// webAddress says whether an address may be led to.
func webAddress(address *string) bool {
	if address == nil {
		return true
	}
	u, err := url.Parse(*address)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https")
}

func (g *fakeGitHub) createStatus(w http.ResponseWriter, r *http.Request) {
	s := ghStatus{SHA: r.PathValue("sha"), ID: len(g.statuses) + 1, Created: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		refuse(w, http.StatusBadRequest, "Problems parsing JSON")
		return
	}
	if !known(w, s.SHA) {
		return
	}
	same := 0
	for _, other := range g.statuses {
		if strings.EqualFold(other.Context, s.Context) {
			same++
		}
	}
	switch {
	case !slices.Contains([]string{"error", "failure", "pending", "success"}, s.State):
		invalid(w, []map[string]string{{"resource": "Status", "code": "custom", "field": "state", "message": "state is not included in the list"}})
	case s.Description != nil && utf8.RuneCountInString(*s.Description) > 140:
		invalid(w, []map[string]string{{"resource": "Status", "code": "custom", "field": "description", "message": "description is too long (maximum is 140 characters)"}})
	case utf8.RuneCountInString(s.Context) > 255, !webAddress(s.TargetURL):
		invalid(w, []map[string]string{{"resource": "Status", "code": "invalid"}})
	case same >= 1000:
		invalid(w, "Validation failed: This SHA and context has reached the maximum number of statuses.")
	default:
		g.statuses = append(g.statuses, s)
		answer(w, http.StatusCreated, s)
	}
}

func (g *fakeGitHub) combined(w http.ResponseWriter, r *http.Request) {
	if !known(w, r.PathValue("sha")) {
		return
	}
	seen := map[string]bool{}
	newest := []ghStatus{}
	for _, s := range slices.Backward(g.statuses) {
		if context := strings.ToLower(s.Context); !seen[context] {
			seen[context] = true
			newest = append(newest, s)
		}
	}
	answer(w, http.StatusOK, map[string]any{"sha": r.PathValue("sha"), "total_count": len(newest), "statuses": page(w, r, newest)})
}

// page is the part of a list that is asked for, at most 100, with the header Link.
func page[T any](w http.ResponseWriter, r *http.Request, all []T) []T {
	number, size := 1, 30
	if n, err := strconv.Atoi(r.FormValue("page")); err == nil {
		number = n
	}
	if n, err := strconv.Atoi(r.FormValue("per_page")); err == nil {
		size = min(n, 100)
	}
	from := min((number-1)*size, len(all))
	to := min(from+size, len(all))
	if to < len(all) {
		at := *r.URL
		at.Path = strings.Replace(at.Path, "/repos/acme/shop/", "/repositories/1/", 1)
		query := at.Query()
		query.Set("page", strconv.Itoa(number+1))
		at.RawQuery = query.Encode()
		w.Header().Set("Link", fmt.Sprintf(`<http://%s%s>; rel="next", <http://%s%s>; rel="last"`, r.Host, at.String(), r.Host, at.String()))
	}
	return all[from:to]
}
