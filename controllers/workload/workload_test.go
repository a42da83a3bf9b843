package workload_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/workload"
)

// indexes hands field indexes to a fake client.
type indexes struct{ *fake.ClientBuilder }

func (i indexes) IndexField(_ context.Context, obj client.Object, field string, keys client.IndexerFunc) error {
	i.WithIndex(obj, field, keys)
	return nil
}

func clientOf(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), lifecyclev1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	b := fake.NewClientBuilder().WithScheme(scheme).WithTypeConverters(managedfields.NewDeducedTypeConverter()).WithObjects(objects...)
	if err := workload.AddIndexes(t.Context(), indexes{b}); err != nil {
		t.Fatal(err)
	}
	return b.Build()
}

func meta(name string, change ...func(*metav1.ObjectMeta)) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name + "-0123456789abcdef"), Generation: 2}
	for _, c := range change {
		c(&m)
	}
	return m
}

func ownedBy(kind, name string) func(*metav1.ObjectMeta) {
	return func(m *metav1.ObjectMeta) {
		m.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: name, UID: meta(name).UID, Controller: ptr.To(true)}}
	}
}

func annotated(key, value string) func(*metav1.ObjectMeta) {
	return func(m *metav1.ObjectMeta) { metav1.SetMetaDataAnnotation(m, key, value) }
}

func labelled(key, value string) func(*metav1.ObjectMeta) {
	return func(m *metav1.ObjectMeta) { metav1.SetMetaDataLabel(m, key, value) }
}

const revision = "deployment.kubernetes.io/revision"

func replicaSet(name string, change ...func(*metav1.ObjectMeta)) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{ObjectMeta: meta(name, change...)}
}

func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}}}
}

func TestAStatefulSetThatStandsStillSaysWhatToDo(t *testing.T) {
	const advice = "; pods of an earlier revision are replaced once they are ready: delete those that do not get ready"
	waits := appsv1.StatefulSetStatus{ObservedGeneration: 2, CurrentRevision: "db-1", UpdateRevision: "db-2", Replicas: 3, CurrentReplicas: 2, ReadyReplicas: 2}
	cases := map[string]struct {
		reason string
		change func(*appsv1.StatefulSet)
		says   bool
	}{
		"Waits":    {"One of its pods is not ready, and of another revision.", func(*appsv1.StatefulSet) {}, true},
		"First":    {"So is that of a revision that never was released.", func(s *appsv1.StatefulSet) { s.Status.Replicas, s.Status.ReadyReplicas = 1, 0 }, true},
		"Goes":     {"One of its pods is of the newest revision.", func(s *appsv1.StatefulSet) { s.Status.UpdatedReplicas = 1 }, false},
		"Begins":   {"All of its pods are ready: the first goes soon.", func(s *appsv1.StatefulSet) { s.Status.ReadyReplicas = 3 }, false},
		"Parallel": {"It does not wait for its pods.", func(s *appsv1.StatefulSet) { s.Spec.PodManagementPolicy = appsv1.ParallelPodManagement }, false},
		"New":      {"It has one revision.", func(s *appsv1.StatefulSet) { s.Status.CurrentRevision = "db-2" }, false},
		"Unseen":   {"What it says is of the spec before.", func(s *appsv1.StatefulSet) { s.Generation = 3 }, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := &appsv1.StatefulSet{ObjectMeta: meta("db"), Spec: appsv1.StatefulSetSpec{Replicas: ptr.To[int32](3)}, Status: waits}
			tc.change(s)
			w, err := workload.Observe(workload.StatefulSet, s)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(w.Message, advice) != tc.says {
				t.Errorf("%s\nsays %q", tc.reason, w.Message)
			}
		})
	}
}

// controllerRevision holds a template as the controllers of Kubernetes write it.
func controllerRevision(t *testing.T, name string, number int64, image string, change ...func(*metav1.ObjectMeta)) *appsv1.ControllerRevision {
	t.Helper()
	text, err := json.Marshal(template(image))
	if err != nil {
		t.Fatal(err)
	}
	raw := []byte(`{"spec":{"template":{"$patch":"replace",` + string(text[1:]) + `}}`)
	return &appsv1.ControllerRevision{ObjectMeta: meta(name, change...), Revision: number, Data: runtime.RawExtension{Raw: raw}}
}

func rollout(fields map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"namespace": "shop", "name": "cart", "uid": string(meta("cart").UID), "generation": int64(2)},
		"status":   fields,
	}}
	u.SetGroupVersionKind(workload.RolloutKind)
	return u
}

func TestTheNewestRevisionOfAWorkloadIsKnownOnceItsControllerHasMadeIt(t *testing.T) {
	deployment := func(observed int64, change ...func(*metav1.ObjectMeta)) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: meta("cart", change...), Status: appsv1.DeploymentStatus{ObservedGeneration: observed}}
	}
	daemonSet := func(image string) *appsv1.DaemonSet {
		return &appsv1.DaemonSet{ObjectMeta: meta("cart"), Spec: appsv1.DaemonSetSpec{Template: template(image)}, Status: appsv1.DaemonSetStatus{ObservedGeneration: 2}}
	}
	ofDeployment, ofDaemonSet := ownedBy("Deployment", "cart"), ownedBy("DaemonSet", "cart")
	first := replicaSet("cart-1", ofDeployment, annotated(revision, "1"))
	second := replicaSet("cart-2", ofDeployment, annotated(revision, "2"))
	foreign := replicaSet("other-9", ownedBy("Deployment", "other"), annotated(revision, "9"))
	old := controllerRevision(t, "cart-old", 1, "cart:1", ofDaemonSet, labelled("controller-revision-hash", "old"))
	next := controllerRevision(t, "cart-new", 2, "cart:2", ofDaemonSet, labelled("controller-revision-hash", "new"))
	hashed := func(name, hash string) *appsv1.ReplicaSet {
		return replicaSet(name, ownedBy("Rollout", "cart"), labelled("rollouts-pod-template-hash", hash))
	}
	cases := map[string]struct {
		reason string
		of     client.Object
		owned  []client.Object
		want   lifecyclev1.ResourceReference
		known  bool
	}{
		"Deployment":        {"The highest revision is the newest.", deployment(2, annotated(revision, "2")), []client.Object{first, second, foreign}, ref("ReplicaSet", "cart-2", ""), true},
		"Unmarked":          {"Without a word from the Deployment it is too.", deployment(2), []client.Object{first, second}, ref("ReplicaSet", "cart-2", ""), true},
		"CacheBehind":       {"The Deployment has a revision whose ReplicaSet is not known yet.", deployment(2, annotated(revision, "2")), []client.Object{first}, lifecyclev1.ResourceReference{}, false},
		"CacheAhead":        {"A ReplicaSet is known before the template that it is made of.", deployment(2, annotated(revision, "1")), []client.Object{first, second}, ref("ReplicaSet", "cart-1", ""), true},
		"Unobserved":        {"The Deployment's controller has not seen the spec.", deployment(1, annotated(revision, "1")), []client.Object{first}, lifecyclev1.ResourceReference{}, false},
		"NoReplicaSet":      {"There is none.", deployment(2), nil, lifecyclev1.ResourceReference{}, false},
		"StatefulSet":       {"It says so itself.", &appsv1.StatefulSet{ObjectMeta: meta("cart"), Status: appsv1.StatefulSetStatus{ObservedGeneration: 2, UpdateRevision: "cart-5f"}}, nil, ref("StatefulSet", "cart", "cart-5f"), true},
		"StatefulSetBehind": {"What it says is of the spec before.", &appsv1.StatefulSet{ObjectMeta: meta("cart"), Status: appsv1.StatefulSetStatus{ObservedGeneration: 1, UpdateRevision: "cart-5f"}}, nil, ref("StatefulSet", "cart", "cart-5f"), false},
		"DaemonSet":         {"The highest number is the newest.", daemonSet("cart:2"), []client.Object{old, next}, ref("DaemonSet", "cart", "new"), true},
		"DaemonSetBehind":   {"The revision of the template is not known yet.", daemonSet("cart:2"), []client.Object{old}, ref("DaemonSet", "cart", "old"), false},
		"NoRevision":        {"There is none.", daemonSet("cart:2"), nil, lifecyclev1.ResourceReference{}, false},
		"ReplicaSet":        {"It is a revision itself.", replicaSet("cart"), nil, ref("ReplicaSet", "cart", ""), true},
		"Rollout":           {"It names the hash of its ReplicaSet.", rollout(map[string]any{"observedGeneration": "2", "currentPodHash": "b"}), []client.Object{hashed("cart-a", "a"), hashed("cart-b", "b")}, ref("ReplicaSet", "cart-b", ""), true},
		"RolloutBehind":     {"Argo has not seen the spec.", rollout(map[string]any{"observedGeneration": "1", "currentPodHash": "b"}), []client.Object{hashed("cart-b", "b")}, lifecyclev1.ResourceReference{}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for _, cached := range []bool{false, true} {
				owned := make([]client.Object, len(tc.owned))
				for i, obj := range tc.owned {
					owned[i] = obj.DeepCopyObject().(client.Object) //nolint:forcetypeassert // a copy has the type of its original
					if cached {
						if _, err := workload.Strip(owned[i]); err != nil {
							t.Fatal(err)
						}
					}
				}
				got, known, err := workload.Current(t.Context(), clientOf(t, owned...), tc.of)
				if err != nil {
					t.Fatal(err)
				}
				if known != tc.known || known && got != tc.want {
					t.Errorf("%s\n(cached: %v) got %+v, %v, want %+v, %v", tc.reason, cached, got, known, tc.want, tc.known)
				}
			}
		})
	}
}

func ref(kind, name, revision string) lifecyclev1.ResourceReference {
	return lifecyclev1.ResourceReference{UID: meta(name).UID, Kind: kind, Name: name, Revision: revision}
}

func TestOfWhatIsCachedNoTemplatesAreKept(t *testing.T) {
	revision := controllerRevision(t, "cart-1", 1, "cart:1", ownedBy("DaemonSet", "cart"))
	owned, bare := replicaSet("a", ownedBy("Deployment", "cart")), replicaSet("b", ownedBy("CloneSet", "cart"))
	owned.Spec.Template, bare.Spec.Template = template("cart:1"), template("cart:1")
	for _, obj := range []any{revision, owned, bare} {
		if _, err := workload.Strip(obj); err != nil {
			t.Fatal(err)
		}
	}
	if len(revision.Data.Raw) > 70 {
		t.Errorf("of the revision %d bytes are kept", len(revision.Data.Raw))
	}
	if len(owned.Spec.Template.Spec.Containers) != 0 {
		t.Error("the template of a Deployment's ReplicaSet is kept, and nobody reads it")
	}
	if len(bare.Spec.Template.Spec.Containers) != 1 {
		t.Error("a ReplicaSet of an unknown controller is a workload itself, and lost its template")
	}
}

func TestTheTopOfARevisionIsItsWorkload(t *testing.T) {
	cases := map[string]struct {
		reason string
		ref    lifecyclev1.ResourceReference
		want   string
	}{
		"Deployment":  {"A ReplicaSet is a revision of it.", ref("ReplicaSet", "cart-1", ""), "Deployment cart"},
		"Bare":        {"A ReplicaSet without one is a workload.", ref("ReplicaSet", "bare", ""), "ReplicaSet bare"},
		"Foreign":     {"One of an unknown controller is, too.", ref("ReplicaSet", "foreign", ""), "ReplicaSet foreign"},
		"StatefulSet": {"It is both.", ref("StatefulSet", "db", "db-1"), "StatefulSet db"},
		"Gone":        {"What is gone has none.", ref("ReplicaSet", "gone", ""), ""},
		"Orphan":      {"Nor has what lost it.", ref("ReplicaSet", "orphan", ""), ""},
	}
	c := clientOf(t,
		&appsv1.Deployment{ObjectMeta: meta("cart")}, &appsv1.StatefulSet{ObjectMeta: meta("db")},
		replicaSet("cart-1", ownedBy("Deployment", "cart")), replicaSet("bare"),
		replicaSet("foreign", ownedBy("CloneSet", "cart")), replicaSet("orphan", ownedBy("Deployment", "gone")),
	)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			top, err := workload.Top(t.Context(), c, "shop", tc.ref)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if top != nil {
				got = top.String()
			}
			if got != tc.want {
				t.Errorf("%s\ngot %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestARolloutIsDoneOnceItIsHealthyAndAllPodsAreNew(t *testing.T) {
	fields := func(phase, observed string, replicas, updated int64) map[string]any {
		return map[string]any{"phase": phase, "observedGeneration": observed, "replicas": replicas, "updatedReplicas": updated, "message": "why"}
	}
	cases := map[string]struct {
		reason  string
		status  map[string]any
		want    status.Status
		message string
	}{
		"Healthy":     {"All pods are new.", fields("Healthy", "2", 3, 3), status.CurrentStatus, "Rollout is healthy"},
		"Canary":      {"Some are old.", fields("Healthy", "2", 3, 1), status.InProgressStatus, "Healthy: updated: 1/3"},
		"Progressing": {"It says so.", fields("Progressing", "2", 3, 3), status.InProgressStatus, "Progressing: updated: 3/3"},
		"Paused":      {"A person is to go on with it.", fields("Paused", "2", 3, 1), status.InProgressStatus, "Paused: updated: 1/3"},
		"Degraded":    {"It failed.", fields("Degraded", "2", 3, 3), status.FailedStatus, "Degraded: why"},
		"Behind":      {"What it says is of the spec before.", fields("Healthy", "1", 3, 3), status.InProgressStatus, "the Rollout has not been looked at yet"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w, err := workload.Observe(workload.Rollout, rollout(tc.status))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{string(tc.want), tc.message}, []string{string(w.Status), w.Message}); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
			if w.Replicas != 3 {
				t.Errorf("it has %d pods, want 3", w.Replicas)
			}
		})
	}
}

func TestTheKeyOfARevisionIsItsOwn(t *testing.T) {
	of := func(uid, revision string) string {
		return workload.Key(lifecyclev1.ResourceReference{UID: types.UID(uid), Revision: revision})
	}
	const uid = "0c5f8d0e-7b1a-4b3e-9f57-2f6c1d0a9b8e"
	if got, want := of(uid, ""), "0c5f8d0e-7b1a"; got != want {
		t.Errorf("of a ReplicaSet it is %q, want %q", got, want)
	}
	if got, want := of(uid, "db-5f"), "0c5f8d0e-7b1a/db-5f"; got != want {
		t.Errorf("of a StatefulSet's revision it is %q, want %q", got, want)
	}
	if got := of("short", ""); got != "short" {
		t.Errorf("of a short UID it is %q", got)
	}
}

func TestAPodBelongsToWhatControlsIt(t *testing.T) {
	pod := func(change ...func(*metav1.ObjectMeta)) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: meta("pod", change...)}
	}
	hash := labelled("controller-revision-hash", "db-5f")
	cases := map[string]struct {
		reason string
		pod    *corev1.Pod
		want   lifecyclev1.ResourceReference
		ok     bool
	}{
		"ReplicaSet":  {"It is one revision.", pod(ownedBy("ReplicaSet", "cart-1"), hash), ref("ReplicaSet", "cart-1", ""), true},
		"StatefulSet": {"The label tells its revisions apart.", pod(ownedBy("StatefulSet", "db"), hash), ref("StatefulSet", "db", "db-5f"), true},
		"DaemonSet":   {"The label tells its revisions apart.", pod(ownedBy("DaemonSet", "db"), hash), ref("DaemonSet", "db", "db-5f"), true},
		"Job":         {"It is no workload.", pod(ownedBy("Job", "j")), lifecyclev1.ResourceReference{}, false},
		"Bare":        {"Nobody has it.", pod(), lifecyclev1.ResourceReference{}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := workload.OwnerOf(tc.pod)
			if ok != tc.ok || ok && got != tc.want {
				t.Errorf("%s\ngot %+v, %v, want %+v, %v", tc.reason, got, ok, tc.want, tc.ok)
			}
		})
	}
}

func TestWhatChangesTheRevisionOrTheAnnotationsOfAWorkloadCounts(t *testing.T) {
	set := func(observed int64, update string, replicas int32) *appsv1.StatefulSet {
		return &appsv1.StatefulSet{ObjectMeta: meta("db"), Status: appsv1.StatefulSetStatus{ObservedGeneration: observed, UpdateRevision: update, Replicas: replicas}}
	}
	of := ownedBy("Deployment", "cart")
	scaled := replicaSet("cart-1", of, annotated("deployment.kubernetes.io/desired-replicas", "3"))
	scaled.Generation = 9
	numbered := func(n int64) *appsv1.ControllerRevision {
		return controllerRevision(t, "ds-1", n, "cart:1", ownedBy("DaemonSet", "ds"))
	}
	cases := map[string]struct {
		reason        string
		before, after client.Object
		want          bool
	}{
		"Pods":          {"How many pods run says nothing of what runs.", set(2, "a", 1), set(2, "a", 2), false},
		"Observed":      {"Its controller has seen the spec.", set(1, "a", 1), set(2, "a", 1), true},
		"Revision":      {"It has a new one.", set(2, "a", 1), set(2, "b", 1), true},
		"Annotation":    {"Somebody annotated it.", set(2, "a", 1), &appsv1.StatefulSet{ObjectMeta: meta("db", annotated("k", "v")), Status: set(2, "a", 1).Status}, true},
		"Label":         {"Somebody labelled it.", &appsv1.DaemonSet{ObjectMeta: meta("ds")}, &appsv1.DaemonSet{ObjectMeta: meta("ds", labelled("k", "v"))}, true},
		"Scaled":        {"A ReplicaSet of another size is the same revision.", replicaSet("cart-1", of), scaled, false},
		"RolledBack":    {"An old ReplicaSet is the newest again.", replicaSet("cart-1", of, annotated(revision, "1")), replicaSet("cart-1", of, annotated(revision, "3")), true},
		"BareScaled":    {"A ReplicaSet that is a workload has a spec of its own.", replicaSet("cart"), func() client.Object { rs := replicaSet("cart"); rs.Generation++; return rs }(), true},
		"SameNumber":    {"A revision is what it was.", numbered(1), numbered(1), false},
		"HigherNumber":  {"An old revision is the newest again.", numbered(1), numbered(3), true},
		"RolloutPods":   {"As above.", rollout(map[string]any{"observedGeneration": "2", "replicas": int64(1)}), rollout(map[string]any{"observedGeneration": "2", "replicas": int64(2)}), false},
		"RolloutHashed": {"It has a new ReplicaSet.", rollout(map[string]any{"observedGeneration": "2"}), rollout(map[string]any{"observedGeneration": "2", "currentPodHash": "b"}), true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := workload.Changed(tc.before, tc.after); got != tc.want {
				t.Errorf("%s\ngot %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}

func TestTheSubjectOfAnObjectIsItsWorkload(t *testing.T) {
	configMap := &corev1.ConfigMap{ObjectMeta: meta("x")}
	cases := map[string]struct {
		reason string
		obj    client.Object
		want   string
	}{
		"Deployment":  {"It is one.", &appsv1.Deployment{ObjectMeta: meta("cart")}, "Deployment cart"},
		"StatefulSet": {"It is one.", &appsv1.StatefulSet{ObjectMeta: meta("db")}, "StatefulSet db"},
		"DaemonSet":   {"It is one.", &appsv1.DaemonSet{ObjectMeta: meta("ds")}, "DaemonSet ds"},
		"Rollout":     {"It is one.", rollout(nil), "Rollout cart"},
		"Revision":    {"A ReplicaSet is a revision of one.", replicaSet("cart-1", ownedBy("Rollout", "cart")), "Rollout cart"},
		"Bare":        {"Or is one.", replicaSet("cart"), "ReplicaSet cart"},
		"OfDaemonSet": {"A ControllerRevision is a revision of one.", controllerRevision(t, "ds-1", 1, "a", ownedBy("DaemonSet", "ds")), "DaemonSet ds"},
		"OfOther":     {"A StatefulSet says itself which it has.", controllerRevision(t, "db-1", 1, "a", ownedBy("StatefulSet", "db")), " "},
		"Unowned":     {"A revision of nothing.", controllerRevision(t, "x", 1, "a"), " "},
		"Other":       {"It has nothing to do with any.", configMap, " "},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			kind, subject, ok := workload.Subject(tc.obj)
			if got := kind + " " + subject; got != tc.want || ok != (tc.want != " ") {
				t.Errorf("%s\ngot %q, %v, want %q", tc.reason, got, ok, tc.want)
			}
		})
	}
}
