package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/gitname"
)

// gateCodes are the exit codes of the verdicts that do not let pass.
var gateCodes = map[lifecyclev1.Verdict]int{lifecyclev1.VerdictFail: exitBad, lifecyclev1.VerdictInconclusive: exitInconclusive}

func newGate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gate",
		Short: "Wait for what a commit has checked",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newGateWait())
	return cmd
}

// gateFlags say what is waited for.
type gateFlags struct {
	app, environment, commit, namespace, until, format string
	timeout                                            time.Duration
}

func newGateWait() *cobra.Command {
	var flags gateFlags
	cmd := &cobra.Command{
		Use:   "wait --app APP --commit SHA",
		Short: "Wait until the checks of a commit have passed or failed",
		Long: `wait waits until a delivery of a commit has come as far as --until says, and
tells of each phase on the way.

Where the commit has no delivery yet, wait asks for one with --until pre-deployment:
its pre-deployment tasks and policies then run before anything is rolled out, and the
rollout that follows belongs to the same delivery. So a deployer can be held until a
commit may be deployed, also where no pods are gated. A commit that does not change the
app stands for the newest one before it that does.

It needs the ClusterRole keptn-gate-waiter, where the Lifecycle and its workloads are.

Exit code: 0 all passed (warnings included), 1 something failed, 2 could not look,
3 inconclusive, superseded, or not decided in time.`,
		Example: `  keptn gate wait --app checkout --commit 3f1c2ab
  keptn gate wait --app checkout --environment production --commit "$SHA" --until post-deployment --timeout 1h

  # In a hook of Argo CD: nothing is synced before the checks have passed. docs/cli.md
  # has the Job, and the rights that it needs.
  keptn gate wait --app checkout --namespace shop --commit "$ARGOCD_APP_REVISION"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := flags.check(); err != nil {
				return err
			}
			c, err := watcher()
			if err != nil {
				return err
			}
			return flags.run(cmd.Context(), c, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags.add(cmd)
	return cmd
}

// watcher reaches the cluster of the kubeconfig, or the one that the program runs in.
func watcher() (client.WithWatch, error) {
	cluster, err := config.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	scheme, err := controllers.NewScheme()
	if err != nil {
		return nil, err
	}
	c, err := client.NewWithWatch(cluster, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	return c, nil
}

// add adds the flags to the command.
func (f *gateFlags) add(cmd *cobra.Command) {
	set := cmd.Flags()
	set.StringVar(&f.app, "app", "", "name of the app (required)")
	set.StringVar(&f.commit, "commit", "", "the commit, by its SHA, of which seven digits will do (required)")
	set.StringVar(&f.environment, "environment", "", "environment of the GitSource, where the app is in several")
	set.StringVar(&f.namespace, "namespace", "", "namespace of the Lifecycle (default: all)")
	set.StringVar(&f.until, "until", "pre-deployment", "pre-deployment, deployment, post-deployment or promotion")
	set.DurationVar(&f.timeout, "timeout", 30*time.Minute, "how long to wait at most")
	addOutput(cmd, &f.format)
	var stages []string
	for _, s := range lifecyclev1.Stages() {
		stages = append(stages, string(s))
	}
	slices.Sort(stages)
	_ = cmd.RegisterFlagCompletionFunc("until", cobra.FixedCompletions(stages, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that does not exist
	for _, name := range []string{"app", "commit"} {
		_ = cmd.MarkFlagRequired(name) // fails only for a flag that does not exist
	}
}

// check refuses what cannot be waited for.
func (f *gateFlags) check() error {
	f.commit = strings.ToLower(strings.TrimSpace(f.commit))
	if !gitname.IsCommitish(f.commit) {
		return fmt.Errorf("--commit %q: has to be a SHA, with seven digits at least", f.commit)
	}
	if !slices.Contains(lifecyclev1.Stages(), lifecyclev1.Stage(f.until)) {
		return fmt.Errorf("--until %q: has to be pre-deployment, deployment, post-deployment or promotion", f.until)
	}
	if f.timeout <= 0 {
		return fmt.Errorf("--timeout %s: has to be more than nothing", f.timeout)
	}
	return checkOutput(f.format)
}

// run waits, and returns what the program is to end with.
func (f *gateFlags) run(ctx context.Context, c client.WithWatch, stdout, stderr io.Writer) error {
	limited, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	progress := stdout
	if f.format == formatJSON {
		progress = stderr
	}
	w := &gateWait{client: c, flags: *f, progress: progress, told: map[string]string{}}
	result, err := w.wait(limited)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		result, err = w.result(lifecyclev1.VerdictInconclusive, fmt.Sprintf("not decided after %s: %s", f.timeout, w.last())), nil
	}
	if err != nil {
		return err
	}
	if err := f.print(stdout, result); err != nil {
		return err
	}
	if code := gateCodes[result.Verdict]; code != 0 {
		return exitCode(code)
	}
	return nil
}

// print prints how the wait ended.
func (f *gateFlags) print(stdout io.Writer, result phase.Answer) error {
	if f.format == formatJSON {
		return printJSON(stdout, result)
	}
	line := fmt.Sprintf("%s: %s", painted(stdout, string(result.Verdict), string(result.Verdict)), result.Message)
	_, err := fmt.Fprintln(stdout, line)
	return err
}
