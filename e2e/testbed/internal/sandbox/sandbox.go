// Package sandbox keeps a tree of processes in namespaces of its own: process ids,
// mounts, network, cgroups, IPC and host name. When the tree's first process dies,
// however it dies, the kernel ends all the others and takes back their mounts,
// interfaces, addresses, ports and firewall rules.
//
// Only the empty cgroups outlive the tree; Cgroups.Remove takes them away. The
// package knows nothing of what the processes are.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// namespaces are those that the first process of a sandbox is born in. Its cgroup
// namespace comes later, when it has joined the cgroups that are to be its root.
const namespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// lifelineFD is the descriptor at which a sandbox's processes find their lifeline.
const lifelineFD = 3

// What the starter writes into the lifeline.
const (
	connected = 'c' // the network is there
	released  = 'r' // go on without me
)

// A Starter is the side of a new sandbox that stays outside.
type Starter struct {
	pid      int
	kill     func() error
	ended    chan error
	lifeline *os.File
}

// Start runs this program again with the given arguments, as the first process of
// new namespaces. The sandbox dies with the starter until Release is called.
func Start(args []string, env []string, log *os.File) (*Starter, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a lifeline: %w", err)
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = env
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{r}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Setsid: true}
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, fmt.Errorf("start a process in new namespaces: %w", err)
	}
	s := &Starter{pid: cmd.Process.Pid, kill: cmd.Process.Kill, ended: make(chan error, 1), lifeline: w}
	go func() {
		s.ended <- cmd.Wait()
		close(s.ended)
	}()
	return s, nil
}

// Pid is the first process of the sandbox, as the outside numbers it.
func (s *Starter) Pid() int { return s.pid }

// Ended tells when the sandbox has died by itself.
func (s *Starter) Ended() <-chan error { return s.ended }

// Connect gives the sandbox its network and tells it so.
func (s *Starter) Connect(n Network) error {
	if err := n.connect(s.Pid()); err != nil {
		return err
	}
	return s.say(connected)
}

// Release lets the sandbox live on without its starter.
func (s *Starter) Release() error {
	if err := s.say(released); err != nil {
		return err
	}
	return s.lifeline.Close()
}

func (s *Starter) say(word byte) error {
	if _, err := s.lifeline.Write([]byte{word}); err != nil {
		return fmt.Errorf("speak to the sandbox, which has died: %w", err)
	}
	return nil
}

// Kill ends everything in the sandbox and returns when it is gone.
func (s *Starter) Kill() error {
	err := s.kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-s.ended // says only that it was killed
	return errors.Join(err, s.lifeline.Close())
}

// poll asks until the answer is yes or the context ends.
func poll(ctx context.Context, what string, done func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}

// Lifeline is the inside end of a sandbox's lifeline.
type Lifeline struct{ f *os.File }

// Inherited is the lifeline that a process of the sandbox was started with.
func Inherited() Lifeline {
	unix.CloseOnExec(lifelineFD)
	return Lifeline{os.NewFile(lifelineFD, "lifeline")}
}

// Connected waits until the sandbox has a network.
func (l Lifeline) Connected() error { return l.expect(connected) }

// Released returns nil when the starter has let the sandbox go, and an error when
// it died before that.
func (l Lifeline) Released() error { return l.expect(released) }

func (l Lifeline) expect(word byte) error {
	var got [1]byte
	if _, err := io.ReadFull(l.f, got[:]); err != nil {
		return fmt.Errorf("the starter is gone: %w", err)
	}
	if got[0] != word {
		return fmt.Errorf("the starter said %q, not %q", got[0], word)
	}
	return nil
}
