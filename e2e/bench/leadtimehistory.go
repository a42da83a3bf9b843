package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A history is a repository that a delivery is found in.
type history struct {
	// commits are all that there are, fresh those that a delivery brings.
	commits, fresh int
	// apps share the commits with the app that is delivered, which one commit in so many
	// changes.
	apps, oneIn int
}

const (
	// delivered is the folder of the app that is delivered.
	delivered      = "apps/a"
	historyBegan   = 1_600_000_000
	historyEvery   = 10 * time.Minute
	importedBranch = "refs/heads/main"
)

// make makes the repository in dir, packed as a server has it.
func (h history) make(ctx context.Context, dir string) error {
	repo := &workingCopy{dir: dir, env: gitEnv()}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make a repository: %w", err)
	}
	if _, err := repo.git(ctx, "init", "-q", "--bare", "-b", "main"); err != nil {
		return err
	}
	return repo.fastImport(ctx, h.write)
}

// fastImport adds to a repository what write writes for git fast-import, and packs it.
func (w *workingCopy) fastImport(ctx context.Context, write func(io.Writer) error) error {
	stream, text := io.Pipe()
	go func() { _ = text.CloseWithError(write(text)) }()
	cmd := exec.CommandContext(ctx, "git", "fast-import", "--quiet")
	cmd.Dir, cmd.Env, cmd.Stdin = w.dir, w.env, stream
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git fast-import: %w\n%s", err, out)
	}
	_, err := w.git(ctx, "repack", "-adbq")
	return err
}

// write writes the history for git fast-import: every commit changes the values of one
// app, and was written some minutes before it was committed.
func (h history) write(to io.Writer) error {
	w := bufio.NewWriterSize(to, 1<<20)
	begin := func(i int) {
		at := historyBegan + i*int(historyEvery.Seconds())
		message := fmt.Sprintf("Change %d\n\nA commit like any other.\n", i)
		fmt.Fprintf(w, "commit %s\nauthor Ann <ann@keptn.invalid> %d +0000\ncommitter Carl <carl@keptn.invalid> %d +0000\ndata %d\n%s\n",
			importedBranch, at-i%7*60, at, len(message), message)
	}
	change := func(folder string, i int) {
		values := fmt.Sprintf("replicas: %d\n", i)
		fmt.Fprintf(w, "M 100644 inline %s/values.yaml\ndata %d\n%s\n", folder, len(values), values)
	}
	begin(0)
	change(delivered, 0)
	change("clusters/production", 0)
	for i := range h.apps {
		change(h.neighbour(i), 0)
	}
	for i := 1; i < h.commits; i++ {
		begin(i)
		if i%h.oneIn == 0 {
			change(delivered, i)
		} else {
			change(h.neighbour(i), i)
		}
	}
	return w.Flush()
}

func (h history) neighbour(i int) string { return fmt.Sprintf("apps/b%03d", i%h.apps) }

// serveGit serves the repositories in root over HTTP until stop is called.
func serveGit(ctx context.Context, root string) (url string, stop func() error, err error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return "", nil, fmt.Errorf("serve Git: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("serve Git: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: &cgi.Handler{
		Path: git,
		Args: []string{"http-backend"},
		Env: append(gitEnv(), "GIT_PROJECT_ROOT="+root, "GIT_HTTP_EXPORT_ALL=1",
			"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=uploadpack.allowFilter", "GIT_CONFIG_VALUE_0=true",
			"GIT_CONFIG_KEY_1=uploadpack.allowAnySHA1InWant", "GIT_CONFIG_VALUE_1=true"),
	}}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	return "http://" + listener.Addr().String(), func() error {
		err := server.Close()
		if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
		return err
	}, nil
}

// A commitRange is what a delivery brings: those that to reaches and from does not.
type commitRange struct{ from, to string }

// deliveries are the last two of a repository, the older one first.
func (h history) deliveries(ctx context.Context, dir string) (before, last commitRange, err error) {
	repo := &workingCopy{dir: dir, env: gitEnv()}
	var at [3]string
	for i := range at {
		named := "main~" + strconv.Itoa(i*h.fresh)
		sha, err := repo.git(ctx, "rev-parse", named)
		if err != nil {
			return commitRange{}, commitRange{}, err
		}
		at[i] = strings.TrimSpace(sha)
	}
	return commitRange{at[2], at[1]}, commitRange{at[1], at[0]}, nil
}

// folder is where the repository is below root.
func (h history) folder(root string) string {
	return filepath.Join(root, fmt.Sprintf("history-%d.git", h.commits))
}
