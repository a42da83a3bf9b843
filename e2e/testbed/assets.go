package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// assets makes a folder with the binaries that controller-runtime's envtest runs.
func assets(ctx context.Context, source string, progress io.Writer) (string, error) {
	builder, err := newBuilder(source, progress)
	if err != nil {
		return "", err
	}
	names := []string{"etcd", "kube-apiserver"}
	kubectl, notFound := exec.LookPath("kubectl")
	if notFound != nil {
		names = append(names, "kubectl")
	}
	built, err := builder.Build(ctx, names...)
	if err != nil {
		return "", err
	}
	if notFound == nil {
		built["kubectl"] = kubectl
	}
	dir := filepath.Join(builder.Cache, "assets-"+strings.TrimPrefix(filepath.Base(built["kube-apiserver"]), "kube-apiserver-"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the assets folder: %w", err)
	}
	for name, path := range built {
		if err := link(path, filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// link makes name lead to path, also while others read it.
func link(path, name string) error {
	tmp := fmt.Sprintf("%s.%d", name, os.Getpid())
	if err := os.Symlink(path, tmp); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	if err := os.Rename(tmp, name); err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	return nil
}

// everyBinary is what `build` makes when it is told nothing more: all that a testbed
// runs by default.
func everyBinary() []string {
	var names []string
	for _, part := range defaultParts {
		for _, c := range components() {
			if slices.Contains(parts[part], c.name) {
				names = append(names, c.binaries...)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
