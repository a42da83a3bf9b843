package gitsource

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keptn/gitops/gitsource/gittest"
)

// bigRepository is a repository of 20,000 files of 15 kB, 300 MB together, and 5,000
// commits, every tenth of which changes apps/a/lifecycle.yaml. It is made once and
// kept in the folder for temporary files.
func bigRepository(b *testing.B) string {
	b.Helper()
	dir := filepath.Join(os.TempDir(), "keptn-gitsource-bench.git")
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return dir
	}
	if err := os.RemoveAll(dir); err != nil {
		b.Fatal(err)
	}
	run := func(args ...string) *exec.Cmd { return exec.Command("git", append([]string{"-C", dir}, args...)...) }
	if err := exec.Command("git", "init", "--quiet", "--bare", "--initial-branch=main", dir).Run(); err != nil {
		b.Fatal(err)
	}
	cmd := run("-c", "core.compression=0", "fast-import", "--quiet")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(stdin, 1<<20)
	writeBigHistory(w)
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	_ = stdin.Close()
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	if out, err := run("repack", "-adb", "-q").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "complete"), nil, 0o644); err != nil {
		b.Fatal(err)
	}
	return dir
}

func writeBigHistory(w *bufio.Writer) {
	rng := rand.NewChaCha8([32]byte{1})
	file := make([]byte, 15000)
	commit := func(i int) {
		fmt.Fprintf(w, "commit refs/heads/main\ncommitter C <c@x> %d +0000\ndata 4\nmore\n", 1_700_000_000+i*60)
	}
	commit(0)
	for i := range 20000 {
		_, _ = rng.Read(file) // never fails
		fmt.Fprintf(w, "M 100644 inline svc/t%02d/s%02d/f%02d\ndata %d\n%s\n", i/1000, i/50%20, i%50, len(file), file)
	}
	for i := range 50 {
		fmt.Fprintf(w, "M 100644 inline apps/b%02d/values.yaml\ndata 1\n0\n", i)
	}
	for i := range 10 {
		text := fmt.Sprintf("kind: Manifest\nnumber: %d\n", i)
		fmt.Fprintf(w, "M 100644 inline apps/a/manifest%d.yaml\ndata %d\n%s\n", i, len(text), text)
	}
	for i := 1; i < 5000; i++ {
		commit(i)
		path := fmt.Sprintf("apps/b%02d/values.yaml", i%50)
		if i%10 == 0 {
			path = "apps/a/lifecycle.yaml"
		}
		text := fmt.Sprintf("replicas: %d\n", i)
		fmt.Fprintf(w, "M 100644 inline %s\ndata %d\n%s\n", path, len(text), text)
	}
}

func push(repo *gittest.Repo, i int) {
	text := fmt.Sprintf("kind: Lifecycle\nmetadata: {name: a}\nspec: {app: a%d}\n", i)
	repo.Import(fmt.Sprintf("commit refs/heads/main\ncommitter C <c@x> %d +0000\ndata 4\npush\nfrom refs/heads/main^0\n"+
		"M 100644 inline apps/a/lifecycle.yaml\ndata %d\n%s\n", 1_710_000_000+i*60, len(text), text))
}

// cpu is the time this process has computed: the client, and net/http of the server.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A heapWatch looks at the heap every millisecond, with what of it is garbage: the store's
// and the test server's.
type heapWatch struct {
	stop func()
	most chan uint64
}

func watchHeap() *heapWatch {
	runtime.GC()
	before := heapNow()
	ctx, cancel := context.WithCancel(context.Background())
	w := &heapWatch{cancel, make(chan uint64)}
	go func() {
		var most uint64
		for ctx.Err() == nil {
			most = max(most, heapNow())
			time.Sleep(time.Millisecond)
		}
		w.most <- most - min(most, before)
	}()
	return w
}

// peak is by how many bytes the heap grew at most.
func (w *heapWatch) peak() float64 {
	w.stop()
	return float64(<-w.most)
}

func heapNow() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func report(b *testing.B, srv *gittest.Server) {
	n := srv.Traffic()
	b.ReportMetric(float64(n.Sent)/float64(b.N), "B-received/op")
	b.ReportMetric(float64(n.Requests)/float64(b.N), "requests/op")
}

func BenchmarkBigRepository(b *testing.B) {
	big := bigRepository(b)
	srv := gittest.New(b)
	repo := srv.Fork(b, "big", big)
	pushes := 0

	benchmarkFirstSight(b, srv, repo)
	store := newStore(b)
	fetch(b, open(b, store, repo.URL), Ref{})

	b.Run("commit: fetch, prefetch folder, read lifecycle.yaml", func(b *testing.B) {
		srv.ResetTraffic()
		heap := watchHeap()
		for b.Loop() {
			b.StopTimer()
			pushes++
			push(repo, pushes)
			b.StartTimer()
			r := open(b, store, repo.URL)
			rev := fetch(b, r, Ref{})
			if err := r.Prefetch(b.Context(), rev.Commit, "apps/a"); err != nil {
				b.Fatal(err)
			}
			if got := readFile(b, r, rev.Commit, "apps/a/lifecycle.yaml"); !strings.Contains(got, fmt.Sprint("a", pushes)) {
				b.Fatalf("read %q", got)
			}
		}
		b.ReportMetric(heap.peak(), "B-heap-peak")
		report(b, srv)
	})
	b.Run("idle poll", func(b *testing.B) {
		srv.ResetTraffic()
		poll(b, srv, store, repo)
	})
	b.Run("git fetch filter=blob:none", func(b *testing.B) {
		dir := b.TempDir()
		runGit(b, dir, "init", "-q", "--bare")
		runGit(b, dir, "remote", "add", "origin", repo.URL)
		runGit(b, dir, "config", "remote.origin.promisor", "true")
		runGit(b, dir, "fetch", "-q", "--filter=blob:none", "origin", "main")
		srv.ResetTraffic()
		for b.Loop() {
			b.StopTimer()
			pushes++
			push(repo, pushes)
			b.StartTimer()
			runGit(b, dir, "fetch", "-q", "--filter=blob:none", "origin", "main")
			runGit(b, dir, "show", "FETCH_HEAD:apps/a/lifecycle.yaml")
		}
		report(b, srv)
	})
	b.Run("git clone depth=1", func(b *testing.B) {
		srv.ResetTraffic()
		for b.Loop() {
			runGit(b, b.TempDir(), "clone", "-q", "--depth=1", repo.URL, "c")
		}
		report(b, srv)
	})
	benchmarkLog(b, open(b, store, repo.URL))
	b.Run("idle poll, 10,000 refs more", func(b *testing.B) {
		var refs []string
		for i := range 10_000 {
			refs = append(refs, fmt.Sprintf("refs/pull/%05d/head", i))
		}
		repo.PointAt(repo.Git("rev-parse", "main"), refs...)
		poll(b, srv, store, repo)
	})
}

// poll looks where the branch is, which has not moved. The time computed is that of this
// process: the client's, and net/http's and the start of git on the side of the server.
func poll(b *testing.B, srv *gittest.Server, store *Store, repo *gittest.Repo) {
	fetch(b, open(b, store, repo.URL), Ref{})
	srv.ResetTraffic()
	before := cpu(b)
	for b.Loop() {
		fetch(b, open(b, store, repo.URL), Ref{})
	}
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
	report(b, srv)
}

// benchmarkFirstSight fetches all 5,000 commits into an empty store, and goes on from there.
func benchmarkFirstSight(b *testing.B, srv *gittest.Server, repo *gittest.Repo) {
	none := func(*Repository, Revision) error { return nil }
	for name, read := range map[string]func(*Repository, Revision) error{
		"first sight": none,
		"first sight, and a folder with its files": func(r *Repository, rev Revision) error {
			return r.Prefetch(b.Context(), rev.Commit, "apps/a")
		},
		"first sight, and the names of all 20,000 files": func(r *Repository, rev Revision) error {
			return fs.WalkDir(r.Tree(b.Context(), rev.Commit), ".", func(_ string, _ fs.DirEntry, err error) error { return err })
		},
		"first sight, and all commits of a file": func(r *Repository, rev Revision) error {
			logOf(b, r, LogOptions{From: rev.Commit, Paths: []string{"apps/a/lifecycle.yaml"}})
			return nil
		},
	} {
		b.Run(name, func(b *testing.B) {
			srv.ResetTraffic()
			heap := watchHeap()
			for b.Loop() {
				r := open(b, newStore(b), repo.URL)
				if err := read(r, fetch(b, r, Ref{})); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(heap.peak(), "B-heap-peak")
			report(b, srv)
		})
	}
	for _, filter := range []string{"tree:0", "blob:none"} {
		b.Run("git fetch into an empty repository, filter="+filter, func(b *testing.B) {
			srv.ResetTraffic()
			for b.Loop() {
				dir := b.TempDir()
				runGit(b, dir, "init", "-q", "--bare")
				runGit(b, dir, "fetch", "-q", "--filter="+filter, repo.URL, "main")
			}
			report(b, srv)
		})
	}
}

func benchmarkLog(b *testing.B, r *Repository) {
	rev := fetch(b, r, Ref{})
	all := logOf(b, r, LogOptions{From: rev.Commit})
	until := all[500]
	for name, paths := range map[string][]string{"": nil, ", one file": {"apps/a/lifecycle.yaml"}} {
		b.Run("log of 500 commits"+name, func(b *testing.B) {
			for b.Loop() {
				logOf(b, r, LogOptions{From: rev.Commit, Until: until, Paths: paths})
			}
		})
	}
	b.Run("newest commit of one file", func(b *testing.B) {
		for b.Loop() {
			logOf(b, r, LogOptions{From: rev.Commit, Paths: []string{"apps/a/lifecycle.yaml"}, Limit: 1})
		}
	})
	b.Run("is ancestor, 500 commits apart", func(b *testing.B) {
		for b.Loop() {
			if ok, err := r.IsAncestor(b.Context(), until, rev.Commit); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	})
}

func runGit(b *testing.B, dir string, args ...string) {
	b.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("git %v: %v: %s", args, err, out)
	}
}
