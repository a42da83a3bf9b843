package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keptn/gitops/e2e/testbed/internal/binaries"
	"github.com/keptn/gitops/e2e/testbed/internal/rootfs"
)

// A taskRuntime is an image of one program, as that which Keptn runs the code of tasks
// in. None can be pulled, so it is made here, of the real program and the libraries that
// this needs.
type taskRuntime struct {
	name  string // of the program, which is what the image runs
	image string // its name in a pod's spec
	// takes says that arguments are the program's, else they are a command of their own.
	takes bool
	// debian are the packages that the image has, npm the pins of a program that no
	// package of Debian has, below the testbed's folder, and program its file, a
	// pattern below node_modules.
	debian       []string
	npm, program string
	prepare, try []string // run in the finished root: once as its owner, and as a user without rights
}

// taskRuntimes are all that Keptn itself runs, by the names that Keptn gives them by default.
func taskRuntimes() []taskRuntime {
	return []taskRuntime{
		{
			name: "deno", image: "docker.io/denoland/deno:alpine-2.9.6",
			debian: []string{"libc6", "libgcc-s1"},
			npm:    "images/deno", program: "@deno/*/deno",
			try: []string{"/usr/bin/deno", "--version"},
		},
		{
			name: "python", image: "docker.io/library/python:3.14-alpine",
			debian: []string{
				"libc6", "python3-minimal", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib",
				// What modules of the standard library need.
				"libbz2-1.0", "libcrypt1", "libdb5.3", "libexpat1", "libffi8", "liblzma5", "libncursesw6", "libreadline8",
				"libsqlite3-0", "libssl3", "libtinfo6", "libuuid1", "media-types", "tzdata", "zlib1g",
			},
			// The container's root is read-only, so what is not compiled now is compiled anew each time.
			prepare: []string{"/usr/bin/python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/usr/lib/python3.11"},
			try: []string{"/usr/bin/python", "-c", "import bz2, ctypes, curses, dbm.ndbm, lzma, readline, sqlite3, ssl, urllib.request, uuid, zoneinfo\n" +
				"assert ssl.create_default_context().get_ca_certs()"},
		},
	}
}

// allRuntimes are the task runtimes, and beside them what Jobs of the documentation ask
// Keptn with.
func allRuntimes() []taskRuntime {
	return append(taskRuntimes(), taskRuntime{
		name: "curl", image: "docker.io/curlimages/curl:8.16.0", takes: true,
		debian: []string{
			"libc6", "curl", "libcurl4",
			// What libcurl4 needs.
			"libbrotli1", "libcom-err2", "libffi8", "libgmp10", "libgnutls30", "libgssapi-krb5-2", "libhogweed6", "libidn2-0",
			"libk5crypto3", "libkeyutils1", "libkrb5-3", "libkrb5support0", "libldap-2.5-0", "libnettle8", "libnghttp2-14",
			"libp11-kit0", "libpsl5", "librtmp1", "libsasl2-2", "libssh2-1", "libssl3", "libtasn1-6", "libunistring2",
			"libzstd1", "zlib1g",
		},
		try: []string{"/usr/bin/curl", "--version"},
	})
}

// makeImages makes the images that are not in the cache yet and returns the archives
// of all. An archive is in the cache whole or not at all, however this ends.
func makeImages(ctx context.Context, source string, runtimes []taskRuntime, progress io.Writer) ([]string, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	cache = filepath.Join(cache, "images")
	unlock, err := lock(ctx, progress)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var archives []string
	for _, r := range runtimes {
		key, err := r.key(source)
		if err != nil {
			return nil, err
		}
		archive := filepath.Join(cache, r.name+"-"+key+".tar")
		_, err = os.Stat(archive)
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(progress, "testbed: making the image %s\n", r.image)
			err = r.build(ctx, source, archive, progress)
		}
		if err != nil {
			return nil, fmt.Errorf("make the image of %s: %w", r.name, err)
		}
		archives = append(archives, archive)
	}
	return archives, nil
}

// key changes with all that an image is made from, but for Debian's packages, which
// are as they were when it was made.
func (r taskRuntime) key(source string) (string, error) {
	files, err := filepath.Glob(filepath.Join(source, "internal/rootfs/*.go"))
	if err != nil {
		return "", fmt.Errorf("list the testbed's folder: %w", err)
	}
	files = append(files, filepath.Join(source, "images.go"), filepath.Join(source, "runtimes.go"))
	if r.npm != "" {
		files = append(files, filepath.Join(source, r.npm, "package-lock.json"))
	}
	sum := sha256.New()
	fmt.Fprintln(sum, r.image)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("read what %s is made from (run the testbed from e2e/testbed): %w", r.image, err)
		}
		fmt.Fprintf(sum, "%s %d\n%s", filepath.Base(file), len(text), text)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

// build makes the image's archive.
func (r taskRuntime) build(ctx context.Context, source, archive string, progress io.Writer) error {
	work := filepath.Join(filepath.Dir(archive), ".work")
	if err := os.RemoveAll(work); err != nil { // what a crash has left
		return fmt.Errorf("remove an unfinished image: %w", err)
	}
	defer os.RemoveAll(work)
	root := filepath.Join(work, "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	img := image{names: []string{r.image}, root: root, command: []string{r.name}}
	if r.takes {
		img.entrypoint, img.command = img.command, nil
	}
	finished := filepath.Join(work, "finished.tar")
	for _, step := range []func() error{
		func() error { return rootfs.Update(ctx) },
		func() error {
			return rootfs.Debian(ctx, root, work, append(slices.Clone(r.debian), "ca-certificates")...)
		},
		func() error { return r.addProgram(ctx, source, work, root, progress) },
		func() error { return furnishRoot(root) },
		func() error { return r.run(ctx, root) },
		func() error { return img.write(finished) },
		func() error { return os.Rename(finished, archive) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// addProgram adds the program that no package of Debian has, or the name under which
// people run the one that has.
func (r taskRuntime) addProgram(ctx context.Context, source, work, root string, progress io.Writer) error {
	name := filepath.Join("usr/bin", r.name)
	if r.npm == "" {
		if _, err := os.Lstat(filepath.Join(root, name)); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return rootfs.Link(root, name, r.name+"3")
	}
	if err := binaries.Install(ctx, progress, binaries.NPM); err != nil {
		return err
	}
	if err := rootfs.NPM(ctx, filepath.Join(source, r.npm), work); err != nil {
		return err
	}
	found, err := filepath.Glob(filepath.Join(work, "node_modules", r.program))
	if err != nil || len(found) != 1 {
		return errors.Join(fmt.Errorf("%s pins %d files %s, not one", r.npm, len(found), r.program), err)
	}
	if err := os.MkdirAll(filepath.Join(root, "usr/bin"), 0o755); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	return os.Rename(found[0], filepath.Join(root, name))
}

// furnishRoot adds what every program expects to find.
func furnishRoot(root string) error {
	users := strings.Join([]string{"root:x:0:0:root:/root:/sbin/nologin", "nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin", ""}, "\n")
	if err := errors.Join(
		rootfs.Write(root, "etc/passwd", []byte(users), 0o644),
		rootfs.Write(root, "etc/group", []byte("root:x:0:\nnogroup:x:65534:\n"), 0o644),
		os.Mkdir(filepath.Join(root, "tmp"), 0o755),
		os.Chmod(filepath.Join(root, "tmp"), fs.ModeSticky|0o777),
	); err != nil {
		return err
	}
	return rootfs.Trust(root)
}

// run does what has to be done once, and tries the program.
func (r taskRuntime) run(ctx context.Context, root string) error {
	if len(r.prepare) > 0 {
		if err := rootfs.Run(ctx, root, rootfs.Owner, r.prepare...); err != nil {
			return err
		}
	}
	return rootfs.Run(ctx, root, rootfs.Nonroot, r.try...)
}
