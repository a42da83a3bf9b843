// Command demo tells the story of five commits: it brings up a cluster, a Git
// server and a Prometheus, installs the controller, and shows what each commit
// is told. FORGE=gitea has the commits on Gitea, and KEEP=1 leaves all of it up.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run tells the story, and cleans up after it unless it is to be kept.
func run(ctx context.Context) (err error) {
	root, err := filepath.Abs(".")
	if err != nil {
		return fmt.Errorf("find the repository: %w", err)
	}
	work, err := os.MkdirTemp("", "keptn-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the working copy: %w", err)
	}
	n := &narrator{start: time.Now(), out: os.Stdout}
	keep := os.Getenv("KEEP") != ""
	defer func() {
		if !keep {
			_ = os.RemoveAll(work) // a leftover in the temporary folder is no failure
		}
	}()
	down, err := prepare(ctx, n, root)
	defer func() {
		if keep && err == nil {
			n.kept(work)
			return
		}
		if downErr := down(); err == nil {
			err = downErr
		}
	}()
	if err != nil {
		return err
	}
	s, err := open(ctx, root, work)
	if err != nil {
		return err
	}
	for _, c := range chapters() {
		if err := s.tell(ctx, n, c); err != nil {
			return fmt.Errorf("%q: %w", c.message, err)
		}
	}
	return s.end(ctx, n)
}
