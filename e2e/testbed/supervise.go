package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/keptn/gitops/e2e/testbed/internal/sandbox"
)

// A supervisor runs the components of one testbed, inside its sandbox.
type supervisor struct {
	bed   *bed
	units []*unit
}

// supervise is the life of a sandbox's second process.
func supervise(ctx context.Context, state string) error {
	lifeline := sandbox.Inherited()
	b, err := loadBed(state)
	if err != nil {
		return err
	}
	if err := lifeline.Connected(); err != nil {
		return err
	}
	if err := b.furnish(); err != nil {
		return err
	}
	orphaned := make(chan error, 1)
	go func() {
		if err := lifeline.Released(); err != nil {
			orphaned <- err
		}
	}()
	s := &supervisor{bed: b}
	for _, c := range b.chosen() {
		s.units = append(s.units, newUnit(c, b))
	}
	served := make(chan error, 1)
	go func() { served <- s.serve(ctx) }()
	s.startAll(ctx)
	if b.has("prometheus") && b.has("kube-apiserver") {
		go s.serveTargets(ctx)
	}
	select {
	case err := <-orphaned:
		return err
	case err := <-served:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// furnish makes the sandbox a machine of its own.
func (b *bed) furnish() error {
	cgroups, err := b.cgroups()
	if err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(nodeName)); err != nil {
		return fmt.Errorf("name the sandbox: %w", err)
	}
	if err := sandbox.Mounts(b.State, giteaPasswd, cgroups); err != nil {
		return err
	}
	return b.Network.Configure(serviceSubnet)
}

// startAll starts each unit when what it needs is ready. After a failure nothing
// more is started; who waits for the testbed reads of it in the reports.
func (s *supervisor) startAll(ctx context.Context) {
	group, ctx := errgroup.WithContext(ctx)
	for _, u := range s.units {
		group.Go(func() error {
			if !s.needsReady(ctx, u) {
				return nil
			}
			return u.start(ctx)
		})
	}
	go func() {
		if err := group.Wait(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
}

func (s *supervisor) needsReady(ctx context.Context, u *unit) bool {
	for _, need := range u.needs {
		other := s.unit(need)
		if other == nil {
			continue
		}
		select {
		case <-other.served:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// serveTargets tells Prometheus of pods from when there is an API server on.
func (s *supervisor) serveTargets(ctx context.Context) {
	select {
	case <-s.unit("kube-apiserver").served:
	case <-ctx.Done():
		return
	}
	if err := followPods(ctx, s.bed); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func (s *supervisor) unit(name string) *unit {
	for _, u := range s.units {
		if u.name == name {
			return u
		}
	}
	return nil
}

// serve answers the testbed's own commands at a socket in the state folder.
func (s *supervisor) serve(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", s.bed.controlSocket())
	if err != nil {
		return fmt.Errorf("listen for commands: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /reports", s.handleReports)
	mux.HandleFunc("POST /stop/{name}", s.handleUnit(func(_ context.Context, u *unit) error { return u.stop() }))
	mux.HandleFunc("POST /start/{name}", s.handleUnit(func(ctx context.Context, u *unit) error { return u.start(ctx) }))
	mux.HandleFunc("POST /load", s.handleLoad)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: commandTimeout}
	return fmt.Errorf("serve commands: %w", server.Serve(l))
}
