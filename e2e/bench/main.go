// Command bench measures Keptn from the outside: the real controller, as a process
// of its own, against a real API server, a real Gitea, a real Prometheus and a plain
// Git server, all in a testbed that it brings up for itself and takes down whatever
// happens. It also runs the Go benchmarks whose figures belong beside these.
//
// Progress goes to stderr. Stdout is Markdown: one table for each measurement, with
// the command, the machine and the load that it was taken under. The program judges
// no figure, and compares with none that it has not taken itself, but for those of
// peers, which it marks as quoted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A measurement is one part of the report.
type measurement struct {
	name string
	// parts of the testbed that it needs, with the controller's binary; none if it
	// needs neither.
	parts []string
	run   func(context.Context, *bench) ([]table, error)
}

// measurements are all there are, in the order of the report.
func measurements() []measurement {
	return []measurement{
		{"push", []string{"api", "gitea"}, pushToStatus},
		{"webhook", []string{"api", "gitea"}, hookToStatus},
		{"statuses", nil, statusesOut},
		{"poll", []string{"api", "git"}, idlePolls},
		{"repository", nil, bigRepository},
		{"leadtime", nil, leadTimes},
		{"dora", nil, doraMetrics},
		{"policy", nil, policyEvaluation},
		{"analyses", []string{"api", "prometheus"}, analyses},
		{"metrics", []string{"api", "prometheus"}, keepFresh(1_000)},
		{"metrics-10000", []string{"api", "prometheus"}, keepFresh(10_000)},
		{"apps", []string{"kwok", audited}, deliveries},
		{"telemetry", []string{"kwok", audited}, telemetryOverhead},
	}
}

// bench is what the measurements share.
type bench struct {
	// root is the checkout, work a folder for what is needed only while it runs.
	root, work string
	progress   *log.Logger
	// sizes are the numbers of apps that are delivered at once.
	sizes []int

	// keptn is the binary, once it is built.
	keptn string

	// What follows is there if a measurement needs the testbed.
	bed  testbed
	kube client.WithWatch
	// apiMetrics reads what the API server counts.
	apiMetrics func(context.Context) (families, error)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run takes the measurements of the given names, or all, and prints the report. What
// was measured before one failed is printed all the same.
func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	b := &bench{progress: log.New(progress, "bench: ", log.Ltime)}
	chosen, err := b.parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if b.root, err = checkout(ctx); err != nil {
		return err
	}
	if b.work, err = os.MkdirTemp("", "keptn-bench-"); err != nil {
		return fmt.Errorf("make a folder for temporary files: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()
	if parts := partsOf(chosen); len(parts) > 0 {
		defer func() { err = errors.Join(err, b.takeDown(ctx)) }()
		if err := b.bringUp(ctx, parts); err != nil {
			return err
		}
	}
	if err := b.printMachine(ctx, out); err != nil {
		return err
	}
	for _, m := range chosen {
		b.progress.Printf("%s: begins", m.name)
		began, load := time.Now(), loadAverage()
		tables, failed := m.run(ctx, b)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", m.name, failed))
		}
		for _, t := range tables {
			t.print(out)
			fmt.Fprintf(out, "\n`go run ./e2e/bench %s`, %s, load average %s before and %s after.\n",
				strings.TrimSpace(m.name+" "+t.flags), began.UTC().Format("2006-01-02 15:04 MST"), load, loadAverage())
		}
	}
	return err
}

// parse reads the command line: measurements by name, and the numbers of apps.
func (b *bench) parse(args []string) ([]measurement, error) {
	flags := pflag.NewFlagSet("bench [MEASUREMENT...]", pflag.ContinueOnError)
	flags.IntSliceVarP(&b.sizes, "apps", "n", []int{1, 100, 1_000}, "how many apps are delivered at once, each number after the other")
	if err := flags.Parse(args); err != nil {
		return nil, fmt.Errorf("read the command line: %w", err)
	}
	if len(b.sizes) == 0 || slices.Min(b.sizes) < 1 {
		return nil, fmt.Errorf("-n %v: at least one app has to be delivered", b.sizes)
	}
	return choose(flags.Args())
}

// choose finds measurements by name.
func choose(names []string) ([]measurement, error) {
	all := measurements()
	if len(names) == 0 {
		return all, nil
	}
	var chosen []measurement
	for _, name := range names {
		i := slices.IndexFunc(all, func(m measurement) bool { return m.name == name })
		if i < 0 {
			known := make([]string, len(all))
			for i, m := range all {
				known[i] = m.name
			}
			return nil, fmt.Errorf("there is no measurement %q: choose of %s", name, strings.Join(known, ", "))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// partsOf are the parts of the testbed that measurements need, each once.
func partsOf(all []measurement) []string {
	var parts []string
	for _, m := range all {
		parts = append(parts, m.parts...)
	}
	slices.Sort(parts)
	return slices.Compact(parts)
}

// checkout is the folder of the module that this program belongs to.
func checkout(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Root}}", "github.com/keptn/gitops/e2e/bench").Output()
	if err != nil {
		return "", fmt.Errorf("find the checkout (run this in it): %w", err)
	}
	return filepath.Clean(strings.TrimSpace(string(out))), nil
}
