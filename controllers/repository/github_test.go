package repository_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/githubapp/apptest"
	"github.com/keptn/gitops/gitsource/gittest"
	"github.com/keptn/gitops/outbound"
)

// texts is a Secret as the tests have it.
func texts(data map[string][]byte) map[string]string {
	all := map[string]string{}
	for key, value := range data {
		all[key] = string(value)
	}
	return all
}

// github is a server that notes what it is asked, and by whom.
func github(t *testing.T) (server *httptest.Server, app *apptest.Server, asked func() []string) {
	t.Helper()
	app = apptest.New(t, time.Now)
	var requests []string
	mux := http.NewServeMux()
	mux.Handle("/api/v3/app/", http.StripPrefix("/api/v3", app))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		who := r.Header.Get("Authorization")
		if app.Valid(strings.TrimPrefix(who, "Bearer ")) {
			who = "app"
		}
		requests = append(requests, who+" "+r.Method+" "+strings.TrimPrefix(r.URL.Path, "/api/v3/repos/acme/shop/"))
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/deployments") {
			_, _ = w.Write([]byte("[]"))
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"id": 1})
	})
	server = httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server, app, func() []string { return requests }
}

// newRepositories are those of a cluster with these Secrets in the namespace shop.
func newRepositories(t *testing.T, known secrets) *repository.Repositories {
	t.Helper()
	store, err := gitsource.NewStore(t.TempDir(), gitsource.AllowPlainHTTPCredentials())
	if err != nil {
		t.Fatal(err)
	}
	return repository.New(known, nil, store, "east", outbound.Anywhere())
}

const sha = "1111111111111111111111111111111111111111"

func TestGitHubIsToldByTokenOrAsAnApp(t *testing.T) {
	const commit = "commits/" + sha + "/"
	cases := map[string]struct {
		reason string
		change func(*repository.Origin)
		want   []string
		err    error
	}{
		"Token": {"Statuses need no App.", func(o *repository.Origin) { o.Reporting = named("token") },
			[]string{"Bearer t0ken POST statuses/" + sha}, nil},
		"App": {"Apps write checks.", func(o *repository.Origin) { o.Reporting = named("app") },
			[]string{"app GET " + commit + "check-runs", "app POST check-runs"}, nil},
		"AppThatReads": {"It is the one that reads, where no other is named.", func(o *repository.Origin) { o.Secret = named("app") },
			[]string{"app GET " + commit + "check-runs", "app POST check-runs"}, nil},
		"TokenBeforeApp": {"Who is named reports.", func(o *repository.Origin) { o.Secret, o.Reporting = named("app"), named("token") },
			[]string{"Bearer t0ken POST statuses/" + sha}, nil},
		"Deployment": {"On request.", func(o *repository.Origin) {
			o.Reporting, o.Deployments, o.Environment = named("token"), true, "production"
		}, []string{
			"Bearer t0ken GET deployments", "Bearer t0ken POST deployments", "Bearer t0ken GET deployments/1/statuses", "Bearer t0ken POST deployments/1/statuses",
			"Bearer t0ken POST statuses/" + sha,
		}, nil},
		"Password":  {"What reads Git is not meant to report.", func(o *repository.Origin) { o.Secret = named("git") }, nil, repository.ErrNoCredentials},
		"None":      {"Nobody may post without one.", func(*repository.Origin) {}, nil, repository.ErrNoCredentials},
		"BrokenApp": {"A person has to mend it.", func(o *repository.Origin) { o.Reporting = named("broken") }, nil, repository.ErrSecret},
		"GiteasApp": {"Gitea knows no such Apps.", func(o *repository.Origin) { o.Provider, o.Reporting = "gitea", named("app") }, nil, repository.ErrNoCredentials},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			server, app, asked := github(t)
			r := newRepositories(t, secrets{
				"token": {"token": "t0ken\n"}, "app": texts(app.Secret(server.URL)), "git": {"username": "git", "password": password},
				"broken": {"githubAppID": "1"},
			})
			o := repository.Origin{URL: server.URL + "/acme/shop.git", Provider: "github"}
			tc.change(&o)
			to, err := r.Forge(t.Context(), o)
			if !errors.Is(err, tc.err) {
				t.Fatalf("%s\ngot %v", tc.reason, err)
			}
			if err != nil {
				return
			}
			err = to.Set(t.Context(), forge.Status{Commit: sha, Context: "keptn/production/shop/deployment", State: forge.Success, Deploys: true})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, asked()); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAnAppOfGitHubIsNotUsedAtAnotherServer(t *testing.T) {
	server, app, asked := github(t)
	r := newRepositories(t, secrets{"app": texts(app.Secret(""))})
	o := repository.Origin{URL: server.URL + "/acme/shop.git", Provider: "github", Secret: named("app")}
	if _, err := r.Forge(t.Context(), o); err == nil || !strings.Contains(err.Error(), "githubAppBaseURL") {
		t.Errorf("forge: got %v", err)
	}
	if _, err := r.Open(t.Context(), o); !errors.Is(err, repository.ErrAddress) || !strings.Contains(err.Error(), "githubAppBaseURL") {
		t.Errorf("Git: got %v", err)
	}
	if len(asked())+len(app.Requests()) > 0 {
		t.Error("it was asked")
	}
}

func TestGitAndTheForgeAreReachedThroughTheProxyOfTheSource(t *testing.T) {
	git := gittest.New(t)
	repo := git.Create(t, "acme/shop")
	repo.Commit("main", "1", map[string]string{"a": "b"})
	var asked []string
	forward := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		forward.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	known := secrets{"token": {"token": "t0ken"}, "proxy": {"address": proxy.URL}, "broken": {"address": "proxy"}}
	r := newRepositories(t, known)
	o := repository.Origin{Source: named("production"), URL: repo.URL, Provider: "github", Reporting: named("token"), Proxy: named("proxy")}
	opened, err := r.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := opened.Fetch(t.Context(), gitsource.Ref{}); err != nil {
		t.Fatal(err)
	}
	to, err := r.Forge(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := to.Latest(t.Context(), sha, "a"); !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("got %v: Git's server has no API", err)
	}
	for _, part := range []string{"/info/refs", "/api/v3/"} {
		if !slices.ContainsFunc(asked, func(path string) bool { return strings.Contains(path, part) }) {
			t.Errorf("the proxy was not asked for %s, but for %v", part, asked)
		}
	}
	without := o
	without.Proxy.Name = ""
	if again, err := r.Open(t.Context(), without); err != nil || again == opened {
		t.Errorf("another way is another handle: %v", err)
	}
	o.Proxy = named("broken")
	if _, err := r.Open(t.Context(), o); !errors.Is(err, repository.ErrSecret) || !strings.Contains(err.Error(), "address") {
		t.Errorf("Git: got %v", err)
	}
	if _, err := r.Forge(t.Context(), o); !errors.Is(err, repository.ErrSecret) || !strings.Contains(err.Error(), "address") {
		t.Errorf("forge: got %v", err)
	}
}

func TestAnAppIsNotUsedOverPlainHTTPUnlessThatIsAllowed(t *testing.T) {
	strict, err := gitsource.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for address, refused := range map[string]bool{"http://github.example.com": true, "https://github.example.com": false} {
		keys := texts(apptest.New(t, time.Now).Secret(address))
		r := repository.New(secrets{"app": keys}, nil, strict, "", outbound.Anywhere())
		o := repository.Origin{URL: "https://github.example.com/acme/shop", Provider: "github", Reporting: named("app")}
		if _, err := r.Forge(t.Context(), o); errors.Is(err, repository.ErrAddress) != refused || !refused && err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}
