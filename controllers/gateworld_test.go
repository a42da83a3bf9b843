package controllers_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers"
	"github.com/keptn/gitops/controllers/gate"
	lifecyclecontrollers "github.com/keptn/gitops/controllers/lifecycle"
	"github.com/keptn/gitops/controllers/workload"
)

const foreignGate = "example.com/quota"

// gates plays what surrounds a gate: the namespace, its workloads, and their pods.
type gates struct {
	namespace string
	pods      int
}

// newGates makes a namespace with annotations.
func newGates(ctx context.Context, annotations map[string]string) *gates {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "gate-", Annotations: annotations}}
	Expect(kube.Create(ctx, ns)).To(Succeed())
	g := &gates{namespace: ns.Name}
	DeferCleanup(func(ctx context.Context) {
		for _, of := range []client.Object{
			&corev1.Pod{}, &appsv1.ReplicaSet{}, &appsv1.Deployment{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{}, &appsv1.ControllerRevision{},
			&lifecyclev1.KeptnWorkloadVersion{}, &lifecyclev1.KeptnAppVersion{}, &gitopsv1alpha1.Lifecycle{}, &gitopsv1alpha1.GitSource{},
		} {
			Expect(kube.DeleteAllOf(ctx, of, client.InNamespace(g.namespace), client.GracePeriodSeconds(0))).To(Succeed())
		}
	})
	return g
}

var optedIn = map[string]string{lifecyclev1.NamespaceEnabledAnnotation: "enabled"}

// owned says who owns a pod.
func owned(kind, name string, uid types.UID, labels map[string]string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		version := "apps/v1"
		if kind == "Job" {
			version = "batch/v1"
		}
		yes := true
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: version, Kind: kind, Name: name, UID: uid, Controller: &yes}}
		pod.Labels = labels
	}
}

// create creates a pod as a controller would, and returns it.
func (g *gates) create(ctx context.Context, change ...func(*corev1.Pod)) *corev1.Pod {
	GinkgoHelper()
	pod := g.pod(change...)
	Expect(kube.Create(ctx, pod)).To(Succeed())
	return pod
}

func (g *gates) pod(change ...func(*corev1.Pod)) *corev1.Pod {
	g.pods++
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace, Name: fmt.Sprintf("pod-%d", g.pods)},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "nginx:1.25"}}},
	}
	for _, c := range change {
		c(pod)
	}
	return pod
}

// tried are the gates that a pod would get.
func (g *gates) tried(ctx context.Context, change ...func(*corev1.Pod)) func() ([]string, error) {
	return func() ([]string, error) {
		pod := g.pod(change...)
		err := kube.Create(ctx, pod, client.DryRunAll)
		return gatesOf(pod), err
	}
}

func gatesOf(pod *corev1.Pod) []string {
	names := []string{}
	for _, gate := range pod.Spec.SchedulingGates {
		names = append(names, gate.Name)
	}
	return names
}

// of returns a function that reads the gates of a pod.
func (g *gates) of(ctx context.Context, pod *corev1.Pod) func() ([]string, error) {
	return func() ([]string, error) {
		live := &corev1.Pod{}
		err := kube.Get(ctx, client.ObjectKeyFromObject(pod), live)
		return gatesOf(live), err
	}
}

// annotate changes annotations of the namespace.
func (g *gates) annotate(ctx context.Context, name string, value any) {
	GinkgoHelper()
	text := "null"
	if value != nil {
		text = fmt.Sprintf("%q", value)
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%s}}}`, name, text)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: g.namespace}}
	Expect(kube.Patch(ctx, ns, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
}

// annotation returns a function that reads an annotation of the namespace.
func (g *gates) annotation(ctx context.Context, name string) func() (string, error) {
	return func() (string, error) {
		ns := &corev1.Namespace{}
		err := kube.Get(ctx, types.NamespacedName{Name: g.namespace}, ns)
		return ns.Annotations[name], err
	}
}

func podTemplate(annotations map[string]string) (*metav1.LabelSelector, corev1.PodTemplateSpec) {
	labels := map[string]string{"app": "x"}
	return &metav1.LabelSelector{MatchLabels: labels}, corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "nginx:1.25"}}},
	}
}

// deployment makes a Deployment as its controller leaves it when it has seen it.
func (g *gates) deployment(ctx context.Context, name string, annotations map[string]string) *appsv1.Deployment {
	GinkgoHelper()
	selector, template := podTemplate(annotations)
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace, Name: name}, Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}}
	Expect(kube.Create(ctx, d)).To(Succeed())
	d.Status.ObservedGeneration = d.Generation
	Expect(kube.Status().Update(ctx, d)).To(Succeed())
	return d
}

// replicaSet makes the next revision of a Deployment.
func (g *gates) replicaSet(ctx context.Context, d *appsv1.Deployment, revision int) *appsv1.ReplicaSet {
	GinkgoHelper()
	yes, one := true, int32(1)
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: g.namespace, Name: fmt.Sprintf("%s-h%d", d.Name, revision),
			Annotations:     map[string]string{"deployment.kubernetes.io/revision": fmt.Sprint(revision)},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, UID: d.UID, Controller: &yes}},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: &one, Selector: d.Spec.Selector, Template: d.Spec.Template},
	}
	Expect(kube.Create(ctx, rs)).To(Succeed())
	return rs
}

// scale has a ReplicaSet want so many pods.
func (g *gates) scale(ctx context.Context, rs *appsv1.ReplicaSet, replicas int, revision string) {
	GinkgoHelper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{"deployment.kubernetes.io/revision":%q}},"spec":{"replicas":%d}}`, revision, replicas)
	Expect(kube.Patch(ctx, rs, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
}

func ofReplicaSet(rs *appsv1.ReplicaSet) func(*corev1.Pod) {
	hash := rs.Name[strings.LastIndex(rs.Name, "-")+1:]
	return owned("ReplicaSet", rs.Name, rs.UID, map[string]string{"pod-template-hash": hash})
}

func keyOf(rs *appsv1.ReplicaSet) string {
	return workload.Key(lifecyclev1.ResourceReference{UID: rs.UID})
}

// delivery makes the KeptnWorkloadVersion of a revision.
func (g *gates) delivery(ctx context.Context, generation int64, ref lifecyclev1.ResourceReference) *lifecyclev1.KeptnWorkloadVersion {
	GinkgoHelper()
	kwv := &lifecyclev1.KeptnWorkloadVersion{ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace, Name: fmt.Sprintf("shop-cart-%d", generation)}}
	kwv.Spec.AppName, kwv.Spec.Version, kwv.Spec.WorkloadName, kwv.Spec.WorkloadGeneration = "shop", fmt.Sprint(generation), "shop-cart", generation
	kwv.Spec.ResourceReference = ref
	Expect(kube.Create(ctx, kwv)).To(Succeed())
	return kwv
}

func ref(rs *appsv1.ReplicaSet) lifecyclev1.ResourceReference {
	return lifecyclev1.ResourceReference{UID: rs.UID, Kind: "ReplicaSet", Name: rs.Name}
}

// release records that everything before the rollout has passed.
func release(ctx context.Context, kwv *lifecyclev1.KeptnWorkloadVersion) {
	GinkgoHelper()
	now := metav1.NewTime(time.Now())
	kwv.Status.Phases = []lifecyclev1.PhaseRecord{{Name: lifecyclev1.PhaseWorkloadDeploy, State: lifecyclev1.StateProgressing, StartTime: &now}}
	Expect(kube.Status().Update(ctx, kwv)).To(Succeed())
}

// installAdmission applies config/admission, and takes it away after the specs.
func installAdmission(ctx context.Context) (remove func(context.Context)) {
	GinkgoHelper()
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join("..", "config", "admission"))
	Expect(err).NotTo(HaveOccurred())
	var objects []*unstructured.Unstructured
	for _, resource := range rendered.Resources() {
		content, err := resource.Map()
		Expect(err).NotTo(HaveOccurred())
		u := &unstructured.Unstructured{Object: content}
		Expect(kube.Create(ctx, u.DeepCopy())).To(Succeed())
		objects = append(objects, u)
	}
	remove = func(ctx context.Context) {
		for _, u := range objects {
			Expect(client.IgnoreNotFound(kube.Delete(ctx, u.DeepCopy()))).To(Succeed())
		}
	}
	DeferCleanup(remove)
	g := newGates(ctx, optedIn)
	Eventually(g.tried(ctx, owned("DaemonSet", "d", "2f7a1f61-5b5e-4d57-9b2e-000000000000", nil))).Should(ConsistOf(lifecyclev1.SchedulingGate), "the API server takes the policy in")
	return remove
}

// writes are the writing requests of the controller, by namespace and by what they
// write.
type writes struct {
	mu     sync.Mutex
	counts map[string]map[string]int
}

var written = writes{counts: map[string]map[string]int{}}

// of are the writes in a namespace.
func (w *writes) of(namespace string) map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.counts[namespace])
}

// counted counts what goes through a transport, which refuses what the controller's
// role does.
func (w *writes) counted(through http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if request.URL.Path == "/api/v1/secrets" {
			return nil, errors.New("Secrets are read by their names alone")
		}
		// /api/v1/namespaces/<namespace>/pods/<name>, /apis/batch/v1/namespaces/<namespace>/jobs
		if _, path, in := strings.Cut(request.URL.Path, "/namespaces/"); in && request.Method != http.MethodGet {
			parts := append(strings.Split(path, "/"), "namespace")
			w.mu.Lock()
			if w.counts[parts[0]] == nil {
				w.counts[parts[0]] = map[string]int{}
			}
			w.counts[parts[0]][parts[1]]++
			w.mu.Unlock()
		}
		return through.RoundTrip(request)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// theController is the API server's address, asked in the name of the controller, to
// which the policies for the controller apply.
func theController() *rest.Config {
	as := rest.CopyConfig(cluster)
	as.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:keptn-system:keptn-controller", Groups: []string{"system:masters"}}
	as.QPS = -1
	as.Wrap(written.counted)
	return as
}

// runGate runs what opens gates, alone, until the returned function stops it.
func runGate() (r *gate.Reconciler, stop func()) {
	GinkgoHelper()
	ctx, cancel := context.WithCancel(context.Background())
	scheme, err := controllers.NewScheme()
	Expect(err).NotTo(HaveOccurred())
	options := controllers.ManagerOptions(scheme)
	options.Metrics = server.Options{BindAddress: "0"}
	skip := true
	options.Controller.SkipNameValidation = &skip
	mgr, err := ctrl.NewManager(theController(), options)
	Expect(err).NotTo(HaveOccurred())
	for _, add := range []func(context.Context, client.FieldIndexer) error{lifecyclecontrollers.AddIndexes, workload.AddIndexes, gate.AddIndexes} {
		Expect(add(ctx, mgr.GetFieldIndexer())).To(Succeed())
	}
	r = gate.New(mgr.GetClient(), mgr.GetAPIReader(), clock.RealClock{}, func(w *workload.Workload) bool {
		return w.Template.Annotations[lifecyclev1.WorkloadAnnotation]+w.Object.GetAnnotations()[lifecyclev1.WorkloadAnnotation] != ""
	})
	Expect(r.SetupWithManager(mgr, controller.Options{MaxConcurrentReconciles: 4})).To(Succeed())
	done := make(chan error, 1)
	go func() {
		defer GinkgoRecover()
		done <- mgr.Start(ctx)
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		Eventually(done).Should(Receive(Succeed()))
	}
	DeferCleanup(stop)
	return r, stop
}

// lifecycle makes a Lifecycle as a GitSource of the namespace has read it, which
// names one workload.
func (g *gates) lifecycle(ctx context.Context, kind, name string) *gitopsv1alpha1.Lifecycle {
	GinkgoHelper()
	source := &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace, Name: "shop"}}
	source.Spec.URL, source.Spec.Environment, source.Spec.Interval = "https://example.com/shop.git", "production", metav1.Duration{Duration: time.Hour}
	Expect(kube.Create(ctx, source)).To(Succeed())
	yes := true
	lc := &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{
		Namespace: g.namespace, Name: "shop-" + name, Labels: map[string]string{gitopsv1alpha1.SourceLabel: source.Name},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: gitopsv1alpha1.GroupVersion.String(), Kind: gitopsv1alpha1.GitSourceKind, Name: source.Name, UID: source.UID, Controller: &yes,
		}},
	}}
	Expect(kube.Create(ctx, lc)).To(Succeed())
	lc.Status.Workloads = []gitopsv1alpha1.WorkloadStatus{{Kind: kind, Namespace: g.namespace, Name: name}}
	Expect(kube.Status().Update(ctx, lc)).To(Succeed())
	return lc
}
