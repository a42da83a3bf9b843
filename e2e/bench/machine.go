package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"

	"github.com/prometheus/procfs"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// askVersions asks the testbed's servers what they are.
func (b *bench) askVersions(ctx context.Context, config *rest.Config) error {
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	kubernetes, err := disco.ServerVersion()
	if err != nil {
		return fmt.Errorf("ask for the cluster's version: %w", err)
	}
	b.bed.versions = []string{"Kubernetes " + strings.TrimPrefix(kubernetes.GitVersion, "v")}
	if b.bed.giteaURL != "" {
		gitea, err := b.gitea().version(ctx)
		if err != nil {
			return err
		}
		b.bed.versions = append(b.bed.versions, "Gitea "+gitea)
	}
	if b.bed.prometheusURL != "" {
		counted, err := b.prometheus(ctx)
		if err != nil {
			return err
		}
		for version := range counted.by("prometheus_build_info", "version") {
			b.bed.versions = append(b.bed.versions, "Prometheus "+version)
		}
	}
	return nil
}

// printMachine writes what the figures were taken with.
func (b *bench) printMachine(ctx context.Context, out io.Writer) error {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return fmt.Errorf("look at the machine: %w", err)
	}
	cpus, err := proc.CPUInfo()
	if err != nil {
		return fmt.Errorf("look at the processors: %w", err)
	}
	memory, err := proc.Meminfo()
	if err != nil || memory.MemTotal == nil {
		return fmt.Errorf("look at the memory: %w", err)
	}
	model := "of unknown model"
	if len(cpus) > 0 {
		model = cpus[0].ModelName
	}
	fmt.Fprintf(out, "Machine: %d cores %s, %.0f GB memory, Linux %s.\n", runtime.NumCPU(), model,
		float64(*memory.MemTotal)/1e6, said(ctx, "", "uname", "-r"))
	versions := []string{
		"Keptn " + said(ctx, b.root, "git", "describe", "--tags", "--always", "--dirty"),
		"Go " + strings.TrimPrefix(runtime.Version(), "go"),
		"Git " + strings.TrimPrefix(said(ctx, "", "git", "--version"), "git version "),
	}
	versions = append(versions, b.bed.versions...)
	fmt.Fprintf(out, "Versions: %s.\n", strings.Join(versions, ", "))
	return nil
}

// said is the one line that a command prints, or "unknown".
func said(ctx context.Context, dir, name string, args ...string) string {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// loadAverage is how many processes wanted to run during the last minute, or
// "unknown": more than there are cores means that figures were taken under load.
func loadAverage() string {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return "unknown"
	}
	load, err := proc.LoadAvg()
	if err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f", load.Load1)
}
