package controllers_test

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/gitsource/gittest"
)

// bad is a repository that its author has to mend.
type bad struct {
	// files of its one commit.
	files map[string]string
	// says is what the commit and the GitSource say of it.
	says string
	// state is that of the status on the commit. Default failure.
	state string
	// submodule is the path of a submodule that there is beside the files.
	submodule string
	// paths are those of the GitSource. Default the whole tree.
	paths []string
}

// commit makes the commit.
func (b bad) commit(repo *gittest.Repo) string {
	commit := repo.Commit("main", "Break it", b.files)
	if b.submodule == "" {
		return commit
	}
	repo.Git("read-tree", commit)
	repo.Git("update-index", "--add", "--cacheinfo", "160000,"+commit+","+b.submodule)
	commit = repo.Git("-c", "user.name=x", "-c", "user.email=x@y", "commit-tree", "-p", commit, "-m", "Add a submodule", repo.Git("write-tree"))
	repo.ForcePush("main", commit)
	return commit
}

// lfs is what Git LFS puts in the place of a file.
const lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"

func inApp(lifecycle string) map[string]string { return files(deployment, lifecycle) }

// policy is the lifecycle of checkout with another rule.
func policyWith(rule string) string {
	return strings.Replace(lifecycle, "      expression: variables.ratio < 0.01\n", rule, 1)
}

// with is one more file beside those of the app.
func with(name, content string) map[string]string {
	all := maps.Clone(inApp(lifecycle))
	all[name] = content
	return all
}

// tenThousand are so many files in a hundred folders.
func tenThousand() map[string]string {
	many := maps.Clone(inApp(lifecycle))
	for i := range 10_000 {
		many[fmt.Sprintf("data/%d/%d.yaml", i/100, i)] = "kind: Nothing\n"
	}
	return many
}

var _ = Describe("A mistake in a repository", Ordered, ContinueOnFailure, func() {
	var (
		w     *world
		good  *gitopsv1alpha1.GitSource
		tries int
	)

	BeforeAll(func(ctx context.Context) {
		w = newWorld(ctx)
		runController(GinkgoT().TempDir())
		w.repo.Commit("main", "Add checkout", files(deployment, lifecycle))
		good = w.source(ctx)
		Eventually(state(ctx, good, meta.ReadyCondition)).Should(HavePrefix("True Succeeded: read 1 app at main@sha1:"))
	})

	DescribeTable("is told on the commit and on the GitSource, and another source goes on", func(ctx context.Context, b bad) {
		tries++
		name := fmt.Sprintf("bad-%d", tries)
		repo := w.git.Create(GinkgoTB(), w.namespace+"-"+name)
		commit := b.commit(repo)
		source := w.source(ctx, func(s *gitopsv1alpha1.GitSource) { s.Name, s.Spec.URL, s.Spec.Paths = name, repo.URL, b.paths })

		wantState, wantReady := "failure", "False InvalidManifest: "
		if b.state != "" {
			wantState, wantReady = b.state, "True Succeeded: "
		}
		Eventually(func() map[string]string { return said(repo, commit) }).Should(
			HaveKeyWithValue("validate", And(HavePrefix(wantState+": "), ContainSubstring(b.says))))
		Eventually(state(ctx, source, meta.ReadyCondition)).Should(HavePrefix(wantReady))
		if b.state == "" {
			Expect(state(ctx, source, meta.ReadyCondition)()).To(ContainSubstring(b.says))
			Eventually(w.events(ctx, name)).Should(ContainElement(And(HavePrefix("Warning InvalidManifest: "), ContainSubstring(b.says))))
		}

		next := w.repo.Commit("main", name, files(version(name), lifecycle))
		w.look(ctx, good)
		Eventually(func() map[string]string { return w.said(next) }).Should(HaveKeyWithValue("validate", "success: valid: checkout"))
	},
		Entry("malformed YAML", bad{
			files: inApp("apiVersion: gitops.keptn.sh/v1alpha1\nkind: Lifecycle\nmetadata: {name: checkout\n"),
			says:  "apps/checkout/lifecycle.yaml:",
		}),
		Entry("an unknown field", bad{
			files: inApp(strings.Replace(lifecycle, "policies:", "polices:", 1)),
			says:  `apps/checkout/lifecycle.yaml:7:5: `,
		}),
		Entry("an unknown kind", bad{
			files: inApp(lifecycle + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: x}\n"),
			says:  "apps/checkout/lifecycle.yaml:",
		}),
		Entry("two Lifecycles of one name", bad{
			files: with("apps/other/lifecycle.yaml", strings.SplitN(lifecycle, "---", 2)[0]),
			says:  `checkout`,
		}),
		Entry("a rule of the wrong type, with its place in the expression", bad{
			files: inApp(policyWith("      expression: |\n        variables.ratio < 0.01 &&\n        metrics.errors + 1.0\n")),
			says:  "apps/checkout/lifecycle.yaml:24:24: policy",
		}),
		Entry("a rule that could cost too much", bad{
			files: inApp(policyWith("      expression: series.errors.all(a, series.errors.all(b, series.errors.all(c, a.value <= b.value + c.value)))\n")),
			says:  "cost",
		}),
		Entry("a lifecycle.yaml that is too large", bad{
			files: inApp(lifecycle + strings.Repeat("# more\n", 200_000)),
			says:  "split it",
		}),
		Entry("a lifecycle.yaml that is too large to be fetched", bad{
			files: inApp(lifecycle + strings.Repeat("# more\n", 2_000_000)),
			says:  "apps/checkout/lifecycle.yaml:1:1: the file has 14",
		}),
		Entry("a manifest that is too large to be fetched", bad{
			files: with("apps/checkout/deployment.yaml", deployment+strings.Repeat("# more\n", 2_000_000)),
			says:  "apps/checkout/deployment.yaml:1:1: the file has 14",
		}),
		Entry("a lifecycle.yaml that Git LFS keeps elsewhere", bad{
			files: inApp(lfs),
			says:  "apps/checkout/lifecycle.yaml:1:1: is a pointer of Git LFS",
		}),
		Entry("a manifest that Git LFS keeps elsewhere", bad{
			files: with("apps/checkout/deployment.yaml", lfs),
			says:  "apps/checkout/deployment.yaml:1:1: is a pointer of Git LFS",
		}),
		Entry("a submodule where apps are watched", bad{
			files: inApp(lifecycle), submodule: "apps/other", paths: []string{"apps/checkout", "apps/other"},
			says: "apps/other:1:1: is a submodule",
		}),
		Entry("a lifecycle.yaml that is no text", bad{
			files: inApp("\x00\x01\x02\xff\xfe" + strings.Repeat("\x00", 1000)),
			says:  "apps/checkout/lifecycle.yaml:1:1: ",
		}),
		Entry("a kustomization that reaches outside", bad{
			files: with("apps/checkout/kustomization.yaml", "resources: [deployment.yaml, ../../../other]\n"),
			says:  "apps/checkout/kustomization.yaml:1:",
		}),
		Entry("no mistake, but a commit with 10,000 files", bad{
			files: tenThousand(), state: "success", says: "valid: checkout",
		}),
		Entry("no mistake, but no app either", bad{
			files: map[string]string{"README.md": "# Nothing\n"}, state: "success", says: "no lifecycle.yaml found",
		}),
	)
})
