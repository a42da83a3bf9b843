package delivery

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/workload"
)

// ownedBy makes an object's controller one of that UID.
func ownedBy(kind string, uid types.UID) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: "shop", CreationTimestamp: metav1.NewTime(noon),
		OwnerReferences: []metav1.OwnerReference{{Kind: kind, Name: string(uid), UID: uid, Controller: ptr.To(true)}},
	}
}

// appVersion is a delivery of the KeptnApp shop at a version, with its workload cart.
func appVersion(name string, generation int64, version string) *lifecyclev1.KeptnAppVersion {
	kav := &lifecyclev1.KeptnAppVersion{
		ObjectMeta: ownedBy(lifecyclev1.KeptnAppKind, "app"),
		Spec: lifecyclev1.KeptnAppVersionSpec{
			AppName: "shop", Version: version, AppGeneration: generation,
			Workloads: []lifecyclev1.KeptnWorkloadRef{{Name: "cart", Version: version}},
		},
	}
	kav.Name, kav.UID = name, types.UID(name)
	return kav
}

// workloadVersion is a delivery of the KeptnWorkload shop-cart at a version.
func workloadVersion(name string, generation int64, version string) *lifecyclev1.KeptnWorkloadVersion {
	kwv := &lifecyclev1.KeptnWorkloadVersion{
		ObjectMeta: ownedBy("KeptnWorkload", "workload"),
		Spec: lifecyclev1.KeptnWorkloadVersionSpec{
			KeptnWorkloadSpec: lifecyclev1.KeptnWorkloadSpec{AppName: "shop", Version: version},
			WorkloadName:      "shop-cart", WorkloadGeneration: generation,
		},
	}
	kwv.Name, kwv.UID = name, types.UID(name)
	return kwv
}

func TestAWorkloadIsHeldUntilItsAppLetsItGo(t *testing.T) {
	kwv := workloadVersion("shop-cart-2", 2, "2")
	with := func(version string, deploy *lifecyclev1.PhaseRecord, whole lifecyclev1.KeptnState) *lifecyclev1.KeptnAppVersion {
		kav := appVersion("shop-x", 1, version)
		kav.Status.Status = whole
		kav.Status.Phases = []lifecyclev1.PhaseRecord{{Name: lifecyclev1.PhaseAppPreDeployTasks, State: failed, Message: "no luck"}}
		if deploy != nil {
			deploy.Name = lifecyclev1.PhaseAppDeploy
			kav.Status.Phases = append(kav.Status.Phases, *deploy)
		}
		return kav
	}
	begun, never := &lifecyclev1.PhaseRecord{StartTime: phase.Time(noon)}, &lifecyclev1.PhaseRecord{State: deprecated}
	cases := map[string]struct {
		reason string
		newest *lifecyclev1.KeptnAppVersion
		want   condition.Outcome
	}{
		"NoApp":     {"It is not known what is delivered.", nil, condition.Waiting(reasonAppVersionNotFound, "waiting for a KeptnAppVersion of app shop")},
		"Other":     {"The app delivers something else, as before a rollback is known to it.", with("1", begun, succeeded), condition.Waiting(reasonAppVersionNotFound, "waiting for a KeptnAppVersion of app shop that brings version 2: the newest is shop-x")},
		"Checking":  {"The app's own checks come first.", with("2", nil, progressing), condition.Waiting(phase.Waiting, "waiting for the checks before the deployment of shop-x")},
		"Rejected":  {"They failed: nothing starts, and a better delivery is waited for (R41).", with("2", never, failed), condition.Waiting("AppFailed", "the checks before the deployment of shop-x failed: no luck")},
		"Overtaken": {"What was given up has not failed.", with("2", never, deprecated), condition.Waiting(phase.Waiting, "waiting for the checks before the deployment of shop-x")},
		"Released":  {"The app's deployment has begun.", with("2", begun, progressing), condition.Outcome{}},
		"Done":      {"It has begun once, whatever came of it.", with("2", begun, failed), condition.Outcome{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, waits := held(tc.newest, kwv)
			if diff := cmp.Diff(tc.want, got); diff != "" || waits == (tc.want == condition.Outcome{}) {
				t.Errorf("%s\nwaits: %t (-want +got):\n%s", tc.reason, waits, diff)
			}
		})
	}
}

func TestAnAppBringsTheWorkloadsThatItLists(t *testing.T) {
	cases := map[string]struct {
		reason             string
		app, name, version string
		want               bool
	}{
		"Same":         {"It is listed by its name without the app's.", "shop", "cart", "2", true},
		"OtherVersion": {"Another version is not it.", "shop", "cart", "1", false},
		"Other":        {"Another workload is not it.", "shop", "card", "2", false},
		"Prefixed":     {"The app's name is not part of the name.", "shop", "shop-cart", "2", false},
		"Spelled":      {"Names are compared as objects are named.", "Shop", "Cart", "2", true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			kav := appVersion("x", 1, "2")
			kav.Spec.AppName = tc.app
			kav.Spec.Workloads = []lifecyclev1.KeptnWorkloadRef{{Name: "db", Version: "2"}, {Name: tc.name, Version: tc.version}}
			if got := brings(kav, workloadVersion("y", 1, "2")); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

func TestTheNewestDeliveryOfAnApp(t *testing.T) {
	first, second, tenth := appVersion("first", 1, "1"), appVersion("second", 2, "1"), appVersion("tenth", 10, "2")
	recreated := appVersion("recreated", 1, "1")
	recreated.OwnerReferences[0].UID = "another app of that name"
	recreated.CreationTimestamp = metav1.NewTime(noon.Add(time.Minute))
	sameSecond := recreated.DeepCopy()
	sameSecond.CreationTimestamp = first.CreationTimestamp
	type list = []*lifecyclev1.KeptnAppVersion
	cases := map[string]struct {
		reason      string
		all         list
		newest      string
		replacement string // of the first
	}{
		"None":       {"There is none.", nil, "", ""},
		"Counted":    {"Generations are numbers.", list{second, tenth, first}, "tenth", "second"},
		"Recreated":  {"The app was deleted and made anew: what is left of it neither counts nor replaces.", list{recreated, tenth, first}, "recreated", ""},
		"SameSecond": {"Nobody can tell, so the count does.", list{sameSecond, tenth, first}, "tenth", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var all []lifecyclev1.KeptnAppVersion
			for _, kav := range tc.all {
				all = append(all, *kav)
			}
			nameOf := func(kav *lifecyclev1.KeptnAppVersion) string {
				if kav == nil {
					return ""
				}
				return kav.Name
			}
			if got := nameOf(newestOf(all, anyOf)); got != tc.newest {
				t.Errorf("%s\nnewest: got %q, want %q", tc.reason, got, tc.newest)
			}
			if got := nameOf(replacementOf(first, all)); got != tc.replacement {
				t.Errorf("%s\nreplacement: got %q, want %q", tc.reason, got, tc.replacement)
			}
		})
	}
}

func TestARecreatedAppIsNotReplacedByWhatIsLeftOfTheOld(t *testing.T) {
	left, fresh := appVersion("left", 5, "1"), appVersion("fresh", 1, "1")
	fresh.OwnerReferences[0].UID = "the new app"
	if got := replacementOf(fresh, []lifecyclev1.KeptnAppVersion{*left, *fresh}); got != nil {
		t.Errorf("%s takes the place of the first delivery of the new app", got.Name)
	}
}

func TestWhichDeliveryOfAWorkloadCountsForItsApp(t *testing.T) {
	const made = time.Hour // of the app's delivery, after noon
	in := func(name string, generation int64, version string, s lifecyclev1.KeptnState, ended time.Duration) lifecyclev1.KeptnWorkloadVersion {
		kwv := workloadVersion(name, generation, version)
		kwv.Status.Status = s
		if s.Completed() {
			kwv.Status.EndTime = metav1.NewTime(noon.Add(ended))
		}
		return *kwv
	}
	type list = []lifecyclev1.KeptnWorkloadVersion
	cases := map[string]struct {
		reason     string
		all        list
		overtaken  bool
		ours       string
		superseded string
	}{
		"None":        {"It has not come yet.", nil, false, "", ""},
		"UnderWay":    {"It is delivered.", list{in("a", 1, "1", progressing, 0)}, false, "a", ""},
		"Other":       {"Another version runs: that of the app is still to come.", list{in("a", 1, "0", succeeded, 0)}, false, "", ""},
		"Reused":      {"What was delivered before and still runs counts again (R30).", list{in("a", 1, "1", succeeded, 0)}, false, "a", ""},
		"StillFailed": {"Also where it failed (R40).", list{in("a", 1, "1", failed, 0)}, false, "a", ""},
		"Newest":      {"Of two at the version the newer counts.", list{in("b", 2, "1", progressing, 0), in("a", 1, "1", failed, 0)}, false, "b", ""},
		"Rollback": {
			"Before a rollback the version ran, and does not run now: it is to come again.",
			list{in("a", 1, "1", succeeded, 0), in("b", 2, "2", succeeded, time.Minute)}, false, "", "",
		},
		"RollbackOfGivenUp": {
			"A rollback to what was once given up is not given up by that.",
			list{in("a", 1, "1", deprecated, 0), in("b", 2, "2", succeeded, time.Minute)}, false, "", "",
		},
		"RolledBack":   {"The rollback has come.", list{in("a", 1, "1", succeeded, 0), in("b", 2, "2", succeeded, 0), in("c", 3, "1", progressing, 0)}, false, "c", ""},
		"MovedOn":      {"It was delivered, and has moved on since: it counts.", list{in("a", 1, "1", succeeded, made), in("b", 2, "2", progressing, 0)}, true, "a", ""},
		"Overtaken":    {"It was given up under way.", list{in("a", 1, "1", deprecated, made+time.Second), in("b", 2, "2", progressing, 0)}, false, "a", "cart: newer"},
		"GivenUpOnce":  {"It was given up before, and nothing has come since.", list{in("a", 1, "1", deprecated, 0)}, false, "", ""},
		"NeverWillBe":  {"The app moved on before the workload came to the version.", list{in("b", 2, "2", progressing, 0)}, true, "", "the app has a newer delivery, and cart has version 2"},
		"MayStillCome": {"The app has a newer delivery, and nothing else is known.", nil, true, "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			kav := appVersion("x", 1, "1")
			kav.CreationTimestamp = metav1.NewTime(noon.Add(made))
			for i := range tc.all {
				tc.all[i].Status.Phases = []lifecyclev1.PhaseRecord{{State: tc.all[i].Status.Status, Message: "newer"}}
			}
			d := &appDelivery{kav: kav, overtaken: tc.overtaken, parts: []part{partOf(kav, "1", tc.all)}}
			ours := ""
			if d.parts[0].ours != nil {
				ours = d.parts[0].ours.Name
			}
			if ours != tc.ours {
				t.Errorf("%s\ncounts: %q, want %q", tc.reason, ours, tc.ours)
			}
			if got := d.superseded(); got != tc.superseded {
				t.Errorf("%s\nsuperseded: %q, want %q", tc.reason, got, tc.superseded)
			}
		})
	}
}

func TestADeliveryThatWasAskedForIsGivenUpWhereAnotherIsRolledOut(t *testing.T) {
	of := func(version string, made, rolledOut int) *lifecyclev1.KeptnAppVersion {
		kav := &lifecyclev1.KeptnAppVersion{ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: version, CreationTimestamp: *phase.Time(noon.Add(time.Duration(made) * time.Minute)),
		}, Spec: lifecyclev1.KeptnAppVersionSpec{AppName: "cart", Version: version, Lifecycle: &lifecyclev1.LifecycleRef{Namespace: "shop", Name: "cart"}}}
		if rolledOut >= 0 {
			kav.Spec.RolloutStartedAt = phase.Time(noon.Add(time.Duration(rolledOut) * time.Minute))
		}
		return kav
	}
	cases := map[string]struct {
		reason     string
		kav, other *lifecyclev1.KeptnAppVersion
		want       string
	}{
		"Instead":     {"It will not come any more.", of("asked", 1, -1), of("other", 2, 2), "other"},
		"Before":      {"What ran already says nothing of it.", of("asked", 1, -1), of("other", 0, 0), ""},
		"AlsoWaiting": {"Neither has come.", of("asked", 1, -1), of("other", 2, -1), ""},
		"Came":        {"It is rolled out itself.", of("asked", 1, 1), of("other", 2, 2), ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, tc.kav, tc.other)
			got, err := (&AppVersionReconciler{Client: c}).instead(t.Context(), tc.kav)
			if err != nil || got != tc.want {
				t.Errorf("%s\ngot %q, %v, want %q", tc.reason, got, err, tc.want)
			}
		})
	}
}

func TestADeliveryFromGitIsSupersededByAnotherTemplate(t *testing.T) {
	cases := map[string]struct {
		reason         string
		recorded, live string
		gone           bool
		want           string
	}{
		"Same":   {"It carries the template.", "h", "h", false, ""},
		"NotYet": {"It never carried it.", "", "x", false, ""},
		"Other":  {"It lost it.", "h", "x", false, "another pod template took the place of Deployment cart's"},
		"Gone":   {"It may be created again.", "h", "", true, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := &appDelivery{kav: &lifecyclev1.KeptnAppVersion{Spec: lifecyclev1.KeptnAppVersionSpec{
				Lifecycle: &lifecyclev1.LifecycleRef{Name: "shop"},
				Workloads: []lifecyclev1.KeptnWorkloadRef{{Kind: "Deployment", Name: "cart", TemplateHash: tc.recorded}},
			}}, live: []*workload.Workload{{Kind: "Deployment", Name: "cart", TemplateHash: tc.live}}}
			if tc.gone {
				d.live[0] = nil
			}
			if got := d.superseded(); got != tc.want {
				t.Errorf("%s\ngot %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestIndexesFindWhomAnEventConcerns(t *testing.T) {
	kav := appVersion("x", 1, "1")
	kav.Spec.PreDeploymentTasks, kav.Spec.PostDeploymentEvaluations = []string{"a", "b"}, []string{"slo", "a"}
	kav.Spec.PromotionTasks = []string{"tell", ""}
	git := kav.DeepCopy()
	git.Spec.Lifecycle = &lifecyclev1.LifecycleRef{Namespace: "git", Name: "shop"}
	git.Spec.Workloads = []lifecyclev1.KeptnWorkloadRef{{Kind: "Deployment", Name: "cart"}, {Kind: "DaemonSet", Namespace: "other", Name: "agent"}}
	ended := git.DeepCopy()
	ended.Status.Status = succeeded
	kwv := workloadVersion("y", 1, "1")
	kwv.Spec.PreDeploymentEvaluations, kwv.Spec.ResourceReference.UID = []string{"slo"}, "rs"
	endedKWV := kwv.DeepCopy()
	endedKWV.Status.Status = failed
	cases := map[string]struct {
		reason    string
		got, want []string
	}{
		"Lifecycle":       {"It is its Lifecycle's.", lifecycleOf(git), []string{"git/shop"}},
		"NoLifecycle":     {"A KeptnApp's is not.", lifecycleOf(kav), nil},
		"Workloads":       {"Its workloads wake it.", workloadsUnderWay(git), []string{"Deployment/shop/cart", "DaemonSet/other/agent"}},
		"Ended":           {"Once it has ended they do not.", workloadsUnderWay(ended), nil},
		"KeptnApp":        {"A KeptnApp's are woken by their own deliveries.", workloadsUnderWay(kav), nil},
		"Checks":          {"Each name once, those of the promotion too.", checksOfApp(kav), []string{"a", "b", "slo", "tell"}},
		"NoChecks":        {"What has ended waits for no definition.", checksOfApp(ended), nil},
		"WorkloadChecks":  {"A workload has checks too.", checksOfWorkload(kwv), []string{"slo"}},
		"NoMoreChecks":    {"Unless it has ended.", checksOfWorkload(endedKWV), nil},
		"WorkloadName":    {"It is found as the app names it.", workloadNameOf(kwv), []string{workloadNameKey("shop", "cart")}},
		"Resource":        {"What owns its pods wakes it.", resourceOf(kwv), []string{"rs"}},
		"ResourceOfEnded": {"Unless it has ended.", resourceOf(endedKWV), nil},
		"Controller":      {"Its owner finds it.", controllerOf(kwv), []string{"workload"}},
		"NoController":    {"What nobody owns is found by nobody.", controllerOf(&lifecyclev1.KeptnTask{}), nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
	for name, index := range map[string]func() []string{
		"apps": func() []string { return ofApp(checksOfApp)(kwv) }, "workloads": func() []string { return ofWorkload(checksOfWorkload)(kav) },
	} {
		if got := index(); got != nil {
			t.Errorf("an index of %s holds something else: %v", name, got)
		}
	}
}

func TestACheckIsOneObjectHoweverOftenItIsAskedFor(t *testing.T) {
	of := &subject{owner: appVersion("x", 1, "1")}
	key := itemKey{lifecyclev1.PreDeploymentCheckType, lifecyclev1.PhaseAppPreDeployTasks, "migrate", 0}
	// The name is public: tests and people look for it, and what runs has to be found
	// again by the next release.
	const want = "pre-migrate-7866ef5c44"
	if got := key.object(of); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	seen := map[string]string{want: "itself"}
	for what, change := range map[string]func(*itemKey, *subject){
		"another definition": func(k *itemKey, _ *subject) { k.definition = "seed" },
		"another phase":      func(k *itemKey, _ *subject) { k.phase = lifecyclev1.PhaseAppPostDeployTasks },
		"another attempt":    func(k *itemKey, _ *subject) { k.attempt = 1 },
		"another delivery":   func(_ *itemKey, of *subject) { of.owner = appVersion("y", 1, "1") },
	} {
		other, whose := key, *of
		change(&other, &whose)
		name := other.object(&whose)
		if same, known := seen[name]; known {
			t.Errorf("%s has the name of %s: %s", what, same, name)
		}
		seen[name] = what
	}
}
