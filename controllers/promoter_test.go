package controllers_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

// promoterKind is an object of gitops-promoter in the namespace of a world.
func (w *world) promoterKind(kind, name string, spec map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("promoter.argoproj.io/v1alpha1")
	u.SetKind(kind)
	u.SetNamespace(w.namespace)
	u.SetName(name)
	if spec != nil {
		u.Object["spec"] = spec
	}
	return u
}

// installPromoter brings the kinds of gitops-promoter into the cluster, until the returned
// function, or the end of the test, takes them away.
func installPromoter() (remove func(context.Context)) {
	GinkgoHelper()
	installed, err := envtest.InstallCRDs(cluster, envtest.CRDInstallOptions{Paths: []string{filepath.Join("testdata", "crds", "promoter.argoproj.io.yaml")}})
	Expect(err).NotTo(HaveOccurred())
	Expect(installed).To(HaveLen(3))
	remove = func(ctx context.Context) {
		Expect(envtest.UninstallCRDs(cluster, envtest.CRDInstallOptions{CRDs: installed})).To(Succeed())
		for _, definition := range installed {
			gone := &metav1.PartialObjectMetadata{}
			gone.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
			Eventually(func() bool {
				return apierrors.IsNotFound(kube.Get(ctx, types.NamespacedName{Name: definition.Name}, gone))
			}).Should(BeTrue())
		}
	}
	DeferCleanup(remove)
	return remove
}

var _ = Describe("gitops-promoter", Ordered, ContinueOnFailure, func() {
	const (
		branch   = "environment/staging"
		proposed = "environment/staging-next"
	)
	var (
		w      *world
		source *gitopsv1alpha1.GitSource
	)

	BeforeAll(func() { runController(GinkgoT().TempDir()) })
	BeforeEach(func(ctx context.Context) {
		w = newWorld(ctx)
		w.repo = w.git.Create(GinkgoTB(), "acme/"+w.namespace)
		w.metrics.set("requests", "1000")
		w.metrics.set("errors", "1")
	})

	watch := func(ctx context.Context) {
		source = w.source(ctx, func(s *gitopsv1alpha1.GitSource) { s.Spec.Ref = &gitopsv1alpha1.GitRef{Branch: branch} })
	}
	repository := func(ctx context.Context, name string) {
		GinkgoHelper()
		Expect(kube.Create(ctx, w.promoterKind("GitRepository", "shop", map[string]any{
			"scmProviderRef": map[string]any{"kind": "ScmProvider", "name": "acme"},
			"gitea":          map[string]any{"owner": "acme", "name": name},
		}))).To(Succeed())
	}
	// strategy asks for a key in staging.
	strategy := func(ctx context.Context, key string) *unstructured.Unstructured {
		GinkgoHelper()
		s := w.promoterKind("PromotionStrategy", "shop", map[string]any{
			"gitRepositoryRef": map[string]any{"name": "shop"},
			"environments": []any{
				map[string]any{"branch": branch, "activeCommitStatuses": []any{map[string]any{"key": key}}},
				map[string]any{"branch": "environment/production"},
			},
		})
		Expect(kube.Create(ctx, s)).To(Succeed())
		return s
	}
	statuses := func(ctx context.Context) []unstructured.Unstructured {
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion("promoter.argoproj.io/v1alpha1")
		list.SetKind("CommitStatusList")
		if err := kube.List(ctx, list, inNamespace(w)); err != nil {
			return nil
		}
		return list.Items
	}
	// told are the CommitStatuses, each written as <phase> at <sha>: <description>.
	told := func(ctx context.Context) func() []string {
		return func() []string {
			var lines []string
			for _, s := range statuses(ctx) {
				spec := s.Object["spec"].(map[string]any)
				lines = append(lines, fmt.Sprintf("%s at %s: %s", spec["phase"], spec["sha"], spec["description"]))
			}
			return lines
		}
	}
	one := func(text string) OmegaMatcher { return ConsistOf(HavePrefix(text)) }
	patch := func(ctx context.Context, obj client.Object, text string) {
		GinkgoHelper()
		Expect(kube.Patch(ctx, obj.DeepCopyObject().(client.Object), client.RawPatch(types.MergePatchType, []byte(text)))).To(Succeed())
	}

	It("is told at the end of a branch whether what runs of it has passed", func(ctx context.Context) {
		first := w.repo.Commit(branch, "1", files(deployment, lifecycle))
		watch(ctx)
		w.says(first, "checkout/deployment", "pending: ")
		installPromoter()
		repository(ctx, w.namespace)
		asking := strategy(ctx, "keptn-checkout")
		Eventually(told(ctx)).Should(one("pending at " + first + ": waiting for the rollout"))
		w.deploy(ctx, deployment)
		Eventually(told(ctx)).Should(one("success at " + first + ": "))

		status := statuses(ctx)[0]
		Expect(status.GetName()).To(Equal("shop-checkout-keptn"))
		Expect(status.GetLabels()).To(Equal(map[string]string{
			"promoter.argoproj.io/commit-status": "keptn-checkout", "promoter.argoproj.io/environment": "environment-staging",
			"promoter.argoproj.io/lifecycle-commit-status": "shop-checkout",
		}))
		Expect(status.Object["spec"]).To(And(
			HaveKeyWithValue("name", "keptn-checkout/"+branch), HaveKeyWithValue("gitRepositoryRef", map[string]any{"name": "shop"}),
		))
		lc := w.lifecycle("checkout")
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(lc), lc)).To(Succeed())
		Expect(metav1.IsControlledBy(&status, lc)).To(BeTrue())

		By("merging what was proposed")
		w.repo.ForcePush(proposed, first)
		second := w.repo.Commit(proposed, "2", files(version("2"), lifecycle))
		merge := w.repo.Merge(branch, proposed, "Promote 2", map[string]string{"apps/checkout/deployment.yaml": version("2")})
		w.look(ctx, source)
		Eventually(told(ctx)).Should(one("pending at " + merge + ": waiting for the rollout"))
		afterwards()
		w.metrics.set("errors", "31")
		w.deploy(ctx, version("2"))
		Eventually(told(ctx)).Should(ConsistOf(And(HavePrefix("failure at "+merge+": "+second[:7]+": "), HaveSuffix("error-ratio 3.1% ≥ 1%"))))

		By("changing nothing of the app")
		readme := w.repo.Commit(branch, "Explain", map[string]string{"README.md": "shop"})
		w.look(ctx, source)
		Eventually(told(ctx)).Should(ConsistOf(And(HavePrefix("failure at "+readme+": "+second[:7]+": "), HaveSuffix("error-ratio 3.1% ≥ 1%"))))

		By("mending what others do to it")
		patch(ctx, &status, `{"spec":{"phase":"success"}}`)
		Eventually(told(ctx)).Should(one("failure at " + readme))
		Expect(kube.Delete(ctx, &status)).To(Succeed())
		Eventually(told(ctx)).Should(one("failure at " + readme))
		patch(ctx, asking, `{"metadata":{"labels":{"promoter.argoproj.io/instance-id":"blue"}}}`)
		Eventually(func() string { return statuses(ctx)[0].GetLabels()["promoter.argoproj.io/instance-id"] }).Should(Equal("blue"))

		By("asking for something else")
		patch(ctx, asking, `{"spec":{"environments":[{"branch":"`+branch+`","activeCommitStatuses":[{"key":"argocd-health"}]}]}}`)
		Eventually(told(ctx)).Should(BeEmpty())
	})

	It("is told nothing that it did not ask, and may come and go", func(ctx context.Context) {
		remove := installPromoter()
		commit := w.repo.Commit(branch, "1", files(deployment, plain))
		watch(ctx)
		repository(ctx, "other")
		asking := strategy(ctx, "keptn-checkout")
		w.deploy(ctx, deployment)
		w.says(commit, "checkout/deployment", "success: ")
		Consistently(told(ctx), "500ms", "100ms").Should(BeEmpty(), "its repository is another one")
		patch(ctx, w.promoterKind("GitRepository", "shop", nil), `{"spec":{"gitea":{"name":"`+strings.ToUpper(w.namespace)+`"}}}`)
		Eventually(told(ctx)).Should(one("success at " + commit))
		Expect(kube.Delete(ctx, asking)).To(Succeed())
		Eventually(told(ctx)).Should(BeEmpty())

		remove(ctx)
		second := w.repo.Commit(branch, "2", files(version("2"), plain))
		w.look(ctx, source)
		w.deploy(ctx, version("2"))
		w.says(second, "checkout/deployment", "success: ")
		installPromoter()
		repository(ctx, w.namespace)
		strategy(ctx, "keptn-checkout")
		Eventually(told(ctx)).Should(one("success at " + second))
	})
})
