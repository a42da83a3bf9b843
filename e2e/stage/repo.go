// Package stage sets the scene of a run from end to end: a cluster with the
// controller in it, a repository with an app in it, and what commits show. The
// tests and the demo act on it. It never asserts anything.
package stage

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Repo is a working copy of a repository, as a developer has it.
type Repo struct {
	// URL is where the repository is cloned from, and pushed to.
	URL string
	// Dir is the working copy.
	Dir string
}

// NewRepo makes a working copy in dir, on the branch main, that pushes to url.
func NewRepo(ctx context.Context, dir, url string) (*Repo, error) {
	r := &Repo{URL: url, Dir: dir}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch", "main"},
		{"config", "user.name", "Ada Acme"},
		{"config", "user.email", "ada@acme.example"},
		{"remote", "add", "origin", url},
	} {
		if _, err := r.Git(ctx, args...); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Git runs a git command in the working copy and returns its output.
func (r *Repo) Git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = r.Dir
	cmd.Env = append(os.Environ(), "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
	}
	return strings.TrimSpace(string(out)), nil
}

// Push writes the files, commits them and pushes the commit, of which it returns
// the SHA.
func (r *Repo) Push(ctx context.Context, message string, files map[string]string) (string, error) {
	for name, content := range files {
		path := filepath.Join(r.Dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", fmt.Errorf("write %s: %w", name, err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return "", fmt.Errorf("write %s: %w", name, err)
		}
	}
	for _, args := range [][]string{{"add", "--all"}, {"commit", "--quiet", "--message", message}, {"push", "--quiet", "origin", "main"}} {
		if _, err := r.Git(ctx, args...); err != nil {
			return "", err
		}
	}
	return r.Git(ctx, "rev-parse", "HEAD")
}

// App is what a team commits for an app: its files by path.
type App map[string]string

// ExampleApp reads the example app of this repository, to be committed in the
// given folder.
func ExampleApp(root, folder string) (App, error) {
	from := filepath.Join(root, "examples", "checkout", "deploy")
	entries, err := os.ReadDir(from)
	if err != nil {
		return nil, fmt.Errorf("read the example: %w", err)
	}
	app := App{}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(from, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("read the example: %w", err)
		}
		app[folder+"/"+entry.Name()] = string(content)
	}
	return app, nil
}

// With returns the app with a text replaced in one of its files. It fails where
// the text is not there.
func (a App) With(file, old, replacement string) (App, error) {
	if !strings.Contains(a[file], old) {
		return nil, fmt.Errorf("%s does not hold %q", file, old)
	}
	changed := maps.Clone(a)
	changed[file] = strings.Replace(a[file], old, replacement, 1)
	return changed, nil
}

// InitBare makes an empty bare repository whose branch is main.
func InitBare(ctx context.Context, dir string) error {
	out, err := exec.CommandContext(ctx, "git", "init", "--quiet", "--bare", "--initial-branch", "main", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make repository %s: %w: %s", dir, err, strings.TrimSpace(string(out)))
	}
	return nil
}
