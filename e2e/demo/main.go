// Command demo tells the story of five commits: it brings up a cluster, a Git
// server and a Prometheus, installs the controller, and shows what each commit
// is told; then the trace of one of them, and how well the app was delivered. FORGE=gitea
// has the commits on Gitea, and KEEP=1 leaves all of it up.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
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
	n := newNarrator(os.Stdout)
	keep := os.Getenv("KEEP") != ""
	stays := keep || os.Getenv("KUBECONFIG") != ""
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
	return play(ctx, n, root, work, stays)
}

// play tells the story on a cluster that has the controller, and that stays or not.
func play(ctx context.Context, n *narrator, root, work string, stays bool) (err error) {
	s, err := open(ctx, root, work)
	if err != nil {
		return err
	}
	if host := os.Getenv(hostIP); host == "" {
		n.say("traces are sent nowhere: %s would say how pods reach this machine", hostIP)
	} else {
		if s.traces, err = collect(ctx, n, host); err != nil {
			return err
		}
		defer s.traces.Close()
		if stays {
			defer func() { err = errors.Join(err, forget(ctx)) }()
		}
	}
	for _, c := range chapters() {
		if err := s.tell(ctx, n, c); err != nil {
			return fmt.Errorf("%q: %w", c.message, err)
		}
	}
	return s.end(ctx, n)
}
