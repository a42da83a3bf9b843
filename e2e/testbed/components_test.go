package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/keptn/gitops/e2e/testbed/internal/sandbox"
)

// TestChoose says what a user gets for --only and --with.
func TestChoose(t *testing.T) {
	cases := map[string]struct {
		reason     string
		only, with []string
		want       []string
		err        bool
	}{
		"API":      {"envtest-like tests need no controllers.", []string{"api"}, nil, []string{"etcd", "kube-apiserver"}, false},
		"Scale":    {"kwok brings what it needs, and no node.", []string{"control-plane"}, []string{"kwok"}, []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"}, false},
		"KwokOnly": {"The control plane is implied.", []string{"kwok"}, nil, []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"}, false},
		"Services": {"Parts run without a cluster, too.", []string{"git", "gitea"}, nil, []string{"gitea", "git"}, false},
		"Appliers": {"Each brings its own sources, and no controller manager.", []string{"flux", "argocd"}, nil, []string{"etcd", "kube-apiserver", "source-controller", "kustomize-controller", "redis", "argocd-repo-server", "argocd-application-controller"}, false},
		"Unknown":  {"A part that does not exist is an error, not nothing.", []string{"ingress"}, nil, nil, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := choose(c.only, c.with)
			if (err != nil) != c.err || !slices.Equal(got, c.want) {
				t.Errorf("choose(%v, %v) = %v, %v; want %v. %s", c.only, c.with, got, err, c.want, c.reason)
			}
		})
	}
}

// TestDefaultLeavesOutWhatIsSlowToBuild keeps `up` bringing up what its help says.
func TestDefaultLeavesOutWhatIsSlowToBuild(t *testing.T) {
	got, err := choose(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	asked := []string{"kwok", "source-controller", "kustomize-controller", "helm-controller",
		"redis", "argocd-repo-server", "argocd-application-controller"}
	for _, c := range components() {
		if slices.Contains(got, c.name) == slices.Contains(asked, c.name) {
			t.Errorf("default has %s: %t", c.name, slices.Contains(got, c.name))
		}
	}
}

// TestNeedsComeFirst keeps the table free of cycles and of names that do not exist:
// either would make `up` wait for ever.
func TestNeedsComeFirst(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range components() {
		for _, need := range c.needs {
			if !seen[need] {
				t.Errorf("%s needs %s, which is not above it in the table", c.name, need)
			}
		}
		seen[c.name] = true
	}
	for part, names := range parts {
		for _, name := range names {
			if !seen[name] {
				t.Errorf("part %s has %s, which does not exist", part, name)
			}
		}
	}
}

// TestExitCode is what scripts branch on.
func TestExitCode(t *testing.T) {
	cases := map[string]struct {
		err  error
		want int
	}{
		"CannotRunHere": {fmt.Errorf("up: %w", unsupported("no cgroups")), 2},
		"Interrupted":   {fmt.Errorf("up: %w", context.Canceled), 130},
		"AnythingElse":  {errors.New("boom"), 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := exitCode(c.err); got != c.want {
				t.Errorf("exit code is %d, want %d", got, c.want)
			}
		})
	}
}

// TestPrintEnv says that a shell can evaluate what `up` prints, wherever the cache is.
func TestPrintEnv(t *testing.T) {
	b := &bed{State: "/home/o'neil/my cache", Components: []string{"git", "kube-apiserver"}, Network: testNetwork(t)}
	var out bytes.Buffer
	if err := b.printEnv(&out); err != nil {
		t.Fatal(err)
	}
	want := `export KUBECONFIG='/home/o'\''neil/my cache/admin.kubeconfig'
export TESTBED_DIR='/home/o'\''neil/my cache'
export TESTBED_NODE_IP=10.89.7.2
export TESTBED_HOST_IP=10.89.7.1
export TESTBED_GIT_URL=http://10.89.7.2:8418
export TESTBED_GIT_ROOT='/home/o'\''neil/my cache/git'
`
	if out.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), want)
	}
}

// TestPrintStatus says what `status` shows of components that run and that do not.
func TestPrintStatus(t *testing.T) {
	var out bytes.Buffer
	err := printStatus(&out, []report{
		{Name: "etcd", State: stateRunning, Pid: 7, Healthy: true},
		{Name: "gitea", State: stateFailed, Address: "10.89.0.2:3000", Error: "gitea ended by itself: exit status 1\nmore"},
	})
	want := `COMPONENT  PID  ADDRESS         HEALTHY  STATE
etcd       7    -               yes      running
gitea      -    10.89.0.2:3000  no       failed: gitea ended by itself: exit status 1
`
	if err != nil || out.String() != want {
		t.Errorf("printed (%v)\n%s\nwant\n%s", err, out.String(), want)
	}
}

// TestBedNames says which names can be given to --name.
func TestBedNames(t *testing.T) {
	for name, good := range map[string]bool{"default": true, "it-42": true, "": false, "../x": false, "a b": false} {
		if _, err := newBed(name); (err == nil) != good {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

// TestMissingControllers says on which machines containers can run.
func TestMissingControllers(t *testing.T) {
	v1 := func(options ...string) sandbox.Cgroups {
		var c sandbox.Cgroups
		for _, o := range options {
			c.Hierarchies = append(c.Hierarchies, sandbox.Hierarchy{Version: 1, Options: o})
		}
		return c
	}
	cases := map[string]struct {
		cgroups sandbox.Cgroups
		want    []string
	}{
		"Separate": {v1("cpu", "cpuset", "devices", "memory", "pids"), nil},
		"Joint":    {v1("cpu,cpuacct", "cpuset", "devices", "memory", "pids", "name=systemd"), nil},
		"NoMemory": {v1("cpu", "cpuset", "devices", "pids"), []string{"memory"}},
		"Unified":  {sandbox.Cgroups{Hierarchies: []sandbox.Hierarchy{{Version: 2}}}, nil},
		"None":     {sandbox.Cgroups{}, []string{"cpu", "cpuset", "devices", "memory", "pids"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := missingControllers(c.cgroups); !slices.Equal(got, c.want) {
				t.Errorf("missing %v, want %v", got, c.want)
			}
		})
	}
}
