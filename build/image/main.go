// Command image builds the container image of a Go program without a container
// engine: it cross-compiles the program, lays it out as a distroless image does,
// and writes an archive. The same commit yields the same digest.
//
// For one platform it writes an archive in the form of docker save, which
// docker load and ctr images import read; for several, an archive of an OCI
// image layout with an index. It never pushes, and pulls no base image.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"runtime"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// An order says which program becomes which image.
type order struct {
	dir       string        // of the module the package is part of
	pkg       string        // the main package, as go build takes it
	binary    string        // its name in the image, and the entrypoint
	tag       name.Tag      // the image's name
	platforms []v1.Platform // one image each
	out       string        // the archive to write
}

// run carries out one order and prints the digest of what it wrote.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	origin, err := describe(ctx, o.dir)
	if err != nil {
		return err
	}
	images := make([]v1.Image, len(o.platforms))
	for i, p := range o.platforms {
		program, err := compile(ctx, o, origin, p)
		if err != nil {
			return err
		}
		if images[i], err = assemble(o.binary, program, origin, p); err != nil {
			return fmt.Errorf("assemble the image for %s: %w", p, err)
		}
	}
	digest, err := archive(o, images)
	if err != nil {
		return fmt.Errorf("write %s: %w", o.out, err)
	}
	_, err = fmt.Fprintf(stdout, "%s@%s %s\n", o.tag, digest, o.out)
	return err
}

// parse reads the flags.
func parse(args []string) (order, error) {
	var o order
	var tag, platforms string
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.StringVar(&o.dir, "dir", ".", "folder of the module that is built")
	flags.StringVar(&o.pkg, "package", "./cmd/keptn", "main package, as go build takes it")
	flags.StringVar(&o.binary, "binary", "", "name of the program in the image (default: the package's last element)")
	flags.StringVar(&tag, "tag", "", "name of the image, as docker.io/keptn/gitops:dev (required)")
	flags.StringVar(&platforms, "platforms", "linux/"+runtime.GOARCH, "platforms, separated by commas; more than one gives an OCI layout")
	flags.StringVar(&o.out, "o", "", "archive to write (required)")
	if err := flags.Parse(args); err != nil {
		return order{}, err
	}
	if flags.NArg() > 0 {
		return order{}, fmt.Errorf("unexpected argument %q: everything is a flag, see -help", flags.Arg(0))
	}
	if o.out == "" {
		return order{}, errors.New("no archive to write: name it with -o")
	}
	if o.binary == "" {
		o.binary = path.Base(o.pkg)
	}
	if o.binary == "." || strings.Contains(o.binary, "/") {
		return order{}, fmt.Errorf("%q is no name for a program: give one with -binary", o.binary)
	}
	var err error
	if o.tag, err = name.NewTag(tag, name.StrictValidation); err != nil {
		return order{}, fmt.Errorf("-tag %q: %w", tag, err)
	}
	o.platforms, err = parsePlatforms(platforms)
	return o, err
}

// parsePlatforms reads linux/amd64,linux/arm64.
func parsePlatforms(list string) ([]v1.Platform, error) {
	var platforms []v1.Platform
	for entry := range strings.SplitSeq(list, ",") {
		p, err := v1.ParsePlatform(strings.TrimSpace(entry))
		if err != nil {
			return nil, fmt.Errorf("-platforms: %w", err)
		}
		if p.OS == "" || p.Architecture == "" {
			return nil, fmt.Errorf("-platforms: %q is not of the form linux/amd64", entry)
		}
		platforms = append(platforms, *p)
	}
	return platforms, nil
}
