package binaries

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// goBuild links the missing commands of a group into dir, in one invocation so
// that packages they share are compiled once and beside each other.
func (b Builder) goBuild(ctx context.Context, j job, dir string) error {
	args := append([]string{"build"}, j.buildFlags()...)
	args = append(args, "-o", dir+string(filepath.Separator))
	for _, c := range j.missing {
		args = append(args, c.pkg)
	}
	cmd := b.goCommand(ctx, j, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start go build: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	if err := newMeter(b.Progress, j, dir).follow(done); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("build of %s interrupted: %w", j.dir, ctx.Err())
		}
		return fmt.Errorf("build %s: %w\n%s", j.dir, err, out.Bytes())
	}
	return nil
}

// goList tells where the group's module lies on disk.
func (b Builder) goList(ctx context.Context, j job) (string, error) {
	out, err := b.goCommand(ctx, j, "list", "-m", "-f", "{{.Dir}}", j.module).Output()
	if err != nil {
		return "", fmt.Errorf("find the files of %s: %w", j.module, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// goCommand is a go command in the group's module, in a process group of its own
// so that it is interrupted with all its compilers, and takes its own files away.
func (b Builder) goCommand(ctx context.Context, j job, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(b.Source, j.dir)
	cgo := "CGO_ENABLED=0"
	if j.cgo {
		cgo = "CGO_ENABLED=1"
	}
	cmd.Env = append(os.Environ(), cgo, "GOWORK=off", "GOFLAGS=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGINT) }
	cmd.WaitDelay = 30 * time.Second
	return cmd
}

// A meter tells how a build goes: a line for each finished binary, and signs of
// life in between, every second on a terminal and every 15 s elsewhere.
type meter struct {
	w        io.Writer
	started  time.Time
	dir      string
	pending  []command
	terminal bool
}

func newMeter(w io.Writer, j job, dir string) *meter {
	m := &meter{w: w, started: time.Now(), dir: dir, pending: j.missing}
	if f, ok := w.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		m.terminal = err == nil
	}
	return m
}

// follow reports until the build is done.
func (m *meter) follow(done <-chan error) error {
	fmt.Fprintf(m.w, "testbed: building %s\n", m.names())
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case err := <-done:
			m.finish(err == nil)
			return err
		case <-tick.C:
			m.finish(false)
			m.alive(n)
		}
	}
}

func (m *meter) alive(seconds int) {
	switch {
	case m.terminal:
		fmt.Fprintf(m.w, "\r\033[Ktestbed: building %s (%d s)", m.names(), m.elapsed())
	case seconds%15 == 0:
		fmt.Fprintf(m.w, "testbed: building %s (%d s)\n", m.names(), m.elapsed())
	}
}

// finish prints the binaries that have appeared since the last look. The go
// command writes the files in place, so one is only finished when the next has begun.
func (m *meter) finish(all bool) {
	var ready, pending []command
	for _, c := range m.pending {
		if exists(filepath.Join(m.dir, c.output)) {
			ready = append(ready, c)
		} else {
			pending = append(pending, c)
		}
	}
	if !all && len(ready) > 0 {
		last := len(ready) - 1
		ready, pending = ready[:last], append([]command{ready[last]}, pending...)
	}
	m.pending = pending
	for _, c := range ready {
		if m.terminal {
			fmt.Fprint(m.w, "\r\033[K")
		}
		fmt.Fprintf(m.w, "testbed: built %s (%d s)\n", c.name, m.elapsed())
	}
}

func (m *meter) names() string {
	names := make([]string, len(m.pending))
	for i, c := range m.pending {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

func (m *meter) elapsed() int { return int(time.Since(m.started).Seconds()) }
