package measure_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/measure"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/dora"
)

// began is when the tests' deliveries are rolled out.
var began = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func minute(n int) time.Time { return began.Add(time.Duration(n) * time.Minute) }

// sha is a commit that is told by one letter.
func sha(letter string) string { return strings.Repeat(letter, 40) }

// States of phases.
const (
	ok         = lifecyclev1.StateSucceeded
	failed     = lifecyclev1.StateFailed
	unknown    = lifecyclev1.StateUnknown
	deprecated = lifecyclev1.StateDeprecated
	warning    = lifecyclev1.StateWarning
)

// ran is a phase that ran during the minute before one, with its reason.
func ran(name lifecyclev1.Phase, end int, state lifecyclev1.KeptnState, reason ...string) lifecyclev1.PhaseRecord {
	start, stop := metav1.NewTime(minute(end-1)), metav1.NewTime(minute(end))
	return lifecyclev1.PhaseRecord{Name: name, State: state, Reason: strings.Join(reason, ""), StartTime: &start, EndTime: &stop}
}

// never is a phase that was given up before it began.
func never(name lifecyclev1.Phase, end int) lifecyclev1.PhaseRecord {
	rec := ran(name, end, deprecated, phase.Superseded)
	rec.StartTime = nil
	return rec
}

// delivery is one of commit a that was applied at minute 0 and has ended so.
func delivery(status lifecyclev1.KeptnState, phases ...lifecyclev1.PhaseRecord) *lifecyclev1.KeptnAppVersion {
	kav := &lifecyclev1.KeptnAppVersion{}
	kav.Spec.AppName, kav.Spec.Environment = "checkout", "production"
	kav.Spec.Commit = &lifecyclev1.Commit{SHA: sha("a")}
	at := metav1.NewTime(minute(0))
	kav.Spec.RolloutStartedAt = &at
	kav.Status.Status, kav.Status.Phases = status, phases
	return kav
}

func TestADeploymentIsWhatRanOfADelivery(t *testing.T) {
	const (
		pre, deploy = lifecyclev1.PhaseAppPreDeployTasks, lifecyclev1.PhaseAppDeploy
		soak, post  = lifecyclev1.PhaseAppSoak, lifecyclev1.PhaseAppPostDeployTasks
		slo, promo  = lifecyclev1.PhaseAppPostDeployEvaluations, lifecyclev1.PhasePromotion
	)
	with := func(kav *lifecyclev1.KeptnAppVersion, change func(*lifecyclev1.KeptnAppVersion)) *lifecyclev1.KeptnAppVersion {
		change(kav)
		return kav
	}
	asked := func(kav *lifecyclev1.KeptnAppVersion) { kav.Spec.RolloutStartedAt = nil }
	adopted := func(kav *lifecyclev1.KeptnAppVersion) { kav.Spec.Adopted = true }
	says := func(start, end int, cause dora.Cause) *dora.Deployment {
		d := &dora.Deployment{
			App: "checkout", Environment: "production", Commit: sha("a"), Cluster: "east",
			StartedAt: minute(start), FinishedAt: minute(end), Result: dora.Success, FailedBy: cause,
		}
		if cause != "" {
			d.Result = dora.Failure
		}
		return d
	}
	cases := map[string]struct {
		reason string
		kav    *lifecyclev1.KeptnAppVersion
		want   *dora.Deployment
	}{
		"Passed":         {"It ends with the last check, not with the promotion.", delivery(ok, ran(deploy, 3, ok), ran(soak, 4, ok), ran(slo, 6, ok), ran(promo, 9, ok)), says(0, 6, "")},
		"Warned":         {"A warning is no failure.", delivery(warning, ran(deploy, 3, ok), ran(slo, 6, warning)), says(0, 6, "")},
		"UnderWay":       {"What has not ended may fail yet.", delivery(lifecyclev1.StateProgressing, ran(deploy, 3, ok)), nil},
		"PreFailed":      {"What was kept from running reached nobody.", delivery(failed, ran(pre, 1, failed), lifecyclev1.PhaseRecord{Name: deploy, State: deprecated}), nil},
		"RolloutFailed":  {"Pods that do not become ready are a failed deployment.", delivery(failed, ran(deploy, 3, failed, phase.Failed), lifecyclev1.PhaseRecord{Name: slo, State: deprecated}), says(0, 3, dora.CauseRollout)},
		"TimedOut":       {"So are those that do not in time.", delivery(failed, ran(deploy, 3, failed, phase.Timeout)), says(0, 3, dora.CauseRollout)},
		"RolloutStopped": {"Who cancels a rollout says nothing of it.", delivery(failed, ran(deploy, 3, failed, phase.Cancelled)), nil},
		"Undecided":      {"Of a rollout that nothing was decided of nothing is known.", delivery(unknown, ran(deploy, 3, unknown)), nil},
		"SupersededSoon": {"Its pods were replaced before they all ran.", delivery(deprecated, ran(deploy, 3, deprecated, phase.Superseded), never(slo, 3)), nil},
		"NeverBegun":     {"It was replaced before it was let go.", delivery(deprecated, ran(pre, 1, ok), never(deploy, 3)), nil},
		"SupersededLate": {"It ran, and the checks that were given up did not prolong it.", delivery(deprecated, ran(deploy, 3, ok), ran(soak, 8, deprecated, phase.Superseded), never(slo, 8)), says(0, 3, "")},
		"CheckFailed":    {"A verdict is a failure, of the minute in which it was known.", delivery(failed, ran(deploy, 3, ok), ran(post, 5, ok), ran(slo, 7, failed, phase.Failed)), says(0, 7, dora.CauseVerdict)},
		"TaskFailed":     {"So is a task that failed.", delivery(failed, ran(deploy, 3, ok), ran(post, 5, failed, phase.Failed)), says(0, 5, dora.CauseVerdict)},
		"Inconclusive":   {"What could not be decided has not failed.", delivery(unknown, ran(deploy, 3, ok), ran(slo, 7, unknown, phase.Inconclusive)), says(0, 7, "")},
		"Cancelled":      {"Nor has what somebody had enough of.", delivery(failed, ran(deploy, 3, ok), ran(slo, 7, failed, phase.Cancelled)), says(0, 7, "")},
		"NotPromoted":    {"It runs here, whatever becomes of it elsewhere.", delivery(failed, ran(deploy, 3, ok), ran(slo, 6, ok), ran(promo, 9, failed, phase.Failed)), says(0, 6, "")},
		"NeverApplied":   {"It was asked for, and waited in vain: nothing ran.", with(delivery(failed, ran(deploy, 30, failed, phase.Timeout)), asked), nil},
		"RanAlready":     {"It was asked for, and what it renders to ran all the time.", with(delivery(ok, ran(deploy, 3, ok)), asked), says(2, 3, "")},
		"Adopted":        {"Nobody saw its rollout: it is as old as that.", with(delivery(ok, ran(deploy, 300, ok), ran(slo, 310, ok)), adopted), says(0, 0, "")},
		"AdoptedFailed":  {"A check of today is none of the rollout of then.", with(delivery(failed, ran(deploy, 300, ok), ran(slo, 310, failed)), adopted), says(0, 0, "")},
		"AdoptedBroken":  {"Whether it ever ran nobody knows.", with(delivery(failed, ran(deploy, 300, failed, phase.Failed)), adopted), nil},
		"Retried":        {"The rollout is that of the first attempt, which dora knows it by.", delivery(ok, ran(deploy, 3, ok), ran(slo, 20, ok)), says(0, 20, "")},
		"RolloutRetried": {"So it is where the rollout itself was waited for again.", delivery(ok, ran(deploy, 20, ok)), says(0, 20, "")},
		"WrittenLater":   {"A time of the rollout that is after its end is another's.", with(delivery(ok, ran(deploy, 3, ok)), func(kav *lifecyclev1.KeptnAppVersion) { kav.Spec.RolloutStartedAt.Time = minute(5) }), says(2, 3, "")},
		"Old":            {"Of Keptn's own old records no phases are known.", delivery(ok), nil},
		"NoCommit":       {"What comes from no commit tells nothing of changes.", with(delivery(ok, ran(deploy, 3, ok)), func(kav *lifecyclev1.KeptnAppVersion) { kav.Spec.Commit = nil }), nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got *dora.Deployment
			if d, deployed := measure.Deployment(tc.kav, "east"); deployed {
				got = &d
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTheRecordKeepsTheLongestWindowAndWhatCameBefore(t *testing.T) {
	now := began
	ago := func(commit string, days int, result dora.Result) dora.Deployment {
		at := now.Add(-time.Duration(days) * measure.Day)
		return dora.Deployment{Commit: commit, StartedAt: at, FinishedAt: at, Result: result}
	}
	again := func(d dora.Deployment, after time.Duration, result dora.Result) dora.Deployment {
		d.FinishedAt, d.Result = d.FinishedAt.Add(after), result
		return d
	}
	cases := map[string]struct {
		reason string
		all    []dora.Deployment
		want   []dora.Deployment
	}{
		"Sorted":   {"The one that finished last comes first.", []dora.Deployment{ago("a", 3, dora.Success), ago("b", 1, dora.Success), ago("c", 2, dora.Failure)}, []dora.Deployment{ago("b", 1, dora.Success), ago("c", 2, dora.Failure), ago("a", 3, dora.Success)}},
		"Baseline": {"What came before the first one is what it is compared with, and a failure in between tells that it mended something.", []dora.Deployment{ago("a", 400, dora.Success), ago("b", 300, dora.Success), ago("c", 200, dora.Failure), ago("d", 10, dora.Success)}, []dora.Deployment{ago("d", 10, dora.Success), ago("c", 200, dora.Failure), ago("b", 300, dora.Success)}},
		"OnTheDot": {"A window does not have its begin: what finished then is before it.", []dora.Deployment{ago("a", 91, dora.Success), ago("b", 90, dora.Success)}, []dora.Deployment{ago("b", 90, dora.Success)}},
		"Twice":    {"One that is known from several places is one.", []dora.Deployment{ago("a", 1, dora.Success), ago("a", 1, dora.Success)}, []dora.Deployment{ago("a", 1, dora.Success)}},
		"Retried":  {"Of two attempts the one that finished last counts.", []dora.Deployment{ago("a", 1, dora.Failure), again(ago("a", 1, dora.Failure), time.Hour, dora.Success)}, []dora.Deployment{again(ago("a", 1, dora.Failure), time.Hour, dora.Success)}},
		"AtOnce":   {"Of two at once a failure, as for dora.Evaluate, whichever is known first.", []dora.Deployment{ago("a", 1, dora.Success), ago("a", 1, dora.Failure)}, []dora.Deployment{ago("a", 1, dora.Failure)}},
		"Again":    {"The same commit, deployed again, is another.", []dora.Deployment{ago("a", 2, dora.Success), ago("a", 1, dora.Success)}, []dora.Deployment{ago("a", 1, dora.Success), ago("a", 2, dora.Success)}},
		"Finer":    {"Who noted it with fractions of a second noted the same one.", []dora.Deployment{ago("a", 1, dora.Success), {Commit: "a", StartedAt: now.Add(-measure.Day + 300*time.Millisecond), FinishedAt: now.Add(-measure.Day + 700*time.Millisecond), Result: dora.Success}}, []dora.Deployment{ago("a", 1, dora.Success)}},
		"None":     {"There may be none.", nil, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, measure.Newest(tc.all, now)); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTheRecordHasABound(t *testing.T) {
	var all []dora.Deployment
	for n := range 3 * measure.MaxDeployments {
		all = append(all, dora.Deployment{Commit: "a", StartedAt: minute(n), FinishedAt: minute(n), Result: dora.Success})
	}
	kept := measure.Newest(all, minute(3*measure.MaxDeployments))
	if len(kept) != measure.MaxDeployments || !kept[0].StartedAt.Equal(minute(3*measure.MaxDeployments-1)) {
		t.Errorf("%d are kept, the first of %s", len(kept), kept[0].StartedAt)
	}
}
