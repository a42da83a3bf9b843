package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// tunables are settings of the whole kernel that a kubelet wants so and would
// write. Inside the sandbox they read as wanted, and the machine keeps its own.
var tunables = map[string]string{
	"kernel/keys/root_maxbytes": "25000000",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
}

// ownFolders are the folders of the machine that the sandbox has its own of, kept
// below its state folder.
var ownFolders = []string{"/var/lib", "/var/log"}

// Hidden tells whether a path of the machine is another, or none, in a sandbox.
func Hidden(path string) bool {
	for _, dir := range append([]string{"/run", "/proc", "/sys"}, ownFolders...) {
		if path == dir || strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}

// Mounts gives the sandbox's second process, and all it starts, files of their own
// where they would write to the machine's. passwd is a line that /etc/passwd gets.
func Mounts(state, passwd string, cgroups Cgroups) error {
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for _, dir := range ownFolders {
		own := filepath.Join(state, dir)
		if err := os.MkdirAll(own, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", own, err)
		}
		if err := Bind(own, dir); err != nil {
			return err
		}
	}
	for name, value := range tunables {
		if err := overlayFile("/proc/sys/"+name, []byte(value+"\n")); err != nil {
			return err
		}
	}
	users, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return fmt.Errorf("read users: %w", err)
	}
	if err := overlayFile("/etc/passwd", append(users, passwd+"\n"...)); err != nil {
		return err
	}
	return cgroups.mountInside()
}

// Bind shows a file or folder at another path, which must exist.
func Bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("show %s as %s: %w", from, to, err)
	}
	return nil
}

// overlayFile makes a file read as text inside the sandbox.
func overlayFile(path string, text []byte) error {
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return nil
	}
	own := filepath.Join("/run/sandbox", path)
	if err := os.MkdirAll(filepath.Dir(own), 0o755); err != nil {
		return fmt.Errorf("make room for %s: %w", path, err)
	}
	if err := os.WriteFile(own, text, 0o644); err != nil {
		return fmt.Errorf("write own %s: %w", path, err)
	}
	return Bind(own, path)
}

// mountInside mounts the hierarchies anew, so that their roots are the sandbox's
// cgroups and not the machine's.
func (c Cgroups) mountInside() error {
	const root = "/sys/fs/cgroup"
	if len(c.Hierarchies) == 1 && c.Hierarchies[0].Version == 2 {
		return mountUnified(root)
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount %s: %w", root, err)
	}
	for _, h := range c.Hierarchies {
		if err := os.MkdirAll(h.Path, 0o755); err != nil {
			return fmt.Errorf("make %s: %w", h.Path, err)
		}
		fstype := "cgroup"
		if h.Version == 2 {
			fstype = "cgroup2"
		}
		if err := unix.Mount(fstype, h.Path, fstype, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, h.Options); err != nil {
			return fmt.Errorf("mount %s with options %q: %w", h.Path, h.Options, err)
		}
	}
	return nil
}

// mountUnified mounts a v2 hierarchy. There a cgroup has either processes or
// children with controllers, so the sandbox's own processes move to a child.
func mountUnified(root string) error {
	if err := unix.Mount("cgroup2", root, "cgroup2", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount %s: %w", root, err)
	}
	child := filepath.Join(root, "sandbox")
	if err := os.MkdirAll(child, 0o755); err != nil {
		return fmt.Errorf("make cgroup: %w", err)
	}
	for _, pid := range []string{"0", "1"} {
		if err := os.WriteFile(filepath.Join(child, "cgroup.procs"), []byte(pid), 0o644); err != nil {
			return fmt.Errorf("move process into %s: %w", child, err)
		}
	}
	available, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("list cgroup controllers: %w", err)
	}
	for _, name := range strings.Fields(string(available)) {
		if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+"+name), 0o644); err != nil {
			return fmt.Errorf("enable cgroup controller %s: %w", name, err)
		}
	}
	return nil
}
