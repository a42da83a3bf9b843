package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/keptn/gitops/gitsource/forge"
)

const (
	// doraRuns is how often each command runs.
	doraRuns = 9
	// lookEvery is how often the memory of a command is looked at.
	lookEvery = 2 * time.Millisecond
)

// An execution is what one run of a command took.
type execution struct {
	// took and cpu, user and system, are in milliseconds, peak in bytes.
	took, cpu, peak float64
	printed         []byte
}

// doraMetrics measures keptn dora over many deployments that Git notes keep, beside git
// log of the same commits and notes.
func doraMetrics(ctx context.Context, b *bench) ([]table, error) {
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	h := deployedHistory{history{commits: 10_000, apps: 50, oneIn: 1}}
	b.progress.Printf("dora: makes a repository of %d commits and deployments", h.commits)
	if err := h.make(ctx, b.work); err != nil {
		return nil, err
	}
	t, err := h.compare(ctx, b)
	if err != nil {
		return nil, err
	}
	alone, err := b.goBenchmarks(ctx, "./dora", "The five metrics, computed of what is in memory",
		" A benchmark's name ends with its number of deployments; every fifth commit of a history with merges was deployed.")
	return append([]table{t}, alone...), err
}

// commands are what is compared; git's log of everything is the first.
func (h deployedHistory) commands(b *bench) [][]string {
	dora := func(more ...string) []string {
		return append([]string{b.keptn, "dora", "--source", h.repository(b.work)}, more...)
	}
	log := func(more ...string) []string {
		return append([]string{"git", "-C", h.repository(b.work), "log", "--notes=" + forge.NotesRef}, more...)
	}
	return [][]string{
		log("main"),
		log("main", "--", delivered),
		dora("--notes"),
		dora("--notes", "--path", delivered),
		dora("--deployments", h.log(b.work), "--path", delivered),
	}
}

// compare runs all commands, again and again in turn.
func (h deployedHistory) compare(ctx context.Context, b *bench) (table, error) {
	commands := h.commands(b)
	runs := make([][]execution, len(commands))
	for i := range doraRuns {
		for k, command := range commands {
			r, err := runCommand(ctx, command)
			if err != nil {
				return table{}, err
			}
			if err := h.check(command, r.printed); err != nil {
				return table{}, err
			}
			r.printed = nil
			runs[k] = append(runs[k], r)
		}
		b.progress.Printf("dora: %d of %d", i+1, doraRuns)
	}
	t := table{
		title:   fmt.Sprintf("keptn dora over %d deployments", h.commits),
		columns: []string{"command", "time", "CPU", "peak memory", "beside git log: time / CPU / memory"},
		note: fmt.Sprintf("A bare repository of %d commits, all of which change the app, and as many deployments; every tenth failed, and "+
			"every fiftieth was a rollback. Of each, %s holds six statuses and a deployment, written by a commit of its own. All is packed. Medians of %d runs "+
			"in turn, in brackets the least and the most. Every run is a process of its own, whose output is read. CPU is user and system time, memory the "+
			"most that was resident, the program's file included. The files are in the page cache.",
			h.commits, forge.NotesRef, doraRuns),
	}
	for k, command := range commands {
		t.rows = append(t.rows, doraLine(command, runs[k], runs[0], b))
	}
	return t, nil
}

// check says what is wrong with what a command printed.
func (h deployedHistory) check(command []string, printed []byte) error {
	what := "commits"
	found := bytes.Count(printed, []byte("\ncommit ")) + 1
	if slices.Contains(command, "dora") {
		what = "deployments"
		for line := range strings.Lines(string(printed)) {
			if fields := strings.Fields(line); strings.Contains(line, "deployment frequency") && len(fields) > 2 {
				found, _ = strconv.Atoi(fields[len(fields)-2]) // it differs if it is no number
				break
			}
		}
	}
	if found != h.commits {
		return fmt.Errorf("%s tells of %d %s, and there are %d", strings.Join(command, " "), found, what, h.commits)
	}
	return nil
}

// doraLine is the row of a command.
func doraLine(command []string, runs, git []execution, b *bench) []string {
	took, cpu, peak := func(r execution) float64 { return r.took }, func(r execution) float64 { return r.cpu }, func(r execution) float64 { return r.peak }
	all := func(runs []execution, of func(execution) float64) []float64 {
		values := make([]float64, len(runs))
		for i, r := range runs {
			values[i] = of(r)
		}
		return values
	}
	cell := func(of func(execution) float64, write func(float64) string) string {
		values := all(runs, of)
		return fmt.Sprintf("%s [%s – %s]", write(median(values)), write(slices.Min(values)), write(slices.Max(values)))
	}
	var beside []string
	for _, of := range []func(execution) float64{took, cpu, peak} {
		beside = append(beside, fmt.Sprintf("%.2f", median(all(runs, of))/median(all(git, of))))
	}
	name := strings.NewReplacer(b.keptn, "keptn", b.work+string(filepath.Separator), "").Replace(strings.Join(command, " "))
	return []string{"`" + name + "`", cell(took, ms), cell(cpu, ms), cell(peak, size), strings.Join(beside, " / ")}
}

// runCommand runs a command to its end.
func runCommand(ctx context.Context, command []string) (r execution, err error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = gitEnv()
	var printed, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &said
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return r, fmt.Errorf("run %s: %w", command[0], err)
	}
	ended, peak := make(chan struct{}), make(chan float64, 1)
	go func() { peak <- watchMemory(cmd.Process.Pid, ended) }()
	err = cmd.Wait()
	r.took = milliseconds(time.Since(began))
	close(ended)
	r.peak, r.printed = <-peak, printed.Bytes()
	if err != nil {
		return r, fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, said.Bytes())
	}
	r.cpu = milliseconds(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime())
	return r, nil
}

// watchMemory reads the most memory that a process had resident, until it has ended. What
// the kernel says once it has ended would be no less than what its parent had.
func watchMemory(pid int, ended <-chan struct{}) (peak float64) {
	proc, err := procfs.NewProc(pid)
	if err != nil {
		return 0
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if status, err := proc.NewStatus(); err == nil {
			peak = max(peak, float64(status.VmHWM))
		}
		select {
		case <-ended:
			return peak
		case <-tick.C:
		}
	}
}
