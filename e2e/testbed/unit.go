package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// How long a component may take to serve, and to end after it was asked to.
const (
	startTimeout = 5 * time.Minute
	stopTimeout  = 20 * time.Second
)

// The states of a unit.
const (
	stateWaiting  = "waiting"
	stateStarting = "starting"
	stateRunning  = "running"
	stateStopped  = "stopped"
	stateFailed   = "failed"
)

// A unit is a component as it runs: it is the runner of one row of the table.
type unit struct {
	component
	bed    *bed
	served chan struct{} // closed when it is first ready

	turn sync.Mutex // one start or stop at a time

	mu     sync.Mutex
	state  string
	err    error
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended
	took   time.Duration
}

func newUnit(c component, b *bed) *unit {
	return &unit{component: c, bed: b, served: make(chan struct{}), state: stateWaiting}
}

// start runs the component until it serves and has done what others rely on.
func (u *unit) start(ctx context.Context) error {
	u.turn.Lock()
	defer u.turn.Unlock()
	if u.is(stateRunning) {
		return nil
	}
	began := time.Now()
	err := u.run(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil && ctx.Err() != nil {
		return ctx.Err() // another's failure, which is the one to report
	}
	if err != nil {
		u.state, u.err = stateFailed, fmt.Errorf("%s: %w", u.name, err)
		return u.err
	}
	u.took = time.Since(began)
	if u.state == stateStarting { // else it has ended already
		u.state = stateRunning
	}
	select {
	case <-u.served:
	default:
		close(u.served)
	}
	return nil
}

// run starts the component, where it finds what it needs, and returns when it is of use.
func (u *unit) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready after %s", startTimeout))
	defer cancel()
	if u.prepare != nil {
		if err := u.prepare(ctx, u.bed); err != nil {
			return err
		}
	}
	if err := u.launch(); err != nil {
		return err
	}
	return u.await(ctx)
}

// launch starts the process, with its output in a log of its own.
func (u *unit) launch() error {
	cmd, err := u.command(u.bed)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(u.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	exited := make(chan struct{})
	u.mu.Lock()
	u.state, u.err, u.cmd, u.exited = stateStarting, nil, cmd, exited
	u.mu.Unlock()
	go u.watch(cmd, exited)
	return nil
}

// watch notes how a process ends. What ends by itself is not started again: a test
// is to see it.
func (u *unit) watch(cmd *exec.Cmd, exited chan struct{}) {
	err := cmd.Wait()
	if err == nil {
		err = errors.New("exit status 0")
	}
	u.mu.Lock()
	if u.state != stateStopped {
		u.state, u.err = stateFailed, fmt.Errorf("%s ended by itself: %w", u.name, err)
	}
	u.mu.Unlock()
	close(exited)
}

// await returns when the component is of use, or cannot become so.
func (u *unit) await(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() {
		select {
		case <-u.exited:
			end(fmt.Errorf("ended while starting, see %s:\n%s", u.log(), tail(u.log())))
		case <-ctx.Done():
		}
	}()
	if err := eventually(ctx, func(ctx context.Context) error { return u.ready(ctx, u.bed) }); err != nil {
		return err
	}
	if u.then == nil {
		return nil
	}
	return u.then(ctx, u.bed)
}

// stop ends the component's process and returns when it has ended.
func (u *unit) stop() error {
	u.turn.Lock()
	defer u.turn.Unlock()
	u.mu.Lock()
	cmd, exited := u.cmd, u.exited
	if cmd == nil || u.state != stateRunning {
		u.mu.Unlock()
		return fmt.Errorf("%s is not running", u.name)
	}
	u.state = stateStopped
	u.mu.Unlock()
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("end %s: %w", u.name, err)
	}
	patience := time.NewTimer(stopTimeout)
	defer patience.Stop()
	select {
	case <-exited:
		return nil
	case <-patience.C:
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("end %s: %w", u.name, err)
	}
	<-exited
	return nil
}

func (u *unit) is(state string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.state == state
}

// report is the unit as `status` shows it; look asks the component itself too.
func (u *unit) report(ctx context.Context, look bool) report {
	u.mu.Lock()
	r := report{Name: u.name, State: u.state, Seconds: u.took.Seconds()}
	if u.err != nil {
		r.Error = u.err.Error()
	}
	if u.cmd != nil && (u.state == stateStarting || u.state == stateRunning) {
		r.Pid = u.cmd.Process.Pid
	}
	u.mu.Unlock()
	if u.port != 0 {
		r.Address = u.bed.address(u.port)
	}
	r.Healthy = r.State == stateRunning
	if r.Healthy && look {
		if err := u.ready(ctx, u.bed); err != nil {
			r.Healthy, r.Error = false, err.Error()
		}
	}
	return r
}

func (u *unit) log() string { return u.bed.path("logs", u.name+".log") }

// tail is the end of a log, for an error to show.
func tail(log string) string {
	text, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
