package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// An origin is where a program comes from.
type origin struct {
	source   string    // the module's home, as https://github.com/keptn/gitops
	revision string    // the commit; empty outside of a repository
	version  string    // the nearest tag, or the abbreviated commit, and whether files differ from it
	created  time.Time // of the commit; 1970 outside of a repository
}

// errNoRepository is the answer of Git outside of a repository.
var errNoRepository = errors.New("not a git repository")

// describe asks Go and Git where the module in dir comes from.
func describe(ctx context.Context, dir string) (origin, error) {
	module, err := output(ctx, dir, "go", "list", "-m", "-f", "{{.Path}}")
	if err != nil {
		return origin{}, fmt.Errorf("find the module in %q: %w", dir, err)
	}
	o := origin{source: "https://" + module, version: "devel", created: time.Unix(0, 0).UTC()}
	commit, err := output(ctx, dir, "git", "log", "-1", "--format=%H %ct")
	if errors.Is(err, errNoRepository) {
		return o, nil
	}
	if err != nil {
		return origin{}, fmt.Errorf("find the commit that is built: %w", err)
	}
	revision, seconds, _ := strings.Cut(commit, " ")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return origin{}, fmt.Errorf("read the time of commit %s: %w", revision, err)
	}
	o.revision, o.created = revision, time.Unix(unix, 0).UTC()
	if o.version, err = output(ctx, dir, "git", "describe", "--tags", "--always", "--dirty"); err != nil {
		return origin{}, fmt.Errorf("name the version that is built: %w", err)
	}
	return o, nil
}

// compile builds the program for one platform: static, without paths of this
// machine, with the time zones in it, and with its version in main.version.
func compile(ctx context.Context, o order, from origin, p v1.Platform) ([]byte, error) {
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		return nil, fmt.Errorf("make a build folder: %w", err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, o.binary)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "timetzdata",
		"-ldflags", "-s -w -buildid= -X main.version="+from.version, "-o", program, o.pkg)
	cmd.Dir = o.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.OS, "GOARCH="+p.Architecture)
	if p.Architecture == "arm" && p.Variant != "" {
		cmd.Env = append(cmd.Env, "GOARM="+strings.TrimPrefix(p.Variant, "v"))
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s for %s: %w\n%s", o.pkg, p, err, out)
	}
	return os.ReadFile(program)
}

// output runs a command in dir and returns what it prints, without the newline.
func output(ctx context.Context, dir, command string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if strings.Contains(stderr.String(), errNoRepository.Error()) {
			err = errNoRepository
		}
		return "", fmt.Errorf("%s %s: %w: %s", command, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
