package forge_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/forge"
)

// A giteaServer is the testbed's real one.
type giteaServer struct{ url, token, owner string }

// realGitea returns the testbed's Gitea, or skips the test where there is none.
func realGitea(t *testing.T) giteaServer {
	t.Helper()
	g := giteaServer{url: os.Getenv("TESTBED_GITEA_URL"), token: os.Getenv("TESTBED_GITEA_TOKEN")}
	if g.url == "" || g.token == "" {
		t.Skip("TESTBED_GITEA_URL and TESTBED_GITEA_TOKEN name no server")
	}
	var user struct {
		Login string `json:"login"`
	}
	g.call(t, http.MethodGet, "/user", nil, &user)
	g.owner = user.Login
	return g
}

// call uses the API as the testbed's user.
func (g giteaServer) call(t *testing.T, method, path string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, g.url+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "token "+g.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s %v", method, path, response.Status, answer, err)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		t.Fatal(err)
	}
}

// repository makes a repository with one commit, and returns both.
func (g giteaServer) repository(t *testing.T) (name, commit string) {
	t.Helper()
	name = fmt.Sprintf("statuses-%d", time.Now().UnixNano())
	var ignored any
	g.call(t, http.MethodPost, "/user/repos", map[string]any{"name": name, "auto_init": true}, &ignored)
	var commits []struct {
		SHA string `json:"sha"`
	}
	g.call(t, http.MethodGet, "/repos/"+g.owner+"/"+name+"/commits?limit=1", nil, &commits)
	return name, commits[0].SHA
}

func (g giteaServer) open(t *testing.T, name, token string) forge.Destination {
	return mustNew(t, forge.Gitea, forge.Target{Repository: g.url + "/" + g.owner + "/" + name + ".git", Token: forge.Token(token)})
}

func openRealGitea(t *testing.T) backend {
	g := realGitea(t)
	name, commit := g.repository(t)
	return backend{reporter: g.open(t, name, g.token), commit: commit}
}

func TestGiteaServerRefusesAWrongToken(t *testing.T) {
	g := realGitea(t)
	name, commit := g.repository(t)
	err := g.open(t, name, "0000000000000000000000000000000000000000").Set(t.Context(), status(commit, forge.Success, ""))
	if !errors.Is(err, forge.ErrUnauthorized) {
		t.Errorf("got %v, want ErrUnauthorized", err)
	}
}

func TestGiteaServerDoesNotFindAnUnknownRepository(t *testing.T) {
	g := realGitea(t)
	_, commit := g.repository(t)
	err := g.open(t, "no-such-repository", g.token).Set(t.Context(), status(commit, forge.Success, ""))
	if !errors.Is(err, forge.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestGiteaServerFollowsARenamedRepository(t *testing.T) {
	g := realGitea(t)
	name, commit := g.repository(t)
	var ignored any
	g.call(t, http.MethodPatch, "/repos/"+g.owner+"/"+name, map[string]string{"name": name + "-moved"}, &ignored)
	before := g.open(t, name, g.token)
	s := status(commit, forge.Failure, "after the move")
	if err := before.Set(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	got, found, err := g.open(t, name+"-moved", g.token).Latest(t.Context(), commit, s.Context)
	if err != nil || !found || !got.Same(s) {
		t.Errorf("got %+v, found %t, %v", got, found, err)
	}
}

func TestGiteaServerCountsAWarningAsPassed(t *testing.T) {
	g := realGitea(t)
	name, commit := g.repository(t)
	if err := g.open(t, name, g.token).Set(t.Context(), status(commit, forge.Warning, "close")); err != nil {
		t.Fatal(err)
	}
	var combined struct {
		State string `json:"state"`
	}
	g.call(t, http.MethodGet, "/repos/"+g.owner+"/"+name+"/commits/"+commit+"/status", nil, &combined)
	if combined.State != "success" {
		t.Errorf("the commit counts as %q", combined.State)
	}
}

func TestGiteaServerFindsAStatusOnTheLastPage(t *testing.T) {
	g := realGitea(t)
	name, commit := g.repository(t)
	reporter := g.open(t, name, g.token)
	for i := range 55 {
		s := status(commit, forge.Success, "")
		s.Context = fmt.Sprintf("keptn/prod/app-%d/deployment", i)
		if err := reporter.Set(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []int{0, 54} {
		_, found, err := reporter.Latest(t.Context(), commit, fmt.Sprintf("keptn/prod/app-%d/deployment", i))
		if err != nil || !found {
			t.Errorf("app %d: found %t, %v", i, found, err)
		}
	}
}

// git runs Git as the testbed's user.
func (g giteaServer) git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	basic := base64.StdEncoding.EncodeToString([]byte(g.owner + ":" + g.token))
	args = append([]string{"-c", "http.extraHeader=Authorization: Basic " + basic, "-c", "user.name=ada", "-c", "user.email=ada@acme.example"}, args...)
	command := exec.CommandContext(t.Context(), "git", args...)
	command.Dir = dir
	said, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return strings.TrimSpace(string(said))
}

func TestGiteaServerTakesAPushForReviewForAFork(t *testing.T) {
	g := realGitea(t)
	name, _ := g.repository(t)
	clone := filepath.Join(t.TempDir(), "clone")
	g.git(t, "", "clone", "-q", g.url+"/"+g.owner+"/"+name+".git", clone)
	g.git(t, clone, "commit", "-q", "--allow-empty", "-m", "pushed by whoever may read")
	g.git(t, clone, "push", "-q", "origin", "HEAD:refs/for/main/topic")
	heads, err := g.open(t, name, g.token).Reviews.Heads(t.Context(), "main")
	want := []forge.Head{{Number: 1, Commit: g.git(t, clone, "rev-parse", "HEAD"), Ref: "refs/pull/1/head", Fork: true}}
	if diff := cmp.Diff(want, heads); err != nil || diff != "" {
		t.Errorf("heads (-want +got):\n%s%v", diff, err)
	}
}

func TestGiteaServerListsWhatGoesIntoABranch(t *testing.T) {
	g := realGitea(t)
	name, _ := g.repository(t)
	repo := "/repos/" + g.owner + "/" + name
	var ignored any
	for _, branch := range []string{"next", "a", "b"} {
		g.call(t, http.MethodPost, repo+"/contents/"+branch, map[string]string{"content": "YQ==", "new_branch": branch}, &ignored)
	}
	for head, base := range map[string]string{"a": "main", "b": "next"} {
		g.call(t, http.MethodPost, repo+"/pulls", map[string]string{"head": head, "base": base, "title": head}, &ignored)
	}
	for _, base := range []string{"main", "next"} {
		if heads, err := g.open(t, name, g.token).Reviews.Heads(t.Context(), base); err != nil || len(heads) != 1 || heads[0].Fork {
			t.Errorf("into %s: got %+v, %v", base, heads, err)
		}
	}
}
