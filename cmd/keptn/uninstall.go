package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/keptn/gitops/controllers"
)

// settle is how long API servers are given to take in what was deleted: each looks at
// admission policies once a second
// (https://github.com/kubernetes/apiserver/blob/v0.37.2/pkg/admission/plugin/policy/generic/policy_source.go#L47).
const settle = 2 * time.Second

// uninstallFlags are the flags of uninstall.
type uninstallFlags struct {
	context, namespace, format string
	yes, crds                  bool
}

func newUninstall() *cobra.Command {
	var flags uninstallFlags
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Take Keptn out of the cluster, and let every pod go that it holds back",
		Long: `uninstall takes out what config/default installed, in an order that leaves no pod
behind that waits for checks which nobody runs any more: first the admission
policy, then the gates of pods, then the rest.

Custom resources, and what they record, stay; --crds deletes them all. What is
gone already is no error, so that it can be run again. Where pods cannot be let go,
it ends there, and the controller stays.

The cluster is that of KUBECONFIG, or of ~/.kube/config. It takes the rights of a
cluster administrator.

Exit code 0: all of it is gone; 2: some of it is not, and it says why.`,
		Example: `  keptn uninstall
  keptn uninstall --yes --crds --context production`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.context, "context", "", "the context of the kubeconfig (default: its current one)")
	f.StringVarP(&flags.namespace, "namespace", "n", "keptn-system", "where the controller is installed")
	f.BoolVar(&flags.crds, "crds", false, "delete the custom resource definitions too, and with them all objects of theirs")
	f.BoolVarP(&flags.yes, "yes", "y", false, "do not ask")
	addOutput(cmd, &flags.format)
	return cmd
}

func (f *uninstallFlags) run(ctx context.Context, in io.Reader, stdout, stderr io.Writer) error {
	if err := checkOutput(f.format); err != nil {
		return err
	}
	cluster, err := config.GetConfigWithContext(f.context)
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	if !f.yes {
		if err := agreed(in, stderr, cluster.Host); err != nil {
			return err
		}
	}
	scheme, err := controllers.NewScheme()
	if err != nil {
		return err
	}
	c, err := client.New(cluster, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("reach the cluster: %w", err)
	}
	return f.uninstall(ctx, &uninstaller{Client: c, namespace: f.namespace, crds: f.crds, settle: settle}, stdout)
}

// agreed asks for leave to go on.
func agreed(in io.Reader, out io.Writer, host string) error {
	file, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) { //nolint:gosec // a file descriptor fits
		return errors.New("nobody is there to be asked: say --yes to take Keptn out")
	}
	fmt.Fprintf(out, "Take Keptn out of the cluster %s? [y/N] ", host)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}

// stepReport is what one step did.
type stepReport struct {
	Step  string   `json:"step"`
	Done  []string `json:"done"`
	Error string   `json:"error,omitempty"`
}

// run takes the step.
func (s uninstallStep) run(ctx context.Context, u *uninstaller) stepReport {
	done, err := s.do(u, ctx)
	report := stepReport{Step: s.name, Done: append([]string{}, done...)}
	if err != nil {
		report.Error = refusal(err)
		if s.first {
			report.Error += "; nothing else is taken out, since pods would wait for checks that nobody runs"
		}
	}
	return report
}

// uninstall walks all steps and says what they did. One that fails keeps none from being
// tried, unless it is to be done first.
func (f *uninstallFlags) uninstall(ctx context.Context, u *uninstaller, out io.Writer) error {
	reports := []stepReport{}
	failed := false
	for _, step := range uninstallSteps() {
		report := step.run(ctx, u)
		reports = append(reports, report)
		if f.format == formatText {
			printStep(out, report)
		}
		failed = failed || report.Error != ""
		if report.Error != "" && step.first {
			break
		}
	}
	if f.format == formatJSON {
		if err := printJSON(out, reports); err != nil {
			return err
		}
	}
	if failed {
		return exitCode(exitError)
	}
	return nil
}

func printStep(out io.Writer, r stepReport) {
	switch {
	case r.Error != "":
		fmt.Fprintf(out, "%s %s: %s\n", painted(out, "error", "failed"), r.Step, r.Error)
	case len(r.Done) == 0:
		fmt.Fprintf(out, "%s %s: nothing to do\n", painted(out, "pass", "ok"), r.Step)
	default:
		fmt.Fprintf(out, "%s %s\n", painted(out, "pass", "ok"), r.Step)
	}
	for _, line := range r.Done {
		fmt.Fprintf(out, "   %s\n", line)
	}
}
