package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/keptn/gitops/e2e/testbed/internal/binaries"
	"github.com/keptn/gitops/e2e/testbed/internal/sandbox"
)

// removeTimeout bounds how long the kernel may take to take everything back.
const removeTimeout = time.Minute

// up brings the testbed up, or finds it up, and returns when all of it serves. If it
// fails or is interrupted it leaves nothing behind.
func (b *bed) up(ctx context.Context, source string, progress io.Writer) error {
	if err := b.preflight(); err != nil {
		return err
	}
	unlock, err := lock(ctx, progress)
	if err != nil {
		return err
	}
	defer unlock()
	if done, err := b.alreadyUp(ctx, progress); done || err != nil {
		return err
	}
	if err := b.provide(ctx, source, progress); err != nil {
		return err
	}
	if err := b.remove(ctx); err != nil { // what a crash has left
		return err
	}
	if err := b.launch(ctx, progress); err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
		defer cancel()
		return errors.Join(err, b.remove(clean))
	}
	return nil
}

// alreadyUp tells whether the testbed is up as it is wanted.
func (b *bed) alreadyUp(ctx context.Context, progress io.Writer) (bool, error) {
	reports, err := b.reports(ctx, false)
	if errors.Is(err, errDown) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	running, err := loadBed(b.State)
	if err != nil {
		return false, err
	}
	for _, name := range b.Components {
		if !running.has(name) {
			return false, fmt.Errorf("the testbed is up without %s: take it down first", name)
		}
	}
	if b.AuditPolicy != "" && b.AuditPolicy != running.AuditPolicy {
		return false, errors.New("the testbed is up with another audit policy, or none: take it down first")
	}
	*b = *running
	fmt.Fprintf(progress, "testbed: is already up, with %s\n", strings.Join(b.Components, ", "))
	for _, r := range reports {
		if !r.Healthy {
			fmt.Fprintf(progress, "testbed: %s is %s\n", r.Name, r.State)
		}
	}
	return true, nil
}

// provide builds and installs what the components run.
func (b *bed) provide(ctx context.Context, source string, progress io.Writer) error {
	builder, err := newBuilder(source, progress)
	if err != nil {
		return err
	}
	var names []string
	var packages []binaries.Package
	for _, c := range b.chosen() {
		names = append(names, c.binaries...)
		packages = append(packages, c.packages...)
	}
	if b.Binaries, err = builder.Build(ctx, names...); err != nil {
		return err
	}
	return binaries.Install(ctx, progress, packages...)
}

func newBuilder(source string, progress io.Writer) (binaries.Builder, error) {
	cache, err := cacheDir()
	if err != nil {
		return binaries.Builder{}, err
	}
	return binaries.Builder{Source: source, Cache: filepath.Join(cache, "bin"), Progress: progress}, nil
}

// launch starts the sandbox and waits until all that runs in it serves.
func (b *bed) launch(ctx context.Context, progress io.Writer) error {
	var err error
	if b.Network, err = sandbox.FreeNetwork(b.State); err != nil {
		return err
	}
	if err := errors.Join(b.makeStateFolders(), b.writePKI(), b.save()); err != nil {
		return err
	}
	cgroups, err := b.cgroups()
	if err != nil {
		return err
	}
	if err := cgroups.Create(); err != nil {
		return err
	}
	log, err := os.Create(b.path("logs", "supervisor.log"))
	if err != nil {
		return fmt.Errorf("make the supervisor's log: %w", err)
	}
	defer log.Close()
	starter, err := sandbox.Start([]string{"init", b.State}, environment(b.State), log)
	if err != nil {
		return err
	}
	err = starter.Connect(b.Network)
	if err == nil {
		err = b.awaitAll(ctx, starter, progress)
	}
	if err == nil {
		err = starter.Release()
	}
	if err != nil {
		return errors.Join(err, starter.Kill())
	}
	return nil
}

// awaitAll returns when every component serves, telling of each as it comes.
func (b *bed) awaitAll(ctx context.Context, starter *sandbox.Starter, progress io.Writer) error {
	began := time.Now()
	told := map[string]bool{}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("up was interrupted: %w", ctx.Err())
		case <-starter.Ended():
			return fmt.Errorf("the supervisor ended:\n%s", tail(b.path("logs", "supervisor.log")))
		case <-tick.C:
		}
		reports, err := b.reports(ctx, false)
		if errors.Is(err, errDown) {
			continue
		}
		if err != nil {
			return err
		}
		if err := tell(reports, told, began, progress); err != nil {
			return err
		}
		if len(told) == len(b.Components) {
			return nil
		}
	}
}

// tell names the components that have become ready since the last look, and returns
// the error of one that has failed.
func tell(reports []report, told map[string]bool, began time.Time, progress io.Writer) error {
	for _, r := range reports {
		if r.State == stateFailed {
			return errors.New(r.Error)
		}
		if r.State != stateRunning || r.Name == supervisorName || told[r.Name] {
			continue
		}
		told[r.Name] = true
		fmt.Fprintf(progress, "testbed: %s ready after %.1f s\n", r.Name, time.Since(began).Seconds())
	}
	return nil
}

// down takes the testbed down, whatever state it is in.
func (b *bed) down(ctx context.Context, progress io.Writer) error {
	unlock, err := lock(ctx, progress)
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	return b.remove(ctx)
}

// remove ends the testbed's processes and removes its cgroups, interface and files.
// It needs none of them to be there.
func (b *bed) remove(ctx context.Context) error {
	cgroups, err := b.cgroups()
	if err != nil {
		return err
	}
	if err := cgroups.Remove(ctx); err != nil {
		return err
	}
	if err := sandbox.RemoveInterface(sandbox.InterfaceName(b.State)); err != nil {
		return err
	}
	if err := os.RemoveAll(b.State); err != nil {
		return fmt.Errorf("remove the state folder: %w", err)
	}
	return nil
}
