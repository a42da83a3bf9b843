package lifecycle

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/gitsource/manifest"
)

// taskOf is a definition of a script.
func taskOf(name, code string) lifecyclev1.KeptnTaskDefinition {
	d := lifecyclev1.KeptnTaskDefinition{ObjectMeta: metav1.ObjectMeta{Name: name}}
	d.Spec.Deno = &lifecyclev1.RuntimeSpec{Inline: lifecyclev1.Inline{Code: code}}
	return d
}

func policyOf(name string) gitopsv1alpha1.SLOPolicy {
	return gitopsv1alpha1.SLOPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func TestARecordHoldsAllThatItsCommitHasChecked(t *testing.T) {
	hour, yes := &metav1.Duration{Duration: time.Hour}, true
	app := &manifest.App{
		File: "shop/lifecycle.yaml",
		Lifecycle: gitopsv1alpha1.Lifecycle{Spec: gitopsv1alpha1.LifecycleSpec{
			PreDeployment: &gitopsv1alpha1.Checks{
				Tasks:    []gitopsv1alpha1.Task{{Name: "migrate", Inline: json.RawMessage(`{}`)}, {Name: "of-the-cluster"}},
				Policies: []string{"budget", "both"},
			},
			PostDeployment: &gitopsv1alpha1.PostDeployment{Soak: hour, Checks: gitopsv1alpha1.Checks{
				Tasks: []gitopsv1alpha1.Task{{Name: "smoke"}}, Policies: []string{"both"},
			}},
			Promotion: &gitopsv1alpha1.Promotion{
				Tasks:       []gitopsv1alpha1.Task{{Name: "tell"}},
				PullRequest: &gitopsv1alpha1.PullRequest{SecretRef: &meta.LocalObjectReference{Name: "next-stage"}},
			},
			CheckTimeout: hour, BlockDeployment: &yes, Metadata: map[string]string{"team": "a"}, Params: map[string]string{"p": "q"},
		}},
		Policies:    []gitopsv1alpha1.SLOPolicy{policyOf("both"), policyOf("budget")},
		Definitions: []lifecyclev1.KeptnTaskDefinition{taskOf("migrate", "x"), taskOf("smoke", "y")},
	}
	var got lifecyclev1.KeptnAppVersionSpec
	if problem := freeze(&got, app, []string{"next-stage"}); problem != "" {
		t.Fatal(problem)
	}
	want := lifecyclev1.KeptnAppVersionSpec{
		Soak: hour, CheckTimeout: hour, BlockDeployment: &yes, Params: map[string]string{"p": "q"},
		Policies: []lifecyclev1.NamedPolicy{{Name: "both", Spec: &gitopsv1alpha1.SLOPolicySpec{}}, {Name: "budget", Spec: &gitopsv1alpha1.SLOPolicySpec{}}},
		TaskDefinitions: []lifecyclev1.NamedTaskDefinition{
			{Name: "migrate", Spec: lifecyclev1.FrozenTaskDefinition{KeptnTaskDefinitionSpec: taskOf("", "x").Spec}},
			{Name: "smoke", Spec: lifecyclev1.FrozenTaskDefinition{KeptnTaskDefinitionSpec: taskOf("", "y").Spec}},
		},
		PullRequest: app.Lifecycle.Spec.Promotion.PullRequest,
	}
	want.PreDeploymentTasks, want.PreDeploymentEvaluations = []string{"migrate", "of-the-cluster"}, []string{"budget", "both"}
	want.PostDeploymentTasks, want.PostDeploymentEvaluations = []string{"smoke"}, []string{"both"}
	want.PromotionTasks, want.Metadata = []string{"tell"}, map[string]string{"team": "a"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.Metadata["team"] = "b"; app.Lifecycle.Spec.Metadata["team"] != "a" {
		t.Error("the record shares memory with what other records are made from")
	}
}

func TestWhatARecordCannotHoldIsAProblem(t *testing.T) {
	large := strings.Repeat("x", maxFrozen/2)
	cases := map[string]struct {
		reason string
		app    manifest.App
		want   string
	}{
		"Small": {"One long script fits.", manifest.App{Definitions: []lifecyclev1.KeptnTaskDefinition{taskOf("a", large)}}, ""},
		"Large": {"Two do not.", manifest.App{Definitions: []lifecyclev1.KeptnTaskDefinition{taskOf("a", large), taskOf("b", large)}},
			"f: its policies and the definitions of its tasks have 513 KiB, and 512 are the limit: have long scripts fetched (httpRef), or put them into an image"},
		"Secret": {"Git may not name any Secret.", manifest.App{Lifecycle: gitopsv1alpha1.Lifecycle{Spec: gitopsv1alpha1.LifecycleSpec{
			Promotion: &gitopsv1alpha1.Promotion{PullRequest: &gitopsv1alpha1.PullRequest{SecretRef: &meta.LocalObjectReference{Name: "other"}}},
		}}}, `f: promotion.pullRequest names the Secret "other", which is not among the allowedSecrets of the GitSource`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var spec lifecyclev1.KeptnAppVersionSpec
			tc.app.File = "f"
			if got := freeze(&spec, &tc.app, []string{"allowed"}); got != tc.want {
				t.Errorf("%s\ngot %q", tc.reason, got)
			}
			if size := sizeOfFrozen(&spec); size > maxFrozen {
				t.Errorf("%s\nthe record holds %d bytes all the same", tc.reason, size)
			}
		})
	}
}

func TestEveryDeliveryHasTheMetadataOfItsCommit(t *testing.T) {
	cases := map[string]struct {
		reason, repository string
		given, want        map[string]string
	}{
		"Added": {"Tasks and traces need it.", "https://acme.example/shop.git", nil,
			map[string]string{"gitCommit": "abc", "gitRepository": "https://acme.example/shop.git", "environment": "production"}},
		"Given": {"What an author says stays.", "https://acme.example/shop.git", map[string]string{"environment": "blue", "team": "a"},
			map[string]string{"gitCommit": "abc", "gitRepository": "https://acme.example/shop.git", "environment": "blue", "team": "a"}},
		"Credentials": {"Tasks are shown no credentials.", "https://ada:secret@acme.example/shop.git", nil,
			map[string]string{"gitCommit": "abc", "gitRepository": "https://acme.example/shop.git", "environment": "production"}},
		"SSH": {"The user of SSH is part of the address, a password is not.", "ssh://git:secret@acme.example/shop.git", nil,
			map[string]string{"gitCommit": "abc", "gitRepository": "ssh://git@acme.example/shop.git", "environment": "production"}},
		"SCP": {"It has no password.", "git@acme.example:shop.git", nil,
			map[string]string{"gitCommit": "abc", "gitRepository": "git@acme.example:shop.git", "environment": "production"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			spec := lifecyclev1.KeptnAppVersionSpec{Environment: "production", Commit: &lifecyclev1.Commit{SHA: "abc", Repository: tc.repository}}
			spec.Metadata = tc.given
			addMetadata(&spec)
			if diff := cmp.Diff(tc.want, spec.Metadata); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestARequestedRolloutBeginsWithItsFirstTemplate(t *testing.T) {
	recorded := metav1.NewTime(noon)
	applied := func(minutes ...int) []lifecyclev1.KeptnWorkloadRef {
		refs := []lifecyclev1.KeptnWorkloadRef{{Name: "not-yet"}}
		for _, m := range minutes {
			then := metav1.NewTime(at(m))
			refs = append(refs, lifecyclev1.KeptnWorkloadRef{AppliedAt: &then})
		}
		return refs
	}
	cases := map[string]struct {
		reason    string
		workloads []lifecyclev1.KeptnWorkloadRef
		by        lifecyclev1.Evidence
		want      int // minutes
		evidence  lifecyclev1.Evidence
	}{
		"None":    {"Nothing was applied.", applied(), lifecyclev1.EvidenceContent, -1, ""},
		"Before":  {"What was there already began nothing.", applied(-9), lifecyclev1.EvidenceContent, -1, ""},
		"First":   {"The first counts.", applied(-9, 7, 3), lifecyclev1.EvidenceContent, 3, lifecyclev1.EvidenceContent},
		"Applied": {"It can be who applied it that tells.", applied(3), lifecyclev1.EvidenceApplier, 3, lifecyclev1.EvidenceApplier},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			spec := lifecyclev1.KeptnAppVersionSpec{Workloads: tc.workloads, Commit: &lifecyclev1.Commit{}}
			begun(&spec, recorded, tc.by)
			if began := spec.RolloutStartedAt; (began == nil) != (tc.want < 0) || began != nil && !began.Time.Equal(at(tc.want)) {
				t.Errorf("%s\nit began at %v", tc.reason, began)
			}
			if spec.Commit.Evidence != tc.evidence {
				t.Errorf("%s\nevidence %q", tc.reason, spec.Commit.Evidence)
			}
		})
	}
}
