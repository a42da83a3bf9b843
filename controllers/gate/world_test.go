package gate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/gate"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitsource/manifest"
)

const namespace = "shop"

// uidOf makes UIDs that differ in their first digits, as random ones do.
func uidOf(n int) types.UID { return types.UID(fmt.Sprintf("%08x-0000-4000-8000-000000000000", n)) }

func keyOf(n int, revision string) string {
	return workload.Key(lifecyclev1.ResourceReference{UID: uidOf(n), Revision: revision})
}

func shop(annotations ...string) *corev1.Namespace {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Annotations: map[string]string{}}}
	for i := 0; i < len(annotations); i += 2 {
		ns.Annotations[annotations[i]] = annotations[i+1]
	}
	return ns
}

func optedIn(listed ...string) *corev1.Namespace {
	ns := shop(lifecyclev1.NamespaceEnabledAnnotation, "enabled")
	if len(listed) > 0 {
		ns.Annotations[gate.ReleasedAnnotation] = "," + strings.Join(listed, ",") + ","
	}
	return ns
}

func meta(name string, n int, owner *metav1.OwnerReference) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: namespace, Name: name, UID: uidOf(n), Generation: 1}
	if owner != nil {
		m.OwnerReferences = []metav1.OwnerReference{*owner}
	}
	return m
}

func by(kind, name string, n int) *metav1.OwnerReference {
	return &metav1.OwnerReference{APIVersion: "apps/v1", Kind: kind, Name: name, UID: uidOf(n), Controller: new(true)}
}

var managed = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{lifecyclev1.WorkloadAnnotation: "cart"}}}

// deployment is Deployment 1, which its controller has seen.
func deployment(name string, n int, template corev1.PodTemplateSpec) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: meta(name, n, nil), Spec: appsv1.DeploymentSpec{Template: template}, Status: appsv1.DeploymentStatus{ObservedGeneration: 1}}
}

// cart is a Deployment with two revisions, 11 and then 12, which want so many pods.
func cart(template corev1.PodTemplateSpec, first, second int32) []client.Object {
	set := func(n int, replicas int32) *appsv1.ReplicaSet {
		rs := &appsv1.ReplicaSet{ObjectMeta: meta(fmt.Sprintf("cart-%d", n), n, by("Deployment", "cart", 1)), Spec: appsv1.ReplicaSetSpec{Replicas: &replicas}}
		rs.Annotations = map[string]string{"deployment.kubernetes.io/revision": fmt.Sprint(n)}
		return rs
	}
	return []client.Object{deployment("cart", 1, template), set(11, first), set(12, second)}
}

func pod(name string, owner *metav1.OwnerReference, revision string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: meta(name, len(name)+1000, owner)}
	p.UID = types.UID("pod-" + name)
	p.Labels = map[string]string{appsv1.ControllerRevisionHashLabelKey: revision}
	p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "theirs"}, {Name: lifecyclev1.SchedulingGate}}
	return p
}

func podOf(n int) *corev1.Pod {
	return pod(fmt.Sprintf("pod-of-%d", n), by("ReplicaSet", fmt.Sprintf("cart-%d", n), n), "")
}

var begin = time.Date(2026, 5, 5, 5, 5, 5, 0, time.UTC)

func begun(name lifecyclev1.Phase, released bool, minutes int64) []lifecyclev1.PhaseRecord {
	if !released {
		return nil
	}
	at := metav1.NewTime(begin.Add(time.Duration(minutes) * time.Minute))
	return []lifecyclev1.PhaseRecord{{Name: name, State: lifecyclev1.StateProgressing, StartTime: &at}}
}

// delivered is a delivery of cart's revision n.
func delivered(generation int64, n int, released bool) *lifecyclev1.KeptnWorkloadVersion {
	return deliveredOf(generation, lifecyclev1.ResourceReference{UID: uidOf(n), Kind: "ReplicaSet", Name: fmt.Sprintf("cart-%d", n)}, released)
}

func deliveredOf(generation int64, ref lifecyclev1.ResourceReference, released bool) *lifecyclev1.KeptnWorkloadVersion {
	kwv := &lifecyclev1.KeptnWorkloadVersion{ObjectMeta: meta(fmt.Sprintf("shop-cart-%d", generation), 100+int(generation), nil)}
	kwv.Spec.WorkloadName, kwv.Spec.WorkloadGeneration, kwv.Spec.ResourceReference = "shop-cart", generation, ref
	kwv.Status.Phases = begun(lifecyclev1.PhaseWorkloadDeploy, released, generation)
	return kwv
}

// fromGit is a Lifecycle that names the Deployment cart, its GitSource, and its
// newest delivery, of a template.
func fromGit(name string, template corev1.PodTemplateSpec, released bool, change ...func(*gitopsv1alpha1.Lifecycle)) []client.Object {
	source := &gitopsv1alpha1.GitSource{ObjectMeta: meta(name, 200, nil)}
	lc := &gitopsv1alpha1.Lifecycle{ObjectMeta: meta(name+"-cart", 201, by(gitopsv1alpha1.GitSourceKind, name, 200))}
	lc.Labels = map[string]string{gitopsv1alpha1.SourceLabel: name}
	hash := manifest.TemplateHash(template)
	lc.Status.Workloads = []gitopsv1alpha1.WorkloadStatus{{Kind: "Deployment", Namespace: namespace, Name: "cart", TemplateHash: hash, Commit: "c0ffee"}}
	lc.Status.Delivery = &gitopsv1alpha1.DeliveryReference{Namespace: namespace, Name: name + "-1"}
	for _, c := range change {
		c(lc)
	}
	kav := &lifecyclev1.KeptnAppVersion{ObjectMeta: meta(name+"-1", 202, nil)}
	kav.Spec.Lifecycle = &lifecyclev1.LifecycleRef{Namespace: namespace, Name: lc.Name}
	kav.Spec.Workloads = []lifecyclev1.KeptnWorkloadRef{{Kind: "Deployment", Name: "cart", TemplateHash: hash}}
	kav.Status.Phases = begun(lifecyclev1.PhaseAppDeploy, released, 0)
	return []client.Object{source, lc, kav}
}

func unexplained(reason string) func(*gitopsv1alpha1.Lifecycle) {
	return func(lc *gitopsv1alpha1.Lifecycle) {
		lc.Status.Workloads[0].Commit = ""
		status := metav1.ConditionUnknown
		if reason == gitopsv1alpha1.UnmatchedReason {
			status = metav1.ConditionFalse
		}
		lc.Status.Conditions = []metav1.Condition{{Type: gitopsv1alpha1.MatchedCondition, Status: status, Reason: reason}}
	}
}

func all(parts ...any) []client.Object {
	var objects []client.Object
	for _, part := range parts {
		switch p := part.(type) {
		case client.Object:
			objects = append(objects, p)
		case []client.Object:
			objects = append(objects, p...)
		}
	}
	return objects
}

var scheme = sync.OnceValue(func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, gitopsv1alpha1.AddToScheme, lifecyclev1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
})

// newGate makes a reconciler over objects, where the policy is installed.
func newGate(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) (*gate.Reconciler, client.Client) {
	t.Helper()
	builder := fake.NewClientBuilder().WithScheme(scheme()).WithObjects(objects...).WithInterceptorFuncs(funcs).WithObjects(
		&admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: gate.PolicyName}},
		&admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: gate.PolicyName}},
	)
	indexer := indexer{builder}
	for _, add := range []func(context.Context, client.FieldIndexer) error{gate.AddIndexes, workload.AddIndexes} {
		if err := add(t.Context(), indexer); err != nil {
			t.Fatal(err)
		}
	}
	c := builder.Build()
	r := gate.New(c, c, clock.RealClock{}, func(w *workload.Workload) bool { return w.Template.Annotations[lifecyclev1.WorkloadAnnotation] != "" })
	r.Look(t.Context(), c)
	if reason := r.Observing(); reason != "" {
		t.Fatal(reason)
	}
	return r, c
}

type indexer struct{ builder *fake.ClientBuilder }

func (i indexer) IndexField(_ context.Context, obj client.Object, field string, extract client.IndexerFunc) error {
	i.builder.WithIndex(obj, field, extract)
	return nil
}

func reconciled(t *testing.T, r *gate.Reconciler) {
	t.Helper()
	if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
}

// outcome is what a namespace says, and which of its pods have lost our gate.
type outcome struct {
	Released []string
	Gated    string
	Open     []string
}

func seen(t *testing.T, c client.Client) outcome {
	t.Helper()
	ns := &corev1.Namespace{}
	var pods corev1.PodList
	if err := errors.Join(c.Get(t.Context(), types.NamespacedName{Name: namespace}, ns), c.List(t.Context(), &pods)); err != nil {
		t.Fatal(err)
	}
	o := outcome{Released: gate.Read(ns.Annotations[gate.ReleasedAnnotation]), Gated: ns.Annotations[gate.GatedAnnotation]}
	for _, p := range pods.Items {
		if !slices.ContainsFunc(p.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return g.Name == "theirs" }) {
			t.Errorf("pod %s has lost the gate of another controller", p.Name)
		}
		if len(p.Spec.SchedulingGates) == 1 && p.Annotations[lifecyclev1.SchedulingGateRemovedAnnotation] == "true" {
			o.Open = append(o.Open, p.Name)
		}
	}
	return o
}
