package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Cgroups is one cgroup of the same name in every mounted hierarchy.
type Cgroups struct {
	Name        string
	Hierarchies []Hierarchy
}

// A Hierarchy is a mounted tree of cgroups.
type Hierarchy struct {
	Path    string // where it is mounted
	Version int    // 1 or 2
	Options string // with which it is mounted, such as "cpu,cpuacct"
}

// MountedCgroups names a cgroup in each hierarchy that the machine has mounted.
func MountedCgroups(name string) (Cgroups, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return Cgroups{}, fmt.Errorf("find cgroups: %w", err)
	}
	defer f.Close()
	hierarchies, err := parseHierarchies(f)
	return Cgroups{Name: name, Hierarchies: hierarchies}, err
}

// parseHierarchies reads the cgroup mounts of a mountinfo file, see proc(5).
func parseHierarchies(mountinfo io.Reader) ([]Hierarchy, error) {
	var found []Hierarchy
	lines := bufio.NewScanner(mountinfo)
	for lines.Scan() {
		mount, source, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(mount), strings.Fields(source)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		h := Hierarchy{Path: left[4]}
		switch right[0] {
		case "cgroup":
			h.Version, h.Options = 1, controllers(right[2])
		case "cgroup2":
			h.Version = 2
		default:
			continue
		}
		if !slices.ContainsFunc(found, func(o Hierarchy) bool { return o.Path == h.Path }) {
			found = append(found, h)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read mounts: %w", err)
	}
	return found, nil
}

// controllers keeps of a mount's options those that choose a hierarchy.
func controllers(options string) string {
	kept := slices.DeleteFunc(strings.Split(options, ","), func(o string) bool {
		return o == "rw" || o == "ro" || strings.HasPrefix(o, "release_agent=")
	})
	return strings.Join(kept, ",")
}

// Create makes the cgroup in every hierarchy.
func (c Cgroups) Create() error {
	for _, h := range c.Hierarchies {
		dir := filepath.Join(h.Path, c.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make cgroup: %w", err)
		}
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if err := inherit(h, dir, file); err != nil {
				return err
			}
		}
	}
	return nil
}

// inherit copies a setting without which a v1 cpuset takes no process.
func inherit(h Hierarchy, dir, file string) error {
	value, err := os.ReadFile(filepath.Join(h.Path, file))
	if errors.Is(err, fs.ErrNotExist) || h.Version != 1 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read cgroup setting: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, file), value, 0o644); err != nil {
		return fmt.Errorf("set up cgroup: %w", err)
	}
	return nil
}

// join moves the calling process into the cgroup of every hierarchy.
func (c Cgroups) join() error {
	for _, h := range c.Hierarchies {
		if err := os.WriteFile(filepath.Join(h.Path, c.Name, "cgroup.procs"), []byte("0"), 0o644); err != nil {
			return fmt.Errorf("join cgroup: %w", err)
		}
	}
	return nil
}

// Left lists the folders of the cgroup that exist.
func (c Cgroups) Left() ([]string, error) {
	var left []string
	for _, h := range c.Hierarchies {
		root := filepath.Join(h.Path, c.Name)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && d.IsDir() {
				left = append(left, path)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("look for cgroups: %w", err)
		}
	}
	return left, nil
}

// Processes maps the process ids that the sandbox knows to the machine's own.
func (c Cgroups) Processes() (map[int]int, error) {
	left, err := c.Left()
	if err != nil {
		return nil, err
	}
	pids := map[int]int{}
	for _, dir := range left {
		members, err := processes(dir)
		if err != nil {
			return nil, err
		}
		for _, pid := range members {
			if inside, ok := insidePid(pid); ok {
				pids[inside] = pid
			}
		}
	}
	return pids, nil
}

// insidePid is the number that a process has one namespace further in.
func insidePid(pid int) (int, bool) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false // it has ended
	}
	for line := range strings.Lines(string(status)) {
		if list, ok := strings.CutPrefix(line, "NSpid:"); ok {
			if ids := strings.Fields(list); len(ids) > 1 {
				inside, err := strconv.Atoi(ids[1])
				return inside, err == nil
			}
		}
	}
	return 0, false
}

// Remove ends what still runs in the cgroup and removes it with all below it.
func (c Cgroups) Remove(ctx context.Context) error {
	return poll(ctx, "cgroups to empty", func() (bool, error) {
		left, err := c.Left()
		if err != nil {
			return false, err
		}
		slices.Reverse(left) // children before their parents
		for _, dir := range left {
			if err := endProcesses(dir); err != nil {
				return false, err
			}
			err := os.Remove(dir)
			if err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, fs.ErrNotExist) {
				return false, fmt.Errorf("remove cgroup: %w", err)
			}
		}
		left, err = c.Left()
		return len(left) == 0, err
	})
}

func endProcesses(cgroup string) error {
	pids, err := processes(cgroup)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("end process %d of %s: %w", pid, cgroup, err)
		}
	}
	return nil
}

// processes lists the processes in a cgroup; one that is gone has none.
func processes(cgroup string) ([]int, error) {
	procs, err := os.ReadFile(filepath.Join(cgroup, "cgroup.procs"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look into cgroup: %w", err)
	}
	var pids []int
	for _, field := range strings.Fields(string(procs)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", cgroup, err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}
