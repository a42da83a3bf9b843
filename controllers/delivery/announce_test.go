package delivery

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/telemetry"
)

// said are the events that a recorder was given, without where they happened.
func said(r *events.FakeRecorder) []string {
	var lines []string
	for {
		select {
		case line := <-r.Events:
			before, _, _ := strings.Cut(line, " / ")
			lines = append(lines, before)
		default:
			return lines
		}
	}
}

// rec is the record of a phase that began, and ended if it has.
func rec(name lifecyclev1.Phase, state lifecyclev1.KeptnState, message string) lifecyclev1.PhaseRecord {
	r := lifecyclev1.PhaseRecord{Name: name, State: state, Message: message, StartTime: phase.Time(noon)}
	if state.Completed() {
		r.EndTime = phase.Time(noon)
	}
	return r
}

func never(name lifecyclev1.Phase, state lifecyclev1.KeptnState) lifecyclev1.PhaseRecord {
	return lifecyclev1.PhaseRecord{Name: name, State: state}
}

func TestEveryChangeIsToldOfOnceAndInOrder(t *testing.T) {
	const (
		tasks  = lifecyclev1.PhaseAppPreDeployTasks
		evals  = lifecyclev1.PhaseAppPreDeployEvaluations
		deploy = lifecyclev1.PhaseAppDeploy
	)
	of := func(whole lifecyclev1.KeptnState, phases ...lifecyclev1.PhaseRecord) lifecyclev1.Delivery {
		return lifecyclev1.Delivery{Status: whole, Phases: phases}
	}
	idle := func(name lifecyclev1.Phase) lifecyclev1.PhaseRecord {
		r := rec(name, succeeded, "nothing asked for")
		r.Reason = phase.NothingToDo
		return r
	}
	again := rec(tasks, failed, "once more")
	again.Attempt = 1
	retried := of(failed, again)
	retried.EndTime = metav1.NewTime(noon.Add(time.Minute))
	cases := map[string]struct {
		reason        string
		before, after lifecyclev1.Delivery
		want          []string
	}{
		"Begins": {"A phase that runs has started.", of(""), of(progressing, rec(tasks, progressing, "running a"), never(evals, pending)), []string{
			"Normal AppPreDeployTasksStarted App Pre-Deployment Tasks: has started",
		}},
		"GoesOn": {"What was told is not told again.", of(progressing, rec(tasks, progressing, "running a")), of(progressing, rec(tasks, progressing, "running b")), nil},
		"Passes": {
			"One phase ends and the next begins.",
			of(progressing, rec(tasks, progressing, ""), never(evals, pending)), of(progressing, rec(tasks, succeeded, "fine"), rec(evals, progressing, "")),
			[]string{
				"Normal AppPreDeployTasksFinished App Pre-Deployment Tasks: has finished: fine",
				"Normal AppPreDeployEvaluationsStarted App Pre-Deployment Evaluations: has started",
			},
		},
		"NothingToDo": {
			"Where nothing was to be done nothing is told.",
			of(""), of(succeeded, idle(tasks), idle(evals), rec(deploy, succeeded, "2 pods run 1")),
			[]string{
				"Normal AppDeployStarted App Deployment: has started",
				"Normal AppDeployFinished App Deployment: has finished: 2 pods run 1",
				"Normal AppCompletedFinished App Completed: has finished",
			},
		},
		"Fails": {
			"What never runs is not told of, and the whole is told last.",
			of(progressing, rec(tasks, progressing, ""), never(evals, pending)), of(failed, rec(tasks, failed, "exit 1"), never(evals, deprecated)),
			[]string{
				"Warning AppPreDeployTasksFailed App Pre-Deployment Tasks: has failed: exit 1",
				"Warning AppCompletedFailed App Completed: has failed",
			},
		},
		"Warns": {
			"A warning is told of.",
			of(progressing, rec(tasks, progressing, "")), of(progressing, rec(tasks, warning, "exit 1")),
			[]string{"Normal AppPreDeployTasksFinished App Pre-Deployment Tasks: has finished with a warning: exit 1"},
		},
		"WarnsAtOnce": {
			"Also where the phase ended as it began.",
			of(""), of(progressing, rec(tasks, warning, "not judged")),
			[]string{
				"Normal AppPreDeployTasksStarted App Pre-Deployment Tasks: has started",
				"Normal AppPreDeployTasksFinished App Pre-Deployment Tasks: has finished with a warning: not judged",
			},
		},
		"Inconclusive": {
			"What could not be decided is told so.",
			of(progressing, rec(evals, progressing, "")), of(unknown, rec(evals, unknown, "no data")),
			[]string{
				"Warning AppPreDeployEvaluationsFailed App Pre-Deployment Evaluations: could not be decided: no data",
				"Warning AppCompletedFailed App Completed: could not be decided",
			},
		},
		"Overtaken": {
			"Of what ran it is told that it was given up.",
			of(progressing, rec(tasks, succeeded, ""), rec(evals, progressing, "")), of(deprecated, rec(tasks, succeeded, ""), rec(evals, deprecated, "newer"), never(deploy, deprecated)),
			[]string{
				"Normal AppPreDeployEvaluationsDeprecated App Pre-Deployment Evaluations: was given up: newer",
				"Normal AppCompletedDeprecated App Completed: was given up",
			},
		},
		"DeliveredAgain": {
			"Of what had ended nothing more is told.",
			of(succeeded, rec(tasks, succeeded, ""), rec(deploy, succeeded, "")), of(deprecated, rec(tasks, deprecated, "again"), rec(deploy, deprecated, "again")),
			[]string{"Normal AppCompletedDeprecated App Completed: was given up"},
		},
		"Retried": {
			"A phase that runs again is told of again, also where all of it happens at once.",
			of(failed, rec(tasks, failed, "exit 1")), retried,
			[]string{
				"Normal AppPreDeployTasksStarted App Pre-Deployment Tasks: has started",
				"Warning AppPreDeployTasksFailed App Pre-Deployment Tasks: has failed: once more",
				"Warning AppCompletedFailed App Completed: has failed",
			},
		},
		"Ended": {"Nothing changed.", of(failed, rec(tasks, failed, "exit 1")), of(failed, rec(tasks, failed, "exit 1")), nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(20)
			(&AppVersionReconciler{Events: recorder}).teller(appVersion("x", 1, "1")).announce(&tc.before, &tc.after, appCompleted)
			if diff := cmp.Diff(tc.want, said(recorder)); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAnEventSaysWhereItHappened(t *testing.T) {
	begins := func(name lifecyclev1.Phase) *lifecyclev1.Delivery {
		return &lifecyclev1.Delivery{Phases: []lifecyclev1.PhaseRecord{rec(name, progressing, "")}}
	}
	told := events.NewFakeRecorder(1)
	told.Verbose = true
	kav, kwv := appVersion("shop-2", 1, "2"), workloadVersion("shop-cart-1", 1, "1.0")
	cases := map[string]struct {
		reason string
		tell   func()
		want   string
	}{
		"Workload": {
			"The annotations are Keptn's (O33).",
			func() {
				r := &WorkloadVersionReconciler{Events: told}
				r.teller(kwv).announce(&lifecyclev1.Delivery{}, begins(lifecyclev1.PhaseWorkloadPreDeployTasks), workloadCompleted)
			},
			"Normal WorkloadPreDeployTasksStarted WorkloadPreDeployTasks Workload Pre-Deployment Tasks: has started / Namespace: shop, Name: shop-cart-1, Version: 1.0" +
				" map[appName:shop name:shop-cart-1 namespace:shop phase:WorkloadPreDeployTasks workloadName:shop-cart workloadVersion:1.0 workloadVersionName:shop-cart-1]",
		},
		"App": {
			"There is no trace to be named where none is exported.",
			func() {
				(&AppVersionReconciler{Events: told}).teller(kav).announce(&lifecyclev1.Delivery{}, begins(lifecyclev1.PhaseAppDeploy), appCompleted)
			},
			"Normal AppDeployStarted AppDeploy App Deployment: has started / Namespace: shop, Name: shop-2, Version: 2" +
				" map[appName:shop appVersion:2 appVersionName:shop-2 name:shop-2 namespace:shop phase:AppDeploy]",
		},
		"Traced": {
			"The trace is the delivery's.",
			func() {
				r := &AppVersionReconciler{Events: told, Traced: true}
				r.teller(kav).announce(&lifecyclev1.Delivery{}, begins(lifecyclev1.PhaseAppDeploy), appCompleted)
			},
			"Normal AppDeployStarted AppDeploy App Deployment: has started / Namespace: shop, Name: shop-2, Version: 2" +
				" map[appName:shop appVersion:2 appVersionName:shop-2 name:shop-2 namespace:shop phase:AppDeploy traceparent:" + telemetry.Traceparent(kav.UID) + "]",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.tell()
			if diff := cmp.Diff(tc.want, <-told.Events); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestEveryPhaseHasALongName(t *testing.T) {
	for _, name := range []lifecyclev1.Phase{appCompleted, workloadCompleted, reconcileWorkload, createTask, createEvaluation} {
		if longName(name) == "" {
			t.Errorf("%s has none", name)
		}
	}
	for _, p := range (&AppVersionReconciler{}).phases() {
		if longName(p.Name) == "" {
			t.Errorf("%s has none", p.Name)
		}
	}
	for _, p := range (&WorkloadVersionReconciler{}).phases() {
		if longName(p.Name) == "" {
			t.Errorf("%s has none", p.Name)
		}
	}
}

func TestTroubleIsToldOf(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{}, "x", errors.New("written in between"))
	going := apierrors.NewForbidden(schema.GroupResource{}, "x", errors.New("it is being terminated"))
	going.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	not := func(step lifecyclev1.Phase, err error) error {
		return fmt.Errorf("%s: %w", lifecyclev1.PhaseAppPreDeployTasks, &createError{step, err})
	}
	cases := map[string]struct {
		reason string
		at     lifecyclev1.Phase
		err    error
		want   []string
	}{
		"None":     {"All is well.", lifecyclev1.PhaseAppDeploy, nil, nil},
		"Trouble":  {"It is tried again (R43).", lifecyclev1.PhaseAppDeploy, errors.New("no rights"), []string{"Warning AppDeployReconcileError App Deployment: could not get reconciled: no rights"}},
		"Conflict": {"Somebody else wrote in between.", lifecyclev1.PhaseAppDeploy, conflict, nil},
		"NoPhase":  {"Nothing has begun.", "", errors.New("no rights"), nil},
		"NoTask": {
			"What could not be created is named, as with Keptn (O31).", lifecyclev1.PhaseAppPreDeployTasks, not(createTask, errors.New("no quota")),
			[]string{"Warning CreateTaskFailed Create Task: could not create KeptnTask: AppPreDeployTasks: no quota"},
		},
		"NoEvaluation": {
			"So it is of evaluations.", lifecyclev1.PhaseAppPreDeployEvaluations, not(createEvaluation, errors.New("no quota")),
			[]string{"Warning CreateEvaluationFailed Create Evaluation: could not create KeptnEvaluation: AppPreDeployTasks: no quota"},
		},
		"Terminating": {"The namespace goes, and no event can be written there.", lifecyclev1.PhaseAppPreDeployTasks, not(createTask, going), nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(1)
			(&AppVersionReconciler{Events: recorder}).teller(appVersion("x", 1, "1")).complain(t.Context(), &lifecyclev1.Delivery{CurrentPhase: tc.at}, tc.err)
			if diff := cmp.Diff(tc.want, said(recorder)); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}
