package controllers_test

import (
	"context"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// plain is a lifecycle without checks.
const plain = `apiVersion: gitops.keptn.sh/v1alpha1
kind: Lifecycle
metadata: {name: checkout}
spec: {matchTimeout: 2s, rolloutTimeout: 1m}
`

var _ = Describe("A rollout", Ordered, ContinueOnFailure, func() {
	var (
		w      *world
		source *gitopsv1alpha1.GitSource
	)

	BeforeAll(func() { runController(GinkgoT().TempDir()) })
	BeforeEach(func(ctx context.Context) {
		w = newWorld(ctx)
		w.metrics.set("requests", "1000")
		w.metrics.set("errors", "1")
	})

	// push commits and has the source look; says waits for what a commit shows.
	push := func(ctx context.Context, message string, files map[string]string) string {
		GinkgoHelper()
		commit := w.repo.Commit("main", message, files)
		if source == nil || source.Namespace != w.namespace {
			source = w.source(ctx)
		}
		w.look(ctx, source)
		Eventually(func() map[string]string { return w.said(commit) }).Should(HaveKeyWithValue("validate", HavePrefix("success: ")))
		return commit
	}
	says := func(commit, name, text string) {
		GinkgoHelper()
		w.says(commit, name, text)
	}

	It("that is overtaken gives its verdict up, and a skipped commit says by which", func(ctx context.Context) {
		w.metrics.set("errors", "")
		first := push(ctx, "1", files(deployment, patient))
		w.deploy(ctx, deployment)
		says(first, "checkout/post-deployment", "pending: evaluating checkout-slo: ")
		second := push(ctx, "2", files(version("2"), patient))
		says(second, "checkout/deployment", "pending: waiting for the rollout")
		third := push(ctx, "3", files(version("3"), patient))
		afterwards()
		w.deploy(ctx, version("3"))
		says(first, "checkout/deployment", "success: 1 pod runs "+first[:7])
		says(first, "checkout/post-deployment", "error: superseded by "+third[:7]+" before it was done")
		w.metrics.set("errors", "1")
		says(second, "checkout/deployment", "success: superseded by "+third[:7])
		says(third, "checkout/deployment", "success: 1 pod runs "+third[:7])
		says(third, "checkout/post-deployment", "success: error-ratio 0.1% < 1%")
		Expect(w.delivery(ctx, first).Status.Status).To(Equal(lifecyclev1.StateDeprecated))
	})

	It("is not expected of a commit that changes no pod template", func(ctx context.Context) {
		first := push(ctx, "1", files(deployment, plain))
		w.deploy(ctx, deployment)
		says(first, "checkout/deployment", "success: 1 pod runs ")
		second := push(ctx, "2", files(deployment, plain+"# a comment\n"))
		says(second, "checkout/deployment", "success: workloads unchanged")
		third := push(ctx, "3", map[string]string{"README.md": "nothing of an app"})
		Expect(w.said(third)).To(HaveLen(1))
	})

	It("back to an old pod template is a new attempt, and is checked again", func(ctx context.Context) {
		first := push(ctx, "1", files(deployment, lifecycle))
		w.deploy(ctx, deployment)
		says(first, "checkout/post-deployment", "success: ")
		second := push(ctx, "2", files(version("2"), lifecycle))
		afterwards()
		w.deploy(ctx, version("2"))
		says(second, "checkout/post-deployment", "success: ")
		w.metrics.set("errors", "31")
		afterwards()
		w.deploy(ctx, deployment)
		says(first, "checkout/post-deployment", "failure: error-ratio 3.1% ≥ 1%")
		Expect(w.delivery(ctx, first).Spec.Revision).To(BeEquivalentTo(2))
		Expect(w.deliveries(ctx)).To(HaveLen(3))
	})

	It("by hand is explained by no commit, has the remote looked at once, and ends when Git's is back", func(ctx context.Context) {
		first := push(ctx, "1", files(deployment, plain))
		w.deploy(ctx, deployment)
		says(first, "checkout/deployment", "success: ")
		Eventually(state(ctx, w.lifecycle("checkout"), gitopsv1alpha1.MatchedCondition)).Should(HavePrefix("True "))
		Eventually(state(ctx, w.lifecycle("checkout"), gitopsv1alpha1.ReportedCondition)).Should(HavePrefix("True "))
		w.git.ResetTraffic()
		afterwards()
		w.deploy(ctx, version("by-hand"))
		Eventually(state(ctx, w.lifecycle("checkout"), gitopsv1alpha1.MatchedCondition)).Should(
			HavePrefix("False Unmatched: no commit up to " + first[:7] + " renders the pod template of Deployment checkout"))
		Eventually(w.events(ctx, "shop-checkout")).Should(ContainElement(HavePrefix("Warning Unmatched: ")))
		Expect(w.git.Traffic().Requests).To(Equal(1))
		afterwards()
		w.deploy(ctx, deployment)
		Eventually(state(ctx, w.lifecycle("checkout"), gitopsv1alpha1.MatchedCondition)).Should(HavePrefix("True "))
		Eventually(func() uint { return w.delivery(ctx, first).Spec.Revision }).Should(BeEquivalentTo(2))
	})

	It("of a commit that was pushed a moment ago has the remote looked at", func(ctx context.Context) {
		push(ctx, "1", files(deployment, plain))
		second := w.repo.Commit("main", "2", files(version("2"), plain))
		w.deploy(ctx, version("2"))
		says(second, "checkout/deployment", "success: 1 pod runs "+second[:7])
	})

	It("that gets stuck has failed, and nothing is checked", func(ctx context.Context) {
		commit := push(ctx, "1", files(deployment, lifecycle))
		d := w.apply(ctx, deployment)
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(d), d)).To(Succeed())
		d.Status.ObservedGeneration = d.Generation
		d.Status.Conditions = []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded",
		}}
		Expect(kube.Status().Update(ctx, d)).To(Succeed())
		says(commit, "checkout/deployment", "failure: Deployment checkout: Progress deadline exceeded")
		says(commit, "checkout/post-deployment", "error: not run, since a phase before it failed")
		Expect(w.delivery(ctx, commit).Status.Status).To(Equal(lifecyclev1.StateFailed))
		Eventually(w.events(ctx, w.delivery(ctx, commit).Name)).Should(ContainElement(HavePrefix("Warning AppDeployFailed: ")))
	})

	It("that takes longer than it may has failed", func(ctx context.Context) {
		commit := push(ctx, "1", files(deployment, strings.Replace(plain, "rolloutTimeout: 1m", "rolloutTimeout: 1s", 1)))
		w.apply(ctx, deployment)
		says(commit, "checkout/deployment", "failure: Deployment checkout: ")
		Expect(w.said(commit)["checkout/deployment"]).To(HaveSuffix("when the time for the rollout was over"))
	})

	It("is given its time to soak before it is checked", func(ctx context.Context) {
		commit := push(ctx, "1", files(deployment, strings.Replace(lifecycle, "    policies:", "    soak: 2s\n    policies:", 1)))
		w.deploy(ctx, deployment)
		says(commit, "checkout/post-deployment", "pending: soaking until ")
		Expect(w.metrics.isAsked()).To(BeFalse())
		says(commit, "checkout/post-deployment", "success: error-ratio")
		soak := w.delivery(ctx, commit).Status.Phase(lifecyclev1.PhaseAppSoak)
		Expect(soak.EndTime.Sub(soak.StartTime.Time)).To(BeNumerically(">=", 2e9))
	})

	It("of two workloads is done when the last of them is", func(ctx context.Context) {
		both := func(tag string) map[string]string {
			all := files(version(tag), plain)
			all["apps/checkout/kustomization.yaml"] = "resources: [deployment.yaml, worker.yaml]\n"
			all["apps/checkout/worker.yaml"] = worker(tag)
			return all
		}
		first := push(ctx, "1", both("1"))
		w.deploy(ctx, version("1"))
		says(first, "checkout/deployment", "pending: rolling out")
		Eventually(state(ctx, w.lifecycle("checkout"), meta.ReadyCondition)).Should(
			Equal("Unknown Progressing: " + first[:7] + ": Deployment worker does not exist"))
		w.deploy(ctx, worker("1"))
		says(first, "checkout/deployment", "success: 2 pods run "+first[:7])
		second := push(ctx, "2", both("2"))
		afterwards()
		w.deploy(ctx, worker("2"))
		says(second, "checkout/deployment", "pending: rolling out")
		Eventually(state(ctx, w.lifecycle("checkout"), meta.ReadyCondition)).Should(
			Equal("Unknown Progressing: " + second[:7] + ": Deployment checkout does not have the commit's pod template"))
		w.deploy(ctx, version("2"))
		says(second, "checkout/deployment", "success: 2 pods run "+second[:7])
		Expect(w.deliveries(ctx)).To(HaveLen(2))
	})

	It("of a StatefulSet and a DaemonSet is followed too", func(ctx context.Context) {
		set := strings.Replace(strings.Replace(deployment, "kind: Deployment", "kind: StatefulSet", 1), "name: checkout}", "name: db}", 1)
		agent := strings.Replace(strings.Replace(deployment, "kind: Deployment", "kind: DaemonSet", 1), "  replicas: 1\n", "", 1)
		commit := push(ctx, "1", map[string]string{
			"apps/checkout/lifecycle.yaml": plain, "apps/checkout/db.yaml": set, "apps/checkout/agent.yaml": agent,
		})
		var db appsv1.StatefulSet
		Expect(yaml.UnmarshalStrict([]byte(set), &db)).To(Succeed())
		db.Namespace = w.namespace
		Expect(kube.Create(ctx, &db)).To(Succeed())
		var ds appsv1.DaemonSet
		Expect(yaml.UnmarshalStrict([]byte(agent), &ds)).To(Succeed())
		ds.Namespace = w.namespace
		Expect(kube.Create(ctx, &ds)).To(Succeed())
		says(commit, "checkout/deployment", "pending: ")
		db.Status = appsv1.StatefulSetStatus{
			ObservedGeneration: 1, Replicas: 1, ReadyReplicas: 1, CurrentReplicas: 1, UpdatedReplicas: 1,
			AvailableReplicas: 1, CurrentRevision: "a", UpdateRevision: "a",
		}
		Expect(kube.Status().Update(ctx, &db)).To(Succeed())
		ds.Status = appsv1.DaemonSetStatus{
			ObservedGeneration: 1, DesiredNumberScheduled: 3, CurrentNumberScheduled: 3, NumberReady: 3, NumberAvailable: 3, UpdatedNumberScheduled: 3,
		}
		Expect(kube.Status().Update(ctx, &ds)).To(Succeed())
		says(commit, "checkout/deployment", "success: 4 pods run "+commit[:7])
	})

	It("is tied to the commit that its workload names, where its content is changed on the way", func(ctx context.Context) {
		commit := push(ctx, "1", files(deployment, plain))
		changed := strings.Replace(version("mirrored"), "metadata: {name: checkout}", "metadata: {name: checkout, annotations: {gitops.keptn.sh/commit: "+commit+"}}", 1)
		w.deploy(ctx, changed)
		says(commit, "checkout/deployment", "success: 1 pod runs ")
		Expect(w.delivery(ctx, commit).Spec.Commit.Evidence).To(Equal(lifecyclev1.EvidenceAnnotation))
	})

	It("is followed while the newest commit does not render", func(ctx context.Context) {
		first := push(ctx, "1", files(deployment, plain))
		w.deploy(ctx, deployment)
		says(first, "checkout/deployment", "success: ")
		second := push(ctx, "2", files(version("2"), plain))
		third := w.repo.Commit("main", "3", map[string]string{"apps/checkout/deployment.yaml": "kind: {"})
		w.look(ctx, source)
		says(third, "validate", "failure: apps/checkout/kustomization.yaml:1:1: ")
		Eventually(state(ctx, w.lifecycle("checkout"), meta.ReadyCondition)).Should(HavePrefix("False InvalidManifest: "))
		afterwards()
		w.deploy(ctx, version("2"))
		says(second, "checkout/deployment", "success: 1 pod runs "+second[:7])
	})

	It("and all that is known of it stays as it is while nothing happens", func(ctx context.Context) {
		commit := push(ctx, "1", files(deployment, lifecycle))
		w.deploy(ctx, deployment)
		says(commit, "checkout/post-deployment", "success: ")
		settled := func() string { return w.versions(ctx) }
		Eventually(state(ctx, w.lifecycle("checkout"), gitopsv1alpha1.ReportedCondition)).Should(HavePrefix("True "))
		Eventually(state(ctx, w.lifecycle("checkout"), meta.ReadyCondition)).Should(HavePrefix("True "))
		Eventually(func(g Gomega) {
			lc := w.lifecycle("checkout")
			g.Expect(kube.Get(ctx, client.ObjectKeyFromObject(lc), lc)).To(Succeed())
			g.Expect(lc.Status.DORA).NotTo(BeNil())
			g.Expect(lc.Status.DORA.Windows[0].Deployments).To(BeEquivalentTo(1))
		}).Should(Succeed())
		before := settled()
		touch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"touched":"yes"}}}`))
		live := &appsv1.Deployment{}
		live.Namespace, live.Name = w.namespace, "checkout"
		Expect(kube.Patch(ctx, live, touch)).To(Succeed())
		Consistently(settled, "500ms", "50ms").Should(Equal(before))
	})
})

// worker is a second Deployment beside checkout.
func worker(tag string) string {
	return strings.NewReplacer("checkout:1", "worker:"+tag, "checkout", "worker").Replace(deployment)
}
