package app_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/app"
	"github.com/keptn/gitops/controllers/workload"
)

// in are the annotations of a workload of the app shop.
func in(name, version string) keys {
	return keys{"keptn.sh/app": "shop", "keptn.sh/workload": name, "keptn.sh/version": version, "keptn.sh/pre-deployment-tasks": "check"}
}

func (w *world) expect(reason string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.wrote()); diff != "" {
		w.t.Errorf("%s\n(-want +got):\n%s", reason, diff)
	}
}

func TestAnAnnotatedWorkloadIsDeliveredBySixRequests(t *testing.T) {
	w := newWorld(t, &lifecyclev1.KeptnAppContext{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop"},
		Spec:       lifecyclev1.KeptnAppContextSpec{PromotionTasks: []string{"promote"}, Metadata: keys{"stage": "dev"}},
	})
	w.deploy("cart", 1, "cart-a", in("cart", "1.0"))
	w.discover("cart")
	w.record()
	if wait := w.gather("shop"); wait != app.DefaultQuiet {
		t.Errorf("an app that is named waits %v, want %v", wait, app.DefaultQuiet)
	}
	w.clock.SetTime(noon.Add(app.DefaultQuiet))
	w.gather("shop")
	w.version()
	w.expect("Each object is created once, and its status written once.",
		"create KeptnWorkload shop-cart", "create KeptnWorkloadVersion shop-cart-1.0", "status KeptnWorkload shop-cart",
		"create KeptnApp shop", "create KeptnAppVersion shop-1.0-6b86b273", "status KeptnApp shop")
	w.discover("cart")
	w.record()
	w.gather("shop")
	w.version()
	w.expect("A second look finds it all there.")

	kw := get(w, "shop-cart", &lifecyclev1.KeptnWorkload{})
	wantRef := lifecyclev1.ResourceReference{UID: "uid-cart-a", Kind: "ReplicaSet", Name: "cart-a"}
	if kw.Spec.ResourceReference != wantRef {
		t.Errorf("its pods are those of %+v, want %+v", kw.Spec.ResourceReference, wantRef)
	}
	if diff := cmp.Diff([]metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "cart", UID: kw.OwnerReferences[0].UID}}, kw.OwnerReferences); diff != "" {
		t.Errorf("it goes with its Deployment (-want +got):\n%s", diff)
	}
	kwv := get(w, "shop-cart-1.0", &lifecyclev1.KeptnWorkloadVersion{})
	if want := (lifecyclev1.KeptnWorkloadVersionSpec{KeptnWorkloadSpec: kw.Spec, WorkloadName: "shop-cart", WorkloadGeneration: 1}); !cmp.Equal(kwv.Spec, want) {
		t.Errorf("its record is not a copy (-want +got):\n%s", cmp.Diff(want, kwv.Spec))
	}
	kav := get(w, "shop-1.0-6b86b273", &lifecyclev1.KeptnAppVersion{})
	want := lifecyclev1.KeptnAppVersionSpec{
		AppName: "shop", Version: "1.0", Workloads: []lifecyclev1.KeptnWorkloadRef{{Name: "cart", Version: "1.0"}}, AppGeneration: 1,
		KeptnAppContextSpec: lifecyclev1.KeptnAppContextSpec{PromotionTasks: []string{"promote"}, Metadata: keys{"stage": "dev"}},
	}
	if diff := cmp.Diff(want, kav.Spec); diff != "" {
		t.Errorf("the app's record (-want +got):\n%s", diff)
	}
	if !metav1.IsControlledBy(kav, get(w, "shop", &lifecyclev1.KeptnApp{})) || !metav1.IsControlledBy(kwv, kw) {
		t.Error("the records do not go with what they are records of")
	}
}

func TestEachRevisionIsRecordedAlsoWhereItWasThereBefore(t *testing.T) {
	w := newWorld(t)
	step := func(reason string, revision int, set string, template keys, want ...string) {
		t.Helper()
		w.deploy("cart", revision, set, template)
		w.discover("cart")
		w.record()
		w.expect(reason, want...)
	}
	spare := func(generation string) string {
		return "create KeptnWorkloadVersion shop-cart-1-" + workload.Digest(8, string(get(w, "shop-cart", &lifecyclev1.KeptnWorkload{}).UID), generation)
	}
	step("The first one.", 1, "cart-a", in("cart", "1"), "create KeptnWorkload shop-cart", "create KeptnWorkloadVersion shop-cart-1", "status KeptnWorkload shop-cart")
	step("A new version.", 2, "cart-b", in("cart", "2"), "patch KeptnWorkload shop-cart", "create KeptnWorkloadVersion shop-cart-2", "status KeptnWorkload shop-cart")
	if got := get(w, "shop-cart-2", &lifecyclev1.KeptnWorkloadVersion{}).Spec.PreviousVersion; got != "1" {
		t.Errorf("the version before is %q", got)
	}
	step("A rollback runs its checks again.", 3, "cart-a", in("cart", "1"), "patch KeptnWorkload shop-cart", "create KeptnWorkloadVersion shop-cart-1", spare("3"), "status KeptnWorkload shop-cart")
	step("So does another template of the same version.", 4, "cart-c", in("cart", "1"), "patch KeptnWorkload shop-cart", "create KeptnWorkloadVersion shop-cart-1", spare("4"))
	other := in("cart", "1")
	other["keptn.sh/pre-deployment-tasks"] = ""
	step("Other checks alone begin nothing.", 4, "cart-c", other, "patch KeptnWorkload shop-cart")
	if got := get(w, "shop-cart", &lifecyclev1.KeptnWorkload{}).Spec.PreDeploymentTasks; len(got) > 0 {
		t.Errorf("the checks that were taken away are still there: %v", got)
	}
}

func TestTwoWorkloadsOfOneNameHaveARecordEach(t *testing.T) {
	w := newWorld(t)
	w.deploy("cart", 1, "cart-a", in("cart", "1"))
	w.deploy("cart-canary", 1, "canary-a", in("cart", "2"))
	second := "shop-cart-" + workload.Digest(8, "Deployment", "cart-canary")
	w.discover("cart", "cart-canary")
	w.expect("The second one's name says whose it is.", "create KeptnWorkload shop-cart", "create KeptnWorkload "+second)
	w.discover("cart", "cart-canary", "cart")
	w.expect("Neither takes the other's.")

	if err := w.Delete(t.Context(), deployment("cart", 1, nil)); err != nil {
		t.Fatal(err)
	}
	w.wrote()
	w.deploy("cart-canary", 2, "canary-b", in("cart", "3"))
	w.discover("cart-canary")
	w.expect("It keeps its own.", "patch KeptnWorkload "+second)
	w.deploy("cart-next", 1, "next-a", in("cart", "4"))
	w.discover("cart-next")
	w.expect("What nobody has any more is taken.", "patch KeptnWorkload shop-cart")
}

func TestWhatIsNotManagedAnyMoreIsDropped(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*world)
		want   []string
	}{
		"Annotations": {"The annotations are gone.", func(w *world) { w.deploy("cart", 2, "cart-b", nil) }, []string{"delete KeptnWorkload shop-cart"}},
		"Renamed":     {"It has another name.", func(w *world) { w.deploy("cart", 2, "cart-b", in("basket", "1")) }, []string{"create KeptnWorkload shop-basket", "delete KeptnWorkload shop-cart"}},
		"Governed":    {"It is governed from Git.", func(w *world) { w.governed = true }, []string{"delete KeptnWorkload shop-cart"}},
		"OptedOut": {"The namespace is left alone, with all that is in it.", func(w *world) {
			w.put(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: keys{lifecyclev1.NamespaceEnabledAnnotation: "Enabled"}}})
			w.deploy("cart", 2, "cart-b", in("cart", "2"))
		}, nil},
		"Behind": {"Its newest revision is not known yet.", func(w *world) { w.put(deployment("cart", 2, in("cart", "2"))) }, nil},
		"Gone": {"It is gone, and its KeptnWorkload with it.", func(w *world) {
			if err := w.Delete(w.t.Context(), deployment("cart", 1, nil)); err != nil {
				w.t.Fatal(err)
			}
			w.wrote()
		}, nil},
		"NotOurs": {"Somebody else's is not touched.", func(w *world) {
			kw := get(w, "shop-cart", &lifecyclev1.KeptnWorkload{})
			kw.Labels = nil
			w.put(kw)
			w.governed = true
		}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.deploy("cart", 1, "cart-a", in("cart", "1"))
			w.discover("cart")
			w.expect("It is discovered first.", "create KeptnWorkload shop-cart")
			tc.change(w)
			w.discover("cart")
			w.expect(tc.reason, tc.want...)
		})
	}
}

func TestAContainerThatIsNotThereIsToldOf(t *testing.T) {
	w := newWorld(t)
	w.deploy("cart", 1, "cart-a", keys{"keptn.sh/workload": "cart", "keptn.sh/container": "web"})
	w.discover("cart")
	w.expect("It is not managed.")
	if told := w.told(); len(told) != 1 || !strings.Contains(told[0], `Warning CreateWorkloadFailed Create Workload: could not create KeptnWorkload: the annotation keptn.sh/container names the container "web"`) {
		t.Errorf("it is told %q", told)
	}
}

func TestAnAppOfManyIsWrittenOnceAndShrinksWithItsWorkloads(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c"} {
		w.deploy(name, 1, name+"-1", in(name, "1"))
		w.discover(name)
		w.record()
		if wait := w.gather("shop"); wait <= 0 {
			t.Errorf("with %s the app waits %v", name, wait)
		}
		w.clock.SetTime(w.clock.Now().Add(time.Second))
	}
	w.clock.SetTime(w.clock.Now().Add(time.Second))
	w.wrote()
	w.gather("shop")
	w.version()
	version := workload.Digest(10, "shop-a-1shop-b-1shop-c-1")
	w.expect("It is one delivery.", "create KeptnApp shop", "create KeptnAppVersion shop-"+version+"-6b86b273", "status KeptnApp shop")
	for _, name := range []string{"a", "b"} {
		if err := w.Delete(t.Context(), get(w, "shop-"+name, &lifecyclev1.KeptnWorkload{})); err != nil {
			t.Fatal(err)
		}
	}
	w.wrote()
	w.gather("shop")
	w.version()
	w.expect("Two went.", "patch KeptnApp shop", "create KeptnAppVersion shop-1-d4735e3a", "status KeptnApp shop")
	if got := get(w, "shop-1-d4735e3a", &lifecyclev1.KeptnAppVersion{}).Spec.PreviousVersion; got != version {
		t.Errorf("the version before is %q, want %q", got, version)
	}
	if err := w.Delete(t.Context(), get(w, "shop-c", &lifecyclev1.KeptnWorkload{})); err != nil {
		t.Fatal(err)
	}
	w.wrote()
	w.gather("shop")
	w.expect("The last one went.", "delete KeptnApp shop")
}

func TestAnAppOfPeopleIsTheirs(t *testing.T) {
	theirs := &lifecyclev1.KeptnApp{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop", UID: "theirs", Generation: 3},
		Spec:       lifecyclev1.KeptnAppSpec{Version: "7", Revision: 2, Workloads: []lifecyclev1.KeptnAppWorkload{{Name: "cart", Version: "0"}}},
	}
	w := newWorld(t, theirs)
	w.deploy("cart", 1, "cart-a", in("cart", "1"))
	w.discover("cart")
	w.record()
	w.wrote()
	w.clock.SetTime(noon.Add(time.Hour))
	w.gather("shop")
	w.expect("Nothing is discovered.")
	w.version()
	w.expect("It is delivered as it is.", "create KeptnAppVersion shop-7-4e074085", "status KeptnApp shop")
	if kav := get(w, "shop-7-4e074085", &lifecyclev1.KeptnAppVersion{}); kav.Spec.Revision != 2 || kav.Spec.AppGeneration != 3 {
		t.Errorf("the record is of revision %d, generation %d", kav.Spec.Revision, kav.Spec.AppGeneration)
	}
}

func TestARecordOfAnotherOfTheNameIsNotTakenForOnesOwn(t *testing.T) {
	foreign := &lifecyclev1.KeptnAppVersion{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop-7-6b86b273"},
		Spec:       lifecyclev1.KeptnAppVersionSpec{AppName: "shop", Version: "7", AppGeneration: 1},
	}
	own := &lifecyclev1.KeptnApp{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop", UID: "new", Generation: 1}, Spec: lifecyclev1.KeptnAppSpec{Version: "7"}}
	w := newWorld(t, foreign, own)
	w.version()
	w.expect("An app that was deleted left it.", "create KeptnAppVersion shop-7-6b86b273",
		"create KeptnAppVersion shop-7-"+workload.Digest(8, "new", "1"), "status KeptnApp shop")
	w.version()
	w.expect("The second look finds it.")
}

func TestOldRecordsAreDeleted(t *testing.T) {
	w := newWorld(t)
	w.deploy("cart", 1, "cart-1", in("cart", "1"))
	for i := 1; i <= 14; i++ {
		w.deploy("cart", i, fmt.Sprintf("cart-%d", i), in("cart", fmt.Sprint(i)))
		w.discover("cart")
		w.record()
		if i == 2 { // this one never ends
			continue
		}
		kwv := get(w, fmt.Sprintf("shop-cart-%d", i), &lifecyclev1.KeptnWorkloadVersion{})
		kwv.Status.Status = lifecyclev1.StateSucceeded
		w.put(kwv)
	}
	w.wrote()
	w.record()
	w.expect("All but the newest ten that have ended.", "delete KeptnWorkloadVersion shop-cart-4")
	names := map[string]bool{}
	for _, kwv := range list(w, &lifecyclev1.KeptnWorkloadVersionList{}, func(l *lifecyclev1.KeptnWorkloadVersionList) []lifecyclev1.KeptnWorkloadVersion { return l.Items }) {
		names[kwv.Name] = true
	}
	if len(names) != 11 || !names["shop-cart-2"] || !names["shop-cart-14"] || names["shop-cart-1"] {
		t.Errorf("left are %v", names)
	}
}

func TestWhatTheAPIServerRefusesIsNotTriedInALoop(t *testing.T) {
	group := schema.GroupResource{Group: "lifecycle.keptn.sh", Resource: "keptnworkloads"}
	going := apierrors.NewForbidden(group, "x", errors.New("going"))
	going.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	cases := map[string]struct {
		reason   string
		refusal  error
		result   reconcile.Result
		terminal bool
		err      bool
		told     int
	}{
		"Terminating": {"In a namespace that is going nothing is left to do.", going, reconcile.Result{}, false, false, 0},
		"Invalid":     {"It is refused until somebody changes it.", apierrors.NewInvalid(schema.GroupKind{}, "x", nil), reconcile.Result{}, true, true, 1},
		"There":       {"The cache will tell in a moment.", apierrors.NewAlreadyExists(group, "x"), reconcile.Result{RequeueAfter: 20 * time.Millisecond}, false, false, 0},
		"Forbidden":   {"Somebody may mend it: it is tried again, ever more slowly.", apierrors.NewForbidden(group, "x", errors.New("no right")), reconcile.Result{}, false, true, 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.deploy("cart", 1, "cart-a", in("cart", "1"))
			w.refuse = func(string, client.Object) error { return tc.refusal }
			r := &app.Workloads{Client: w, Events: w.events}
			got, err := r.Reconcile(t.Context(), app.Key{Kind: "Deployment", Namespace: "shop", Name: "cart"})
			if got != tc.result || (err != nil) != tc.err || errors.Is(err, reconcile.TerminalError(nil)) != tc.terminal {
				t.Errorf("%s\ngot %+v, %v", tc.reason, got, err)
			}
			told := w.told()
			if len(told) != tc.told || tc.told > 0 && !strings.HasPrefix(told[0], "Warning CreateWorkloadFailed Create Workload: could not create KeptnWorkload: ") {
				t.Errorf("%s\ntold %q", tc.reason, told)
			}
		})
	}
}

func TestAReplicaSetIsAWorkloadOnlyByItself(t *testing.T) {
	w := newWorld(t)
	d := deployment("cart", 1, in("cart", "1"))
	owned := replicaSet(d, "cart-a", 1)
	owned.Spec.Template = d.Spec.Template
	bare := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "bare", UID: "uid-bare"}, Spec: appsv1.ReplicaSetSpec{Template: d.Spec.Template}}
	w.put(owned)
	w.put(bare)
	r := &app.Workloads{Client: w, Events: w.events}
	for _, name := range []string{"cart-a", "bare"} {
		if _, err := r.Reconcile(t.Context(), app.Key{Kind: "ReplicaSet", Namespace: "shop", Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	w.expect("One of a Deployment is its revision.", "create KeptnWorkload shop-cart")
	if got := get(w, "shop-cart", &lifecyclev1.KeptnWorkload{}).Spec.ResourceReference.Name; got != "bare" {
		t.Errorf("it is of %s", got)
	}
}
