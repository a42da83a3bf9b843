package controllers_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/gate"
)

// terminate has a namespace deleted once the controllers have nothing more to write
// there. There is no namespace controller here, so that what is in it stays until a
// test deletes it, and nothing more can be created.
func terminate(ctx context.Context, name string) {
	GinkgoHelper()
	var last map[string]int
	Eventually(func() bool {
		was := last
		last = written.of(name)
		return maps.Equal(was, last)
	}).WithPolling(300 * time.Millisecond).Should(BeTrue())
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	Expect(kube.Delete(ctx, ns)).To(Succeed())
	probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: name, GenerateName: "probe-"}}
	Eventually(func() error { return kube.Create(ctx, probe.DeepCopy(), client.DryRunAll) }).Should(MatchError(ContainSubstring("being terminated")))
}

// complaints returns a function that lists what the controllers have logged as errors
// about a namespace since.
func complaints(namespace string) func() []string {
	from := len(logged.String())
	return func() []string {
		lines := []string{}
		for line := range strings.Lines(logged.String()[from:]) {
			if strings.Contains(line, "ERROR") && strings.Contains(line, namespace) {
				lines = append(lines, line)
			}
		}
		return lines
	}
}

var _ = Describe("A namespace that is deleted", Ordered, ContinueOnFailure, func() {
	BeforeAll(func() { runController(GinkgoT().TempDir()) })

	// succeed ends the only Job of a namespace as the Job controller does.
	succeed := func(ctx context.Context, namespace string) {
		GinkgoHelper()
		var jobs batchv1.JobList
		Eventually(func() ([]batchv1.Job, error) {
			err := kube.List(ctx, &jobs, client.InNamespace(namespace))
			return jobs.Items, err
		}).Should(HaveLen(1))
		before, now := jobs.Items[0].DeepCopy(), metav1.Now()
		j := &jobs.Items[0]
		j.Status = batchv1.JobStatus{StartTime: &now, CompletionTime: &now, Succeeded: 1, UncountedTerminatedPods: &batchv1.UncountedTerminatedPods{}}
		for _, of := range []batchv1.JobConditionType{batchv1.JobSuccessCriteriaMet, batchv1.JobComplete} {
			j.Status.Conditions = append(j.Status.Conditions, batchv1.JobCondition{Type: of, Status: corev1.ConditionTrue, LastTransitionTime: now})
		}
		Expect(kube.Status().Patch(ctx, j, client.MergeFrom(before))).To(Succeed())
	}

	It("ends its deliveries in silence: nothing is tried over and over, and nothing comes back", func(ctx context.Context) {
		a := newApps(ctx, keys{lifecyclev1.NamespaceEnabledAnnotation: "enabled"})
		migrate := &lifecyclev1.KeptnTaskDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: "migrate"}}
		migrate.Spec.Container = &lifecyclev1.ContainerSpec{Container: corev1.Container{Image: "migrate:2"}}
		Expect(kube.Create(ctx, migrate)).To(Succeed())
		for _, name := range []string{"budget", "load"} {
			Expect(kube.Create(ctx, &lifecyclev1.KeptnEvaluationDefinition{
				ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: name},
				Spec:       lifecyclev1.KeptnEvaluationDefinitionSpec{Objectives: []lifecyclev1.Objective{{KeptnMetricRef: lifecyclev1.KeptnMetricReference{Name: "none"}, EvaluationTarget: "<1"}}},
			})).To(Succeed())
		}
		a.deploy(ctx, "web", "web-1", 1, a.template("nginx:1.25", keys{
			"keptn.sh/workload": "web", "keptn.sh/version": "1",
			"keptn.sh/pre-deployment-tasks": "migrate", "keptn.sh/pre-deployment-evaluations": "budget,load",
		}, nil))
		kwv := at(ctx, a, "web-web-1", &lifecyclev1.KeptnWorkloadVersion{})
		Eventually(a.names(ctx, &batchv1.JobList{})).Should(HaveLen(1))

		said := complaints(a.namespace)
		terminate(ctx, a.namespace)
		By("letting come what would have led to more")
		before := written.of(a.namespace)
		succeed(ctx, a.namespace)
		app := at(ctx, a, "web", &lifecyclev1.KeptnApp{})
		Expect(kube.Patch(ctx, app, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"version":"2"}}`)))).To(Succeed())
		script := `{"spec":{"container":null,"deno":{"inline":{"code":"1"}}}}`
		Expect(kube.Patch(ctx, migrate, client.RawPatch(types.MergePatchType, []byte(script)))).To(Succeed())
		Eventually(a.names(ctx, &lifecyclev1.KeptnTaskList{})).Should(HaveLen(1))
		Eventually(func() int { return written.of(a.namespace)["keptnevaluations"] - before["keptnevaluations"] }).Should(BeNumerically(">", 0), "it is tried")

		Consistently(func() map[string]int { return written.of(a.namespace) }, "2s").Should(And(
			HaveKeyWithValue("keptnevaluations", BeNumerically("<=", before["keptnevaluations"]+6)),
			HaveKeyWithValue("keptnappversions", BeNumerically("<=", before["keptnappversions"]+6)),
			HaveKeyWithValue("events", before["events"]),
		))
		Expect(said()).To(BeEmpty())
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(kwv), kwv)).To(Succeed())
		Expect(kwv.Released()).To(BeFalse())

		By("deleting what is in it")
		clean(ctx, a.namespace)
		Consistently(func() string {
			return fmt.Sprint(a.names(ctx, &lifecyclev1.KeptnAppVersionList{})(), a.names(ctx, &lifecyclev1.KeptnWorkloadList{})(), a.names(ctx, &lifecyclev1.KeptnTaskList{})())
		}, "500ms").Should(Equal("[] [] []"))
		Expect(said()).To(BeEmpty())
	})

	Context("with a GitSource and its workloads apart", func() {
		var (
			w     *world
			away  *gates
			there string
		)
		elsewhere := func(namespace string, do func()) {
			home := w.namespace
			w.namespace = namespace
			do()
			w.namespace = home
		}
		deliveries := func(ctx context.Context) []string {
			return (&apps{away.namespace}).names(ctx, &lifecyclev1.KeptnAppVersionList{})()
		}

		// the delivery's pods are in away, and its tasks run there.
		BeforeEach(func(ctx context.Context) {
			w = newWorld(ctx)
			away = newGates(ctx, map[string]string{gitopsv1alpha1.AllowFromAnnotation: w.namespace})
			DeferCleanup(func(ctx context.Context) { clean(ctx, away.namespace) })
			there = strings.Replace(deployment, "{name: checkout}", "{name: checkout, namespace: "+away.namespace+"}", 1)
			commit := w.repo.Commit("main", "1", files(there, checkedBefore(migrate)))
			w.source(ctx, func(s *gitopsv1alpha1.GitSource) { s.Spec.TargetNamespaces = []string{away.namespace} })
			w.says(commit, "validate", "success: ")
			elsewhere(away.namespace, func() { w.apply(ctx, there) })
			w.says(commit, "checkout/pre-deployment", "pending: running migrate")
		})
		It("leaves nothing in the namespaces that it governed", func(ctx context.Context) {
			said := complaints(w.namespace)
			terminate(ctx, w.namespace)
			Expect(kube.DeleteAllOf(ctx, &gitopsv1alpha1.Lifecycle{}, client.InNamespace(w.namespace))).To(Succeed())
			Eventually(func() []string { return deliveries(ctx) }).Should(BeEmpty())
			clean(ctx, w.namespace)
			Consistently(func() []string { return deliveries(ctx) }, "500ms").Should(BeEmpty())
			Expect(away.annotation(ctx, gate.GatedAnnotation)()).To(BeEmpty())
			Expect(said()).To(BeEmpty())
		})

		It("is said to be gone where it was governed from, in silence", func(ctx context.Context) {
			said := complaints(away.namespace)
			terminate(ctx, away.namespace)
			before := written.of(away.namespace)["keptnappversions"]
			second := strings.Replace(there, "checkout:1", "checkout:2", 1)
			next := w.repo.Commit("main", "2", files(second, checkedBefore(migrate)))
			w.look(ctx, &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop"}})
			w.says(next, "validate", "success: ")
			afterwards()
			elsewhere(away.namespace, func() { w.apply(ctx, second) })
			Eventually(state(ctx, w.lifecycle("checkout"), meta.ReadyCondition)).Should(ContainSubstring("it is being terminated"))
			Consistently(func() int { return written.of(away.namespace)["keptnappversions"] }, "1s").Should(BeNumerically("<=", before+12))

			By("deleting what is in it")
			clean(ctx, away.namespace)
			Eventually(state(ctx, w.lifecycle("checkout"), meta.ReadyCondition)).Should(HavePrefix("Unknown Waiting: "))
			Expect(deliveries(ctx)).To(BeEmpty())
			Expect(said()).To(BeEmpty())
		})
	})
})
