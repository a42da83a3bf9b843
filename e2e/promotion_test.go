package e2e_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/e2e/stage"
)

// nextStage is the file that the app is promoted to.
const nextStage = "stages/live/kustomization.yaml"

var (
	// greeted has a task before the deployment, written in Git.
	greeted = stage.Edit("lifecycle.yaml", "  app: checkout\n", `  app: checkout
  metadata: {team: shop}
  preDeployment:
    tasks:
      - name: greet
        retries: 0
        python:
          inline:
            code: |
              import json, os
              context = json.loads(os.environ["KEPTN_CONTEXT"])
              print(context["appName"], context["appVersion"], context["metadata"]["team"], "as", os.getuid())
`)
	// promoted has what was delivered promoted by a pull request.
	promoted = stage.Edit("lifecycle.yaml", "  postDeployment:\n", `  promotion:
    pullRequest:
      images:
        - name: docker.io/keptn/checkout
          file: `+nextStage+`
  postDeployment:
`)
	// staged adds the next stage, at an image of before.
	staged = stage.Add(nextStage, `resources: [../../apps/checkout]
images:
  - name: docker.io/keptn/checkout
    newTag: before # by hand
`)
)

var _ = Describe("A commit with tasks and a promotion", func() {
	It("shows each phase, and what was delivered is proposed to the next stage", func(ctx context.Context) {
		p := project(ctx, "promoted", true)
		p.Source.Spec.Paths = []string{stage.Folder} // the next stage is another environment
		// Everything in the namespace is refused that is not "restricted".
		Expect(stage.Kubectl(ctx, GinkgoWriter, "label", "namespace", "promoted", "pod-security.kubernetes.io/enforce=restricted")).To(Succeed())
		sha := push(ctx, p, "Deliver checkout", greeted, promoted, staged, shortSoak)
		shows(ctx, p, sha, stage.Validate, "success", "valid: checkout")
		Expect(p.Apply(ctx)).To(Succeed())

		By("running the task before any pod, as the namespace allows")
		shows(ctx, p, sha, stage.PreDeployment, "success", ContainSubstring("greet"))
		tasks, err := team("promoted").tasks("greet")(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(tasks).To(ConsistOf(And(
			HaveField("Status.Status", lifecyclev1.StateSucceeded),
			HaveField("Status.Log", MatchRegexp(`^checkout %s shop as [1-9]\d*$`, sha[:7])),
			HaveField("Spec.Confinement", Not(BeNil())),
		)))

		By("rolling out, judging and promoting")
		shows(ctx, p, sha, stage.Deployment, "success", "2 pods run "+sha[:7])
		expectGatedUntil(ctx, "promoted", "app=checkout", 2, tasks[0].Status.EndTime.Time)
		shows(ctx, p, sha, stage.PostDeployment, "success", ContainSubstring("error-ratio 0%"))
		shows(ctx, p, sha, stage.Promotion, "success", HavePrefix("pull request 1 to main"))

		pulls, err := stage.GiteaFromEnvironment().PullRequests(ctx, "promoted")
		Expect(err).NotTo(HaveOccurred())
		Expect(pulls).To(ConsistOf(And(
			HaveField("Title", "Promote checkout "+sha[:7]+" from production"),
			HaveField("Base.Ref", "main"),
			HaveField("Body", And(ContainSubstring(sha), ContainSubstring("| `greet` |"), Not(ContainSubstring("raceparent")))),
		)))
		delivery, err := p.Delivery(ctx, sha)
		Expect(err).NotTo(HaveOccurred())
		Expect(delivery.Status.Status).To(Equal(lifecyclev1.StateSucceeded))
		Expect(delivery.Status.PullRequestURL).To(Equal(pulls[0].URL))

		_, err = p.Repo.Git(ctx, "fetch", "--quiet", "origin", pulls[0].Head.Ref)
		Expect(err).NotTo(HaveOccurred())
		Expect(p.Repo.Git(ctx, "diff", "--name-only", sha, "FETCH_HEAD")).To(Equal(nextStage))
		Expect(p.Repo.Git(ctx, "show", "FETCH_HEAD:"+nextStage)).To(ContainSubstring("newTag: dev # by hand"))
	})
})
