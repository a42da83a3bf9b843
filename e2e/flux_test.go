package e2e_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/e2e/stage"
)

// kustomized waits until Flux says of a Kustomization that an attempt at a commit has
// made it ready, or failed, and why, and returns when.
func kustomized(ctx context.Context, k types.NamespacedName, sha string, ready metav1.ConditionStatus, message any) time.Time {
	GinkgoHelper()
	var at time.Time
	Eventually(ctx, func(g Gomega, ctx context.Context) {
		var now kustomizev1.Kustomization
		g.Expect(cluster.Get(ctx, k, &now)).To(Succeed())
		g.Expect(now.Status.LastAttemptedRevision).To(Equal("main@sha1:"+sha), "conditions: %v", now.Status.Conditions)
		g.Expect(now.Status.Conditions).To(ContainElement(And(
			HaveField("Type", "Ready"), HaveField("Status", ready), HaveField("Message", message))))
		for _, c := range now.Status.Conditions {
			if c.Type == "Ready" {
				at = c.LastTransitionTime.Time
			}
		}
	}).Should(Succeed())
	return at
}

// alert posts what notification-controller would of a commit that Flux has seen, as the
// Provider of a page says, and signed with the key.
func alert(ctx context.Context, provider, key, namespace, sha string) {
	GinkgoHelper()
	var to struct {
		Spec struct{ Type, Address string }
	}
	first, _, _ := strings.Cut(provider, "---\n")
	Expect(yaml.Unmarshal([]byte(first), &to)).To(Succeed())
	Expect(to.Spec.Type).To(Equal("generic-hmac"))
	body, err := json.Marshal(eventv1.Event{
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "source.toolkit.fluxcd.io/v1", Kind: "GitRepository", Namespace: namespace, Name: namespace,
		},
		Severity: eventv1.EventSeverityInfo, Timestamp: metav1.Now(), Reason: "NewArtifact", Message: "stored artifact",
		Metadata: map[string]string{eventv1.MetaRevisionKey: "main@sha1:" + sha}, ReportingController: "source-controller",
	})
	Expect(err).NotTo(HaveOccurred())
	signed := func(key string) http.Header {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write(body)
		return http.Header{"X-Signature": {fmt.Sprintf("sha256=%x", mac.Sum(nil))}}
	}
	Expect(cluster.Post(ctx, to.Spec.Address, signed("another"), body)).To(Equal(http.StatusUnauthorized))
	Expect(cluster.Post(ctx, to.Spec.Address, signed(key), body)).To(Equal(http.StatusAccepted))
}

var _ = Describe("A newcomer who follows docs/flux.md", func() {
	It("sees which commit Flux applied, and a Kustomization that waits for its verdict", func(ctx context.Context) {
		needs(stage.Flux)
		p, shown := newcomer(ctx, "by-flux", "flux.md")
		k := types.NamespacedName{Namespace: "by-flux", Name: "checkout"}
		const hook = "key-of-the-hook"
		Expect(cluster.Secret(ctx, "by-flux", "keptn-webhooks", map[string]string{"hmac-key": hook})).To(Succeed())

		By("delivering what Flux substitutes variables in, so that no commit renders it")
		first := commit(ctx, p, "Deliver checkout", shortSoak, stage.Edit("deployment.yaml", "value: 60ms", "value: ${LATENCY}"),
			stage.Add(stage.Folder+"/kustomization.yaml", shown["apps/checkout/kustomization.yaml"]))
		shown = with(shown, "keptn.yaml", "  environment: production\n", "  environment: production\n  interval: 1h\n")
		shown = with(shown, "flux.yaml", "  prune: true\n", "  prune: true\n  postBuild: {substitute: {LATENCY: 60ms}}\n")
		applyShown(ctx, "keptn.yaml", shown["keptn.yaml"])
		applyShown(ctx, "flux.yaml", shown["flux.yaml"])
		team("by-flux").kubectl(ctx, "wait", "--for=condition=Ready", "gitsource/by-flux", "--timeout=1m")
		kustomized(ctx, k, first, metav1.ConditionTrue, Not(BeEmpty()))
		shows(ctx, p, first, stage.PostDeployment, "success", ContainSubstring("error-ratio 0%"))
		expectAppliedBy(ctx, p, first)

		By("committing the Job, of which Keptn hears by an alert before Flux applies it")
		Expect(cluster.Suspend(ctx, k, true)).To(Succeed())
		second := commit(ctx, p, "Wait for the verdict", stage.Edit("deployment.yaml", `value: "10"`, `value: "12"`),
			stage.Add(stage.Folder+"/verdict.yaml", shown["verdict/apps/checkout/verdict.yaml"]),
			stage.Add(stage.Folder+"/kustomization.yaml", shown["verdict/apps/checkout/kustomization.yaml"]))
		alert(ctx, shown["alert.yaml"], hook, "by-flux", second)
		shows(ctx, p, second, stage.Validate, "success", "valid: checkout")
		Expect(cluster.Suspend(ctx, k, false)).To(Succeed())

		By("getting ready after a good verdict")
		Expect(cluster.LookFlux(ctx, types.NamespacedName{Namespace: "by-flux", Name: "by-flux"}, second)).To(Succeed())
		readyAt := kustomized(ctx, k, second, metav1.ConditionTrue, Not(BeEmpty()))
		Expect(readyAt).NotTo(BeTemporally("<", expectAppliedBy(ctx, p, second).Status.EndTime.Time))
		Expect(logs(ctx, "by-flux", "checkout-verdict")).To(saysOf(second, "pass"))
		shows(ctx, p, second, stage.PostDeployment, "success", ContainSubstring("error-ratio 0%"))

		By("failing after a bad one")
		third := commit(ctx, p, "Try another payment gateway", failing)
		Expect(cluster.LookFlux(ctx, types.NamespacedName{Namespace: "by-flux", Name: "by-flux"}, third)).To(Succeed())
		failedAt := kustomized(ctx, k, third, metav1.ConditionFalse, ContainSubstring("Job/by-flux/checkout-verdict"))
		Expect(failedAt).NotTo(BeTemporally("<", expectAppliedBy(ctx, p, third).Status.EndTime.Time))
		shows(ctx, p, third, stage.PostDeployment, "failure", MatchRegexp(`error-ratio \d+(\.\d+)?% ≥ 1%`))
	})
})
