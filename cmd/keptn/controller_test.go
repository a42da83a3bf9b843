package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/keptn/gitops/controllers/task"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/gittest"
	"github.com/keptn/gitops/outbound"
)

func TestFlagsNameTheImagesThatScriptsRunIn(t *testing.T) {
	cases := map[string]struct {
		reason string
		args   []string
		want   task.Options
	}{
		"Neither": {"The makers' images are the default.", nil, task.Options{DenoImage: task.DenoImage, PythonImage: task.PythonImage}},
		"Both":    {"Each language has its own flag.", []string{"--deno-image=d:1", "--python-image=p:1"}, task.Options{DenoImage: "d:1", PythonImage: "p:1"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, parsed(t, c.args...).settings().Tasks); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestTheControllersOwnDiskIsReadOnlyByAFlag(t *testing.T) {
	repo := gittest.New(t).Create(t, "app")
	for _, args := range [][]string{nil, {"--allow-local-repositories"}} {
		flags := parsed(t, append(args, "--storage-dir="+t.TempDir())...)
		store, err := flags.store(outbound.Addresses{}, logr.Discard())
		if err != nil {
			t.Fatal(err)
		}
		_, err = store.Repository(gitsource.Remote{URL: "file://" + repo.Dir})
		if errors.Is(err, gitsource.ErrLocal) != (args == nil) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestADamagedCopyOfARepositoryIsLogged(t *testing.T) {
	repo := gittest.New(t).Create(t, "app")
	head := repo.Commit("main", "one", map[string]string{"a": "1"})
	dir := t.TempDir()
	var lines []string
	log := funcr.New(func(_, line string) { lines = append(lines, line) }, funcr.Options{})
	for range 2 { // two processes, of which the first leaves a copy behind
		store, err := parsed(t, "--storage-dir="+dir).store(outbound.Anywhere(), log)
		if err != nil {
			t.Fatal(err)
		}
		r, err := store.Repository(gitsource.Remote{URL: repo.URL})
		if err != nil {
			t.Fatal(err)
		}
		if rev, err := r.Fetch(t.Context(), gitsource.Ref{}); err != nil || rev.Commit != head {
			t.Fatalf("%v, %v", rev, err)
		}
		packs, err := filepath.Glob(filepath.Join(dir, "*", "objects", "pack", "*.pack"))
		for _, pack := range packs {
			err = errors.Join(err, os.Chmod(pack, 0o600), os.Truncate(pack, 40))
		}
		if err != nil || len(packs) == 0 {
			t.Fatalf("%q, %v", packs, err)
		}
	}
	if len(lines) != 1 || !strings.Contains(lines[0], "Fetching a damaged copy of a repository anew") || !strings.Contains(lines[0], repo.URL) {
		t.Errorf("logged %q", lines)
	}
}

// parsed are the flags of a command line.
func parsed(t *testing.T, args ...string) *controllerFlags {
	t.Helper()
	var flags controllerFlags
	set := pflag.NewFlagSet("controller", pflag.ContinueOnError)
	flags.add(set)
	if err := set.Parse(args); err != nil {
		t.Fatal(err)
	}
	return &flags
}
