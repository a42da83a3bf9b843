package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// Init is the life of a sandbox's first process. It joins the cgroups, runs this
// program again with the given arguments as the sandbox's second process, reaps
// whatever is orphaned, and ends when the second process ends: with it, by the
// kernel's hand, everything else.
func Init(args []string, cgroups Cgroups) error {
	if os.Getpid() != 1 {
		return errors.New("init must be the first process of a sandbox")
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := cgroups.join(); err != nil {
		return err
	}
	lifeline := Inherited()
	second := exec.Command("/proc/self/exe", args...)
	second.Stdout, second.Stderr = os.Stdout, os.Stderr
	second.ExtraFiles = []*os.File{lifeline.f}
	second.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWCGROUP}
	if err := second.Start(); err != nil {
		return fmt.Errorf("start %v: %w", args, err)
	}
	if err := lifeline.f.Close(); err != nil {
		return fmt.Errorf("leave the lifeline to %v: %w", args, err)
	}
	return reapUntil(second.Process.Pid)
}

// reapUntil collects every child that dies until the given one does.
func reapUntil(pid int) error {
	for {
		var status unix.WaitStatus
		dead, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("reap: %w", err)
		case dead == pid && status.Signaled():
			return fmt.Errorf("the supervisor was ended by %s", status.Signal())
		case dead == pid && status.ExitStatus() != 0:
			return fmt.Errorf("the supervisor ended with status %d", status.ExitStatus())
		case dead == pid:
			return nil
		}
	}
}
