package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/e2e/stage"
)

// needs skips a test where somebody's own cluster lacks an applier. A testbed has it.
func needs(appliers ...stage.Applier) {
	GinkgoHelper()
	for _, applier := range appliers {
		if cluster.Has(applier) {
			continue
		}
		if os.Getenv("TESTBED_NAME") != "" {
			Fail("the testbed runs without it: bring it up --with " + applier.Part)
		}
		Skip("this cluster has no " + applier.Part)
	}
}

// newcomer makes a project, with the Secrets that a page of the documentation asks for,
// and reads what the page shows. What is called shop there is the project, and the app
// is that of the examples.
func newcomer(ctx context.Context, name, page string) (*stage.Project, stage.App) {
	GinkgoHelper()
	p := project(ctx, name, true)
	shown, err := stage.Documented(root, page,
		"https://gitea.example.com/acme/shop.git", p.Source.Spec.URL,
		"http://prometheus.monitoring:9090", os.Getenv("TESTBED_PROMETHEUS_URL"),
		"registry.example.com/keptn/gitops:1.2.3", "docker.io/keptn/gitops:dev",
		"registry.example.com/checkout", "docker.io/keptn/checkout",
		"newTag: 1.4.0", "newTag: dev",
		"shop", name,
	)
	Expect(err).NotTo(HaveOccurred())
	gitea := stage.GiteaFromEnvironment()
	Expect(cluster.Secret(ctx, name, name+"-git", map[string]string{"username": gitea.User, "password": gitea.Token})).To(Succeed())
	Expect(cluster.Secret(ctx, name, name+"-forge", map[string]string{"token": gitea.Token})).To(Succeed())
	return p, shown
}

// with replaces a text in one of the files that a page shows.
func with(shown stage.App, file, old, replacement string) stage.App {
	GinkgoHelper()
	changed, err := shown.With(file, old, replacement)
	Expect(err).NotTo(HaveOccurred())
	return changed
}

// commit commits and pushes, tells nobody, and returns the commit.
func commit(ctx context.Context, p *stage.Project, message string, changes ...stage.Change) string {
	GinkgoHelper()
	sha, err := p.Commit(ctx, message, changes...)
	Expect(err).NotTo(HaveOccurred())
	return sha
}

// applyShown applies what a page shows as a file, until the test is over.
func applyShown(ctx context.Context, file, text string) {
	GinkgoHelper()
	path := filepath.Join(GinkgoT().TempDir(), filepath.Base(file))
	Expect(os.WriteFile(path, []byte(text), 0o600)).To(Succeed())
	Expect(stage.Kubectl(ctx, GinkgoWriter, "apply", "--filename", path)).To(Succeed())
	DeferCleanup(func(ctx context.Context) error {
		return stage.Kubectl(ctx, GinkgoWriter, "delete", "--filename", path, "--ignore-not-found")
	})
}

// expectAppliedBy expects that the delivery of a commit has ended, and was tied to it by
// the word of who applied it, and returns it.
func expectAppliedBy(ctx context.Context, p *stage.Project, sha string) *lifecyclev1.KeptnAppVersion {
	GinkgoHelper()
	var delivery *lifecyclev1.KeptnAppVersion
	Eventually(ctx, func(ctx context.Context) (_ *lifecyclev1.KeptnAppVersion, err error) {
		delivery, err = p.Delivery(ctx, sha)
		return delivery, err
	}).Should(And(Not(BeNil()), HaveField("Status.EndTime", Not(BeZero()))), "the delivery of %.7s", sha)
	Expect(delivery.Spec.Commit.Evidence).To(Equal(lifecyclev1.EvidenceApplier))
	return delivery
}

// logs reads what the pods of a Job have said.
func logs(ctx context.Context, namespace, job string) string {
	GinkgoHelper()
	var said bytes.Buffer
	Expect(stage.Kubectl(ctx, &said, "--namespace", namespace, "logs", "job/"+job)).To(Succeed())
	return strings.TrimSpace(said.String())
}

// saysOf is the gate's answer of a commit, as JSON on the last line.
func saysOf(sha, verdict string) gomegatypes.GomegaMatcher {
	return WithTransform(func(said string) (answer struct{ Commit, Verdict string }, err error) {
		lines := strings.Split(said, "\n")
		err = json.Unmarshal([]byte(lines[len(lines)-1]), &answer)
		return answer, err
	}, Equal(struct{ Commit, Verdict string }{sha, verdict}))
}
