package controllers_test

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// judgedBy is a lifecycle.yaml with a policy of the given spec.
func judgedBy(spec string) string {
	return `apiVersion: gitops.keptn.sh/v1alpha1
kind: Lifecycle
metadata:
  name: checkout
spec:
  params: {series: errors}
  postDeployment:
    policies: [checkout-slo]
---
apiVersion: gitops.keptn.sh/v1alpha1
kind: SLOPolicy
metadata:
  name: checkout-slo
spec:
` + spec
}

const budgetFreeze = `  timeout: 2s
  slos:
    - name: availability
      objective: 99
      window: {rolling: 30d}
      ratio:
        provider: {name: prometheus}
        bad: increase(errors[{{.window}}])
        total: increase(requests[{{.window}}])
  rules:
    - name: only-fixes
      expression: slo.availability.budgetRemaining >= 0.1 || commits.all(c, c.type == 'fix')
      message: percent(slo.availability.budgetRemaining) + ' of the error budget left, burning at ' + string(slo.availability.burnRate('1h'))
`

const littleBurned = `  timeout: 10s
  slos:
    - name: availability
      objective: 99
      window: {rolling: 30d}
      ratio:
        provider: {name: since}
        bad: increase(errors[{{.window}}])
        total: increase(requests[{{.window}}])
  rules:
    - {name: rollout, expression: slo.availability.burned < 0.2}
`

// sinceRollout has a Prometheus answer for [rollout] what is asked over a window that is
// not the SLO's: it is as long as the rollout.
func sinceRollout(p *prometheus) http.Handler {
	window := regexp.MustCompile(`\[[^\]]+\]`)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if query := r.FormValue("query"); !strings.Contains(query, "[30d]") {
			r.Form.Set("query", window.ReplaceAllString(query, "[rollout]"))
		}
		p.ServeHTTP(w, r)
	})
}

const repeated = `  timeout: 2s
  interval: 1s
  count: 3
  metrics:
    - {name: errors, provider: {name: prometheus}, query: errors}
  rules:
    - name: no-errors
      expression: metrics.errors == 0
`

const openSLO = `apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout-slo}
spec:
  service: checkout
  indicator:
    metadata: {name: errors}
    spec:
      ratioMetric:
        bad: {metricSource: {metricSourceRef: prometheus, spec: {query: "increase(errors[{{.window}}])"}}}
        total: {metricSource: {metricSourceRef: prometheus, spec: {query: "increase(requests[{{.window}}])"}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
`

var _ = Describe("A policy", Ordered, ContinueOnFailure, func() {
	var w *world

	BeforeAll(func() { runController(GinkgoT().TempDir()) })
	BeforeEach(func(ctx context.Context) { w = newWorld(ctx) })

	deliver := func(ctx context.Context, message string, tree map[string]string) string {
		GinkgoHelper()
		commit := w.repo.Commit("main", message, tree)
		w.source(ctx)
		w.deploy(ctx, deployment)
		return commit
	}
	record := func(ctx context.Context) lifecyclev1.KeptnEvaluationStatus {
		GinkgoHelper()
		var list lifecyclev1.KeptnEvaluationList
		Expect(kube.List(ctx, &list, inNamespace(w))).To(Succeed())
		Expect(list.Items).To(HaveLen(1))
		return list.Items[0].Status
	}

	DescribeTable("lets only fixes through once the error budget is nearly used up", func(ctx context.Context, message, bad, says string) {
		for _, window := range []string{"30d", "1h"} {
			w.metrics.set("increase(errors["+window+"])", bad)
			w.metrics.set("increase(requests["+window+"])", "10000")
		}
		commit := deliver(ctx, message, files(deployment, judgedBy(budgetFreeze)))
		w.says(commit, "checkout/post-deployment", says)
		status := record(ctx)
		Expect(status.SLOs).To(HaveLen(1))
		Expect(status.SLOs[0].BurnRates).To(HaveKey("1h"))
		Expect(status.Measurements).To(ContainElement(And(HaveField("Name", "slo.availability.bad"), HaveField("Query", "increase(errors[30d])"), HaveField("Value", bad))))
	},
		Entry("when there is budget", "feat: pay by card", "10", "success: only-fixes: 90% of the error budget left, burning at 0.1"),
		Entry("when there is none, and it is a feature", "feat: pay by card", "95", "failure: only-fixes: 5% of the error budget left, burning at 0.95"),
		Entry("when there is none, and it is a fix", "fix: round as the law says", "95", "success: only-fixes: 5% of the error budget left"),
	)

	DescribeTable("tells on the commit how much of the error budget a rollout burned, and can fail by it", func(ctx context.Context, bad, burned, says string) {
		Expect(kube.Create(ctx, &metricsv1.KeptnMetricsProvider{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "since"},
			Spec:       metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: serve(sinceRollout(w.metrics))},
		})).To(Succeed())
		for query, value := range map[string]string{"errors[30d]": "50", "requests[30d]": "10000", "errors[rollout]": bad, "requests[rollout]": "60"} {
			w.metrics.set("increase("+query+")", value)
		}
		commit := deliver(ctx, "Add checkout", files(deployment, judgedBy(littleBurned)))
		w.says(commit, "checkout/post-deployment", says)
		e := record(ctx)
		Expect(e.SLOs).To(ConsistOf(And(HaveField("BudgetRemaining", "50%"), HaveField("BudgetBurned", burned))))
		Expect(e.Measurements).To(ContainElement(And(HaveField("Name", "slo.availability.bad"), HaveField("Query", MatchRegexp(`\[(\d+[ms])+\]`)), HaveField("Value", bad))))
	},
		Entry("a little", "3.1", "3.1%", "success: rollout 3.1% < 20%; burned 3.1% of availability's budget"),
		Entry("too much, of a budget that is half full", "31", "31%", "failure: rollout 31% ≥ 20%; burned 31% of availability's budget"),
	)

	It("measures several times, and ends as soon as the result is certain", func(ctx context.Context) {
		w.metrics.set("errors", "0")
		commit := deliver(ctx, "Add checkout", files(deployment, judgedBy(repeated)))
		w.says(commit, "checkout/post-deployment", "success: 3 pass of 3 measurements; the last: no-errors 0 = 0")
		status := record(ctx)
		Expect(status.Repeated).To(HaveLen(3))
		for i := range 2 {
			Expect(status.Repeated[i+1].At.Sub(status.Repeated[i].At.Time).Seconds()).To(BeNumerically(">=", 1))
		}
	})

	It("measures no further once it has failed", func(ctx context.Context) {
		w.metrics.set("errors", "5")
		commit := deliver(ctx, "Add checkout", files(deployment, judgedBy(repeated)))
		w.says(commit, "checkout/post-deployment", "failure: 1 fail of 3 measurements; the last: no-errors 5 ≠ 0")
		Expect(record(ctx).Repeated).To(HaveLen(1))
	})

	It("reads KeptnMetrics, and fills in its queries", func(ctx context.Context) {
		w.metrics.set("up", "3")
		m := w.keptnMetric(ctx, "replicas", "up")
		Eventually(valueOf(ctx, m)).Should(Equal("3"))
		w.metrics.set(`errors{app="checkout",env="production"}`, "1")
		commit := deliver(ctx, "Add checkout", files(deployment, judgedBy(`  timeout: 2s
  params: [{name: series}]
  metrics:
    - {name: replicas, keptnMetric: {name: replicas}}
    - {name: errors, provider: {name: prometheus}, query: '{{.params.series}}{app="{{.app}}",env="{{.environment}}"}'}
  rules:
    - {name: few-per-pod, expression: metrics.errors / metrics.replicas < 0.5}
`)))
		w.says(commit, "checkout/post-deployment", "success: few-per-pod 0.3333 < 0.5")
	})

	It("reduces the samples of a window since the rollout", func(ctx context.Context) {
		w.metrics.set("queue", "4 6")
		commit := deliver(ctx, "Add checkout", files(deployment, judgedBy(`  timeout: 5s
  metrics:
    - {name: queue, provider: {name: prometheus}, query: queue, window: {since: rollout}, reducer: max}
  rules:
    - {name: short, expression: metrics.queue < 10}
`)))
		w.says(commit, "checkout/post-deployment", "success: short 6 < 10")
	})

	It("can be an OpenSLO document", func(ctx context.Context) {
		w.metrics.set("increase(errors[30d])", "10")
		w.metrics.set("increase(requests[30d])", "10000")
		app, _, _ := strings.Cut(judgedBy(""), "---\n")
		tree := files(deployment, app)
		tree["apps/checkout/slo.yaml"] = openSLO
		commit := deliver(ctx, "Add checkout", tree)
		w.says(commit, "checkout/post-deployment", "success: error-budget")
	})

	It("cannot have its provider reach the metadata service", func(ctx context.Context) {
		for name, url := range map[string]string{"metadata": "http://169.254.169.254", "mapped": "http://[::ffff:169.254.169.254]:80", "unspecified": "http://0.0.0.0:8080"} {
			provider := &metricsv1.KeptnMetricsProvider{}
			provider.Namespace, provider.Name = w.namespace, name
			provider.Spec = metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: url}
			Expect(kube.Create(ctx, provider)).To(Succeed())
			m := w.keptnMetric(ctx, name, "up", func(m *metricsv1.KeptnMetric) { m.Spec.Provider.Name = name })
			Eventually(state(ctx, m, "Ready")).Should(HavePrefix("False ForbiddenAddress: "), name)
		}
	})
})
