package controllers_test

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/workload"
)

// delivered returns a function that reads how the deliveries of a namespace stand: of
// workloads as <name> <state>: <message>, of apps as <app> <version> <state>: <message>.
func (a *apps) delivered(ctx context.Context) func() []string {
	return func() []string {
		var lines []string
		line := func(name string, d *lifecyclev1.Delivery) {
			message := ""
			for _, c := range d.Conditions {
				if c.Type == "Ready" {
					message = c.Message
				}
			}
			lines = append(lines, fmt.Sprintf("%s %s: %s", name, d.Status, message))
		}
		var workloads lifecyclev1.KeptnWorkloadVersionList
		var all lifecyclev1.KeptnAppVersionList
		for _, list := range []client.ObjectList{&workloads, &all} {
			if err := kube.List(ctx, list, client.InNamespace(a.namespace)); err != nil {
				return []string{err.Error()}
			}
		}
		for i := range workloads.Items {
			line(workloads.Items[i].Name, &workloads.Items[i].Status.Delivery)
		}
		for i := range all.Items {
			line(all.Items[i].Spec.AppName+" "+all.Items[i].Spec.Version, &all.Items[i].Status.Delivery)
		}
		return lines
	}
}

var _ = Describe("A workload that two claim", Ordered, ContinueOnFailure, func() {
	BeforeAll(func(ctx context.Context) {
		installAdmission(ctx)
		runController(GinkgoT().TempDir())
	})
	annotated := func(app, version string) keys {
		return keys{"keptn.sh/app": app, "keptn.sh/workload": "cart", "keptn.sh/version": version}
	}

	It("is of the app that its annotations name, and another app waits for one of its own", func(ctx context.Context) {
		a := newApps(ctx, keys{lifecyclev1.NamespaceEnabledAnnotation: "enabled"})
		for _, name := range []string{"shop", "other"} {
			Expect(kube.Create(ctx, &lifecyclev1.KeptnApp{
				ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: name},
				Spec:       lifecyclev1.KeptnAppSpec{Version: "7", Workloads: []lifecyclev1.KeptnAppWorkload{{Name: "cart", Version: "1"}}},
			})).To(Succeed())
		}
		a.deploy(ctx, "cart", "cart-1", 1, a.template("nginx:1.25", annotated("shop", "1"), nil))
		waits := "other 7 Progressing: cart 1: not delivered yet"
		Eventually(a.delivered(ctx)).Should(ConsistOf("shop-cart-1 Succeeded: 1 pod runs 1", HavePrefix("shop 7 Succeeded: "), waits))
		a.deploy(ctx, "theirs", "theirs-1", 1, a.template("nginx:1.25", annotated("other", "1"), nil))
		Eventually(a.delivered(ctx)).Should(ConsistOf(
			"shop-cart-1 Succeeded: 1 pod runs 1", HavePrefix("shop 7 Succeeded: "), "other-cart-1 Succeeded: 1 pod runs 1", HavePrefix("other 7 Succeeded: ")))
	})

	It("by one name of an app are two of it", func(ctx context.Context) {
		a := newApps(ctx, keys{lifecyclev1.NamespaceEnabledAnnotation: "enabled"})
		a.deploy(ctx, "cart", "cart-1", 1, a.template("nginx:1.25", annotated("shop", "1"), nil))
		at(ctx, a, "shop-cart", &lifecyclev1.KeptnWorkload{})
		a.deploy(ctx, "canary", "canary-1", 1, a.template("nginx:1.26", annotated("shop", "2"), nil))
		own := "shop-cart-" + workload.Digest(8, "Deployment", "canary")
		Eventually(a.delivered(ctx)).Should(ContainElements("shop-cart-1 Succeeded: 1 pod runs 1", own+"-2 Succeeded: 1 pod runs 2"))
		Expect(at(ctx, a, "shop-cart", &lifecyclev1.KeptnWorkload{}).Spec.Version).To(Equal("1"))
		both := "shop " + workload.Digest(10, "shop-cart-1"+own+"-2")
		Eventually(a.delivered(ctx)).Should(ContainElement(HavePrefix(both + " Succeeded: ")))
	})

	Context("from Git", func() {
		var w *world
		var g *gates
		BeforeEach(func(ctx context.Context) {
			w = newWorld(ctx)
			g = &gates{namespace: w.namespace}
		})

		// two are two folders with a lifecycle.yaml each, whose Deployments have one name.
		two := func(first, second string) map[string]string {
			all := files(first, checkedBefore(migrate))
			for name, content := range files(second, strings.NewReplacer("{name: checkout}", "{name: second}", "migrate", "audit").Replace(checkedBefore(migrate))) {
				all[strings.Replace(name, "apps/checkout", "apps/second", 1)] = content
			}
			return all
		}
		// pod has a pod of the Deployment's first revision come.
		pod := func(ctx context.Context) (func() ([]string, error), *appsv1.ReplicaSet) {
			GinkgoHelper()
			var d appsv1.Deployment
			Expect(kube.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: "checkout"}, &d)).To(Succeed())
			d.Status.ObservedGeneration = d.Generation
			Expect(kube.Status().Update(ctx, &d)).To(Succeed())
			rs := g.replicaSet(ctx, &d, 1)
			Eventually(g.tried(ctx, ofReplicaSet(rs))).Should(gated)
			return g.of(ctx, g.create(ctx, ofReplicaSet(rs))), rs
		}
		ends := func(ctx context.Context, definition string, state lifecyclev1.KeptnState) {
			GinkgoHelper()
			var task *lifecyclev1.KeptnTask
			Eventually(func() *lifecyclev1.KeptnTask {
				var list lifecyclev1.KeptnTaskList
				if kube.List(ctx, &list, inNamespace(w)) == nil {
					for i := range list.Items {
						if list.Items[i].Spec.TaskDefinition == definition {
							task = &list.Items[i]
						}
					}
				}
				return task
			}).ShouldNot(BeNil())
			Eventually(func() error {
				if err := kube.Get(ctx, client.ObjectKeyFromObject(task), task); err != nil {
					return err
				}
				task.Status.Status, task.Status.EndTime = state, metav1.Now()
				return kube.Status().Update(ctx, task)
			}).Should(Succeed())
		}

		It("has to be let go by both, and each says so on the commit", func(ctx context.Context) {
			commit := w.repo.Commit("main", "1", two(deployment, deployment))
			w.source(ctx)
			w.says(commit, "validate", "success: valid: checkout, second")
			w.apply(ctx, deployment)
			held, _ := pod(ctx)
			w.says(commit, "second/pre-deployment", "pending: running audit")
			ends(ctx, "migrate", hasSucceeded)
			w.says(commit, "checkout/pre-deployment", "success: ")
			Consistently(held, "300ms").Should(gated)
			ends(ctx, "audit", hasSucceeded)
			Eventually(held).Should(notGated)
			w.rollOut(ctx, deployment)
			w.says(commit, "checkout/deployment", "success: 1 pod runs "+commit[:7])
			w.says(commit, "second/deployment", "success: 1 pod runs "+commit[:7])
		})

		It("is held by the one whose checks fail", func(ctx context.Context) {
			commit := w.repo.Commit("main", "1", two(deployment, deployment))
			w.source(ctx)
			w.says(commit, "validate", "success: ")
			w.apply(ctx, deployment)
			held, _ := pod(ctx)
			ends(ctx, "audit", hasFailed)
			ends(ctx, "migrate", hasSucceeded)
			w.says(commit, "second/deployment", "error: not run")
			w.says(commit, "checkout/pre-deployment", "success: ")
			Consistently(held, "300ms").Should(gated)
		})

		It("is of the one that explains what runs, once it is clear that the other does not", func(ctx context.Context) {
			commit := w.repo.Commit("main", "1", two(deployment, version("2")))
			w.source(ctx)
			w.says(commit, "validate", "success: ")
			w.apply(ctx, deployment)
			held, _ := pod(ctx)
			ends(ctx, "migrate", hasSucceeded)
			w.says(commit, "checkout/pre-deployment", "success: ")
			Eventually(state(ctx, w.lifecycle("second"), "Matched")).Should(HavePrefix("False Unmatched: "))
			Eventually(held).Should(notGated)
			w.says(commit, "second/deployment", "pending: waiting for the rollout")
		})

		It("and by annotations is Git's", func(ctx context.Context) {
			opted := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"`+lifecyclev1.NamespaceEnabledAnnotation+`":"enabled"}}}`))
			Expect(kube.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}, opted)).To(Succeed())
			said := strings.Replace(deployment, "{name: checkout}", "{name: checkout, annotations: {keptn.sh/workload: cart, keptn.sh/version: '1'}}", 1)
			w.apply(ctx, said)
			a := &apps{w.namespace}
			held, rs := pod(ctx)
			Eventually(held).Should(notGated, "nobody asked for checks")

			commit := w.repo.Commit("main", "1", files(said, checkedBefore(migrate)))
			w.source(ctx)
			w.says(commit, "checkout/pre-deployment", "pending: running migrate")
			Eventually(a.names(ctx, &lifecyclev1.KeptnWorkloadList{})).Should(BeEmpty())
			Eventually(a.names(ctx, &lifecyclev1.KeptnAppList{})).Should(BeEmpty())
			Consistently(g.tried(ctx, ofReplicaSet(rs)), "300ms").Should(notGated, "it was released before")
			ends(ctx, "migrate", hasSucceeded)
			w.says(commit, "checkout/deployment", "pending: rolling out")
		})
	})
})
