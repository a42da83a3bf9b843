package binaries

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// A Package is one of Debian's, and the file by which the testbed knows it is there.
type Package struct {
	Name, File string
	Service    string // a service that the package would start, which must not run
	Static     bool   // the file must be a static binary, fit for an image
	Anywhere   bool   // the file may be wherever commands are, from whomever it is
}

// Debian's packages that the testbed runs.
var (
	Containerd = Package{Name: "containerd", File: "/usr/bin/containerd", Service: "containerd"}
	Runc       = Package{Name: "runc", File: "/usr/sbin/runc"}
	CNI        = Package{Name: "containernetworking-plugins", File: "/usr/lib/cni/ptp"}
	Iptables   = Package{Name: "iptables", File: "/usr/sbin/iptables"}
	Busybox    = Package{Name: "busybox-static", File: "/bin/busybox", Static: true}
	Prometheus = Package{Name: "prometheus", File: "/usr/bin/prometheus", Service: "prometheus"}
	Redis      = Package{Name: "redis-server", File: "/usr/bin/redis-server", Service: "redis-server"}
	Git        = Package{Name: "git", File: "/usr/bin/git"}
	NPM        = Package{Name: "npm", File: "npm", Anywhere: true}
)

// policyFile forbids, while it is there, that installed packages start services.
const (
	policyFile   = "/usr/sbin/policy-rc.d"
	policyScript = "#!/bin/sh\n# keptn-testbed: no service starts while packages are installed\nexit 101\n"
)

// Install installs the packages that are missing, without their services.
func Install(ctx context.Context, progress io.Writer, packages ...Package) error {
	var names, services []string
	for _, p := range packages {
		if p.present() {
			continue
		}
		names = append(names, p.Name)
		if p.Service != "" {
			services = append(services, p.Service)
		}
	}
	if len(names) == 0 {
		return nil
	}
	list := strings.Join(names, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("packages are missing and this machine has no apt-get to install them: %s", list)
	}
	fmt.Fprintf(progress, "testbed: installing Debian packages %s\n", list)
	allow, err := forbidServices()
	if err != nil {
		return err
	}
	defer allow()
	if err := apt("update", "-q"); err != nil {
		return err
	}
	if err := apt(append([]string{"install", "-q", "-y", "--no-install-recommends"}, names...)...); err != nil {
		return err
	}
	return errors.Join(disable(services), ctx.Err())
}

func (p Package) present() bool {
	if p.Anywhere {
		_, err := exec.LookPath(p.File)
		return err == nil
	}
	if !p.Static {
		return exists(p.File)
	}
	f, err := elf.Open(p.File)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, prog := range f.Progs {
		if prog.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}

// forbidServices puts the policy in place and returns what takes it away again.
// A policy that someone else has put there is theirs, and stays.
func forbidServices() (func(), error) {
	old, err := os.ReadFile(policyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("forbid services: %w", err)
	case !bytes.Equal(old, []byte(policyScript)):
		return func() {}, nil
	}
	if err := os.WriteFile(policyFile, []byte(policyScript), 0o755); err != nil {
		return nil, fmt.Errorf("forbid services: %w", err)
	}
	return func() { os.Remove(policyFile) }, nil
}

// apt runs to its end even if the testbed is interrupted: a package that is half
// installed is worse than a short wait.
func apt(args ...string) error {
	cmd := exec.Command("apt-get", append([]string{"-o", "DPkg::Lock::Timeout=300"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// disable keeps services that were just installed from starting with the machine.
func disable(services []string) error {
	if _, err := exec.LookPath("systemctl"); err != nil || len(services) == 0 {
		return nil
	}
	if out, err := exec.Command("systemctl", append([]string{"disable"}, services...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("disable services %s: %w\n%s", strings.Join(services, " "), err, out)
	}
	return nil
}
