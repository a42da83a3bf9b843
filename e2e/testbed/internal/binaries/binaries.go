// Package binaries provides the programs that the testbed runs: built from the
// modules that the checkout pins, once, into a cache outside of it, or installed
// from Debian's packages. It runs none of them.
package binaries

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A Builder builds pinned commands into a cache that outlives checkouts.
type Builder struct {
	Source   string    // the testbed's folder in the checkout
	Cache    string    // where the built binaries are kept
	Progress io.Writer // told what is being built, and for how long
}

// Build returns the path of each named binary, after building the missing ones.
//
// A binary is in the cache whole or not at all, however a build ends.
func (b Builder) Build(ctx context.Context, names ...string) (map[string]string, error) {
	paths := map[string]string{}
	var missing []job
	for _, g := range groups {
		wanted := slices.DeleteFunc(slices.Clone(g.commands), func(c command) bool {
			return !slices.Contains(names, c.name)
		})
		if len(wanted) == 0 {
			continue
		}
		p, err := pin(b.Source, g)
		if err != nil {
			return nil, err
		}
		j := job{pinned: p}
		for _, c := range wanted {
			paths[c.name] = filepath.Join(b.Cache, p.file(c.name))
			if !exists(paths[c.name]) {
				j.missing = append(j.missing, c)
			}
		}
		if len(j.missing) > 0 {
			missing = append(missing, j)
		}
	}
	for _, name := range names {
		if paths[name] == "" {
			return nil, fmt.Errorf("no binary is called %q: there are %s", name, strings.Join(Names(), ", "))
		}
	}
	if len(missing) == 0 {
		return paths, nil
	}
	return paths, b.buildAll(ctx, missing)
}

// A job is what is missing of one group.
type job struct {
	pinned
	missing []command
}

// buildAll runs the jobs one after the other; only one process at a time builds.
func (b Builder) buildAll(ctx context.Context, jobs []job) error {
	unlock, err := b.lock()
	if err != nil {
		return err
	}
	defer unlock()
	leftovers, err := filepath.Glob(filepath.Join(b.Cache, ".build-*"))
	if err != nil {
		return fmt.Errorf("list unfinished builds: %w", err)
	}
	for _, dir := range leftovers {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove unfinished build: %w", err)
		}
	}
	for _, j := range jobs {
		if err := b.build(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

func (b Builder) lock() (func(), error) {
	if err := os.MkdirAll(b.Cache, 0o755); err != nil {
		return nil, fmt.Errorf("make the binary cache: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(b.Cache, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the binary cache: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		fmt.Fprintln(b.Progress, "testbed: waiting for another build to finish")
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			f.Close()
			return nil, fmt.Errorf("lock the binary cache: %w", err)
		}
	}
	return func() { f.Close() }, nil
}

// build makes the missing commands of one group and moves them into the cache.
func (b Builder) build(ctx context.Context, j job) error {
	j.missing = slices.DeleteFunc(j.missing, func(c command) bool {
		return exists(filepath.Join(b.Cache, j.file(c.name)))
	})
	if len(j.missing) == 0 {
		return nil
	}
	tmp, err := os.MkdirTemp(b.Cache, ".build-")
	if err != nil {
		return fmt.Errorf("make a build folder: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := b.goBuild(ctx, j, tmp); err != nil {
		return err
	}
	if err := b.keepData(ctx, j, tmp); err != nil {
		return err
	}
	for _, c := range j.missing {
		if err := os.Rename(filepath.Join(tmp, c.output), filepath.Join(b.Cache, j.file(c.name))); err != nil {
			return fmt.Errorf("keep %s: %w", c.name, err)
		}
	}
	return nil
}

// keepData copies the folders that a command reads when it runs to "<binary>.data".
func (b Builder) keepData(ctx context.Context, j job, tmp string) error {
	if len(j.data) == 0 {
		return nil
	}
	module, err := b.goList(ctx, j)
	if err != nil {
		return err
	}
	data := filepath.Join(tmp, "data")
	for _, folder := range j.data {
		if err := os.CopyFS(filepath.Join(data, folder), os.DirFS(filepath.Join(module, folder))); err != nil {
			return fmt.Errorf("copy %s of %s: %w", folder, j.module, err)
		}
	}
	for _, c := range j.missing {
		kept := filepath.Join(b.Cache, DataDir(j.file(c.name)))
		if err := os.RemoveAll(kept); err != nil {
			return fmt.Errorf("replace data of %s: %w", c.name, err)
		}
		if err := os.Rename(data, kept); err != nil {
			return fmt.Errorf("keep data of %s: %w", c.name, err)
		}
	}
	return nil
}

// DataDir is where the folders are kept that the given binary reads when it runs.
func DataDir(binary string) string { return binary + ".data" }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
