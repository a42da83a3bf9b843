package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/keptn/gitops/e2e/testbed/internal/sandbox"
)

// A sighting is what a running testbed could be seen by.
type sighting struct {
	bed        *bed
	supervisor int
	namespaces []string // such as "net:[4026532281]"
	inside     int      // processes
}

// look notes what a running testbed has, so that its absence can be told later.
func look(t *testing.T, b *bed) sighting {
	t.Helper()
	reports, err := b.reports(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	s := sighting{bed: b, supervisor: reports[0].Pid}
	if reports[0].Name != supervisorName || s.supervisor == 0 {
		t.Fatalf("the supervisor is not among %+v", reports)
	}
	for _, kind := range []string{"pid", "mnt", "net", "ipc", "uts"} {
		ours, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", s.supervisor, kind))
		if err != nil {
			t.Fatal(err)
		}
		if ours == theirs {
			t.Errorf("the supervisor shares the machine's %s namespace", kind)
		}
		s.namespaces = append(s.namespaces, theirs)
	}
	if s.inside = len(s.processes(t)); s.inside < 2 {
		t.Errorf("the sandbox has %d processes", s.inside)
	}
	if !slices.ContainsFunc(interfaces(t), func(name string) bool { return name == sandbox.InterfaceName(b.State) }) {
		t.Error("the machine has no interface to the sandbox")
	}
	return s
}

// processes are those that live in one of the sandbox's namespaces.
func (s sighting) processes(t *testing.T) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/ns/*")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil {
			continue // it has ended
		}
		if process := strings.Split(link, "/")[2]; slices.Contains(s.namespaces, target) && !slices.Contains(found, process) {
			found = append(found, process)
		}
	}
	return found
}

// gone waits until the kernel has taken back what was seen: processes, and with them
// the namespaces that hold mounts, interfaces, ports and firewall rules.
func (s sighting) gone(t *testing.T) {
	t.Helper()
	within(t, "processes and interface to go", func() error {
		if left := s.processes(t); len(left) > 0 {
			return fmt.Errorf("processes %v are left", left)
		}
		if name := sandbox.InterfaceName(s.bed.State); slices.Contains(interfaces(t), name) {
			return fmt.Errorf("interface %s is left", name)
		}
		return nil
	})
	s.bed.noMounts(t)
}

// noMounts says that nothing of the testbed is mounted on the machine, and that no
// namespace is kept by name.
func (b *bed) noMounts(t *testing.T) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		for _, mark := range []string{b.State, "/run/gitea", "/run/netns/cni", "/run/containerd"} {
			if strings.Contains(line, mark) {
				t.Errorf("mount is left: %s", line)
			}
		}
	}
	if named, err := filepath.Glob("/run/netns/cni-*"); err != nil || len(named) > 0 {
		t.Errorf("named network namespaces are left: %v, %v", named, err)
	}
}

// nothingLeft says that the machine is as it was before the testbed.
func (b *bed) nothingLeft(t *testing.T) {
	t.Helper()
	b.noMounts(t)
	cgroups, err := b.cgroups()
	if err != nil {
		t.Fatal(err)
	}
	if left, err := cgroups.Left(); err != nil || len(left) > 0 {
		t.Errorf("cgroups are left: %v, %v", left, err)
	}
	if _, err := os.Stat(b.State); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the state folder is left: %v", err)
	}
	if name := sandbox.InterfaceName(b.State); slices.Contains(interfaces(t), name) {
		t.Errorf("interface %s is left", name)
	}
}

func interfaces(t *testing.T) []string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(all))
	for i, each := range all {
		names[i] = each.Name
	}
	return names
}
