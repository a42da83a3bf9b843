package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// repetitions is how often every Go benchmark runs.
const repetitions = "3"

// bigRepository runs the benchmarks of package gitsource.
func bigRepository(ctx context.Context, b *bench) ([]table, error) {
	return b.goBenchmarks(ctx, "./gitsource", "One small commit in a repository of 20,000 files, 300 MB and 5,000 commits",
		" What is allocated is the Go process's; the processes of git are not counted.")
}

// policyEvaluation runs the benchmarks of package policy, on one core.
func policyEvaluation(ctx context.Context, b *bench) ([]table, error) {
	return b.goBenchmarks(ctx, "./policy", "One evaluation of a policy",
		" One core does all, the garbage collector's work included.", "-cpu", "1")
}

// goBenchmarks runs the benchmarks of a package with these arguments as well, and
// makes a table of them, with a note of its own.
func (b *bench) goBenchmarks(ctx context.Context, pkg, title, note string, more ...string) ([]table, error) {
	args := append([]string{"test", "-run", "^$", "-bench", ".", "-benchmem", "-count", repetitions, "-timeout", "60m"}, more...)
	args = append(args, pkg)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stderr = b.root, b.progress.Writer()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	printed, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("go test: %w", err)
	}
	results, err := parseBenchmarks(io.TeeReader(printed, b.progress.Writer()))
	if err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	t := benchmarkTable(results)
	t.title = title
	t.note = fmt.Sprintf("`go %s`; medians of %s runs, in brackets the least and the most where they differ.%s", strings.Join(args, " "), repetitions, note)
	return []table{t}, nil
}

// A result is what a Go benchmark measured, one value for each run, by unit.
type result struct {
	name   string
	values map[string][]float64
}

// parseBenchmarks reads the lines of benchmarks,
// https://go.dev/design/14313-benchmark-format, and skips others. Results are in the
// order of their first line.
func parseBenchmarks(r io.Reader) ([]result, error) {
	var results []result
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || len(fields)%2 != 0 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		if _, err := strconv.Atoi(fields[1]); err != nil {
			continue
		}
		name := benchmarkName(fields[0])
		i := slices.IndexFunc(results, func(r result) bool { return r.name == name })
		if i < 0 {
			i = len(results)
			results = append(results, result{name: name, values: map[string][]float64{}})
		}
		for at := 2; at < len(fields); at += 2 {
			value, err := strconv.ParseFloat(fields[at], 64)
			if err != nil {
				return nil, fmt.Errorf("read the benchmark %s: %w", name, err)
			}
			unit := fields[at+1]
			results[i].values[unit] = append(results[i].values[unit], value)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read benchmarks: %w", err)
	}
	return results, nil
}

// benchmarkName is a benchmark's name for people: without what is the same for all,
// and without the number of processors at the end.
func benchmarkName(field string) string {
	name := strings.TrimPrefix(field, "Benchmark")
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			name = name[:i]
		}
	}
	return strings.ReplaceAll(name, "_", " ")
}

// benchmarkTable has a row for each benchmark and a column for each unit.
func benchmarkTable(results []result) table {
	units := map[string]bool{}
	for _, r := range results {
		for unit := range r.values {
			units[unit] = true
		}
	}
	delete(units, "ns/op")
	sorted := append([]string{"ns/op"}, slices.Sorted(maps.Keys(units))...)
	t := table{columns: append([]string{"benchmark"}, headings(sorted)...)}
	for _, r := range results {
		row := []string{r.name}
		for _, unit := range sorted {
			row = append(row, spread(unit, r.values[unit]))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// headings names units for people.
func headings(units []string) []string {
	known := map[string]string{
		"ns/op": "time", "B/op": "allocated", "allocs/op": "allocations",
		"B-received/op": "received", "requests/op": "requests", "B-heap-peak": "heap, at most", "evaluations/s": "per second and core",
	}
	named := make([]string, len(units))
	for i, unit := range units {
		if named[i] = known[unit]; named[i] == "" {
			named[i] = unit
		}
	}
	return named
}

// spread writes the median of values, and their bounds if they are told apart.
func spread(unit string, values []float64) string {
	if len(values) == 0 {
		return ""
	}
	write := func(v float64) string {
		switch {
		case strings.HasPrefix(unit, "ns"):
			return duration(v)
		case strings.HasPrefix(unit, "B"):
			return size(v)
		default:
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
	}
	text, least, most := write(median(values)), write(slices.Min(values)), write(slices.Max(values))
	if least == most {
		return text
	}
	return fmt.Sprintf("%s [%s – %s]", text, least, most)
}
