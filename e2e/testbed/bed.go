package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/keptn/gitops/e2e/testbed/internal/sandbox"
)

// What is alike in every testbed.
const (
	nodeName      = "testbed"
	clusterDomain = "cluster.local"
	podSubnet     = "10.244.0.0/24"
	giteaUser     = "keptn"
	giteaPassword = "keptn-testbed"
)

var (
	serviceSubnet = netip.MustParsePrefix("10.96.0.0/16")
	apiServiceIP  = netip.MustParseAddr("10.96.0.1")
	dnsServiceIP  = netip.MustParseAddr("10.96.0.10")
)

// A bed is one testbed: what `up` decided, for the supervisor and later commands to
// read from its state folder.
type bed struct {
	Name       string            `json:"name"`
	State      string            `json:"state"`
	Network    sandbox.Network   `json:"network"`
	Components []string          `json:"components"`
	Binaries   map[string]string `json:"binaries"`
	KwokNodes  int               `json:"kwokNodes"`

	// AuditPolicy is what the API server logs of its requests, in YAML; empty for
	// nothing. https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/
	AuditPolicy string `json:"auditPolicy,omitempty"`
}

// cacheDir is where built binaries and the state folders of running testbeds lie.
func cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	return filepath.Join(dir, "keptn-testbed"), nil
}

// newBed is the testbed of the given name, which may or may not be running.
func newBed(name string) (*bed, error) {
	if name == "" || strings.ContainsAny(name, "/. \t\n") {
		return nil, fmt.Errorf("%q cannot be a testbed's name: use letters, digits and dashes", name)
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	return &bed{Name: name, State: filepath.Join(cache, "run", name)}, nil
}

// loadBed reads what `up` decided for the testbed in a state folder.
func loadBed(state string) (*bed, error) {
	text, err := os.ReadFile(filepath.Join(state, "testbed.json"))
	if err != nil {
		return nil, fmt.Errorf("read the testbed's settings: %w", err)
	}
	var b bed
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("read %s/testbed.json: %w", state, err)
	}
	return &b, nil
}

func (b *bed) save() error {
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return fmt.Errorf("write the testbed's settings: %w", err)
	}
	return b.write("testbed.json", string(text))
}

// path is a file in the state folder.
func (b *bed) path(parts ...string) string {
	return filepath.Join(append([]string{b.State}, parts...)...)
}

// write makes a file in the state folder, and the folders above it.
func (b *bed) write(name, text string) error {
	path := b.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make a state folder: %w", err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write a state file: %w", err)
	}
	return nil
}

func (b *bed) has(component string) bool { return slices.Contains(b.Components, component) }

// cgroups are named after the state folder, so that no two testbeds share them.
func (b *bed) cgroups() (sandbox.Cgroups, error) {
	h := fnv.New32a()
	h.Write([]byte(b.State))
	return sandbox.MountedCgroups(fmt.Sprintf("keptn-testbed-%s-%08x", b.Name, h.Sum32()))
}

// auditLog is where the API server logs what the audit policy says, one event a line.
func (b *bed) auditLog() string { return b.path("logs", "audit.log") }

func (b *bed) controlSocket() string { return b.path("control.sock") }

// address is where a component listens for the host and for pods.
func (b *bed) address(port int) string {
	return net.JoinHostPort(b.Network.Node().String(), strconv.Itoa(port))
}

func (b *bed) url(scheme string, port int) string { return scheme + "://" + b.address(port) }

// environment is what the testbed's processes are given, and nothing of the user's.
func environment(state string) []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + filepath.Join(state, "home"),
		"TMPDIR=" + filepath.Join(state, "tmp"),
		"LANG=C.UTF-8",
	}
}

// process is a component's command, in a process group of its own.
func (b *bed) process(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = "/"
	cmd.Env = environment(b.State)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// built is a component's command from a binary that the testbed built.
func (b *bed) built(name string, args ...string) *exec.Cmd {
	return b.process(b.Binaries[name], args...)
}
