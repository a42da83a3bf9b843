package lifecycle

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// changing is a commit that changes workloads, and unchanging one that does not.
func changing(sha string) gitopsv1alpha1.AppCommit {
	return gitopsv1alpha1.AppCommit{SHA: sha, SeenAt: metav1.NewTime(noon), ChangesWorkloads: true}
}

func unchanging(sha string) gitopsv1alpha1.AppCommit {
	return gitopsv1alpha1.AppCommit{SHA: sha, SeenAt: metav1.NewTime(noon)}
}

// delivered is a delivery of a commit whose phases are in these states, each
// with its name as its message.
func delivered(sha string, policies int, states ...lifecyclev1.KeptnState) lifecyclev1.KeptnAppVersion {
	d := inStates(states...)
	d.kav.CreationTimestamp = metav1.NewTime(noon.Add(time.Minute))
	d.kav.Spec.Version, d.kav.Spec.Commit = short(sha), &lifecyclev1.Commit{SHA: sha}
	d.kav.Spec.PostDeploymentPolicies = make([]lifecyclev1.NamedPolicy, policies)
	for i := range d.kav.Status.Phases {
		rec := &d.kav.Status.Phases[i]
		rec.Message = string(rec.Name)
		if rec.State == deprecated {
			rec.Reason = reasonSuperseded
		}
	}
	return *d.kav
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
		"RollingOut": {"It has begun, and checks will follow.", commits[2:], deliveries{delivered("aaaaaaa1", 1, progressing, pending, pending)}, false, []string{
			"aaaaaaa p/deployment pending: rolling out", "aaaaaaa p/post-deployment pending: waiting for the rollout"}},
		"NoChecks": {"Nothing is said of checks where there are none.", commits[2:], deliveries{delivered("aaaaaaa1", 0, succeeded, succeeded, succeeded)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy"}},
		"Soaking": {"The soak time is part of the checks.", commits[2:], deliveries{delivered("aaaaaaa1", 1, succeeded, progressing, pending)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment pending: AppSoak"}},
		"Passes": {"The verdict is shown.", commits[2:], deliveries{delivered("aaaaaaa1", 1, succeeded, succeeded, succeeded)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment success: AppPostDeployEvaluations"}},
		"Warning": {"A warning has a state of its own.", commits[2:], deliveries{delivered("aaaaaaa1", 1, succeeded, succeeded, warning)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment warning: AppPostDeployEvaluations"}},
		"Failure": {"So has a failure.", commits[2:], deliveries{delivered("aaaaaaa1", 1, succeeded, succeeded, failedState)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment failure: AppPostDeployEvaluations"}},
		"Inconclusive": {"What could not be judged is an error, not a failure.", commits[2:], deliveries{delivered("aaaaaaa1", 1, succeeded, succeeded, unknown)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment error: AppPostDeployEvaluations"}},
		"SupersededBeforeStart": {"A commit that was skipped says by which; an older one by the nearest.", commits, deliveries{delivered("ccccccc3", 0, succeeded, succeeded, succeeded)}, false, []string{
			"ccccccc p/deployment success: AppDeploy", "bbbbbbb p/deployment success: superseded by ccccccc", "aaaaaaa p/deployment success: superseded by ccccccc"}},
		"SupersededMidway": {"A verdict that was given up says for which.", commits[1:], deliveries{
			delivered("bbbbbbb2", 1, progressing, pending, pending), delivered("aaaaaaa1", 1, succeeded, succeeded, deprecated)}, false, []string{
			"bbbbbbb p/deployment pending: rolling out", "bbbbbbb p/post-deployment pending: waiting for the rollout",
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment error: superseded by bbbbbbb before it was done"}},
		"OvertakenByHand": {"No commit took its place.", commits[2:], deliveries{delivered("aaaaaaa1", 1, succeeded, succeeded, deprecated)}, false, []string{
			"aaaaaaa p/deployment success: AppDeploy", "aaaaaaa p/post-deployment error: AppPostDeployEvaluations"}},
		"Reverted": {"What the newest commit asks for runs already, and what came between never will.", commits, deliveries{delivered("aaaaaaa1", 0, succeeded, succeeded, succeeded)}, true, []string{
			"ccccccc p/deployment success: workloads unchanged", "bbbbbbb p/deployment success: superseded by ccccccc", "aaaaaaa p/deployment success: AppDeploy"}},
		"SecondAttempt": {"The newest delivery of a commit counts.", commits[2:], deliveries{
			delivered("aaaaaaa1", 1, progressing, pending, pending), delivered("aaaaaaa1", 1, succeeded, succeeded, failedState)}, false, []string{
			"aaaaaaa p/deployment pending: rolling out", "aaaaaaa p/post-deployment pending: waiting for the rollout"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range projected("p", tc.commits, tc.deliveries, tc.running) {
				got = append(got, short(s.Commit)+" "+s.Context+" "+string(s.State)+": "+s.Description)
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
	deliveries := []lifecyclev1.KeptnAppVersion{delivered("aaaaaaa1", 0, succeeded, succeeded, succeeded)}
	var got []string
	for _, s := range projected("p", commits, deliveries, true) {
		got = append(got, short(s.Commit)+" "+string(s.State)+": "+s.Description)
	}
	want := []string{"ccccccc success: workloads unchanged", "bbbbbbb success: superseded by ccccccc", "aaaaaaa success: AppDeploy"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestASecondAttemptIsLaterThanTheFirstVerdict(t *testing.T) {
	first, second := delivered("aaaaaaa1", 1, succeeded, succeeded, failedState), delivered("aaaaaaa1", 1, progressing, pending, pending)
	first.Phase(lifecyclev1.PhaseAppPostDeployEvaluations).EndTime = timestamp(noon)
	second.CreationTimestamp = metav1.NewTime(noon.Add(time.Minute))
	at := func(kav lifecyclev1.KeptnAppVersion) time.Time {
		return projected("p", []gitopsv1alpha1.AppCommit{changing("aaaaaaa1")}, []lifecyclev1.KeptnAppVersion{kav}, false)[1].Time
	}
	if !at(second).After(at(first)) {
		t.Errorf("%s is not after %s: forges would keep the old verdict", at(second), at(first))
	}
}
