package main

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestImagesAreNamedAsTheControllerNamesThem says that a task whose definition names
// no image finds the one that is made here.
func TestImagesAreNamedAsTheControllerNamesThem(t *testing.T) {
	files, err := filepath.Glob("../../controllers/task/*.go")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]string{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
				if value, ok := spec.Values[0].(*ast.BasicLit); ok && value.Kind == token.STRING {
					named[spec.Names[0].Name], _ = strconv.Unquote(value.Value)
				}
			}
			return true
		})
	}
	for _, r := range taskRuntimes() {
		constant := strings.ToUpper(r.name[:1]) + r.name[1:] + "Image"
		if named[constant] != r.image {
			t.Errorf("controllers/task has %s = %q, and the testbed makes %q", constant, named[constant], r.image)
		}
	}
}

// TestKeyOfAnImage says what makes an image another one.
func TestKeyOfAnImage(t *testing.T) {
	source := t.TempDir()
	for _, name := range []string{"images.go", "runtimes.go", "internal/rootfs/rootfs.go", "images/deno/package-lock.json"} {
		write(t, filepath.Join(source, name), name)
	}
	key := func(r taskRuntime) string {
		t.Helper()
		key, err := r.key(source)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	r := taskRuntime{name: "deno", image: "deno:1", npm: "images/deno"}
	first := key(r)
	if key(r) != first {
		t.Error("the same pins give another key")
	}
	r.image = "deno:2"
	if key(r) == first {
		t.Error("another name gives the same key")
	}
	r.image = "deno:1"
	for _, name := range []string{"runtimes.go", "internal/rootfs/rootfs.go", "images/deno/package-lock.json"} {
		write(t, filepath.Join(source, name), "changed")
		changed := key(r)
		if changed == first {
			t.Errorf("another %s gives the same key", name)
		}
		first = changed
	}
	if _, err := r.key(t.TempDir()); err == nil {
		t.Error("a folder that is not the testbed's gives a key")
	}
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

// TestImageOfAFolder says that an image has its folder's files, with their modes and links.
func TestImageOfAFolder(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	write(t, filepath.Join(root, "usr/bin/program3"), "#!")
	if err := os.Symlink("program3", filepath.Join(root, "usr/bin/program")); err != nil {
		t.Fatal(err)
	}
	img := image{names: []string{"docker.io/library/x:1"}, root: root}
	layer := filepath.Join(dir, "layer.tar")
	if _, err := img.writeLayer(layer); err != nil {
		t.Fatal(err)
	}
	files := readTar(t, layer)
	if got := string(files["usr/bin/program3"]); got != "#!" {
		t.Errorf("the program is %q", got)
	}
	if _, ok := files["usr/bin/program"]; !ok {
		t.Errorf("the link is missing in %v", files)
	}
}

// TestUnfinishedImage says that making an image that is interrupted fails, and leaves
// nothing that a later one could take for an image.
func TestUnfinishedImage(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	if archives, err := makeImages(interrupted, ".", taskRuntimes(), io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v and %v, want an error", archives, err)
	}
	left, err := filepath.Glob(filepath.Join(cache, "keptn-testbed/images/*"))
	if err != nil || len(left) > 0 {
		t.Errorf("the cache has %v (%v)", left, err)
	}
}
