package gitsource

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/keptn/gitops/gitsource/gittest"
	"github.com/keptn/gitops/gitsource/internal/wire"
)

// smallDisk is a folder on a disk of its own, of so many bytes. The test is skipped where it
// may not mount one.
func smallDisk(t *testing.T, bytes string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+bytes); err != nil {
		t.Skipf("it takes the right to mount a disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes a file until there is no room left.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

// It runs alone: a git that another test starts holds the files that are open here until it
// is git, and what is removed meanwhile makes room on the full disk only then.
func TestAFullDiskIsSaidAndNothingIsLostByIt(t *testing.T) {
	srv := gittest.New(t)
	repo, beside := srv.Create(t, "app"), srv.Create(t, "other")
	first := repo.Commit("main", "one", map[string]string{"a": "1", "b": "2"})
	other := beside.Commit("main", "one", map[string]string{"a": "other"})
	dir := smallDisk(t, "600k")
	r := open(t, storeIn(t, dir), repo.URL)
	fetch(t, r, Ref{})
	readFile(t, r, first, "a")
	aside := open(t, storeIn(t, dir), beside.URL)
	fetch(t, aside, Ref{})
	readFile(t, aside, other, "a")

	large := repo.Commit("main", "two", map[string]string{"large": noise(1, 900_000), "small": "3"})
	fetch(t, r, Ref{})
	refused := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, ErrDisk) || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrProtocol) {
			t.Errorf("%s: error %v, want ErrDisk and no fault of the remote", what, err)
		} else if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%s: the error does not say what and where: %v", what, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*", "objects", "pack", "tmp_*")); len(left) > 0 {
			t.Errorf("%s: left behind: %v", what, left)
		}
	}
	_, err := fs.ReadFile(r.Tree(t.Context(), large), "large")
	refused("a file that does not fit", err)
	if got := readFile(t, r, large, "small"); got != "3" {
		t.Errorf("a small file beside it is %q", got)
	}

	fill(t, filepath.Join(dir, "filler"))
	last := repo.Commit("main", "three", map[string]string{"c": noise(2, 20_000)})
	for range 2 {
		_, err = r.Fetch(t.Context(), Ref{})
		refused("a commit on a full disk", err)
	}
	if _, err := newSSHServer(t).open(t, storeIn(t, dir), "/app.git", asItIs); !errors.Is(err, ErrDisk) {
		t.Errorf("a server whose key has to be kept for a moment: %v", err)
	}
	srv.ResetTraffic()
	if rev := fetch(t, aside, Ref{}); rev.Commit != other || readFile(t, aside, other, "a") != "other" {
		t.Errorf("the other repository is at %v", rev)
	}
	if got := readFile(t, r, first, "a"); got != "1" {
		t.Errorf("what was fetched before is %q", got)
	}
	requests(t, srv, 1, "looking at the other repository and reading what is here")
	again := open(t, storeIn(t, dir), repo.URL) // another process
	if got := readFile(t, again, first, "a"); got != "1" {
		t.Errorf("after a restart, what was fetched before is %q", got)
	}

	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	srv.ResetTraffic()
	if rev := fetch(t, r, Ref{}); rev.Commit != last {
		t.Errorf("once there is room: %v", rev)
	}
	requests(t, srv, 2, "going on where it was, which fetches only what is new,")
	if got := readFile(t, r, last, "c"); len(got) != 20_000 {
		t.Errorf("read %d bytes", len(got))
	}
}

// failing cannot be written to.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) {
	return 0, &fs.PathError{Op: "write", Path: "x", Err: f.err}
}

func TestWhatCannotBeWrittenIsNoFaultOfTheRemote(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	head := plumbing.NewHash(repo.Commit("main", "one", map[string]string{"a": "1"}))
	for _, trouble := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		r := open(t, newStore(t), repo.URL)
		ctx, release, err := r.enter(t.Context())
		if err == nil {
			err = r.live(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		err = r.session.Fetch(ctx, wire.Request{Wants: []plumbing.Hash{head}, Limit: 1 << 20}, failing{trouble})
		if !errors.Is(err, trouble) || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrProtocol) {
			t.Errorf("error %v, want %v alone", err, trouble)
		}
		release()
	}
}
