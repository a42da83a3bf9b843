package controllers_test

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/gate"
	"github.com/keptn/gitops/controllers/workload"
)

var (
	gated    = ConsistOf(lifecyclev1.SchedulingGate)
	notGated = BeEmpty()
)

const (
	uid = types.UID("3f1c7a52-90bb-4c1d-8e64-0a1b2c3d4e5f")
	key = "3f1c7a52-90bb"
)

var _ = Describe("The admission policy", Ordered, func() {
	BeforeAll(func(ctx context.Context) { installAdmission(ctx) })

	ofDeployment := owned("ReplicaSet", "cart-5d9c7b6f4", uid, map[string]string{"pod-template-hash": "5d9c7b6f4"})
	ofStatefulSet := owned("StatefulSet", "db", uid, map[string]string{"controller-revision-hash": "db-77c8"})
	ofDaemonSet := owned("DaemonSet", "agent", uid, map[string]string{"controller-revision-hash": "66f5"})

	It("gates a workload's pods in a namespace that asks for it, from the first one on", func(ctx context.Context) {
		g := newGates(ctx, optedIn)
		for _, of := range []func(*corev1.Pod){ofDeployment, ofStatefulSet, ofDaemonSet} {
			Expect(gatesOf(g.create(ctx, of))).To(gated)
		}
	})

	It("gates nothing elsewhere", func(ctx context.Context) {
		g := newGates(ctx, map[string]string{lifecyclev1.NamespaceEnabledAnnotation: "disabled"})
		for _, of := range []func(*corev1.Pod){ofDeployment, ofStatefulSet, ofDaemonSet} {
			Expect(gatesOf(g.create(ctx, of))).To(notGated)
		}
	})

	It("never gates pods of Jobs, of nobody, of what only owns them, on a node, or let go already", func(ctx context.Context) {
		g := newGates(ctx, optedIn)
		for name, change := range map[string]func(*corev1.Pod){
			"of a Job":      owned("Job", "migrate", uid, nil),
			"of nobody":     func(*corev1.Pod) {},
			"owned":         func(pod *corev1.Pod) { ofDeployment(pod); pod.OwnerReferences[0].Controller = nil },
			"of a stranger": func(pod *corev1.Pod) { ofDeployment(pod); pod.OwnerReferences[0].APIVersion = "example.com/v1" },
			"on a node":     func(pod *corev1.Pod) { ofDeployment(pod); pod.Spec.NodeName = "node" },
			"let go": func(pod *corev1.Pod) {
				ofDeployment(pod)
				pod.Annotations = map[string]string{lifecyclev1.SchedulingGateRemovedAnnotation: "true"}
			},
		} {
			Expect(gatesOf(g.create(ctx, change))).To(notGated, name)
		}
	})

	It("keeps the gates of others", func(ctx context.Context) {
		g := newGates(ctx, optedIn)
		pod := g.create(ctx, ofDeployment, func(pod *corev1.Pod) {
			pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: foreignGate}}
		})
		Expect(gatesOf(pod)).To(ConsistOf(foreignGate, lifecyclev1.SchedulingGate))
	})

	DescribeTable("reads the annotations of the namespace, whether anything of ours runs or not",
		func(ctx context.Context, annotations map[string]string, of func(*corev1.Pod), want OmegaMatcher) {
			g := newGates(ctx, annotations)
			Expect(gatesOf(g.create(ctx, of))).To(want)
		},
		Entry("a released revision", released("x,"+key), ofDeployment, notGated),
		Entry("another one", released("3f1c7a52-90bc"), ofDeployment, gated),
		Entry("the begin of one", released(key+"/66f"), ofDaemonSet, gated),
		Entry("a StatefulSet's", released(key+"/db-77c8,y"), ofStatefulSet, notGated),
		Entry("a StatefulSet's other one", released(key+"/db-77c9"), ofStatefulSet, gated),
		Entry("a DaemonSet's", released(key+"/66f5"), ofDaemonSet, notGated),
		Entry("a Deployment that Git names", fromGit("Deployment/cart"), ofDeployment, gated),
		Entry("another Deployment", fromGit("Deployment/car,Deployment/cart2,ReplicaSet/cart,StatefulSet/cart"), ofDeployment, notGated),
		Entry("a StatefulSet that Git names", fromGit("Deployment/x,StatefulSet/db"), ofStatefulSet, gated),
		Entry("a DaemonSet that Git names", fromGit("DaemonSet/agent"), ofDaemonSet, gated),
		Entry("a bare ReplicaSet", fromGit("Deployment/cart"), owned("ReplicaSet", "cart-x", uid, nil), notGated),
		Entry("a revision that Git names and that is released",
			map[string]string{gate.GatedAnnotation: ",Deployment/cart,", gate.ReleasedAnnotation: "," + key + ","}, ofDeployment, notGated),
		Entry("the longest lists", map[string]string{
			gate.GatedAnnotation:    "," + strings.Repeat("Deployment/x,", 64<<10/13) + "DaemonSet/agent,",
			gate.ReleasedAnnotation: strings.Repeat(",00000000-0000", 136<<10/14) + ",",
		}, ofDaemonSet, gated),
	)

	It("is Kubernetes' to leave namespaces out", func(ctx context.Context) {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "monitoring", Annotations: optedIn}}
		Expect(kube.Create(ctx, ns)).To(Succeed())
		g := &gates{namespace: ns.Name}
		Expect(g.tried(ctx, ofDeployment)()).To(notGated)
	})
})

func released(keys string) map[string]string {
	return map[string]string{lifecyclev1.NamespaceEnabledAnnotation: "enabled", gate.ReleasedAnnotation: "," + keys + ","}
}

func fromGit(names string) map[string]string {
	return map[string]string{gate.GatedAnnotation: "," + names + ","}
}

var _ = Describe("The policies for the controller", Ordered, func() {
	var as client.Client
	BeforeAll(func(ctx context.Context) {
		installAdmission(ctx)
		var err error
		as, err = client.New(theController(), client.Options{})
		Expect(err).NotTo(HaveOccurred())
		g := newGates(ctx, nil)
		pod := g.create(ctx)
		for _, object := range []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: g.namespace}}, pod} {
			Eventually(func() error {
				return as.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"x":"y"}}}`)), client.DryRunAll)
			}).Should(MatchError(apierrors.IsInvalid, "IsInvalid"), "the API server takes each policy in, on its own")
		}
	})

	DescribeTable("let it change of a namespace",
		func(ctx context.Context, patch string, allowed bool) {
			g := newGates(ctx, map[string]string{"a": "b"})
			err := as.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: g.namespace}}, client.RawPatch(types.MergePatchType, []byte(patch)))
			Expect(err == nil).To(Equal(allowed), "%v", err)
		},
		Entry("its annotations", `{"metadata":{"annotations":{"gitops.keptn.sh/released":",a,","gitops.keptn.sh/gated":",b,"}}}`, true),
		Entry("no other annotation", `{"metadata":{"annotations":{"a":"c"}}}`, false),
		Entry("none to add", `{"metadata":{"annotations":{"keptn.sh/lifecycle-toolkit":"enabled"}}}`, false),
		Entry("none to remove", `{"metadata":{"annotations":{"a":null}}}`, false),
		Entry("no label", `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`, false),
		Entry("no finalizer", `{"metadata":{"finalizers":["example.com/x"]}}`, false),
		Entry("no owner", `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"n","uid":"1"}]}}`, false),
	)

	DescribeTable("let it change of a pod",
		func(ctx context.Context, patch string, allowed bool) {
			g := newGates(ctx, nil)
			pod := g.create(ctx, func(pod *corev1.Pod) {
				pod.Annotations, pod.Labels = map[string]string{"a": "b"}, map[string]string{"a": "b"}
				pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: foreignGate}, {Name: lifecyclev1.SchedulingGate}}
			})
			err := as.Patch(ctx, pod, client.RawPatch(types.StrategicMergePatchType, []byte(patch)))
			Expect(err == nil).To(Equal(allowed), "%v", err)
		},
		Entry("its gate", `{"metadata":{"annotations":{"keptn.sh/scheduling-gate-removed":"true"}},"spec":{"schedulingGates":[{"$patch":"delete","name":"keptn-prechecks-gate"}]}}`, true),
		Entry("no other gate", `{"spec":{"schedulingGates":[{"$patch":"delete","name":"example.com/quota"}]}}`, false),
		Entry("not all gates", `{"spec":{"schedulingGates":null}}`, false),
		Entry("no annotation", `{"metadata":{"annotations":{"a":"c"}}}`, false),
		Entry("no label", `{"metadata":{"labels":{"a":"c"}}}`, false),
		Entry("no image", `{"spec":{"containers":[{"name":"c","image":"evil"}]}}`, false),
		Entry("no toleration", `{"spec":{"tolerations":[{"operator":"Exists"}]}}`, false),
		Entry("no node", `{"spec":{"nodeSelector":{"a":"b"}}}`, false),
		Entry("no deadline", `{"spec":{"activeDeadlineSeconds":1}}`, false),
	)

	It("let everybody else do what he may", func(ctx context.Context) {
		g := newGates(ctx, nil)
		pod := g.create(ctx)
		Expect(kube.Patch(ctx, pod, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"c"}}}`)))).To(Succeed())
		g.annotate(ctx, "x", "y")
	})
})

var _ = Describe("A gate", Ordered, func() {
	var (
		reconciler *gate.Reconciler
		stop       func()
	)
	BeforeAll(func(ctx context.Context) {
		installAdmission(ctx)
		reconciler, stop = runGate()
		Eventually(reconciler.Observing).Should(BeEmpty())
	})
	managed := map[string]string{lifecyclev1.WorkloadAnnotation: "cart"}

	It("opens when the checks of the revision have passed, and is no more for its later pods", func(ctx context.Context) {
		g := newGates(ctx, optedIn)
		d := g.deployment(ctx, "cart", managed)
		rs := g.replicaSet(ctx, d, 1)
		pod := g.create(ctx, ofReplicaSet(rs), func(pod *corev1.Pod) {
			pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: foreignGate}}
		})
		kwv := g.delivery(ctx, 1, ref(rs))
		Consistently(g.of(ctx, pod), "300ms").Should(ConsistOf(foreignGate, lifecyclev1.SchedulingGate))
		release(ctx, kwv)
		Eventually(g.of(ctx, pod)).Should(ConsistOf(foreignGate), "the other gate stays")
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
		Expect(pod.Annotations).To(HaveKeyWithValue(lifecyclev1.SchedulingGateRemovedAnnotation, "true"))
		Expect(g.annotation(ctx, gate.ReleasedAnnotation)()).To(Equal("," + keyOf(rs) + ","))
		Eventually(g.tried(ctx, ofReplicaSet(rs))).Should(notGated)
	})

	It("opens at once for a workload that nobody asked to be delivered, or asks no longer", func(ctx context.Context) {
		g := newGates(ctx, optedIn)
		rs := g.replicaSet(ctx, g.deployment(ctx, "other", nil), 1)
		pod := g.create(ctx, ofReplicaSet(rs))
		Eventually(g.of(ctx, pod)).Should(notGated)
		Expect(g.annotation(ctx, gate.ReleasedAnnotation)()).To(BeEmpty(), "it would fill the list")

		d := g.deployment(ctx, "cart", managed)
		pod = g.create(ctx, ofReplicaSet(g.replicaSet(ctx, d, 1)))
		Consistently(g.of(ctx, pod), "300ms").Should(gated)
		Expect(kube.Patch(ctx, d, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"template":{"metadata":{"annotations":null}}}}`)))).To(Succeed())
		Eventually(g.of(ctx, pod)).Should(notGated)
	})

	It("opens when the namespace no longer asks for it", func(ctx context.Context) {
		g := newGates(ctx, optedIn)
		pod := g.create(ctx, ofReplicaSet(g.replicaSet(ctx, g.deployment(ctx, "cart", managed), 1)))
		Consistently(g.of(ctx, pod), "300ms").Should(gated)
		g.annotate(ctx, lifecyclev1.NamespaceEnabledAnnotation, nil)
		Eventually(g.of(ctx, pod)).Should(notGated)
	})

	It("is there again for a revision that has run out and is rolled back to", func(ctx context.Context) {
		g := newGates(ctx, optedIn)
		d := g.deployment(ctx, "cart", managed)
		first := g.replicaSet(ctx, d, 1)
		release(ctx, g.delivery(ctx, 1, ref(first)))
		Eventually(g.annotation(ctx, gate.ReleasedAnnotation)).Should(Equal("," + keyOf(first) + ","))

		second := g.replicaSet(ctx, d, 2)
		kwv := g.delivery(ctx, 2, ref(second))
		Consistently(g.annotation(ctx, gate.ReleasedAnnotation), "300ms").Should(Equal("," + keyOf(first) + ","))
		release(ctx, kwv)
		Eventually(g.annotation(ctx, gate.ReleasedAnnotation)).Should(And(ContainSubstring(keyOf(second)), ContainSubstring(keyOf(first))),
			"its pods run until the rollout is through")
		g.scale(ctx, first, 0, "1")
		Eventually(g.annotation(ctx, gate.ReleasedAnnotation)).Should(Equal("," + keyOf(second) + ","))

		g.scale(ctx, first, 1, "3")
		Eventually(g.tried(ctx, ofReplicaSet(first))).Should(gated)
		pod := g.create(ctx, ofReplicaSet(first))
		Consistently(g.of(ctx, pod), "300ms").Should(gated, "though it was released once")
		release(ctx, g.delivery(ctx, 3, ref(first)))
		Eventually(g.of(ctx, pod)).Should(notGated)
	})

	It("opens for the revisions of a StatefulSet one by one", func(ctx context.Context) {
		g := newGates(ctx, optedIn)
		selector, template := podTemplate(managed)
		s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace, Name: "db"}, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template, ServiceName: "db"}}
		Expect(kube.Create(ctx, s)).To(Succeed())
		s.Status = appsv1.StatefulSetStatus{ObservedGeneration: s.Generation, UpdateRevision: "db-1", CurrentRevision: "db-1"}
		Expect(kube.Status().Update(ctx, s)).To(Succeed())
		of := func(revision string) func(*corev1.Pod) {
			return owned("StatefulSet", "db", s.UID, map[string]string{"controller-revision-hash": revision})
		}
		first, second := g.create(ctx, of("db-1")), g.create(ctx, of("db-2"))
		release(ctx, g.delivery(ctx, 1, lifecyclev1.ResourceReference{UID: s.UID, Kind: "StatefulSet", Name: "db", Revision: "db-1"}))
		Eventually(g.of(ctx, first)).Should(notGated)
		Consistently(g.of(ctx, second), "300ms").Should(gated)

		s.Status.UpdateRevision = "db-2"
		Expect(kube.Status().Update(ctx, s)).To(Succeed())
		release(ctx, g.delivery(ctx, 2, lifecyclev1.ResourceReference{UID: s.UID, Kind: "StatefulSet", Name: "db", Revision: "db-2"}))
		Eventually(g.of(ctx, second)).Should(notGated)
		Eventually(g.tried(ctx, of("db-1"))).Should(notGated, "it has pods until the rollout is through")
		s.Status.CurrentRevision = "db-2"
		Expect(kube.Status().Update(ctx, s)).To(Succeed())
		Eventually(g.tried(ctx, of("db-1"))).Should(gated)
		Expect(g.tried(ctx, of("db-2"))()).To(notGated)
	})

	It("is there without any annotation for a workload that Git names, and opens by its delivery", func(ctx context.Context) {
		g := newGates(ctx, nil)
		d := g.deployment(ctx, "cart", nil)
		lc := g.lifecycle(ctx, "Deployment", "cart")
		Eventually(g.annotation(ctx, gate.GatedAnnotation)).Should(Equal(",Deployment/cart,"))
		rs := g.replicaSet(ctx, d, 1)
		Eventually(g.tried(ctx, ofReplicaSet(rs))).Should(gated)
		pod := g.create(ctx, ofReplicaSet(rs))

		seen, err := workload.Observe("Deployment", d)
		Expect(err).NotTo(HaveOccurred())
		kav := &lifecyclev1.KeptnAppVersion{ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace, Name: "shop-1"}}
		kav.Spec = lifecyclev1.KeptnAppVersionSpec{
			AppName: "shop", Version: "1", Lifecycle: &lifecyclev1.LifecycleRef{Namespace: g.namespace, Name: lc.Name},
			Workloads: []lifecyclev1.KeptnWorkloadRef{{Kind: "Deployment", Name: "cart", Version: "1", TemplateHash: seen.TemplateHash}},
		}
		Expect(kube.Create(ctx, kav)).To(Succeed())
		lc.Status.Workloads[0].TemplateHash, lc.Status.Workloads[0].Commit = seen.TemplateHash, "1"
		lc.Status.Delivery = &gitopsv1alpha1.DeliveryReference{Namespace: g.namespace, Name: kav.Name, Commit: "1"}
		Expect(kube.Status().Update(ctx, lc)).To(Succeed())
		Consistently(g.of(ctx, pod), "300ms").Should(gated)

		now := metav1.NewTime(time.Now())
		kav.Status.Phases = []lifecyclev1.PhaseRecord{{Name: lifecyclev1.PhaseAppDeploy, State: lifecyclev1.StateProgressing, StartTime: &now}}
		Expect(kube.Status().Update(ctx, kav)).To(Succeed())
		Eventually(g.of(ctx, pod)).Should(notGated)
		Eventually(g.annotation(ctx, gate.ReleasedAnnotation)).Should(Equal("," + keyOf(rs) + ","))
		Expect(reconciler.Governed(ctx, "Deployment", g.namespace, "cart")).To(BeTrue())

		Expect(kube.Delete(ctx, lc)).To(Succeed())
		Eventually(g.annotation(ctx, gate.GatedAnnotation)).Should(BeEmpty())
		Eventually(g.annotation(ctx, gate.ReleasedAnnotation)).Should(BeEmpty())
	})

	It("opens when the time is over to find a commit that explains what runs", func(ctx context.Context) {
		g := newGates(ctx, nil)
		d := g.deployment(ctx, "cart", nil)
		lc := g.lifecycle(ctx, "Deployment", "cart")
		rs := g.replicaSet(ctx, d, 1)
		Eventually(g.tried(ctx, ofReplicaSet(rs))).Should(gated)
		pod := g.create(ctx, ofReplicaSet(rs))
		seen, err := workload.Observe("Deployment", d)
		Expect(err).NotTo(HaveOccurred())
		lc.Status.Conditions = []metav1.Condition{{
			Type: gitopsv1alpha1.MatchedCondition, Status: metav1.ConditionFalse, Reason: gitopsv1alpha1.UnmatchedReason, LastTransitionTime: metav1.Now(),
		}}
		lc.Status.Workloads[0].TemplateHash = "an earlier template's"
		Expect(kube.Status().Update(ctx, lc)).To(Succeed())
		Consistently(g.of(ctx, pod), "300ms").Should(gated, "of this template nothing is said yet")
		lc.Status.Workloads[0].TemplateHash = seen.TemplateHash
		Expect(kube.Status().Update(ctx, lc)).To(Succeed())
		Eventually(g.of(ctx, pod)).Should(notGated)
	})

	It("costs one write of each pod, and one of the namespace for all that is released at a time", func(ctx context.Context) {
		g := newGates(ctx, optedIn)
		rs := g.replicaSet(ctx, g.deployment(ctx, "cart", managed), 1)
		pods := []*corev1.Pod{}
		for range 20 {
			pods = append(pods, g.create(ctx, ofReplicaSet(rs)))
		}
		release(ctx, g.delivery(ctx, 1, ref(rs)))
		for _, pod := range pods {
			Eventually(g.of(ctx, pod)).Should(notGated)
		}
		Consistently(func() map[string]int { return written.of(g.namespace) }, "300ms").Should(Equal(map[string]int{"namespace": 1, "pods": 20}))

		listed, err := g.annotation(ctx, gate.ReleasedAnnotation)()
		Expect(err).NotTo(HaveOccurred())
		g.annotate(ctx, gate.ReleasedAnnotation, nil)
		Eventually(g.annotation(ctx, gate.ReleasedAnnotation)).Should(Equal(listed), "what somebody took away")
		g.annotate(ctx, "somebody", "else")
		Consistently(func() map[string]int { return written.of(g.namespace) }, "300ms").Should(HaveKeyWithValue("namespace", 2))
	})

	It("says where nothing is gated, and since when it is", func(ctx context.Context) {
		policy := &unstructured.Unstructured{}
		policy.SetAPIVersion("admissionregistration.k8s.io/v1")
		policy.SetKind("MutatingAdmissionPolicyBinding")
		policy.SetName(gate.PolicyName)
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(policy), policy)).To(Succeed())
		Expect(kube.Delete(ctx, policy.DeepCopy())).To(Succeed())
		Eventually(reconciler.Observing).Should(ContainSubstring("binding is missing"))
		supported, reason := gate.Supported(ctx, kube)
		Expect(supported).To(BeFalse(), reason)

		g := newGates(ctx, optedIn)
		rs := g.replicaSet(ctx, g.deployment(ctx, "cart", managed), 1)
		release(ctx, g.delivery(ctx, 1, ref(rs)))
		Consistently(g.annotation(ctx, gate.ReleasedAnnotation), "300ms").Should(BeEmpty(), "nobody would read it")
		policy.SetResourceVersion("")
		policy.SetUID("")
		Expect(kube.Create(ctx, policy)).To(Succeed())
		Eventually(reconciler.Observing).Should(BeEmpty())
		Eventually(g.annotation(ctx, gate.ReleasedAnnotation)).Should(Equal("," + keyOf(rs) + ","))
		Eventually(g.tried(ctx, owned("DaemonSet", "d", uid, nil))).Should(gated, "the API server takes it in again")
	})

	It("stays open for a revision that is scaled to zero and up again", func(ctx context.Context) {
		g := newGates(ctx, optedIn)
		d := g.deployment(ctx, "cart", managed)
		rs := g.replicaSet(ctx, d, 1)
		pod := g.create(ctx, ofReplicaSet(rs))
		kwv := g.delivery(ctx, 1, ref(rs))
		release(ctx, kwv)
		Eventually(g.of(ctx, pod)).Should(notGated)
		Eventually(g.annotation(ctx, gate.ReleasedAnnotation)).Should(Equal("," + keyOf(rs) + ","))

		g.scale(ctx, rs, 0, "1")
		Expect(kube.Delete(ctx, kwv)).To(Succeed(), "not even its record is left")
		Expect(kube.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
		Consistently(g.annotation(ctx, gate.ReleasedAnnotation), "300ms").Should(Equal("," + keyOf(rs) + ","))
		Expect(gatesOf(g.create(ctx, ofReplicaSet(rs)))).To(notGated)
	})

	It("waits while the controller is down, and opens when it is back; released revisions do not wait", func(ctx context.Context) {
		g := newGates(ctx, optedIn)
		d := g.deployment(ctx, "cart", managed)
		first := g.replicaSet(ctx, d, 1)
		release(ctx, g.delivery(ctx, 1, ref(first)))
		Eventually(g.annotation(ctx, gate.ReleasedAnnotation)).Should(ContainSubstring(keyOf(first)))
		g.scale(ctx, first, 0, "1")
		Consistently(g.annotation(ctx, gate.ReleasedAnnotation), "300ms").Should(ContainSubstring(keyOf(first)))
		stop()
		Expect(gatesOf(g.create(ctx, ofReplicaSet(first)))).To(notGated)
		second := g.replicaSet(ctx, d, 2)
		pod := g.create(ctx, ofReplicaSet(second))
		Expect(gatesOf(pod)).To(gated)
		release(ctx, g.delivery(ctx, 2, ref(second)))
		reconciler, stop = runGate()
		Eventually(g.of(ctx, pod)).Should(notGated)
	})
})
