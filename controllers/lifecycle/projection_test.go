package lifecycle

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/telemetry"
)

// changing is a commit that changes workloads, and unchanging one that does not.
func changing(sha string) gitopsv1alpha1.AppCommit {
	return gitopsv1alpha1.AppCommit{SHA: sha, SeenAt: metav1.NewTime(noon), ChangesWorkloads: true}
}

func unchanging(sha string) gitopsv1alpha1.AppCommit {
	return gitopsv1alpha1.AppCommit{SHA: sha, SeenAt: metav1.NewTime(noon)}
}

const (
	pending     = lifecyclev1.StatePending
	progressing = lifecyclev1.StateProgressing
	succeeded   = lifecyclev1.StateSucceeded
	warning     = lifecyclev1.StateWarning
	failedState = lifecyclev1.StateFailed
	unknown     = lifecyclev1.StateUnknown
	deprecated  = lifecyclev1.StateDeprecated
)

// checks are what a delivery has checked.
type checks func(*lifecyclev1.KeptnAppVersionSpec)

func before(s *lifecyclev1.KeptnAppVersionSpec) {
	s.PreDeploymentTasks, s.PreDeploymentEvaluations = []string{"t"}, []string{"e"}
}

func after(s *lifecyclev1.KeptnAppVersionSpec) {
	s.Soak, s.PostDeploymentTasks, s.PostDeploymentEvaluations = &metav1.Duration{}, []string{"t"}, []string{"e"}
}

func promoted(s *lifecyclev1.KeptnAppVersionSpec) { s.PullRequest = &gitopsv1alpha1.PullRequest{} }

func unread(s *lifecyclev1.KeptnAppVersionSpec) { s.Problem = "broken" }

// refused is a delivery of whose commit nothing is honoured.
func refused(s *lifecyclev1.KeptnAppVersionSpec) {
	s.Problem, s.PreDeploymentEvaluations = "no signature", []string{signatureCheck}
}

// requested is a delivery that was asked for, and of which nothing was applied.
func requested(s *lifecyclev1.KeptnAppVersionSpec) {
	s.RolloutStartedAt = nil
	s.Workloads = []lifecyclev1.KeptnWorkloadRef{{Name: "unchanged", TemplateHash: "h"}, {Name: "changed"}}
}

// phaseOrder are the phases of a delivery.
var phaseOrder = []lifecyclev1.Phase{
	lifecyclev1.PhaseAppPreDeployTasks, lifecyclev1.PhaseAppPreDeployEvaluations,
	lifecyclev1.PhaseAppDeploy,
	lifecyclev1.PhaseAppSoak, lifecyclev1.PhaseAppPostDeployTasks, lifecyclev1.PhaseAppPostDeployEvaluations,
	lifecyclev1.PhasePromotion,
}

// delivered is a delivery of a commit. The phases up to the last of the given states
// have them, the ones after it are pending; each that has begun has its name as its
// message.
func delivered(sha string, has []checks, states ...lifecyclev1.KeptnState) lifecyclev1.KeptnAppVersion {
	kav := lifecyclev1.KeptnAppVersion{}
	kav.CreationTimestamp = metav1.NewTime(noon.Add(time.Minute))
	kav.Spec.Version, kav.Spec.Commit = gitname.Short(sha), &lifecyclev1.Commit{SHA: sha}
	kav.Spec.RolloutStartedAt = phase.Time(noon)
	for _, add := range has {
		add(&kav.Spec)
	}
	for i, name := range phaseOrder {
		rec := lifecyclev1.PhaseRecord{Name: name, State: pending}
		if i < len(states) {
			rec.State, rec.Message = states[i], string(name)
		}
		switch rec.State {
		case pending:
		case deprecated:
			rec.Reason = phase.Superseded
		default:
			rec.StartTime = phase.Time(noon.Add(2 * time.Minute))
		}
		kav.Status.Phases = append(kav.Status.Phases, rec)
	}
	return kav
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// shownOn are the statuses of commits, by lines.
func shownOn(statuses []forge.Status) []string {
	var lines []string
	for _, s := range statuses {
		lines = append(lines, gitname.Short(s.Commit)+" "+s.Context+" "+string(s.State)+": "+s.Description)
	}
	return lines
}

func TestCommitsShowHowFarTheyHaveCome(t *testing.T) {
	type deliveries = []lifecyclev1.KeptnAppVersion
	commits := []gitopsv1alpha1.AppCommit{changing("ccccccc3"), changing("bbbbbbb2"), changing("aaaaaaa1")}
	cases := map[string]struct {
		reason     string
		commits    []gitopsv1alpha1.AppCommit
		deliveries deliveries
		running    bool
		want       []string
	}{
		"Waiting":   {"Nobody has applied it.", commits[2:], nil, false, []string{"aaaaaaa p/deployment pending: waiting for the rollout"}},
		"Unchanged": {"No rollout is to be expected.", []gitopsv1alpha1.AppCommit{unchanging("bbbbbbb2")}, nil, false, []string{"bbbbbbb p/deployment success: workloads unchanged"}},
		"RollingOut": {"It has begun, and checks will follow.", commits[2:], deliveries{delivered("aaaaaaa1", []checks{after}, succeeded, succeeded, progressing)}, false, []string{
			"aaaaaaa p/deployment pending: rolling out", "aaaaaaa p/post-deployment pending: waiting for the rollout"}},
		"NoChecks": {"Nothing is said of checks where there are none.", commits[2:], deliveries{delivered("aaaaaaa1", nil, succeeded, succeeded, succeeded, succeeded, succeeded, succeeded, succeeded)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy"}},
		"Soaking": {"The soak time is part of the checks.", commits[2:], deliveries{delivered("aaaaaaa1", []checks{after}, succeeded, succeeded, succeeded, progressing)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment pending: AppSoak"}},
		"Passes": {"The verdict is shown.", commits[2:], deliveries{delivered("aaaaaaa1", []checks{after}, succeeded, succeeded, succeeded, succeeded, succeeded, succeeded, succeeded)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment success: AppPostDeployEvaluations"}},
		"Warning": {"A warning has a state of its own.", commits[2:], deliveries{delivered("aaaaaaa1", []checks{after}, succeeded, succeeded, succeeded, succeeded, succeeded, warning, succeeded)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment warning: AppPostDeployEvaluations"}},
		"Failure": {"So has a failure.", commits[2:], deliveries{delivered("aaaaaaa1", []checks{after}, succeeded, succeeded, succeeded, succeeded, succeeded, failedState)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment failure: AppPostDeployEvaluations"}},
		"Inconclusive": {"What could not be judged is an error, not a failure.", commits[2:], deliveries{delivered("aaaaaaa1", []checks{after}, succeeded, succeeded, succeeded, succeeded, succeeded, unknown)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment error: AppPostDeployEvaluations"}},
		"SupersededBeforeStart": {"A commit that was skipped says by which; an older one by the nearest.", commits, deliveries{delivered("ccccccc3", nil, succeeded, succeeded, succeeded, succeeded, succeeded, succeeded, succeeded)}, false, []string{
			"ccccccc p/deployment success: AppDeploy", "bbbbbbb p/deployment success: superseded by ccccccc", "aaaaaaa p/deployment success: superseded by ccccccc"}},
		"SupersededMidway": {"A verdict that was given up says for which.", commits[1:], deliveries{
			delivered("bbbbbbb2", []checks{after}, succeeded, succeeded, progressing), delivered("aaaaaaa1", []checks{after}, succeeded, succeeded, succeeded, succeeded, succeeded, deprecated)}, false, []string{
			"bbbbbbb p/deployment pending: rolling out", "bbbbbbb p/post-deployment pending: waiting for the rollout",
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment error: superseded by bbbbbbb before it was done"}},
		"OvertakenByHand": {"No commit took its place.", commits[2:], deliveries{delivered("aaaaaaa1", []checks{after}, succeeded, succeeded, succeeded, succeeded, succeeded, deprecated)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment error: AppPostDeployEvaluations"}},
		"Reverted": {"What the newest commit asks for runs already, and what came between never will.", commits, deliveries{delivered("aaaaaaa1", nil, succeeded, succeeded, succeeded, succeeded, succeeded, succeeded, succeeded)}, true, []string{
			"ccccccc p/deployment success: workloads unchanged", "bbbbbbb p/deployment success: superseded by ccccccc", "aaaaaaa p/deployment success: AppDeploy"}},
		"Gated": {"Nothing is rolled out while it is checked before.", commits[2:], deliveries{delivered("aaaaaaa1", []checks{before, after, promoted}, progressing)}, false, []string{
			"aaaaaaa p/pre-deployment pending: AppPreDeployTasks", "aaaaaaa p/deployment pending: waiting for pre-deployment",
			"aaaaaaa p/post-deployment pending: waiting for the rollout", "aaaaaaa p/promotion pending: waiting for the checks"}},
		"GatedNotBegun": {"Even before its phases are recorded.", commits[2:], deliveries{delivered("aaaaaaa1", []checks{before})}, false, []string{
			"aaaaaaa p/deployment pending: waiting for pre-deployment"}},
		"SecondGate": {"The first phase that did not pass decides.", commits[2:], deliveries{delivered("aaaaaaa1", []checks{before}, succeeded, progressing)}, false, []string{
			"aaaaaaa p/pre-deployment pending: AppPreDeployEvaluations", "aaaaaaa p/deployment pending: waiting for pre-deployment"}},
		"GateWarned": {"A warning is shown though what follows it passed.", commits[2:], deliveries{delivered("aaaaaaa1", []checks{before}, warning, succeeded, progressing)}, false, []string{
			"aaaaaaa p/pre-deployment warning: AppPreDeployTasks", "aaaaaaa p/deployment pending: rolling out"}},
		"Requested": {"It was checked, and nobody has applied it.", commits[1:], deliveries{delivered("bbbbbbb2", []checks{before, requested}, succeeded, succeeded, progressing)}, false, []string{
			"bbbbbbb p/pre-deployment success: AppPreDeployEvaluations", "bbbbbbb p/deployment pending: waiting for the rollout",
			"aaaaaaa p/deployment pending: waiting for the rollout"}},
		"TasksAfter": {"The gravest of what passed speaks.", commits[2:], deliveries{delivered("aaaaaaa1", []checks{after, promoted}, succeeded, succeeded, succeeded, succeeded, warning, succeeded, failedState)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment warning: AppPostDeployTasks", "aaaaaaa p/promotion failure: PromotionTasks"}},
		"Unread": {"Of what cannot be read, the checks after are known to be missing.", commits[2:], deliveries{delivered("aaaaaaa1", []checks{unread}, succeeded, succeeded, succeeded, succeeded, succeeded, unknown)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment error: AppPostDeployEvaluations"}},
		"UnreadStops": {"Where it stops the delivery, that is shown.", commits[2:], deliveries{delivered("aaaaaaa1", []checks{unread}, unknown)}, false, []string{
			"aaaaaaa p/pre-deployment error: AppPreDeployTasks", "aaaaaaa p/deployment pending: waiting for pre-deployment", "aaaaaaa p/post-deployment pending: waiting for the rollout"}},
		"Unsigned": {"Nothing is honoured of it, whatever it changes, and whatever came after it.", []gitopsv1alpha1.AppCommit{changing("ccccccc3"), {SHA: "bbbbbbb2", Unverified: "no signature"}}, deliveries{delivered("ccccccc3", nil, succeeded, succeeded, succeeded, succeeded, succeeded, succeeded, succeeded)}, false, []string{
			"ccccccc p/deployment success: AppDeploy", "bbbbbbb p/deployment error: no signature"}},
		"UnsignedDelivered": {"A delivery says it itself.", []gitopsv1alpha1.AppCommit{{SHA: "aaaaaaa1", Unverified: "no signature"}}, deliveries{delivered("aaaaaaa1", []checks{refused}, succeeded, unknown)}, false, []string{
			"aaaaaaa p/pre-deployment error: AppPreDeployEvaluations", "aaaaaaa p/deployment pending: waiting for pre-deployment", "aaaaaaa p/post-deployment pending: waiting for the rollout"}},
		"SecondAttempt": {"The newest delivery of a commit counts.", commits[2:], deliveries{
			delivered("aaaaaaa1", []checks{after}, succeeded, succeeded, progressing), delivered("aaaaaaa1", []checks{after}, succeeded, succeeded, succeeded, succeeded, succeeded, failedState)}, false, []string{
			"aaaaaaa p/deployment pending: rolling out", "aaaaaaa p/post-deployment pending: waiting for the rollout"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := projection{prefix: "p"}.of(tc.commits, tc.deliveries, tc.running)
			if diff := cmp.Diff(tc.want, shownOn(got)); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestOnlyWhatIsRolledOutIsADeployment(t *testing.T) {
	cases := map[string]struct {
		reason    string
		commit    gitopsv1alpha1.AppCommit
		delivered []lifecyclev1.KeptnAppVersion
		want      []string
	}{
		"Waiting":   {"Nobody has applied it.", changing("aaaaaaa1"), nil, nil},
		"Unchanged": {"Nothing is deployed.", unchanging("aaaaaaa1"), nil, nil},
		"Gated":     {"It has not begun.", changing("aaaaaaa1"), []lifecyclev1.KeptnAppVersion{delivered("aaaaaaa1", []checks{before}, progressing)}, nil},
		"Requested": {"It was checked, and nobody has applied it.", changing("aaaaaaa1"), []lifecyclev1.KeptnAppVersion{delivered("aaaaaaa1", []checks{before, requested}, succeeded, succeeded, progressing)}, nil},
		"Begun":     {"It is rolling out.", changing("aaaaaaa1"), []lifecyclev1.KeptnAppVersion{delivered("aaaaaaa1", []checks{after}, succeeded, succeeded, progressing)}, []string{"p/deployment"}},
		"Checked":   {"The checks after it are none.", changing("aaaaaaa1"), []lifecyclev1.KeptnAppVersion{delivered("aaaaaaa1", []checks{after, promoted}, succeeded, succeeded, succeeded, succeeded, succeeded, succeeded, succeeded)}, []string{"p/deployment"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range (projection{prefix: "p"}).of([]gitopsv1alpha1.AppCommit{tc.commit}, tc.delivered, false) {
				if s.Deploys {
					got = append(got, s.Context)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestWhatRunsAlreadyIsNotWaitedFor(t *testing.T) {
	// A change and its revert came before anybody applied the change.
	commits := []gitopsv1alpha1.AppCommit{changing("ccccccc3"), changing("bbbbbbb2"), changing("aaaaaaa1")}
	deliveries := []lifecyclev1.KeptnAppVersion{delivered("aaaaaaa1", nil, succeeded, succeeded, succeeded, succeeded, succeeded, succeeded, succeeded)}
	got := projection{prefix: "p"}.of(commits, deliveries, true)
	want := []string{"ccccccc p/deployment success: workloads unchanged", "bbbbbbb p/deployment success: superseded by ccccccc", "aaaaaaa p/deployment success: AppDeploy"}
	if diff := cmp.Diff(want, shownOn(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestASecondAttemptIsLaterThanTheFirstVerdict(t *testing.T) {
	first, second := delivered("aaaaaaa1", []checks{after}, succeeded, succeeded, succeeded, succeeded, succeeded, failedState), delivered("aaaaaaa1", []checks{after}, succeeded, succeeded, progressing)
	first.Status.Phase(lifecyclev1.PhaseAppPostDeployEvaluations).EndTime = phase.Time(noon)
	second.CreationTimestamp = metav1.NewTime(noon.Add(time.Minute))
	at := func(kav lifecyclev1.KeptnAppVersion) time.Time {
		return projection{}.of([]gitopsv1alpha1.AppCommit{changing("aaaaaaa1")}, []lifecyclev1.KeptnAppVersion{kav}, false)[1].Time
	}
	if !at(second).After(at(first)) {
		t.Errorf("%s is not after %s: forges would keep the old verdict", at(second), at(first))
	}
}

func TestADeliveryIsLaterThanWhatWasSaidOfItsCommitBeforeItsKeyWasKnown(t *testing.T) {
	commit := changing("aaaaaaa1")
	commit.SeenAt, commit.VerifiedAt, commit.Unverified = metav1.NewTime(noon), phase.Time(noon.Add(time.Second)), "not signed by a known key"
	of := func(deliveries ...lifecyclev1.KeptnAppVersion) forge.Status {
		return projection{}.of([]gitopsv1alpha1.AppCommit{commit}, deliveries, false)[0]
	}
	refused := of()
	commit.VerifiedAt, commit.Unverified = phase.Time(noon.Add(2*time.Second)), ""
	kav := delivered("aaaaaaa1", nil, succeeded, succeeded, succeeded)
	kav.Status.Phase(lifecyclev1.PhaseAppDeploy).EndTime = phase.Time(noon)
	if done := of(kav); done.Context != refused.Context || !done.Time.After(refused.Time) {
		t.Errorf("%s at %s is not after %s at %s: forges would keep the refusal", done.Context, done.Time, refused.Context, refused.Time)
	}
}

func TestWhatWasNotBegunIsAsItIsSinceTheLastThingThatHappened(t *testing.T) {
	kav := delivered("aaaaaaa1", []checks{after}, succeeded, succeeded, failedState)
	kav.Status.Phase(lifecyclev1.PhaseAppDeploy).EndTime = phase.Time(noon.Add(time.Hour))
	statuses := projection{}.of([]gitopsv1alpha1.AppCommit{changing("aaaaaaa1")}, []lifecyclev1.KeptnAppVersion{kav}, false)
	if got := statuses[1].Time; !got.Equal(noon.Add(time.Hour)) {
		t.Errorf("%s is of %s, want the time of the failure", statuses[1].Context, got)
	}
}

func TestStatusesLeadToTheDetails(t *testing.T) {
	kav := delivered("aaaaaaa1", []checks{after}, succeeded, succeeded, succeeded)
	kav.Namespace, kav.Name, kav.UID = "shop", "checkout-1", "f6bb1c4e"
	kav.Spec.AppName, kav.Spec.Environment = "a b&c/d", "production"
	p := projection{detailsURL: "https://acme.example/{environment}/{app}?n={namespace}/{name}&c={commit}&p={phase}&t={traceID}"}
	statuses := p.of([]gitopsv1alpha1.AppCommit{changing("aaaaaaa1"), changing("0000000")}, []lifecyclev1.KeptnAppVersion{kav}, false)
	trace := strings.Split(telemetry.Traceparent(kav.UID), "-")[1]
	var got []string
	for _, s := range statuses {
		got = append(got, s.TargetURL)
	}
	want := []string{
		"https://acme.example/production/a%20b%26c%2Fd?n=shop/checkout-1&c=aaaaaaa1&p=deployment&t=" + trace,
		"https://acme.example/production/a%20b%26c%2Fd?n=shop/checkout-1&c=aaaaaaa1&p=post-deployment&t=" + trace,
		"", // there is no delivery to lead to
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnAddressOfDetailsIsChecked(t *testing.T) {
	cases := map[string]struct {
		reason, address string
		good            bool
	}{
		"None":        {"Statuses need not lead anywhere.", "", true},
		"Plain":       {"One page for all.", "https://acme.example/keptn", true},
		"Filled":      {"A page for each delivery, on a host for each environment.", "http://{environment}.acme.example:8080/trace/{traceID}", true},
		"Placeholder": {"A placeholder that is misspelled would be shown to everybody.", "https://acme.example/{trace}", false},
		"Scheme":      {"A forge links to nothing else.", "javascript:alert({name})", false},
		"Relative":    {"A forge does not know where that is.", "/{name}", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if err := CheckDetailsURL(tc.address); (err == nil) != tc.good {
				t.Errorf("%s\ngot %v", tc.reason, err)
			}
		})
	}
}
