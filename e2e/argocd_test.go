package e2e_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/keptn/gitops/e2e/stage"
)

// application is what a test asks of what Argo CD says.
type application struct {
	Status struct {
		Sync           struct{ Status, Revision string }
		Health         struct{ Status string }
		OperationState struct {
			Phase, Message string
			FinishedAt     time.Time
			SyncResult     struct {
				Revision  string
				Revisions []string
			}
		}
	}
}

// argo waits until Argo CD says of the Application checkout what matches.
func argo(ctx context.Context, matches gomegatypes.GomegaMatcher) application {
	GinkgoHelper()
	var app application
	Eventually(ctx, func(ctx context.Context) (application, error) {
		app = application{}
		said, err := cluster.Application(ctx, "checkout")
		if err != nil {
			return app, err
		}
		text, err := said.MarshalJSON()
		if err != nil {
			return app, err
		}
		return app, json.Unmarshal(text, &app)
	}).Should(matches)
	return app
}

// operated is an Application whose newest operation, of a commit, has ended so.
func operated(sha, phase string) gomegatypes.GomegaMatcher {
	return And(HaveField("Status.OperationState.SyncResult.Revision", sha), HaveField("Status.OperationState.Phase", phase))
}

// gated is an Application of two sources whose newest operation, of a commit of both,
// has ended so.
func gated(sha, phase string) gomegatypes.GomegaMatcher {
	return And(HaveField("Status.OperationState.SyncResult.Revisions", []string{sha, sha}), HaveField("Status.OperationState.Phase", phase))
}

// healthy is an Application that a commit was compared with, and that is so.
func healthy(sha, health string) gomegatypes.GomegaMatcher {
	return And(HaveField("Status.Sync.Revision", sha), HaveField("Status.Health.Status", health))
}

// admit gives Argo CD the right to read the repository of a project.
func admit(ctx context.Context, p *stage.Project) {
	GinkgoHelper()
	gitea := stage.GiteaFromEnvironment()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: stage.ArgoNamespace, Name: "repo-" + p.Source.Name,
			Labels: map[string]string{"argocd.argoproj.io/secret-type": "repository"}},
		StringData: map[string]string{"type": "git", "url": p.Source.Spec.URL, "username": gitea.User, "password": gitea.Token},
	}
	Expect(cluster.Create(ctx, secret)).To(Succeed())
	DeferCleanup(func(ctx context.Context) error { return cluster.Delete(ctx, secret) })
}

var _ = Describe("A newcomer who follows docs/argocd.md", func() {
	It("sees which commit Argo CD applied, a sync that fails by its verdict, and the health of what Keptn reads", func(ctx context.Context) {
		needs(stage.Argo)
		p, shown := newcomer(ctx, "by-argo", "argocd.md")
		admit(ctx, p)
		Expect(stage.Kubectl(ctx, GinkgoWriter, "apply", "--server-side", "-k", filepath.Join(root, "config", "argocd"))).To(Succeed())

		By("delivering another image than that in Git, and the GitSource with it")
		first := commit(ctx, p, "Deliver checkout", shortSoak,
			stage.Edit("deployment.yaml", "docker.io/keptn/checkout:dev", "docker.io/keptn/checkout:in-git"),
			stage.Edit("kustomization.yaml", "  - service.yaml\n", "  - service.yaml\n  - keptn.yaml\n"),
			stage.Add(stage.Folder+"/keptn.yaml", shown["keptn.yaml"]))
		shown = with(shown, "application.yaml", "    targetRevision: main\n",
			"    targetRevision: main\n    kustomize: {images: [\"docker.io/keptn/checkout:dev\"]}\n")
		shown = with(shown, "application.yaml", "  syncPolicy:\n", "  syncPolicy:\n    retry: {limit: 0}\n")
		applyShown(ctx, "application.yaml", shown["application.yaml"])
		argo(ctx, And(operated(first, "Succeeded"), healthy(first, "Healthy")))
		shows(ctx, p, first, stage.PostDeployment, "success", ContainSubstring("error-ratio 0%"))
		expectAppliedBy(ctx, p, first)

		By("syncing with a Job that waits for the verdict, which is good")
		second := commit(ctx, p, "Wait for the verdict", faster,
			stage.Edit("kustomization.yaml", "  - keptn.yaml\n", "  - keptn.yaml\n  - verdict.yaml\n"),
			stage.Add(stage.Folder+"/verdict.yaml", shown["verdict/apps/checkout/verdict.yaml"]))
		Expect(cluster.LookArgo(ctx, "checkout")).To(Succeed())
		synced := argo(ctx, operated(second, "Succeeded"))
		Expect(synced.Status.OperationState.FinishedAt).NotTo(BeTemporally("<", expectAppliedBy(ctx, p, second).Status.EndTime.Time))
		Expect(logs(ctx, "by-argo", "checkout-verdict")).To(saysOf(second, "pass"))

		By("syncing what is bad")
		third := commit(ctx, p, "Try another payment gateway", failing)
		Expect(cluster.LookArgo(ctx, "checkout")).To(Succeed())
		synced = argo(ctx, operated(third, "Failed"))
		Expect(synced.Status.OperationState.FinishedAt).NotTo(BeTemporally("<", expectAppliedBy(ctx, p, third).Status.EndTime.Time))
		shows(ctx, p, third, stage.PostDeployment, "failure", MatchRegexp(`error-ratio \d+(\.\d+)?% ≥ 1%`))
		argo(ctx, healthy(third, "Healthy"))

		By("misspelling what only Keptn reads")
		fourth := commit(ctx, p, "Misspell a field", misspelt)
		Expect(cluster.Look(ctx, p.Source, fourth)).To(Succeed())
		Expect(cluster.LookArgo(ctx, "checkout")).To(Succeed())
		shows(ctx, p, fourth, stage.Validate, "failure", MatchRegexp(`apps/checkout/lifecycle\.yaml:\d+:\d+: `))
		argo(ctx, healthy(fourth, "Degraded"))
	})

	It("has nothing applied before the checks of the very commit have passed", func(ctx context.Context) {
		needs(stage.Argo)
		p, shown := newcomer(ctx, "by-gate", "argocd.md")
		admit(ctx, p)
		once := func(file string) {
			shown = with(shown, file, "  syncPolicy:\n", "  syncPolicy:\n    retry: {limit: 0}\n")
		}
		once("application.yaml")
		once("gated/application.yaml")
		first := commit(ctx, p, "Deliver checkout", shortSoak, stage.Edit("lifecycle.yaml", "  app: checkout\n", `  app: checkout
  preDeployment:
    tasks:
      - name: migrate
        retries: 0
        container: {image: "busybox:1.36", command: ["true"], securityContext: {runAsUser: 65532}}
`))
		applyShown(ctx, "application.yaml", shown["application.yaml"])
		applyShown(ctx, "keptn.yaml", shown["keptn.yaml"])
		argo(ctx, And(operated(first, "Succeeded"), healthy(first, "Healthy")))

		By("adding the chart that the Job is, as a second source")
		t := team("by-gate")
		t.kubectl(ctx, "create", "serviceaccount", "keptn-gate-waiter")
		t.kubectl(ctx, "create", "rolebinding", "keptn-gate-waiter", "--clusterrole=keptn-gate-waiter", "--serviceaccount=by-gate:keptn-gate-waiter")
		second := commit(ctx, p, "Check before a sync", faster,
			stage.Add("gate/Chart.yaml", shown["gate/Chart.yaml"]), stage.Add("gate/templates/gate.yaml", shown["gate/templates/gate.yaml"]))
		applyShown(ctx, "gated.yaml", shown["gated/application.yaml"])
		argo(ctx, gated(second, "Succeeded"))
		Expect(logs(ctx, "by-gate", "checkout-gate")).To(ContainSubstring(second[:7]))
		shows(ctx, p, second, stage.PreDeployment, "success", ContainSubstring("migrate"))
		shows(ctx, p, second, stage.Deployment, "success", "2 pods run "+second[:7])

		By("failing a check")
		third := commit(ctx, p, "Migrate in vain", stage.Edit("lifecycle.yaml", `["true"]`, `["false"]`), stage.Edit("deployment.yaml", `value: "10"`, `value: "12"`))
		Expect(cluster.LookArgo(ctx, "checkout")).To(Succeed())
		argo(ctx, gated(third, "Failed"))
		shows(ctx, p, third, stage.PreDeployment, "failure", ContainSubstring("migrate"))
		var running appsv1.Deployment
		Expect(cluster.Get(ctx, types.NamespacedName{Namespace: "by-gate", Name: "checkout"}, &running)).To(Succeed())
		Expect(running.Spec.Template.Spec.Containers[0].Env).To(ContainElement(corev1.EnvVar{Name: "SELF_LOAD", Value: "10"}))
	})
})
