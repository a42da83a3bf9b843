package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// shell is a component that runs a script, and is ready when it has made a file.
func shell(t *testing.T, script string) *unit {
	t.Helper()
	b := &bed{State: t.TempDir()}
	if err := b.makeStateFolders(); err != nil {
		t.Fatal(err)
	}
	return newUnit(component{
		name:    "shell",
		command: func(b *bed) (*exec.Cmd, error) { return b.process("/bin/sh", "-c", script, "sh", b.path("ready")), nil },
		ready: func(_ context.Context, b *bed) error {
			_, err := os.Stat(b.path("ready"))
			return err
		},
	}, b)
}

// TestOutage says that a component can be stopped and started again while the
// others go on.
func TestOutage(t *testing.T) {
	u := shell(t, `touch "$1"; exec sleep 1000`)
	for range 2 {
		if err := u.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r := u.report(t.Context(), true); !r.Healthy || r.Pid == 0 {
			t.Fatalf("after start: %+v", r)
		}
		if err := u.stop(); err != nil {
			t.Fatal(err)
		}
		if r := u.report(t.Context(), true); r.Healthy || r.State != stateStopped {
			t.Fatalf("after stop: %+v", r)
		}
	}
	if err := u.stop(); err == nil {
		t.Error("a component that is stopped cannot be stopped again")
	}
}

// TestFailsToStart says that the user reads in the log's own words why a component
// did not come up, at once and not after a timeout.
func TestFailsToStart(t *testing.T) {
	u := shell(t, `echo no such flag >&2; exit 3`)
	err := u.start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no such flag") {
		t.Errorf("error is %v, which does not say what the log says", err)
	}
	if r := u.report(t.Context(), false); r.State != stateFailed {
		t.Errorf("state is %s", r.State)
	}
}

// TestCrash says that a component that ends by itself shows as failed.
func TestCrash(t *testing.T) {
	u := shell(t, `touch "$1"; while [ ! -e "$1.crash" ]; do sleep 0.01; done; exit 4`)
	if err := u.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := u.bed.write("ready.crash", ""); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := eventually(ctx, func(context.Context) error {
		if r := u.report(ctx, true); r.State != stateFailed || !strings.Contains(r.Error, "exit status 4") {
			return errors.New(r.State + " " + r.Error)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
