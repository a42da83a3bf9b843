package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/keptn/gitops/gitsource"
)

const (
	// leadTimeRuns is how often each is measured, and gitRuns how often git is asked.
	leadTimeRuns, gitRuns = 15, 15
	// storeTimeout bounds the first fetch of a long history.
	storeTimeout = 15 * time.Minute
)

// leadTimes measures how long it takes to find the commits of a delivery, with their
// authors' times, beside what git says to the same question.
func leadTimes(ctx context.Context, b *bench) (_ []table, err error) {
	url, stop, err := serveGit(ctx, b.work)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var tables []table
	for _, h := range []history{{commits: 5_000, fresh: 500, apps: 50, oneIn: 4}, {commits: 100_000, fresh: 50, apps: 200, oneIn: 4}} {
		b.progress.Printf("leadtime: makes a repository of %d commits", h.commits)
		t, err := h.leadTimes(ctx, b, url)
		if err != nil {
			return tables, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}

// A look is one answer to which commits a delivery brings.
type look struct {
	commits int
	// took is the time, and cpu that of the processors, in milliseconds.
	took, cpu float64
	// allocated are the bytes allocated on the way, and kept those still there after a
	// garbage collection.
	allocated, kept float64
}

// leadTimes measures one repository, which is made and fetched first.
func (h history) leadTimes(ctx context.Context, b *bench, url string) (table, error) {
	dir, kept := h.folder(b.work), filepath.Join(b.work, fmt.Sprintf("store-%d", h.commits))
	if err := h.make(ctx, dir); err != nil {
		return table{}, err
	}
	before, last, err := h.deliveries(ctx, dir)
	if err != nil {
		return table{}, err
	}
	url += "/" + filepath.Base(dir)
	b.progress.Printf("leadtime: fetches it")
	fetched, err := openStore(ctx, kept, url)
	if err != nil {
		return table{}, err
	}
	b.progress.Printf("leadtime: fetched in %s, asks", ms(fetched.took))
	asked, err := askGit(ctx, dir, before)
	if err != nil {
		return table{}, err
	}
	afterwards, err := askGit(ctx, dir, last)
	if err != nil {
		return table{}, err
	}
	var opened, first, again, next []look
	for range leadTimeRuns {
		o, err := openStore(ctx, kept, url)
		if err != nil {
			return table{}, err
		}
		for _, step := range []struct {
			commitRange
			git  []look
			into *[]look
		}{{before, asked, &first}, {before, asked, &again}, {last, afterwards, &next}} {
			found, err := step.find(ctx, o.repo)
			if err != nil {
				return table{}, err
			}
			if found.commits != step.git[0].commits {
				return table{}, fmt.Errorf("keptn finds %d commits, and git %d", found.commits, step.git[0].commits)
			}
			*step.into = append(*step.into, found)
		}
		opened = append(opened, o.look)
	}
	t := h.table(asked)
	t.add("opening what is on disk, and a fetch that finds nothing new", opened)
	t.add(fmt.Sprintf("Keptn, %d new commits, first time", h.fresh), first)
	t.add("Keptn, the same again", again)
	t.add(fmt.Sprintf("Keptn, the next %d, what came before seen", h.fresh), next)
	return t.table, nil
}

// opened is a repository whose Store has been opened just now.
type opened struct {
	look
	repo *gitsource.Repository
}

// openStore opens the Store in dir anew, as a process does that starts, and fetches
// what it has not yet.
func openStore(ctx context.Context, dir, url string) (opened, error) {
	var o opened
	var err error
	o.look, err = measure(func() (int, error) {
		store, err := gitsource.NewStore(dir, gitsource.Timeout(storeTimeout))
		if err != nil {
			return 0, err
		}
		if o.repo, err = store.Repository(gitsource.Remote{URL: url}); err != nil {
			return 0, err
		}
		_, err = o.repo.Fetch(ctx, gitsource.Ref{Branch: "main"})
		return 0, err
	})
	return o, err
}

// find finds the commits of a delivery, and how long each was on its way.
func (d commitRange) find(ctx context.Context, repo *gitsource.Repository) (look, error) {
	finished := time.Now()
	return measure(func() (int, error) {
		var waited []float64
		for c, err := range repo.Log(ctx, gitsource.LogOptions{From: d.to, Until: d.from, Paths: []string{delivered}}) {
			if err != nil {
				return 0, err
			}
			waited = append(waited, finished.Sub(c.Author.When).Seconds())
		}
		slices.Sort(waited)
		return len(waited), nil
	})
}

// askGit asks git the same, again and again.
func askGit(ctx context.Context, dir string, d commitRange) ([]look, error) {
	var asked []look
	for range gitRuns {
		answer, err := revList(ctx, dir, d)
		if err != nil {
			return nil, err
		}
		asked = append(asked, answer)
	}
	return asked, nil
}

// revList asks git once.
func revList(ctx context.Context, dir string, d commitRange) (look, error) {
	began := time.Now()
	cmd := exec.CommandContext(ctx, "git", "rev-list", d.from+".."+d.to, "--", delivered)
	cmd.Dir, cmd.Env = dir, gitEnv()
	out, err := cmd.Output()
	if err != nil {
		return look{}, fmt.Errorf("git rev-list: %w", err)
	}
	return look{
		commits: bytes.Count(out, []byte("\n")), took: milliseconds(time.Since(began)),
		cpu: milliseconds(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()),
	}, nil
}

// measure says what f takes.
func measure(f func() (int, error)) (look, error) {
	var before, after, rest runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began, computed := time.Now(), processorTime()
	commits, err := f()
	took, cpu := time.Since(began), processorTime()-computed
	runtime.ReadMemStats(&after)
	runtime.GC()
	runtime.ReadMemStats(&rest)
	return look{
		commits: commits, took: milliseconds(took), cpu: milliseconds(cpu),
		allocated: float64(after.TotalAlloc - before.TotalAlloc),
		kept:      float64(rest.HeapAlloc) - float64(before.HeapAlloc),
	}, err
}

// processorTime is what this process has computed so far, user and system; 0 if nobody
// says.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// leadTimeTable sets looks beside git's.
type leadTimeTable struct {
	table
	git []look
}

// table begins a table with git's row.
func (h history) table(asked []look) leadTimeTable {
	t := leadTimeTable{git: asked, table: table{
		title:   fmt.Sprintf("Lead time of %d new commits in a repository of %d", h.fresh, h.commits),
		columns: []string{"", "time", "CPU", "beside git: time / CPU", "commits of the app", "allocated", "kept in memory"},
		note: fmt.Sprintf("A history without merges, in which every commit changes one file of %d apps and one in %d the app that is delivered. "+
			"`A..B` are %d commits, and another %d came after them. Medians of %d runs, and %d of git, in brackets the least and the most; each run opens "+
			"the Store anew, in a process that goes on. Git is a process of its own for every question, and looks into the repository that the Store was "+
			"fetched from, which is packed and has no commit-graph. CPU is user and system time.", h.apps+1, h.oneIn, h.fresh, h.fresh, leadTimeRuns, gitRuns),
	}}
	t.rows = [][]string{{"`git rev-list A..B -- " + delivered + "`", times(asked, took), times(asked, cpu), "", strconv.Itoa(asked[0].commits), "", ""}}
	return t
}

// add adds a row: looks of one kind.
func (t *leadTimeTable) add(what string, looks []look) {
	commits, ratio := "", ""
	if n := looks[0].commits; n > 0 {
		beside := func(of func(look) float64) float64 { return median(each(looks, of)) / median(each(t.git, of)) }
		commits, ratio = strconv.Itoa(n), fmt.Sprintf("%.2f / %.2f", beside(took), beside(cpu))
	}
	t.rows = append(t.rows, []string{
		what, times(looks, took), times(looks, cpu), ratio, commits,
		size(median(each(looks, func(l look) float64 { return l.allocated }))),
		size(median(each(looks, func(l look) float64 { return max(0, l.kept) }))),
	})
}

func took(l look) float64 { return l.took }

func cpu(l look) float64 { return l.cpu }

// each is one figure of all looks.
func each(looks []look, of func(look) float64) []float64 {
	all := make([]float64, len(looks))
	for i, l := range looks {
		all[i] = of(l)
	}
	return all
}

// times writes how long looks took, by one of the two clocks.
func times(looks []look, of func(look) float64) string {
	all := each(looks, of)
	return fmt.Sprintf("%s [%s – %s]", ms(median(all)), ms(slices.Min(all)), ms(slices.Max(all)))
}
