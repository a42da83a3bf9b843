package lifecycle

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

const (
	pending     = lifecyclev1.StatePending
	progressing = lifecyclev1.StateProgressing
	succeeded   = lifecyclev1.StateSucceeded
	warning     = lifecyclev1.StateWarning
	failedState = lifecyclev1.StateFailed
	unknown     = lifecyclev1.StateUnknown
	deprecated  = lifecyclev1.StateDeprecated
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// inStates is a delivery whose phases are in these states.
func inStates(states ...lifecyclev1.KeptnState) *delivery {
	d := &delivery{kav: &lifecyclev1.KeptnAppVersion{}, now: noon}
	for i, p := range appPhases() {
		recordOf(&d.kav.Status, p.name).State = states[i]
	}
	return d
}

func statesOf(d *delivery) []lifecyclev1.KeptnState {
	var states []lifecyclev1.KeptnState
	for _, rec := range d.kav.Status.Phases {
		states = append(states, rec.State)
	}
	return states
}

func TestTheStateOfADeliveryIsThatOfItsPhases(t *testing.T) {
	type states = []lifecyclev1.KeptnState
	cases := map[string]struct {
		reason string
		phases states
		want   lifecyclev1.KeptnState
		after  states
	}{
		"New":          {"Nothing has begun.", states{pending, pending, pending}, progressing, states{pending, pending, pending}},
		"RollingOut":   {"The first phase runs.", states{progressing, pending, pending}, progressing, states{progressing, pending, pending}},
		"Soaking":      {"The rollout is done, the checks are not.", states{succeeded, progressing, pending}, progressing, states{succeeded, progressing, pending}},
		"Evaluating":   {"The last phase runs.", states{succeeded, succeeded, progressing}, progressing, states{succeeded, succeeded, progressing}},
		"Passed":       {"All have passed.", states{succeeded, succeeded, succeeded}, succeeded, states{succeeded, succeeded, succeeded}},
		"Warned":       {"A warning passes, and is shown.", states{succeeded, succeeded, warning}, warning, states{succeeded, succeeded, warning}},
		"Stuck":        {"After a failed rollout nothing is checked.", states{failedState, pending, pending}, failedState, states{failedState, deprecated, deprecated}},
		"Rejected":     {"A failed check fails the delivery.", states{succeeded, succeeded, failedState}, failedState, states{succeeded, succeeded, failedState}},
		"Inconclusive": {"What cannot be judged is neither good nor bad.", states{succeeded, succeeded, unknown}, unknown, states{succeeded, succeeded, unknown}},
		"Overtaken":    {"What was given up is not a failure.", states{succeeded, succeeded, deprecated}, deprecated, states{succeeded, succeeded, deprecated}},
		"OvertakenAll": {"It is not even if it never rolled out.", states{deprecated, deprecated, deprecated}, deprecated, states{deprecated, deprecated, deprecated}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := inStates(tc.phases...)
			conclude(d)
			if got := d.kav.Status.Status; got != tc.want {
				t.Errorf("%s\nstate: got %s, want %s", tc.reason, got, tc.want)
			}
			if diff := cmp.Diff(tc.after, statesOf(d)); diff != "" {
				t.Errorf("%s\nphases (-want +got):\n%s", tc.reason, diff)
			}
			if ended := !d.kav.Status.EndTime.IsZero(); ended != tc.want.Completed() {
				t.Errorf("%s\nended: got %t", tc.reason, ended)
			}
			if d.kav.Status.WorkloadOverallStatus != tc.after[0] || d.kav.Status.PostDeploymentEvaluationStatus != tc.after[2] {
				t.Errorf("%s\nKeptn's own fields disagree: %+v", tc.reason, d.kav.Status)
			}
		})
	}
}

func TestADeliveryEndsOnce(t *testing.T) {
	d := inStates(succeeded, succeeded, succeeded)
	conclude(d)
	d.now = noon.Add(time.Hour)
	conclude(d)
	if !d.kav.Status.EndTime.Time.Equal(noon) {
		t.Errorf("its end moved to %s", d.kav.Status.EndTime)
	}
}

func TestGivingUpLeavesWhatHasEnded(t *testing.T) {
	d := inStates(succeeded, progressing, pending)
	giveUp(d, reasonSuperseded, "overtaken")
	if diff := cmp.Diff([]lifecyclev1.KeptnState{succeeded, deprecated, deprecated}, statesOf(d)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, rec := range d.kav.Status.Phases[1:] {
		if rec.Reason != reasonSuperseded || rec.Message != "overtaken" || rec.EndTime == nil {
			t.Errorf("%s does not say why it ended: %+v", rec.Name, rec)
		}
	}
}

func TestThePhaseThatDidNotPassSpeaksForTheDelivery(t *testing.T) {
	cases := map[string]struct {
		reason string
		phases []lifecyclev1.KeptnState
		want   lifecyclev1.Phase
	}{
		"Rollout": {"It is under way.", []lifecyclev1.KeptnState{progressing, pending, pending}, lifecyclev1.PhaseAppDeploy},
		"Soak":    {"It is the first that did not pass.", []lifecyclev1.KeptnState{succeeded, progressing, pending}, lifecyclev1.PhaseAppSoak},
		"Passed":  {"The last one has the verdict.", []lifecyclev1.KeptnState{succeeded, succeeded, warning}, lifecyclev1.PhaseAppPostDeployEvaluations},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := decisive(&inStates(tc.phases...).kav.Status); got.Name != tc.want {
				t.Errorf("%s\ngot %s, want %s", tc.reason, got.Name, tc.want)
			}
		})
	}
}

func TestARolloutIsDoneWhenEveryWorkloadIs(t *testing.T) {
	ref := func(name, hash string) lifecyclev1.KeptnWorkloadRef {
		return lifecyclev1.KeptnWorkloadRef{Kind: "Deployment", Name: name, TemplateHash: hash}
	}
	live := func(s status.Status, message string, pods int32) *workload {
		return &workload{Kind: "Deployment", TemplateHash: "h", Rollout: s, Message: message, Replicas: pods}
	}
	done, moving, stuck := live(status.CurrentStatus, "", 2), live(status.InProgressStatus, "Available: 1/2", 2), live(status.FailedStatus, "no quota", 0)
	cases := map[string]struct {
		reason string
		refs   []lifecyclev1.KeptnWorkloadRef
		live   []*workload
		left   time.Duration
		want   outcome
	}{
		"Done":     {"It runs.", []lifecyclev1.KeptnWorkloadRef{ref("a", "h")}, []*workload{done}, time.Minute, passed("2 pods run 1234567")},
		"OnePod":   {"The message counts.", []lifecyclev1.KeptnWorkloadRef{ref("a", "h")}, []*workload{live(status.CurrentStatus, "", 1)}, time.Minute, passed("1 pod runs 1234567")},
		"AllDone":  {"Pods are added up.", []lifecyclev1.KeptnWorkloadRef{ref("a", "h"), ref("b", "h")}, []*workload{done, done}, time.Minute, passed("4 pods run 1234567")},
		"Late":     {"What is done may take as long as it took.", []lifecyclev1.KeptnWorkloadRef{ref("a", "h")}, []*workload{done}, -time.Minute, passed("2 pods run 1234567")},
		"OneMoves": {"The one that is under way is named.", []lifecyclev1.KeptnWorkloadRef{ref("a", "h"), ref("b", "h")}, []*workload{done, moving}, time.Minute, waiting(reasonProgressing, "Deployment b: Available: 1/2").in(time.Minute)},
		"Gone":     {"It may still be created.", []lifecyclev1.KeptnWorkloadRef{ref("a", "h")}, []*workload{nil}, time.Minute, waiting(reasonWaiting, "Deployment a does not exist").in(time.Minute)},
		"NotYet":   {"It does not carry the commit's template.", []lifecyclev1.KeptnWorkloadRef{ref("a", "")}, []*workload{done}, time.Minute, waiting(reasonWaiting, "Deployment a does not have the commit's pod template").in(time.Minute)},
		"Stuck":    {"Kubernetes has given up.", []lifecyclev1.KeptnWorkloadRef{ref("a", "h")}, []*workload{stuck}, time.Minute, failed(reasonFailed, "Deployment a: no quota").in(time.Minute)},
		"TooLong":  {"The time is over.", []lifecyclev1.KeptnWorkloadRef{ref("a", "h")}, []*workload{moving}, 0, failed(reasonTimeout, "Deployment a: Available: 1/2 when the time for the rollout was over")},
		"Nothing":  {"A commit may deploy nothing.", nil, nil, time.Minute, passed("0 pods run 1234567")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := rolledOut(lifecyclev1.KeptnAppVersionSpec{Version: "1234567", Workloads: tc.refs}, tc.live, tc.left)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(outcome{})); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTheWorstPolicyDecides(t *testing.T) {
	evaluated := func(name string, s lifecyclev1.KeptnState, summary string) lifecyclev1.KeptnEvaluation {
		return lifecyclev1.KeptnEvaluation{
			Spec:   lifecyclev1.KeptnEvaluationSpec{EvaluationDefinition: name},
			Status: lifecyclev1.KeptnEvaluationStatus{OverallStatus: s, Summary: summary},
		}
	}
	good, soso, bad, none := evaluated("a", succeeded, "good"), evaluated("b", warning, "so so"), evaluated("c", failedState, "bad"), evaluated("d", unknown, "no data")
	type list = []lifecyclev1.KeptnEvaluation
	cases := map[string]struct {
		reason      string
		evaluations list
		want        outcome
	}{
		"None":       {"Nothing is asked for.", nil, passed("no checks")},
		"Pass":       {"It says why.", list{good}, outcome{state: succeeded, reason: reasonSucceeded, message: "good"}},
		"Warning":    {"It passes, and says so.", list{good, soso}, outcome{state: warning, reason: reasonWarning, message: "so so"}},
		"Fail":       {"It goes before what is inconclusive.", list{none, bad, soso}, outcome{state: failedState, reason: reasonFailed, message: "bad"}},
		"NoData":     {"It goes before a warning.", list{soso, none}, outcome{state: unknown, reason: reasonInconclusive, message: "no data"}},
		"Evaluating": {"Every verdict is waited for.", list{bad, evaluated("e", progressing, "no data yet")}, waiting(reasonProgressing, "evaluating e: no data yet")},
		"New":        {"It has not begun.", list{evaluated("e", "", "")}, waiting(reasonProgressing, "evaluating e")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, judged(tc.evaluations), cmp.AllowUnexported(outcome{})); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAMissingPolicyIsWaitedForAndThenLeavesItOpen(t *testing.T) {
	message := "no SLOPolicy x, y, neither at the commit nor in the namespace"
	cases := map[string]struct {
		reason string
		left   time.Duration
		want   outcome
	}{
		"Waiting": {"It may be created later.", time.Second, waiting(reasonWaiting, "%s", message).in(time.Second)},
		"Over":    {"Not for ever.", 0, outcome{state: unknown, reason: reasonInconclusive, message: message}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, unresolved([]string{"x", "y"}, tc.left), cmp.AllowUnexported(outcome{})); diff != "" {
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
		want   outcome
	}{
		"None":  {"There is nothing to wait for.", nil, 0, passed("no soak time")},
		"Begin": {"It wakes up when the time is over.", duration(time.Minute), time.Second, waiting(reasonWaiting, "soaking until 12:01:00Z").in(59 * time.Second)},
		"End":   {"The time is over.", duration(time.Minute), time.Minute, passed("soaked for 1m0s")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := &delivery{kav: &lifecyclev1.KeptnAppVersion{Spec: lifecyclev1.KeptnAppVersionSpec{Soak: tc.soak}}, now: noon.Add(tc.after)}
			got, err := (&AppVersionReconciler{}).soak(t.Context(), d, &lifecyclev1.PhaseRecord{StartTime: timestamp(noon)})
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(outcome{})); err != nil || diff != "" {
				t.Errorf("%s\n%v (-want +got):\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestAMissingPolicyIsWaitedForAWhile(t *testing.T) {
	const message = "no SLOPolicy x, y, neither at the commit nor in the namespace"
	cases := map[string]struct {
		reason string
		left   time.Duration
		want   outcome
	}{
		"InTime":  {"It may be created later.", time.Minute, waiting(reasonWaiting, message).in(time.Minute)},
		"TooLate": {"It cannot be judged without.", 0, outcome{state: unknown, reason: reasonInconclusive, message: message}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, unresolved([]string{"x", "y"}, tc.left), cmp.AllowUnexported(outcome{})); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}
