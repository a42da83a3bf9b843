package controllers_test

import (
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/repository"
)

// The definitions of the kinds that sources borrow from, as their projects ship them
// (evidence/testdata/ORIGIN.md).
const (
	fluxDefinition = "source.toolkit.fluxcd.io_gitrepositories.yaml.gz"
	argoDefinition = "argoproj.io_applications.yaml.gz"
)

// install brings a kind into the cluster, until the returned function, or the end of the
// test, takes it and all its objects away.
func install(file string) (remove func(context.Context)) {
	GinkgoHelper()
	f, err := os.Open(filepath.Join("evidence", "testdata", "crds", file))
	Expect(err).NotTo(HaveOccurred())
	defer f.Close()
	r, err := gzip.NewReader(f)
	Expect(err).NotTo(HaveOccurred())
	text, err := io.ReadAll(r)
	Expect(err).NotTo(HaveOccurred())
	definition := &apiextensionsv1.CustomResourceDefinition{}
	Expect(yaml.UnmarshalStrict(text, definition)).To(Succeed())
	installed, err := envtest.InstallCRDs(cluster, envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{definition}})
	Expect(err).NotTo(HaveOccurred())
	remove = func(ctx context.Context) {
		Expect(envtest.UninstallCRDs(cluster, envtest.CRDInstallOptions{CRDs: installed})).To(Succeed())
		gone := &metav1.PartialObjectMetadata{}
		gone.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
		Eventually(func() bool {
			return apierrors.IsNotFound(kube.Get(ctx, types.NamespacedName{Name: definition.Name}, gone))
		}).Should(BeTrue())
	}
	DeferCleanup(remove)
	return remove
}

var _ = Describe("A source that borrows its repository", Ordered, ContinueOnFailure, func() {
	var w *world

	BeforeAll(func() { runController(GinkgoT().TempDir()) })
	BeforeEach(func(ctx context.Context) { w = newWorld(ctx) })

	// from is a source that looks at the remote once, and again only if something wakes it.
	from := func(ctx context.Context, ref gitopsv1alpha1.SourceReference, change ...func(*gitopsv1alpha1.GitSource)) *gitopsv1alpha1.GitSource {
		return w.source(ctx, append(change, func(s *gitopsv1alpha1.GitSource) { s.Spec.URL, s.Spec.SourceRef = "", &ref })...)
	}
	ready := func(ctx context.Context, s *gitopsv1alpha1.GitSource) func() string {
		return state(ctx, s, meta.ReadyCondition)
	}
	flux := gitopsv1alpha1.SourceReference{Kind: gitopsv1alpha1.GitRepositoryKind, Name: "shop"}
	argo := gitopsv1alpha1.SourceReference{Kind: gitopsv1alpha1.ApplicationKind, Name: "shop"}

	gitRepository := func(ctx context.Context, change ...func(*sourcev1.GitRepository)) *sourcev1.GitRepository {
		g := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop"}}
		g.Spec = sourcev1.GitRepositorySpec{URL: w.repo.URL, Interval: metav1.Duration{Duration: time.Hour}, Reference: &sourcev1.GitRepositoryRef{Branch: "main"}}
		for _, c := range change {
			c(g)
		}
		Expect(kube.Create(ctx, g)).To(Succeed())
		return g
	}
	application := func(ctx context.Context, namespace string, source map[string]any) *unstructured.Unstructured {
		a := repository.NewApplication()
		a.SetNamespace(namespace)
		a.SetName("shop")
		a.Object["spec"] = map[string]any{
			"project": "default", "destination": map[string]any{"namespace": w.namespace, "server": "https://kubernetes.default.svc"}, "source": source,
		}
		Expect(kube.Create(ctx, a)).To(Succeed())
		return a
	}
	patch := func(ctx context.Context, obj client.Object, text string) {
		Expect(kube.Patch(ctx, obj.DeepCopyObject().(client.Object), client.RawPatch(types.MergePatchType, []byte(text)))).To(Succeed())
	}

	It("waits for Flux to be installed, and notices when it goes and comes back", func(ctx context.Context) {
		commit := w.repo.Commit("main", "1", files(deployment, plain))
		source := from(ctx, flux)
		missing := HavePrefix("False SourceNotFound: spec.sourceRef: nothing to borrow the repository from: the cluster has no kind GitRepository")
		Eventually(ready(ctx, source)).Should(missing)
		Eventually(w.events(ctx, "shop")).Should(ContainElement(HavePrefix("Warning SourceNotFound: ")))
		before := w.versions(ctx)
		Consistently(func() string { return w.versions(ctx) }, "500ms", "100ms").Should(Equal(before))

		remove := install(fluxDefinition)
		gitRepository(ctx)
		Eventually(ready(ctx, source)).Should(Equal("True Succeeded: read 1 app at main@sha1:" + commit))
		w.says(commit, "validate", "success: ")

		remove(ctx)
		Eventually(ready(ctx, source)).Should(HavePrefix("False SourceNotFound: "))
		install(fluxDefinition)
		gitRepository(ctx)
		Eventually(ready(ctx, source)).Should(HavePrefix("True "))
	})

	It("follows a GitRepository of Flux, and takes its Secret within the namespace", func(ctx context.Context) {
		install(fluxDefinition)
		w.git.RequirePassword("git", "first")
		Expect(kube.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "flux-git"},
			Data:       map[string][]byte{"username": []byte("git"), "password": []byte("first")},
		})).To(Succeed())
		first := w.repo.Commit("main", "1", files(deployment, plain))
		second := w.repo.Commit("next", "2", files(version("2"), plain))
		lender := gitRepository(ctx, func(g *sourcev1.GitRepository) { g.Spec.SecretRef = &meta.LocalObjectReference{Name: "flux-git"} })
		source := from(ctx, flux)
		w.says(first, "validate", "success: ")
		w.deploy(ctx, deployment)
		w.says(first, "checkout/deployment", "success: 1 pod runs "+first[:7])
		Expect(w.delivery(ctx, first).Spec.Commit.Repository).To(Equal(w.repo.URL))
		Eventually(ready(ctx, source)).Should(HavePrefix("True "))
		Expect(source.Status.URL).To(Equal(w.repo.URL))

		patch(ctx, lender, `{"spec":{"ref":{"branch":"next"}}}`)
		w.says(second, "validate", "success: ")

		other := w.git.Create(GinkgoTB(), w.namespace+"-other")
		moved := other.Commit("next", "3", files(version("3"), plain))
		patch(ctx, lender, `{"spec":{"url":"`+other.URL+`"}}`)
		Eventually(func() string { return said(other, moved)["validate"] }).Should(HavePrefix("success: "))
		w.deploy(ctx, version("3"))
		Eventually(func() string { return said(other, moved)["checkout/deployment"] }).Should(HavePrefix("success: "))

		Expect(kube.Delete(ctx, lender)).To(Succeed())
		Eventually(ready(ctx, source)).Should(HavePrefix("False SourceNotFound: "))
		gitRepository(ctx, func(g *sourcev1.GitRepository) { g.Spec.SecretRef = &meta.LocalObjectReference{Name: "flux-git"} })
		Eventually(ready(ctx, source)).Should(Equal("True Succeeded: read 1 app at main@sha1:" + first))
	})

	It("follows an Application of Argo CD, with its folder and its tag", func(ctx context.Context) {
		install(argoDefinition)
		tree := files(deployment, plain)
		tree["apps/broken/lifecycle.yaml"] = "kind: {"
		first := w.repo.Commit("main", "1", tree)
		w.repo.Tag("v1", first, "")
		second := w.repo.Commit("main", "2", files(version("2"), plain))
		lender := application(ctx, w.namespace, map[string]any{"repoURL": w.repo.URL, "path": "apps/checkout", "targetRevision": "v1"})
		source := from(ctx, argo)
		w.says(first, "validate", "success: valid: checkout")
		Expect(w.said(second)).To(BeEmpty())
		Eventually(ready(ctx, source)).Should(Equal("True Succeeded: read 1 app at v1@sha1:" + first))

		patch(ctx, lender, `{"spec":{"source":{"targetRevision":"main"}}}`)
		w.says(second, "validate", "success: valid: checkout")
		patch(ctx, lender, `{"spec":{"source":{"path":"apps/broken"}}}`)
		Eventually(ready(ctx, source)).Should(HavePrefix("False InvalidManifest: "))
		patch(ctx, lender, `{"spec":{"source":null,"sources":[{"repoURL":"https://git.example.com/a","path":"a"},{"repoURL":"`+w.repo.URL+`","path":"apps/checkout","name":"config"}]}}`)
		Eventually(ready(ctx, source)).Should(And(HavePrefix("False InvalidSource: "), ContainSubstring("name one in spec.sourceRef.sourceName or sourcePosition")))
		patch(ctx, source, `{"spec":{"sourceRef":{"sourceName":"config"}}}`)
		Eventually(ready(ctx, source)).Should(Equal("True Succeeded: read 1 app at main@sha1:" + second))
	})

	It("borrows from another namespace only with the object's consent", func(ctx context.Context) {
		install(argoDefinition)
		other := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "argocd-"}}
		Expect(kube.Create(ctx, other)).To(Succeed())
		commit := w.repo.Commit("main", "1", files(deployment, plain))
		lender := application(ctx, other.Name, map[string]any{"repoURL": w.repo.URL, "path": "apps/checkout"})
		ref := argo
		ref.Namespace = other.Name
		source := from(ctx, ref)
		denied := And(HavePrefix("False AccessDenied: "), ContainSubstring("annotate it with gitops.keptn.sh/allow-from: "+w.namespace))
		Eventually(ready(ctx, source)).Should(denied)
		patch(ctx, lender, `{"metadata":{"annotations":{"gitops.keptn.sh/allow-from":"`+w.namespace+`"}}}`)
		w.says(commit, "validate", "success: ")
		patch(ctx, lender, `{"metadata":{"annotations":{"gitops.keptn.sh/allow-from":null}}}`)
		Eventually(ready(ctx, source)).Should(denied)
	})

	It("keeps notes beside a forge, which delays them not", func(ctx context.Context) {
		commit := w.repo.Commit("main", "1", files(deployment, plain))
		source := w.source(ctx, func(s *gitopsv1alpha1.GitSource) {
			s.Spec.Provider, s.Spec.Statuses = gitopsv1alpha1.GiteaProvider, &gitopsv1alpha1.Statuses{Notes: true}
		})
		w.says(commit, "validate", "success: ")
		w.deploy(ctx, deployment)
		w.says(commit, "checkout/deployment", "success: 1 pod runs "+commit[:7])
		Eventually(state(ctx, source, gitopsv1alpha1.ReportedCondition)).Should(HavePrefix("False NoCredentials: "))
	})
})
