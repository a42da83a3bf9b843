package e2e_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/keptn/gitops/e2e/stage"
)

var (
	failing   = stage.Edit("deployment.yaml", `value: "0"`, `value: "0.3"`)
	healed    = stage.Edit("deployment.yaml", `value: "0.3"`, `value: "0"`)
	faster    = stage.Edit("deployment.yaml", "value: 60ms", "value: 40ms")
	misspelt  = stage.Edit("lifecycle.yaml", "expression: variables.ratio < 0.01", "expresion: variables.ratio < 0.01")
	respelt   = stage.Edit("lifecycle.yaml", "expresion:", "expression:")
	shortSoak = stage.Edit("lifecycle.yaml", "soak: 10s", "soak: 5s")
)

var _ = Describe("A team's commits", func() {
	for _, forge := range []struct {
		name    string
		onGitea bool
	}{{"gitea", true}, {"notes", false}} {
		It("show whether they are valid, rolled out and meet their SLOs, on "+forge.name, func(ctx context.Context) {
			p := project(ctx, "story-"+forge.name, forge.onGitea)

			first := push(ctx, p, "Deliver checkout")
			shows(ctx, p, first, stage.Validate, "success", "valid: checkout")
			Expect(p.Apply(ctx)).To(Succeed())
			shows(ctx, p, first, stage.Deployment, "success", "2 pods run "+first[:7])
			shows(ctx, p, first, stage.PostDeployment, "success", ContainSubstring("error-ratio 0%"))

			bad := push(ctx, p, "Try another payment gateway", failing)
			Expect(p.Apply(ctx)).To(Succeed())
			shows(ctx, p, bad, stage.Deployment, "success", "2 pods run "+bad[:7])
			shows(ctx, p, bad, stage.PostDeployment, "failure", MatchRegexp(`error-ratio \d+(\.\d+)?% ≥ 1%`))

			broken := push(ctx, p, "Misspell a field", misspelt)
			shows(ctx, p, broken, stage.Validate, "failure", MatchRegexp(`apps/checkout/lifecycle\.yaml:\d+:\d+: `))

			fixed := push(ctx, p, "Mend it", respelt, healed)
			Expect(p.Apply(ctx)).To(Succeed())
			shows(ctx, p, fixed, stage.Validate, "success", "valid: checkout")
			shows(ctx, p, fixed, stage.PostDeployment, "success", ContainSubstring("error-ratio 0%"))

			delivery, err := p.Delivery(ctx, fixed)
			Expect(err).NotTo(HaveOccurred())
			Expect(delivery.Status.LeadTime).NotTo(BeNil(), "a delivery that succeeded has a lead time")
			Expect(delivery.Status.LeadTime.Duration).To(BeNumerically(">", 0))
		})
	}
})
