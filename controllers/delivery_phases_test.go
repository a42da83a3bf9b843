package controllers_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gstruct"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	optionsv1alpha1 "github.com/keptn/gitops/api/options/v1alpha1"
)

// shop is a KeptnApp of one workload, cart, which is a Deployment. Its records are
// made by hand, as are the revisions of the Deployment: there is nobody else here to
// make them.
type shop struct {
	*world

	// made counts the records of deliveries.
	made int64
}

func newShop(ctx context.Context) *shop {
	GinkgoHelper()
	s := &shop{world: newWorld(ctx)}
	s.apply(ctx, cart)
	return s
}

var cart = strings.Replace(deployment, "{name: checkout}", "{name: cart}", 1)

// ownedBy names the controller of a record. Nothing looks for it here.
func ownedBy(kind, name string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{
		APIVersion: lifecyclev1.GroupVersion.String(), Kind: kind, Name: name, UID: types.UID("the-" + kind), Controller: ptr.To(true),
	}}
}

// app makes a delivery of the app at a version, newer than all before.
func (s *shop) app(ctx context.Context, version string, change ...func(*lifecyclev1.KeptnAppVersionSpec)) *lifecyclev1.KeptnAppVersion {
	GinkgoHelper()
	s.made++
	kav := &lifecyclev1.KeptnAppVersion{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.namespace, Name: fmt.Sprintf("shop-%s-%d", version, s.made), OwnerReferences: ownedBy(lifecyclev1.KeptnAppKind, "shop"),
		},
		Spec: lifecyclev1.KeptnAppVersionSpec{
			AppName: "shop", Version: version, AppGeneration: s.made,
			Workloads: []lifecyclev1.KeptnWorkloadRef{{Name: "cart", Version: version}},
		},
	}
	for _, c := range change {
		c(&kav.Spec)
	}
	Expect(kube.Create(ctx, kav)).To(Succeed())
	return kav
}

// revision makes the Deployment have a revision with a ReplicaSet of its own, which
// has yet to roll out, and the delivery of the workload that belongs to it.
func (s *shop) revision(ctx context.Context, version string, change ...func(*lifecyclev1.KeptnWorkloadVersionSpec)) *lifecyclev1.KeptnWorkloadVersion {
	GinkgoHelper()
	s.made++
	number := fmt.Sprint(s.made)
	d := &appsv1.Deployment{}
	Expect(kube.Get(ctx, types.NamespacedName{Namespace: s.namespace, Name: "cart"}, d)).To(Succeed())
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.namespace, Name: "cart-" + number, Annotations: map[string]string{"deployment.kubernetes.io/revision": number},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: d.Spec.Replicas, Selector: d.Spec.Selector, Template: d.Spec.Template},
	}
	Expect(kube.Create(ctx, rs)).To(Succeed())
	metav1.SetMetaDataAnnotation(&d.ObjectMeta, "deployment.kubernetes.io/revision", number)
	Expect(kube.Update(ctx, d)).To(Succeed())
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1,
		Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "ReplicaSetUpdated"}},
	}
	Expect(kube.Status().Update(ctx, d)).To(Succeed())
	kwv := &lifecyclev1.KeptnWorkloadVersion{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.namespace, Name: fmt.Sprintf("shop-cart-%s-%s", version, number), OwnerReferences: ownedBy("KeptnWorkload", "shop-cart"),
		},
		Spec: lifecyclev1.KeptnWorkloadVersionSpec{
			KeptnWorkloadSpec: lifecyclev1.KeptnWorkloadSpec{
				AppName: "shop", Version: version,
				ResourceReference: lifecyclev1.ResourceReference{UID: rs.UID, Kind: "ReplicaSet", Name: rs.Name},
			},
			WorkloadName: "shop-cart", WorkloadGeneration: s.made,
		},
	}
	for _, c := range change {
		c(&kwv.Spec)
	}
	Expect(kube.Create(ctx, kwv)).To(Succeed())
	return kwv
}

// runs has the Deployment roll out its newest revision.
func (s *shop) runs(ctx context.Context) {
	GinkgoHelper()
	s.rollOut(ctx, cart)
}

// define makes KeptnTaskDefinitions.
func (s *shop) define(ctx context.Context, names ...string) {
	GinkgoHelper()
	for _, name := range names {
		Expect(kube.Create(ctx, &lifecyclev1.KeptnTaskDefinition{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
			Spec: lifecyclev1.KeptnTaskDefinitionSpec{Executable: lifecyclev1.Executable{
				Container: &lifecyclev1.ContainerSpec{Container: corev1.Container{Name: "task", Image: "task:1"}},
			}},
		})).To(Succeed())
	}
}

// objective makes a KeptnEvaluationDefinition of which there is nothing to evaluate.
func (s *shop) objective(ctx context.Context, name string) {
	GinkgoHelper()
	Expect(kube.Create(ctx, &lifecyclev1.KeptnEvaluationDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
		Spec: lifecyclev1.KeptnEvaluationDefinitionSpec{
			Objectives:        []lifecyclev1.Objective{{KeptnMetricRef: lifecyclev1.KeptnMetricReference{Name: "none"}, EvaluationTarget: "<1"}},
			EvaluationRetries: lifecyclev1.EvaluationRetries{Retries: 100, RetryInterval: metav1.Duration{Duration: time.Hour}},
		},
	})).To(Succeed())
}

// config makes the KeptnConfig of the cluster.
func (s *shop) config(ctx context.Context, spec optionsv1alpha1.KeptnConfigSpec) {
	GinkgoHelper()
	Expect(kube.Create(ctx, &optionsv1alpha1.KeptnConfig{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "config"}, Spec: spec})).To(Succeed())
}

// tasks are the KeptnTasks of a delivery that run a definition, as they are now.
func (s *shop) tasks(ctx context.Context, owner client.Object, definition string) []lifecyclev1.KeptnTask {
	var all lifecyclev1.KeptnTaskList
	if err := kube.List(ctx, &all, inNamespace(s.world)); err != nil {
		return nil
	}
	return slices.DeleteFunc(all.Items, func(t lifecyclev1.KeptnTask) bool {
		return !metav1.IsControlledBy(&t, owner) || t.Spec.TaskDefinition != definition
	})
}

// begun waits until a delivery runs a definition, for the given time, and returns the
// run that has not ended.
func (s *shop) begun(ctx context.Context, owner client.Object, definition string, attempts int) *lifecyclev1.KeptnTask {
	GinkgoHelper()
	Eventually(func() []lifecyclev1.KeptnTask { return s.tasks(ctx, owner, definition) }).Should(HaveLen(attempts), "%s of %s", definition, owner.GetName())
	all := s.tasks(ctx, owner, definition)
	open := slices.IndexFunc(all, func(t lifecyclev1.KeptnTask) bool { return !t.Status.Status.Completed() })
	Expect(open).To(BeNumerically(">=", 0), "%s of %s has ended", definition, owner.GetName())
	return &all[open]
}

// ends ends the run of a task.
func (s *shop) ends(ctx context.Context, task *lifecyclev1.KeptnTask, state lifecyclev1.KeptnState, message string) {
	GinkgoHelper()
	before := task.DeepCopy()
	task.Status.Status, task.Status.Message = state, message
	task.Status.EndTime = metav1.NewTime(time.Now().Truncate(time.Second))
	Expect(kube.Status().Patch(ctx, task, client.MergeFrom(before))).To(Succeed())
}

// passes waits for the first run of a task, and has it succeed.
func (s *shop) passes(ctx context.Context, owner client.Object, definitions ...string) {
	GinkgoHelper()
	for _, definition := range definitions {
		s.ends(ctx, s.begun(ctx, owner, definition, 1), lifecyclev1.StateSucceeded, "")
	}
}

// judged waits for an evaluation of a delivery, and gives it a verdict.
func (s *shop) judged(ctx context.Context, owner client.Object, definition string, state lifecyclev1.KeptnState) {
	GinkgoHelper()
	var e lifecyclev1.KeptnEvaluation
	Eventually(func() bool {
		var all lifecyclev1.KeptnEvaluationList
		Expect(kube.List(ctx, &all, inNamespace(s.world))).To(Succeed())
		i := slices.IndexFunc(all.Items, func(e lifecyclev1.KeptnEvaluation) bool {
			return metav1.IsControlledBy(&e, owner) && e.Spec.EvaluationDefinition == definition
		})
		if i >= 0 {
			e = all.Items[i]
		}
		return i >= 0
	}).Should(BeTrue(), "no evaluation %s of %s", definition, owner.GetName())
	before := e.DeepCopy()
	e.Status.OverallStatus, e.Status.Summary = state, "as the test says"
	Expect(kube.Status().Patch(ctx, &e, client.MergeFrom(before))).To(Succeed())
}

// status reads the status of a delivery of the app.
func (s *shop) status(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) func() lifecyclev1.KeptnAppVersionStatus {
	return func() lifecyclev1.KeptnAppVersionStatus {
		if err := kube.Get(ctx, client.ObjectKeyFromObject(kav), kav); err != nil {
			return lifecyclev1.KeptnAppVersionStatus{}
		}
		return kav.Status
	}
}

// workload reads the status of a delivery of the workload.
func (s *shop) workload(ctx context.Context, kwv *lifecyclev1.KeptnWorkloadVersion) func() lifecyclev1.KeptnWorkloadVersionStatus {
	return func() lifecyclev1.KeptnWorkloadVersionStatus {
		if err := kube.Get(ctx, client.ObjectKeyFromObject(kwv), kwv); err != nil {
			return lifecyclev1.KeptnWorkloadVersionStatus{}
		}
		return kwv.Status
	}
}

// says is a status whose decisive phase is in a state, with a message that begins so.
func says(name lifecyclev1.Phase, state lifecyclev1.KeptnState, message string) OmegaMatcher {
	return HaveField("Phases", ContainElement(gstruct.MatchFields(gstruct.IgnoreExtras, gstruct.Fields{
		"Name": Equal(name), "State": Equal(state), "Message": HavePrefix(message),
	})))
}

// annotates sets an annotation of a delivery.
func (s *shop) annotates(ctx context.Context, obj client.Object, key, value string) {
	GinkgoHelper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, key, value)
	Expect(kube.Patch(ctx, obj, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
}

// told are the reasons of the events of an object, in the order in which it happened.
func (s *shop) told(ctx context.Context, name string) func() []string {
	return func() []string {
		var list eventsv1.EventList
		if err := kube.List(ctx, &list, inNamespace(s.world)); err != nil {
			return nil
		}
		slices.SortFunc(list.Items, func(a, b eventsv1.Event) int { return a.EventTime.Compare(b.EventTime.Time) })
		var reasons []string
		for _, e := range list.Items {
			if e.Regarding.Name == name {
				reasons = append(reasons, e.Reason)
			}
		}
		return reasons
	}
}

// fields are what Keptn's own status fields of an app's delivery say, in the order of
// the phases.
func fields(states ...lifecyclev1.KeptnState) OmegaMatcher {
	return And(
		HaveField("PreDeploymentStatus", states[0]), HaveField("PreDeploymentEvaluationStatus", states[1]),
		HaveField("WorkloadOverallStatus", states[2]),
		HaveField("PostDeploymentStatus", states[3]), HaveField("PostDeploymentEvaluationStatus", states[4]),
		HaveField("PromotionStatus", states[5]), HaveField("Status", states[6]),
	)
}

// workloadFields are those of a workload's delivery.
func workloadFields(states ...lifecyclev1.KeptnState) OmegaMatcher {
	return And(
		HaveField("PreDeploymentStatus", states[0]), HaveField("PreDeploymentEvaluationStatus", states[1]),
		HaveField("DeploymentStatus", states[2]),
		HaveField("PostDeploymentStatus", states[3]), HaveField("PostDeploymentEvaluationStatus", states[4]),
		HaveField("Status", states[5]),
	)
}

const (
	isPending     = lifecyclev1.StatePending
	isProgressing = lifecyclev1.StateProgressing
	hasSucceeded  = lifecyclev1.StateSucceeded
	hasWarned     = lifecyclev1.StateWarning
	hasFailed     = lifecyclev1.StateFailed
	isDeprecated  = lifecyclev1.StateDeprecated
)

var _ = Describe("The phases of an app", func() {
	var s *shop
	var stop func()

	BeforeEach(func(ctx context.Context) {
		s = newShop(ctx)
		stop = runController(GinkgoT().TempDir())
	})
	pre := func(names ...string) func(*lifecyclev1.KeptnAppVersionSpec) {
		return func(spec *lifecyclev1.KeptnAppVersionSpec) { spec.PreDeploymentTasks = names }
	}
	post := func(names ...string) func(*lifecyclev1.KeptnAppVersionSpec) {
		return func(spec *lifecyclev1.KeptnAppVersionSpec) { spec.PostDeploymentTasks = names }
	}
	preOfWorkload := func(names ...string) func(*lifecyclev1.KeptnWorkloadVersionSpec) {
		return func(spec *lifecyclev1.KeptnWorkloadVersionSpec) { spec.PreDeploymentTasks = names }
	}

	It("are walked from the first to the last, with those of its workloads in between", func(ctx context.Context) {
		s.define(ctx, "migrate", "warm", "smoke", "tell", "load")
		s.objective(ctx, "budget")
		kwv := s.revision(ctx, "1", preOfWorkload("load"))
		Eventually(state(ctx, kwv, "Ready")).Should(Equal("Unknown AppVersionNotFound: waiting for a KeptnAppVersion of app shop"))
		kav := s.app(ctx, "1", pre("migrate", "warm"), post("smoke"), func(spec *lifecyclev1.KeptnAppVersionSpec) {
			spec.PreDeploymentEvaluations, spec.PromotionTasks = []string{"budget"}, []string{"tell"}
			spec.Metadata = map[string]string{"team": "blue"}
		})

		By("running the tasks of a phase at the same time")
		migrate, warm := s.begun(ctx, kav, "migrate", 1), s.begun(ctx, kav, "warm", 1)
		Expect(migrate.Spec.Context).To(And(HaveField("AppName", "shop"), HaveField("AppVersion", "1"), HaveField("TaskType", "pre"),
			HaveField("ObjectType", "App"), HaveField("Metadata", HaveKeyWithValue("team", "blue"))))
		Eventually(s.status(ctx, kav)).Should(And(
			fields(isProgressing, isPending, isPending, isPending, isPending, isPending, isProgressing),
			HaveField("CurrentPhase", lifecyclev1.PhaseAppPreDeployTasks), HaveField("PreDeploymentTaskStatus", HaveLen(2)),
		))
		s.ends(ctx, migrate, hasSucceeded, "")
		Eventually(s.status(ctx, kav)).Should(says(lifecyclev1.PhaseAppPreDeployTasks, isProgressing, "running warm"))
		Expect(kwv.Released()).To(BeFalse())
		s.ends(ctx, warm, hasSucceeded, "")

		By("evaluating once the tasks have passed")
		s.judged(ctx, kav, "budget", hasSucceeded)

		By("letting the workload's own phases begin, and its pods go after its checks")
		load := s.begun(ctx, kwv, "load", 1)
		Expect(load.Spec.Context).To(And(HaveField("WorkloadName", "shop-cart"), HaveField("WorkloadVersion", "1"), HaveField("ObjectType", "Workload"),
			HaveField("Metadata", HaveKeyWithValue("team", "blue"))))
		Eventually(s.status(ctx, kav)).Should(fields(hasSucceeded, hasSucceeded, isProgressing, isPending, isPending, isPending, isProgressing))
		Expect(s.workload(ctx, kwv)()).To(HaveField("DeploymentStatus", isPending))
		Expect(kwv.Released()).To(BeFalse())
		s.ends(ctx, load, hasSucceeded, "")
		Eventually(s.workload(ctx, kwv)).Should(workloadFields(hasSucceeded, hasSucceeded, isProgressing, isPending, isPending, isProgressing))
		Expect(kwv.Released()).To(BeTrue())
		Expect(kwv.Status.AppContextMetadata).To(HaveKeyWithValue("team", "blue"))

		By("waiting for the rollout")
		s.runs(ctx)
		Eventually(s.workload(ctx, kwv)).Should(And(
			workloadFields(hasSucceeded, hasSucceeded, hasSucceeded, hasSucceeded, hasSucceeded, hasSucceeded),
			HaveField("CurrentPhase", lifecyclev1.PhaseCompleted), says(lifecyclev1.PhaseWorkloadDeploy, hasSucceeded, "1 pod runs 1"),
		))
		smoke := s.begun(ctx, kav, "smoke", 1)
		Eventually(s.status(ctx, kav)).Should(HaveField("WorkloadStatus",
			ConsistOf(lifecyclev1.WorkloadStatus{Workload: kav.Spec.Workloads[0], Status: hasSucceeded})))
		Expect(s.tasks(ctx, kav, "tell")).To(BeEmpty())
		s.ends(ctx, smoke, hasSucceeded, "")
		s.passes(ctx, kav, "tell")

		Eventually(s.status(ctx, kav)).Should(And(
			fields(hasSucceeded, hasSucceeded, hasSucceeded, hasSucceeded, hasSucceeded, hasSucceeded, hasSucceeded),
			HaveField("CurrentPhase", lifecyclev1.PhaseCompleted), HaveField("EndTime.IsZero()", false), HaveField("StartTime.IsZero()", false),
			HaveField("PreDeploymentEvaluationTaskStatus", HaveLen(1)),
		))
		for _, items := range [][]lifecyclev1.ItemStatus{
			kav.Status.PreDeploymentTaskStatus, kav.Status.PreDeploymentEvaluationTaskStatus, kav.Status.PostDeploymentTaskStatus, kav.Status.PromotionTaskStatus,
		} {
			Expect(items).To(HaveEach(And(HaveField("Status", hasSucceeded), HaveField("Name", Not(BeEmpty())))))
		}
		Expect(state(ctx, kav, "Ready")()).To(HavePrefix("True Succeeded: "))
		Eventually(s.told(ctx, kav.Name)).Should(Equal([]string{
			"AppPreDeployTasksStarted", "AppPreDeployTasksFinished", "AppPreDeployEvaluationsStarted", "AppPreDeployEvaluationsFinished",
			"AppDeployStarted", "AppDeployFinished", "AppPostDeployTasksStarted", "AppPostDeployTasksFinished",
			"PromotionTasksStarted", "PromotionTasksFinished", "AppCompletedFinished",
		}))
		Eventually(s.told(ctx, kwv.Name)).Should(Equal([]string{
			"AppPreDeployEvaluationsAppVersionNotFound",
			"WorkloadPreDeployTasksStarted", "WorkloadPreDeployTasksFinished", "WorkloadDeployStarted", "WorkloadDeployFinished", "WorkloadCompletedFinished",
		}))
		var told eventsv1.EventList
		Expect(kube.List(ctx, &told, inNamespace(s.world))).To(Succeed())
		Expect(told.Items).To(ContainElement(And(HaveField("Reason", "WorkloadCompletedFinished"), HaveField("Annotations", Equal(map[string]string{
			"namespace": s.namespace, "name": kwv.Name, "phase": "WorkloadCompleted",
			"appName": "shop", "workloadName": "shop-cart", "workloadVersion": "1", "workloadVersionName": kwv.Name,
		})))))
		Expect(kwv.Status.StartTime).To(Equal(kwv.CreationTimestamp))
	})

	It("end where a task fails, and hold the pods until a better delivery passes", func(ctx context.Context) {
		s.define(ctx, "migrate")
		kwv := s.revision(ctx, "1")
		kav := s.app(ctx, "1", pre("migrate"))
		s.ends(ctx, s.begun(ctx, kav, "migrate", 1), hasFailed, "exit code 3")
		Eventually(s.status(ctx, kav)).Should(And(
			fields(hasFailed, isDeprecated, isDeprecated, isDeprecated, isDeprecated, isDeprecated, hasFailed),
			HaveField("CurrentPhase", lifecyclev1.PhaseAppPreDeployTasks), HaveField("EndTime.IsZero()", false),
			HaveField("PreDeploymentTaskStatus", ConsistOf(And(HaveField("DefinitionName", "migrate"), HaveField("Status", hasFailed)))),
		))
		Expect(kav.Released()).To(BeFalse())
		Eventually(state(ctx, kwv, "Ready")).Should(Equal("Unknown AppFailed: the checks before the deployment of " + kav.Name + " failed: migrate: exit code 3"))
		Expect(kwv.Status.Status).To(Equal(isPending))
		Expect(kwv.Released()).To(BeFalse())
		Eventually(s.told(ctx, kwv.Name)).Should(Equal([]string{"AppPreDeployEvaluationsFailed"}))

		better := s.app(ctx, "1")
		Eventually(func() bool { s.workload(ctx, kwv)(); return kwv.Released() }).Should(BeTrue())
		s.runs(ctx)
		Eventually(s.status(ctx, better)).Should(HaveField("Status", hasSucceeded))
		Eventually(s.status(ctx, kav)).Should(fields(isDeprecated, isDeprecated, isDeprecated, isDeprecated, isDeprecated, isDeprecated, isDeprecated))
	})

	It("fail with a workload, whose pods stay where they are", func(ctx context.Context) {
		s.define(ctx, "load", "smoke")
		kwv := s.revision(ctx, "1", preOfWorkload("load"))
		kav := s.app(ctx, "1", post("smoke"))
		s.ends(ctx, s.begun(ctx, kwv, "load", 1), hasFailed, "exit code 3")
		Eventually(s.workload(ctx, kwv)).Should(workloadFields(hasFailed, isDeprecated, isDeprecated, isDeprecated, isDeprecated, hasFailed))
		Expect(kwv.Released()).To(BeFalse())
		Eventually(s.status(ctx, kav)).Should(And(
			fields(hasSucceeded, hasSucceeded, hasFailed, isDeprecated, isDeprecated, isDeprecated, hasFailed),
			HaveField("CurrentPhase", lifecyclev1.PhaseAppDeploy), says(lifecyclev1.PhaseAppDeploy, hasFailed, "cart 1: Failed"),
		))
		Expect(s.tasks(ctx, kav, "smoke")).To(BeEmpty())
	})

	It("go on after a failure where checks do not block", func(ctx context.Context) {
		s.config(ctx, optionsv1alpha1.KeptnConfigSpec{BlockDeployment: ptr.To(false)})
		s.define(ctx, "migrate", "load")
		s.objective(ctx, "budget")
		kwv := s.revision(ctx, "1", preOfWorkload("load"))
		kav := s.app(ctx, "1", pre("migrate"), func(spec *lifecyclev1.KeptnAppVersionSpec) { spec.PreDeploymentEvaluations = []string{"budget"} })
		s.ends(ctx, s.begun(ctx, kav, "migrate", 1), hasFailed, "exit code 3")
		s.judged(ctx, kav, "budget", hasFailed)
		s.ends(ctx, s.begun(ctx, kwv, "load", 1), hasFailed, "exit code 3")
		Eventually(func() bool { s.workload(ctx, kwv)(); return kwv.Released() }).Should(BeTrue())
		s.runs(ctx)
		Eventually(s.workload(ctx, kwv)).Should(workloadFields(hasWarned, hasSucceeded, hasSucceeded, hasSucceeded, hasSucceeded, hasSucceeded))
		Eventually(s.status(ctx, kav)).Should(And(
			fields(hasWarned, hasWarned, hasSucceeded, hasSucceeded, hasSucceeded, hasSucceeded, hasSucceeded),
			HaveField("CurrentPhase", lifecyclev1.PhaseCompleted), says(lifecyclev1.PhaseAppPreDeployTasks, hasWarned, "migrate: exit code 3"),
		))
	})

	It("fail with a rollout that takes too long, also where checks do not block", func(ctx context.Context) {
		s.config(ctx, optionsv1alpha1.KeptnConfigSpec{BlockDeployment: ptr.To(false), ObservabilityTimeout: &metav1.Duration{Duration: time.Second}})
		kwv := s.revision(ctx, "1")
		kav := s.app(ctx, "1")
		Eventually(s.workload(ctx, kwv)).Should(And(
			workloadFields(hasSucceeded, hasSucceeded, hasFailed, isDeprecated, isDeprecated, hasFailed),
			says(lifecyclev1.PhaseWorkloadDeploy, hasFailed, "has reached timeout: Deployment cart: "),
		))
		Eventually(s.status(ctx, kav)).Should(fields(hasSucceeded, hasSucceeded, hasFailed, isDeprecated, isDeprecated, isDeprecated, hasFailed))
	})

	It("wait for a definition that is missing, and go on when it appears", func(ctx context.Context) {
		s.define(ctx, "migrate")
		kav := s.app(ctx, "1", pre("migrate", "warm"), func(spec *lifecyclev1.KeptnAppVersionSpec) {
			spec.Workloads, spec.PostDeploymentEvaluations = nil, []string{"budget"}
		})
		s.passes(ctx, kav, "migrate")
		Eventually(s.status(ctx, kav)).Should(And(
			HaveField("PreDeploymentStatus", isPending), HaveField("Status", isProgressing),
			HaveField("PreDeploymentTaskStatus", ConsistOf(
				And(HaveField("DefinitionName", "migrate"), HaveField("Status", hasSucceeded)),
				And(HaveField("DefinitionName", "warm"), HaveField("Status", isPending), HaveField("Name", "")),
			)),
		))
		Expect(state(ctx, kav, "Ready")()).To(Equal("Unknown DefinitionMissing: warm: no KeptnTaskDefinition of this name"))
		s.define(ctx, "warm")
		s.passes(ctx, kav, "warm")
		Eventually(state(ctx, kav, "Ready")).Should(HavePrefix("Unknown DefinitionMissing: budget: no KeptnEvaluationDefinition"))
		s.objective(ctx, "budget")
		s.judged(ctx, kav, "budget", hasSucceeded)
		Eventually(s.status(ctx, kav)).Should(HaveField("Status", hasSucceeded))
		Expect(s.tasks(ctx, kav, "migrate")).To(HaveLen(1))
	})

	It("are cancelled and run again by annotations, each value of which acts once", func(ctx context.Context) {
		s.define(ctx, "migrate", "warm")
		kav := s.app(ctx, "1", pre("migrate", "warm"), func(spec *lifecyclev1.KeptnAppVersionSpec) { spec.Workloads = nil })
		first := s.begun(ctx, kav, "migrate", 1)
		s.begun(ctx, kav, "warm", 1)
		s.ends(ctx, first, hasSucceeded, "")
		Eventually(s.status(ctx, kav)).Should(says(lifecyclev1.PhaseAppPreDeployTasks, isProgressing, "running warm"))

		s.annotates(ctx, kav, lifecyclev1.CancelAnnotation, "wrong version")
		Eventually(s.status(ctx, kav)).Should(And(
			fields(hasFailed, isDeprecated, isDeprecated, isDeprecated, isDeprecated, isDeprecated, hasFailed),
			says(lifecyclev1.PhaseAppPreDeployTasks, hasFailed, "cancelled: wrong version"),
		))
		Expect(s.tasks(ctx, kav, "warm")).To(BeEmpty(), "what runs is stopped")
		Expect(s.tasks(ctx, kav, "migrate")).To(HaveLen(1), "what has ended stays on record")
		Expect(kube.Patch(ctx, kav, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"`+lifecyclev1.CancelAnnotation+`":null}}}`)))).To(Succeed())

		s.annotates(ctx, kav, lifecyclev1.RetryAnnotation, "1")
		again := s.begun(ctx, kav, "migrate", 2)
		Expect(again.Name).NotTo(Equal(first.Name))
		s.ends(ctx, again, hasFailed, "exit code 3")
		Eventually(s.status(ctx, kav)).Should(And(HaveField("Status", hasFailed), HaveField("LastHandledRetry", "1"),
			HaveField("Phases", ContainElement(And(HaveField("Name", lifecyclev1.PhaseAppPreDeployTasks), HaveField("Attempt", int32(1)))))))

		s.annotates(ctx, kav, "unrelated", "change")
		s.annotates(ctx, kav, lifecyclev1.RetryAnnotation, "2")
		s.ends(ctx, s.begun(ctx, kav, "migrate", 3), hasSucceeded, "")
		warm := s.tasks(ctx, kav, "warm")
		Expect(warm).To(HaveLen(2), "one of each attempt that was not stopped")
		for i := range warm {
			s.ends(ctx, &warm[i], hasSucceeded, "")
		}
		Eventually(s.status(ctx, kav)).Should(And(HaveField("Status", hasSucceeded), HaveField("LastHandledRetry", "2")))
	})

	It("run again for a new revision of the same version, and only those of the app", func(ctx context.Context) {
		s.define(ctx, "migrate", "load")
		kwv := s.revision(ctx, "1", preOfWorkload("load"))
		first := s.app(ctx, "1", pre("migrate"))
		s.passes(ctx, first, "migrate")
		s.passes(ctx, kwv, "load")
		s.runs(ctx)
		Eventually(s.status(ctx, first)).Should(HaveField("Status", hasSucceeded))
		ended := first.Status.EndTime

		second := s.app(ctx, "1", pre("migrate"))
		Eventually(s.status(ctx, first)).Should(And(
			fields(isDeprecated, isDeprecated, isDeprecated, isDeprecated, isDeprecated, isDeprecated, isDeprecated),
			HaveField("EndTime", ended), HaveField("CurrentPhase", lifecyclev1.PhaseCompleted),
		))
		s.passes(ctx, second, "migrate")
		Eventually(s.status(ctx, second)).Should(HaveField("Status", hasSucceeded))
		Expect(s.tasks(ctx, kwv, "load")).To(HaveLen(1))

		other := s.app(ctx, "2")
		Eventually(s.status(ctx, other)).Should(HaveField("Status", isProgressing))
		Consistently(s.status(ctx, second), "300ms").Should(HaveField("Status", hasSucceeded), "another version deprecates nothing")
	})

	It("are given up with the revision that they deliver", func(ctx context.Context) {
		s.define(ctx, "load")
		kwv := s.revision(ctx, "1", preOfWorkload("load"))
		kav := s.app(ctx, "1")
		s.begun(ctx, kwv, "load", 1)
		newer := s.revision(ctx, "2")
		Eventually(s.workload(ctx, kwv)).Should(And(
			workloadFields(isDeprecated, isDeprecated, isDeprecated, isDeprecated, isDeprecated, isDeprecated),
			says(lifecyclev1.PhaseWorkloadPreDeployTasks, isDeprecated, "the workload has a newer revision"),
		))
		Expect(kwv.Released()).To(BeFalse(), "its checks never passed")
		Expect(s.tasks(ctx, kwv, "load")).To(BeEmpty(), "nobody waits for it any more")
		Eventually(s.status(ctx, kav)).Should(And(
			fields(hasSucceeded, hasSucceeded, isDeprecated, isDeprecated, isDeprecated, isDeprecated, isDeprecated),
			says(lifecyclev1.PhaseAppDeploy, isDeprecated, "cart: the workload has a newer revision"),
		))

		By("holding the newer one until the app brings it")
		Eventually(state(ctx, newer, "Ready")).Should(HavePrefix("Unknown AppVersionNotFound: waiting for a KeptnAppVersion of app shop that brings version 2"))
		s.app(ctx, "2")
		Eventually(func() bool { s.workload(ctx, newer)(); return newer.Released() }).Should(BeTrue())
	})

	It("run again for a rollback, whichever of app and workload is rolled back first", func(ctx context.Context) {
		s.define(ctx, "load")
		deliver := func(version string) {
			GinkgoHelper()
			kwv := s.revision(ctx, version, preOfWorkload("load"))
			s.app(ctx, version)
			s.passes(ctx, kwv, "load")
			s.runs(ctx)
			Eventually(s.workload(ctx, kwv)).Should(HaveField("Status", hasSucceeded))
			afterwards()
		}
		deliver("1")
		deliver("2")

		By("waiting for the workload where the app comes first")
		back := s.app(ctx, "1")
		Eventually(s.status(ctx, back)).Should(says(lifecyclev1.PhaseAppDeploy, isProgressing, "cart 1: not delivered yet"))
		kwv := s.revision(ctx, "1", preOfWorkload("load"))
		s.passes(ctx, kwv, "load")
		s.runs(ctx)
		Eventually(s.status(ctx, back)).Should(HaveField("Status", hasSucceeded))

		By("holding the workload where it comes first")
		kwv = s.revision(ctx, "2", preOfWorkload("load"))
		Eventually(state(ctx, kwv, "Ready")).Should(HavePrefix("Unknown AppVersionNotFound: waiting for a KeptnAppVersion of app shop that brings version 2"))
		Expect(kwv.Released()).To(BeFalse())
		s.app(ctx, "2")
		s.passes(ctx, kwv, "load")
	})

	It("of a workload go on when the app moves on, so that what waits for it ends", func(ctx context.Context) {
		s.define(ctx, "load", "check", "migrate")
		kwv := s.revision(ctx, "1", func(spec *lifecyclev1.KeptnWorkloadVersionSpec) { spec.PostDeploymentTasks = []string{"check"} })
		kav := s.app(ctx, "1")
		s.runs(ctx)
		check := s.begun(ctx, kwv, "check", 1)
		next := s.app(ctx, "2", pre("migrate"))
		s.begun(ctx, next, "migrate", 1)
		s.ends(ctx, check, hasSucceeded, "")
		Eventually(s.workload(ctx, kwv)).Should(HaveField("Status", hasSucceeded))
		Eventually(s.status(ctx, kav)).Should(HaveField("Status", hasSucceeded))
	})

	It("go on after a restart of the controller, and no task runs twice", func(ctx context.Context) {
		s.define(ctx, "migrate", "load", "smoke")
		kwv := s.revision(ctx, "1", preOfWorkload("load"))
		kav := s.app(ctx, "1", pre("migrate"), post("smoke"))
		again := func() {
			GinkgoHelper()
			stop()
			stop = runController(GinkgoT().TempDir())
		}
		migrate := s.begun(ctx, kav, "migrate", 1)
		stop()
		s.ends(ctx, migrate, hasSucceeded, "")
		stop = runController(GinkgoT().TempDir())
		load := s.begun(ctx, kwv, "load", 1)
		again()
		s.ends(ctx, load, hasSucceeded, "")
		Eventually(func() bool { s.workload(ctx, kwv)(); return kwv.Released() }).Should(BeTrue())
		again()
		s.runs(ctx)
		s.passes(ctx, kav, "smoke")
		Eventually(s.status(ctx, kav)).Should(HaveField("Status", hasSucceeded))
		for owner, definition := range map[client.Object]string{kav: "migrate", kwv: "load"} {
			Expect(s.tasks(ctx, owner, definition)).To(HaveLen(1))
		}
		for _, name := range []string{kav.Name, kwv.Name} {
			reasons := s.told(ctx, name)()
			Expect(slices.Compact(slices.Sorted(slices.Values(reasons)))).To(HaveLen(len(reasons)), "each event once: %v", reasons)
		}
	})
})
