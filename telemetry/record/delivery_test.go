package record_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/record"
	"github.com/keptn/gitops/telemetry/recordtest"
)

// rolling is Delivered in its rollout.
func rolling() *lifecyclev1.KeptnAppVersion {
	kav := recordtest.Delivered()
	kav.Status.Status, kav.Status.EndTime = lifecyclev1.StateProgressing, metav1.Time{}
	kav.Status.Phases = kav.Status.Phases[:1]
	kav.Status.Phases[0].State, kav.Status.Phases[0].EndTime = lifecyclev1.StateProgressing, nil
	return kav
}

func TestWhatHappenedBetweenTwoRecordsIsToldOnce(t *testing.T) {
	created := rolling()
	created.Status = lifecyclev1.KeptnAppVersionStatus{}
	failedAgain := recordtest.Retried()
	failedAgain.Status.Phases = failedAgain.Status.Phases[:1]
	failedAgain.Status.Phases[0].State, failedAgain.Status.Status = lifecyclev1.StateFailed, lifecyclev1.StateFailed
	type told struct {
		Began, Ended bool
		Phases       []lifecyclev1.Phase
	}
	all := []lifecyclev1.Phase{"AppDeploy", "AppSoak", "AppPostDeployEvaluations"}
	cases := map[string]struct {
		reason        string
		before, after *lifecyclev1.KeptnAppVersion
		want          told
	}{
		"Created":   {"A record alone is no delivery yet.", nil, created, told{}},
		"Begins":    {"It has a start now.", created, rolling(), told{Began: true}},
		"GoesOn":    {"It is under way.", rolling(), rolling(), told{}},
		"Ends":      {"It has come to an end.", rolling(), recordtest.Delivered(), told{Ended: true, Phases: all}},
		"HadEnded":  {"What has ended does not end again.", recordtest.Delivered(), recordtest.Delivered(), told{}},
		"GivenUp":   {"What had ended is given up afterwards: it counts once.", recordtest.Delivered(), recordtest.Deprecated(), told{}},
		"Retry":     {"A retry that waits has not begun.", recordtest.Failed(), recordtest.Retrying(), told{}},
		"RetryEnds": {"It begins and ends again.", recordtest.Retrying(), recordtest.Retried(), told{Began: true, Ended: true, Phases: all}},
		"RetryFails": {
			"A retry that is asked for and fails within one write is a second end, though both records have one.",
			recordtest.Failed(), failedAgain, told{Began: true, Ended: true, Phases: all[:1]},
		},
		"Unknown": {"Nothing was known of it: all of it is news.", nil, recordtest.Delivered(), told{Began: true, Ended: true, Phases: all}},
		"NeverRan": {
			"A phase that never ran does not end.", rolling(), recordtest.Failed(), told{Ended: true, Phases: all[:1]},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before, after := record.OfApp(tc.before), record.OfApp(tc.after)
			got := told{Began: record.Began(before, after), Ended: record.Ended(before, after)}
			for _, rec := range record.PhasesEnded(before, after) {
				got.Phases = append(got.Phases, rec.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAnAttemptTakesFromItsOwnStartToItsEnd(t *testing.T) {
	startless, backwards := recordtest.Failed(), recordtest.Delivered()
	startless.Status.StartTime.Reset()
	backwards.Status.StartTime, backwards.Status.EndTime = recordtest.At(100), recordtest.At(0)
	cases := map[string]struct {
		reason  string
		kav     *lifecyclev1.KeptnAppVersion
		attempt int
		want    time.Duration
		known   bool
	}{
		"First":     {"From the start of the delivery.", recordtest.Delivered(), 0, 100 * time.Second, true},
		"Second":    {"From the phase that ran again, not the time that somebody took to ask for it.", recordtest.Retried(), 1, 100 * time.Second, true},
		"UnderWay":  {"What has not ended took no known time.", rolling(), 0, 0, false},
		"Asked":     {"A retry that has not begun took no known time.", recordtest.Retrying(), 1, 0, false},
		"NoStart":   {"What began at no known time took no known time.", startless, 0, 0, false},
		"Backwards": {"What cannot be true is not known.", backwards, 0, 0, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := record.OfApp(tc.kav)
			got, known := d.Duration()
			if known != tc.known || known && got != tc.want || d.Attempt() != tc.attempt {
				t.Errorf("%s\nDuration = %s, %t at attempt %d, want %s, %t at %d", tc.reason, got, known, d.Attempt(), tc.want, tc.known, tc.attempt)
			}
		})
	}
}

func TestTheLaterOfTwoRetriesIsTheAttempt(t *testing.T) {
	kav := recordtest.Retried()
	kav.Status.Phases[2].Attempt = 2
	kav.Status.Phases[2].StartTime, kav.Status.Phases[2].EndTime = recordtest.Ptr(recordtest.At(500)), recordtest.Ptr(recordtest.At(510))
	kav.Status.EndTime = recordtest.At(510)
	d := record.OfApp(kav)
	if got, _ := d.Duration(); d.Attempt() != 3 || got != 10*time.Second {
		t.Errorf("attempt %d took %s, want 10s for the third", d.Attempt(), got)
	}
}

func TestFactsAreAskedForWhereAPhaseWithChecksEnded(t *testing.T) {
	rolledOut := recordtest.Superseded()
	cases := map[string]struct {
		reason        string
		before, after *lifecyclev1.KeptnAppVersion
		want          bool
	}{
		"Checked": {"Its evaluation tells more than the record.", rolledOut, recordtest.Delivered(), true},
		"Rollout": {"A rollout has no checks.", rolling(), rolledOut, false},
		"Nothing": {"Nothing ended.", recordtest.Delivered(), recordtest.Delivered(), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := record.NeedsFacts(record.OfApp(tc.before), record.OfApp(tc.after)); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

func TestTheConclusionIsThatOfThePhaseThatEndedIt(t *testing.T) {
	for name, tc := range map[string]struct {
		reason string
		kav    *lifecyclev1.KeptnAppVersion
		want   [2]string
	}{
		"Failed":    {"What failed says why.", recordtest.Failed(), [2]string{"Failed", "1 of 3 replicas available after 5m"}},
		"Succeeded": {"The last that has something to say, where all passed.", recordtest.Delivered(), [2]string{"Warning", "error ratio 0.7 %"}},
	} {
		t.Run(name, func(t *testing.T) {
			reason, message := record.OfApp(tc.kav).Conclusion()
			if got := [2]string{reason, message}; got != tc.want {
				t.Errorf("%s\ngot %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestChecksEndOnce(t *testing.T) {
	task, running := recordtest.Task(), recordtest.Task()
	running.Status.Status = lifecyclev1.StateProgressing
	evaluation, evaluating := recordtest.Evaluation(), recordtest.Evaluation()
	evaluating.Status.OverallStatus = lifecyclev1.StateProgressing
	for name, tc := range map[string]struct {
		reason    string
		got, want bool
	}{
		"Task":           {"It has ended.", record.TaskEnded(&running, &task), true},
		"TaskAgain":      {"It had ended.", record.TaskEnded(&task, &task), false},
		"TaskRunning":    {"It runs.", record.TaskEnded(nil, &running), false},
		"TaskUnknown":    {"Nothing was known of it.", record.TaskEnded(nil, &task), true},
		"Evaluation":     {"It has ended.", record.EvaluationEnded(&evaluating, &evaluation), true},
		"EvaluatedAgain": {"It had ended.", record.EvaluationEnded(&evaluation, &evaluation), false},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, tc.got)
			}
		})
	}
}
