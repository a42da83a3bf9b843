package controllers_test

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitsource/gittest"
)

var _ = Describe("A commit of another repository", Ordered, ContinueOnFailure, func() {
	var (
		w        *world
		app      *gittest.Repo
		images   string
		built    string
		unbuilt  string
		deployed string
	)

	BeforeAll(func() {
		runController(GinkgoT().TempDir())
		s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
		DeferCleanup(s.Close)
		images = strings.TrimPrefix(s.URL, "http://")
	})
	BeforeEach(func(ctx context.Context) {
		w = newWorld(ctx)
		app = w.git.Create(GinkgoTB(), w.namespace+"-app")
		built = app.Commit("main", "Answer faster", map[string]string{"main.go": "package main\n"})
		unbuilt = app.Commit("main", "Answer faster still", map[string]string{"main.go": "package main // fast\n"})
		s := w.source(ctx, func(s *gitopsv1alpha1.GitSource) { s.Name, s.Spec.URL = "app", app.URL })
		Eventually(state(ctx, s, meta.ReadyCondition)).Should(HaveSuffix(unbuilt))
	})

	// build pushes an image, named after the world, with labels that say what it was
	// built from, and returns its name.
	build := func(tag string, labels map[string]string) string {
		GinkgoHelper()
		image, err := mutate.Config(empty.Image, v1.Config{Labels: labels})
		Expect(err).NotTo(HaveOccurred())
		ref, err := name.ParseReference(images + "/" + w.namespace + ":" + tag)
		Expect(err).NotTo(HaveOccurred())
		Expect(remote.Write(ref, image)).To(Succeed())
		return ref.String()
	}
	from := func(repository, commit string) map[string]string {
		return map[string]string{"org.opencontainers.image.source": repository, "org.opencontainers.image.revision": commit}
	}
	running := func(image string) string {
		return strings.Replace(deployment, "checkout:1", image, 1)
	}
	// release deploys an image by a commit.
	release := func(ctx context.Context, message, image string) {
		GinkgoHelper()
		deployed = w.repo.Commit("main", message, files(running(image), plain))
		w.source(ctx)
		w.says(deployed, "checkout/deployment", "pending: ")
		w.deploy(ctx, running(image))
		w.says(deployed, "checkout/deployment", "success: 1 pod runs "+deployed[:7])
	}
	provenance := func(ctx context.Context) func() *lifecyclev1.Provenance {
		return func() *lifecyclev1.Provenance {
			if kav := w.delivery(ctx, deployed); kav != nil {
				return kav.Status.Provenance
			}
			return nil
		}
	}

	It("from which an image was built shows what became of it, and keeps the deployment", func(ctx context.Context) {
		image := build("1", from(app.URL, built[:12]))
		release(ctx, "Release 1", image)
		Eventually(provenance(ctx)).Should(HaveValue(Equal(lifecyclev1.Provenance{Commits: []lifecyclev1.SourceCommit{{
			SHA: built, Repository: app.URL, Source: "app", Evidence: lifecyclev1.EvidenceImage, By: "image " + image,
		}}})))
		Eventually(func() string { return said(app, built)["checkout/deployment"] }).Should(Equal("success: 1 pod runs " + deployed[:7]))
		Expect(said(app, unbuilt)).NotTo(HaveKey("checkout/deployment"))

		var deployments []dora.Deployment
		Eventually(func() []dora.Deployment {
			deployments = nil
			for line := range strings.Lines(noteText(app, built)) {
				if d, ok := dora.DeploymentOfNote(strings.TrimSpace(line)); ok {
					deployments = append(deployments, d)
				}
			}
			return deployments
		}).Should(HaveLen(1))
		Expect(deployments[0]).To(BeComparableTo(
			dora.Deployment{App: "checkout", Environment: "production", Commit: built, Cluster: "test", Result: dora.Success},
			cmpopts.IgnoreFields(dora.Deployment{}, "StartedAt", "FinishedAt")))
		Expect(w.deliveries(ctx)).To(HaveLen(1))
	})

	It("has a lead time from when it was written, beside that of the delivered one", func(ctx context.Context) {
		release(ctx, "Release 1", build("1", from(app.URL, built)))
		Eventually(provenance(ctx)).ShouldNot(BeNil())
		first := deployed
		image := build("2", from(app.URL, unbuilt))
		deployed = w.repo.Commit("main", "Release 2", files(running(image), plain))
		w.look(ctx, &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop"}})
		w.says(deployed, "checkout/deployment", "pending: ")
		afterwards()
		w.deploy(ctx, running(image))
		w.says(deployed, "checkout/deployment", "success: 1 pod runs "+deployed[:7])
		lc := w.lifecycle("checkout")
		Eventually(func(g Gomega) {
			g.Expect(kube.Get(ctx, client.ObjectKeyFromObject(lc), lc)).To(Succeed())
			g.Expect(lc.Status.Deployments).To(HaveLen(2))
			for i, of := range []struct{ deployed, built string }{{deployed, unbuilt}, {first, built}} {
				g.Expect(lc.Status.Deployments[i].Commit).To(Equal(of.deployed))
				g.Expect(lc.Status.Deployments[i].Code).To(ConsistOf(gitopsv1alpha1.CodeCommit{Source: "app", Commit: of.built}))
			}
			g.Expect(lc.Status.DORA.Windows[0].LeadTimes).To(BeEquivalentTo(1))
			g.Expect(lc.Status.DORA.Windows[0].CodeLeadTimes).To(BeEquivalentTo(1))
			g.Expect(lc.Status.DORA.Windows[0].CodeLeadTimeP50).NotTo(BeNil())
		}).Should(Succeed())
	})

	It("to which the delivered one refers shows what became of it", func(ctx context.Context) {
		release(ctx, "Release 1\n\nArgocd-reference-commit-repourl: "+app.URL+"\nArgocd-reference-commit-sha: "+built+"\n", build("1", nil))
		Eventually(provenance(ctx)).Should(HaveValue(And(
			HaveField("Commits", ConsistOf(lifecyclev1.SourceCommit{
				SHA: built, Repository: app.URL, Source: "app", Evidence: lifecyclev1.EvidenceTrailer, By: "commit " + deployed + " of " + w.repo.URL,
			})),
			HaveField("Message", ContainSubstring("names no commit")),
		)))
		Eventually(func() string { return said(app, built)["checkout/deployment"] }).Should(Equal("success: 1 pod runs " + deployed[:7]))
	})

	It("by which an image is tagged is found where it is", func(ctx context.Context) {
		release(ctx, "Release 1", build(built, nil))
		Eventually(provenance(ctx)).Should(HaveValue(HaveField("Commits", ConsistOf(HaveField("SHA", built)))))
	})

	It("that nobody reads is told of, and nothing else", func(ctx context.Context) {
		release(ctx, "Release 1", build("1", from("https://git.example.com/acme/till", built)))
		Eventually(provenance(ctx)).Should(HaveValue(And(
			HaveField("Commits", BeEmpty()),
			HaveField("Message", ContainSubstring("of https://git.example.com/acme/till, which no GitSource of the namespace reads")),
		)))
	})

	It("is not looked for by those who are to be told nothing", func(ctx context.Context) {
		Expect(kube.Delete(ctx, &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "app"}})).To(Succeed())
		release(ctx, "Release 1", build("1", from(app.URL, built)))
		Consistently(provenance(ctx), "1s").Should(BeNil())
	})

	It("of the app's own repository is delivered where only the image was set", func(ctx context.Context) {
		release(ctx, "Release 1", build("1", nil))
		code := w.repo.Commit("main", "Answer faster", map[string]string{"main.go": "package main\n"})
		w.apply(ctx, running(build("2", from(w.repo.URL, code))))
		Eventually(func() lifecyclev1.Evidence {
			if kav := w.delivery(ctx, code); kav != nil {
				return kav.Spec.Commit.Evidence
			}
			return ""
		}).Should(Equal(lifecyclev1.EvidenceImage))
		w.rollOut(ctx, deployment)
		w.says(code, "checkout/deployment", "success: 1 pod runs "+code[:7])
	})
})
