// Command keptn follows commits into Kubernetes and says on each of them whether
// it is good in production. One binary is the controller and the tool that
// authors of lifecycle.yaml use.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	_ "time/tzdata" // the container image has no time zones of its own

	_ "golang.org/x/crypto/x509roots/fallback" // nor certificates

	"github.com/spf13/cobra"
)

// version is set when the program is built.
var version = "dev"

// Exit codes beside 0; what they mean beyond this is each command's to say.
const (
	exitBad          = 1
	exitError        = 2
	exitInconclusive = 3
)

// exitCode ends the program with a code, when all there is to say was said.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Stdout, os.Stderr, os.Args[1:]...))
}

// run runs one command line and returns its exit code.
func run(ctx context.Context, stdout, stderr io.Writer, args ...string) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	default:
		fmt.Fprintln(stderr, "keptn:", err)
		return exitError
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "keptn",
		Short: "Is this commit good in production, and how well do we deliver?",
		Long: `keptn reads lifecycle.yaml from Git, follows each commit into the cluster, judges
it by its SLO policies, and says so on the commit.

The same binary is the controller that runs in the cluster and the tool for
authors of lifecycle.yaml.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newController(), newCheck(), newGate(), newPolicy(), newDora(), newConvert(), newUninstall())
	return root
}
