// Command testbed runs a real Kubernetes on one machine, with a node that runs real
// containers, and beside it Gitea, Prometheus and a plain Git server, for end-to-end
// tests, demos and benchmarks.
//
// All of it lives in one sandbox of namespaces, which the kernel takes back whole when
// its supervisor dies. The machine reaches it, and it the machine, by one pair of
// virtual interfaces; nothing of it reaches any further.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// What the testbed's commands exit with, beside 0 and 1.
const (
	exitUnsupported = 2
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := command().ExecuteContext(ctx)
	if err == nil {
		return
	}
	if !errors.Is(err, errUnhealthy) {
		fmt.Fprintln(os.Stderr, "testbed:", err)
	}
	os.Exit(exitCode(err))
}

func exitCode(err error) int {
	var cannot unsupported
	switch {
	case errors.As(err, &cannot):
		return exitUnsupported
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	default:
		return 1
	}
}
