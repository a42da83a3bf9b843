package lifecycle

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitsource/manifest"
)

// installedAs is a live Deployment in the namespace shop with a template, which a
// HelmRelease there has installed; none where that is empty.
func installedAs(name, release, template string) *workload.Workload {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
	if release != "" {
		d.Labels = map[string]string{"helm.toolkit.fluxcd.io/name": release, "helm.toolkit.fluxcd.io/namespace": "shop"}
	}
	return &workload.Workload{Kind: workload.Deployment, Namespace: "shop", Name: name, TemplateHash: template, Object: d}
}

// releasing is the scope of an app in the namespace shop that renders to the releases cart
// and, in another namespace, web, and to the Deployment api.
func releasing(live ...*workload.Workload) *scope {
	s := &scope{lc: &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}}, live: live}
	s.app = &repository.App{Rendered: &manifest.Rendered{
		Workloads: []manifest.Workload{{Kind: workload.Deployment, Name: "api", Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{NodeName: "a"}}}},
		Releases:  []manifest.Release{{Name: "cart", Digest: "1"}, {Namespace: "web", Name: "web", Digest: "1"}},
	}}
	s.observeReleases()
	for _, w := range live {
		s.lc.Status.Workloads = append(s.lc.Status.Workloads, gitopsv1alpha1.WorkloadStatus{Kind: w.Kind, Namespace: w.Namespace, Name: w.Name})
	}
	return s
}

// lists is a delivery of a commit that lists Deployments of shop with their templates.
func lists(commit string, templates map[string]string) lifecyclev1.KeptnAppVersion {
	kav := lifecyclev1.KeptnAppVersion{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}}
	kav.Spec.Commit = &lifecyclev1.Commit{SHA: commit}
	kav.Spec.RolloutStartedAt = phase.Time(noon)
	for name, template := range templates {
		kav.Spec.Workloads = append(kav.Spec.Workloads, lifecyclev1.KeptnWorkloadRef{Kind: workload.Deployment, Name: name, TemplateHash: template})
	}
	return kav
}

func TestAWorkloadIsOfTheReleaseThatItNames(t *testing.T) {
	cases := map[string]struct {
		reason     string
		w          *workload.Workload
		unreadable bool
		want       bool
	}{
		"Named":      {"What is rendered without a namespace is in that of the Lifecycle.", installedAs("a", "cart", ""), false, true},
		"Elsewhere":  {"A release of another namespace is another one.", installedAs("a", "web", ""), false, false},
		"Other":      {"A release that the app does not render is none of its business.", installedAs("a", "other", ""), false, false},
		"None":       {"Who names none was not installed.", installedAs("a", "", ""), false, false},
		"Rendered":   {"What the app renders itself is known better.", installedAs("api", "cart", ""), false, false},
		"Unreadable": {"While the app does not render, its releases are those that it had.", installedAs("a", "cart", ""), true, true},
		"Unseen":     {"A workload without an object names none.", &workload.Workload{Kind: workload.Deployment, Namespace: "shop", Name: "a"}, false, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := releasing()
			if tc.unreadable {
				s.app.Rendered, s.app.Problem = &manifest.Rendered{}, "kustomization.yaml:1:1: not valid YAML"
				s.observeReleases()
			}
			if got := s.isInstalled(tc.w); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

func TestACommitLeavesAsItIsWhatItsReleasesReleaseUnchanged(t *testing.T) {
	before := &manifest.Rendered{Releases: []manifest.Release{{Name: "cart", Digest: "1"}, {Name: "web", Digest: "1"}}}
	after := &manifest.Rendered{Releases: []manifest.Release{{Name: "cart", Digest: "1"}, {Name: "web", Digest: "2"}}}
	for release, want := range map[string]bool{"cart": true, "web": false, "gone": false, "": false} {
		if got := sameIn(before, after, installedAs("a", release, ""), "shop"); got != want {
			t.Errorf("release %q: got %t", release, got)
		}
	}
}

func TestARollbackOfAReleaseIsOfTheCommitThatWasDeliveredSo(t *testing.T) {
	s := releasing()
	s.deliveries = []lifecyclev1.KeptnAppVersion{lists("bbb", map[string]string{"a": "2"}), lists("aaa", map[string]string{"a": "1", "api": "1"})}
	cases := map[string]struct {
		reason, commit string
		w              *workload.Workload
		want           bool
	}{
		"Before":   {"It had this template then.", "aaa", installedAs("a", "cart", "1"), true},
		"Since":    {"Meanwhile it had another one.", "bbb", installedAs("a", "cart", "1"), false},
		"New":      {"It was not delivered before.", "aaa", installedAs("b", "cart", "1"), false},
		"Rendered": {"Of what is rendered the commit tells.", "aaa", installedAs("api", "", "1"), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := s.explains(tc.commit, s.app.Rendered, tc.w); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

func TestADeliveryListsWhatItsReleasesHaveInstalled(t *testing.T) {
	live := []*workload.Workload{installedAs("a", "cart", "1"), installedAs("b", "cart", "1"), installedAs("api", "", "1"), installedAs("c", "", "1")}
	s := releasing(live...)
	kav := lists("aaa", map[string]string{"a": "1"})
	addInstalled(&kav, s.deliveredBy(s.app.Rendered, live[:1]))
	addInstalled(&kav, s.deliveredBy(&manifest.Rendered{}, live[:1]))
	if got := namesIn(&kav); !cmp.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %v", got)
	}
	without := lists("aaa", nil)
	addInstalled(&without, s.deliveredBy(&manifest.Rendered{}, live[:1]))
	if got := namesIn(&without); !cmp.Equal(got, []string{"a"}) {
		t.Errorf("of a commit without the release: got %v, want what is tied to it", got)
	}
}

func namesIn(kav *lifecyclev1.KeptnAppVersion) []string {
	var names []string
	for _, ref := range kav.Spec.Workloads {
		names = append(names, ref.Name)
	}
	slices.Sort(names)
	return names
}

func TestWhatAReleaseHasRemovedIsNotWaitedFor(t *testing.T) {
	s := releasing(installedAs("a", "cart", "1"), installedAs("b", "cart", "1"))
	kav := lists("aaa", map[string]string{"a": "1", "b": "", "api": "", "gone": "", "ran": "1"})
	s.removeGone(&kav, s.app.Rendered)
	if got := namesIn(&kav); !cmp.Equal(got, []string{"a", "api", "b", "ran"}) {
		t.Errorf("got %v", got)
	}
	asked := lists("aaa", map[string]string{"gone": ""})
	asked.Spec.RolloutStartedAt = nil
	if s.removeGone(&asked, s.app.Rendered); len(asked.Spec.Workloads) != 1 {
		t.Error("what is only asked for begins with what there was")
	}
}

func TestAWorkloadThatComesLateIsDeliveredByAnotherAttempt(t *testing.T) {
	s := releasing()
	ended, under := lists("aaa", map[string]string{"a": "1"}), lists("aaa", map[string]string{"a": "1"})
	ended.Status.Status = succeeded
	cases := map[string]struct {
		reason string
		kav    *lifecyclev1.KeptnAppVersion
		w      *workload.Workload
		want   bool
	}{
		"Late":     {"The delivery ended without it.", &ended, installedAs("b", "cart", "1"), true},
		"UnderWay": {"It is added to what is under way.", &under, installedAs("b", "cart", "1"), false},
		"Listed":   {"It was delivered.", &ended, installedAs("a", "cart", "1"), false},
		"Strange":  {"What no release has installed is not added.", &ended, installedAs("b", "", "1"), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := s.late(tc.kav, []*workload.Workload{tc.w}); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

func TestAllIsThereOnceEachReleaseHasInstalledSomething(t *testing.T) {
	api, cart := installedAs("api", "", "1"), installedAs("a", "cart", "1")
	web := installedAs("web", "web", "1")
	web.Object.SetLabels(map[string]string{"helm.toolkit.fluxcd.io/name": "web", "helm.toolkit.fluxcd.io/namespace": "web"})
	cases := map[string]struct {
		reason string
		live   []*workload.Workload
		want   bool
	}{
		"All":        {"All that is rendered, and some of each release.", []*workload.Workload{api, cart, web}, true},
		"NoRelease":  {"A release is not installed.", []*workload.Workload{api, cart}, false},
		"NoWorkload": {"A workload is not there.", []*workload.Workload{cart, web}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := releasing(tc.live...).allThere(); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}
