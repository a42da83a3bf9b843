package delivery

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	optionsv1alpha1 "github.com/keptn/gitops/api/options/v1alpha1"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/workload"
)

const (
	pending     = lifecyclev1.StatePending
	progressing = lifecyclev1.StateProgressing
	succeeded   = lifecyclev1.StateSucceeded
	warning     = lifecyclev1.StateWarning
	failed      = lifecyclev1.StateFailed
	unknown     = lifecyclev1.StateUnknown
	deprecated  = lifecyclev1.StateDeprecated
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestARolloutIsDoneWhenEveryWorkloadIs(t *testing.T) {
	type refs = []lifecyclev1.KeptnWorkloadRef
	type lives = []*workload.Workload
	ref := func(name, hash string) lifecyclev1.KeptnWorkloadRef {
		return lifecyclev1.KeptnWorkloadRef{Kind: "Deployment", Name: name, TemplateHash: hash}
	}
	live := func(s status.Status, message string, pods int32) *workload.Workload {
		return &workload.Workload{Kind: "Deployment", TemplateHash: "h", Status: s, Message: message, Replicas: pods}
	}
	done, moving, stuck := live(status.CurrentStatus, "", 2), live(status.InProgressStatus, "Available: 1/2", 2), live(status.FailedStatus, "no quota", 0)
	a, b := ref("a", "h"), ref("b", "h")
	cases := map[string]struct {
		reason string
		refs   refs
		live   lives
		left   time.Duration
		want   phase.Outcome
	}{
		"Done":      {"It runs.", refs{a}, lives{done}, time.Minute, phase.Pass("2 pods run 1234567")},
		"OnePod":    {"The message counts.", refs{a}, lives{live(status.CurrentStatus, "", 1)}, time.Minute, phase.Pass("1 pod runs 1234567")},
		"AllDone":   {"Pods are added up.", refs{a, b}, lives{done, done}, time.Minute, phase.Pass("4 pods run 1234567")},
		"Late":      {"What is done may take as long as it took.", refs{a}, lives{done}, -time.Minute, phase.Pass("2 pods run 1234567")},
		"ToZero":    {"A workload that is scaled to zero is done.", refs{a}, lives{live(status.CurrentStatus, "", 0)}, time.Minute, phase.Pass("0 pods run 1234567")},
		"OneMoves":  {"The one that is under way is named.", refs{a, b}, lives{done, moving}, time.Minute, phase.Wait(phase.Progressing, "Deployment b: Available: 1/2").In(time.Minute)},
		"Gone":      {"It may still be created.", refs{a}, lives{nil}, time.Minute, phase.Wait(phase.Waiting, "Deployment a does not exist").In(time.Minute)},
		"NotYet":    {"It does not carry the commit's template.", refs{ref("a", "")}, lives{done}, time.Minute, phase.Wait(phase.Waiting, "Deployment a does not have the commit's pod template").In(time.Minute)},
		"Stuck":     {"Kubernetes has given up.", refs{a}, lives{stuck}, time.Minute, phase.Fail(phase.Failed, "Deployment a: no quota")},
		"OneStuck":  {"It does not wait for those that are under way.", refs{a, b}, lives{moving, stuck}, time.Minute, phase.Fail(phase.Failed, "Deployment b: no quota")},
		"TooLong":   {"The time is over.", refs{a}, lives{moving}, 0, phase.Fail(phase.Timeout, "Deployment a: Available: 1/2 when the time for the rollout was over")},
		"NeverCame": {"Also for one that never came.", refs{a}, lives{nil}, 0, phase.Fail(phase.Timeout, "Deployment a does not exist when the time for the rollout was over")},
		"Nothing":   {"A commit may deploy nothing.", nil, nil, time.Minute, phase.Pass("0 pods run 1234567")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := rolledOut(lifecyclev1.KeptnAppVersionSpec{Version: "1234567", Workloads: tc.refs}, tc.live, tc.left)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestARevisionIsNotBlamedForTheTimeThatItWasHeldUp(t *testing.T) {
	made, released := noon, noon.Add(15*time.Minute)
	stuck := func(at time.Time, s corev1.ConditionStatus) *workload.Workload {
		return &workload.Workload{Status: status.FailedStatus, Object: &appsv1.Deployment{Status: appsv1.DeploymentStatus{
			Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: s, LastTransitionTime: metav1.NewTime(at)}},
		}}}
	}
	fine := stuck(noon.Add(10*time.Minute), corev1.ConditionFalse)
	fine.Status = status.InProgressStatus
	cases := map[string]struct {
		reason   string
		workload *workload.Workload
		want     bool
	}{
		"Gated":    {"Its progress deadline passed while its pods were gated.", stuck(noon.Add(10*time.Minute), corev1.ConditionFalse), true},
		"Released": {"Its pods were let go, and it got stuck.", stuck(noon.Add(15*time.Minute), corev1.ConditionFalse), false},
		"Before":   {"It was stuck before it was known.", stuck(noon.Add(-time.Minute), corev1.ConditionFalse), false},
		"Unknown":  {"It does not say since when.", stuck(time.Time{}, corev1.ConditionFalse), false},
		"Other":    {"It is something else that is wrong.", stuck(noon.Add(10*time.Minute), corev1.ConditionTrue), false},
		"Fine":     {"It is under way.", fine, false},
		"Set":      {"Only Deployments have such a deadline.", &workload.Workload{Status: status.FailedStatus, Object: &appsv1.StatefulSet{}}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := heldUp(tc.workload, made, released); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

func TestARevisionRunsWhenItsWorkloadIsDone(t *testing.T) {
	progress := func(s status.Status, message string, pods int32) workload.Progress {
		return workload.Progress{Status: s, Message: message, Replicas: pods}
	}
	cases := map[string]struct {
		reason   string
		progress workload.Progress
		left     time.Duration
		want     phase.Outcome
	}{
		"Done":    {"All pods are of the revision and available.", progress(status.CurrentStatus, "", 3), time.Minute, phase.Pass("3 pods run 1.0")},
		"Late":    {"What is done may take as long as it took.", progress(status.CurrentStatus, "", 1), -time.Minute, phase.Pass("1 pod runs 1.0")},
		"ToZero":  {"A workload that is scaled to zero is done.", progress(status.CurrentStatus, "", 0), time.Minute, phase.Pass("0 pods run 1.0")},
		"Moving":  {"It is looked at again when its time is over.", progress(status.InProgressStatus, "Deployment a: Available: 1/2", 2), time.Minute, phase.Wait(phase.Progressing, "Deployment a: Available: 1/2").In(time.Minute)},
		"Stuck":   {"Kubernetes has given up.", progress(status.FailedStatus, "Deployment a: no progress", 2), time.Minute, phase.Fail(phase.Failed, "Deployment a: no progress")},
		"TooLong": {"The time is over (R48).", progress(status.InProgressStatus, "Deployment a: Available: 1/2", 2), 0, phase.Fail(phase.Timeout, "has reached timeout: Deployment a: Available: 1/2")},
		"Gone":    {"It may come again, in time.", progress(status.NotFoundStatus, "ReplicaSet a-1 does not exist", 0), time.Minute, phase.Wait(phase.Progressing, "ReplicaSet a-1 does not exist").In(time.Minute)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, running(tc.progress, tc.left, "1.0")); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAnAppIsDeliveredWhenAllItsWorkloadsAre(t *testing.T) {
	in := func(name string, s lifecyclev1.KeptnState) lifecyclev1.WorkloadStatus {
		return lifecyclev1.WorkloadStatus{Workload: lifecyclev1.KeptnWorkloadRef{Name: name, Version: "1"}, Status: s}
	}
	type list = []lifecyclev1.WorkloadStatus
	cases := map[string]struct {
		reason   string
		statuses list
		want     phase.Outcome
	}{
		"None":    {"An app may have no workloads.", nil, phase.Skip("no workloads")},
		"Done":    {"All are delivered.", list{in("a", succeeded), in("b", succeeded)}, phase.Pass("a 1: Succeeded")},
		"Moving":  {"One is under way.", list{in("a", succeeded), in("b", progressing)}, phase.Wait(phase.Progressing, "delivering b 1: not delivered yet")},
		"Waiting": {"One has not begun: the phase runs, and waits.", list{in("a", pending), in("b", progressing)}, phase.Wait(phase.Waiting, "a 1: not delivered yet")},
		"Failed":  {"One that failed fails the app at once (R40).", list{in("a", pending), in("b", failed)}, phase.Fail(phase.Failed, "b 1: Failed")},
		"Warning": {"A warning of a workload passes.", list{in("a", warning), in("b", succeeded)}, phase.Outcome{State: warning, Reason: phase.Warning, Message: "a 1: Warning"}},
		"Unknown": {"What could not be decided of a workload cannot be of the app.", list{in("a", unknown), in("b", succeeded)}, phase.Outcome{State: unknown, Reason: phase.Inconclusive, Message: "a 1: Unknown"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, allDelivered(tc.statuses, nil)); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestASoakTakesItsTime(t *testing.T) {
	cases := map[string]struct {
		reason string
		soak   *metav1.Duration
		after  time.Duration
		want   phase.Outcome
	}{
		"None":  {"There is nothing to wait for.", nil, 0, phase.Skip("no soak time")},
		"Begin": {"It wakes up when the time is over.", duration(time.Minute), time.Second, phase.Wait(phase.Waiting, "soaking until 12:01:00Z").In(59 * time.Second)},
		"End":   {"The time is over.", duration(time.Minute), time.Minute, phase.Pass("soaked for 1m0s")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := &appDelivery{
				kav:     &lifecyclev1.KeptnAppVersion{Spec: lifecyclev1.KeptnAppVersionSpec{Soak: tc.soak}},
				subject: &subject{now: noon.Add(tc.after)},
			}
			got, err := soak(t.Context(), d, &lifecyclev1.PhaseRecord{StartTime: phase.Time(noon)})
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Errorf("%s\n%v (-want +got):\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestAPhaseOfChecksHasItsTime(t *testing.T) {
	wait, pass := phase.Wait(phase.Progressing, "running a"), phase.Pass("done")
	missing := phase.Outcome{State: pending, Reason: phase.Missing, Message: "a: no such definition"}
	cases := map[string]struct {
		reason         string
		found          phase.Outcome
		timeout, after time.Duration
		want           phase.Outcome
	}{
		"NoTimeout": {"Without one it takes as long as it takes.", wait, 0, time.Hour, wait},
		"InTime":    {"It is looked at again when the time is over.", wait, time.Minute, time.Second, wait.In(59 * time.Second)},
		"TooLate":   {"The time is over.", wait, time.Minute, time.Minute, phase.Fail(phase.Timeout, "not done after 1m0s: running a")},
		"Missing":   {"A definition is not waited for any longer.", missing, time.Minute, time.Minute, phase.Fail(phase.Timeout, "not done after 1m0s: a: no such definition")},
		"Done":      {"What is done may take as long as it took.", pass, time.Minute, time.Hour, pass},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := inTime(tc.found, &lifecyclev1.PhaseRecord{StartTime: phase.Time(noon)}, &subject{now: noon.Add(tc.after), timeout: tc.timeout})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestWhatADeliverySaysGoesBeforeTheKeptnConfig(t *testing.T) {
	cases := map[string]struct {
		reason           string
		cluster          optionsv1alpha1.KeptnConfigSpec
		block            *bool
		checks, rollouts *metav1.Duration
		want             config
	}{
		"Nothing": {"These are the defaults.", optionsv1alpha1.KeptnConfigSpec{}, nil, nil, nil, config{blocking: true, rolloutTimeout: 5 * time.Minute}},
		"Cluster": {
			"The KeptnConfig says all.",
			optionsv1alpha1.KeptnConfigSpec{BlockDeployment: ptr.To(false), CheckTimeout: duration(time.Hour), ObservabilityTimeout: duration(time.Minute)},
			nil, nil, nil, config{checkTimeout: time.Hour, rolloutTimeout: time.Minute},
		},
		"Delivery": {
			"The delivery says otherwise.",
			optionsv1alpha1.KeptnConfigSpec{BlockDeployment: ptr.To(false), CheckTimeout: duration(time.Hour), ObservabilityTimeout: duration(time.Minute)},
			ptr.To(true), duration(time.Second), duration(2 * time.Second), config{blocking: true, checkTimeout: time.Second, rolloutTimeout: 2 * time.Second},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := configOf(tc.cluster)
			got.override(tc.block, tc.checks, tc.rollouts)
			if got != tc.want {
				t.Errorf("%s\ngot %+v, want %+v", tc.reason, got, tc.want)
			}
		})
	}
}

func TestARetryIsHandledOnce(t *testing.T) {
	cases := map[string]struct {
		reason     string
		annotation string
		last       string
		state      lifecyclev1.KeptnState
		runs       bool
		want       string
	}{
		"None":         {"Nobody asks.", "", "", failed, false, ""},
		"Failed":       {"It runs again.", "1", "", failed, true, "1"},
		"Inconclusive": {"So does what could not be decided.", "1", "", unknown, true, "1"},
		"Handled":      {"A value acts once.", "1", "1", failed, false, "1"},
		"Again":        {"A new value acts again.", "2", "1", failed, true, "2"},
		"Passed":       {"What passed does not run again, and the value is used up.", "1", "", succeeded, false, "1"},
		"Warned":       {"A warning passed.", "1", "", warning, false, "1"},
		"UnderWay":     {"What is under way does not begin anew.", "1", "", progressing, false, "1"},
		"Overtaken":    {"What was given up stays given up.", "1", "", deprecated, false, "1"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			kav := &lifecyclev1.KeptnAppVersion{}
			if tc.annotation != "" {
				kav.Annotations = map[string]string{lifecyclev1.RetryAnnotation: tc.annotation}
			}
			d := &lifecyclev1.Delivery{Status: tc.state, LastHandledRetry: tc.last}
			runs := false
			handled(kav, d, func(*lifecyclev1.Delivery) { runs = true })
			if runs != tc.runs || d.LastHandledRetry != tc.want {
				t.Errorf("%s\nruns again: %t, handled: %q", tc.reason, runs, d.LastHandledRetry)
			}
		})
	}
}

func TestACancellationSaysWhy(t *testing.T) {
	for why, want := range map[string]string{"": "cancelled", "true": "cancelled", "wrong version": "cancelled: wrong version"} {
		if got := cancelMessage(why); got != want {
			t.Errorf("%q: got %q, want %q", why, got, want)
		}
	}
}

func TestTheConditionsSayWhatTheDecisivePhaseSays(t *testing.T) {
	cases := map[string]struct {
		reason string
		whole  lifecyclev1.KeptnState
		phase  lifecyclev1.KeptnState
		want   metav1.ConditionStatus
	}{
		"UnderWay": {"It is under way.", progressing, progressing, metav1.ConditionUnknown},
		"Passed":   {"It passed.", succeeded, succeeded, metav1.ConditionTrue},
		"Warned":   {"A warning passed.", warning, warning, metav1.ConditionTrue},
		"Failed":   {"Only a change helps.", failed, failed, metav1.ConditionFalse},
		"Given up": {"Nothing comes of it any more.", deprecated, deprecated, metav1.ConditionFalse},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := &lifecyclev1.Delivery{Status: tc.whole, Phases: []lifecyclev1.PhaseRecord{{State: tc.phase, Reason: "Why", Message: "because"}}}
			if got := conclusion(d); got.Status != tc.want || got.Reason != "Why" || got.Message != "because" {
				t.Errorf("%s\ngot %+v", tc.reason, got)
			}
		})
	}
}
