package controllers_test

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	lifecyclecontroller "github.com/keptn/gitops/controllers/lifecycle"
)

// checkedBefore is a lifecycle with tasks before its deployment.
func checkedBefore(tasks string) string {
	return "apiVersion: gitops.keptn.sh/v1alpha1\nkind: Lifecycle\nmetadata: {name: checkout}\n" +
		"spec:\n  matchTimeout: 2s\n  rolloutTimeout: 1m\n  preDeployment:\n    tasks: " + tasks + "\n"
}

const migrate = "[{name: migrate, container: {image: migrate:2, command: [migrate, up]}, retries: 1}]"

var _ = Describe("A commit with tasks", Ordered, ContinueOnFailure, func() {
	var (
		w      *world
		source *gitopsv1alpha1.GitSource
	)

	BeforeAll(func() { runController(GinkgoT().TempDir()) })
	BeforeEach(func(ctx context.Context) {
		w = newWorld(ctx)
		source = nil
	})

	// push commits and has the source look, and waits until the commit was read.
	push := func(ctx context.Context, message string, files map[string]string) string {
		GinkgoHelper()
		commit := w.repo.Commit("main", message, files)
		if source == nil {
			source = w.source(ctx, func(s *gitopsv1alpha1.GitSource) {
				s.Spec.ServiceAccountName, s.Spec.AllowedSecrets = "tasks", []string{"database"}
			})
		}
		w.look(ctx, source)
		Eventually(func() map[string]string { return w.said(commit) }).Should(HaveKeyWithValue("validate", HavePrefix("success: ")))
		return commit
	}
	// begun waits for the run of a task.
	begun := func(ctx context.Context, definition string) *lifecyclev1.KeptnTask {
		GinkgoHelper()
		var found *lifecyclev1.KeptnTask
		Eventually(func() *lifecyclev1.KeptnTask {
			var list lifecyclev1.KeptnTaskList
			if kube.List(ctx, &list, inNamespace(w)) == nil {
				for i := range list.Items {
					if list.Items[i].Spec.TaskDefinition == definition {
						found = &list.Items[i]
					}
				}
			}
			return found
		}).ShouldNot(BeNil(), "task %s", definition)
		return found
	}
	// ends plays the end of a task.
	ends := func(ctx context.Context, task *lifecyclev1.KeptnTask, state lifecyclev1.KeptnState, message string) {
		GinkgoHelper()
		Eventually(func() error {
			if err := kube.Get(ctx, client.ObjectKeyFromObject(task), task); err != nil {
				return err
			}
			task.Status.Status, task.Status.Message = state, message
			task.Status.StartTime, task.Status.EndTime = metav1.Now(), metav1.Now()
			return kube.Status().Update(ctx, task)
		}).Should(Succeed())
	}
	// ask asks for a delivery as keptn gate wait does: by server-side apply, of this very
	// Lifecycle.
	ask := func(ctx context.Context, commit string) {
		GinkgoHelper()
		lc := w.lifecycle("checkout")
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(lc), lc)).To(Succeed())
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(gitopsv1alpha1.GroupVersion.WithKind(gitopsv1alpha1.LifecycleKind))
		u.SetNamespace(lc.Namespace)
		u.SetName(lc.Name)
		u.SetUID(lc.UID)
		u.SetAnnotations(map[string]string{lifecyclecontroller.DeliverAnnotation: commit})
		Expect(kube.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("keptn-gate"), client.ForceOwnership)).To(Succeed())
	}
	askedFor := func(ctx context.Context) func() string {
		return func() string {
			lc := w.lifecycle("checkout")
			Expect(kube.Get(ctx, client.ObjectKeyFromObject(lc), lc)).To(Succeed())
			return lc.Annotations[lifecyclecontroller.DeliverAnnotation]
		}
	}

	It("has them run before its rollout, frozen and confined", func(ctx context.Context) {
		commit := push(ctx, "1", files(deployment, checkedBefore(migrate)))
		w.apply(ctx, deployment)
		task := begun(ctx, "migrate")
		kav := w.delivery(ctx, commit)
		Expect(metav1.IsControlledBy(task, kav)).To(BeTrue())
		Expect(task.Spec.Definition.Container.Image).To(Equal("migrate:2"))
		Expect(task.Spec.Retries).To(HaveValue(BeEquivalentTo(1)))
		Expect(task.Spec.Confinement).To(Equal(&lifecyclev1.Confinement{ServiceAccountName: "tasks", AllowedSecrets: []string{"database"}}))
		Expect(task.Spec.Context.Metadata).To(And(
			HaveKeyWithValue("gitCommit", commit), HaveKeyWithValue("gitRepository", w.repo.URL), HaveKeyWithValue("environment", "production")))
		w.says(commit, "checkout/pre-deployment", "pending: running migrate")
		w.says(commit, "checkout/deployment", "pending: waiting for pre-deployment")
		Expect(w.delivery(ctx, commit).Released()).To(BeFalse())

		ends(ctx, task, lifecyclev1.StateSucceeded, "")
		w.says(commit, "checkout/pre-deployment", "success: migrate: Succeeded")
		w.says(commit, "checkout/deployment", "pending: rolling out")
		Expect(w.delivery(ctx, commit).Released()).To(BeTrue())
		w.rollOut(ctx, deployment)
		w.says(commit, "checkout/deployment", "success: 1 pod runs "+commit[:7])
		Expect(w.said(commit)).NotTo(HaveKey("checkout/post-deployment"))
	})

	It("is not rolled out where one of them fails", func(ctx context.Context) {
		commit := push(ctx, "1", files(deployment, checkedBefore(migrate)))
		w.deploy(ctx, deployment)
		ends(ctx, begun(ctx, "migrate"), lifecyclev1.StateFailed, "no such table")
		w.says(commit, "checkout/pre-deployment", "failure: migrate: no such table")
		w.says(commit, "checkout/deployment", "error: not run, since a phase before it failed")
		kav := w.delivery(ctx, commit)
		Expect(kav.Released()).To(BeFalse())
		Expect(kav.Status.Status).To(Equal(lifecyclev1.StateFailed))
	})

	It("is rolled out after a warning", func(ctx context.Context) {
		commit := push(ctx, "1", files(deployment, checkedBefore(migrate)))
		w.deploy(ctx, deployment)
		ends(ctx, begun(ctx, "migrate"), lifecyclev1.StateWarning, "slow")
		w.says(commit, "checkout/pre-deployment", "warning: migrate: slow")
		w.says(commit, "checkout/deployment", "success: 1 pod runs ")
	})

	It("has the tasks of its repository run, with the script that they refer to", func(ctx context.Context) {
		all := files(deployment, strings.Replace(checkedBefore("[seed]"), "preDeployment:\n    tasks: [seed]",
			"postDeployment:\n    tasks: [seed]\n  promotion:\n    tasks: [tell]", 1))
		all["tasks/lifecycle.yaml"] = "apiVersion: lifecycle.keptn.sh/v1\nkind: KeptnTaskDefinition\nmetadata: {name: seed}\n" +
			"spec: {deno: {functionRef: {name: base}, parameters: {map: {rows: '3'}}}}\n---\n" +
			"apiVersion: lifecycle.keptn.sh/v1\nkind: KeptnTaskDefinition\nmetadata: {name: base}\n" +
			"spec: {deno: {inline: {code: 'console.log(1)'}, parameters: {map: {rows: '1', table: a}}}}\n---\n" +
			"apiVersion: lifecycle.keptn.sh/v1\nkind: KeptnTaskDefinition\nmetadata: {name: tell}\nspec: {python: {inline: {code: print(1)}}}\n"
		commit := push(ctx, "1", all)
		w.deploy(ctx, deployment)
		w.says(commit, "checkout/deployment", "success: 1 pod runs ")
		w.says(commit, "checkout/promotion", "pending: waiting for the checks")
		seed := begun(ctx, "seed")
		Expect(seed.Spec.Definition.Deno).To(Equal(&lifecyclev1.RuntimeSpec{
			Inline: lifecyclev1.Inline{Code: "console.log(1)"}, Parameters: lifecyclev1.TaskParameters{Inline: map[string]string{"rows": "3", "table": "a"}},
		}))
		w.says(commit, "checkout/post-deployment", "pending: running seed")
		ends(ctx, seed, lifecyclev1.StateSucceeded, "")
		w.says(commit, "checkout/post-deployment", "success: seed: Succeeded")
		ends(ctx, begun(ctx, "tell"), lifecyclev1.StateSucceeded, "told")
		w.says(commit, "checkout/promotion", "success: tell: told")
		Expect(w.delivery(ctx, commit).Status.Status).To(Equal(lifecyclev1.StateSucceeded))
	})

	It("waits for a definition that the namespace is to have, and confines it too", func(ctx context.Context) {
		commit := push(ctx, "1", files(deployment, checkedBefore("[later]")))
		w.apply(ctx, deployment)
		w.says(commit, "checkout/pre-deployment", "pending: later: no KeptnTaskDefinition of this name")
		later := &lifecyclev1.KeptnTaskDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "later"}}
		later.Spec.Container = &lifecyclev1.ContainerSpec{Container: corev1.Container{Name: "later", Image: "later:1"}}
		Expect(kube.Create(ctx, later)).To(Succeed())
		task := begun(ctx, "later")
		Expect(task.Spec.Definition).To(BeNil())
		Expect(task.Spec.Confinement.ServiceAccountName).To(Equal("tasks"))
		w.says(commit, "checkout/pre-deployment", "pending: running later")
		ends(ctx, task, lifecyclev1.StateSucceeded, "")
		w.says(commit, "checkout/pre-deployment", "success: ")
	})

	It("that asks for more than its namespace allows is not run, and says for what", func(ctx context.Context) {
		for says, task := range map[string]string{
			`steal: a task from Git may not run so: it names the service account "admin"`: "{name: steal, container: {image: a}, serviceAccount: {name: admin}}",
			`steal: a task from Git may not run so: it names the Secret "theirs"`:         "{name: steal, container: {image: a, envFrom: [{secretRef: {name: theirs}}]}}",
			`steal: a task from Git may not run so: Pod Security "restricted" refuses it`: "{name: steal, container: {image: a, securityContext: {privileged: true}}}",
			`pull: a task from Git may not run so: it names the Secret "theirs"`:          "{name: pull, container: {image: registry.theirs/a}, imagePullSecrets: [{name: theirs}]}",
		} {
			commit := push(ctx, says, files(version(fmt.Sprint(len(says))), checkedBefore("["+task+"]")))
			afterwards()
			w.deploy(ctx, version(fmt.Sprint(len(says))))
			w.says(commit, "checkout/pre-deployment", "failure: "+says)
			Expect(w.delivery(ctx, commit).Released()).To(BeFalse())
		}
		Expect((&apps{w.namespace}).names(ctx, &batchv1.JobList{})()).To(BeEmpty())
	})

	It("whose objects say another namespace is theirs is refused", func(ctx context.Context) {
		there := newApps(ctx, nil)
		said := strings.Replace(checkedBefore("[later]"), "{name: checkout}", "{name: checkout, namespace: "+there.namespace+"}", 1) +
			"---\napiVersion: lifecycle.keptn.sh/v1\nkind: KeptnTaskDefinition\nmetadata: {name: later, namespace: " + there.namespace + "}\n" +
			"spec: {container: {image: later:1}}\n"
		commit := w.repo.Commit("main", "1", files(deployment, said))
		w.source(ctx)
		w.says(commit, "validate", "failure: 2 problems: apps/checkout/lifecycle.yaml:3:28: metadata.namespace has no place here")
		w.apply(ctx, deployment)
		for _, list := range []client.ObjectList{&gitopsv1alpha1.LifecycleList{}, &lifecyclev1.KeptnAppVersionList{}, &lifecyclev1.KeptnTaskDefinitionList{}} {
			Consistently(there.names(ctx, list), "100ms").Should(BeEmpty())
			Expect((&apps{w.namespace}).names(ctx, list)()).To(BeEmpty())
		}
	})

	Context("where the API server does not take the record of the delivery", func() {
		const full = "count/keptnappversions.lifecycle.keptn.sh"
		var quota *corev1.ResourceQuota
		BeforeEach(func(ctx context.Context) {
			none := corev1.ResourceList{full: resource.MustParse("0")}
			quota = &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "full"}, Spec: corev1.ResourceQuotaSpec{Hard: none}}
			Expect(kube.Create(ctx, quota)).To(Succeed())
			quota.Status = corev1.ResourceQuotaStatus{Hard: none, Used: none} // nobody counts here
			Expect(kube.Status().Update(ctx, quota)).To(Succeed())
			probe := &lifecyclev1.KeptnAppVersion{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "probe"}}
			probe.Spec.AppName, probe.Spec.Version = "probe", "1"
			Eventually(func() error { return kube.Create(ctx, probe.DeepCopy(), client.DryRunAll) }).Should(MatchError(ContainSubstring("exceeded quota")))
		})
		refused := func(ctx context.Context) {
			GinkgoHelper()
			Eventually(state(ctx, w.lifecycle("checkout"), "Ready")).Should(And(HavePrefix("Unknown ProgressingWithRetry: "), ContainSubstring("exceeded quota")))
			Expect(w.deliveries(ctx)).To(BeEmpty())
			touched := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"touched":"yes"}}}`))
			Expect(kube.Patch(ctx, w.lifecycle("checkout"), touched)).To(Succeed())
			Consistently(state(ctx, w.lifecycle("checkout"), "Ready"), "300ms").Should(HavePrefix("Unknown ProgressingWithRetry: "))
		}

		It("is delivered once it does", func(ctx context.Context) {
			commit := push(ctx, "1", files(deployment, checkedBefore(migrate)))
			w.apply(ctx, deployment)
			refused(ctx)
			Expect(kube.Delete(ctx, quota)).To(Succeed())
			begun(ctx, "migrate")
			w.says(commit, "checkout/pre-deployment", "pending: running migrate")
		})

		It("is delivered once it does, where that was asked for", func(ctx context.Context) {
			commit := push(ctx, "1", files(deployment, checkedBefore(migrate)))
			Eventually(state(ctx, w.lifecycle("checkout"), "Ready")).Should(HavePrefix("Unknown Waiting: "))
			ask(ctx, commit)
			refused(ctx)
			Expect(askedFor(ctx)()).To(Equal(commit))
			Expect(kube.Delete(ctx, quota)).To(Succeed())
			begun(ctx, "migrate")
			Eventually(askedFor(ctx)).Should(BeEmpty())
		})
	})

	It("is checked before it is applied where that is asked for, and both are one delivery", func(ctx context.Context) {
		commit := push(ctx, "1", files(deployment, checkedBefore(migrate)))
		Eventually(state(ctx, w.lifecycle("checkout"), "Ready")).Should(HavePrefix("Unknown Waiting: "))
		ask(ctx, commit)
		task := begun(ctx, "migrate")
		kav := w.delivery(ctx, commit)
		Expect(kav.Spec.RolloutStartedAt).To(BeNil())
		Expect(kav.Annotations).To(HaveKeyWithValue(lifecyclecontroller.DeliverAnnotation, commit))
		Eventually(askedFor(ctx)).Should(BeEmpty())
		Eventually(state(ctx, w.lifecycle("checkout"), lifecyclecontroller.RequestedCondition)).Should(
			Equal("True Delivering: " + commit + " is delivered as " + w.namespace + "/" + kav.Name))
		ends(ctx, task, lifecyclev1.StateSucceeded, "")
		w.says(commit, "checkout/pre-deployment", "success: ")
		w.says(commit, "checkout/deployment", "pending: waiting for the rollout")

		afterwards()
		w.deploy(ctx, deployment)
		w.says(commit, "checkout/deployment", "success: 1 pod runs "+commit[:7])
		Expect(w.deliveries(ctx)).To(HaveLen(1))
		kav = w.delivery(ctx, commit)
		Expect(kav.Spec.Commit.Evidence).To(Equal(lifecyclev1.EvidenceContent))
		Expect(kav.Spec.RolloutStartedAt).NotTo(BeNil())
		Eventually(func() *metav1.Duration { return w.delivery(ctx, commit).Status.LeadTime }).ShouldNot(BeNil())

		other := push(ctx, "2", map[string]string{"README.md": "nothing of the app"})
		ask(ctx, other[:10])
		Eventually(askedFor(ctx)).Should(BeEmpty())
		Expect(w.delivery(ctx, commit).Annotations).To(HaveKeyWithValue(lifecyclecontroller.DeliverAnnotation, other[:10]))
		Expect(w.deliveries(ctx)).To(HaveLen(1))
	})

	It("does not take the place of what runs while it is only asked for", func(ctx context.Context) {
		runs := func() string {
			lc := w.lifecycle("checkout")
			Expect(kube.Get(ctx, client.ObjectKeyFromObject(lc), lc)).To(Succeed())
			return lc.Status.Delivery.Commit
		}
		first := push(ctx, "1", files(deployment, checkedBefore(migrate)))
		w.apply(ctx, deployment)
		begun(ctx, "migrate")
		Eventually(runs).Should(Equal(first))

		second := push(ctx, "2", files(version("2"), checkedBefore(migrate)))
		ask(ctx, second)
		Eventually(askedFor(ctx)).Should(BeEmpty())
		w.says(second, "checkout/pre-deployment", "pending: running migrate")
		Expect(runs()).To(Equal(first), "its pods wait for the first delivery alone")

		w.apply(ctx, version("2"))
		Eventually(runs).Should(Equal(second))
	})

	It("that nobody knows cannot be asked for", func(ctx context.Context) {
		push(ctx, "1", files(deployment, checkedBefore(migrate)))
		Eventually(state(ctx, w.lifecycle("checkout"), "Ready")).Should(HavePrefix("Unknown Waiting: "))
		unknown := strings.Repeat("0", 40)
		ask(ctx, unknown)
		Eventually(state(ctx, w.lifecycle("checkout"), lifecyclecontroller.RequestedCondition)).Should(HavePrefix("Unknown Searching: looking for commit " + unknown))
		Eventually(state(ctx, w.lifecycle("checkout"), lifecyclecontroller.RequestedCondition)).Should(HavePrefix("False CommitUnknown: "))
		Eventually(askedFor(ctx)).Should(BeEmpty())
		Expect(w.deliveries(ctx)).To(BeEmpty())
	})

	It("is found where it is asked for a moment before it is known", func(ctx context.Context) {
		push(ctx, "1", files(deployment, checkedBefore(migrate)))
		Eventually(state(ctx, w.lifecycle("checkout"), "Ready")).Should(HavePrefix("Unknown Waiting: "))
		second := w.repo.Commit("main", "2", files(version("2"), checkedBefore(migrate)))
		ask(ctx, second)
		begun(ctx, "migrate")
		Expect(w.delivery(ctx, second)).NotTo(BeNil())
		w.says(second, "checkout/pre-deployment", "pending: running migrate")
	})
})
