package gitsource

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keptn/gitops/gitsource/gittest"
)

// noise is content that does not compress.
func noise(seed uint64, n int) string {
	rng := rand.New(rand.NewPCG(seed, 0))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%c", rune(33+rng.IntN(90)))
	}
	return b.String()
}

func bytesIn(t *testing.T, dir string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			info, infoErr := d.Info()
			err, sum = infoErr, sum+info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestTheRepositoriesNotUsedForTheLongestTimeMakeRoom(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	var repos []*gittest.Repo
	for i := range 4 {
		repo := srv.Create(t, fmt.Sprint("r", i))
		repo.Commit("main", "one", map[string]string{"f": noise(uint64(i), 20000)})
		repos = append(repos, repo)
	}
	now := gittest.Epoch
	clock := func() time.Time { now = now.Add(time.Second); return now }
	dir := t.TempDir()
	use := func(s *Store, i int) int {
		srv.ResetTraffic()
		r := open(t, s, repos[i].URL)
		readFile(t, r, fetch(t, r, Ref{}).Commit, "f")
		return srv.Traffic().Requests
	}
	s := storeIn(t, dir, MaxBytes(60000), Clock(clock)) // room for three
	for _, i := range []int{0, 1, 2, 0, 3} {
		use(s, i)
	}
	if got := bytesIn(t, dir); got > 64000 {
		t.Errorf("the store has %d bytes", got)
	}
	if n := use(s, 0); n != 1 {
		t.Errorf("a repository in use was deleted: %d requests", n)
	}
	if n := use(s, 1); n != 4 { // where the ref is, its history, its trees, the file
		t.Errorf("the one least used was kept: %d requests", n)
	}
	s = storeIn(t, dir, MaxBytes(1), Clock(clock)) // another process with less room
	use(s, 2)
	if got := bytesIn(t, dir); got > 30000 {
		t.Errorf("repositories of an earlier process are not deleted: %d bytes", got)
	}
}

func TestARepositoryThatOutgrowsItsRoomStartsOver(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	r := open(t, newStore(t, MaxRepositoryBytes(50000)), repo.URL)
	for i := range 6 {
		head := repo.Commit("main", "more", map[string]string{"f": noise(uint64(i), 20000)})
		fetch(t, r, Ref{})
		if got := readFile(t, r, head, "f"); len(got) != 20000 {
			t.Errorf("read %d bytes", len(got))
		}
		if got := bytesIn(t, r.mirror.dir()); got > 52000 {
			t.Errorf("the repository has %d bytes", got)
		}
	}
	tiny := open(t, newStore(t, MaxRepositoryBytes(100)), repo.URL)
	if _, err := tiny.Fetch(t.Context(), Ref{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one that never fits: %v", err)
	}
	short := open(t, newStore(t, MaxFetchBytes(100)), repo.URL)
	if _, err := short.Fetch(t.Context(), Ref{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a fetch that is too large: %v", err)
	}
}

func TestManySmallPacksBecomeOne(t *testing.T) {
	t.Parallel()
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	dir := t.TempDir()
	r := open(t, storeIn(t, dir), repo.URL)
	var commits []string
	for i := range 14 {
		commits = append(commits, repo.Commit("main", "more", map[string]string{"d/f": fmt.Sprint(i), fmt.Sprint("g", i): "x"}))
		fetch(t, r, Ref{})
		readFile(t, r, commits[i], "d/f")
	}
	packs, err := filepath.Glob(filepath.Join(r.mirror.dir(), "objects/pack/*.pack"))
	if err != nil || len(packs) > 16 || len(packs) == 0 {
		t.Errorf("%d packs, %v", len(packs), err)
	}
	srv.ResetTraffic()
	for _, reader := range []*Repository{r, open(t, storeIn(t, dir), repo.URL)} {
		for i, c := range commits {
			if got := readFile(t, reader, c, "d/f"); got != fmt.Sprint(i) {
				t.Errorf("commit %d: d/f is %q", i, got)
			}
		}
	}
	requests(t, srv, 1, "reading all there is, once admitted again,")
	out, err := exec.Command("git", "-C", r.mirror.dir(), "verify-pack", packs[0]).CombinedOutput()
	if err != nil {
		t.Errorf("git verify-pack: %s", out)
	}
}

// The fetches run in a process of their own, this test's binary with an environment
// variable set.
func TestAProcessKilledWhileItFetchesLeavesAStoreThatWorks(t *testing.T) {
	t.Parallel()
	const dirEnv, urlEnv = "GITSOURCE_KILLED_DIR", "GITSOURCE_KILLED_URL"
	if dir := os.Getenv(dirEnv); dir != "" {
		for {
			r := open(t, storeIn(t, dir), os.Getenv(urlEnv))
			readFile(t, r, fetch(t, r, Ref{}).Commit, "f")
		}
	}
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	dir := t.TempDir()
	for i := range 5 {
		files := map[string]string{"f": fmt.Sprint(i)}
		for k := range 40 {
			files[fmt.Sprintf("d%d/f%d", k, i)] = noise(uint64(i*100+k), 200)
		}
		repo.Commit("main", "more", files)
		cmd := exec.Command(os.Args[0], "-test.run=^TestAProcessKilledWhileItFetchesLeavesAStoreThatWorks$")
		cmd.Env = append(os.Environ(), dirEnv+"="+dir, urlEnv+"="+repo.URL)
		seen := make(chan struct{}, 1000)
		srv.Intercept(nil)
		srv.OnServed(func() {
			select {
			case seen <- struct{}{}:
			default:
			}
		})
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 2 + i%2 { // while it works on what the second or third request brought
			<-seen
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	r := open(t, storeIn(t, dir), repo.URL)
	rev := fetch(t, r, Ref{})
	if got := readFile(t, r, rev.Commit, "f"); got != "4" {
		t.Errorf("f is %q", got)
	}
	if got := len(logOf(t, r, LogOptions{From: rev.Commit})); got != 5 {
		t.Errorf("history has %d commits, want 5", got)
	}
}
