// Package e2e_test runs the product as its users do: the controller as a pod from
// its image in a real cluster, repositories on a real Gitea and a plain Git
// server, metrics from a real Prometheus. `make test-e2e` brings all of it up.
package e2e_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/keptn/gitops/e2e/stage"
)

// What all tests act on.
var (
	root    string
	cluster *stage.Cluster
	// binary builds the command keptn, once.
	binary = sync.OnceValues(func() (string, error) { return gexec.Build("github.com/keptn/gitops/cmd/keptn") })
)

func TestEndToEnd(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "End to end")
}

var _ = BeforeSuite(func(ctx context.Context) {
	SetDefaultEventuallyTimeout(3 * time.Minute)
	EnforceDefaultTimeoutsWhenUsingContexts()
	SetDefaultEventuallyPollingInterval(200 * time.Millisecond)
	for _, name := range []string{"KUBECONFIG", "TESTBED_GIT_URL", "TESTBED_GITEA_URL", "TESTBED_PROMETHEUS_URL"} {
		Expect(os.Getenv(name)).NotTo(BeEmpty(), "%s is not set: run `make test-e2e`, or `eval \"$(go -C e2e/testbed run . --name e2e up)\"` first", name)
	}
	var err error
	root, err = filepath.Abs("..")
	Expect(err).NotTo(HaveOccurred())
	cluster, err = stage.Connect()
	Expect(err).NotTo(HaveOccurred())
	install(ctx)
})

var _ = AfterSuite(gexec.CleanupBuildArtifacts)

// install installs the controller, as all tests expect it.
func install(ctx context.Context) {
	GinkgoHelper()
	Expect(stage.Install(ctx, GinkgoWriter, root, "--allow-plain-http-credentials")).To(Succeed())
}

// project makes a project that lasts as long as the test.
func project(ctx context.Context, name string, onGitea bool) *stage.Project {
	GinkgoHelper()
	p, err := stage.NewProject(ctx, cluster, root, GinkgoT().TempDir(), name, onGitea)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx context.Context) error {
		return stage.Kubectl(ctx, GinkgoWriter, "delete", "namespace", name, "--wait=false")
	})
	return p
}

// push commits and pushes, and returns the commit.
func push(ctx context.Context, p *stage.Project, message string, changes ...stage.Change) string {
	GinkgoHelper()
	sha, err := p.Push(ctx, message, changes...)
	Expect(err).NotTo(HaveOccurred())
	return sha
}

// shows waits until a commit shows a state in a context, and a description that
// matches.
func shows(ctx context.Context, p *stage.Project, sha, name, state string, description any) {
	GinkgoHelper()
	Eventually(ctx, func(ctx context.Context) (stage.Status, error) {
		statuses, err := p.Statuses(ctx, sha)
		return statuses[name], err
	}).Should(And(HaveField("State", state), HaveField("Description", description)), "%s on %.7s", name, sha)
}
