package app_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/app"
)

var noon = time.Date(2026, 5, 5, 12, 0, 0, 0, time.UTC)

// keptnWorkload is a workload of the app shop.
func keptnWorkload(name, version, appType string) lifecyclev1.KeptnWorkload {
	return lifecyclev1.KeptnWorkload{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Annotations: keys{lifecyclev1.AppTypeAnnotation: appType}},
		Spec: lifecyclev1.KeptnWorkloadSpec{
			AppName: "shop", Version: version,
			ResourceReference: lifecyclev1.ResourceReference{UID: types.UID(name + version), Kind: "ReplicaSet", Name: name},
		},
	}
}

// recordOf is the record of a workload, so many seconds after noon.
func recordOf(kw lifecyclev1.KeptnWorkload, second int) lifecyclev1.KeptnWorkloadVersion {
	return lifecyclev1.KeptnWorkloadVersion{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(noon.Add(time.Duration(second) * time.Second))},
		Spec:       lifecyclev1.KeptnWorkloadVersionSpec{KeptnWorkloadSpec: kw.Spec, WorkloadName: kw.Name, WorkloadGeneration: 1},
	}
}

// discovered is an app that was made from annotations.
func discovered(refs ...lifecyclev1.KeptnAppWorkload) *lifecyclev1.KeptnApp {
	return &lifecyclev1.KeptnApp{
		ObjectMeta: metav1.ObjectMeta{
			Labels:      keys{lifecyclev1.K8sRecommendedManagedByAnnotation: "keptn"},
			Annotations: keys{lifecyclev1.AppTypeAnnotation: lifecyclev1.MultiService},
		},
		Spec: lifecyclev1.KeptnAppSpec{Version: "any", Workloads: refs},
	}
}

func ref(name, version string) lifecyclev1.KeptnAppWorkload {
	return lifecyclev1.KeptnAppWorkload{Name: name, Version: version}
}

func TestAnAppIsWrittenOnceItIsQuietAndOnlyIfItChanged(t *testing.T) {
	type (
		workloads = []lifecyclev1.KeptnWorkload
		records   = []lifecyclev1.KeptnWorkloadVersion
		refs      = []lifecyclev1.KeptnAppWorkload
	)
	const multi, single = lifecyclev1.MultiService, lifecyclev1.SingleService
	cart, pay, alone := keptnWorkload("shop-cart", "1", multi), keptnWorkload("shop-pay", "2", multi), keptnWorkload("shop-shop", "1", single)
	cart2 := keptnWorkload("shop-cart", "2", multi)
	both := app.AppVersion(workloads{cart, pay})
	going := discovered(ref("cart", "1"))
	going.DeletionTimestamp = &metav1.Time{Time: noon}
	unmarked := discovered(ref("cart", "1"))
	unmarked.Annotations = nil
	rolledBack := recordOf(cart, 9)
	rolledBack.Spec.WorkloadGeneration = 3
	at := func(second float64) time.Time { return noon.Add(time.Duration(second * float64(time.Second))) }
	cases := map[string]struct {
		reason    string
		app       *lifecyclev1.KeptnApp
		workloads workloads
		records   records
		now       time.Time
		want      app.Plan
	}{
		"Single":       {"An app of one workload is complete at once.", nil, workloads{alone}, records{recordOf(alone, 0)}, at(0), app.Plan{Write: true, Single: true, Version: "1", Workloads: refs{ref("shop", "1")}}},
		"OneOfMany":    {"More may come of an app that is named.", nil, workloads{cart}, records{recordOf(cart, 0)}, at(0.5), app.Plan{Write: true, Version: "1", Workloads: refs{ref("cart", "1")}, Wait: 1500 * time.Millisecond}},
		"TwoOfOne":     {"Two that name no app, and have one name, are an app of two.", nil, workloads{alone, keptnWorkload("shop-shop-cafe", "1", single)}, records{recordOf(alone, 0), recordOf(keptnWorkload("shop-shop-cafe", "1", single), 0)}, at(0), app.Plan{Write: true, Version: "ba7fe9fa86", Workloads: refs{ref("shop", "1"), ref("shop-cafe", "1")}, Wait: 2 * time.Second}},
		"Quiet":        {"No more have come: all of them, by name.", nil, workloads{pay, cart}, records{recordOf(cart, 0), recordOf(pay, 1)}, at(3), app.Plan{Write: true, Version: both, Workloads: refs{ref("cart", "1"), ref("pay", "2")}}},
		"NotQuiet":     {"The last one came a second ago.", nil, workloads{cart, pay}, records{recordOf(cart, 0), recordOf(pay, 3)}, at(4), app.Plan{Write: true, Version: both, Workloads: refs{ref("cart", "1"), ref("pay", "2")}, Wait: time.Second}},
		"Bound":        {"The first one has waited long enough.", nil, workloads{cart, pay}, records{recordOf(cart, 0), recordOf(pay, 9)}, at(10), app.Plan{Write: true, Version: both, Workloads: refs{ref("cart", "1"), ref("pay", "2")}}},
		"Unrecorded":   {"A workload is not delivered yet; its record will tell.", nil, workloads{cart, pay}, records{recordOf(cart, 0)}, at(9), app.Plan{}},
		"OldRecord":    {"Only its version before is.", discovered(ref("cart", "1")), workloads{cart2}, records{recordOf(cart, 0)}, at(9), app.Plan{}},
		"Unchanged":    {"It lists what there is.", discovered(ref("pay", "2"), ref("cart", "1")), workloads{cart, pay}, records{recordOf(cart, 0), recordOf(pay, 0)}, at(9), app.Plan{}},
		"NewVersion":   {"What is listed already is waited for no more.", discovered(ref("cart", "1"), ref("pay", "2")), workloads{cart2, pay}, records{recordOf(cart, 0), recordOf(cart2, 8), recordOf(pay, 9)}, at(9), app.Plan{Write: true, Version: app.AppVersion(workloads{cart2, pay}), Workloads: refs{ref("cart", "2"), ref("pay", "2")}, Wait: time.Second}},
		"Rollback":     {"It is the newest record of the version that counts.", discovered(ref("cart", "2")), workloads{cart}, records{recordOf(cart, 0), recordOf(cart2, 5), rolledBack}, at(10), app.Plan{Write: true, Version: "1", Workloads: refs{ref("cart", "1")}, Wait: time.Second}},
		"Removed":      {"One went.", discovered(ref("cart", "1"), ref("pay", "2")), workloads{cart}, records{recordOf(cart, 0)}, at(9), app.Plan{Write: true, Version: "1", Workloads: refs{ref("cart", "1")}}},
		"LastRemoved":  {"All went.", discovered(ref("cart", "1")), nil, nil, at(9), app.Plan{Drop: true}},
		"NotOurs":      {"Only what carries our mark is deleted.", unmarked, nil, nil, at(9), app.Plan{}},
		"NeverThere":   {"There is nothing, and nothing to do.", nil, nil, nil, at(9), app.Plan{}},
		"Theirs":       {"An app of people's is theirs.", &lifecyclev1.KeptnApp{Spec: lifecyclev1.KeptnAppSpec{Version: "x"}}, workloads{cart}, records{recordOf(cart, 0)}, at(9), app.Plan{}},
		"Going":        {"It will be made anew when it is gone.", going, workloads{cart2}, records{recordOf(cart2, 0)}, at(9), app.Plan{}},
		"NoVersion":    {"A workload without a version is not listed.", nil, workloads{cart, keptnWorkload("shop-x", "", multi)}, records{recordOf(cart, 0)}, at(9), app.Plan{Write: true, Version: "1", Workloads: refs{ref("cart", "1")}}},
		"NoVersions":   {"An app of none is not made, and not deleted.", discovered(ref("cart", "1")), workloads{keptnWorkload("shop-x", "", multi)}, nil, at(9), app.Plan{}},
		"ClockBehind":  {"Times ahead of the clock are waited for.", nil, workloads{cart}, records{recordOf(cart, 3)}, at(0), app.Plan{Write: true, Version: "1", Workloads: refs{ref("cart", "1")}, Wait: 5 * time.Second}},
		"SameRevision": {"A revision of the same version says nothing new.", discovered(ref("cart", "1")), workloads{cart}, records{recordOf(cart, 9)}, at(9), app.Plan{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := app.Decide(tc.app, tc.workloads, tc.records, 2*time.Second, 10*time.Second, tc.now)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTheVersionOfAnAppIsKeptns(t *testing.T) {
	var podtato []lifecyclev1.KeptnWorkload
	for _, name := range []string{"entry", "hat", "left-arm", "left-leg", "right-arm", "right-leg"} {
		podtato = append(podtato, keptnWorkload("podtato-head-podtato-head-"+name, "0.1.0", lifecyclev1.MultiService))
	}
	if got, want := app.AppVersion(podtato), "95a0b0ddca"; got != want {
		t.Errorf("of the app of Keptn's tests it is %s, want %s", got, want)
	}
	if got, want := app.AppVersion(podtato[:1]), "0.1.0"; got != want {
		t.Errorf("of one workload it is %s, want %s", got, want)
	}
}
