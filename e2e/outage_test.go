package e2e_test

import (
	"context"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/e2e/stage"
)

// outage stops a component of the testbed, and returns how to start it again.
func outage(ctx context.Context, component string) (end func(context.Context)) {
	GinkgoHelper()
	bed := stage.NewTestbed(root, os.Getenv("TESTBED_NAME"), GinkgoWriter)
	Expect(bed.Stop(ctx, component)).To(Succeed())
	over := false
	end = func(ctx context.Context) {
		if !over {
			over = true
			Expect(bed.Start(ctx, component)).To(Succeed())
		}
	}
	DeferCleanup(end)
	return end
}

var _ = Describe("An outage", Serial, func() {
	BeforeEach(func() {
		if os.Getenv("TESTBED_NAME") == "" {
			Skip("components can only be stopped in a testbed: this cluster is somebody's own")
		}
	})

	It("of the forge delays no rollout, and no verdict is lost", func(ctx context.Context) {
		p := project(ctx, "forge-down", true)
		sha := push(ctx, p, "Deliver checkout", shortSoak)
		shows(ctx, p, sha, stage.Deployment, "pending", "waiting for the rollout")

		end := outage(ctx, "gitea")
		Expect(p.Apply(ctx)).To(Succeed())
		Eventually(ctx, func(ctx context.Context) (lifecyclev1.KeptnState, error) {
			delivery, err := p.Delivery(ctx, sha)
			if err != nil || delivery == nil {
				return "", err
			}
			return delivery.Status.Status, nil
		}).Should(Equal(lifecyclev1.StateSucceeded))

		end(ctx)
		shows(ctx, p, sha, stage.Deployment, "success", "2 pods run "+sha[:7])
		shows(ctx, p, sha, stage.PostDeployment, "success", ContainSubstring("error-ratio 0%"))
	})

	It("of Prometheus leaves the verdict open until it is over", func(ctx context.Context) {
		p := project(ctx, "metrics-down", false)
		end := outage(ctx, "prometheus")
		sha := push(ctx, p, "Deliver checkout", shortSoak)
		Expect(p.Apply(ctx)).To(Succeed())
		shows(ctx, p, sha, stage.PostDeployment, "pending", ContainSubstring("undecided"))
		end(ctx)
		shows(ctx, p, sha, stage.PostDeployment, "success", ContainSubstring("error-ratio 0%"))
	})
})
