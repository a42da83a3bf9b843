package sandbox

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestParseHierarchies reads cgroup mounts as distributions have them.
func TestParseHierarchies(t *testing.T) {
	cases := map[string]struct {
		mountinfo string
		want      []Hierarchy
	}{
		"Unified": {
			"30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n25 1 8:1 / / rw - ext4 /dev/sda1 rw\n",
			[]Hierarchy{{Path: "/sys/fs/cgroup", Version: 2}},
		},
		"Hybrid": {
			"31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n" +
				"32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd\n" +
				"33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			[]Hierarchy{
				{Path: "/sys/fs/cgroup/cpu,cpuacct", Version: 1, Options: "cpu,cpuacct"},
				{Path: "/sys/fs/cgroup/systemd", Version: 1, Options: "xattr,name=systemd"},
				{Path: "/sys/fs/cgroup/unified", Version: 2},
			},
		},
		"MountedTwice": {
			"31 30 0:27 / /cg/cpu rw - cgroup cgroup rw,cpu\n32 30 0:27 / /cg/cpu rw - cgroup cgroup rw,cpu\n",
			[]Hierarchy{{Path: "/cg/cpu", Version: 1, Options: "cpu"}},
		},
		"None": {"25 1 8:1 / / rw - ext4 /dev/sda1 rw\n", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseHierarchies(strings.NewReader(c.mountinfo))
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("found %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

// TestRemoveCgroups says that all below a testbed's cgroups goes, also what a crash
// left, and nothing beside them.
func TestRemoveCgroups(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	c := Cgroups{Name: "bed", Hierarchies: []Hierarchy{{Path: one, Version: 1}, {Path: two, Version: 1}}}
	if err := c.Create(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(one, "bed/k8s.io/pod/container"), filepath.Join(two, "other")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time there is nothing to remove
		if err := c.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	left, err := c.Left()
	if err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(two, "other")); err != nil {
		t.Errorf("the neighbour is gone: %v", err)
	}
}

// TestRemoveGivesUp says that a cgroup that cannot be emptied does not hold up a user
// for ever.
func TestRemoveGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "bed"), 0o755); err != nil {
		t.Fatal(err)
	}
	// A file in the folder stands for a process that does not end.
	if err := os.WriteFile(filepath.Join(dir, "bed", "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := Cgroups{Name: "bed", Hierarchies: []Hierarchy{{Path: dir, Version: 1}}}
	if err := c.Remove(ctx); err == nil {
		t.Error("no error, though the cgroup is still there")
	}
}

// TestNetworkAddresses says which addresses a testbed has, and that its interface's
// name is one that the kernel takes.
func TestNetworkAddresses(t *testing.T) {
	n := Network{Interface: InterfaceName("/some/state"), Subnet: netip.MustParsePrefix("10.89.3.0/24")}
	if n.Host().String() != "10.89.3.1" || n.Node().String() != "10.89.3.2" {
		t.Errorf("host %s, node %s", n.Host(), n.Node())
	}
	if len(n.Interface) > 15 || n.Interface == InterfaceName("/other/state") {
		t.Errorf("interface %q", n.Interface)
	}
}

// TestOverlaps says which subnets are free to take.
func TestOverlaps(t *testing.T) {
	subnet := netip.MustParsePrefix("10.89.3.0/24")
	cases := map[string]struct {
		used string
		want bool
	}{
		"Same":         {"10.89.3.0/24", true},
		"OneAddress":   {"10.89.3.77/32", true},
		"Wider":        {"10.0.0.0/8", true},
		"Beside":       {"10.89.4.0/24", false},
		"DefaultRoute": {"0.0.0.0/0", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := overlaps(subnet, []netip.Prefix{netip.MustParsePrefix(c.used)}); got != c.want {
				t.Errorf("overlaps is %t", got)
			}
		})
	}
}

// TestHidden says where a testbed cannot keep its files.
func TestHidden(t *testing.T) {
	for path, want := range map[string]bool{
		"/root/.cache/x": false, "/var/lib/jenkins/.cache": true, "/run/user/0": true, "/var/library": false, "/tmp/x": false,
	} {
		if got := Hidden(path); got != want {
			t.Errorf("Hidden(%s) is %t", path, got)
		}
	}
}
