package e2e_test

import (
	"context"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/keptn/gitops/e2e/stage"
)

// The chart that a test releases, and the release, as docs/flux.md shows it.
const (
	chart    = "charts/cart/Chart.yaml"
	template = "charts/cart/templates/deployment.yaml"
	release  = stage.Folder + "/release.yaml"
	// shownRelease is what docs/flux.md calls it.
	shownRelease = "releases/cart.yaml"
)

// charted makes a chart of the app's Deployment, which takes the latency as a value.
func charted(app stage.App) (stage.App, error) {
	deployment := app[stage.Folder+"/deployment.yaml"]
	app, err := stage.Add(chart, "apiVersion: v2\nname: cart\nversion: 1.0.0\n")(app)
	if err != nil {
		return nil, err
	}
	return stage.Add(template, strings.Replace(deployment, "value: 60ms", "value: {{ .Values.latency }}", 1))(app)
}

// released has the app's folder deploy the release in the place of its Deployment.
var released = stage.Edit("kustomization.yaml", "- deployment.yaml", "- release.yaml")

// in replaces a text in a file of the repository.
func in(file, old, replacement string) stage.Change {
	return func(app stage.App) (stage.App, error) { return app.With(file, old, replacement) }
}

var _ = Describe("A newcomer to docs/flux.md who releases a chart", func() {
	It("sees which commit the HelmRelease was applied from, and its chart was packed from", func(ctx context.Context) {
		needs(stage.Flux, stage.Helm)
		p, shown := newcomer(ctx, "by-helm", "flux.md")
		repository := types.NamespacedName{Namespace: "by-helm", Name: "by-helm"}
		shown = with(shown, shownRelease, "  upgrade:\n", "  values: {latency: 50ms}\n  upgrade:\n")

		first := commit(ctx, p, "Release the chart", shortSoak, charted, released, stage.Add(release, shown[shownRelease]))
		applyShown(ctx, "keptn.yaml", shown["keptn.yaml"])
		applyShown(ctx, "flux.yaml", shown["flux.yaml"])
		expectAppliedBy(ctx, p, first)
		shows(ctx, p, first, stage.PostDeployment, "success", ContainSubstring("error-ratio 0%"))

		By("changing a value of the release")
		second := commit(ctx, p, "Answer faster", in(release, "50ms", "45ms"))
		Expect(cluster.LookFlux(ctx, repository, second)).To(Succeed())
		expectAppliedBy(ctx, p, second)
		shows(ctx, p, second, stage.PostDeployment, "success", ContainSubstring("error-ratio 0%"))

		By("changing the chart alone")
		third := commit(ctx, p, "Send more requests", in(chart, "version: 1.0.0", "version: 1.1.0"), in(template, `value: "10"`, `value: "12"`))
		Expect(cluster.LookFlux(ctx, repository, third)).To(Succeed())
		expectAppliedBy(ctx, p, third)
	})
})
