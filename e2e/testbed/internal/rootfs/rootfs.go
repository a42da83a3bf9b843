// Package rootfs makes the root folders of containers out of Debian's packages and
// npm's, in which nothing was installed: no script of a package runs, and what a
// package depends on is named by who wants it. It makes no image of them.
package rootfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Update asks Debian's servers what packages there are: on a machine that has not
// asked yet Debian finds none.
func Update(ctx context.Context) error { return run(ctx, "", "apt-get", "update", "-q") }

// Debian unpacks packages into root. work is a folder for what is downloaded.
func Debian(ctx context.Context, root, work string, packages ...string) error {
	if err := os.MkdirAll(work, 0o755); err != nil {
		return fmt.Errorf("make a folder for packages: %w", err)
	}
	// Apt would else download as a user who has no right to the folder.
	if err := run(ctx, work, "apt-get", append([]string{"-q", "-o", "APT::Sandbox::User=root", "download"}, packages...)...); err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil {
		return fmt.Errorf("find the downloaded packages: %w", err)
	}
	if len(archives) != len(packages) {
		return fmt.Errorf("apt-get downloaded %d packages, but %d were asked for", len(archives), len(packages))
	}
	for _, archive := range archives {
		if err := run(ctx, work, "dpkg-deb", "--extract", archive, root); err != nil {
			return err
		}
	}
	return nil
}

// NPM installs what a folder's package-lock.json pins into the folder work, where it
// lies below node_modules.
func NPM(ctx context.Context, pins, work string) error {
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join(pins, name))
		if err != nil {
			return fmt.Errorf("read what %s pins: %w", pins, err)
		}
		if err := os.WriteFile(filepath.Join(work, name), text, 0o644); err != nil {
			return fmt.Errorf("copy what %s pins: %w", pins, err)
		}
	}
	return run(ctx, work, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
}

// The places in a container of the certificates that programs trust, and what leads
// OpenSSL there.
const (
	bundle        = "etc/ssl/certs/ca-certificates.crt"
	opensslBundle = "usr/lib/ssl/cert.pem"
)

// Trust has programs trust what the package ca-certificates, which root must have,
// brings: as update-ca-certificates(8) would.
func Trust(root string) error {
	certs, err := filepath.Glob(filepath.Join(root, "usr/share/ca-certificates/mozilla/*.crt"))
	if err != nil || len(certs) == 0 {
		return errors.Join(errors.New("there are no certificates to trust: the package ca-certificates is missing"), err)
	}
	var all []byte
	for _, cert := range certs {
		text, err := os.ReadFile(cert)
		if err != nil {
			return fmt.Errorf("read a certificate: %w", err)
		}
		all = append(append(all, text...), '\n')
	}
	if err := Write(root, bundle, all, 0o644); err != nil {
		return err
	}
	return Link(root, opensslBundle, "/"+bundle)
}

// Write makes a file of root, and the folders above it.
func Write(root, name string, text []byte, mode os.FileMode) error {
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if err := os.WriteFile(path, text, mode); err != nil {
		return fmt.Errorf("make a file: %w", err)
	}
	return nil
}

// Link makes a symbolic link of root, and the folders above it.
func Link(root, name, target string) error {
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	if err := os.Symlink(target, path); err != nil {
		return fmt.Errorf("make a link: %w", err)
	}
	return nil
}

// A User is whom a command runs as, by number, for user and group.
type User uint32

// The users that containers run as: the one who owns their files, and one who owns
// nothing.
const (
	Owner   User = 0
	Nonroot User = 65532
)

// Run runs a command with root as its root folder and returns an error, with what it
// printed, if it fails. Nothing but the folder is kept from it.
func Run(ctx context.Context, root string, as User, command ...string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = "/", []string{"HOME=/tmp", "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uint32(as), Gid: uint32(as)}}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
	}
	return nil
}

// run runs a command of the machine's in a folder.
func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
