package controllers_test

import (
	"context"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/shard"
)

var _ = Describe("A shard", func() {
	var w *world
	in := func(name string) func(*gitopsv1alpha1.GitSource) {
		return func(s *gitopsv1alpha1.GitSource) { s.Labels = map[string]string{shard.Label: name} }
	}
	move := func(ctx context.Context, s *gitopsv1alpha1.GitSource, label string) {
		GinkgoHelper()
		patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, shard.Label, label)
		Expect(kube.Patch(ctx, s.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(patch)))).To(Succeed())
	}

	shardOf := func(ctx context.Context) func() string {
		return func() string {
			lc := w.lifecycle("checkout")
			Expect(client.IgnoreNotFound(kube.Get(ctx, client.ObjectKeyFromObject(lc), lc))).To(Succeed())
			return lc.Labels[shard.Label]
		}
	}

	BeforeEach(func(ctx context.Context) {
		w = newWorld(ctx)
		w.metrics.set("requests", "1000")
		w.metrics.set("errors", "1")
	})

	It("reads the sources with its label, while the deliveries of all are made by the one without a name", func(ctx context.Context) {
		runController(GinkgoT().TempDir())
		commit := w.repo.Commit("main", "1", files(deployment, lifecycle))
		source := w.source(ctx, in("a"))
		Consistently(state(ctx, source, meta.ReadyCondition), "1s").Should(BeEmpty())
		Expect(w.git.Traffic().Requests).To(BeZero())
		runShard(GinkgoT().TempDir(), "a")
		w.says(commit, "validate", "success: ")
		Eventually(shardOf(ctx)).Should(Equal("a"))
		w.deploy(ctx, deployment)
		w.says(commit, "checkout/post-deployment", "success: ")
	})

	It("hands a source over where its label changes, and nothing is told twice", func(ctx context.Context) {
		runController(GinkgoT().TempDir())
		runShard(GinkgoT().TempDir(), "a")
		first := w.repo.Commit("main", "1", files(deployment, lifecycle))
		source := w.source(ctx, in("a"))
		w.deploy(ctx, deployment)
		w.says(first, "checkout/post-deployment", "success: ")
		Eventually(state(ctx, w.lifecycle("checkout"), gitopsv1alpha1.ReportedCondition)).Should(HavePrefix("True "))
		Expect(shardOf(ctx)()).To(Equal("a"))
		notes := w.repo.Git("notes", "--ref=keptn", "show", first)
		move(ctx, source, "null")
		Eventually(shardOf(ctx)).Should(BeEmpty())
		second := w.repo.Commit("main", "2", files(version("2"), lifecycle))
		w.look(ctx, source)
		w.says(second, "validate", "success: ")
		w.deploy(ctx, version("2"))
		w.says(second, "checkout/post-deployment", "success: ")
		Expect(w.repo.Git("notes", "--ref=keptn", "show", first)).To(Equal(notes))
		Expect(w.deliveries(ctx)).To(HaveLen(2))
		move(ctx, source, `"b"`)
		third := w.repo.Commit("main", "3", files(version("3"), lifecycle))
		w.look(ctx, source)
		Consistently(func() map[string]string { return w.said(third) }, "1s").Should(BeEmpty())
	})
})
