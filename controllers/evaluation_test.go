package controllers_test

import (
	"context"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

var _ = Describe("A KeptnEvaluation", Ordered, ContinueOnFailure, func() {
	var w *world

	BeforeAll(func() { runController(GinkgoT().TempDir()) })
	BeforeEach(func(ctx context.Context) { w = newWorld(ctx) })

	objective := func(metric, target string) lifecyclev1.Objective {
		return lifecyclev1.Objective{KeptnMetricRef: lifecyclev1.KeptnMetricReference{Name: metric}, EvaluationTarget: target}
	}
	define := func(ctx context.Context, objectives ...lifecyclev1.Objective) {
		GinkgoHelper()
		Expect(kube.Create(ctx, &lifecyclev1.KeptnEvaluationDefinition{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "healthy"},
			Spec: lifecyclev1.KeptnEvaluationDefinitionSpec{Objectives: objectives, EvaluationRetries: lifecyclev1.EvaluationRetries{
				RetryInterval: metav1.Duration{Duration: time.Second},
			}},
		})).To(Succeed())
	}
	evaluate := func(ctx context.Context, spec lifecyclev1.KeptnEvaluationSpec) *lifecyclev1.KeptnEvaluation {
		GinkgoHelper()
		spec.EvaluationDefinition, spec.AppName, spec.AppVersion = "healthy", "checkout", "1"
		e := &lifecyclev1.KeptnEvaluation{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "check"}, Spec: spec}
		Expect(kube.Create(ctx, e)).To(Succeed())
		return e
	}
	status := func(ctx context.Context, e *lifecyclev1.KeptnEvaluation) func() lifecyclev1.KeptnEvaluationStatus {
		return func() lifecyclev1.KeptnEvaluationStatus {
			if err := kube.Get(ctx, client.ObjectKeyFromObject(e), e); err != nil {
				return lifecyclev1.KeptnEvaluationStatus{}
			}
			return e.Status
		}
	}
	measured := func(ctx context.Context, name, value string) {
		GinkgoHelper()
		w.metrics.set(name, value)
		Eventually(valueOf(ctx, w.keptnMetric(ctx, name, name))).Should(Equal(value))
	}
	ended := func(state lifecyclev1.KeptnState, verdict lifecyclev1.Verdict) OmegaMatcher {
		return And(HaveField("OverallStatus", state), HaveField("Verdict", verdict), HaveField("EndTime.Time", Not(BeZero())))
	}
	says := func(name string, state lifecyclev1.KeptnState, value, message string) OmegaMatcher {
		return HaveField("EvaluationStatus", HaveKeyWithValue(name, And(HaveField("Status", state), HaveField("Value", value), HaveField("Message", message))))
	}

	It("succeeds once its objectives are met", func(ctx context.Context) {
		measured(ctx, "cpu", "7")
		define(ctx, objective("cpu", "<11"), objective("cpu", ">= 5"))
		e := evaluate(ctx, lifecyclev1.KeptnEvaluationSpec{Type: lifecyclev1.PreDeploymentEvaluationCheckType})
		Eventually(status(ctx, e)).Should(And(ended("Succeeded", "pass"), HaveField("RetryCount", 1),
			says("cpu", "Succeeded", "7", "value '7' met objective '<11'"),
			says("cpu >= 5", "Succeeded", "7", "value '7' met objective '>= 5'"),
		))
		Expect(state(ctx, e, meta.ReadyCondition)()).To(Equal("True Succeeded: 2 of 2 objectives met"))
		Eventually(w.events(ctx, "check")).Should(ConsistOf(
			"Normal ReconcileEvaluationStatusChanged: Reconcile Evaluation: evaluation status changed from Pending to Succeeded / Namespace: "+w.namespace+", Name: check, Version: 1",
			"Normal ReconcileEvaluationFinished: Reconcile Evaluation: pass: 2 of 2 objectives met / Namespace: "+w.namespace+", Name: check, Version: 1",
		))
	})

	It("succeeds when a value has become good", func(ctx context.Context) {
		measured(ctx, "cpu", "20")
		measured(ctx, "mem", "1")
		define(ctx, objective("cpu", "<11"), objective("mem", "<=1"))
		e := evaluate(ctx, lifecyclev1.KeptnEvaluationSpec{EvaluationRetries: lifecyclev1.EvaluationRetries{Retries: 1000}})
		Eventually(status(ctx, e)).Should(And(HaveField("OverallStatus", lifecyclev1.StateProgressing), HaveField("RetryCount", BeNumerically(">", 1)),
			says("cpu", "Failed", "20", "value '20' did not meet objective '<11'"), says("mem", "Succeeded", "1", "value '1' met objective '<=1'")))
		w.metrics.set("mem", "2")
		w.metrics.set("cpu", "7")
		Eventually(status(ctx, e)).Should(And(ended("Succeeded", "pass"),
			says("cpu", "Succeeded", "7", "value '7' met objective '<11'"), says("mem", "Succeeded", "1", "value '1' met objective '<=1'")))
	})

	It("fails once it has looked often enough, and says what was not met", func(ctx context.Context) {
		measured(ctx, "cpu", "7")
		define(ctx, objective("cpu", "<5"), objective("cpu", "=7"), objective("missing", "<1"))
		e := evaluate(ctx, lifecyclev1.KeptnEvaluationSpec{EvaluationRetries: lifecyclev1.EvaluationRetries{Retries: 2}})
		Eventually(status(ctx, e)).Should(And(ended("Failed", "fail"), HaveField("RetryCount", 2),
			says("cpu", "Failed", "7", "value '7' did not meet objective '<5'"),
			HaveField("EvaluationStatus", HaveKeyWithValue("cpu =7", HaveField("Message", HavePrefix("invalid operator")))),
			HaveField("EvaluationStatus", HaveKeyWithValue("missing", HaveField("Message", `keptnmetrics.metrics.keptn.sh "missing" not found`))),
			HaveField("Summary", HavePrefix("3 of 3 objectives not met, look 2 of 2: cpu: ")),
		))
		Expect(e.Status.EndTime.Sub(e.Status.StartTime.Time)).To(BeNumerically(">=", time.Second))
		count := func(reason string) func() int {
			return func() int {
				n := 0
				for _, event := range w.events(ctx, "check")() {
					n += strings.Count(event, reason)
				}
				return n
			}
		}
		Eventually(count("Warning ReconcileEvaluationReconcileTimeout: Reconcile Evaluation: retryCount exceeded")).Should(Equal(1))
		Eventually(count("evaluation of 'cpu' failed with value: '7' and reason: 'value '7' did not meet objective '<5''")).Should(Equal(1))
		Expect(count("from Pending to Progressing")()).To(Equal(1))
		Expect(count("from Progressing to Failed")()).To(Equal(1))
	})

	It("looks once where it has no retries", func(ctx context.Context) {
		define(ctx, objective("missing", "<5"))
		e := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "lifecycle.keptn.sh/v1beta1", "kind": "KeptnEvaluation",
			"metadata": map[string]any{"namespace": w.namespace, "name": "check"},
			"spec":     map[string]any{"evaluationDefinition": "healthy", "workloadVersion": "1", "retries": int64(0)},
		}}
		Expect(kube.Create(ctx, e)).To(Succeed())
		found := &lifecyclev1.KeptnEvaluation{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "check"}}
		Eventually(status(ctx, found)).Should(And(ended("Failed", "fail"), HaveField("RetryCount", 1)))
	})

	It("waits for its definition", func(ctx context.Context) {
		measured(ctx, "cpu", "7")
		e := evaluate(ctx, lifecyclev1.KeptnEvaluationSpec{})
		Eventually(state(ctx, e, meta.ReadyCondition)).Should(HavePrefix(`Unknown DefinitionNotFound: no KeptnEvaluationDefinition "healthy" in namespace ` + w.namespace))
		Expect(status(ctx, e)()).To(And(HaveField("OverallStatus", lifecyclev1.StatePending), HaveField("RetryCount", 0)))
		define(ctx, objective("cpu", "<11"))
		Eventually(status(ctx, e)).Should(ended("Succeeded", "pass"))
	})

	analysis := func(ctx context.Context, limit string) {
		GinkgoHelper()
		Expect(kube.Create(ctx, &metricsv1.AnalysisValueTemplate{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "errors"},
			Spec: metricsv1.AnalysisValueTemplateSpec{
				Provider: metricsv1.ObjectReference{Name: "prometheus"}, Query: `errors{app="{{.app}}",version="{{.version}}"}`,
			},
		})).To(Succeed())
		Expect(kube.Create(ctx, &metricsv1.AnalysisDefinition{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "checkout"},
			Spec: metricsv1.AnalysisDefinitionSpec{
				TotalScore: metricsv1.TotalScore{PassPercentage: 90, WarningPercentage: 50},
				Objectives: []metricsv1.Objective{{
					AnalysisValueTemplateRef: metricsv1.ObjectReference{Name: "errors"},
					Target: metricsv1.Target{
						Failure: &metricsv1.Operator{GreaterThan: &metricsv1.OperatorValue{FixedValue: resource.MustParse("10")}},
						Warning: &metricsv1.Operator{GreaterThan: &metricsv1.OperatorValue{FixedValue: resource.MustParse(limit)}},
					},
				}},
			},
		})).To(Succeed())
	}
	analysed := lifecyclev1.KeptnEvaluationSpec{
		Type: lifecyclev1.PostDeploymentEvaluationCheckType, AnalysisDefinition: &lifecyclev1.AnalysisDefinitionReference{Name: "checkout"},
	}

	DescribeTable("has the verdict of its analysis", func(ctx context.Context, errors string, state lifecyclev1.KeptnState, verdict lifecyclev1.Verdict, score string) {
		w.metrics.set(`errors{app="checkout",version="1"}`, errors)
		analysis(ctx, "5")
		e := evaluate(ctx, analysed)
		Eventually(status(ctx, e)).Should(And(ended(state, verdict), HaveField("Score", score), HaveField("MaxScore", "1"),
			HaveField("EvaluationStatus", HaveKeyWithValue("errors", And(HaveField("Value", errors), HaveField("Status", state))))))
		a := &metricsv1.Analysis{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: e.Status.AnalysisName}}
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(a), a)).To(Succeed())
		Expect(metav1.IsControlledBy(a, e)).To(BeTrue())
		Expect(a.Spec.Args).To(Equal(map[string]string{"app": "checkout", "version": "1"}))
		Expect(e.Status.Summary).To(Equal(a.Status.Message))
	},
		Entry("that passes", "5", lifecyclev1.StateSucceeded, lifecyclev1.VerdictPass, "1"),
		Entry("that warns", "6", lifecyclev1.StateWarning, lifecyclev1.VerdictWarning, "0.5"),
		Entry("that fails", "11", lifecyclev1.StateFailed, lifecyclev1.VerdictFail, "0"),
	)

	It("waits for its AnalysisDefinition", func(ctx context.Context) {
		w.metrics.set(`errors{app="checkout",version="1"}`, "1")
		e := evaluate(ctx, analysed)
		Eventually(state(ctx, e, meta.ReadyCondition)).Should(And(HavePrefix("Unknown Analysing: Analysis check-"), ContainSubstring(`no AnalysisDefinition "checkout"`)))
		Expect(e.Status.OverallStatus).To(Equal(lifecyclev1.StateProgressing))
		analysis(ctx, "5")
		Eventually(status(ctx, e)).Should(ended("Succeeded", "pass"))
	})
})
