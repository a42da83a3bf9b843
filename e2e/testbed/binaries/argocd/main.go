// Command argocd is Argo CD without its API server, web page and command line: what
// `argocd-application-controller` and `argocd-repo-server` are of the same binary in
// Argo CD's image, which takes a fraction of the time to build.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	appcontroller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	gitaskpass "github.com/argoproj/argo-cd/v3/cmd/argocd-git-ask-pass/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
)

func main() {
	commands := map[string]func() *cobra.Command{
		"argocd-application-controller": appcontroller.NewCommand,
		"argocd-repo-server":            reposerver.NewCommand,
		"argocd-git-ask-pass":           gitaskpass.NewCommand,
	}
	name := filepath.Base(os.Args[0])
	if called := os.Getenv("ARGOCD_BINARY_NAME"); called != "" {
		name = called
	}
	command, ok := commands[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "argocd: %q is none of its commands\n", name)
		os.Exit(2)
	}
	if err := command().Execute(); err != nil {
		os.Exit(1)
	}
}
