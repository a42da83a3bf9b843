package gittest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Epoch is the author and commit time of the first commit made through a [Repo];
// each further one is a minute later, so that histories are the same in every run.
var Epoch = time.Date(2024, time.January, 1, 12, 0, 0, 0, time.UTC)

// A Repo is one bare repository of a [Server]. A failing Git command fails the
// test. Its methods are safe for concurrent use.
type Repo struct {
	// URL is where the repository is served.
	URL string
	// Dir is the bare repository on disk.
	Dir string

	t  testing.TB
	mu sync.Mutex
	// commits counts the commits made, to tell each its time.
	commits int
}

// Create makes an empty bare repository, served at URL/name.git, whose HEAD is
// the branch main.
func (s *Server) Create(t testing.TB, name string) *Repo {
	t.Helper()
	dir := s.path(name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r := &Repo{URL: s.URL + "/" + name + ".git", Dir: dir, t: t}
	r.Git("init", "--quiet", "--bare", "--initial-branch=main")
	return r
}

// Fork makes a bare repository, served at URL/name.git, with the refs of the one in
// dir, whose objects it borrows: dir is never written to, and must outlive the test.
func (s *Server) Fork(t testing.TB, name, dir string) *Repo {
	t.Helper()
	r := &Repo{URL: s.URL + "/" + name + ".git", Dir: s.path(name), t: t}
	if _, err := command(s.dir, "", "clone", "--quiet", "--bare", "--shared", dir, r.Dir); err != nil {
		t.Fatal(err)
	}
	return r
}

// Commit writes files (path to content) on top of the branch, which it creates
// where missing, and returns the new commit. A path ending in "@" is a symbolic
// link named without it, and its content the target.
func (r *Repo) Commit(branch, message string, files map[string]string) string {
	r.t.Helper()
	var changes strings.Builder
	for _, path := range slices.Sorted(maps.Keys(files)) {
		mode, name := "100644", path
		if link, ok := strings.CutSuffix(path, "@"); ok {
			mode, name = "120000", link
		}
		fmt.Fprintf(&changes, "M %s inline %s\ndata %d\n%s\n", mode, quote(name), len(files[path]), files[path])
	}
	return r.commit(branch, message, changes.String())
}

// Remove deletes files or folders on top of the branch and returns the new commit.
func (r *Repo) Remove(branch, message string, paths ...string) string {
	r.t.Helper()
	var changes strings.Builder
	for _, path := range paths {
		fmt.Fprintf(&changes, "D %s\n", quote(path))
	}
	return r.commit(branch, message, changes.String())
}

// Merge makes a merge commit on the branch of what its parents and files say: the
// tree is the branch's own with the files written over it.
func (r *Repo) Merge(branch, other, message string, files map[string]string) string {
	r.t.Helper()
	changes := "merge refs/heads/" + other + "^0\n"
	for _, path := range slices.Sorted(maps.Keys(files)) {
		changes += fmt.Sprintf("M 100644 inline %s\ndata %d\n%s\n", quote(path), len(files[path]), files[path])
	}
	return r.commit(branch, message, changes)
}

// ForcePush points the branch at any commit, as a forced push would.
func (r *Repo) ForcePush(branch, commit string) {
	r.t.Helper()
	r.Git("update-ref", "refs/heads/"+branch, commit)
}

// DeleteBranch removes the branch; its commits stay until [Repo.Prune].
func (r *Repo) DeleteBranch(branch string) {
	r.t.Helper()
	r.Git("update-ref", "-d", "refs/heads/"+branch)
}

// Tag makes a lightweight tag, or an annotated one if there is a message.
func (r *Repo) Tag(name, commit, message string) {
	r.t.Helper()
	if message == "" {
		r.Git("tag", name, commit)
		return
	}
	r.Git("-c", "user.name=Tess Ter", "-c", "user.email=tess@example.com", "tag", "-a", "-m", message, name, commit)
}

// PointAt makes very many refs at once, by their full names, and packs all that there are.
func (r *Repo) PointAt(commit string, refs ...string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Git("pack-refs", "--all")
	file := filepath.Join(r.Dir, "packed-refs")
	packed, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatal(err)
	}
	at := map[string]string{}
	var last string
	for line := range strings.Lines(string(packed)) {
		switch hash, name, _ := strings.Cut(strings.TrimSpace(line), " "); {
		case strings.HasPrefix(line, "^"):
			at[last] += "\n" + strings.TrimSpace(line)
		case hash != "#":
			at[name], last = hash+" "+name, name
		}
	}
	for _, name := range refs {
		at[name] = commit + " " + name
	}
	text := []byte("# pack-refs with: peeled fully-peeled sorted \n")
	for _, name := range slices.Sorted(maps.Keys(at)) {
		text = append(text, at[name]+"\n"...)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// Prune deletes all objects that no ref reaches.
func (r *Repo) Prune() {
	r.t.Helper()
	r.Git("reflog", "expire", "--expire=now", "--all")
	r.Git("repack", "-a", "-d", "-q")
	r.Git("prune", "--expire=now")
}

// Import feeds a stream to git fast-import, for histories that [Repo.Commit] cannot make.
func (r *Repo) Import(stream string) {
	r.t.Helper()
	if _, err := command(r.Dir, stream, "fast-import", "--quiet", "--force"); err != nil {
		r.t.Fatal(err)
	}
}

// Git runs a git command in the bare repository and returns its output.
func (r *Repo) Git(args ...string) string {
	r.t.Helper()
	return r.GitInput("", args...)
}

// GitInput is [Repo.Git] for commands that read their standard input.
func (r *Repo) GitInput(stdin string, args ...string) string {
	r.t.Helper()
	out, err := command(r.Dir, stdin, args...)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *Repo) commit(branch, message, changes string) string {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	ref := "refs/heads/" + branch
	when := Epoch.Add(time.Duration(r.commits) * time.Minute).Unix()
	r.commits++

	stream := fmt.Sprintf("commit %s\nauthor Ann Author <ann@example.com> %d +0000\n", ref, when) +
		fmt.Sprintf("committer Carl Committer <carl@example.com> %d +0000\ndata %d\n%s\n", when, len(message), message)
	if _, err := command(r.Dir, "", "rev-parse", "--verify", "--quiet", ref); err == nil {
		stream += "from " + ref + "^0\n"
	}
	if _, err := command(r.Dir, stream+changes, "fast-import", "--quiet", "--date-format=raw-permissive"); err != nil {
		r.t.Fatal(err)
	}
	return r.Git("rev-parse", ref)
}

// quote writes a path as git fast-import reads it: in C style.
func quote(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(path) + `"`
}
