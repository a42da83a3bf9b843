package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/keptn/gitops/e2e/testbed/internal/sandbox"
)

// An unsupported error says why this machine cannot run a testbed, and what to do.
type unsupported string

func (e unsupported) Error() string { return string(e) }

// maxSocketPath is what the kernel takes as the path of a unix socket.
const maxSocketPath = 107

// A requirement is one thing that the testbed asks of its machine.
type requirement func(*bed) error

// requirements are asked in order; the first that is missing is the one reported.
var requirements = []requirement{requireRoot, requirePlace, requireCgroups, requireNamespaces, requireOverlay}

// preflight returns an unsupported error if the machine cannot run the testbed.
func (b *bed) preflight() error {
	for _, require := range requirements {
		if err := require(b); err != nil {
			return err
		}
	}
	return nil
}

func requireRoot(*bed) error {
	if os.Geteuid() != 0 {
		return unsupported("the testbed needs root to make namespaces and run containers: run it as root, or use a cluster of your own (see e2e/testbed/README.md)")
	}
	return nil
}

func requirePlace(b *bed) error {
	if sandbox.Hidden(b.State) {
		return unsupported(fmt.Sprintf("the testbed cannot keep its state in %s: set XDG_CACHE_HOME to a folder outside of /run, /proc, /sys, /var/lib and /var/log", b.State))
	}
	if n := len(b.controlSocket()); n > maxSocketPath {
		return unsupported(fmt.Sprintf("the path %s is too long for a socket: set XDG_CACHE_HOME to a shorter folder", b.controlSocket()))
	}
	return nil
}

func requireCgroups(b *bed) error {
	cgroups, err := b.cgroups()
	if err != nil {
		return err
	}
	missing := missingControllers(cgroups)
	if len(missing) > 0 {
		return unsupported(fmt.Sprintf("the testbed needs cgroup controllers that this machine has not mounted (%s): mount them below /sys/fs/cgroup, or use a cluster of your own (see e2e/testbed/README.md)", strings.Join(missing, ", ")))
	}
	return nil
}

// missingControllers lists what containers need and no hierarchy offers.
func missingControllers(cgroups sandbox.Cgroups) []string {
	missing := []string{"cpu", "cpuset", "devices", "memory", "pids"}
	for _, h := range cgroups.Hierarchies {
		if h.Version == 2 && len(cgroups.Hierarchies) == 1 {
			return nil
		}
		for option := range strings.SplitSeq(h.Options, ",") {
			missing = slices.DeleteFunc(missing, func(m string) bool { return m == option })
		}
	}
	return missing
}

func requireNamespaces(*bed) error {
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET |
		unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP}
	if err := cmd.Run(); err != nil {
		return unsupported(fmt.Sprintf("the testbed needs namespaces, and this machine refuses them (%v): run it where root may use clone(2), such as a virtual machine or a privileged container", err))
	}
	return nil
}

func requireOverlay(b *bed) error {
	filesystems, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return fmt.Errorf("read the kernel's filesystems: %w", err)
	}
	if b.has("containerd") && !bytes.Contains(filesystems, []byte("overlay")) {
		return unsupported("the testbed's containers need overlayfs, which this kernel does not have: run `modprobe overlay`, or use another kernel")
	}
	return nil
}
