package gitsource

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/keptn/gitops/gitsource/gittest"
)

// gigabyte commits files, and beside them one of 1 GB by the given path.
func gigabyte(t *testing.T, repo *gittest.Repo, path string, files map[string]string) (commit string) {
	t.Helper()
	zeros := filepath.Join(t.TempDir(), "zeros")
	if err := errors.Join(os.WriteFile(zeros, nil, 0o600), os.Truncate(zeros, 1<<30)); err != nil {
		t.Fatal(err)
	}
	blob := repo.Git("-c", "core.compression=1", "-c", "core.bigFileThreshold=1m", "hash-object", "-w", zeros)
	parent := repo.Commit("main", "small", files)
	repo.Git("read-tree", parent)
	repo.Git("update-index", "--add", "--cacheinfo", "100644,"+blob+","+path)
	commit = repo.Git("-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", "-p", parent, "-m", "large", repo.Git("write-tree"))
	repo.ForcePush("main", commit)
	return commit
}

// It is not parallel, for it measures what is allocated.
func TestAFileOfAGigabyteIsNotFetchedUnlessItIsReadAndNeverInMemory(t *testing.T) {
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	small := map[string]string{"apps/a/deployment.yaml": "a: 1", "apps/b/lifecycle.yaml": "b: 1"}
	head := gigabyte(t, repo, "apps/a/lifecycle.yaml", small)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	dir := t.TempDir()
	for place, r := range map[string]*Repository{"http": open(t, storeIn(t, dir), repo.URL), "local": open(t, newStore(t), repo.Dir)} {
		fetch(t, r, Ref{})
		tree := r.Tree(t.Context(), head)
		if err := tree.Prefetch(t.Context(), "apps/a/deployment.yaml", "apps/a/lifecycle.yaml", "apps/b/lifecycle.yaml"); err != nil {
			t.Errorf("%s: Prefetch: %v", place, err)
		}
		for name, want := range small {
			if got := readFile(t, r, head, name); got != want {
				t.Errorf("%s: %s is %q", place, name, got)
			}
		}
		for range 2 { // the second time from memory
			_, err := fs.ReadFile(tree, "apps/a/lifecycle.yaml")
			if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "apps/a/lifecycle.yaml: ") || !strings.Contains(err.Error(), "it has 1073741824 bytes") {
				t.Errorf("%s: error %v, want one with the path and the size", place, err)
			}
		}
	}
	if got := bytesIn(t, dir); got > 100_000 {
		t.Errorf("the store has %d bytes", got)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
		t.Errorf("%d bytes were allocated", got)
	}

	srv.DisableFilter() // so that everything comes, and all of it is refused
	if _, err := open(t, newStore(t), repo.URL).Fetch(t.Context(), Ref{}); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "a blob of 1073741824 bytes") {
		t.Errorf("from a server that sends all: %v", err)
	}
}

func TestAPrefetchLeavesOutTheFilesThatAreTooLarge(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	files, names := map[string]string{}, []string{}
	for i := range 20 {
		name := fmt.Sprintf("d%d/f", i)
		names, files[name] = append(names, name), fmt.Sprint("small ", i)
	}
	files["d3/f"], files["d11/f"] = noise(3, 9000), noise(11, 90_000)
	head := repo.Commit("main", "one", files)
	r := open(t, newStore(t, MaxFileBytes(4096)), repo.URL)
	fetch(t, r, Ref{})
	if err := r.Prefetch(t.Context(), head, names...); err != nil {
		t.Fatal(err)
	}
	srv.ResetTraffic()
	for name, want := range files {
		got, err := fs.ReadFile(r.Tree(t.Context(), head), name)
		if size := fmt.Sprintf("it has %d bytes", len(want)); len(want) > 4096 {
			if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), size) {
				t.Errorf("%s: error %v, want ErrTooLarge with %q", name, err, size)
			}
		} else if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	requests(t, srv, 0, "reading what was prefetched")
	if err := r.Prefetch(t.Context(), head, "d3/f"); err != nil {
		t.Errorf("one file that is too large: %v", err)
	}
}
