package controllers_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// There is no Job controller here: the tests play it.
var _ = Describe("A task", func() {
	var w *world
	// state is what a KeptnTask has come to: <status> <reason>: <message>.
	state := func(ctx context.Context, name string) func() string {
		return func() string {
			var t lifecyclev1.KeptnTask
			if err := kube.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: name}, &t); err != nil {
				return err.Error()
			}
			return strings.TrimSuffix(fmt.Sprintf("%s %s: %s", t.Status.Status, t.Status.Reason, t.Status.Message), " : ")
		}
	}
	// keptIn is what the status of a definition says of its script.
	keptIn := func(ctx context.Context, name string) func() string {
		return func() string {
			var d lifecyclev1.KeptnTaskDefinition
			Expect(kube.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: name}, &d)).To(Succeed())
			return d.Status.Function.ConfigMap
		}
	}
	jobs := func(ctx context.Context) []batchv1.Job {
		var list batchv1.JobList
		Expect(kube.List(ctx, &list, inNamespace(w))).To(Succeed())
		return list.Items
	}
	// job waits for the only Job of the namespace.
	job := func(ctx context.Context) *batchv1.Job {
		GinkgoHelper()
		Eventually(func() int { return len(jobs(ctx)) }).Should(Equal(1))
		return &jobs(ctx)[0]
	}
	// finish ends a Job as the Job controller does.
	finish := func(ctx context.Context, j *batchv1.Job, conditions ...batchv1.JobCondition) {
		GinkgoHelper()
		before, now := j.DeepCopy(), metav1.Now()
		j.Status.StartTime, j.Status.UncountedTerminatedPods = &now, &batchv1.UncountedTerminatedPods{}
		for _, c := range conditions {
			if c.Type == batchv1.JobComplete {
				j.Status.CompletionTime, j.Status.Succeeded = &now, 1
			}
			c.Status, c.LastTransitionTime = corev1.ConditionTrue, now
			j.Status.Conditions = append(j.Status.Conditions, c)
		}
		Expect(kube.Status().Patch(ctx, j, client.MergeFrom(before))).To(Succeed())
	}
	succeed := func(ctx context.Context, j *batchv1.Job) {
		GinkgoHelper()
		finish(ctx, j, batchv1.JobCondition{Type: batchv1.JobSuccessCriteriaMet}, batchv1.JobCondition{Type: batchv1.JobComplete})
	}
	// pod is a pod of a Job.
	pod := func(ctx context.Context, j *batchv1.Job) *corev1.Pod {
		GinkgoHelper()
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: j.Namespace, GenerateName: j.Name + "-", Labels: j.Spec.Template.Labels, Annotations: j.Spec.Template.Annotations,
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(j, batchv1.SchemeGroupVersion.WithKind("Job"))},
			},
			Spec: j.Spec.Template.Spec,
		}
		p.Spec.ServiceAccountName, p.Spec.AutomountServiceAccountToken = "", new(false) // nobody makes service accounts here
		Expect(kube.Create(ctx, p)).To(Succeed())
		return p
	}
	status := func(ctx context.Context, p *corev1.Pod, phase corev1.PodPhase, s corev1.ContainerState) {
		GinkgoHelper()
		p.Status.Phase, p.Status.ContainerStatuses = phase, []corev1.ContainerStatus{{Name: p.Spec.Containers[0].Name, Image: "i", State: s}}
		Expect(kube.Status().Update(ctx, p)).To(Succeed())
	}
	define := func(ctx context.Context, name string, spec lifecyclev1.KeptnTaskDefinitionSpec) *lifecyclev1.KeptnTaskDefinition {
		GinkgoHelper()
		d := &lifecyclev1.KeptnTaskDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Spec: spec}
		Expect(kube.Create(ctx, d)).To(Succeed())
		return d
	}
	run := func(ctx context.Context, name, definition string, change ...func(*lifecyclev1.KeptnTaskSpec)) *lifecyclev1.KeptnTask {
		GinkgoHelper()
		t := &lifecyclev1.KeptnTask{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
			Spec:       lifecyclev1.KeptnTaskSpec{TaskDefinition: definition},
		}
		for _, c := range change {
			c(&t.Spec)
		}
		Expect(kube.Create(ctx, t)).To(Succeed())
		return t
	}
	container := lifecyclev1.KeptnTaskDefinitionSpec{TTLSecondsAfterFinished: new(int32(60))}
	container.Container = &lifecyclev1.ContainerSpec{Container: corev1.Container{Image: "migrate:2"}}
	inline := lifecyclev1.KeptnTaskDefinitionSpec{}
	inline.Deno = &lifecyclev1.RuntimeSpec{Inline: lifecyclev1.Inline{Code: "console.log(1)"}}

	BeforeEach(func(ctx context.Context) {
		w = newWorld(ctx)
		DeferCleanup(func(ctx context.Context) {
			for _, of := range []client.Object{
				&lifecyclev1.KeptnTask{}, &lifecyclev1.KeptnTaskDefinition{}, &batchv1.Job{}, &corev1.Pod{}, &corev1.ConfigMap{},
			} {
				Expect(kube.DeleteAllOf(ctx, of, client.InNamespace(w.namespace), client.PropagationPolicy(metav1.DeletePropagationBackground), client.GracePeriodSeconds(0))).To(Succeed())
			}
		})
	})

	It("runs its script from a ConfigMap that follows the definition", func(ctx context.Context) {
		runController(GinkgoT().TempDir())
		run(ctx, "greet", "greet")
		d := define(ctx, "greet", inline)
		mounts := job(ctx).Spec.Template.Spec.Volumes
		Expect(mounts).To(ContainElement(HaveField("VolumeSource.ConfigMap.LocalObjectReference.Name", "keptnfn-greet")))
		code := func() string {
			var kept corev1.ConfigMap
			Expect(kube.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: "keptnfn-greet"}, &kept)).To(Succeed())
			Expect(metav1.IsControlledBy(&kept, d)).To(BeTrue())
			return kept.Data["code"]
		}
		Expect(code()).To(Equal("console.log(1)"))
		Expect(keptIn(ctx, "greet")()).To(Equal("keptnfn-greet"))
		patch := `{"spec":{"deno":{"inline":{"code":"console.log(2)"}}}}`
		Expect(kube.Patch(ctx, d.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
		Eventually(code).Should(Equal("console.log(2)"))
	})

	It("waits for the ConfigMap that its definition names", func(ctx context.Context) {
		runController(GinkgoT().TempDir())
		spec := lifecyclev1.KeptnTaskDefinitionSpec{}
		spec.Python = &lifecyclev1.RuntimeSpec{ConfigMapReference: lifecyclev1.ConfigMapReference{Name: "mine"}}
		define(ctx, "greet", spec)
		run(ctx, "greet", "greet")
		run(ctx, "greet-from-git", "greet", func(s *lifecyclev1.KeptnTaskSpec) {
			s.Definition, s.Confinement = &lifecyclev1.FrozenTaskDefinition{KeptnTaskDefinitionSpec: spec}, &lifecyclev1.Confinement{}
		})
		Eventually(state(ctx, "greet")).Should(HavePrefix("Pending ScriptNotFound: "))
		Eventually(state(ctx, "greet-from-git")).Should(HavePrefix("Pending ScriptNotFound: "))
		script := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "mine"}, Data: map[string]string{"other": "1"}}
		Expect(kube.Create(ctx, script)).To(Succeed())
		Consistently(keptIn(ctx, "greet"), 300*time.Millisecond).Should(BeEmpty())
		script.Data["code"] = "print(1)"
		Expect(kube.Update(ctx, script)).To(Succeed())
		Eventually(keptIn(ctx, "greet")).Should(Equal("mine"))
		Eventually(state(ctx, "greet")).Should(Equal("Progressing"))
		Eventually(state(ctx, "greet-from-git")).Should(Equal("Progressing"))
	})

	It("succeeds with its Job, which is kept until that is recorded", func(ctx context.Context) {
		runController(GinkgoT().TempDir())
		define(ctx, "migrate", container)
		run(ctx, "migrate", "migrate")
		j := job(ctx)
		Eventually(state(ctx, "migrate")).Should(Equal("Progressing"))
		Expect(j.Spec.TTLSecondsAfterFinished).To(BeNil())
		p := pod(ctx, j)
		status(ctx, p, corev1.PodPending, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "no such image"}})
		Eventually(state(ctx, "migrate")).Should(Equal(`Progressing ImagePullFailed: cannot pull the image "migrate:2" of the container "migrate": no such image`))
		status(ctx, p, corev1.PodSucceeded, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 0}})
		succeed(ctx, j)
		Eventually(state(ctx, "migrate")).Should(Equal("Succeeded"))
		Eventually(func() *int32 { return jobs(ctx)[0].Spec.TTLSecondsAfterFinished }).Should(HaveValue(BeEquivalentTo(60)))
		var t lifecyclev1.KeptnTask
		Expect(kube.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: "migrate"}, &t)).To(Succeed())
		Expect(t.Status.ExitCode).To(HaveValue(BeZero()))
		Eventually(w.events(ctx, "migrate")).Should(ConsistOf(
			"Normal ReconcileTaskStatusChanged: Reconcile Task: task status changed from Pending to Progressing / Namespace: "+w.namespace+", Name: migrate",
			"Normal ReconcileTaskStatusChanged: Reconcile Task: task status changed from Progressing to Succeeded / Namespace: "+w.namespace+", Name: migrate",
		))
	})

	It("fails with its Job, for the reason that its Job gives", func(ctx context.Context) {
		runController(GinkgoT().TempDir())
		define(ctx, "migrate", container)
		run(ctx, "migrate", "migrate")
		j := job(ctx)
		const why = "Job has reached the specified backoff limit"
		finish(ctx, j, batchv1.JobCondition{Type: batchv1.JobFailureTarget, Reason: "BackoffLimitExceeded", Message: why})
		Eventually(state(ctx, "migrate")).Should(Equal("Failed BackoffLimitExceeded: " + why))
		Eventually(func() *int32 { return jobs(ctx)[0].Spec.TTLSecondsAfterFinished }).ShouldNot(BeNil())
	})

	It("fails when its Job is deleted, and does not run again", func(ctx context.Context) {
		runController(GinkgoT().TempDir())
		define(ctx, "migrate", container)
		run(ctx, "migrate", "migrate")
		j := job(ctx)
		Eventually(state(ctx, "migrate")).Should(Equal("Progressing"))
		Expect(kube.Delete(ctx, j, client.PropagationPolicy(metav1.DeletePropagationBackground))).To(Succeed())
		Eventually(state(ctx, "migrate")).Should(HavePrefix("Failed JobDeleted: "))
		Expect(jobs(ctx)).To(BeEmpty())
	})

	It("waits for a definition, and for the one that it takes its script from", func(ctx context.Context) {
		runController(GinkgoT().TempDir())
		run(ctx, "greet", "child")
		Eventually(state(ctx, "greet")).Should(Equal("Pending DefinitionNotFound: could not find KeptnTaskDefinition: child"))
		child := lifecyclev1.KeptnTaskDefinitionSpec{}
		child.Deno = &lifecyclev1.RuntimeSpec{FunctionReference: lifecyclev1.FunctionReference{Name: "parent"}}
		define(ctx, "child", child)
		Eventually(state(ctx, "greet")).Should(Equal("Pending DefinitionNotFound: could not find KeptnTaskDefinition: parent"))
		define(ctx, "parent", inline)
		Eventually(state(ctx, "greet")).Should(Equal("Progressing"))
	})

	It("runs once though the controller was killed before it knew of the Job", func(ctx context.Context) {
		stop := runController(GinkgoT().TempDir())
		define(ctx, "migrate", container)
		t := run(ctx, "migrate", "migrate")
		j := job(ctx)
		Eventually(state(ctx, "migrate")).Should(Equal("Progressing"))
		stop()
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(t), t)).To(Succeed())
		t.Status = lifecyclev1.KeptnTaskStatus{} // as if it had not been written
		Expect(kube.Status().Update(ctx, t)).To(Succeed())
		succeed(ctx, j)
		stop = runController(GinkgoT().TempDir())
		Eventually(state(ctx, "migrate")).Should(Equal("Succeeded"))
		Expect(jobs(ctx)).To(HaveLen(1))

		stop()
		Expect(kube.Delete(ctx, j, client.PropagationPolicy(metav1.DeletePropagationBackground))).To(Succeed())
		runController(GinkgoT().TempDir())
		Consistently(func() []batchv1.Job { return jobs(ctx) }, time.Second).Should(BeEmpty())
		Expect(state(ctx, "migrate")()).To(Equal("Succeeded"))
	})

	It("that comes from Git runs within the limits of its namespace", func(ctx context.Context) {
		runController(GinkgoT().TempDir())
		long := strings.Repeat("a", 253)
		steps := func(s *lifecyclev1.KeptnTaskSpec) {
			s.Confinement = &lifecyclev1.Confinement{AllowedSecrets: []string{"mine"}}
			s.Context.AppVersion = "no valid name: 1.0+ß"
			s.Definition = &lifecyclev1.FrozenTaskDefinition{}
			s.Definition.Steps = []lifecyclev1.Step{
				{Name: strings.Repeat("s", 50), Executable: lifecyclev1.Executable{Python: &lifecyclev1.RuntimeSpec{
					Inline: lifecyclev1.Inline{Code: "print(1)"}, SecureParameters: lifecyclev1.SecureParameters{Secret: "mine"},
				}}},
				{Name: "build", Executable: lifecyclev1.Executable{Container: container.Container}},
			}
		}
		run(ctx, long, "release", steps)
		Eventually(state(ctx, long)).Should(Equal("Progressing"))
		Expect(pod(ctx, job(ctx)).Spec.InitContainers).To(HaveLen(1))

		run(ctx, "release", "release", steps, func(s *lifecyclev1.KeptnTaskSpec) { s.Confinement.AllowedSecrets = nil })
		Eventually(state(ctx, "release")).Should(And(HavePrefix("Failed NotAllowed: "), ContainSubstring(`Secret "mine"`)))
	})
})
