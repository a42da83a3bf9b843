package evidence_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keptn/gitops/controllers/evidence"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitsource/image"
)

// everything is a world of all appliers.
var everything = []string{"workloads.yaml", "kustomization.yaml", "helmrelease.yaml", "application.yaml", "sources.yaml"}

func TestAWorkloadThatChangedMeanwhileIsPending(t *testing.T) {
	cases := map[string]struct{ reason, patch string }{
		"Generation": {"Another revision was applied since it was seen.", podinfo + "{metadata: {generation: 4}}"},
		"UID":        {"It is another object of the same name.", podinfo + "{metadata: {uid: other}}"},
		"Deleted":    {"It is gone.", podinfo + "null"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := worldOf(t, everything)
			seen := w.workload("default", "podinfo")
			w.patch(tc.patch)
			got, err := evidence.Explain(t.Context(), w, seen)
			if err != nil || len(got[0].Claims) > 0 || len(got[0].Pending) != 1 || !strings.Contains(got[0].Pending[0], "Deployment default/podinfo was changed") {
				t.Errorf("%s\ngot %+v, %v", tc.reason, got, err)
			}
		})
	}
}

func TestWhatWasReadSpeaksOfAllWorkloads(t *testing.T) {
	w := worldOf(t, everything, `Deployment podinfo/podinfo: {metadata: {labels: {kustomize.toolkit.fluxcd.io/name: apps, kustomize.toolkit.fluxcd.io/namespace: flux-system}}}`)
	got, err := evidence.Explain(t.Context(), w, w.workload("default", "podinfo"), w.workload("podinfo", "podinfo"), w.workload("test-lla", "test-lla"))
	if err != nil || len(got) != 3 {
		t.Fatalf("got %+v, %v", got, err)
	}
	for i, by := range []string{"Kustomization", "HelmRelease", "Application"} {
		if len(got[i].Claims) == 0 || !strings.HasPrefix(got[i].Claims[0].By, by) {
			t.Errorf("workload %d: %+v, want it by a %s", i, got[i], by)
		}
	}
	if n := len(slices.DeleteFunc(w.asked, func(kind string) bool { return kind != "Kustomization" })); n != 2 {
		t.Errorf("the Kustomization was read %d times, want one for the workloads, and one for the HelmRelease that was seen after that", n)
	}
}

func TestAHelmReleaseThatChangesMeanwhileIsPending(t *testing.T) {
	w := worldOf(t, everything)
	seen := w.workload("podinfo", "podinfo")
	w.before = func(kind string) {
		if kind == "Kustomization" {
			w.patch(release + "{metadata: {generation: 3}}")
		}
	}
	got, err := evidence.Explain(t.Context(), w, seen, seen)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range got {
		if len(e.Pending) != 1 || !strings.Contains(e.Pending[0], "HelmRelease podinfo/podinfo was changed") {
			t.Errorf("what the Kustomization says may be of the new spec; got %+v", e)
		}
	}
}

func TestAWorkloadThatNamesNobodyCostsNothing(t *testing.T) {
	w := worldOf(t, everything, podinfo+"{metadata: {labels: null}}")
	got, err := evidence.Explain(t.Context(), w, w.workload("default", "podinfo"))
	if err != nil || len(got[0].Claims) > 0 || len(got[0].Pending) > 0 || len(w.asked) > 0 {
		t.Errorf("got %+v, %v after asking for %v", got, err, w.asked)
	}
}

func TestAnAPIServerThatFailsIsNoEvidence(t *testing.T) {
	down := errors.New("connection refused")
	for _, of := range [][2]string{{"default", "podinfo"}, {"podinfo", "podinfo"}, {"test-lla", "test-lla"}} {
		w := worldOf(t, everything)
		w.fails = down
		_, err := evidence.Explain(t.Context(), w, w.workload(of[0], of[1]))
		if !errors.Is(err, down) || !strings.Contains(err.Error(), of[1]) {
			t.Errorf("%v: %v", of, err)
		}
	}
}

func TestAnApplierConcernsItsWorkloads(t *testing.T) {
	w := worldOf(t, everything,
		velero+`{status: {resources: [{group: helm.toolkit.fluxcd.io, version: v2, kind: HelmRelease, namespace: shop, name: cart, status: Synced}]}}`,
		release+`{status: {inventory: {entries: [{id: shop_nested_helm.toolkit.fluxcd.io_HelmRelease, v: v2}]}}}`)
	keys := map[string][]string{}
	for _, u := range w.objects {
		keys[u.GetKind()+" "+u.GetNamespace()+"/"+u.GetName()] = evidence.Concerned(u)
	}
	want := map[string][]string{
		"Kustomization flux-system/apps":  {"Kustomization/flux-system/apps", "HelmRelease/podinfo/podinfo"},
		"HelmRelease podinfo/podinfo":     {"HelmRelease/podinfo/podinfo", "HelmRelease/shop/nested"},
		"Application argo-cd/velero-test": {"Application/argo-cd/velero-test", "Application//velero-test", "HelmRelease/shop/cart"},
	}
	for of, expected := range want {
		if diff := cmp.Diff(expected, keys[of]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", of, diff)
		}
	}
}

func TestAWorkloadNamesItsAppliers(t *testing.T) {
	cases := map[string]struct {
		reason string
		kind   string
		of     metav1.ObjectMeta
		want   []string
	}{
		"Flux": {
			"Labels name both of Flux' appliers.", workload.Deployment,
			metav1.ObjectMeta{Labels: map[string]string{
				"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
				"helm.toolkit.fluxcd.io/name": "cart", "helm.toolkit.fluxcd.io/namespace": "shop",
			}},
			[]string{"Kustomization/flux-system/apps", "HelmRelease/shop/cart"},
		},
		"HalfALabel":    {"A name without a namespace names nothing.", workload.Deployment, metav1.ObjectMeta{Labels: map[string]string{"kustomize.toolkit.fluxcd.io/name": "apps"}}, nil},
		"Argo":          {"The Application is in Argo CD's namespace.", workload.Deployment, metav1.ObjectMeta{Namespace: "shop", Name: "cart", Annotations: map[string]string{"argocd.argoproj.io/tracking-id": "cart:apps/Deployment:shop/cart"}}, []string{"Application//cart"}},
		"AnyNamespace":  {"Or in its own.", workload.Deployment, metav1.ObjectMeta{Namespace: "shop", Name: "cart", Annotations: map[string]string{"argocd.argoproj.io/tracking-id": "team_cart:apps/Deployment:shop/cart"}}, []string{"Application/team/cart"}},
		"Rollout":       {"A Rollout is of another group.", workload.Rollout, metav1.ObjectMeta{Namespace: "shop", Name: "cart", Annotations: map[string]string{"argocd.argoproj.io/tracking-id": "cart:argoproj.io/Rollout:shop/cart"}}, []string{"Application//cart"}},
		"Copied":        {"A copied annotation is not followed, nor the label beside it.", workload.Deployment, metav1.ObjectMeta{Namespace: "shop", Name: "cart", Labels: map[string]string{"app.kubernetes.io/instance": "cart"}, Annotations: map[string]string{"argocd.argoproj.io/tracking-id": "cart:apps/Deployment:shop/other"}}, nil},
		"Label":         {"Without the annotation the label may be Argo CD's.", workload.Deployment, metav1.ObjectMeta{Labels: map[string]string{"app.kubernetes.io/instance": "cart"}}, []string{"Application//cart"}},
		"NotMarked":     {"Who applies by hand leaves no name.", workload.Deployment, metav1.ObjectMeta{}, nil},
		"NoApplication": {"An annotation may be anything.", workload.Deployment, metav1.ObjectMeta{Namespace: "shop", Name: "cart", Annotations: map[string]string{"argocd.argoproj.io/tracking-id": ":apps/Deployment:shop/cart"}}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, evidence.Appliers(tc.kind, &tc.of)); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAnImageIsAClaim(t *testing.T) {
	cases := map[string]struct {
		reason string
		origin image.Origin
		want   string
	}{
		"Manifest":  {"What the image says of itself.", image.Origin{Commit: newer, Source: fleet, Place: image.InManifest}, ""},
		"Label":     {"A label with its repository.", image.Origin{Commit: newer, Source: fleet, Place: image.InLabel}, ""},
		"BareLabel": {"A label alone may be inherited.", image.Origin{Commit: newer, Place: image.InLabel}, "built upon"},
		"Tag":       {"A tag is not part of the image.", image.Origin{Commit: newer, Place: image.InTag}, "tag"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := evidence.OfImage("shop:1.0", tc.origin)
			if got.Certain() != (tc.want == "") || !strings.Contains(got.Doubt, tc.want) || got.By != "image shop:1.0" || got.Commit != newer || got.Repository != tc.origin.Source {
				t.Errorf("%s\ngot %+v", tc.reason, got)
			}
		})
	}
}

func TestPullSecretsAreThoseOfThePodAndItsAccount(t *testing.T) {
	w := worldOf(t, []string{"pullsecrets.yaml"})
	cases := map[string]struct {
		reason string
		pod    corev1.PodSpec
		want   []string
	}{
		"Default": {"A pod without an account has the default one.", corev1.PodSpec{}, []string{`{"auths":{"a":{}}}`}},
		"Own":     {"The pod's come first; a missing one and one of another type are passed over, and none is read twice.", corev1.PodSpec{ImagePullSecrets: []corev1.LocalObjectReference{{Name: "legacy"}, {Name: "missing"}, {Name: "opaque"}, {Name: "registry"}, {Name: ""}}}, []string{`{"b":{}}`, `{"auths":{"a":{}}}`}},
		"Account": {"Another account has others.", corev1.PodSpec{ServiceAccountName: "builder"}, []string{`{"b":{}}`}},
		"Nobody":  {"An account that is missing has none.", corev1.PodSpec{ServiceAccountName: "nobody"}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			configs, err := evidence.PullSecrets(t.Context(), w, "shop", &tc.pod)
			var got []string
			for _, c := range configs {
				got = append(got, string(c))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%s: %v\n(-want +got):\n%s", tc.reason, err, diff)
			}
		})
	}
	w.fails = errors.New("connection refused")
	if _, err := evidence.PullSecrets(t.Context(), w, "shop", &corev1.PodSpec{}); !errors.Is(err, w.fails) {
		t.Errorf("got %v", err)
	}
}
