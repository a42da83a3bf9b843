package promoter_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/promoter"
)

// object reads an object of gitops-promoter.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestAStrategyAsksByItsActiveStatusesForItsOwnBranches(t *testing.T) {
	const everywhere = `{spec: {gitRepositoryRef: {name: shop}, activeCommitStatuses: [{key: argocd-health}, {key: keptn-checkout}], environments: [{branch: env/staging}, {branch: env/production}]}}`
	cases := map[string]struct {
		reason, strategy, branch, key string
		want                          bool
	}{
		"Everywhere":  {"What it asks of all environments it asks of each.", everywhere, "env/staging", "keptn-checkout", true},
		"OtherBranch": {"That is no environment of it.", everywhere, "main", "keptn-checkout", false},
		"Proposed":    {"Nothing runs of what is proposed.", everywhere, "env/staging-next", "keptn-checkout", false},
		"OtherKey":    {"It does not wait for this app.", everywhere, "env/staging", "keptn-cart", false},
		"Beginning":   {"A key is more than how it begins.", everywhere, "env/staging", "keptn-check", false},
		"There":       {"An environment asks for itself.", `{spec: {environments: [{branch: a, activeCommitStatuses: [{key: keptn-cart}]}, {branch: b}]}}`, "a", "keptn-cart", true},
		"Elsewhere":   {"And for no other.", `{spec: {environments: [{branch: a, activeCommitStatuses: [{key: keptn-cart}]}, {branch: b}]}}`, "b", "keptn-cart", false},
		"OnProposal":  {"Before a merge nothing runs that could be judged.", `{spec: {proposedCommitStatuses: [{key: keptn-cart}], environments: [{branch: a, proposedCommitStatuses: [{key: keptn-cart}]}]}}`, "a", "keptn-cart", false},
		"Spelling":    {"Labels know no dots, so that gitops-promoter does not tell these apart.", `{spec: {activeCommitStatuses: [{key: keptn-my.cart}], environments: [{branch: a}]}}`, "a", "keptn-my-cart", true},
		"Empty":       {"One that asks nothing is no failure.", `{metadata: {name: x}}`, "", "keptn-cart", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := promoter.Asks(t, object(t, tc.strategy), tc.branch, tc.key); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

func TestARepositoryIsToldByItsOwnerAndName(t *testing.T) {
	const github = `{spec: {scmProviderRef: {kind: ScmProvider, name: acme}, github: {owner: acme, name: shop}}}`
	cases := map[string]struct {
		reason, repository, url string
		want                    bool
	}{
		"HTTPS":      {"With .git.", github, "https://github.com/acme/shop.git", true},
		"Bare":       {"Without.", github, "https://github.com/acme/shop", true},
		"SSH":        {"By another way.", github, "ssh://github.com/acme/shop.git", true},
		"Case":       {"Servers do not tell these apart.", github, "https://github.com/Acme/Shop", true},
		"SubPath":    {"A server need not be at the root.", `{spec: {gitea: {owner: acme, name: shop}}}`, "https://example.com/git/acme/shop.git", true},
		"OtherOwner": {"The end of a name is another name.", github, "https://github.com/bigacme/shop", false},
		"OtherName":  {"So is its beginning.", github, "https://github.com/acme/shopping", false},
		"Short":      {"A file has no owner.", github, "file:///shop", false},
		"GitLab":     {"A group may be in another.", `{spec: {gitlab: {namespace: acme/web, name: shop, projectId: 7}}}`, "https://gitlab.com/acme/web/shop.git", true},
		"GitLabRoot": {"Then both count.", `{spec: {gitlab: {namespace: acme/web, name: shop, projectId: 7}}}`, "https://gitlab.com/web/shop.git", false},
		"Azure":      {"Azure has a word between them.", `{spec: {azureDevOps: {project: web, name: shop}}}`, "https://dev.azure.com/acme/web/_git/shop", true},
		"AzureSSH":   {"And none over SSH.", `{spec: {azureDevOps: {project: web, name: shop}}}`, "ssh://ssh.dev.azure.com/v3/acme/web/shop", true},
		"Reference":  {"The provider's name is not the repository's.", `{spec: {scmProviderRef: {kind: ScmProvider, name: shop}}}`, "https://github.com/acme/shop", false},
		"Unknown":    {"A field that is no server does not matter.", `{spec: {interval: 1m, github: {owner: acme, name: shop}}}`, "https://github.com/acme/shop", true},
		"None":       {"One that is not there is nowhere.", `{}`, "https://github.com/acme/shop", false},
		"NoURL":      {"Nor is a source that was not read.", github, "", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := promoter.IsAt(t, object(t, tc.repository), tc.url); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

func TestALabelIsWrittenAsGitopsPromoterLooksForIt(t *testing.T) {
	for text, want := range map[string]string{
		"environment/staging":                "environment-staging",
		"keptn-checkout":                     "keptn-checkout",
		"keptn__my..app":                     "keptn-my-app",
		"/leading":                           "leading",
		"größe":                              "gr-e",
		"":                                   "",
		"keptn-" + strings.Repeat("a", 63):   strings.Repeat("a", 63),
		"keptn-/" + strings.Repeat("b/", 31): strings.Repeat("b-", 30) + "b",
	} {
		if got := promoter.SafeLabel(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestTheKeyOfAnAppBeginsAsItsContextsDo(t *testing.T) {
	lc := &gitopsv1alpha1.Lifecycle{Spec: gitopsv1alpha1.LifecycleSpec{App: "checkout"}}
	for want, statuses := range map[string]*gitopsv1alpha1.Statuses{"keptn-checkout": nil, "eu-checkout": {ContextPrefix: "eu"}} {
		source := &gitopsv1alpha1.GitSource{Spec: gitopsv1alpha1.GitSourceSpec{Statuses: statuses}}
		if got := promoter.KeyOf(source, lc); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// sha is a commit that is told by one letter.
func sha(letter string) string { return strings.Repeat(letter, 40) }

// checkout is a Lifecycle with its commits, newest first; one with an exclamation mark
// changes no workload.
func checkout(commits ...string) *gitopsv1alpha1.Lifecycle {
	lc := &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "prod-checkout"}}
	lc.Spec.App = "checkout"
	for _, c := range commits {
		letter, quiet := strings.CutSuffix(c, "!")
		lc.Status.Commits = append(lc.Status.Commits, gitopsv1alpha1.AppCommit{SHA: sha(letter), ChangesWorkloads: !quiet})
	}
	return lc
}

// asksForWhatRuns is a Lifecycle whose commit asks for what was there before.
func asksForWhatRuns(lc *gitopsv1alpha1.Lifecycle, letter string) *gitopsv1alpha1.Lifecycle {
	lc.Status.RunsCommit = sha(letter)
	return lc
}

// running is a Lifecycle of which a delivery runs.
func running(lc *gitopsv1alpha1.Lifecycle, letter string) *gitopsv1alpha1.Lifecycle {
	lc.Status.Delivery = &gitopsv1alpha1.DeliveryReference{Namespace: "web", Name: "checkout-" + letter, Commit: sha(letter)}
	return lc
}

// delivery of a commit, the first phases of which are in these states.
func delivery(letter string, minute int, states ...lifecyclev1.KeptnState) lifecyclev1.KeptnAppVersion {
	kav := lifecyclev1.KeptnAppVersion{ObjectMeta: metav1.ObjectMeta{
		Namespace: "web", Name: "checkout-" + letter, CreationTimestamp: metav1.NewTime(time.Date(2026, 11, 23, 12, minute, 0, 0, time.UTC)),
	}}
	kav.Spec.AppName, kav.Spec.Commit = "checkout", &lifecyclev1.Commit{SHA: sha(letter)}
	for i, state := range states {
		kav.Status.Phases = append(kav.Status.Phases, lifecyclev1.PhaseRecord{Name: lifecyclev1.AppPhases()[i], State: state, Message: "m" + string(rune('0'+i))})
	}
	return kav
}

// passed are the states of a delivery whose checks are done, and whose promotion is not.
func passed() []lifecyclev1.KeptnState {
	var states []lifecyclev1.KeptnState
	for range lifecyclev1.AppPhasesUntil(lifecyclev1.StagePostDeployment) {
		states = append(states, lifecyclev1.StateSucceeded)
	}
	return append(states, lifecyclev1.StateProgressing)
}

// last is passed with another last state.
func last(state lifecyclev1.KeptnState) []lifecyclev1.KeptnState {
	states := passed()
	states[len(states)-2] = state
	return states
}

func TestTheNewestCommitOfABranchIsSpokenForByWhatRunsOfIt(t *testing.T) {
	type deliveries = []lifecyclev1.KeptnAppVersion
	const open = "pending: waiting for the rollout"
	a, b := sha("a")[:7], sha("b")[:7]
	cases := map[string]struct {
		reason     string
		lc         *gitopsv1alpha1.Lifecycle
		deliveries deliveries
		tip, want  string
	}{
		"Passed":       {"All checks have; what it is promoted to does not matter.", checkout("a"), deliveries{delivery("a", 1, passed()...)}, "a", "success: "},
		"Warned":       {"A warning is no obstacle.", checkout("a"), deliveries{delivery("a", 1, last(lifecyclev1.StateWarning)...)}, "a", "success: AppPostDeploy"},
		"Failed":       {"It is to go no further.", checkout("a"), deliveries{delivery("a", 1, last(lifecyclev1.StateFailed)...)}, "a", "failure: AppPostDeploy"},
		"Inconclusive": {"What nobody knows is to go no further.", checkout("a"), deliveries{delivery("a", 1, last(lifecyclev1.StateUnknown)...)}, "a", "failure: AppPostDeploy"},
		"Running":      {"It is not done.", checkout("a"), deliveries{delivery("a", 1, lifecyclev1.StateProgressing)}, "a", "pending: AppPreDeployTasks: m0"},
		"NotApplied":   {"What ran before says nothing of it.", running(checkout("b", "a"), "a"), deliveries{delivery("a", 1, passed()...)}, "b", open},
		"NoCommit":     {"Nothing of the app is known.", checkout(), nil, "a", open},
		"OthersCommit": {"The merge at the end of the branch changes other apps, or nothing.", checkout("a"), deliveries{delivery("a", 1, passed()...)}, "f", "success: " + a + ": "},
		"OthersFail":   {"That does not mend what failed.", checkout("a"), deliveries{delivery("a", 1, last(lifecyclev1.StateFailed)...)}, "f", "failure: " + a + ": AppPostDeploy"},
		"Quiet":        {"It leaves the workloads as they are.", checkout("c!", "b!", "a"), deliveries{delivery("a", 1, passed()...)}, "c", "success: " + a + ": "},
		"QuietOpen":    {"Those are not rolled out.", running(checkout("c!", "b", "a"), "a"), deliveries{delivery("a", 1, passed()...)}, "c", open},
		"QuietLong":    {"What runs is of a commit that is not listed any more.", running(checkout("c!", "b!"), "a"), deliveries{delivery("a", 1, passed()...)}, "c", "success: " + a + ": "},
		"Unrecorded":   {"What runs was not recorded.", running(checkout("c!"), "a"), nil, "c", open},
		"Reverted":     {"The commit was never rolled out, and the next one took it back.", asksForWhatRuns(running(checkout("c", "b", "a"), "a"), "c"), deliveries{delivery("a", 1, passed()...)}, "c", "success: " + a + ": "},
		"AsksForOther": {"That of the commit before does not count.", asksForWhatRuns(running(checkout("c", "a"), "a"), "a"), deliveries{delivery("a", 1, passed()...)}, "c", open},
		"Again":        {"Of two deliveries of one commit the newer counts.", checkout("b"), deliveries{delivery("b", 2, last(lifecyclev1.StateFailed)...), delivery("b", 1, passed()...)}, "b", "failure: AppPostDeploy"},
		"Newest":       {"Of two commits the newer counts.", checkout("b", "a"), deliveries{delivery("a", 3, passed()...), delivery("b", 2, lifecyclev1.StateProgressing)}, "f", "pending: " + b + ": AppPreDeployTasks: m0"},
	}
	strategy := object(t, `{metadata: {name: shop}, spec: {gitRepositoryRef: {name: shop}}}`)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := (&promoter.Reconciler{}).CommitStatus(t, strategy, "env/staging", "keptn-checkout", tc.lc, tc.deliveries, sha(tc.tip))
			spec := got.Object["spec"].(map[string]any)
			if said := spec["phase"].(string) + ": " + spec["description"].(string); !strings.HasPrefix(said, tc.want) {
				t.Errorf("%s\ngot  %s\nwant %s…", tc.reason, said, tc.want)
			}
			if spec["sha"] != sha(tc.tip) {
				t.Errorf("it is at %s, where gitops-promoter does not look", spec["sha"])
			}
		})
	}
}

func TestACommitStatusIsWholeAndInOneLine(t *testing.T) {
	kav := delivery("a", 1, lifecyclev1.StateFailed)
	kav.Status.Phases[0].Message = "first\nsecond " + strings.Repeat("ü", 300)
	r := &promoter.Reconciler{Details: func(kav *lifecyclev1.KeptnAppVersion) string { return "https://keptn.example.com/" + kav.Name }}
	strategy := object(t, `{metadata: {name: shop, labels: {promoter.argoproj.io/instance-id: blue, team: web}}, spec: {gitRepositoryRef: {name: shop-repository}}}`)
	got := r.CommitStatus(t, strategy, "env/staging", "keptn-checkout", checkout("a"), []lifecyclev1.KeptnAppVersion{kav}, sha("a"))
	line := "AppPreDeployTasks: first second "
	want := object(t, `
apiVersion: promoter.argoproj.io/v1alpha1
kind: CommitStatus
metadata:
  namespace: shop
  name: prod-checkout-keptn
  labels:
    promoter.argoproj.io/commit-status: keptn-checkout
    promoter.argoproj.io/environment: env-staging
    promoter.argoproj.io/lifecycle-commit-status: prod-checkout
    promoter.argoproj.io/instance-id: blue
spec:
  gitRepositoryRef: {name: shop-repository}
  sha: `+sha("a")+`
  name: keptn-checkout/env/staging
  phase: failure
  url: https://keptn.example.com/checkout-a
  description: "`+line+strings.Repeat("ü", 254-len(line))+`…"
`)
	if diff := cmp.Diff(want.Object, got.Object); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
