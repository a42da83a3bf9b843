package gitsource

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keptn/gitops/gitsource/githubapp/apptest"
	"github.com/keptn/gitops/gitsource/gittest"
)

// appServer is a GitHub server: its API, and Git for whoever has a token from there.
type appServer struct {
	*httptest.Server
	app *apptest.Server

	mu   sync.Mutex
	seen []string // users of the requests to Git
}

func newAppServer(t *testing.T, git http.Handler) *appServer {
	t.Helper()
	s := &appServer{app: apptest.New(t, time.Now)}
	mux := http.NewServeMux()
	mux.Handle("/api/v3/", http.StripPrefix("/api/v3", s.app))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		user, token, _ := r.BasicAuth()
		s.mu.Lock()
		s.seen = append(s.seen, user)
		s.mu.Unlock()
		if !s.app.Valid(token) {
			w.Header().Set("WWW-Authenticate", `Basic realm="GitHub"`)
			http.Error(w, "Repository not found.", http.StatusUnauthorized)
			return
		}
		git.ServeHTTP(w, r)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// open opens a repository of the server with the Secret of the App, after a change of it.
func (s *appServer) open(t *testing.T, url string, change map[string]string) (*Repository, error) {
	t.Helper()
	data := s.app.Secret(s.URL)
	for key, value := range change {
		data[key] = []byte(value)
	}
	auth, err := AuthFromSecret(url, data)
	if err != nil {
		t.Fatal(err)
	}
	return newStore(t, AllowPlainHTTPCredentials()).Repository(Remote{URL: url, Auth: auth})
}

func TestARepositoryIsReadAsAGitHubApp(t *testing.T) {
	t.Parallel()
	git := gittest.New(t)
	repo := git.Create(t, "app")
	first := repo.Commit("main", "one", map[string]string{"a": "1"})
	s := newAppServer(t, git)
	r, err := s.open(t, s.URL+"/app.git", nil)
	if err != nil {
		t.Fatal(err)
	}
	if rev := fetch(t, r, Ref{}); rev.Commit != first || readFile(t, r, first, "a") != "1" {
		t.Errorf("fetched %v", rev)
	}
	second := repo.Commit("main", "two", map[string]string{"a": "2"})
	if rev := fetch(t, r, Ref{}); rev.Commit != second {
		t.Errorf("fetched %v", rev)
	}
	if got := s.app.Requests(); len(got) != 1 {
		t.Errorf("one token is enough: asked for were %v", got)
	}
	if i := slices.IndexFunc(s.seen, func(user string) bool { return user != "x-access-token" }); i >= 0 {
		t.Errorf("request %d is of user %q", i, s.seen[i])
	}
	s.app.Revoke()
	if _, err := r.Fetch(t.Context(), Ref{}); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("with a token that was revoked: %v", err)
	}
	if rev := fetch(t, r, Ref{}); rev.Commit != second {
		t.Errorf("with the next token: %v", rev)
	}
}

func TestAnAppThatGetsNoTokenIsUnauthorized(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		change map[string]string
		says   string
		err    error
	}{
		"ID":           {"GitHub knows no such App.", map[string]string{"githubAppID": "1"}, "githubAppID", ErrUnauthorized},
		"Installation": {"It is not installed there.", map[string]string{"githubAppInstallationID": "1"}, "githubAppInstallationID", ErrUnauthorized},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAppServer(t, http.NotFoundHandler())
			r, err := s.open(t, s.URL+"/app.git", tc.change)
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Fetch(t.Context(), Ref{})
			if !errors.Is(err, tc.err) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "eyJ") {
				t.Errorf("%s\ngot %v, want it to name %s", tc.reason, err, tc.says)
			}
			if len(s.seen) > 0 {
				t.Errorf("%s\nGit was asked without a token", tc.reason)
			}
		})
	}
}

func TestAnAppsServerThatFailsIsUnreachable(t *testing.T) {
	t.Parallel()
	s := newAppServer(t, http.NotFoundHandler())
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	r, err := s.open(t, s.URL+"/app.git", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Fetch(t.Context(), Ref{}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

func TestAnAppIsNotUsedWhereItsTokenMustNotGo(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ reason, url, base, says string }{
		"Elsewhere": {"A token of one server is not for another.", "https://git.example.com/acme/shop", "https://api.github.com", "githubAppBaseURL"},
		"NotSaid":   {"An App is at github.com where nothing is said.", "https://git.example.com/acme/shop", "", "githubAppBaseURL"},
		"Plain":     {"All could read it.", "http://git.example.com/acme/shop", "https://git.example.com", "plain http"},
		"PlainAPI":  {"As above.", "https://git.example.com/acme/shop", "http://git.example.com", "plain http"},
	}
	app := apptest.New(t, time.Now)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			auth, err := AuthFromSecret(tc.url, app.Secret(tc.base))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := newStore(t).Repository(Remote{URL: tc.url, Auth: auth}); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s\ngot %v, want %q", tc.reason, err, tc.says)
			}
		})
	}
}

func TestAnAppsTokenDoesNotFollowARedirectToAnotherHost(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	head := srv.Create(t, "app").Commit("main", "one", map[string]string{"a": "1"})
	var mu sync.Mutex
	var seen []string
	srv.Intercept(func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Header.Get("Authorization"))
	})
	s := newAppServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, srv.URL+r.URL.RequestURI(), http.StatusMovedPermanently)
	}))
	r, err := s.open(t, s.URL+"/app.git", nil)
	if err != nil {
		t.Fatal(err)
	}
	if rev := fetch(t, r, Ref{}); rev.Commit != head || readFile(t, r, head, "a") != "1" {
		t.Errorf("the redirect was not followed: %v", rev)
	}
	for _, authorization := range seen {
		if authorization != "" {
			t.Errorf("the other host was shown %q", authorization)
		}
	}
	if len(s.app.Requests()) == 0 || len(seen) == 0 {
		t.Error("nothing was sent at all")
	}
}
