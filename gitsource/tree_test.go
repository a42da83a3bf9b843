package gitsource

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/gittest"
)

func TestATreeIsAFileSystem(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	repo.Commit("main", "files", map[string]string{
		"README.md": "hi", "apps/a/lifecycle.yaml": "kind: Lifecycle\n", "apps/b/deep/er/file": strings.Repeat("x", 70000),
		"a-b": "sorts before a/", "a/b": "1", "empty": "",
	})
	head := repo.Git("rev-parse", "main")
	for place, url := range map[string]string{"http": repo.URL, "local": repo.Dir} {
		t.Run(place, func(t *testing.T) {
			tree := open(t, newStore(t), url).Tree(t.Context(), head)
			if err := fstest.TestFS(tree, "README.md", "apps/a/lifecycle.yaml", "apps/b/deep/er/file", "a-b", "a/b", "empty"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhatATreeCannotShowBreaksNothing(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	first := repo.Commit("main", "one", map[string]string{
		"dir/file": "1", "dir/link@": "file", "up@": "../../etc/passwd", "folderlink@": "dir", "line\nbreak": "2",
	})
	blob := repo.Git("rev-parse", first+":dir/file")
	repo.Git("update-index", "--add", "--cacheinfo", "100644,"+blob+",dir/fine")
	repo.Git("update-index", "--add", "--cacheinfo", "100644,"+blob+",dir/\xff\xfe")
	repo.Git("update-index", "--add", "--cacheinfo", "160000,"+first+",dir/sub")
	repo.Git("update-index", "--add", "--cacheinfo", "100755,"+blob+",dir/run")
	odd := repo.Git("-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", "-m", "odd", repo.Git("write-tree"))
	repo.ForcePush("odd", odd)

	r := open(t, newStore(t), repo.URL)
	tree := r.Tree(t.Context(), odd)
	modes := map[string]string{}
	if err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		modes[p] = d.Type().String()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		".": "d---------", "dir": "d---------", "dir/fine": "----------", "dir/run": "----------", "dir/sub": "?---------",
	}
	if diff := cmp.Diff(want, modes); diff != "" {
		t.Error(diff)
	}

	tree = r.Tree(t.Context(), first)
	if got, err := tree.ReadFile("line\nbreak"); err != nil || string(got) != "2" {
		t.Errorf("a name with a line break: %q, %v", got, err)
	}
	if got, err := fs.ReadLink(tree, "up"); err != nil || got != "../../etc/passwd" {
		t.Errorf("ReadLink: %q, %v", got, err)
	}
	for _, name := range []string{"up", "dir/link", "folderlink"} {
		if info, err := fs.Lstat(tree, name); err != nil || info.Mode().Type() != fs.ModeSymlink {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if _, err := tree.ReadFile(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s was followed: %v", name, err)
		}
	}
	for _, name := range []string{"folderlink/file", "nope", "dir/file/below"} {
		if _, err := tree.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s exists: %v", name, err)
		}
	}
	if _, err := tree.Open("../x"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a path that leads out: %v", err)
	}
}

func TestPrefetchFetchesAFolderInOneRequest(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	head := repo.Commit("main", "one", map[string]string{
		"apps/a/1": "one", "apps/a/2": "two", "apps/a/sub/3": "three", "apps/b/4": "four", "5": "five",
	})
	r := open(t, newStore(t), repo.URL)
	fetch(t, r, Ref{})
	srv.ResetTraffic()
	if err := r.Prefetch(t.Context(), head, "apps/a", "5", "no/such"); err != nil {
		t.Fatal(err)
	}
	requests(t, srv, 1, "Prefetch")
	for name, want := range map[string]string{"apps/a/1": "one", "apps/a/2": "two", "apps/a/sub/3": "three", "5": "five"} {
		if got := readFile(t, r, head, name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if err := r.Prefetch(t.Context(), head, "apps/a"); err != nil {
		t.Error(err)
	}
	requests(t, srv, 0, "reading what was prefetched")
	readFile(t, r, head, "apps/b/4")
	requests(t, srv, 1, "reading a file of another folder")
}

func TestLargeFilesAreRefusedAndStopNothingElse(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	files := map[string]string{"a/small": "small", "a/huge": strings.Repeat("y", 9<<20), "a/at-limit": strings.Repeat("z", 4096)}
	for i := range 5 { // more than what one request for single files may have
		noise := make([]byte, 0, 1<<20)
		for x := uint32(i + 1); len(noise) < 1<<20; x = x*1664525 + 1013904223 {
			noise = append(noise, byte(x>>24))
		}
		files["a/noise"+string(rune('0'+i))] = string(noise)
	}
	head := repo.Commit("main", "one", files)
	for place, url := range map[string]string{"http": repo.URL, "local": repo.Dir} {
		t.Run(place, func(t *testing.T) {
			r := open(t, newStore(t, MaxFileBytes(4096)), url)
			fetch(t, r, Ref{})
			tree := r.Tree(t.Context(), head)
			for range 2 {
				if _, err := tree.ReadFile("a/huge"); !errors.Is(err, ErrTooLarge) {
					t.Errorf("ReadFile of a huge file: %v", err)
				}
			}
			srv.ResetTraffic()
			if _, err := tree.Open("a/huge"); !errors.Is(err, ErrTooLarge) {
				t.Errorf("Open of a huge file: %v", err)
			}
			requests(t, srv, 0, "what is known to be too large")
			if err := r.Prefetch(t.Context(), head, "a"); err != nil {
				t.Errorf("Prefetch beside huge files: %v", err)
			}
			srv.ResetTraffic()
			if got := readFile(t, r, head, "a/small") + readFile(t, r, head, "a/at-limit"); len(got) != 5+4096 {
				t.Errorf("small files have %d bytes", len(got))
			}
			if _, err := tree.ReadFile("a/noise3"); !errors.Is(err, ErrTooLarge) {
				t.Errorf("a file over the limit: %v", err)
			}
			requests(t, srv, 0, "reading after Prefetch")
		})
	}
}
