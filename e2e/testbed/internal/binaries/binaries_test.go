package binaries

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkout is a folder like e2e/testbed with the testbed's own small command in it.
func checkout(t *testing.T, program string) Builder {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example.invalid/testbed\n\ngo 1.26\n")
	write(t, filepath.Join(dir, "pause", "main.go"), program)
	return Builder{Source: dir, Cache: filepath.Join(dir, "cache"), Progress: &bytes.Buffer{}}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

const program = "package main\n\nfunc main() {}\n"

// TestBuildOnce says that a second build takes no time, and a changed source gives
// another binary.
func TestBuildOnce(t *testing.T) {
	b := checkout(t, program)
	first, err := b.Build(t.Context(), "pause")
	if err != nil {
		t.Fatal(err)
	}
	progress := &bytes.Buffer{}
	b.Progress = progress
	if _, err := b.Build(t.Context(), "pause"); err != nil {
		t.Fatal(err)
	}
	if progress.Len() > 0 {
		t.Errorf("the second build built: %s", progress)
	}
	write(t, filepath.Join(b.Source, "pause", "main.go"), "package main\n\nfunc main() { println() }\n")
	changed, err := b.Build(t.Context(), "pause")
	if err != nil {
		t.Fatal(err)
	}
	if first["pause"] == changed["pause"] {
		t.Error("a changed source gives the old binary")
	}
}

// TestUnfinishedBuild says that a build that fails or is interrupted leaves nothing
// that a later one could take for a binary.
func TestUnfinishedBuild(t *testing.T) {
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	cases := map[string]struct {
		ctx     context.Context
		program string
		want    string // in the error
	}{
		"DoesNotCompile": {t.Context(), "package main\n\nfunc main() { x }\n", "undefined: x"},
		"Interrupted":    {interrupted, program, "cancel"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := checkout(t, c.program)
			_, err := b.Build(c.ctx, "pause")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one with %q", err, c.want)
			}
			entries, err := os.ReadDir(b.Cache)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if e.Name() != ".lock" {
					t.Errorf("the cache has %s", e.Name())
				}
			}
		})
	}
}

// TestLeftovers says that what a killed build left is removed by the next.
func TestLeftovers(t *testing.T) {
	b := checkout(t, program)
	left := filepath.Join(b.Cache, ".build-123", "half")
	write(t, left, "half a binary")
	if _, err := b.Build(t.Context(), "pause"); err != nil {
		t.Fatal(err)
	}
	if exists(left) {
		t.Error("the unfinished build is still there")
	}
}

// TestUnknownBinary says that a wrong name is answered with the right ones.
func TestUnknownBinary(t *testing.T) {
	_, err := checkout(t, program).Build(t.Context(), "kubeadm")
	if err == nil || !strings.Contains(err.Error(), "kube-apiserver") {
		t.Errorf("error is %v", err)
	}
}

// TestKey says what makes a binary another one.
func TestKey(t *testing.T) {
	source := t.TempDir()
	const gomod = "module x\n\nrequire example.com/etcd v3.6.1\n"
	write(t, filepath.Join(source, "etcd", "go.mod"), gomod)
	write(t, filepath.Join(source, "etcd", "go.sum"), "a")
	g := group{dir: "etcd", module: "example.com/etcd", ldflags: "-s"}
	name := func(g group) string {
		t.Helper()
		p, err := pin(source, g)
		if err != nil {
			t.Fatal(err)
		}
		return p.file("etcd")
	}
	first := name(g)
	if !strings.HasPrefix(first, "etcd-v3.6.1-") {
		t.Errorf("the name %s does not tell the version", first)
	}
	if name(g) != first {
		t.Error("the same pins give another name")
	}
	g.tags = "sqlite"
	if name(g) == first {
		t.Error("other build tags give the same name")
	}
	g.tags = ""
	write(t, filepath.Join(source, "etcd", "go.sum"), "b")
	if name(g) == first {
		t.Error("other dependencies give the same name")
	}
}

// TestPins says that the checkout pins a version of all that the testbed runs.
func TestPins(t *testing.T) {
	for _, g := range groups {
		p, err := pin("../..", g)
		if err != nil {
			t.Errorf("%s: %v", g.dir, err)
		}
		if strings.Contains(strings.Join(p.buildFlags(), " "), "{") {
			t.Errorf("%s: flags are not filled in: %v", g.dir, p.buildFlags())
		}
	}
}

// TestStaticPackage says that a busybox that needs libraries does not do for an image.
func TestStaticPackage(t *testing.T) {
	shell := Package{Name: "dash", File: "/bin/sh"}
	if !shell.present() {
		t.Skip("no /bin/sh here")
	}
	shell.Static = true
	if shell.present() {
		t.Error("a dynamically linked file passes for a static one")
	}
}
