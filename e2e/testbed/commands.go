package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keptn/gitops/e2e/testbed/internal/binaries"
	"github.com/keptn/gitops/e2e/testbed/internal/sandbox"
)

// errUnhealthy is a status that has been printed and is not good.
var errUnhealthy = errors.New("the testbed is not healthy")

// command is the testbed's command line.
func command() *cobra.Command {
	name, source := "default", "."
	root := &cobra.Command{
		Use:           "testbed",
		Short:         "Run a real Kubernetes, Gitea, Prometheus and Git server on this machine",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&name, "name", name, "which testbed, where several run beside each other")
	root.PersistentFlags().StringVar(&source, "source", source, "the folder e2e/testbed of the checkout")
	named := func(run func(*cobra.Command, *bed, []string) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			b, err := newBed(name)
			if err != nil {
				return err
			}
			return run(cmd, b, args)
		}
	}
	root.AddCommand(
		upCommand(named, &source), downCommand(named), statusCommand(named), envCommand(named),
		buildCommand(&source), assetsCommand(&source), imagesCommand(&source), loadCommand(named),
		switchCommand("stop", "Stop one component, as an outage", named),
		switchCommand("start", "Start a component that was stopped", named),
	)
	root.AddCommand(insideCommands()...)
	return root
}

// A binder makes a command's run function from one that is given its testbed.
type binder func(func(*cobra.Command, *bed, []string) error) func(*cobra.Command, []string) error

func upCommand(named binder, source *string) *cobra.Command {
	var only, with []string
	nodes, policy := 10, ""
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring the testbed up and print how to reach it",
		Example: `  eval "$(go run . up)"
  go run . up --only control-plane --with kwok --kwok-nodes 20`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringSliceVar(&only, "only", nil, "run only these parts, of "+strings.Join(partNames(), ", ")+" (default "+strings.Join(defaultParts, ",")+")")
	cmd.Flags().StringSliceVar(&with, "with", nil, "run these parts too")
	cmd.Flags().IntVar(&nodes, "kwok-nodes", nodes, "how many nodes kwok simulates")
	cmd.Flags().StringVar(&policy, "audit-policy", "", "have the API server keep an audit log, as the policy in this file says")
	cmd.RunE = named(func(cmd *cobra.Command, b *bed, _ []string) error {
		var err error
		if b.Components, err = choose(only, with); err != nil {
			return err
		}
		b.KwokNodes = nodes
		if b.AuditPolicy, err = readPolicy(policy); err != nil {
			return err
		}
		if err := b.up(cmd.Context(), *source, cmd.ErrOrStderr()); err != nil {
			return err
		}
		return b.printEnv(cmd.OutOrStdout())
	})
	return cmd
}

// readPolicy reads an audit policy's file, if there is one.
func readPolicy(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the audit policy: %w", err)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return "", fmt.Errorf("the audit policy %s is empty", file)
	}
	return string(text), nil
}

func downCommand(named binder) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Take the testbed down, or clean up after one that crashed",
		Args:  cobra.NoArgs,
		RunE: named(func(cmd *cobra.Command, b *bed, _ []string) error {
			return b.down(cmd.Context(), cmd.ErrOrStderr())
		}),
	}
}

func statusCommand(named binder) *cobra.Command {
	output := "text"
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the testbed's components are; exits 0 if all are healthy",
		Args:  cobra.NoArgs,
	}
	cmd.Flags().StringVarP(&output, "output", "o", output, "text or json")
	cmd.RunE = named(func(cmd *cobra.Command, b *bed, _ []string) error {
		reports, err := b.reports(cmd.Context(), true)
		if err != nil {
			return err
		}
		if err := printReports(cmd.OutOrStdout(), output, reports); err != nil {
			return err
		}
		for _, r := range reports {
			if !r.Healthy {
				return errUnhealthy
			}
		}
		return nil
	})
	return cmd
}

func printReports(w io.Writer, output string, reports []report) error {
	switch output {
	case "text":
		return printStatus(w, reports)
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		if err := e.Encode(reports); err != nil {
			return fmt.Errorf("print status: %w", err)
		}
		return nil
	default:
		return fmt.Errorf("no output %q: choose text or json", output)
	}
}

func envCommand(named binder) *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Print how to reach the running testbed, as `up` does",
		Args:  cobra.NoArgs,
		RunE: named(func(cmd *cobra.Command, b *bed, _ []string) error {
			if _, err := b.reports(cmd.Context(), false); err != nil {
				return err
			}
			running, err := loadBed(b.State)
			if err != nil {
				return err
			}
			return running.printEnv(cmd.OutOrStdout())
		}),
	}
}

func buildCommand(source *string) *cobra.Command {
	return &cobra.Command{
		Use:       "build [BINARY...]",
		Short:     "Build binaries into the cache: all that a testbed runs, or those named",
		ValidArgs: binaries.Names(),
		RunE: func(cmd *cobra.Command, names []string) error {
			builder, err := newBuilder(*source, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if len(names) == 0 {
				names = everyBinary()
			}
			paths, err := builder.Build(cmd.Context(), names...)
			if err != nil {
				return err
			}
			for _, name := range names {
				fmt.Fprintln(cmd.OutOrStdout(), paths[name])
			}
			return nil
		},
	}
}

func assetsCommand(source *string) *cobra.Command {
	return &cobra.Command{
		Use:     "assets",
		Short:   "Print a folder with etcd, kube-apiserver and kubectl, for envtest",
		Example: `  export KUBEBUILDER_ASSETS="$(go run . assets)"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := assets(cmd.Context(), *source, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), dir)
			return nil
		},
	}
}

func imagesCommand(source *string) *cobra.Command {
	runtimes := allRuntimes()
	cmd := &cobra.Command{
		Use:     "images",
		Short:   "Print archives of the images that run the code of tasks, and of curl, after making the missing ones",
		Example: `  go run . load $(go run . images)`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			archives, err := makeImages(cmd.Context(), *source, runtimes, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			for _, archive := range archives {
				fmt.Fprintln(cmd.OutOrStdout(), archive)
			}
			return nil
		},
	}
	for i := range runtimes {
		r := &runtimes[i]
		cmd.Flags().StringVar(&r.image, r.name, r.image, "the name of "+r.name+"'s image")
	}
	return cmd
}

func loadCommand(named binder) *cobra.Command {
	return &cobra.Command{
		Use:   "load FILE.tar...",
		Short: "Give the node images, from docker-save or OCI archives",
		Args:  cobra.MinimumNArgs(1),
		RunE: named(func(cmd *cobra.Command, b *bed, archives []string) error {
			for _, archive := range archives {
				if err := b.load(cmd.Context(), archive); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

func switchCommand(verb, short string, named binder) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " NAME",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: named(func(cmd *cobra.Command, b *bed, args []string) error {
			return b.switchTo(cmd.Context(), verb, args[0])
		}),
	}
}

// insideCommands are the lives of the sandbox's own processes.
func insideCommands() []*cobra.Command {
	return []*cobra.Command{
		{
			Use: "init STATE", Hidden: true, Args: cobra.ExactArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				b, err := loadBed(args[0])
				if err != nil {
					return err
				}
				cgroups, err := b.cgroups()
				if err != nil {
					return err
				}
				return sandbox.Init([]string{"supervise", b.State}, cgroups)
			},
		},
		{
			Use: "supervise STATE", Hidden: true, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error { return supervise(cmd.Context(), args[0]) },
		},
		{
			Use: "git-server ROOT ADDRESS", Hidden: true, Args: cobra.ExactArgs(2),
			RunE: func(_ *cobra.Command, args []string) error { return serveGit(args[0], args[1]) },
		},
	}
}
