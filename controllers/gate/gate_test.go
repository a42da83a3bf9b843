package gate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/gate"
)

func TestTheGatesOfANamespaceFollowItsDeliveries(t *testing.T) {
	other := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"a": "b"}}}
	statefulSet := func(current, update string) *appsv1.StatefulSet {
		return &appsv1.StatefulSet{ObjectMeta: meta("db", 2, nil), Spec: appsv1.StatefulSetSpec{Template: managed}, Status: appsv1.StatefulSetStatus{ObservedGeneration: 1, CurrentRevision: current, UpdateRevision: update}}
	}
	db := func(generation int64, revision string, released bool) *lifecyclev1.KeptnWorkloadVersion {
		return deliveredOf(generation, lifecyclev1.ResourceReference{UID: uidOf(2), Kind: "StatefulSet", Name: "db", Revision: revision}, released)
	}
	daemonSet := func(updated int32) []client.Object {
		revision := func(n int64, hash string) *appsv1.ControllerRevision {
			c := &appsv1.ControllerRevision{ObjectMeta: meta("agent-"+hash, 30+int(n), by("DaemonSet", "agent", 3)), Revision: n}
			c.Labels = map[string]string{appsv1.ControllerRevisionHashLabelKey: hash}
			return c
		}
		return []client.Object{
			&appsv1.DaemonSet{ObjectMeta: meta("agent", 3, nil), Status: appsv1.DaemonSetStatus{ObservedGeneration: 1, DesiredNumberScheduled: 3, UpdatedNumberScheduled: updated}},
			revision(1, "old"), revision(2, "new"),
		}
	}
	agent := deliveredOf(2, lifecyclev1.ResourceReference{UID: uidOf(3), Kind: "DaemonSet", Name: "agent", Revision: "new"}, true)
	suspended := fromGit("git", other, false)
	suspended[0].(*gitopsv1alpha1.GitSource).Spec.Suspend = true //nolint:forcetypeassert // as it is made above
	unsettled := cart(managed, 0, 1)
	unsettled[0].(*appsv1.Deployment).Generation = 2 //nolint:forcetypeassert // as it is made above

	cases := map[string]struct {
		reason  string
		objects []client.Object
		want    outcome
	}{
		"Undecided":   {"Checks run: pods wait.", all(optedIn(), cart(managed, 0, 1), delivered(1, 12, false), podOf(12)), outcome{}},
		"Unrecorded":  {"Nothing is recorded of a workload that asks for checks yet: pods wait.", all(optedIn(), cart(managed, 0, 1), podOf(12)), outcome{}},
		"Released":    {"Checks have passed: the pods start, and later ones do not wait.", all(optedIn(), cart(managed, 0, 1), delivered(1, 12, true), podOf(12)), outcome{Released: []string{keyOf(12, "")}, Open: []string{"pod-of-12"}}},
		"NotYetThere": {"A release is known before the ReplicaSet is.", all(optedIn(), delivered(1, 12, true)), outcome{Released: []string{keyOf(12, "")}}},
		"OldHasPods": {"A revision with pods stays released while the next one waits.",
			all(optedIn(keyOf(11, "")), cart(managed, 2, 1), delivered(1, 11, true), delivered(2, 12, false), podOf(11), podOf(12)),
			outcome{Released: []string{keyOf(11, "")}, Open: []string{"pod-of-11"}}},
		"OldUnlisted": {"So does one that is not listed, as after somebody took the annotation away.",
			all(optedIn(), cart(managed, 2, 1), delivered(1, 11, true), delivered(2, 12, false), podOf(11)),
			outcome{Released: []string{keyOf(11, "")}, Open: []string{"pod-of-11"}}},
		"OldNeverReleased": {"A revision that was superseded before its checks had passed does not start.",
			all(optedIn(), cart(managed, 2, 1), delivered(1, 11, false), delivered(2, 12, true), podOf(11)),
			outcome{Released: []string{keyOf(12, "")}}},
		"OldRanOut": {"A revision without pods loses its release.",
			all(optedIn(keyOf(11, ""), keyOf(12, "")), cart(managed, 0, 1), delivered(1, 11, true), delivered(2, 12, true)),
			outcome{Released: []string{keyOf(12, "")}}},
		"ScaledToZero": {"The newest revision keeps it without pods.",
			all(optedIn(keyOf(12, "")), cart(managed, 0, 0), delivered(2, 12, true)),
			outcome{Released: []string{keyOf(12, "")}}},
		"Unsettled": {"While it is not known which revision is the newest none loses it.",
			all(optedIn(keyOf(11, "")), unsettled, delivered(1, 11, true), delivered(2, 12, false)),
			outcome{Released: []string{keyOf(11, "")}}},
		"RolledBack": {"The revision that is the newest again, and was released once, waits for its checks.",
			all(optedIn(), cart(managed, 0, 1), delivered(1, 12, true), delivered(2, 11, true), podOf(12)),
			outcome{Released: []string{keyOf(11, "")}}},
		"RolledBackRecorded": {"As it does when the new delivery is recorded.",
			all(optedIn(), cart(managed, 0, 1), delivered(1, 12, true), delivered(2, 11, true), delivered(3, 12, false), podOf(12)),
			outcome{}},
		"RolledBackMidway": {"A rollback while the revision has pods does not wait.",
			all(optedIn(keyOf(12, "")), cart(managed, 1, 1), delivered(1, 12, true), delivered(2, 11, false), delivered(3, 12, false), podOf(12)),
			outcome{Released: []string{keyOf(12, "")}, Open: []string{"pod-of-12"}}},
		"Oldest": {"What was released first is listed first.",
			all(optedIn(), deliveredElsewhere("a", 2, 22), deliveredElsewhere("b", 1, 21), deliveredElsewhere("c", 3, 23)),
			outcome{Released: []string{keyOf(21, ""), keyOf(22, ""), keyOf(23, "")}}},
		"StatefulSet": {"The revisions of a StatefulSet are told apart, and the old one keeps its release until the end.",
			all(optedIn(keyOf(2, "db-1")), statefulSet("db-1", "db-2"), db(1, "db-1", true), db(2, "db-2", true),
				pod("old", by("StatefulSet", "db", 2), "db-1"), pod("new", by("StatefulSet", "db", 2), "db-2"), pod("strange", by("StatefulSet", "db", 2), "db-3")),
			outcome{Released: []string{keyOf(2, "db-1"), keyOf(2, "db-2")}, Open: []string{"new", "old"}}},
		"StatefulSetDone": {"Then it loses it.",
			all(optedIn(keyOf(2, "db-1"), keyOf(2, "db-2")), statefulSet("db-2", "db-2"), db(1, "db-1", true), db(2, "db-2", true)),
			outcome{Released: []string{keyOf(2, "db-2")}}},
		"DaemonSet":     {"The old revision of a DaemonSet runs until all nodes have the new one.", all(optedIn(keyOf(3, "old")), daemonSet(2), agent), outcome{Released: []string{keyOf(3, "old"), keyOf(3, "new")}}},
		"DaemonSetDone": {"Then it loses its release.", all(optedIn(keyOf(3, "old")), daemonSet(3), agent), outcome{Released: []string{keyOf(3, "new")}}},
		"Unmanaged":     {"Nobody asked for checks: the pods go, and nothing is listed.", all(optedIn(), cart(other, 0, 1), podOf(12)), outcome{Open: []string{"pod-of-12"}}},
		"Bare":          {"A ReplicaSet of nobody is a workload itself.", all(optedIn(), &appsv1.ReplicaSet{ObjectMeta: meta("bare", 13, nil), Spec: appsv1.ReplicaSetSpec{Template: managed}}, pod("p", by("ReplicaSet", "bare", 13), "")), outcome{}},
		"Orphan":        {"Pods of what is gone are the garbage collector's.", all(optedIn(), podOf(12)), outcome{}},
		"Unsupported":   {"Somebody wrote our gate into a pod of his own: nobody would ever remove it.", all(optedIn(), pod("p", nil, "")), outcome{Open: []string{"p"}}},
		"OptedOut":      {"The namespace asks for no gates any more.", all(shop(gate.ReleasedAnnotation, ",x,"), cart(managed, 0, 1), delivered(1, 12, false), podOf(12)), outcome{Open: []string{"pod-of-12"}}},

		"Git":         {"What Git names is gated, and its newest delivery decides.", all(shop(), cart(other, 0, 1), fromGit("git", other, true), podOf(12)), outcome{Gated: ",Deployment/cart,", Released: []string{keyOf(12, "")}, Open: []string{"pod-of-12"}}},
		"GitWaits":    {"Checks run: pods wait.", all(shop(), cart(other, 0, 1), fromGit("git", other, false), podOf(12)), outcome{Gated: ",Deployment/cart,"}},
		"GitOther":    {"A delivery of another template does not release this one.", all(shop(), cart(managed, 0, 1), fromGit("git", other, true), podOf(12)), outcome{Gated: ",Deployment/cart,"}},
		"GitStays":    {"What was released stays so while it has pods.", all(shop(gate.ReleasedAnnotation, ","+keyOf(11, "")+","), cart(managed, 1, 1), fromGit("git", other, true), podOf(11), podOf(12)), outcome{Gated: ",Deployment/cart,", Released: []string{keyOf(11, "")}, Open: []string{"pod-of-11"}}},
		"GitFirst":    {"Git goes before annotations.", all(optedIn(), cart(managed, 0, 1), fromGit("git", managed, false), delivered(1, 12, true), podOf(12)), outcome{Gated: ",Deployment/cart,"}},
		"GitTwice":    {"Of two both have to release.", all(shop(), cart(other, 0, 1), fromGit("git", other, true), fromGit("hub", other, false), podOf(12)), outcome{Gated: ",Deployment/cart,"}},
		"GitBoth":     {"When both do, it is.", all(shop(), cart(other, 0, 1), fromGit("git", other, true), fromGit("hub", other, true)), outcome{Gated: ",Deployment/cart,", Released: []string{keyOf(12, "")}}},
		"Searching":   {"A commit may still turn up.", all(shop(), cart(other, 0, 1), fromGit("git", other, true, unexplained("Searching")), podOf(12)), outcome{Gated: ",Deployment/cart,"}},
		"Unmatched":   {"The time to find one is over.", all(shop(), cart(other, 0, 1), fromGit("git", other, false, unexplained(gitopsv1alpha1.UnmatchedReason)), podOf(12)), outcome{Gated: ",Deployment/cart,", Released: []string{keyOf(12, "")}, Open: []string{"pod-of-12"}}},
		"UnmatchedOf": {"That was said of another template.", all(shop(), cart(managed, 0, 1), fromGit("git", other, false, unexplained(gitopsv1alpha1.UnmatchedReason)), podOf(12)), outcome{Gated: ",Deployment/cart,"}},
		"Suspended":   {"A suspended source holds nothing back.", all(shop(gate.GatedAnnotation, ",Deployment/cart,"), cart(other, 0, 1), suspended, podOf(12)), outcome{Open: []string{"pod-of-12"}}},
		"Strange":     {"A Lifecycle that nobody read from Git has no say.", all(shop(), cart(other, 0, 1), fromGit("git", other, false, func(lc *gitopsv1alpha1.Lifecycle) { lc.OwnerReferences = nil }), podOf(12)), outcome{Open: []string{"pod-of-12"}}},
		"NotApplied":  {"A workload that Git names is gated before it is there.", all(shop(), fromGit("git", other, false)), outcome{Gated: ",Deployment/cart,"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, api := newGate(t, interceptor.Funcs{}, c.objects...)
			reconciled(t, r)
			if diff := cmp.Diff(c.want, seen(t, api), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

// deliveredElsewhere is a released delivery of another workload.
func deliveredElsewhere(name string, minute int64, n int) *lifecyclev1.KeptnWorkloadVersion {
	kwv := delivered(minute, n, true)
	kwv.Name, kwv.Spec.WorkloadName = name, name
	return kwv
}

func TestALifecycleOfAnotherNamespaceHasASayOnlyWithConsent(t *testing.T) {
	for consent, want := range map[string]string{"": "", "platform": ",Deployment/cart,"} {
		objects := fromGit("git", managed, false)
		for _, obj := range objects {
			obj.SetNamespace("platform")
		}
		objects[0].(*gitopsv1alpha1.GitSource).Spec.TargetNamespaces = []string{namespace} //nolint:forcetypeassert // as it is made
		r, api := newGate(t, interceptor.Funcs{}, append(objects, shop(gitopsv1alpha1.AllowFromAnnotation, consent))...)
		reconciled(t, r)
		if got := seen(t, api).Gated; got != want {
			t.Errorf("the namespace allows %q: gated is %q, want %q", consent, got, want)
		}
		if governed, err := r.Governed(t.Context(), "Deployment", namespace, "cart"); err != nil || governed != (want != "") {
			t.Errorf("the namespace allows %q: governed is %t, %v", consent, governed, err)
		}
	}
}

// counted counts the writes of a client, by kind.
func counted(writes map[string]int) interceptor.Funcs {
	var mu sync.Mutex
	return interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			mu.Lock()
			writes[fmt.Sprintf("%T", obj)]++
			mu.Unlock()
			return c.Patch(ctx, obj, patch, opts...)
		},
	}
}

func TestWhatIsThereIsNotWrittenAgain(t *testing.T) {
	writes := map[string]int{}
	r, _ := newGate(t, serial(counted(writes)), all(optedIn(), cart(managed, 0, 1), delivered(1, 12, true), podOf(12))...)
	for range 3 {
		reconciled(t, r)
	}
	if diff := cmp.Diff(map[string]int{"*v1.Namespace": 1, "*v1.Pod": 1}, writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// serial is a cache that never catches up with pods: it shows them as they were.
func serial(funcs interceptor.Funcs) interceptor.Funcs {
	var pods *corev1.PodList
	funcs.List = func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		err := c.List(ctx, list, opts...)
		if l, ok := list.(*corev1.PodList); ok && err == nil {
			if pods == nil {
				pods = l.DeepCopy()
			}
			pods.DeepCopyInto(l)
		}
		return err
	}
	return funcs
}

func TestAPodThatCannotBeOpenedDoesNotHoldTheOthers(t *testing.T) {
	broken := errors.New("broken")
	for name, fails := range map[string]error{
		"Broken":   broken,
		"Gone":     apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "x"),
		"Replaced": apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, "x", errors.New("another uid")),
	} {
		t.Run(name, func(t *testing.T) {
			second := podOf(12)
			second.Name, second.UID = "stuck", "stuck"
			r, api := newGate(t, interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
				if obj.GetName() == "stuck" {
					return fails
				}
				return c.Patch(ctx, obj, patch, opts...)
			}}, all(optedIn(), cart(managed, 0, 1), delivered(1, 12, true), podOf(12), second)...)
			_, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: namespace}})
			if got := errors.Is(err, broken); got != (name == "Broken") || !got && err != nil {
				t.Errorf("the error is %v", err)
			}
			if diff := cmp.Diff([]string{"pod-of-12"}, seen(t, api).Open); diff != "" {
				t.Errorf("open pods (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAListThatIsFullLosesTheOldest(t *testing.T) {
	all := map[string]time.Time{"b": begin, "a": begin, "c": begin.Add(time.Minute)}
	for limit, want := range map[int]string{7: ",a,b,c,", 6: ",b,c,", 5: ",b,c,", 4: ",c,", 3: ",c,", 2: "", 0: ""} {
		text, dropped := gate.Written(all, limit)
		if text != want || dropped != 3-len(gate.Read(text)) {
			t.Errorf("of %d bytes: %q with %d left out, want %q", limit, text, dropped, want)
		}
	}
}

func TestWhereNothingIsGatedItSaysWhy(t *testing.T) {
	policy := &admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: gate.PolicyName}}
	unserved := interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
		return &apimeta.NoKindMatchError{}
	}}
	cases := map[string]struct {
		reason  string
		funcs   interceptor.Funcs
		objects []client.Object
		want    string
	}{
		"Old":      {"Kubernetes before 1.36 does not serve the kind.", unserved, nil, "from 1.36 on"},
		"Missing":  {"It is not installed.", interceptor.Funcs{}, nil, "config/admission"},
		"Unbound":  {"A policy without a binding does nothing.", interceptor.Funcs{}, []client.Object{policy}, "its binding is missing"},
		"Complete": {"Both are there.", interceptor.Funcs{}, []client.Object{policy, &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: policy.ObjectMeta}}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			api := fake.NewClientBuilder().WithObjects(c.objects...).WithInterceptorFuncs(c.funcs).Build()
			supported, reason := gate.Supported(t.Context(), api)
			if supported != (c.want == "") || !strings.Contains(reason, c.want) {
				t.Errorf("%s: supported %t, %q", c.reason, supported, reason)
			}
			r := gate.New(api, api, clock.RealClock{}, nil)
			if r.Observing() == "" {
				t.Error("it claims to gate before it has looked")
			}
			if r.Look(t.Context(), api); r.Observing() != reason {
				t.Errorf("it says %q", r.Observing())
			}
		})
	}
}

func TestReleasesInQuickSuccessionAreToldOfTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, api := newGate(t, interceptor.Funcs{}, all(optedIn(), cart(managed, 0, 1), delivered(1, 12, true), podOf(12))...)
		reconciled(t, r)
		db := delivered(1, 31, true)
		db.Name, db.Spec.WorkloadName = "shop-db-1", "shop-db"
		if err := errors.Join(api.Create(t.Context(), db), api.Create(t.Context(), podOf(31))); err != nil {
			t.Fatal(err)
		}
		result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: namespace}})
		if err != nil || result.RequeueAfter <= 0 {
			t.Fatalf("result %v, error %v", result, err)
		}
		want := outcome{Released: []string{keyOf(12, "")}, Open: []string{"pod-of-12", "pod-of-31"}}
		if diff := cmp.Diff(want, seen(t, api)); diff != "" {
			t.Errorf("a pod had to wait, or the namespace was written at once (-want +got):\n%s", diff)
		}
		time.Sleep(result.RequeueAfter)
		reconciled(t, r)
		want.Released = append(want.Released, keyOf(31, ""))
		if diff := cmp.Diff(want, seen(t, api)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestARevisionThatIsGoneIsTakenOffTheListAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kwv := delivered(1, 12, true)
		r, api := newGate(t, interceptor.Funcs{}, all(optedIn(), cart(managed, 0, 1), kwv, podOf(12))...)
		reconciled(t, r)
		rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "cart-12"}}
		if err := errors.Join(api.Delete(t.Context(), kwv), api.Delete(t.Context(), rs)); err != nil {
			t.Fatal(err)
		}
		reconciled(t, r)
		if listed := seen(t, api).Released; len(listed) > 0 {
			t.Errorf("still listed: %v", listed)
		}
	})
}

func TestWhereNothingIsGatedNothingIsListedAndGatesStillOpen(t *testing.T) {
	writes := map[string]int{}
	r, api := newGate(t, counted(writes), all(optedIn(), cart(managed, 0, 1), delivered(1, 12, true), podOf(12))...)
	r.Look(t.Context(), fake.NewClientBuilder().Build())
	reconciled(t, r)
	if diff := cmp.Diff(outcome{Open: []string{"pod-of-12"}}, seen(t, api), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if writes["*v1.Namespace"] != 0 {
		t.Error("an annotation was written that nobody reads")
	}
}
