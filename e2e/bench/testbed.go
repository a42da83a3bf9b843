package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	crlog "sigs.k8s.io/controller-runtime/pkg/log"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// takeDownTimeout bounds how long an interrupted command of the testbed may take.
const takeDownTimeout = 2 * time.Minute

// audited is a part that is none of the testbed's components: the API server's log of
// its requests.
const audited = "audit"

// A testbed is how to reach one.
type testbed struct {
	kubeconfig                      string
	giteaURL, giteaUser, giteaToken string
	// hostIP is where Gitea reaches this program.
	hostIP                  string
	gitURL, gitRoot         string
	prometheusURL, auditLog string
	versions                []string
}

// variables are what the testbed says of each of its parts.
func (t *testbed) variables() map[string]map[string]*string {
	return map[string]map[string]*string{
		"api":   {"KUBECONFIG": &t.kubeconfig},
		"kwok":  {"KUBECONFIG": &t.kubeconfig},
		audited: {"TESTBED_AUDIT_LOG": &t.auditLog},
		"gitea": {
			"TESTBED_GITEA_URL": &t.giteaURL, "TESTBED_GITEA_USER": &t.giteaUser, "TESTBED_GITEA_TOKEN": &t.giteaToken,
			"TESTBED_HOST_IP": &t.hostIP,
		},
		"git":        {"TESTBED_GIT_URL": &t.gitURL, "TESTBED_GIT_ROOT": &t.gitRoot},
		"prometheus": {"TESTBED_PROMETHEUS_URL": &t.prometheusURL},
	}
}

// bringUp builds keptn and brings up a testbed of these parts with Keptn's
// kinds in it.
func (b *bench) bringUp(ctx context.Context, parts []string) error {
	if err := b.build(ctx); err != nil {
		return err
	}
	if err := b.takeDown(ctx); err != nil { // what a crash has left
		return err
	}
	b.progress.Print("brings up the testbed")
	args, err := b.upArguments(parts)
	if err != nil {
		return err
	}
	out, err := b.testbed(ctx, args...).Output()
	if err != nil {
		return fmt.Errorf("bring up the testbed: %w", err)
	}
	if b.bed, err = parseTestbed(out, parts); err != nil {
		return err
	}
	return b.connect(ctx)
}

// build builds keptn as make build does, once.
func (b *bench) build(ctx context.Context) error {
	if b.keptn != "" {
		return nil
	}
	b.progress.Print("builds keptn")
	binary := filepath.Join(b.work, "keptn")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "timetzdata", "-ldflags", "-s -w", "-o", binary, "./cmd/keptn")
	build.Dir, build.Env = b.root, append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build keptn: %w\n%s", err, out)
	}
	b.keptn = binary
	return nil
}

// upArguments bring up these parts.
func (b *bench) upArguments(parts []string) ([]string, error) {
	components := slices.DeleteFunc(slices.Clone(parts), func(part string) bool { return part == audited })
	args := []string{"up", "--only", strings.Join(components, ",")}
	if len(components) == len(parts) {
		return args, nil
	}
	policy := filepath.Join(b.work, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, fmt.Errorf("write the audit policy: %w", err)
	}
	return append(args, "--audit-policy", policy), nil
}

// takeDown takes the testbed down, also after ctx has ended.
func (b *bench) takeDown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeDownTimeout)
	defer cancel()
	if err := b.testbed(ctx, "down").Run(); err != nil {
		return fmt.Errorf("take down the testbed (go -C e2e/testbed run . --name bench down): %w", err)
	}
	return nil
}

// testbed is one of the testbed's commands. It runs in a process group of its own,
// so that an interrupt reaches it only when ctx ends, and then reaches all of it.
func (b *bench) testbed(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", append([]string{"-C", "e2e/testbed", "run", ".", "--name", "bench"}, args...)...)
	cmd.Dir, cmd.Stderr = b.root, b.progress.Writer()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = takeDownTimeout
	return cmd
}

// parseTestbed reads what `testbed up` printed for a shell of these parts.
func parseTestbed(printed []byte, parts []string) (testbed, error) {
	vars := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(printed))
	for lines.Scan() {
		name, value, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "=")
		vars[name] = strings.Trim(value, "'")
	}
	var t testbed
	variables := t.variables()
	for _, part := range parts {
		for name, to := range variables[part] {
			if *to = vars[name]; *to == "" {
				return t, fmt.Errorf("the testbed did not say %s", name)
			}
		}
	}
	return t, nil
}

// connect makes a client of the testbed's cluster, and installs Keptn's kinds.
func (b *bench) connect(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", b.bed.kubeconfig)
	if err != nil {
		return fmt.Errorf("read the testbed's kubeconfig: %w", err)
	}
	config.QPS = -1                 // the client must not be what is measured
	crlog.SetLogger(logr.Discard()) // what fails is returned
	if _, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{
		Paths: []string{filepath.Join(b.root, "config", "crd")}, ErrorIfPathMissing: true,
	}); err != nil {
		return fmt.Errorf("install Keptn's kinds: %w", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, gitopsv1alpha1.AddToScheme, lifecyclev1.AddToScheme, metricsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("build scheme: %w", err)
		}
	}
	if b.kube, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	secured, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	b.apiMetrics = func(ctx context.Context) (families, error) { return scrape(ctx, secured, config.Host+"/metrics") }
	return b.askVersions(ctx, config)
}
