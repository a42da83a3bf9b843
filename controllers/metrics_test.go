package controllers_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// keptnMetric makes a KeptnMetric that is measured every second.
func (w *world) keptnMetric(ctx context.Context, name, query string, change ...func(*metricsv1.KeptnMetric)) *metricsv1.KeptnMetric {
	GinkgoHelper()
	m := &metricsv1.KeptnMetric{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: metricsv1.KeptnMetricSpec{
			Provider: metricsv1.ProviderRef{Name: "prometheus"}, Query: query, FetchIntervalSeconds: 1,
		},
	}
	for _, c := range change {
		c(m)
	}
	Expect(kube.Create(ctx, m)).To(Succeed())
	return m
}

// valueOf returns a function that reads a KeptnMetric's value.
func valueOf(ctx context.Context, m *metricsv1.KeptnMetric) func() string {
	return func() string {
		if err := kube.Get(ctx, client.ObjectKeyFromObject(m), m); err != nil {
			return ""
		}
		return m.Status.Value
	}
}

var _ = Describe("A KeptnMetric", Ordered, ContinueOnFailure, func() {
	var w *world

	BeforeAll(func() { runController(GinkgoT().TempDir()) })
	BeforeEach(func(ctx context.Context) { w = newWorld(ctx) })

	It("has the value that its provider answers, and follows it", func(ctx context.Context) {
		w.metrics.set("up", "1")
		m := w.keptnMetric(ctx, "up", "up")
		Eventually(valueOf(ctx, m)).Should(Equal("1"))
		Expect(m.Status.LastUpdated.Time).To(BeTemporally("~", time.Now(), time.Minute))
		Expect(m.Status.RawValue).NotTo(BeEmpty())
		w.metrics.set("up", "0.25")
		Eventually(valueOf(ctx, m)).Should(Equal("0.25"))
		m.Spec.Query = "down"
		w.metrics.set("down", "3")
		Expect(kube.Update(ctx, m)).To(Succeed())
		Eventually(valueOf(ctx, m)).Should(Equal("3"))
	})

	It("is written only where its value changes", func(ctx context.Context) {
		w.metrics.set("up", "1")
		m := w.keptnMetric(ctx, "up", "up")
		Eventually(valueOf(ctx, m)).Should(Equal("1"))
		version, asked := m.ResourceVersion, w.metrics.questions()
		Eventually(w.metrics.questions).Should(BeNumerically(">", asked+3))
		Expect(valueOf(ctx, m)()).To(Equal("1"))
		Expect(m.ResourceVersion).To(Equal(version))
	})

	It("is asked once together with those that ask the same", func(ctx context.Context) {
		w.metrics.set("up", "1")
		var all []*metricsv1.KeptnMetric
		for i := range 20 {
			all = append(all, w.keptnMetric(ctx, fmt.Sprintf("up-%d", i), "up", func(m *metricsv1.KeptnMetric) { m.Spec.FetchIntervalSeconds = 3600 }))
		}
		for _, m := range all {
			Eventually(valueOf(ctx, m)).Should(Equal("1"))
		}
		Expect(w.metrics.questions()).To(BeNumerically("<", 5))
	})

	It("keeps its value, and says why there is no newer one", func(ctx context.Context) {
		w.metrics.set("up", "1")
		m := w.keptnMetric(ctx, "up", "up")
		Eventually(valueOf(ctx, m)).Should(Equal("1"))
		w.metrics.set("up", "")
		Eventually(state(ctx, m, meta.ReadyCondition)).Should(HavePrefix("Unknown NoData: "))
		Expect(m.Status.Value).To(Equal("1"))
		Expect(m.Status.ErrMsg).To(ContainSubstring("no data"))
		w.metrics.set("up", "1 2")
		Eventually(state(ctx, m, meta.ReadyCondition)).Should(HavePrefix("False TooManySeries: "))
		w.metrics.set("up", "NaN")
		Eventually(state(ctx, m, meta.ReadyCondition)).Should(And(HavePrefix("Unknown NoData: "), ContainSubstring("NaN")))
		w.metrics.fail(http.StatusUnauthorized)
		Eventually(state(ctx, m, meta.ReadyCondition)).Should(HavePrefix("False Unauthorized: "))
		w.metrics.fail(http.StatusServiceUnavailable)
		Eventually(state(ctx, m, meta.ReadyCondition)).Should(HavePrefix("Unknown Unreachable: "))
		Expect(m.Status.Value).To(Equal("1"))
		w.metrics.fail(0)
		w.metrics.set("up", "2")
		Eventually(valueOf(ctx, m)).Should(Equal("2"))
		Expect(m.Status.ErrMsg).To(BeEmpty())
		Expect(state(ctx, m, meta.ReadyCondition)()).To(HavePrefix("True Measured: "))
	})

	It("waits for its provider", func(ctx context.Context) {
		w.metrics.set("up", "1")
		m := w.keptnMetric(ctx, "up", "up", func(m *metricsv1.KeptnMetric) { m.Spec.Provider.Name = "later" })
		Eventually(state(ctx, m, meta.ReadyCondition)).Should(And(HavePrefix("False ProviderNotFound: "), ContainSubstring(`"later"`)))
		Expect(kube.Create(ctx, &metricsv1.KeptnMetricsProvider{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "later"},
			Spec:       metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: serve(w.metrics)},
		})).To(Succeed())
		Eventually(valueOf(ctx, m)).Should(Equal("1"))
	})

	It("is measured at once when its provider comes, changes or goes, however long its interval", func(ctx context.Context) {
		w.metrics.set("up", "1")
		hourly := func(m *metricsv1.KeptnMetric) { m.Spec.Provider.Name, m.Spec.FetchIntervalSeconds = "later", 3600 }
		m := w.keptnMetric(ctx, "up", "up", hourly)
		Eventually(state(ctx, m, meta.ReadyCondition)).Should(HavePrefix("False ProviderNotFound: "))
		later := &metricsv1.KeptnMetricsProvider{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "later"},
			Spec:       metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: serve(w.metrics)},
		}
		Expect(kube.Create(ctx, later)).To(Succeed())
		Eventually(valueOf(ctx, m)).Should(Equal("1"))
		other := &prometheus{answers: map[string][]answer{}}
		other.set("up", "2")
		later.Spec.TargetServer = serve(other)
		Expect(kube.Update(ctx, later)).To(Succeed())
		Eventually(valueOf(ctx, m)).Should(Equal("2"))
		Expect(kube.Delete(ctx, later)).To(Succeed())
		Eventually(state(ctx, m, meta.ReadyCondition)).Should(HavePrefix("False ProviderNotFound: "))
		Expect(m.Status.Value).To(Equal("2"))
	})

	It("can be written in v1beta1", func(ctx context.Context) {
		w.metrics.set("up", "1")
		older := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "metrics.keptn.sh/v1beta1", "kind": "KeptnMetric",
			"metadata": map[string]any{"namespace": w.namespace, "name": "up"},
			"spec":     map[string]any{"provider": map[string]any{"name": "prometheus"}, "query": "up", "fetchIntervalSeconds": int64(1)},
		}}
		Expect(kube.Create(ctx, older)).To(Succeed())
		Eventually(func() string {
			Expect(kube.Get(ctx, client.ObjectKeyFromObject(older), older)).To(Succeed())
			value, _, _ := unstructured.NestedString(older.Object, "status", "value")
			return value
		}).Should(Equal("1"))
	})

	It("aggregates a range, and stores results in addition to its value", func(ctx context.Context) {
		w.metrics.set("up", "4")
		m := w.keptnMetric(ctx, "up", "up", func(m *metricsv1.KeptnMetric) {
			m.Spec.Range = &metricsv1.RangeSpec{Interval: "5m", Step: "1m", Aggregation: metricsv1.AggregationP90, StoredResults: 2}
		})
		Eventually(func() []metricsv1.IntervalResult {
			valueOf(ctx, m)()
			return m.Status.IntervalResults
		}).Should(HaveLen(2))
		Expect(m.Status.Value).To(Equal("4"))
		last := m.Status.IntervalResults[1].LastUpdated
		Eventually(func() bool {
			valueOf(ctx, m)()
			return m.Status.IntervalResults[1].LastUpdated.After(last.Time)
		}).Should(BeTrue())
		Expect(m.Status.IntervalResults).To(HaveLen(2))
	})

	It("of a provider that is slow holds up no other", func(ctx context.Context) {
		slow := make(chan struct{})
		defer close(slow)
		stuck := &prometheus{answers: map[string][]answer{}}
		stuck.wait(slow)
		Expect(kube.Create(ctx, &metricsv1.KeptnMetricsProvider{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "slow"},
			Spec:       metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: serve(stuck)},
		})).To(Succeed())
		for i := range 50 {
			w.keptnMetric(ctx, fmt.Sprintf("slow-%d", i), fmt.Sprintf("slow_%d", i), func(m *metricsv1.KeptnMetric) { m.Spec.Provider.Name = "slow" })
		}
		Eventually(stuck.isAsked).Should(BeTrue())
		w.metrics.set("up", "1")
		m := w.keptnMetric(ctx, "up", "up")
		Eventually(valueOf(ctx, m)).Should(Equal("1"))
	})
})

var _ = Describe("An Analysis", Ordered, ContinueOnFailure, func() {
	var w *world

	BeforeAll(func() { runController(GinkgoT().TempDir()) })
	BeforeEach(func(ctx context.Context) { w = newWorld(ctx) })

	template := func(ctx context.Context, name, query string, change ...func(*metricsv1.AnalysisValueTemplate)) {
		GinkgoHelper()
		t := &metricsv1.AnalysisValueTemplate{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
			Spec:       metricsv1.AnalysisValueTemplateSpec{Provider: metricsv1.ObjectReference{Name: "prometheus"}, Query: query},
		}
		for _, c := range change {
			c(t)
		}
		Expect(kube.Create(ctx, t)).To(Succeed())
	}
	above := func(limit string) *metricsv1.Operator {
		return &metricsv1.Operator{GreaterThan: &metricsv1.OperatorValue{FixedValue: resource.MustParse(limit)}}
	}
	definition := func(ctx context.Context, objectives ...metricsv1.Objective) {
		GinkgoHelper()
		Expect(kube.Create(ctx, &metricsv1.AnalysisDefinition{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "checkout"},
			Spec: metricsv1.AnalysisDefinitionSpec{
				Objectives: objectives, TotalScore: metricsv1.TotalScore{PassPercentage: 90, WarningPercentage: 75},
			},
		})).To(Succeed())
	}
	objective := func(name, limit string) metricsv1.Objective {
		return metricsv1.Objective{AnalysisValueTemplateRef: metricsv1.ObjectReference{Name: name}, Target: metricsv1.Target{Failure: above(limit)}}
	}
	analyse := func(ctx context.Context, name string, change ...func(*metricsv1.Analysis)) *metricsv1.Analysis {
		GinkgoHelper()
		a := &metricsv1.Analysis{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
			Spec: metricsv1.AnalysisSpec{
				AnalysisDefinition: metricsv1.ObjectReference{Name: "checkout"},
				Timeframe:          metricsv1.Timeframe{Recent: metav1.Duration{Duration: 5 * time.Minute}},
				Args:               map[string]string{"app": "checkout"},
			},
		}
		for _, c := range change {
			c(a)
		}
		Expect(kube.Create(ctx, a)).To(Succeed())
		return a
	}
	status := func(ctx context.Context, a *metricsv1.Analysis) func() metricsv1.AnalysisStatus {
		return func() metricsv1.AnalysisStatus {
			if err := kube.Get(ctx, client.ObjectKeyFromObject(a), a); err != nil {
				return metricsv1.AnalysisStatus{}
			}
			return a.Status
		}
	}
	completed := HaveField("State", metricsv1.StateCompleted)

	It("judges its window once, with its arguments", func(ctx context.Context) {
		w.metrics.set(`errors{app="checkout"}`, "7")
		template(ctx, "errors", `errors{app="{{.app}}"}`)
		definition(ctx, objective("errors", "10"))
		a := analyse(ctx, "first")
		Eventually(status(ctx, a)).Should(And(completed, HaveField("Pass", true), HaveField("Warning", false)))
		Expect(a.Status.Raw).To(And(ContainSubstring(`"value":7`), ContainSubstring(`errors{app=\"checkout\"}`)))
		Expect(a.Status.Timeframe.To.Sub(a.Status.Timeframe.From.Time)).To(Equal(5 * time.Minute))
		Expect(a.Status.StoredValues).To(BeEmpty())
		Expect(state(ctx, a, meta.ReadyCondition)()).To(HavePrefix("True Passed: "))

		asked := w.metrics.questions()
		a.Spec.Args = map[string]string{"app": "changed"}
		Expect(kube.Update(ctx, a)).To(Succeed())
		second := analyse(ctx, "second", func(a *metricsv1.Analysis) { a.Spec.Args = map[string]string{"app": "cart"} })
		Eventually(status(ctx, second)).Should(HaveField("Message", ContainSubstring("no data")))
		Expect(w.metrics.questions()).To(BeNumerically(">", asked))
		Expect(status(ctx, a)()).To(And(completed, HaveField("Pass", true)))
		w.metrics.mu.Lock()
		defer w.metrics.mu.Unlock()
		Expect(w.metrics.asked[`errors{app="changed"}`]).To(BeZero(), "a verdict is final")
	})

	It("fails where a value is not good", func(ctx context.Context) {
		w.metrics.set("errors", "11")
		template(ctx, "errors", "errors")
		definition(ctx, objective("errors", "10"))
		a := analyse(ctx, "bad")
		Eventually(status(ctx, a)).Should(And(completed, HaveField("Pass", false), HaveField("Warning", false)))
		Eventually(w.events(ctx, "bad")).Should(ContainElement(HavePrefix("Warning Failed: ")))
	})

	It("waits for its definition, its templates and their provider", func(ctx context.Context) {
		w.metrics.set("errors", "1")
		a := analyse(ctx, "early")
		Eventually(status(ctx, a)).Should(HaveField("Message", ContainSubstring(`no AnalysisDefinition "checkout"`)))
		definition(ctx, objective("errors", "10"))
		Eventually(status(ctx, a)).Should(HaveField("Message", ContainSubstring(`no AnalysisValueTemplate "errors"`)))
		template(ctx, "errors", "errors", func(t *metricsv1.AnalysisValueTemplate) { t.Spec.Provider.Name = "later" })
		Eventually(status(ctx, a)).Should(HaveField("Message", ContainSubstring(`no KeptnMetricsProvider "later"`)))
		Expect(kube.Create(ctx, &metricsv1.KeptnMetricsProvider{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "later"},
			Spec:       metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: serve(w.metrics)},
		})).To(Succeed())
		Eventually(status(ctx, a)).Should(And(completed, HaveField("Pass", true)))
	})

	It("asks again only for what is missing, and for no longer than its timeout", func(ctx context.Context) {
		w.metrics.set("errors", "1")
		template(ctx, "errors", "errors")
		template(ctx, "latency", "latency")
		definition(ctx, objective("errors", "10"), objective("latency", "10"))
		a := analyse(ctx, "missing", func(a *metricsv1.Analysis) { a.Spec.Timeout = &metav1.Duration{Duration: 4 * time.Second} })
		Eventually(status(ctx, a)).Should(HaveField("StoredValues", And(
			HaveKeyWithValue("errors", HaveField("Value", "1")), HaveKeyWithValue("latency", HaveField("ErrMsg", ContainSubstring("no data"))))))
		Eventually(status(ctx, a)).Should(And(completed, HaveField("Pass", false), HaveField("Message", HavePrefix("no result within 4s: "))))
		w.metrics.mu.Lock()
		defer w.metrics.mu.Unlock()
		Expect(w.metrics.asked["errors"]).To(Equal(1))
		Expect(a.Status.Raw).To(ContainSubstring("no data"))
	})

	It("names an argument that is missing", func(ctx context.Context) {
		template(ctx, "errors", `errors{app="{{.service}}"}`)
		definition(ctx, objective("errors", "10"))
		a := analyse(ctx, "argless", func(a *metricsv1.Analysis) { a.Spec.Timeout = &metav1.Duration{Duration: time.Second} })
		Eventually(status(ctx, a)).Should(And(completed, HaveField("Pass", false), HaveField("Message", ContainSubstring("service"))))
	})

	It("shares its queries with those that begin together", func(ctx context.Context) {
		var objectives []metricsv1.Objective
		for i := range 10 {
			name := fmt.Sprintf("value-%d", i)
			w.metrics.set(name, "1")
			template(ctx, name, name)
			objectives = append(objectives, objective(name, "10"))
		}
		definition(ctx, objectives...)
		var all []*metricsv1.Analysis
		for i := range 50 {
			all = append(all, analyse(ctx, fmt.Sprintf("analysis-%d", i)))
		}
		for _, a := range all {
			Eventually(status(ctx, a)).Should(And(completed, HaveField("Pass", true)))
		}
		Expect(w.metrics.questions()).To(BeNumerically("<=", 40), "500 values, of 10 queries at a few instants")
	})
})
