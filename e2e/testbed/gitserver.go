package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"strings"
	"time"
)

// gitConfig lets anyone push, and ask for whatever a client may ask for.
const gitConfig = `[http]
	receivepack = true
[uploadpack]
	allowFilter = true
	allowAnySHA1InWant = true
[safe]
	directory = *
[init]
	defaultBranch = main
`

func gitCommand(b *bed) (*exec.Cmd, error) {
	if err := b.write("gitconfig", gitConfig); err != nil {
		return nil, err
	}
	cmd := b.process("/proc/self/exe", "git-server", b.path("git"), fmt.Sprintf("0.0.0.0:%d", gitPort))
	cmd.Env = append(cmd.Env, "GIT_CONFIG_GLOBAL="+b.path("gitconfig"))
	return cmd, nil
}

func gitReady(ctx context.Context, b *bed) error {
	return answers(ctx, http.DefaultClient, b.url("http", gitPort)+"/-/ready")
}

// serveGit serves the bare repositories below a folder over HTTP, to read and write.
func serveGit(root, address string) error {
	server := &http.Server{Addr: address, Handler: gitHandler(root), ReadHeaderTimeout: 10 * time.Second}
	return fmt.Errorf("serve git: %w", server.ListenAndServe())
}

// gitHandler hands every request to Git's own server.
func gitHandler(root string) http.Handler {
	backend := &cgi.Handler{
		Path:       "/usr/bin/git",
		Args:       []string{"http-backend"},
		Env:        []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"},
		InheritEnv: []string{"GIT_CONFIG_GLOBAL", "HOME", "PATH", "TMPDIR"},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ready") })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		done, err := measure(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer done()
		h := *backend
		if v := r.Header.Get("Git-Protocol"); v != "" {
			h.Env = append([]string{"GIT_PROTOCOL=" + v}, h.Env...)
		}
		h.ServeHTTP(w, r)
	})
	return mux
}

// measure puts a body of unknown length, as Git sends large ones, into a file: a CGI
// program must be told how much there is to read.
func measure(r *http.Request) (func(), error) {
	if len(r.TransferEncoding) == 0 || !strings.EqualFold(r.TransferEncoding[0], "chunked") {
		return func() {}, nil
	}
	f, err := os.CreateTemp("", "push-")
	if err != nil {
		return nil, fmt.Errorf("keep a request: %w", err)
	}
	done := func() {
		f.Close()
		os.Remove(f.Name())
	}
	n, err := io.Copy(f, r.Body)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		done()
		return nil, fmt.Errorf("keep a request: %w", err)
	}
	r.Body, r.ContentLength, r.TransferEncoding = f, n, nil
	return done, nil
}
