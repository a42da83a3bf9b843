package gitsource

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keptn/gitops/gitsource/gittest"
)

func TestADamagedStoreRepairsItself(t *testing.T) {
	t.Parallel()
	pattern := func(glob string, spoil func(string) error) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			files, err := filepath.Glob(filepath.Join(dir, "*.git", glob))
			if err != nil || len(files) == 0 {
				t.Fatalf("nothing to spoil: %v", err)
			}
			for _, f := range files {
				if err := os.Chmod(f, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := spoil(f); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	half := func(f string) error {
		info, err := os.Stat(f)
		if err != nil {
			return err
		}
		return os.Truncate(f, info.Size()/2)
	}
	cases := map[string]struct {
		reason string
		spoil  func(t *testing.T, dir string)
	}{
		"AllGone":         {"Somebody cleaned up.", pattern("", os.RemoveAll)},
		"PacksGone":       {"Only the state is left.", pattern("objects/pack/*", os.Remove)},
		"PacksOnlyGone":   {"Indexes promise what is not there.", pattern("objects/pack/*.pack", os.Remove)},
		"IndexesGone":     {"Packs without an index are of no use.", pattern("objects/pack/*.idx", os.Remove)},
		"PacksTruncated":  {"The disk was full.", pattern("objects/pack/*.pack", half)},
		"IndexTruncated":  {"The power went while it was written.", pattern("objects/pack/*.idx", half)},
		"StateUnreadable": {"The state is only a help.", pattern(stateFile, half)},
		"EmptyPacks":      {"A file system lost the content.", pattern("objects/pack/*.pack", func(f string) error { return os.Truncate(f, 0) })},
	}
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	c1 := repo.Commit("main", "one", map[string]string{"a/a": "1", "b": strings.Repeat("b", 9999)})
	for name, tc := range cases {
		for _, when := range []string{"while running", "and a restart and a push"} {
			t.Run(name+" "+when, func(t *testing.T) {
				dir := t.TempDir()
				r := open(t, storeIn(t, dir), repo.URL)
				rev := fetch(t, r, Ref{})
				readFile(t, r, rev.Commit, "a/a")
				tc.spoil(t, dir)
				if strings.Contains(when, "restart") {
					r = open(t, storeIn(t, dir), repo.URL)
				}
				if strings.Contains(when, "push") {
					repo.Commit("main", "more", map[string]string{"c": name + when})
					rev = fetch(t, r, Ref{})
				}
				if got := readFile(t, r, rev.Commit, "a/a") + readFile(t, r, c1, "a/a"); got != "11" {
					t.Errorf("%s\nfiles read %q", tc.reason, got)
				}
				if ok, err := r.IsAncestor(t.Context(), c1, rev.Commit); err != nil || !ok {
					t.Errorf("%s\nhistory: %v, %v", tc.reason, ok, err)
				}
				srv.ResetTraffic()
				fetch(t, r, Ref{})
				requests(t, srv, 1, "the fetch after the repair")
			})
		}
	}
}

func TestAnInterruptedFetchLeavesAStoreThatWorks(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	repo.Commit("main", "one", map[string]string{"a": "1"})
	dir := t.TempDir()
	r := open(t, storeIn(t, dir), repo.URL)
	ctx, cancel := context.WithCancel(t.Context())
	srv.Intercept(func(req *http.Request) {
		if req.Method == http.MethodPost {
			cancel()
		}
	})
	if _, err := r.Fetch(ctx, Ref{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("a cancelled fetch: %v", err)
	}
	srv.Intercept(nil)
	packDir := filepath.Join(dir, r.mirror.name, "objects", "pack")
	for _, leftover := range []string{"tmp_pack_1234", "pack-0123456789012345678901234567890123456789.idx"} {
		if err := os.MkdirAll(packDir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(packDir, leftover), []byte("half"), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	r = open(t, storeIn(t, dir), repo.URL)
	rev := fetch(t, r, Ref{})
	if got := readFile(t, r, rev.Commit, "a"); got != "1" {
		t.Errorf("a is %q", got)
	}
	if files, _ := filepath.Glob(filepath.Join(packDir, "tmp_*")); len(files) > 0 {
		t.Errorf("leftovers: %v", files)
	}
}
