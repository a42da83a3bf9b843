package controllers_test

import (
	"context"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/fluxcd/pkg/apis/meta"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// measured is a delivery of one commit, and what its metrics are.
type measured struct {
	errors, requests string
	// policy is the lifecycle with its policy. Default lifecycle.
	policy string
	// says is the status after the rollout; event that of the delivery.
	says, event string
}

var _ = Describe("A verdict", Ordered, ContinueOnFailure, func() {
	var w *world

	BeforeAll(func() { runController(GinkgoT().TempDir()) })
	BeforeEach(func(ctx context.Context) {
		w = newWorld(ctx)
		w.metrics.set("requests", "1000")
		w.metrics.set("errors", "1")
	})

	deliver := func(ctx context.Context, lifecycle string) string {
		GinkgoHelper()
		commit := w.repo.Commit("main", "Add checkout", files(deployment, lifecycle))
		w.source(ctx)
		w.deploy(ctx, deployment)
		Eventually(func() map[string]string { return w.said(commit) }).Should(HaveKeyWithValue("checkout/deployment", HavePrefix("success: ")))
		return commit
	}
	verdict := func(commit string) func() string {
		return func() string { return w.said(commit)["checkout/post-deployment"] }
	}
	const phase = "AppPostDeployEvaluations"

	DescribeTable("is said on the commit, in the condition and in an event", func(ctx context.Context, m measured) {
		w.metrics.set("errors", m.errors)
		w.metrics.set("requests", m.requests)
		if m.policy == "" {
			m.policy = lifecycle
		}
		commit := deliver(ctx, m.policy)
		Eventually(verdict(commit)).Should(HavePrefix(m.says))
		kav := w.delivery(ctx, commit)
		_, text, _ := strings.Cut(m.says, ": ")
		Expect(state(ctx, kav, meta.ReadyCondition)()).To(ContainSubstring(text))
		Eventually(w.events(ctx, kav.Name)).Should(ContainElement(And(HavePrefix(m.event), ContainSubstring(text))))
		Eventually(state(ctx, w.lifecycle("checkout"), meta.ReadyCondition)).Should(And(HavePrefix(readyOf(m.says)), ContainSubstring(text)))
	},
		Entry("that passes", measured{errors: "1", requests: "1000", says: "success: error-ratio 0.1% < 1%", event: "Normal " + phase + "Finished"}),
		Entry("that fails", measured{errors: "31", requests: "1000", says: "failure: error-ratio 3.1% ≥ 1%", event: "Warning " + phase + "Failed"}),
		Entry("that warns", measured{
			errors: "7", requests: "1000", policy: lifecycle + "      warning: variables.ratio > 0.005\n",
			says: "warning: error-ratio 0.7% > 0.5%", event: "Normal " + phase + "Finished",
		}),
		Entry("that has no data", measured{errors: "", requests: "1000", says: "error: error-ratio is undecided: ", event: "Warning " + phase + "Failed"}),
		Entry("that is not a number", measured{errors: "NaN", requests: "1000", says: "error: error-ratio is undecided: ", event: "Warning " + phase + "Failed"}),
		Entry("that divides by zero", measured{errors: "0", requests: "0", says: "error: error-ratio is undecided: ", event: "Warning " + phase + "Failed"}),
		Entry("that has several series where one is read", measured{errors: "1 2 3", requests: "1000", says: "error: error-ratio is undecided: ", event: "Warning " + phase + "Failed"}),
		Entry("that reads several series", measured{
			errors: "1 2 3", requests: "1000",
			policy: strings.Replace(lifecycle, "variables.ratio < 0.01", "series.errors.all(s, s.value < 10.0)", 1),
			says:   "success: error-ratio", event: "Normal " + phase + "Finished",
		}),
		Entry("whose provider nobody knows", measured{
			errors: "1", requests: "1000", policy: strings.Replace(lifecycle, "errors, provider: {name: prometheus}", "errors, provider: {name: missing}", 1),
			says: `error: error-ratio is undecided: `, event: "Warning " + phase + "Failed",
		}),
	)

	DescribeTable("that is never certain before the rollout is waited for until its time is over",
		func(ctx context.Context, more, pre, rollout string, released bool) {
			w.metrics.set("errors", "")
			asked := strings.Replace(lifecycle, "spec:\n  postDeployment:", "spec:\n"+more+"  preDeployment:", 1)
			commit := w.repo.Commit("main", "Add checkout", files(deployment, asked))
			w.source(ctx)
			w.deploy(ctx, deployment)
			w.says(commit, "checkout/pre-deployment", "pending: evaluating checkout-slo")
			Expect(w.delivery(ctx, commit).Released()).To(BeFalse())
			w.says(commit, "checkout/pre-deployment", pre+": error-ratio is undecided: ")
			w.says(commit, "checkout/deployment", rollout)
			Expect(w.delivery(ctx, commit).Released()).To(Equal(released))
		},
		Entry("and holds the pods", "", "error", "error: not run, since a phase before it failed", false),
		Entry("and is a warning where checks do not block", "  blockDeployment: false\n", "warning", "success: 1 pod runs ", true),
	)

	It("waits for a provider that fails, and comes once it answers", func(ctx context.Context) {
		w.metrics.fail(http.StatusServiceUnavailable)
		commit := deliver(ctx, patient)
		Eventually(verdict(commit)).Should(And(HavePrefix("pending: evaluating checkout-slo: "), ContainSubstring("503")))
		w.metrics.fail(0)
		Eventually(verdict(commit)).Should(Equal("success: error-ratio 0.1% < 1%"))
	})

	It("waits for a provider that is slow", func(ctx context.Context) {
		slow := make(chan struct{})
		w.metrics.wait(slow)
		commit := deliver(ctx, patient)
		Eventually(w.metrics.isAsked).Should(BeTrue())
		Eventually(verdict(commit)).Should(HavePrefix("pending: "))
		close(slow)
		Eventually(verdict(commit)).Should(Equal("success: error-ratio 0.1% < 1%"))
	})

	It("waits for a provider that is created later", func(ctx context.Context) {
		provider := &metricsv1.KeptnMetricsProvider{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "later"}}
		commit := deliver(ctx, strings.ReplaceAll(patient, "name: prometheus", "name: later"))
		Eventually(verdict(commit)).Should(ContainSubstring(`no KeptnMetricsProvider "later"`))
		provider.Spec = metricsv1.KeptnMetricsProviderSpec{Type: "prometheus", TargetServer: serve(w.metrics)}
		Expect(kube.Create(ctx, provider)).To(Succeed())
		Eventually(verdict(commit)).Should(Equal("success: error-ratio 0.1% < 1%"))
	})

	It("waits for a policy that the namespace alone has", func(ctx context.Context) {
		app, policy, _ := strings.Cut(lifecycle, "---\n")
		commit := deliver(ctx, app)
		Eventually(verdict(commit)).Should(Equal("pending: checkout-slo: no KeptnEvaluationDefinition, SLOPolicy or AnalysisDefinition of this name"))
		var created gitopsv1alpha1.SLOPolicy
		Expect(yaml.UnmarshalStrict([]byte(policy), &created)).To(Succeed())
		created.Namespace = w.namespace
		Expect(kube.Create(ctx, &created)).To(Succeed())
		Eventually(verdict(commit)).Should(Equal("success: error-ratio 0.1% < 1%"))
	})

	It("compares with the previous good rollout, and never with a failed one", func(ctx context.Context) {
		comparing := strings.Replace(lifecycle, "variables.ratio < 0.01", "metrics.errors <= baseline.errors * 2.0", 1)
		first := deliver(ctx, lifecycle)
		Eventually(verdict(first)).Should(HavePrefix("success: "))
		source := &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop"}}
		for _, next := range []struct{ tag, errors, says string }{
			{"2", "9", "failure: error-ratio 9 > 2"},
			{"3", "2", "success: error-ratio 2 ≤ 2"},
			{"4", "4", "success: error-ratio 4 ≤ 4"},
		} {
			afterwards()
			w.metrics.set("errors", next.errors)
			commit := w.repo.Commit("main", next.tag, files(version(next.tag), comparing))
			w.look(ctx, source)
			w.deploy(ctx, version(next.tag))
			Eventually(verdict(commit)).Should(Equal(next.says))
		}
	})

	It("is that of the policy at the deployed commit", func(ctx context.Context) {
		commit := deliver(ctx, patient)
		Eventually(verdict(commit)).Should(HavePrefix("success: "))
		kav := w.delivery(ctx, commit)
		Expect(kav.Spec.Policies).To(HaveLen(1))
		Expect(kav.Spec.Policies[0].Spec.Rules[0].Expression).To(Equal("variables.ratio < 0.01"))
	})

	It("needs the password of its provider, and is reached with the one that is there now", func(ctx context.Context) {
		w.metrics.protect("prom", "first")
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "prometheus"},
			StringData: map[string]string{"user": "prom", "password": "old"},
		}
		Expect(kube.Create(ctx, secret)).To(Succeed())
		provider := &metricsv1.KeptnMetricsProvider{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "protected"}}
		provider.Spec = metricsv1.KeptnMetricsProviderSpec{
			Type: "prometheus", TargetServer: serve(w.metrics),
			SecretKeyRef: corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "prometheus"}},
		}
		Expect(kube.Create(ctx, provider)).To(Succeed())
		commit := deliver(ctx, strings.ReplaceAll(patient, "name: prometheus", "name: protected"))
		Eventually(verdict(commit)).Should(And(HavePrefix("pending: "), ContainSubstring("401")))
		secret.Data["password"] = []byte("first")
		Expect(kube.Update(ctx, secret)).To(Succeed())
		Eventually(verdict(commit)).Should(Equal("success: error-ratio 0.1% < 1%"))
	})

	It("keeps the values that led to it", func(ctx context.Context) {
		w.metrics.set("errors", "31")
		commit := deliver(ctx, lifecycle)
		Eventually(verdict(commit)).Should(HavePrefix("failure: "))
		var list lifecyclev1.KeptnEvaluationList
		Expect(kube.List(ctx, &list, inNamespace(w))).To(Succeed())
		Expect(list.Items).To(HaveLen(1))
		s := list.Items[0].Status
		Expect(s.Verdict).To(Equal(lifecyclev1.VerdictFail))
		Expect(s.EvaluationStatus["error-ratio"].Explain).To(ContainElement(lifecyclev1.ExpressionValue{Expr: "metrics.errors", Value: "31"}))
		Expect(s.Measurements).To(ContainElement(And(
			HaveField("Name", "errors"), HaveField("Provider", "prometheus"), HaveField("Query", "errors"),
			HaveField("Value", "31"), HaveField("Series", BeEquivalentTo(1)), HaveField("At.Time", BeTemporally("==", s.EvaluatedAt.Time)),
		)))
	})
})

// readyOf is how a condition that agrees with a commit status begins.
func readyOf(says string) string {
	if strings.HasPrefix(says, "success: ") || strings.HasPrefix(says, "warning: ") {
		return "True "
	}
	return "False "
}
