// Package gittest serves real Git repositories over HTTP to tests.
//
// A [Server] is git http-backend behind net/http on the loopback interface: what
// answers is Git itself, not an imitation. It counts requests and bytes, and it
// can be told to behave like a lesser server (no filters, no wants of
// unadvertised objects), to demand a password, or to fail. It needs a git binary
// and is for tests only; it never reads the user's or the system's Git
// configuration.
package gittest

import (
	"bytes"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A Server serves bare repositories over HTTP. Its methods are safe for
// concurrent use.
type Server struct {
	// URL is the server's address without a trailing slash, for example
	// http://127.0.0.1:40000.
	URL string

	dir     string
	backend cgi.Handler
	traffic *traffic

	mu           sync.Mutex
	user         string
	password     string
	status       int
	noFilter     bool
	tipsOnly     bool
	versionZero  bool
	noTreeFilter bool
	intercept    func(*http.Request)
	served       func()
}

// New starts a server that ends with the test. The test is skipped where there
// is no git binary.
func New(t testing.TB) *Server {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("gittest: no git binary in PATH")
	}
	s := &Server{dir: t.TempDir(), traffic: &traffic{}}
	s.backend = cgi.Handler{
		Path: git,
		Args: []string{"http-backend"},
		Env: append(environment(),
			"GIT_PROJECT_ROOT="+s.dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=test"),
	}
	srv := httptest.NewUnstartedServer(s)
	srv.Listener = countingListener{srv.Listener, s.traffic}
	srv.Start()
	t.Cleanup(srv.Close)
	s.URL = srv.URL
	return s
}

// RequirePassword makes the server answer 401 to requests without these
// credentials (HTTP basic authentication). An empty user lifts the demand.
func (s *Server) RequirePassword(user, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user, s.password = user, password
}

// Fail makes the server answer every request with this HTTP status code; 0 heals it.
func (s *Server) Fail(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

// DisableFilter makes the server one that does not offer partial clones.
func (s *Server) DisableFilter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noFilter = true
}

// RefuseUnadvertisedWants makes the server send only what its refs point at, as
// Git does by default over SSH: any other want is answered "not our ref".
func (s *Server) RefuseUnadvertisedWants() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tipsOnly = true
}

// SpeakVersionZero makes the server one that does not know version 2 of the protocol.
func (s *Server) SpeakVersionZero() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versionZero = true
}

// RefuseTreeFilter makes the server one that offers partial clones, but none without
// trees, as GitLab is.
func (s *Server) RefuseTreeFilter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noTreeFilter = true
}

// Intercept calls f before each request is served; nil ends it. f may change
// repositories: that is how a test lets somebody else push in between.
func (s *Server) Intercept(f func(*http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// OnServed calls f after each request was answered; nil ends it.
func (s *Server) OnServed(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.served = f
}

// Traffic returns what went over the wire since the last [Server.ResetTraffic].
func (s *Server) Traffic() Traffic { return s.traffic.snapshot() }

// ResetTraffic sets the counters of [Server.Traffic] to zero.
func (s *Server) ResetTraffic() { s.traffic.reset() }

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.traffic.request()
	s.mu.Lock()
	user, password, status, tipsOnly, intercept := s.user, s.password, s.status, s.tipsOnly, s.intercept
	s.mu.Unlock()

	if intercept != nil {
		intercept(r)
	}
	if status != 0 {
		http.Error(w, "told to fail", status)
		return
	}
	if u, p, _ := r.BasicAuth(); user != "" && (u != user || p != password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="gittest"`)
		http.Error(w, "credentials required", http.StatusUnauthorized)
		return
	}
	if tipsOnly && strings.HasSuffix(r.URL.Path, "/git-upload-pack") {
		if want := s.unadvertisedWant(r); want != "" {
			refuse(w, want)
			return
		}
	}
	s.serveGit(w, r)
}

func (s *Server) serveGit(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	filter, served := "true", s.served
	if s.noFilter {
		filter = "false"
	}
	trees := strconv.FormatBool(!s.noTreeFilter)
	if s.versionZero {
		r.Header.Del("Git-Protocol")
	}
	s.mu.Unlock()
	h := s.backend
	h.Env = append(slices.Clone(h.Env),
		"GIT_CONFIG_COUNT=4",
		"GIT_CONFIG_KEY_3=uploadpackfilter.tree.allow", "GIT_CONFIG_VALUE_3="+trees,
		"GIT_CONFIG_KEY_0=uploadpack.allowFilter", "GIT_CONFIG_VALUE_0="+filter,
		"GIT_CONFIG_KEY_1=uploadpack.allowAnySHA1InWant", "GIT_CONFIG_VALUE_1=true",
		"GIT_CONFIG_KEY_2=http.receivepack", "GIT_CONFIG_VALUE_2=true",
	)
	h.ServeHTTP(w, r)
	if served != nil {
		served()
	}
}

// environment is the process's own without anything that steers Git.
func environment() []string {
	env := []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "HOME=" + os.DevNull}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GIT_") && !strings.HasPrefix(kv, "HOME=") {
			env = append(env, kv)
		}
	}
	return env
}

// command runs git in dir and returns its standard output without the final newline.
func command(dir, stdin string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = environment()
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", &commandError{args: args, stderr: stderr.String(), err: err}
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

type commandError struct {
	args   []string
	stderr string
	err    error
}

func (e *commandError) Error() string {
	return "git " + strings.Join(e.args, " ") + ": " + e.err.Error() + ": " + strings.TrimSpace(e.stderr)
}

func (e *commandError) Unwrap() error { return e.err }

func (s *Server) path(name string) string { return filepath.Join(s.dir, name+".git") }
