package controllers_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

var _ = Describe("A source", Ordered, ContinueOnFailure, func() {
	var w *world

	BeforeAll(func() { runController(GinkgoT().TempDir()) })
	BeforeEach(func(ctx context.Context) {
		w = newWorld(ctx)
		w.metrics.set("requests", "1000")
		w.metrics.set("errors", "1")
	})

	every := func(interval time.Duration) func(*gitopsv1alpha1.GitSource) {
		return func(s *gitopsv1alpha1.GitSource) { s.Spec.Interval = metav1.Duration{Duration: interval} }
	}
	ready := func(ctx context.Context, s *gitopsv1alpha1.GitSource) func() string {
		return state(ctx, s, meta.ReadyCondition)
	}
	gone := func(ctx context.Context, obj client.Object) func() bool {
		return func() bool { return apierrors.IsNotFound(kube.Get(ctx, client.ObjectKeyFromObject(obj), obj)) }
	}

	It("is looked at once in its interval", func(ctx context.Context) {
		w.repo.Commit("main", "1", files(deployment, plain))
		source := w.source(ctx, every(time.Second))
		Eventually(ready(ctx, source)).Should(HavePrefix("True "))
		second := w.repo.Commit("main", "2", files(version("2"), plain))
		w.says(second, "validate", "success: ")
	})

	It("is read while a server with many others does not answer", func(ctx context.Context) {
		over := make(chan struct{})
		silent := serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
		DeferCleanup(func() { close(over) })
		for i := range 30 {
			w.source(ctx, func(s *gitopsv1alpha1.GitSource) {
				s.Name, s.Spec.URL, s.Spec.Timeout = fmt.Sprintf("silent-%d", i), fmt.Sprintf("%s/repo-%d.git", silent, i), &metav1.Duration{Duration: time.Hour}
			})
		}
		w.repo.Commit("main", "1", files(deployment, plain))
		source := w.source(ctx)
		Eventually(ready(ctx, source)).Should(HavePrefix("True "))
	})

	It("whose server does not answer in time says after how long", func(ctx context.Context) {
		over := make(chan struct{})
		silent := serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
		DeferCleanup(func() { close(over) })
		source := w.source(ctx, func(s *gitopsv1alpha1.GitSource) {
			s.Spec.URL, s.Spec.Timeout = silent+"/app.git", &metav1.Duration{Duration: 100 * time.Millisecond}
		})
		Eventually(ready(ctx, source)).Should(And(HavePrefix("Unknown FetchFailed: "), ContainSubstring("the remote took more than 100ms, which is spec.timeout; trying again")))
	})

	It("whose history was rewritten goes on from the new one", func(ctx context.Context) {
		first := w.repo.Commit("main", "1", files(deployment, lifecycle))
		second := w.repo.Commit("main", "2", files(version("2"), lifecycle))
		source := w.source(ctx)
		w.says(second, "validate", "success: ")
		w.repo.ForcePush("main", first)
		third := w.repo.Commit("main", "3", files(version("3"), lifecycle))
		w.repo.Prune()
		w.look(ctx, source)
		w.says(third, "validate", "success: ")
		w.says(third, "checkout/deployment", "pending: ")
		w.deploy(ctx, version("3"))
		w.says(third, "checkout/post-deployment", "success: ")
		Eventually(state(ctx, w.lifecycle("checkout"), gitopsv1alpha1.ReportedCondition)).Should(HavePrefix("True "))
	})

	It("whose branch was deleted says so, keeps what it read, and goes on when it is back", func(ctx context.Context) {
		first := w.repo.Commit("main", "1", files(deployment, lifecycle))
		source := w.source(ctx)
		w.says(first, "validate", "success: ")
		w.repo.Commit("other", "elsewhere", map[string]string{"x": "y"})
		w.repo.DeleteBranch("main")
		source.Spec.Ref = &gitopsv1alpha1.GitRef{Branch: "main"}
		source.ResourceVersion = ""
		Expect(kube.Patch(ctx, source.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"ref":{"branch":"main"}}}`)))).To(Succeed())
		Eventually(ready(ctx, source)).Should(And(HavePrefix("False FetchFailed: "), ContainSubstring("main")))
		Eventually(w.events(ctx, "shop")).Should(ContainElement(HavePrefix("Warning FetchFailed: ")))
		w.deploy(ctx, deployment)
		w.says(first, "checkout/post-deployment", "success: ")
		Expect(ready(ctx, source)()).To(HavePrefix("False FetchFailed: "))
		w.repo.ForcePush("main", first)
		w.look(ctx, source)
		Eventually(ready(ctx, source)).Should(HavePrefix("True "))
	})

	It("that is empty says so until there is a first commit", func(ctx context.Context) {
		source := w.source(ctx)
		Eventually(ready(ctx, source)).Should(And(HavePrefix("False FetchFailed: "), ContainSubstring("repository is empty")))
		commit := w.repo.Commit("main", "1", files(deployment, lifecycle))
		w.look(ctx, source)
		w.says(commit, "validate", "success: ")
		Eventually(ready(ctx, source)).Should(HavePrefix("True "))
	})

	It("whose server fails is tried again soon, and says so until it answers", func(ctx context.Context) {
		w.git.Fail(http.StatusServiceUnavailable)
		commit := w.repo.Commit("main", "1", files(deployment, lifecycle))
		source := w.source(ctx)
		Eventually(ready(ctx, source)).Should(And(HavePrefix("Unknown FetchFailed: "), ContainSubstring("503")))
		w.git.Fail(0)
		Eventually(ready(ctx, source)).Should(HavePrefix("True "))
		w.says(commit, "validate", "success: ")

		w.git.Fail(http.StatusServiceUnavailable)
		w.look(ctx, source)
		Eventually(ready(ctx, source)).Should(HavePrefix("Unknown FetchFailed: "))
		Consistently(ready(ctx, source), "300ms", "50ms").Should(HavePrefix("Unknown FetchFailed: "))
		w.git.Fail(0)
		Eventually(ready(ctx, source)).Should(HavePrefix("True "))
		w.deploy(ctx, deployment)
		w.says(commit, "checkout/post-deployment", "success: ")
	})

	It("on the controller's own disk is not read unless the administrator allows it", func(ctx context.Context) {
		w.repo.Commit("main", "1", files(deployment, plain))
		source := w.source(ctx, func(s *gitopsv1alpha1.GitSource) { s.Spec.URL = "file://" + w.repo.Dir })
		Eventually(ready(ctx, source)).Should(And(HavePrefix("False InvalidURL: "), ContainSubstring("--allow-local-repositories")))
		Eventually(state(ctx, source, meta.StalledCondition)).Should(HavePrefix("True InvalidURL: "))
		Expect(source.Status.ObservedRevision).To(BeEmpty())
	})

	It("needs its secret, and follows it when it is rotated", func(ctx context.Context) {
		w.git.RequirePassword("git", "first")
		commit := w.repo.Commit("main", "1", files(deployment, lifecycle))
		source := w.source(ctx, func(s *gitopsv1alpha1.GitSource) { s.Spec.SecretRef = &meta.LocalObjectReference{Name: "git"} })
		Eventually(ready(ctx, source)).Should(And(HavePrefix("False AuthenticationFailed: "), ContainSubstring(`no Secret "git"`)))
		Eventually(w.events(ctx, "shop")).Should(ContainElement(HavePrefix("Warning AuthenticationFailed: ")))
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "git"},
			Data:       map[string][]byte{"username": []byte("git"), "password": []byte("wrong")},
		}
		Expect(kube.Create(ctx, secret)).To(Succeed())
		w.look(ctx, source)
		Eventually(ready(ctx, source)).Should(And(HavePrefix("False AuthenticationFailed: "), HaveSuffix(`it was asked with Secret "git"`)))
		secret.Data["password"] = []byte("first")
		Expect(kube.Update(ctx, secret)).To(Succeed())
		w.look(ctx, source)
		w.says(commit, "validate", "success: ")
		w.git.RequirePassword("git", "second")
		secret.Data["password"] = []byte("second")
		Expect(kube.Update(ctx, secret)).To(Succeed())
		w.deploy(ctx, deployment)
		w.says(commit, "checkout/post-deployment", "success: ")
		Eventually(ready(ctx, source)).Should(HavePrefix("True "))
	})

	It("that is suspended is not looked at, and what runs is still followed", func(ctx context.Context) {
		first := w.repo.Commit("main", "1", files(deployment, lifecycle))
		source := w.source(ctx)
		w.says(first, "validate", "success: ")
		Expect(kube.Patch(ctx, source.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"suspend":true}}`)))).To(Succeed())
		Eventually(ready(ctx, source)).Should(HavePrefix("True Suspended: suspended at main@sha1:" + first))
		second := w.repo.Commit("main", "2", files(version("2"), lifecycle))
		w.look(ctx, source)
		w.deploy(ctx, deployment)
		w.says(first, "checkout/post-deployment", "success: ")
		Expect(w.said(second)).To(BeEmpty())
		Expect(kube.Patch(ctx, source.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"suspend":false}}`)))).To(Succeed())
		w.says(second, "validate", "success: ")
	})

	It("that was suspended from the beginning is not looked at at all", func(ctx context.Context) {
		w.repo.Commit("main", "1", files(deployment, lifecycle))
		source := w.source(ctx, func(s *gitopsv1alpha1.GitSource) { s.Spec.Suspend = true })
		Eventually(ready(ctx, source)).Should(Equal("True Suspended: suspended before it was read"))
		Expect(w.git.Traffic().Requests).To(BeZero())
	})

	It("keeps copies of what is in Git, and takes them and their deliveries away with it", func(ctx context.Context) {
		first := w.repo.Commit("main", "1", files(deployment, lifecycle))
		source := w.source(ctx)
		w.deploy(ctx, deployment)
		w.says(first, "checkout/post-deployment", "success: ")
		policy := &gitopsv1alpha1.SLOPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop-checkout-slo"}}
		Eventually(state(ctx, policy, meta.ReadyCondition)).Should(Equal("True Succeeded: 1 rules over 2 metrics"))
		w.repo.Remove("main", "2", "apps/checkout/lifecycle.yaml")
		w.look(ctx, source)
		Eventually(gone(ctx, w.lifecycle("checkout"))).Should(BeTrue())
		Eventually(gone(ctx, policy)).Should(BeTrue())
		Eventually(func() int { return len(w.deliveries(ctx)) }).Should(BeZero())
	})

	It("keeps the last good copies while the file is broken, and mends what others change of them", func(ctx context.Context) {
		first := w.repo.Commit("main", "1", files(deployment, lifecycle))
		source := w.source(ctx)
		w.deploy(ctx, deployment)
		w.says(first, "checkout/post-deployment", "success: ")
		before := w.lifecycle("checkout")
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(before), before)).To(Succeed())
		for _, broken := range []map[string]string{
			files(deployment, "kind: {"),
			files(deployment, policyWith("      expression: no.such.name\n")),
		} {
			commit := w.repo.Commit("main", "break", broken)
			w.look(ctx, source)
			w.says(commit, "validate", "failure: ")
		}
		policy := &gitopsv1alpha1.SLOPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop-checkout-slo"}}
		Expect(state(ctx, policy, meta.ReadyCondition)()).To(HavePrefix("True "))
		Expect(w.deliveries(ctx)).To(HaveLen(1))
		Expect(kube.Patch(ctx, before.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"app":"hijacked"}}`)))).To(Succeed())
		mended := w.repo.Commit("main", "mend", files(deployment, lifecycle))
		w.look(ctx, source)
		w.says(mended, "validate", "success: valid: checkout")
		Eventually(func() string {
			after := w.lifecycle("checkout")
			_ = kube.Get(ctx, client.ObjectKeyFromObject(after), after)
			return after.Spec.App
		}).Should(Equal("checkout"))
		Expect(kube.Delete(ctx, policy)).To(Succeed())
		Eventually(state(ctx, policy, meta.ReadyCondition)).Should(HavePrefix("True "))
	})

	It("lets a lifecycle.yaml that somebody applies as well have no effect", func(ctx context.Context) {
		commit := w.repo.Commit("main", "1", files(deployment, plain))
		w.source(ctx)
		applied := &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "checkout"}}
		Expect(kube.Create(ctx, applied)).To(Succeed())
		Eventually(state(ctx, applied, meta.ReadyCondition)).Should(HavePrefix("True ReadFromGit: "))
		w.deploy(ctx, deployment)
		w.says(commit, "checkout/deployment", "success: ")
		Expect(w.deliveries(ctx)).To(HaveLen(1))
	})

	It("of another environment of the same repository has overlays, contexts and deliveries of its own", func(ctx context.Context) {
		tree := map[string]string{
			"base/kustomization.yaml": kustomization, "base/deployment.yaml": deployment, "base/lifecycle.yaml": plain,
		}
		for _, env := range []string{"staging", "production"} {
			tree["envs/"+env+"/kustomization.yaml"] = "resources: [../../base]\nnamePrefix: " + env + "-\nimages: [{name: checkout, newTag: " + env + "}]\n"
		}
		commit := w.repo.Commit("main", "1", tree)
		for _, env := range []string{"staging", "production"} {
			w.source(ctx, func(s *gitopsv1alpha1.GitSource) {
				s.Name, s.Spec.Environment, s.Spec.Paths = env, env, []string{"envs/" + env}
			})
		}
		waiting := "pending: waiting for the rollout"
		Eventually(func() map[string]string { return w.said(commit) }).Should(Equal(map[string]string{
			"validate": "success: valid: checkout", "checkout/deployment": waiting,
			"keptn/staging/validate": "success: valid: checkout", "keptn/staging/checkout/deployment": waiting,
		}))
		w.deploy(ctx, strings.Replace(version("staging"), "{name: checkout}", "{name: staging-checkout}", 1))
		Eventually(func() map[string]string { return w.said(commit) }).Should(And(
			HaveKeyWithValue("keptn/staging/checkout/deployment", "success: 1 pod runs "+commit[:7]),
			HaveKeyWithValue("checkout/deployment", waiting)))

		next := w.repo.Commit("main", "2", map[string]string{
			"envs/production/kustomization.yaml": tree["envs/production/kustomization.yaml"] + "nameSuffix: -b\n"})
		for _, env := range []string{"staging", "production"} {
			s := &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: env}}
			w.look(ctx, s)
		}
		Eventually(func() map[string]string { return w.said(next) }).Should(Equal(map[string]string{
			"validate": "success: valid: checkout", "checkout/deployment": waiting, "keptn/staging/validate": "success: valid: checkout",
		}))
	})

	It("keeps its deliveries while an overlay cannot be read", func(ctx context.Context) {
		tree := map[string]string{
			"base/kustomization.yaml": kustomization, "base/deployment.yaml": deployment, "base/lifecycle.yaml": plain,
			"envs/production/kustomization.yaml": "resources: [../../base]\n",
		}
		first := w.repo.Commit("main", "1", tree)
		source := w.source(ctx, func(s *gitopsv1alpha1.GitSource) { s.Spec.Paths = []string{"envs/production"} })
		w.deploy(ctx, deployment)
		w.says(first, "checkout/deployment", "success: ")
		second := w.repo.Commit("main", "2", map[string]string{"envs/production/kustomization.yaml": "resources: [../../base"})
		w.look(ctx, source)
		Eventually(func() string { return w.said(second)["validate"] }).ShouldNot(BeEmpty())
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(w.lifecycle("checkout")), w.lifecycle("checkout"))).To(Succeed())
		Expect(w.deliveries(ctx)).To(HaveLen(1))
	})

	It("governs another namespace only with its consent", func(ctx context.Context) {
		other := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "other-"}}
		Expect(kube.Create(ctx, other)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { clean(ctx, other.Name) })
		there := strings.Replace(deployment, "{name: checkout}", "{name: checkout, namespace: "+other.Name+"}", 1)
		commit := w.repo.Commit("main", "1", files(there, plain))
		source := w.source(ctx)
		w.says(commit, "validate", "success: ")
		home := w.namespace
		w.namespace = other.Name
		w.deploy(ctx, there)
		w.namespace = home
		denied := And(HavePrefix("False AccessDenied: "), ContainSubstring(other.Name))
		Eventually(state(ctx, w.lifecycle("checkout"), meta.ReadyCondition)).Should(denied)
		Eventually(w.events(ctx, "shop-checkout")).Should(ContainElement(HavePrefix("Warning AccessDenied: ")))
		target := []byte(`{"spec":{"targetNamespaces":["` + other.Name + `"]}}`)
		Expect(kube.Patch(ctx, source.DeepCopy(), client.RawPatch(types.MergePatchType, target))).To(Succeed())
		Consistently(state(ctx, w.lifecycle("checkout"), meta.ReadyCondition), "300ms", "50ms").Should(denied)
		consent := []byte(`{"metadata":{"annotations":{"gitops.keptn.sh/allow-from":"` + home + `"}}}`)
		Expect(kube.Patch(ctx, other.DeepCopy(), client.RawPatch(types.MergePatchType, consent))).To(Succeed())
		w.says(commit, "checkout/deployment", "success: 1 pod runs "+commit[:7])
		w.namespace = other.Name
		Expect(w.deliveries(ctx)).To(HaveLen(1))
		w.namespace = home
		w.repo.Remove("main", "2", "apps/checkout/lifecycle.yaml")
		w.look(ctx, source)
		w.namespace = other.Name
		Eventually(func() int { return len(w.deliveries(ctx)) }).Should(BeZero())
	})
})
