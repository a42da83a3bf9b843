package controllers_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/workload"
)

// keys are annotations or labels.
type keys = map[string]string

// apps plays what surrounds annotated workloads: a namespace, and the controllers
// that make revisions of them.
type apps struct{ namespace string }

func newApps(ctx context.Context, annotations keys) *apps {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "app-", Annotations: annotations}}
	Expect(kube.Create(ctx, ns)).To(Succeed())
	a := &apps{namespace: ns.Name}
	DeferCleanup(func(ctx context.Context) {
		for _, of := range []client.Object{
			&appsv1.Deployment{}, &appsv1.ReplicaSet{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{}, &appsv1.ControllerRevision{},
			&lifecyclev1.KeptnWorkload{}, &lifecyclev1.KeptnWorkloadVersion{}, &lifecyclev1.KeptnApp{}, &lifecyclev1.KeptnAppVersion{}, &lifecyclev1.KeptnTask{},
		} {
			Expect(kube.DeleteAllOf(ctx, of, client.InNamespace(a.namespace))).To(Succeed())
		}
	})
	return a
}

// template is a pod template with annotations and labels.
func (a *apps) template(image string, annotations, labels keys) corev1.PodTemplateSpec {
	all := keys{"pod": "of-this"}
	maps.Copy(all, labels)
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Annotations: annotations, Labels: all},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}},
	}
}

var selector = &metav1.LabelSelector{MatchLabels: keys{"pod": "of-this"}}

// deploy writes a Deployment, and has it come to a revision with a ReplicaSet of the
// given name, as the Deployment controller does.
func (a *apps) deploy(ctx context.Context, name, set string, revision int, template corev1.PodTemplateSpec, change ...func(*appsv1.Deployment)) {
	GinkgoHelper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: name}}
	_, err := controllerutil.CreateOrUpdate(ctx, kube, d, func() error {
		d.Spec.Selector, d.Spec.Template = selector, template
		for _, c := range change {
			c(d)
		}
		return nil
	})
	Expect(err).NotTo(HaveOccurred())
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: set}}
	mark := func(m metav1.Object) {
		all := maps.Clone(m.GetAnnotations())
		if all == nil {
			all = keys{}
		}
		all["deployment.kubernetes.io/revision"] = fmt.Sprint(revision)
		m.SetAnnotations(all)
	}
	_, err = controllerutil.CreateOrUpdate(ctx, kube, rs, func() error {
		mark(rs)
		rs.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, UID: d.UID, Controller: ptr.To(true)}}
		if rs.Spec.Selector == nil {
			rs.Spec.Selector, rs.Spec.Template = selector, template
		}
		return nil
	})
	Expect(err).NotTo(HaveOccurred())
	mark(d)
	Expect(kube.Update(ctx, d)).To(Succeed())
	d.Status = appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
		Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue},
			{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"},
		},
	}
	Expect(kube.Status().Update(ctx, d)).To(Succeed())
}

// at reads an object of the namespace by its name until it is there.
func at[T client.Object](ctx context.Context, a *apps, name string, into T) T {
	GinkgoHelper()
	Eventually(func() error {
		return kube.Get(ctx, types.NamespacedName{Namespace: a.namespace, Name: name}, into)
	}).Should(Succeed(), "%T %s", into, name)
	return into
}

// names returns a function that lists the names of a kind.
func (a *apps) names(ctx context.Context, list client.ObjectList) func() []string {
	return func() []string {
		if err := kube.List(ctx, list, client.InNamespace(a.namespace)); err != nil {
			return []string{err.Error()}
		}
		names := []string{}
		err := apimeta.EachListItem(list, func(o runtime.Object) error {
			item, err := apimeta.Accessor(o)
			if err == nil {
				names = append(names, item.GetName())
			}
			return err
		})
		if err != nil {
			return []string{err.Error()}
		}
		slices.Sort(names)
		return names
	}
}

var _ = Describe("An annotated workload", Ordered, ContinueOnFailure, func() {
	var a *apps
	enabled := keys{lifecyclev1.NamespaceEnabledAnnotation: "enabled"}

	BeforeAll(func() { runController(GinkgoT().TempDir()) })
	BeforeEach(func(ctx context.Context) { a = newApps(ctx, enabled) })

	in := func(app, name, version string) keys {
		return keys{"keptn.sh/app": app, "keptn.sh/workload": name, "keptn.sh/version": version}
	}
	kav := func(ctx context.Context, name string) *lifecyclev1.KeptnAppVersion {
		GinkgoHelper()
		return at(ctx, a, name, &lifecyclev1.KeptnAppVersion{})
	}

	It("becomes a workload, its version, an app and its version, with Keptn's names", func(ctx context.Context) {
		Expect(kube.Create(ctx, &lifecyclev1.KeptnAppContext{
			ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: "waiter"},
			Spec:       lifecyclev1.KeptnAppContextSpec{Metadata: keys{"stage": "dev"}},
		})).To(Succeed())
		said := keys{"keptn.sh/workload": "waiter", "keptn.sh/version": "0.4_RC", "keptn.sh/pre-deployment-tasks": "", "keptn.sh/metadata": "k=v"}
		a.deploy(ctx, "web", "web-1", 1, a.template("nginx:1.25", said, nil))
		kw := at(ctx, a, "waiter-waiter", &lifecyclev1.KeptnWorkload{})
		Expect(kw.Spec.AppName).To(Equal("waiter"))
		Expect(kw.Spec.Version).To(Equal("0.4_rc"))
		Expect(kw.Spec.Metadata).To(Equal(keys{"k": "v"}))
		Expect(kw.Spec.ResourceReference.Kind + "/" + kw.Spec.ResourceReference.Name).To(Equal("ReplicaSet/web-1"))
		Expect(kw.Annotations).To(HaveKeyWithValue(lifecyclev1.AppTypeAnnotation, lifecyclev1.SingleService))
		kwv := at(ctx, a, "waiter-waiter-0.4-rc", &lifecyclev1.KeptnWorkloadVersion{})
		Expect(metav1.IsControlledBy(kwv, kw)).To(BeTrue())
		Expect(kwv.Spec.WorkloadName).To(Equal("waiter-waiter"))
		app := at(ctx, a, "waiter", &lifecyclev1.KeptnApp{})
		Expect(app.Labels).To(HaveKeyWithValue("app.kubernetes.io/managed-by", "keptn"))
		Expect(app.Spec).To(Equal(lifecyclev1.KeptnAppSpec{Version: "0.4_rc", Revision: 1, Workloads: []lifecyclev1.KeptnAppWorkload{{Name: "waiter", Version: "0.4_rc"}}}))
		Expect(kav(ctx, "waiter-0.4-rc-6b86b273").Spec.Metadata).To(Equal(keys{"stage": "dev"}))
		Eventually(func() string { return at(ctx, a, "waiter", app).Status.CurrentVersion }).Should(Equal("0.4_rc"))
		Eventually(func() string { return at(ctx, a, "waiter-waiter", kw).Status.CurrentVersion }).Should(Equal("0.4_rc"))
	})

	It("is found by its own annotations, and by the labels that Kubernetes recommends", func(ctx context.Context) {
		a.deploy(ctx, "web", "web-1", 1, a.template("nginx:1.25", nil, nil), func(d *appsv1.Deployment) { d.Annotations = keys{"keptn.sh/workload": "own"} })
		Expect(at(ctx, a, "own-own", &lifecyclev1.KeptnWorkload{}).Spec.Version).To(Equal("1.25"))
		recommended := keys{"app.kubernetes.io/name": "labelled", "app.kubernetes.io/part-of": "labels", "app.kubernetes.io/version": "3"}
		a.deploy(ctx, "other", "other-1", 1, a.template("nginx:1.25", nil, recommended))
		at(ctx, a, "labels-labelled-3", &lifecyclev1.KeptnWorkloadVersion{})
		kav(ctx, "labels-3-6b86b273")
	})

	It("is left alone where its namespace is not opted in, until it is", func(ctx context.Context) {
		out := newApps(ctx, keys{lifecyclev1.NamespaceEnabledAnnotation: "disabled"})
		out.deploy(ctx, "web", "web-1", 1, out.template("nginx:1.25", keys{"keptn.sh/workload": "web"}, nil))
		a.deploy(ctx, "web", "web-1", 1, a.template("nginx:1.25", keys{"keptn.sh/workload": "web"}, nil))
		at(ctx, a, "web-web", &lifecyclev1.KeptnWorkload{})
		Expect(out.names(ctx, &lifecyclev1.KeptnWorkloadList{})()).To(BeEmpty())
		ns := &corev1.Namespace{}
		Expect(kube.Get(ctx, types.NamespacedName{Name: out.namespace}, ns)).To(Succeed())
		ns.Annotations[lifecyclev1.NamespaceEnabledAnnotation] = "enabled"
		Expect(kube.Update(ctx, ns)).To(Succeed())
		at(ctx, out, "web-web", &lifecyclev1.KeptnWorkload{})
	})

	It("is one of an app once no more of them come", func(ctx context.Context) {
		for _, name := range []string{"pay", "cart"} {
			a.deploy(ctx, name, name+"-1", 1, a.template("nginx:1.25", in("shop", name, "1"), nil))
		}
		app := at(ctx, a, "shop", &lifecyclev1.KeptnApp{})
		version := workload.Digest(10, "shop-cart-1shop-pay-1")
		Expect(app.Spec.Version).To(Equal(version))
		Expect(app.Spec.Workloads).To(Equal([]lifecyclev1.KeptnAppWorkload{{Name: "cart", Version: "1"}, {Name: "pay", Version: "1"}}))
		kav(ctx, "shop-"+version+"-6b86b273")
		Expect(app.Generation).To(BeEquivalentTo(1))
	})

	It("leaves the app of people alone, of which each generation is a delivery", func(ctx context.Context) {
		theirs := &lifecyclev1.KeptnApp{
			ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: "shop"},
			Spec:       lifecyclev1.KeptnAppSpec{Version: "7", Workloads: []lifecyclev1.KeptnAppWorkload{{Name: "cart", Version: "1"}}},
		}
		Expect(kube.Create(ctx, theirs)).To(Succeed())
		a.deploy(ctx, "cart", "cart-1", 1, a.template("nginx:1.25", in("shop", "cart", "2"), nil))
		at(ctx, a, "shop-cart-2", &lifecyclev1.KeptnWorkloadVersion{})
		kav(ctx, "shop-7-6b86b273")
		Eventually(func() error { at(ctx, a, "shop", theirs); theirs.Spec.Revision = 2; return kube.Update(ctx, theirs) }).Should(Succeed())
		again := kav(ctx, "shop-7-d4735e3a")
		Expect(again.Spec.PreviousVersion).To(BeEmpty())
		Expect(again.Spec.AppGeneration).To(BeEquivalentTo(2))
		Eventually(func() error { at(ctx, a, "shop", theirs); theirs.Spec.Version = "8"; return kube.Update(ctx, theirs) }).Should(Succeed())
		Expect(kav(ctx, "shop-8-4e074085").Spec.PreviousVersion).To(Equal("7"))
		Expect(at(ctx, a, "shop", theirs).Spec.Workloads).To(HaveLen(1))
	})

	It("is delivered again with each version, and at each way back", func(ctx context.Context) {
		step := func(set, version string, revision int) {
			GinkgoHelper()
			a.deploy(ctx, "web", set, revision, a.template("nginx:"+version, keys{"keptn.sh/workload": "web", "keptn.sh/version": version}, nil))
		}
		step("web-1", "1", 1)
		kav(ctx, "web-1-6b86b273")
		step("web-2", "2", 2)
		Expect(kav(ctx, "web-2-d4735e3a").Spec.PreviousVersion).To(Equal("1"))
		Expect(at(ctx, a, "web-web-2", &lifecyclev1.KeptnWorkloadVersion{}).Spec.PreviousVersion).To(Equal("1"))
		step("web-1", "1", 3)
		Expect(kav(ctx, "web-1-4e074085").Spec.PreviousVersion).To(Equal("2"))
		Eventually(a.names(ctx, &lifecyclev1.KeptnWorkloadVersionList{})).Should(ConsistOf("web-web-1", "web-web-2", HavePrefix("web-web-1-")))
	})

	It("whose names are longer than names may be is delivered all the same", func(ctx context.Context) {
		app, name := strings.Repeat("a", 150), strings.Repeat("w", 150)
		a.deploy(ctx, "web", "web-1", 1, a.template("nginx:1.25", in(app, name, "1"), nil))
		delivered := kav(ctx, app+"-1-6b86b273")
		kw := workload.ResourceName(app, name)
		Expect(kw).To(HaveLen(253))
		at(ctx, a, kw, &lifecyclev1.KeptnWorkload{})
		Expect(workload.ResourceName(app, delivered.Spec.Workloads[0].Name)).To(Equal(kw))
		Eventually(a.delivered(ctx)).Should(ConsistOf(HaveSuffix("-1 Succeeded: 1 pod runs 1"), HavePrefix(app+" 1 Succeeded: ")))
	})

	It("with an app, a workload and a task whose names are as long as can be says how all of them stand", func(ctx context.Context) {
		long := strings.Repeat("t", 253)
		Expect(kube.Create(ctx, &lifecyclev1.KeptnTaskDefinition{
			ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: long},
			Spec: lifecyclev1.KeptnTaskDefinitionSpec{Executable: lifecyclev1.Executable{
				Container: &lifecyclev1.ContainerSpec{Container: corev1.Container{Image: "check:1"}},
			}},
		})).To(Succeed())
		said := in(strings.Repeat("a", 300), strings.Repeat("w", 300), "1")
		said["keptn.sh/pre-deployment-tasks"] = long
		a.deploy(ctx, "web", "web-1", 1, a.template("nginx:1.25", said, nil))
		Eventually(a.delivered(ctx)).Should(ContainElement(MatchRegexp(`^a{80,}-w{80,}-1 Progressing: running t{253}$`)))
		for _, list := range []client.ObjectList{&lifecyclev1.KeptnWorkloadList{}, &lifecyclev1.KeptnAppList{}, &lifecyclev1.KeptnAppVersionList{}, &lifecyclev1.KeptnTaskList{}, &batchv1.JobList{}} {
			Eventually(a.names(ctx, list)).Should(HaveLen(1))
		}
		records := a.names(ctx, &lifecyclev1.KeptnWorkloadVersionList{})()
		Eventually((&world{namespace: a.namespace}).events(ctx, records[0])).Should(ContainElement(HavePrefix("Normal WorkloadPreDeployTasksStarted: ")))
	})

	It("may be a StatefulSet, or a DaemonSet, of which each revision is delivered", func(ctx context.Context) {
		set := &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: "db"},
			Spec:       appsv1.StatefulSetSpec{Selector: selector, Template: a.template("db:1", keys{"keptn.sh/workload": "db"}, nil)},
		}
		Expect(kube.Create(ctx, set)).To(Succeed())
		set.Status = appsv1.StatefulSetStatus{ObservedGeneration: set.Generation, UpdateRevision: "db-1"}
		Expect(kube.Status().Update(ctx, set)).To(Succeed())
		kwv := at(ctx, a, "db-db-1", &lifecyclev1.KeptnWorkloadVersion{})
		Expect(kwv.Spec.ResourceReference).To(Equal(lifecyclev1.ResourceReference{UID: set.UID, Kind: "StatefulSet", Name: "db", Revision: "db-1"}))

		daemons := &appsv1.DaemonSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: "agent"},
			Spec:       appsv1.DaemonSetSpec{Selector: selector, Template: a.template("agent:1", keys{"keptn.sh/workload": "agent"}, nil)},
		}
		Expect(kube.Create(ctx, daemons)).To(Succeed())
		Expect(kube.Create(ctx, &appsv1.ControllerRevision{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: a.namespace, Name: "agent-1", Labels: keys{appsv1.ControllerRevisionHashLabelKey: "1f"},
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "agent", UID: daemons.UID, Controller: ptr.To(true)}},
			},
			Revision: 1, Data: runtime.RawExtension{Raw: []byte(`{}`)},
		})).To(Succeed())
		daemons.Status = appsv1.DaemonSetStatus{ObservedGeneration: daemons.Generation}
		Expect(kube.Status().Update(ctx, daemons)).To(Succeed())
		kwv = at(ctx, a, "agent-agent-1", &lifecyclev1.KeptnWorkloadVersion{})
		Expect(kwv.Spec.ResourceReference.Revision).To(Equal("1f"))
	})

	It("that is scaled to zero has been delivered once its checks have passed", func(ctx context.Context) {
		Expect(kube.Create(ctx, &lifecyclev1.KeptnTaskDefinition{
			ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: "check"},
			Spec: lifecyclev1.KeptnTaskDefinitionSpec{Executable: lifecyclev1.Executable{
				Container: &lifecyclev1.ContainerSpec{Container: corev1.Container{Name: "check", Image: "check:1"}},
			}},
		})).To(Succeed())
		named := func(name string) keys {
			return keys{"keptn.sh/workload": name, "keptn.sh/version": "1", "keptn.sh/pre-deployment-tasks": "check"}
		}
		a.deploy(ctx, "web", "web-1", 1, a.template("nginx:1.25", named("web"), nil), func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To[int32](0) })
		web := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: "web"}}
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(web), web)).To(Succeed())
		web.Status.Replicas, web.Status.UpdatedReplicas, web.Status.ReadyReplicas, web.Status.AvailableReplicas = 0, 0, 0, 0
		Expect(kube.Status().Update(ctx, web)).To(Succeed())

		db := &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: "db"},
			Spec:       appsv1.StatefulSetSpec{Replicas: ptr.To[int32](0), Selector: selector, Template: a.template("db:1", named("db"), nil)},
		}
		Expect(kube.Create(ctx, db)).To(Succeed())
		db.Status = appsv1.StatefulSetStatus{ObservedGeneration: db.Generation, CurrentRevision: "db-1", UpdateRevision: "db-1"}
		Expect(kube.Status().Update(ctx, db)).To(Succeed())

		bare := &appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: "bare"},
			Spec:       appsv1.ReplicaSetSpec{Replicas: ptr.To[int32](0), Selector: selector, Template: a.template("bare:1", named("bare"), nil)},
		}
		Expect(kube.Create(ctx, bare)).To(Succeed())
		bare.Status.ObservedGeneration = bare.Generation
		Expect(kube.Status().Update(ctx, bare)).To(Succeed())

		for _, name := range []string{"web", "db", "bare"} {
			kwv := at(ctx, a, name+"-"+name+"-1", &lifecyclev1.KeptnWorkloadVersion{})
			stands := func() string {
				at(ctx, a, kwv.Name, kwv)
				rec := kwv.Status.Phase(kwv.Status.CurrentPhase)
				if rec == nil {
					rec = kwv.Status.Phase(lifecyclev1.PhaseWorkloadDeploy)
				}
				return fmt.Sprintf("%s %v %s", kwv.Status.Status, kwv.Released(), rec.Message)
			}
			Eventually(func() lifecyclev1.Phase { return at(ctx, a, kwv.Name, kwv).Status.CurrentPhase }).Should(Equal(lifecyclev1.PhaseWorkloadPreDeployTasks), "its checks come first")
			Expect(kwv.Released()).To(BeFalse())
			Eventually(func() error {
				task := at(ctx, a, kwv.Status.PreDeploymentTaskStatus[0].Name, &lifecyclev1.KeptnTask{})
				task.Status.Status, task.Status.EndTime = lifecyclev1.StateSucceeded, metav1.Now()
				return kube.Status().Update(ctx, task)
			}).Should(Succeed())
			Eventually(stands).Should(Equal("Succeeded true 0 pods run 1"))
		}
	})

	DescribeTable("is delivered whatever its version is called", func(ctx context.Context, said, version, name string) {
		a.deploy(ctx, "web", "web-1", 1, a.template("nginx:1.25", keys{"keptn.sh/workload": "web", "keptn.sh/version": said}, nil))
		Eventually(a.delivered(ctx)).Should(ConsistOf(name+" Succeeded: 1 pod runs "+version, HavePrefix("web "+version+" Succeeded: ")))
		Expect(at(ctx, a, "web", &lifecyclev1.KeptnApp{}).Spec.Version).To(Equal(version))
	},
		Entry("with build metadata", "1.0.0+build.5", "1.0.0+build.5", "web-web-1.0.0-build.5"),
		Entry("in capitals, with underscores and tildes", "V1.0_RC~1", "v1.0_rc~1", "web-web-v1.0-rc-1"),
		Entry("with spaces, slashes and letters of other languages", "Größe 1/Ä", "größe 1/ä", "web-web-gr--e-1"),
		Entry("in dots and dashes at no place for them", "-.1..0.-", "-.1..0.-", "web-web.1.0"),
		Entry("longer than names may be", strings.Repeat("9", 300), strings.Repeat("9", 300), "web-web-"+strings.Repeat("9", 245)),
	)

	It("has a record of each of two versions that would be called the same", func(ctx context.Context) {
		for i, version := range []string{"1.0+a", "1.0_a"} {
			a.deploy(ctx, "web", fmt.Sprintf("web-%d", i), i+1, a.template("nginx:1.25", keys{"keptn.sh/workload": "web", "keptn.sh/version": version}, nil))
			Eventually(a.delivered(ctx)).Should(ContainElements(
				MatchRegexp(`^web-web-1\.0-a\S* Succeeded: 1 pod runs %s$`, strings.Replace(version, "+", `\+`, 1)), HavePrefix("web "+version+" Succeeded: ")))
		}
		Expect(a.names(ctx, &lifecyclev1.KeptnWorkloadVersionList{})()).To(HaveLen(2))
		Expect(a.names(ctx, &lifecyclev1.KeptnAppVersionList{})()).To(HaveLen(2))
	})

	It("that loses its annotations is no app any more", func(ctx context.Context) {
		a.deploy(ctx, "web", "web-1", 1, a.template("nginx:1", keys{"keptn.sh/workload": "web"}, nil))
		at(ctx, a, "web", &lifecyclev1.KeptnApp{})
		a.deploy(ctx, "web", "web-2", 2, a.template("nginx:2", nil, nil))
		Eventually(a.names(ctx, &lifecyclev1.KeptnWorkloadList{})).Should(BeEmpty())
		Eventually(a.names(ctx, &lifecyclev1.KeptnAppList{})).Should(BeEmpty())
	})
})
