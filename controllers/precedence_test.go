package controllers_test

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/shard"
)

// ofCart is the folder of another app, apps/cart.
func ofCart(deployment string) map[string]string {
	all := map[string]string{}
	for name, content := range files(deployment, plain) {
		all[strings.Replace(name, "checkout", "cart", 1)] = strings.ReplaceAll(content, "{name: checkout}", "{name: cart}")
	}
	return all
}

func patchSource(ctx context.Context, s *gitopsv1alpha1.GitSource, text string) {
	GinkgoHelper()
	Expect(kube.Patch(ctx, s.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(text)))).To(Succeed())
}

var _ = Describe("A context that two sources would write", Ordered, ContinueOnFailure, func() {
	var w *world

	BeforeAll(func() {
		runController(GinkgoT().TempDir())
		runShard(GinkgoT().TempDir(), "a")
	})
	BeforeEach(func(ctx context.Context) { w = newWorld(ctx) })

	named := func(name string) func(*gitopsv1alpha1.GitSource) {
		return func(s *gitopsv1alpha1.GitSource) { s.Name = name }
	}
	below := func(folder string) func(*gitopsv1alpha1.GitSource) {
		return func(s *gitopsv1alpha1.GitSource) { s.Spec.Paths = []string{folder} }
	}
	reported := func(ctx context.Context, s *gitopsv1alpha1.GitSource) func() string {
		return state(ctx, s, gitopsv1alpha1.ReportedCondition)
	}
	// later creates a source that is younger than those before, but goes before them by its
	// name.
	later := func(ctx context.Context, change ...func(*gitopsv1alpha1.GitSource)) *gitopsv1alpha1.GitSource {
		GinkgoHelper()
		afterwards()
		return w.source(ctx, append([]func(*gitopsv1alpha1.GitSource){named("later")}, change...)...)
	}
	const taken = `False ContextTaken: keptn/production/validate is not shown: GitSource "shop", which came first, writes it for the same repository; ` +
		`give GitSource "later" another spec.environment or spec.statuses.contextPrefix`
	valid := func(commit string) []string {
		var said []string
		for _, n := range notes(w.repo, commit) {
			if n.Context == "keptn/production/validate" {
				said = append(said, n.Description)
			}
		}
		return said
	}

	It("is the older one's, while the younger follows its apps, and takes over once the older is gone", func(ctx context.Context) {
		tree := files(deployment, plain)
		maps.Copy(tree, ofCart(deployment))
		first := w.repo.Commit("main", "1", tree)
		older := w.source(ctx, below("apps/checkout"))
		w.says(first, "validate", "success: valid: checkout")
		younger := later(ctx, below("apps/cart"))
		Eventually(reported(ctx, younger)).Should(Equal(taken))
		Eventually(w.events(ctx, "later")).Should(ContainElement(HavePrefix("Warning ContextTaken: ")))
		Expect(state(ctx, younger, meta.ReadyCondition)()).To(HavePrefix("True Succeeded: "))
		w.says(first, "cart/deployment", "pending: waiting for the rollout")

		maps.Copy(tree, ofCart(version("2")))
		second := w.repo.Commit("main", "2", tree)
		w.look(ctx, younger)
		w.says(second, "cart/deployment", "pending: ")
		w.look(ctx, older)
		w.says(second, "validate", "success: ")
		Eventually(reported(ctx, older)).Should(HavePrefix("True "))
		Expect([][]string{valid(first), valid(second)}).To(Equal([][]string{{"valid: checkout"}, {"valid: checkout"}}))

		Expect(kube.Delete(ctx, older)).To(Succeed())
		w.says(second, "validate", "success: valid: cart")
		Eventually(reported(ctx, younger)).Should(HavePrefix("True "))
	})

	It("of an app is the older one's too, until it has another environment", func(ctx context.Context) {
		commit := w.repo.Commit("main", "1", files(deployment, plain))
		older := w.source(ctx)
		w.says(commit, "checkout/deployment", "pending: ")
		younger := later(ctx)
		theirs := &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "later-checkout"}}
		Eventually(state(ctx, theirs, gitopsv1alpha1.ReportedCondition)).Should(HavePrefix(`False ContextTaken: keptn/production/checkout/… is not shown: GitSource "shop"`))
		patchSource(ctx, older, `{"spec":{"environment":"staging"}}`)
		for _, conditions := range []func() string{reported(ctx, younger), state(ctx, theirs, gitopsv1alpha1.ReportedCondition), reported(ctx, older)} {
			Eventually(conditions).Should(HavePrefix("True "))
		}
	})

	It("is written by both where they are in two namespaces", func(ctx context.Context) {
		commit := w.repo.Commit("main", "1", files(deployment, plain))
		elsewhere := newWorld(ctx)
		older := w.source(ctx, func(s *gitopsv1alpha1.GitSource) { s.Namespace = elsewhere.namespace })
		Eventually(reported(ctx, older)).Should(HavePrefix("True "))
		younger := later(ctx)
		w.says(commit, "validate", "success: ")
		Eventually(reported(ctx, younger)).Should(HavePrefix("True "))
		Consistently(reported(ctx, younger), "300ms").Should(HavePrefix("True "))
	})

	It("is the older one's wherever that is read", func(ctx context.Context) {
		commit := w.repo.Commit("main", "1", files(deployment, plain))
		w.source(ctx, func(s *gitopsv1alpha1.GitSource) { s.Labels = map[string]string{shard.Label: "a"} })
		w.says(commit, "validate", "success: ")
		Eventually(reported(ctx, later(ctx))).Should(Equal(taken))
	})

	It("is written by the younger while the older is suspended", func(ctx context.Context) {
		w.repo.Commit("main", "1", files(deployment, plain))
		older := w.source(ctx)
		Eventually(reported(ctx, older)).Should(HavePrefix("True "))
		younger := later(ctx)
		Eventually(reported(ctx, younger)).Should(Equal(taken))
		patchSource(ctx, older, `{"spec":{"suspend":true}}`)
		Eventually(reported(ctx, younger)).Should(HavePrefix("True "))
		patchSource(ctx, older, `{"spec":{"suspend":false}}`)
		Eventually(reported(ctx, younger)).Should(Equal(taken))
	})

	It("is written by both where one reports to the forge, and the other keeps Git notes", func(ctx context.Context) {
		g, onGitea := w.onGitea(ctx)
		commit := w.repo.Commit("main", "1", files(deployment, plain))
		older := w.source(ctx, onGitea)
		Eventually(reported(ctx, older)).Should(HavePrefix("True "))
		younger := later(ctx)
		w.says(commit, "validate", "success: ")
		Eventually(reported(ctx, younger)).Should(HavePrefix("True "))
		Expect(g.posted(commit)).To(ContainElement("validate success: valid: checkout"))
	})

	DescribeTable("is written by both where they do not meet:", func(ctx context.Context, older func(*gitopsv1alpha1.GitSource)) {
		w.repo.Commit("next", "1", files(version("2"), plain))
		commit := w.repo.Commit("main", "2", files(deployment, plain))
		first := w.source(ctx, older)
		Eventually(state(ctx, first, meta.ReadyCondition)).Should(HavePrefix("True "))
		younger := later(ctx)
		w.says(commit, "validate", "success: ")
		Eventually(reported(ctx, younger)).Should(HavePrefix("True "))
		Consistently(reported(ctx, younger), "300ms").Should(HavePrefix("True "))
	},
		Entry("on another branch", func(s *gitopsv1alpha1.GitSource) { s.Spec.Ref = &gitopsv1alpha1.GitRef{Branch: "next"} }),
		Entry("with another prefix", func(s *gitopsv1alpha1.GitSource) { s.Spec.Statuses = &gitopsv1alpha1.Statuses{ContextPrefix: "other"} }),
		Entry("where one has nothing to report with", func(s *gitopsv1alpha1.GitSource) {
			s.Spec.Provider, s.Spec.Statuses = gitopsv1alpha1.GiteaProvider, &gitopsv1alpha1.Statuses{Notes: true}
		}),
	)
})

var _ = Describe("A name that the copies of two sources would have", Ordered, ContinueOnFailure, func() {
	var w *world

	BeforeAll(func() { runController(GinkgoT().TempDir()) })
	BeforeEach(func(ctx context.Context) { w = newWorld(ctx) })

	It("is the first one's, the second is told what to do, and has it once it is free", func(ctx context.Context) {
		inProd := strings.NewReplacer("name: checkout\n", "name: prod-checkout\n", "name: checkout-slo", "name: prod-checkout-slo", "[checkout-slo]", "[prod-checkout-slo]").Replace(lifecycle)
		w.repo.Commit("main", "1", files(deployment, inProd))
		first := w.source(ctx)
		Eventually(state(ctx, first, meta.ReadyCondition)).Should(HavePrefix("True "))
		copied := w.lifecycle("prod-checkout")
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(copied), copied)).To(Succeed())

		theirs := w.git.Create(GinkgoTB(), w.namespace+"-theirs")
		tree := files(deployment, lifecycle)
		maps.Copy(tree, ofCart(deployment))
		theirs.Commit("main", "1", tree)
		second := w.source(ctx, func(s *gitopsv1alpha1.GitSource) { s.Name, s.Spec.URL = "shop-prod", theirs.URL })
		Eventually(state(ctx, second, meta.ReadyCondition)).Should(Equal(fmt.Sprintf(
			`False NameTaken: "checkout" of apps/checkout/lifecycle.yaml has no effect: its copy would be "shop-prod-checkout" in namespace %q, which GitSource "shop" has already; rename it, or this GitSource`,
			w.namespace)))
		Eventually(w.events(ctx, "shop-prod")).Should(ContainElement(HavePrefix("Warning NameTaken: ")))
		beside := w.lifecycle("prod-cart")
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(beside), beside)).To(Succeed(), "all else of it has effect")
		w.look(ctx, second)
		w.look(ctx, first)
		Consistently(func() string {
			_ = kube.Get(ctx, client.ObjectKeyFromObject(copied), copied)
			return copied.Labels[gitopsv1alpha1.SourceLabel] + " " + copied.Spec.App
		}, "500ms").Should(Equal("shop prod-checkout"))
		policy := &gitopsv1alpha1.SLOPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop-prod-checkout-slo"}}
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(policy), policy)).To(Succeed())
		Expect(metav1.GetControllerOf(policy).Name).To(Equal("shop"))

		w.repo.Remove("main", "2", "apps/checkout/lifecycle.yaml")
		w.look(ctx, first)
		Eventually(state(ctx, second, meta.ReadyCondition)).Should(HavePrefix("True Succeeded: read 2 apps"))
		for _, obj := range []client.Object{copied, policy} {
			Eventually(func() string {
				_ = kube.Get(ctx, client.ObjectKeyFromObject(obj), obj)
				return metav1.GetControllerOf(obj).Name
			}).Should(Equal("shop-prod"))
		}
	})
})
