package controllers_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

var _ = Describe("A controller whose disk is full", func() {
	It("says so of what it cannot fetch, goes on with the rest, and with all once there is room", func(ctx context.Context) {
		dir := GinkgoT().TempDir()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=600k"); err != nil {
			Skip("it takes the right to mount a disk: " + err.Error())
		}
		DeferCleanup(func() { Expect(syscall.Unmount(dir, syscall.MNT_DETACH)).To(Succeed()) })
		runController(dir)
		w := newWorld(ctx)
		first := w.repo.Commit("main", "1", files(deployment, plain))
		source := w.source(ctx)
		w.says(first, "validate", "success: ")
		beside := w.git.Create(GinkgoTB(), w.namespace+"-beside")
		beside.Commit("main", "1", files(deployment, plain))
		other := w.source(ctx, func(s *gitopsv1alpha1.GitSource) {
			s.Name, s.Spec.URL, s.Spec.Environment = "beside", beside.URL, "staging"
		})
		Eventually(state(ctx, other, meta.ReadyCondition)).Should(HavePrefix("True "))
		Eventually(state(ctx, other, gitopsv1alpha1.ReportedCondition)).Should(HavePrefix("True "))

		filler := filepath.Join(dir, "filler")
		Expect(os.WriteFile(filler, make([]byte, 1<<20), 0o600)).To(MatchError(syscall.ENOSPC))
		second := w.repo.Commit("main", "2", files(version("2"), plain))
		w.look(ctx, source)
		w.look(ctx, other)
		Eventually(state(ctx, source, meta.ReadyCondition)).Should(And(
			HavePrefix("Unknown FetchFailed: "), ContainSubstring("the disk with the Git store is full"), ContainSubstring("no space left on device; trying again")))
		Eventually(func() string {
			_ = state(ctx, other, meta.ReadyCondition)()
			return other.Status.LastHandledReconcileAt
		}).Should(Equal("2"))
		Expect(state(ctx, other, meta.ReadyCondition)()).To(HavePrefix("True "))
		Expect(state(ctx, source, meta.ReadyCondition)()).To(HavePrefix("Unknown FetchFailed: "))

		Expect(os.Remove(filler)).To(Succeed())
		w.look(ctx, source)
		w.says(second, "validate", "success: ")
		Eventually(state(ctx, source, meta.ReadyCondition)).Should(HavePrefix("True "))
	})
})
