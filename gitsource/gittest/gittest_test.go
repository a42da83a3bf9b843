package gittest

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, environment()
	out, _ := cmd.CombinedOutput()
	return string(out)
}

func TestGitItselfCanCloneWhatWasCommitted(t *testing.T) {
	s := New(t)
	r := s.Create(t, "app")
	r.Commit("main", "one", map[string]string{"a/b.txt": "hello", "link@": "a/b.txt"})
	head := r.Remove("main", "two", "link")
	dir := t.TempDir()
	git(t, dir, "clone", "-q", r.URL, "c")
	if got := strings.TrimSpace(git(t, dir+"/c", "rev-parse", "HEAD")); got != head {
		t.Errorf("cloned HEAD is %q, want %q", got, head)
	}
	if got := git(t, dir+"/c", "ls-files"); got != "a/b.txt\n" {
		t.Errorf("cloned files are %q", got)
	}
	if n := s.Traffic(); n.Requests < 2 || n.Sent == 0 || n.Received == 0 {
		t.Errorf("traffic was not counted: %+v", n)
	}
}

func TestSwitchesChangeWhatTheServerDoes(t *testing.T) {
	s := New(t)
	r := s.Create(t, "app")
	old := r.Commit("main", "one", map[string]string{"a": "1"})
	r.Commit("main", "two", map[string]string{"a": "2"})
	dir := t.TempDir()
	git(t, dir, "init", "-q")

	if out := git(t, dir, "fetch", r.URL, old); strings.Contains(out, "fatal") {
		t.Errorf("an unadvertised commit was refused by default: %s", out)
	}
	s.RefuseUnadvertisedWants()
	if out := git(t, dir, "-c", "protocol.version=0", "fetch", r.URL, old); !strings.Contains(out, old) {
		t.Errorf("an unadvertised commit was sent: %s", out)
	}
	s.Fail(http.StatusServiceUnavailable)
	if out := git(t, dir, "fetch", r.URL); !strings.Contains(out, "503") {
		t.Errorf("the failure was not seen: %s", out)
	}
	s.Fail(0)
	s.RequirePassword("u", "p")
	if out := git(t, dir, "-c", "core.askPass=true", "fetch", r.URL); !strings.Contains(out, "fatal") {
		t.Errorf("no password was asked for: %s", out)
	}
	if out := git(t, dir, "fetch", strings.Replace(r.URL, "//", "//u:p@", 1)); strings.Contains(out, "fatal") {
		t.Errorf("the right password was refused: %s", out)
	}
}
