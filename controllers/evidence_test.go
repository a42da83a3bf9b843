package controllers_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/repository"
)

// templated is a Deployment whose registry is filled in by who applies it, so that no
// commit renders what runs.
func templated(tag string) string {
	return strings.Replace(deployment, "checkout:1", "${registry}/checkout:"+tag, 1)
}

// filled is a manifest as it is applied.
func filled(manifest string) string {
	return strings.ReplaceAll(manifest, "${registry}", "registry.example.com")
}

// unhurried is the plain lifecycle of which nothing but an event tells in time.
var unhurried = strings.Replace(plain, "matchTimeout: 2s", "matchTimeout: 10m", 1)

// onMain is how Flux writes a commit of the branch main.
func onMain(commit string) string { return "main@sha1:" + commit }

// appliedBy applies a manifest server-side, as a deployer that marks what it applies.
func (w *world) appliedBy(ctx context.Context, manager, manifest string, labels, annotations map[string]string) *unstructured.Unstructured {
	GinkgoHelper()
	u := &unstructured.Unstructured{}
	Expect(yaml.Unmarshal([]byte(manifest), &u.Object)).To(Succeed())
	u.SetNamespace(w.namespace)
	u.SetLabels(labels)
	u.SetAnnotations(annotations)
	Expect(kube.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(manager), client.ForceOwnership)).To(Succeed())
	return u
}

// fluxClient knows the kinds of Flux.
func fluxClient() client.Client {
	GinkgoHelper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{sourcev1.AddToScheme, kustomizev1.AddToScheme, helmv2.AddToScheme} {
		Expect(add(scheme)).To(Succeed())
	}
	c, err := client.New(cluster, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	return c
}

// kustomizer plays kustomize-controller for one Kustomization: what it writes, and in
// which order
// (https://github.com/fluxcd/kustomize-controller/blob/v1.9.6/internal/controller/kustomization_controller.go).
type kustomizer struct {
	w    *world
	kube client.Client
	is   *kustomizev1.Kustomization
	// origins are the origins of revisions, where their source tells them.
	origins map[string]string
	applied []kustomizev1.ResourceRef
}

// kustomization makes a Kustomization, named like its source, in the world's namespace.
func (w *world) kustomization(ctx context.Context, source client.Object, kind string) *kustomizer {
	GinkgoHelper()
	k := &kustomizer{w: w, kube: fluxClient(), origins: map[string]string{}}
	source.SetNamespace(w.namespace)
	Expect(k.kube.Create(ctx, source)).To(Succeed())
	k.is = &kustomizev1.Kustomization{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: source.GetName()},
		Spec: kustomizev1.KustomizationSpec{
			Interval: metav1.Duration{Duration: time.Hour}, Path: "./apps", Prune: true,
			SourceRef: kustomizev1.CrossNamespaceSourceReference{Kind: kind, Name: source.GetName()},
		},
	}
	Expect(k.kube.Create(ctx, k.is)).To(Succeed())
	return k
}

// fleet is a GitRepository of a repository.
func fleet(url string) *sourcev1.GitRepository {
	return &sourcev1.GitRepository{
		ObjectMeta: metav1.ObjectMeta{Name: "fleet"},
		Spec:       sourcev1.GitRepositorySpec{URL: url, Interval: metav1.Duration{Duration: time.Hour}},
	}
}

// says changes the status of the Kustomization.
func (k *kustomizer) says(ctx context.Context, change func(*kustomizev1.KustomizationStatus)) {
	GinkgoHelper()
	change(&k.is.Status)
	Expect(k.kube.Status().Update(ctx, k.is)).To(Succeed())
}

func (k *kustomizer) condition(kind string, status metav1.ConditionStatus, reason, message string) {
	apimeta.SetStatusCondition(&k.is.Status.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message})
}

// step is how the controller names a step of a reconciliation.
func step(name, revision string) string {
	return fmt.Sprintf("%s for revision %s with a timeout of 5m0s", name, revision)
}

// begins is a reconciliation before its first object is written.
func (k *kustomizer) begins(ctx context.Context, revision string) {
	GinkgoHelper()
	k.says(ctx, func(s *kustomizev1.KustomizationStatus) {
		s.LastAttemptedRevision = revision
		k.condition(meta.ReadyCondition, metav1.ConditionUnknown, meta.ProgressingReason, "Reconciliation in progress")
		k.condition(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingReason, step("Building manifests", revision))
	})
}

// writes applies manifests within a reconciliation.
func (k *kustomizer) writes(ctx context.Context, manifests ...string) {
	GinkgoHelper()
	for _, manifest := range manifests {
		u := k.w.appliedBy(ctx, "kustomize-controller", manifest, map[string]string{
			kustomizev1.GroupVersion.Group + "/name": k.is.Name, kustomizev1.GroupVersion.Group + "/namespace": k.is.Namespace,
		}, nil)
		ref := kustomizev1.ResourceRef{
			ID:      strings.Join([]string{u.GetNamespace(), u.GetName(), u.GroupVersionKind().Group, u.GetKind()}, "_"),
			Version: u.GroupVersionKind().Version,
		}
		if !slices.Contains(k.applied, ref) {
			k.applied = append(k.applied, ref)
		}
	}
}

// checksHealth is a reconciliation after its last object was written.
func (k *kustomizer) checksHealth(ctx context.Context, revision string) {
	GinkgoHelper()
	k.says(ctx, func(s *kustomizev1.KustomizationStatus) {
		s.Inventory = &kustomizev1.ResourceInventory{Entries: k.applied}
		checking := step("Running health checks", revision)
		k.condition(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingReason, checking)
		k.condition(meta.HealthyCondition, metav1.ConditionUnknown, meta.ProgressingReason, checking)
	})
}

// ends is the end of a reconciliation.
func (k *kustomizer) ends(ctx context.Context, revision string) {
	GinkgoHelper()
	k.says(ctx, func(s *kustomizev1.KustomizationStatus) {
		s.LastAppliedRevision, s.LastAppliedOriginRevision = revision, k.origins[revision]
		apimeta.RemoveStatusCondition(&s.Conditions, meta.ReconcilingCondition)
		k.condition(meta.ReadyCondition, metav1.ConditionTrue, meta.ReconciliationSucceededReason, "Applied revision: "+revision)
		k.condition(meta.HealthyCondition, metav1.ConditionTrue, meta.SucceededReason, "Health check passed in 2s")
		k.recorded(revision, meta.ReconciliationSucceededReason)
	})
}

// getsNotHealthy is the end of a reconciliation whose objects were all applied.
func (k *kustomizer) getsNotHealthy(ctx context.Context, revision string) {
	GinkgoHelper()
	k.says(ctx, func(*kustomizev1.KustomizationStatus) {
		why := "timeout waiting for: [Deployment/" + k.w.namespace + "/checkout status: 'InProgress']"
		k.condition(meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingWithRetryReason, step("Running health checks", revision))
		k.condition(meta.ReadyCondition, metav1.ConditionFalse, meta.HealthCheckFailedReason, why)
		k.condition(meta.HealthyCondition, metav1.ConditionFalse, meta.HealthCheckFailedReason, why)
		k.recorded(revision, meta.HealthCheckFailedReason)
	})
}

// recorded notes the end of a reconciliation in the history.
func (k *kustomizer) recorded(revision, reason string) {
	said := map[string]string{"revision": revision}
	if origin := k.origins[revision]; origin != "" {
		said["originRevision"] = origin
	}
	k.is.Status.Inventory = &kustomizev1.ResourceInventory{Entries: k.applied}
	k.is.Status.History.Upsert(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(revision))), time.Now(), time.Second, reason, said)
}

// applies is a whole reconciliation that succeeds.
func (k *kustomizer) applies(ctx context.Context, revision string, manifests ...string) {
	GinkgoHelper()
	k.begins(ctx, revision)
	k.writes(ctx, manifests...)
	k.ends(ctx, revision)
}

// helmRelease is a HelmRelease with one value.
func helmRelease(tag string) string {
	return "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: checkout}\n" +
		"spec: {interval: 1h, chartRef: {kind: OCIRepository, name: checkout}, values: {image: {tag: \"" + tag + "\"}}}\n"
}

// helmer plays helm-controller for the HelmRelease checkout: what it writes, and in which
// order
// (https://github.com/fluxcd/helm-controller/blob/v1.6.0/internal/reconcile/atomic_release.go).
type helmer struct {
	w    *world
	kube client.Client
}

// says changes the HelmRelease's status.
func (h *helmer) says(ctx context.Context, change func(*helmv2.HelmReleaseStatus)) {
	GinkgoHelper()
	is := &helmv2.HelmRelease{}
	Expect(h.kube.Get(ctx, client.ObjectKey{Namespace: h.w.namespace, Name: "checkout"}, is)).To(Succeed())
	is.Status.ObservedGeneration, is.Status.LastAttemptedGeneration = is.Generation, is.Generation
	change(&is.Status)
	Expect(h.kube.Status().Update(ctx, is)).To(Succeed())
}

func helmCondition(s *helmv2.HelmReleaseStatus, kind string, status metav1.ConditionStatus, reason, message string) {
	apimeta.SetStatusCondition(&s.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message})
}

// begins is an install or an upgrade before its first object is written.
func (h *helmer) begins(ctx context.Context) {
	GinkgoHelper()
	h.says(ctx, func(s *helmv2.HelmReleaseStatus) {
		const running = "Running 'upgrade' action with timeout of 5m0s"
		helmCondition(s, meta.ReconcilingCondition, metav1.ConditionTrue, meta.ProgressingReason, running)
		helmCondition(s, meta.ReadyCondition, metav1.ConditionUnknown, meta.ProgressingReason, running)
	})
}

// writes applies what the chart renders to.
func (h *helmer) writes(ctx context.Context, manifests ...string) {
	GinkgoHelper()
	for _, manifest := range manifests {
		h.w.appliedBy(ctx, "helm-controller", manifest, map[string]string{
			helmv2.GroupVersion.Group + "/name": "checkout", helmv2.GroupVersion.Group + "/namespace": h.w.namespace,
		}, nil)
	}
}

// recorded notes the end of an action in the history.
func (h *helmer) recorded(s *helmv2.HelmReleaseStatus, status string) {
	const digest = "sha256:0cc9a8446c95009ef382f5eade883a67c257f77d50f84e78ecef2aac9428d1e5"
	s.History = append(helmv2.Snapshots{{
		Digest: digest, ConfigDigest: digest, Name: "checkout", Namespace: h.w.namespace, Version: len(s.History) + 1, Status: status,
		ChartName: "checkout", ChartVersion: "1.0.0", FirstDeployed: metav1.Now(), LastDeployed: metav1.Now(),
	}}, s.History...)
	apimeta.RemoveStatusCondition(&s.Conditions, meta.ReconcilingCondition)
}

// ends is the end of an install or an upgrade that succeeds.
func (h *helmer) ends(ctx context.Context) {
	GinkgoHelper()
	h.says(ctx, func(s *helmv2.HelmReleaseStatus) {
		h.recorded(s, "deployed")
		helmCondition(s, meta.ReadyCondition, metav1.ConditionTrue, helmv2.UpgradeSucceededReason, "Helm upgrade succeeded")
	})
}

// rollsBack is the end of an upgrade that fails, after which what was there before is
// written again.
func (h *helmer) rollsBack(ctx context.Context, manifests ...string) {
	GinkgoHelper()
	h.says(ctx, func(s *helmv2.HelmReleaseStatus) {
		h.recorded(s, "failed")
		helmCondition(s, meta.ReadyCondition, metav1.ConditionFalse, helmv2.UpgradeFailedReason, "Helm upgrade failed")
	})
	h.writes(ctx, manifests...)
	h.says(ctx, func(s *helmv2.HelmReleaseStatus) {
		h.recorded(s, "deployed")
		helmCondition(s, helmv2.RemediatedCondition, metav1.ConditionTrue, helmv2.RollbackSucceededReason, "Helm rollback succeeded")
	})
}

// application plays Argo CD: an Application in a namespace of its own that has synced
// the Deployment checkout of the world, with more of its spec, and with the revisions of
// the sync, as YAML.
func (w *world) application(ctx context.Context, spec, revisions string) *unstructured.Unstructured {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "argocd-"}}
	Expect(kube.Create(ctx, ns)).To(Succeed())
	a := repository.NewApplication()
	Expect(yaml.Unmarshal([]byte(fmt.Sprintf(`
spec: {project: default, destination: {namespace: %[1]s, server: "https://kubernetes.default.svc"}, %[2]s}
status:
  controllerNamespace: %[3]s
  resources: [{group: apps, version: v1, kind: Deployment, namespace: %[1]s, name: checkout, status: Synced}]
  operationState:
    operation: {sync: {}}
    phase: Succeeded
    startedAt: %[4]q
    finishedAt: %[4]q
    syncResult:
      resources: [{group: apps, version: v1, kind: Deployment, namespace: %[1]s, name: checkout, status: Synced}]
      %[5]s
`, w.namespace, spec, ns.Name, time.Now().UTC().Format(time.RFC3339), revisions)), &a.Object)).To(Succeed())
	a.SetGroupVersionKind(repository.NewApplication().GroupVersionKind())
	a.SetNamespace(ns.Name)
	a.SetName(w.namespace)
	Expect(kube.Create(ctx, a)).To(Succeed())
	return a
}

// synced applies a manifest as Argo CD does, for the world's Application.
func (w *world) synced(ctx context.Context, manifest string) {
	GinkgoHelper()
	w.appliedBy(ctx, "argocd-controller", manifest, nil, map[string]string{
		"argocd.argoproj.io/tracking-id": w.namespace + ":apps/Deployment:" + w.namespace + "/checkout",
	})
}

var _ = Describe("A commit found by who applied it", Ordered, ContinueOnFailure, func() {
	var (
		w      *world
		source *gitopsv1alpha1.GitSource
	)

	BeforeAll(func() {
		runController(GinkgoT().TempDir())
		for _, definition := range []string{
			fluxDefinition, argoDefinition, "source.toolkit.fluxcd.io_ocirepositories.yaml.gz",
			"kustomize.toolkit.fluxcd.io_kustomizations.yaml.gz", "helm.toolkit.fluxcd.io_helmreleases.yaml.gz",
		} {
			install(definition)
		}
	})
	BeforeEach(func(ctx context.Context) {
		w = newWorld(ctx)
		source = nil
	})

	// of is the folder of an app, made like that of checkout.
	of := func(app, manifest, lifecycle string) map[string]string {
		tree := map[string]string{}
		for path, content := range files(manifest, lifecycle) {
			tree[strings.ReplaceAll(path, "checkout", app)] = strings.ReplaceAll(content, "checkout", app)
		}
		return tree
	}
	// reads waits until the source has read a commit.
	reads := func(ctx context.Context, commit string) string {
		GinkgoHelper()
		if source == nil {
			source = w.source(ctx)
		}
		w.look(ctx, source)
		Eventually(state(ctx, source, meta.ReadyCondition)).Should(And(HavePrefix("True "), HaveSuffix(commit)))
		return commit
	}
	push := func(ctx context.Context, message string, files map[string]string) string {
		GinkgoHelper()
		return reads(ctx, w.repo.Commit("main", message, files))
	}
	matched := func(ctx context.Context) func() string {
		return state(ctx, w.lifecycle("checkout"), gitopsv1alpha1.MatchedCondition)
	}
	// delivers waits for the delivery of a commit.
	delivers := func(ctx context.Context, commit string, by lifecyclev1.Evidence) {
		GinkgoHelper()
		Eventually(func() lifecyclev1.Evidence {
			if kav := w.delivery(ctx, commit); kav != nil {
				return kav.Spec.Commit.Evidence
			}
			return ""
		}).Should(Equal(by), "%s of %.7s", matched(ctx)(), commit)
	}
	// delivered are the commits that were.
	delivered := func(ctx context.Context) []string {
		var commits []string
		for _, kav := range w.deliveries(ctx) {
			commits = append(commits, kav.Spec.Commit.SHA)
		}
		return commits
	}

	Context("Flux", func() {
		It("is the newest one at or before what was applied that changes the app's workloads", func(ctx context.Context) {
			push(ctx, "Add checkout", files(templated("1"), unhurried))
			second := push(ctx, "Release checkout", files(templated("2"), unhurried))
			third := push(ctx, "Add cart", of("cart", templated("1"), unhurried))
			fourth := push(ctx, "Release the next checkout", files(templated("3"), unhurried))
			k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
			k.applies(ctx, onMain(third), filled(templated("2")), filled(strings.ReplaceAll(templated("1"), "checkout", "cart")))
			delivers(ctx, second, lifecyclev1.EvidenceApplier)
			delivers(ctx, third, lifecyclev1.EvidenceApplier)
			Expect(w.delivery(ctx, second).Spec.AppName).To(Equal("checkout"))
			Expect(w.delivery(ctx, third).Spec.AppName).To(Equal("cart"))
			Eventually(matched(ctx)).Should(HavePrefix("True "))
			w.rollOut(ctx, deployment)
			w.says(second, "checkout/deployment", "success: 1 pod runs "+second[:7])

			k.applies(ctx, onMain(fourth), filled(templated("3")), filled(strings.ReplaceAll(templated("1"), "checkout", "cart")))
			delivers(ctx, fourth, lifecyclev1.EvidenceApplier)
			w.rollOut(ctx, deployment)
			w.says(fourth, "checkout/deployment", "success: 1 pod runs "+fourth[:7])
			Expect(delivered(ctx)).To(ConsistOf(second, third, fourth))
		})

		It("delivers what it leaves as it was along with what it changes", func(ctx context.Context) {
			worker := func(tag string) string { return strings.ReplaceAll(templated(tag), "checkout", "worker") }
			tree := func(tag, workerTag string) map[string]string {
				tree := files(templated(tag), unhurried)
				tree["apps/checkout/worker.yaml"] = worker(workerTag)
				tree["apps/checkout/kustomization.yaml"] = "resources: [deployment.yaml, worker.yaml]\n"
				return tree
			}
			k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
			for _, tags := range [][2]string{{"1", "1"}, {"2", "1"}, {"2", "2"}} {
				afterwards()
				commit := push(ctx, "Release", tree(tags[0], tags[1]))
				k.applies(ctx, onMain(commit), filled(templated(tags[0])), filled(worker(tags[1])))
				delivers(ctx, commit, lifecyclev1.EvidenceApplier)
				w.rollOut(ctx, deployment)
				w.rollOut(ctx, worker(tags[1]))
				w.says(commit, "checkout/deployment", "success: 2 pods run "+commit[:7])
			}
			Expect(delivered(ctx)).To(HaveLen(3))
		})

		It("waits while it reconciles, and is found by its status alone", func(ctx context.Context) {
			first := push(ctx, "1", files(templated("1"), unhurried))
			k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
			k.applies(ctx, onMain(first), filled(templated("1")))
			delivers(ctx, first, lifecyclev1.EvidenceApplier)

			second := push(ctx, "2", files(templated("2"), unhurried))
			afterwards()
			k.begins(ctx, onMain(second))
			k.writes(ctx, filled(templated("2")))
			said := And(HavePrefix("Unknown Searching: "), ContainSubstring("Kustomization "+w.namespace+"/fleet: it is being reconciled"))
			Eventually(matched(ctx)).Should(said)
			Consistently(func() []string { return delivered(ctx) }, "1s", "100ms").Should(ConsistOf(first))
			Expect(matched(ctx)()).To(said)
			k.checksHealth(ctx, onMain(second))
			delivers(ctx, second, lifecyclev1.EvidenceApplier)
			Eventually(matched(ctx)).Should(HavePrefix("True "))
			Expect(delivered(ctx)).To(ConsistOf(first, second))
		})

		It("is waited for no longer than its lifecycle says, and then its content counts", func(ctx context.Context) {
			first := push(ctx, "1", files(deployment, plain))
			k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
			k.begins(ctx, onMain(first))
			k.writes(ctx, deployment)
			Eventually(matched(ctx)).Should(HavePrefix("Unknown "))
			Expect(delivered(ctx)).To(BeEmpty())
			delivers(ctx, first, lifecyclev1.EvidenceContent)
			Eventually(matched(ctx)).Should(HavePrefix("True "))
		})

		It("is unmatched once the wait is over, and found when the status comes late", func(ctx context.Context) {
			first := push(ctx, "1", files(templated("1"), plain))
			k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
			k.begins(ctx, onMain(first))
			k.writes(ctx, filled(templated("1")))
			Eventually(matched(ctx)).Should(HavePrefix("False Unmatched: "))
			k.ends(ctx, onMain(first))
			delivers(ctx, first, lifecyclev1.EvidenceApplier)
			Eventually(matched(ctx)).Should(HavePrefix("True "))
		})

		It("is the one that does not get healthy, not the one before it", func(ctx context.Context) {
			first := push(ctx, "1", files(templated("1"), unhurried))
			second := push(ctx, "2", files(templated("2"), unhurried))
			k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
			k.applies(ctx, onMain(first), filled(templated("1")))
			delivers(ctx, first, lifecyclev1.EvidenceApplier)
			afterwards()
			k.begins(ctx, onMain(second))
			k.writes(ctx, filled(templated("2")))
			k.getsNotHealthy(ctx, onMain(second))
			Expect(k.is.Status.LastAppliedRevision).To(Equal(onMain(first)))
			delivers(ctx, second, lifecyclev1.EvidenceApplier)
			Expect(delivered(ctx)).To(ConsistOf(first, second))
		})

		It("is fetched at once where Flux was faster", func(ctx context.Context) {
			first := push(ctx, "1", files(templated("1"), unhurried))
			k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
			k.applies(ctx, onMain(first), filled(templated("1")))
			delivers(ctx, first, lifecyclev1.EvidenceApplier)
			second := w.repo.Commit("main", "2", files(templated("2"), unhurried))
			afterwards()
			k.begins(ctx, onMain(second))
			k.checksHealth(ctx, onMain(second))
			k.writes(ctx, filled(templated("2"))) // of which we hear late
			delivers(ctx, second, lifecyclev1.EvidenceApplier)
			w.says(second, "validate", "success: ")
			Expect(delivered(ctx)).To(ConsistOf(first, second))
		})

		It("is what an OCI artifact was made of", func(ctx context.Context) {
			first := push(ctx, "1", files(templated("1"), unhurried))
			push(ctx, "2", files(templated("2"), unhurried))
			artifact := "latest@sha256:3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de"
			oci := &sourcev1.OCIRepository{
				ObjectMeta: metav1.ObjectMeta{Name: "fleet"},
				Spec:       sourcev1.OCIRepositorySpec{URL: "oci://ghcr.io/acme/fleet", Interval: metav1.Duration{Duration: time.Hour}},
			}
			k := w.kustomization(ctx, oci, sourcev1.OCIRepositoryKind)
			oci.Status.Artifact = &meta.Artifact{
				Digest: "sha256:9f3bc0f341d4ecf2bab460cc59320a2a9ea292f01d7b96e32740a9abfd341088", Revision: artifact, LastUpdateTime: metav1.Now(),
				Path: "fleet.tar.gz", URL: "http://source-controller/fleet.tar.gz",
				Metadata: map[string]string{"org.opencontainers.image.source": w.repo.URL, "org.opencontainers.image.revision": onMain(first)},
			}
			Expect(k.kube.Status().Update(ctx, oci)).To(Succeed())
			k.origins[artifact] = onMain(first)
			k.applies(ctx, artifact, filled(templated("1")))
			delivers(ctx, first, lifecyclev1.EvidenceApplier)
			Expect(delivered(ctx)).To(ConsistOf(first))
		})

		It("is the one from which the HelmRelease was applied that installs the workload", func(ctx context.Context) {
			tree := func(tag string) map[string]string {
				tree := files(templated(tag), unhurried)
				tree["apps/checkout/release.yaml"] = helmRelease(tag)
				tree["apps/checkout/kustomization.yaml"] = "resources: [deployment.yaml, release.yaml]\n"
				return tree
			}
			first := push(ctx, "1", tree("1"))
			push(ctx, "2", tree("2"))
			k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
			k.applies(ctx, onMain(first), helmRelease("1"))
			h := &helmer{w: w, kube: k.kube}
			h.writes(ctx, filled(templated("1")))
			Eventually(matched(ctx)).Should(And(HavePrefix("Unknown Searching: "), ContainSubstring("HelmRelease "+w.namespace+"/checkout")))
			h.ends(ctx)
			delivers(ctx, first, lifecyclev1.EvidenceApplier)
			Expect(delivered(ctx)).To(ConsistOf(first))
		})

		It("is the one from which the HelmRelease was applied, where the folder renders to nothing else", func(ctx context.Context) {
			tree := func(release, lifecycle string) map[string]string {
				return map[string]string{
					"apps/checkout/release.yaml":       release,
					"apps/checkout/kustomization.yaml": "resources: [release.yaml]\n",
					"apps/checkout/lifecycle.yaml":     lifecycle,
				}
			}
			checkout := func(tag string) string { return filled(templated(tag)) }
			worker := strings.ReplaceAll(checkout("1"), "checkout", "worker")
			listed := func(commit string) func() []string {
				return func() []string {
					var names []string
					for _, ref := range w.delivery(ctx, commit).Spec.Workloads {
						names = append(names, ref.Name)
					}
					return names
				}
			}

			first := push(ctx, "1", tree(helmRelease("1"), unhurried))
			Eventually(state(ctx, w.lifecycle("checkout"), meta.ReadyCondition)).Should(Equal("Unknown Waiting: waiting for the first rollout"))
			k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
			h := &helmer{w: w, kube: k.kube}
			k.applies(ctx, onMain(first), helmRelease("1"))
			h.begins(ctx)
			h.writes(ctx, checkout("1"))
			delivers(ctx, first, lifecyclev1.EvidenceApplier)
			h.writes(ctx, worker)
			Eventually(listed(first)).Should(ConsistOf("checkout", "worker"))
			w.rollOut(ctx, checkout("1"))
			w.rollOut(ctx, worker)
			h.ends(ctx)
			w.says(first, "checkout/deployment", "success: 2 pods run "+first[:7])

			checks := push(ctx, "Wait longer", tree(helmRelease("1"), strings.Replace(unhurried, "rolloutTimeout: 1m", "rolloutTimeout: 2m", 1)))
			w.says(checks, "checkout/deployment", "success: workloads unchanged")

			second := push(ctx, "2", tree(helmRelease("2"), unhurried))
			w.says(second, "checkout/deployment", "pending: waiting for the rollout")
			afterwards()
			k.applies(ctx, onMain(second), helmRelease("2"))
			h.begins(ctx)
			h.writes(ctx, checkout("2"))
			delivers(ctx, second, lifecyclev1.EvidenceApplier)
			Expect(listed(second)()).To(ConsistOf("checkout", "worker"))
			w.rollOut(ctx, checkout("2"))
			w.says(second, "checkout/deployment", "pending: rolling out") // the worker may change yet
			h.ends(ctx)
			w.says(second, "checkout/deployment", "success: 2 pods run "+second[:7])
			Expect(delivered(ctx)).To(ConsistOf(first, second))

			more := strings.Replace(helmRelease("2"), "values: {", "values: {replicas: 2, ", 1)
			scaled := push(ctx, "Scale", tree(more, unhurried))
			k.applies(ctx, onMain(scaled), more)
			w.says(scaled, "checkout/deployment", "pending: waiting for the rollout")
			h.begins(ctx)
			h.ends(ctx)
			w.says(scaled, "checkout/deployment", "success: workloads unchanged")
			Expect(delivered(ctx)).To(ConsistOf(first, second))

			third := push(ctx, "3", tree(helmRelease("3"), unhurried))
			afterwards()
			k.applies(ctx, onMain(third), helmRelease("3"))
			h.begins(ctx)
			h.writes(ctx, checkout("3"))
			delivers(ctx, third, lifecyclev1.EvidenceApplier)
			afterwards()
			h.rollsBack(ctx, checkout("2"))
			delivers(ctx, second, lifecyclev1.EvidenceContent)
			w.rollOut(ctx, checkout("2"))
			w.says(second, "checkout/deployment", "success: 2 pods run "+second[:7])
			Expect(delivered(ctx)).To(ConsistOf(first, second, third, second))
		})
	})

	Context("Argo CD", func() {
		It("is of the revision that was synced, not of the one that Git has by now", func(ctx context.Context) {
			first := push(ctx, "1", files(templated("1"), unhurried))
			second := push(ctx, "2", files(templated("2"), unhurried))
			w.synced(ctx, filled(templated("1")))
			Eventually(matched(ctx)).Should(HavePrefix("Unknown "))
			w.application(ctx, `source: {repoURL: "`+w.repo.URL+`", path: apps/checkout}`, "revision: "+first)
			delivers(ctx, first, lifecyclev1.EvidenceApplier)
			Expect(delivered(ctx)).NotTo(ContainElement(second))
		})

		It("waits for a sync that goes on, and is found when it is said to be applied", func(ctx context.Context) {
			first := push(ctx, "1", files(templated("1"), unhurried))
			a := w.application(ctx, `source: {repoURL: "`+w.repo.URL+`", path: apps/checkout}`, "revision: "+first)
			operation := func(phase string, result any) {
				GinkgoHelper()
				Expect(unstructured.SetNestedField(a.Object, phase, "status", "operationState", "phase")).To(Succeed())
				unstructured.RemoveNestedField(a.Object, "status", "operationState", "finishedAt")
				if result == nil {
					unstructured.RemoveNestedField(a.Object, "status", "operationState", "syncResult")
				} else {
					Expect(unstructured.SetNestedField(a.Object, result, "status", "operationState", "syncResult")).To(Succeed())
				}
				Expect(kube.Update(ctx, a)).To(Succeed())
			}
			result, _, _ := unstructured.NestedMap(a.Object, "status", "operationState", "syncResult")
			operation("Running", nil)
			w.synced(ctx, filled(templated("1")))
			Eventually(matched(ctx)).Should(And(HavePrefix("Unknown Searching: "), ContainSubstring("it is being synced")))
			Consistently(func() []string { return delivered(ctx) }, "500ms", "100ms").Should(BeEmpty())
			operation("Running", result)
			delivers(ctx, first, lifecyclev1.EvidenceApplier)
		})

		It("is that of its repository where several sources were synced", func(ctx context.Context) {
			first := push(ctx, "1", files(templated("1"), unhurried))
			push(ctx, "2", files(templated("2"), unhurried))
			w.synced(ctx, filled(templated("1")))
			sources := `[{repoURL: "https://charts.example.com", chart: checkout, targetRevision: 1.x}, {repoURL: "https://git.example.com/acme/values.git", ref: values}, {repoURL: "` + w.repo.URL + `", path: apps/checkout}]`
			w.application(ctx, "sources: "+sources,
				"revision: \"\"\n      revisions: [1.2.3, "+strings.Repeat("a", 40)+", "+first+"]\n      sources: "+sources)
			delivers(ctx, first, lifecyclev1.EvidenceApplier)
			Expect(delivered(ctx)).To(ConsistOf(first))
		})

		It("is the one that was hydrated, not the one that holds what it renders to", func(ctx context.Context) {
			first := push(ctx, "1", files(templated("1"), unhurried))
			push(ctx, "2", files(templated("2"), unhurried))
			hydrated := w.repo.Commit("environments/production", "hydrated", map[string]string{"checkout/manifest.yaml": filled(templated("1"))})
			w.synced(ctx, filled(templated("1")))
			dry := `sourceHydrator: {drySource: {repoURL: "` + w.repo.URL + `", targetRevision: HEAD, path: apps/checkout}, syncSource: {targetBranch: environments/production, path: checkout}}`
			w.application(ctx, dry, "revision: "+hydrated+"\n      source: {repoURL: \""+w.repo.URL+"\", path: checkout}\n"+
				"  sourceHydrator: {lastSuccessfulOperation: {drySHA: "+first+", hydratedSHA: "+hydrated+", "+dry+"}}")
			delivers(ctx, first, lifecyclev1.EvidenceApplier)
			Expect(delivered(ctx)).To(ConsistOf(first))
		})

		It("is the one that was hydrated, where only the hydrated one says it, as after a merge", func(ctx context.Context) {
			first := push(ctx, "1", files(templated("1"), unhurried))
			push(ctx, "2", files(templated("2"), unhurried))
			hydrated := w.repo.Commit("environments/production", "hydrated", map[string]string{
				"checkout/manifest.yaml": filled(templated("1")),
				"hydrator.metadata":      fmt.Sprintf(`{"drySha": %q, "repoURL": %q}`, first, w.repo.URL),
			})
			w.synced(ctx, filled(templated("1")))
			dry := `sourceHydrator: {drySource: {repoURL: "` + w.repo.URL + `", targetRevision: HEAD, path: apps/checkout}, syncSource: {targetBranch: environments/production, path: checkout}}`
			w.application(ctx, dry, "revision: "+hydrated+"\n      source: {repoURL: \""+w.repo.URL+"\", path: checkout}\n")
			delivers(ctx, first, lifecyclev1.EvidenceApplier)
			Expect(delivered(ctx)).To(ConsistOf(first))
		})
	})

	Context("of two sources", func() {
		It("is the same in each environment of the same repository", func(ctx context.Context) {
			first := push(ctx, "1", files(templated("1"), unhurried))
			w.source(ctx, func(s *gitopsv1alpha1.GitSource) { s.Name, s.Spec.Environment = "twin", "twin" })
			w.says(first, "keptn/twin/validate", "success: ")
			push(ctx, "2", files(templated("2"), unhurried))
			k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
			k.applies(ctx, onMain(first), filled(templated("1")))
			Eventually(func() []string { return delivered(ctx) }).Should(ConsistOf(first, first))
			w.rollOut(ctx, deployment)
			w.says(first, "checkout/deployment", "success: 1 pod runs "+first[:7])
			w.says(first, "keptn/twin/checkout/deployment", "success: 1 pod runs "+first[:7])
			for _, kav := range w.deliveries(ctx) {
				Expect(kav.Spec.Commit.Evidence).To(Equal(lifecyclev1.EvidenceApplier), kav.Spec.Environment)
			}
		})

		It("is each repository's own: what is applied, and what the content is of", func(ctx context.Context) {
			deployed := push(ctx, "1", files(templated("1"), unhurried))
			push(ctx, "2", files(templated("2"), unhurried))
			app := w.git.Create(GinkgoTB(), w.namespace+"-app")
			built := app.Commit("main", "1", files(filled(templated("1")), unhurried))
			app.Commit("main", "2", files(filled(templated("2")), unhurried))
			w.source(ctx, func(s *gitopsv1alpha1.GitSource) { s.Name, s.Spec.URL = "app", app.URL })
			k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
			k.applies(ctx, onMain(deployed), filled(templated("1")))
			delivers(ctx, deployed, lifecyclev1.EvidenceApplier)
			delivers(ctx, built, lifecyclev1.EvidenceContent)
			Expect(delivered(ctx)).To(ConsistOf(deployed, built))
			Expect(w.delivery(ctx, built).Spec.Commit.Repository).To(Equal(app.URL))
		})

		It("is each repository's own: what is applied, and what its commit refers to", func(ctx context.Context) {
			app := w.git.Create(GinkgoTB(), w.namespace+"-app")
			built := app.Commit("main", "1", files(version("build"), unhurried))
			newer := app.Commit("main", "2", files(version("next"), unhurried))
			twin := w.source(ctx, func(s *gitopsv1alpha1.GitSource) { s.Name, s.Spec.URL = "app", app.URL })
			Eventually(state(ctx, twin, meta.ReadyCondition)).Should(HaveSuffix(newer))
			deployed := push(ctx, "Release 1\n\nArgocd-reference-commit-repourl: "+app.URL+"\nArgocd-reference-commit-sha: "+built+"\n", files(templated("1"), unhurried))
			k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
			k.applies(ctx, onMain(deployed), filled(templated("1")))
			delivers(ctx, deployed, lifecyclev1.EvidenceApplier)
			delivers(ctx, built, lifecyclev1.EvidenceTrailer)
			Expect(delivered(ctx)).To(ConsistOf(deployed, built))
		})
	})

	Context("of a history that is rewritten", func() {
		It("is still the applied one, where it is gone from the branch", func(ctx context.Context) {
			first := push(ctx, "1", files(templated("1"), unhurried))
			second := push(ctx, "2", files(templated("2"), unhurried))
			w.repo.ForcePush("main", first)
			third := push(ctx, "3", files(templated("3"), unhurried))
			k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
			k.applies(ctx, onMain(second), filled(templated("2")))
			delivers(ctx, second, lifecyclev1.EvidenceApplier)
			Expect(delivered(ctx)).NotTo(ContainElement(third))
			w.rollOut(ctx, deployment)
			w.says(second, "checkout/deployment", "success: 1 pod runs "+second[:7])
		})

		// feature begins a branch of main that releases 2 and then 3, and returns its tip.
		feature := func() string {
			w.repo.Git("branch", "feature", "main")
			w.repo.Commit("feature", "Try 2", files(templated("2"), unhurried))
			return w.repo.Commit("feature", "Mend 2", files(templated("3"), unhurried))
		}

		DescribeTable("is the one on the branch, however it got there",
			func(ctx context.Context, merge func() (applied, changes string)) {
				first := push(ctx, "1", files(templated("1"), unhurried))
				feature()
				k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
				k.applies(ctx, onMain(first), filled(templated("1")))
				delivers(ctx, first, lifecyclev1.EvidenceApplier)
				applied, changes := merge()
				reads(ctx, applied)
				afterwards()
				k.applies(ctx, onMain(applied), filled(templated("3")))
				delivers(ctx, changes, lifecyclev1.EvidenceApplier)
				Expect(delivered(ctx)).To(ConsistOf(first, changes))
				w.rollOut(ctx, deployment)
				w.says(changes, "checkout/deployment", "success: 1 pod runs "+changes[:7])
			},
			Entry("squashed", func() (applied, changes string) {
				squashed := w.repo.Commit("main", "Release 3 (#1)", files(templated("3"), unhurried))
				return squashed, squashed
			}),
			Entry("rebased", func() (applied, changes string) {
				w.repo.Commit("main", "Add a word", map[string]string{"README.md": "hello\n"})
				w.repo.Commit("main", "Try 2", files(templated("2"), unhurried))
				rebased := w.repo.Commit("main", "Mend 2", files(templated("3"), unhurried))
				return w.repo.Commit("main", "Another word", map[string]string{"README.md": "hello again\n"}), rebased
			}),
			Entry("by a merge commit", func() (applied, changes string) {
				changes = w.repo.Git("rev-parse", "feature")
				w.repo.Commit("main", "Add a word", map[string]string{"README.md": "hello\n"})
				return w.repo.Merge("main", "feature", "Merge feature (#1)", files(templated("3"), unhurried)), changes
			}),
		)

		It("is the one on another branch while that is applied, and nothing is to be done once it is squashed", func(ctx context.Context) {
			push(ctx, "1", files(templated("1"), unhurried))
			tried := feature()
			k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
			k.applies(ctx, "feature@sha1:"+tried, filled(templated("3")))
			delivers(ctx, tried, lifecyclev1.EvidenceApplier)
			w.rollOut(ctx, deployment)
			w.says(tried, "checkout/deployment", "success: 1 pod runs "+tried[:7])
			squashed := push(ctx, "Release 3 (#1)", files(templated("3"), unhurried))
			k.applies(ctx, onMain(squashed), filled(templated("3")))
			w.says(squashed, "checkout/deployment", "success: workloads unchanged")
			Expect(delivered(ctx)).To(ConsistOf(tried))
		})

		It("is the one that runs already, where what came after it was reverted before it was applied", func(ctx context.Context) {
			first := push(ctx, "1", files(templated("1"), unhurried))
			k := w.kustomization(ctx, fleet(w.repo.URL), sourcev1.GitRepositoryKind)
			k.applies(ctx, onMain(first), filled(templated("1")))
			delivers(ctx, first, lifecyclev1.EvidenceApplier)
			second := push(ctx, "2", files(templated("2"), unhurried))
			w.says(second, "checkout/deployment", "pending: waiting for the rollout")
			third := push(ctx, "Revert 2", files(templated("1"), unhurried))
			k.applies(ctx, onMain(third), filled(templated("1")))
			w.says(third, "checkout/deployment", "success: workloads unchanged")
			w.says(second, "checkout/deployment", "success: superseded by "+third[:7])
			Expect(delivered(ctx)).To(ConsistOf(first))
		})
	})

	It("is found by content where nobody claims what was applied", func(ctx context.Context) {
		first := push(ctx, "1", files(deployment, unhurried))
		push(ctx, "2", files(version("2"), unhurried))
		w.appliedBy(ctx, "kubectl", deployment, map[string]string{
			kustomizev1.GroupVersion.Group + "/name": "gone", kustomizev1.GroupVersion.Group + "/namespace": w.namespace,
			"app.kubernetes.io/instance": "nobody",
		}, nil)
		delivers(ctx, first, lifecyclev1.EvidenceContent)
		Expect(delivered(ctx)).To(ConsistOf(first))
	})
})
