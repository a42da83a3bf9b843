package stage

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Testbed is the module e2e/testbed, run under a name of its own.
type Testbed struct {
	root, name string
	progress   io.Writer
}

// NewTestbed returns the testbed of that name of the repository at root. What it
// says while it works goes to progress.
func NewTestbed(root, name string, progress io.Writer) *Testbed {
	return &Testbed{root: root, name: name, progress: progress}
}

// Up brings it up, and sets the variables that say how to reach it, and PATH so
// that kubectl is found, in this process.
func (t *Testbed) Up(ctx context.Context, parts ...string) error {
	access, err := t.run(ctx, "up", "--only", strings.Join(parts, ","))
	if err != nil {
		return err
	}
	for line := range strings.Lines(access) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if ok {
			if err := os.Setenv(name, strings.Trim(value, `"'`)); err != nil {
				return fmt.Errorf("testbed: %w", err)
			}
		}
	}
	assets, err := t.run(ctx, "assets")
	if err != nil {
		return err
	}
	return os.Setenv("PATH", strings.TrimSpace(assets)+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// Load gives the node images.
func (t *Testbed) Load(ctx context.Context, archives ...string) error {
	_, err := t.run(ctx, append([]string{"load"}, archives...)...)
	return err
}

// Stop begins an outage of a component, and Start ends it.
func (t *Testbed) Stop(ctx context.Context, component string) error {
	_, err := t.run(ctx, "stop", component)
	return err
}

// Start ends the outage of a component.
func (t *Testbed) Start(ctx context.Context, component string) error {
	_, err := t.run(ctx, "start", component)
	return err
}

// Down takes it down; nothing is left.
func (t *Testbed) Down(ctx context.Context) error {
	_, err := t.run(ctx, "down")
	return err
}

func (t *Testbed) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"-C", filepath.Join(t.root, "e2e", "testbed"), "run", ".", "--name", t.name}, args...)...)
	// An interrupt is for the testbed to take itself down by, not to be killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, t.progress
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("testbed %s: %w", args[0], err)
	}
	return out.String(), nil
}

// Images builds the images of the controller and of the example app, and returns
// their archives.
func Images(ctx context.Context, root string, progress io.Writer) ([]string, error) {
	cmd := exec.CommandContext(ctx, "make", "--no-print-directory", "-C", root, "image", "image-example")
	cmd.Stdout, cmd.Stderr = progress, progress
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("build images: %w", err)
	}
	return []string{filepath.Join(root, "dist", "keptn.tar"), filepath.Join(root, "dist", "checkout.tar")}, nil
}
