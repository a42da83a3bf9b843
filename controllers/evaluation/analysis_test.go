package evaluation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/evaluation"
)

// analysed is an evaluation of the AnalysisDefinition checkout.
func analysed(namespace string) lifecyclev1.KeptnEvaluationSpec {
	return lifecyclev1.KeptnEvaluationSpec{
		AppName: "shop", AppVersion: "1", EvaluationDefinition: "checkout",
		Type:               lifecyclev1.PostDeploymentEvaluationCheckType,
		AnalysisDefinition: &lifecyclev1.AnalysisDefinitionReference{Name: "checkout", Namespace: namespace},
	}
}

// analysis is the Analysis that an evaluation names.
func (c *cluster) analysis(t *testing.T, e *lifecyclev1.KeptnEvaluation) *metricsv1.Analysis {
	t.Helper()
	var a metricsv1.Analysis
	if err := c.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: e.Status.AnalysisName}, &a); err != nil {
		t.Fatal(err)
	}
	return &a
}

func TestAnAnalysisJudgesWhatCameSinceTheRollout(t *testing.T) {
	now := noon().Add(time.Hour)
	recent := metricsv1.Timeframe{Recent: metav1.Duration{Duration: 5 * time.Minute}}
	cases := map[string]struct {
		reason string
		spec   lifecyclev1.KeptnEvaluationSpec
		window metricsv1.Timeframe
		args   map[string]string
	}{
		"AfterRollout": {
			"All that came since the end of the rollout counts.",
			lifecyclev1.KeptnEvaluationSpec{
				AppName: "shop", AppVersion: "1", Type: "post-eval", Commit: &lifecyclev1.Commit{SHA: "4b825dc"},
				Rollout: &lifecyclev1.Rollout{Environment: "production", StartedAt: after(0), FinishedAt: after(time.Minute)},
			},
			metricsv1.Timeframe{From: *after(time.Minute), To: *after(time.Hour)},
			map[string]string{"app": "shop", "version": "1", "environment": "production", "commit": "4b825dc"},
		},
		"AtOnce": {
			"A rollout that is just over has nothing to judge yet.",
			lifecyclev1.KeptnEvaluationSpec{AppName: "shop", Type: "post-eval", Rollout: &lifecyclev1.Rollout{FinishedAt: after(time.Hour - 59*time.Second)}},
			recent, map[string]string{"app": "shop"},
		},
		"AMinute": {
			"A minute is enough.",
			lifecyclev1.KeptnEvaluationSpec{AppName: "shop", Type: "post-eval", Rollout: &lifecyclev1.Rollout{FinishedAt: after(59 * time.Minute)}},
			metricsv1.Timeframe{From: *after(59 * time.Minute), To: *after(time.Hour)}, map[string]string{"app": "shop"},
		},
		"Unfinished": {
			"Nobody knows when it was over.",
			lifecyclev1.KeptnEvaluationSpec{AppName: "shop", Type: "post-eval", Rollout: &lifecyclev1.Rollout{}},
			recent, map[string]string{"app": "shop"},
		},
		"Before": {
			"Before a rollout, that of the previous one says nothing.",
			lifecyclev1.KeptnEvaluationSpec{AppName: "shop", Type: "pre-eval", Rollout: &lifecyclev1.Rollout{FinishedAt: after(0)}},
			recent, map[string]string{"app": "shop"},
		},
		"Workload": {
			"The version is that of what is evaluated.",
			lifecyclev1.KeptnEvaluationSpec{AppName: "shop", AppVersion: "1", Workload: "shop-cart", WorkloadVersion: "2", Type: "post-eval"},
			recent, map[string]string{"app": "shop", "workload": "shop-cart", "version": "2"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.spec.AnalysisDefinition = &lifecyclev1.AnalysisDefinitionReference{Name: "checkout", Namespace: "keptn"}
			e := &lifecyclev1.KeptnEvaluation{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "e", UID: "1"}, Spec: tc.spec}
			want := metricsv1.AnalysisSpec{
				Timeframe: tc.window, Args: tc.args, AnalysisDefinition: metricsv1.ObjectReference{Name: "checkout", Namespace: "keptn"},
			}
			if diff := cmp.Diff(want, evaluation.AnalysisOf(e, now).Spec); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAnAnalysisIsNamedAfterItsEvaluation(t *testing.T) {
	named := func(name string, uid types.UID) string {
		return evaluation.AnalysisName(&lifecyclev1.KeptnEvaluation{ObjectMeta: metav1.ObjectMeta{Name: name, UID: uid}})
	}
	if got := named("post-eval-checkout", "1"); !strings.HasPrefix(got, "post-eval-checkout-") || got != named("post-eval-checkout", "1") {
		t.Errorf("%q", got)
	}
	if named("e", "1") == named("e", "2") {
		t.Error("an evaluation takes over the Analysis of one that is gone")
	}
	long := strings.Repeat("a", 241) + ".-" + strings.Repeat("b", 10)
	if got := named(long, "1"); len(got) > 253 || strings.Contains(got, ".-") || strings.Contains(got, "--") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

func TestAnEvaluationFollowsItsAnalysis(t *testing.T) {
	const raw = `{"objectiveResults":[
		{"result":{"pass":true},"objective":{"analysisValueTemplateRef":{"name":"latency"}},"value":7.5,"query":"q","score":1},
		{"result":{"warning":true},"objective":{"analysisValueTemplateRef":{"name":"errors"}},"value":2,"query":"q","score":0.5},
		{"result":{},"objective":{"analysisValueTemplateRef":{"name":"errors"}},"value":2,"query":"q","score":0},
		{"result":{},"objective":{"analysisValueTemplateRef":{"name":"load","namespace":"ops"}},"value":0,"query":"q","score":0,"error":"no data"}],
		"totalScore":1.5,"maximumScore":4}`
	cases := map[string]struct {
		reason  string
		status  metricsv1.AnalysisStatus
		state   lifecyclev1.KeptnState
		verdict lifecyclev1.Verdict
		ready   string
		score   string
		found   []string
	}{
		"Passes":  {"All is well.", metricsv1.AnalysisStatus{State: "Completed", Pass: true, Message: "4 of 4 points, 100%", Raw: `{"totalScore":4,"maximumScore":4}`}, "Succeeded", "pass", "True Succeeded: 4 of 4 points, 100%", "4/4", nil},
		"Warns":   {"A warning holds up nobody (R36).", metricsv1.AnalysisStatus{State: "Completed", Warning: true, Message: "3 of 4 points, 75%"}, "Warning", "warning", "True Warning: 3 of 4 points, 75%", "/", nil},
		"Fails":   {"A failure is one.", metricsv1.AnalysisStatus{State: "Completed", Message: "1.5 of 4 points, 37.5%", Raw: raw}, "Failed", "fail", "False Failed: 1.5 of 4 points, 37.5%", "1.5/4", []string{"errors #2 is Failed: value '2' has 0 points", "errors is Warning: value '2' has 0.5 points", "latency is Succeeded: value '7.5' has 1 points", "load-ops is Failed: no data"}},
		"Errors":  {"What could not be measured does not pass.", metricsv1.AnalysisStatus{State: "Completed", Message: "no result within 10m0s: errors: no data", Raw: `{}`}, "Failed", "fail", "False Failed: no result within 10m0s: errors: no data", "0/0", nil},
		"Waits":   {"It says what it waits for.", metricsv1.AnalysisStatus{State: "Progressing", Message: `no AnalysisDefinition "checkout" in namespace "shop": create it there`}, "Progressing", "", `Unknown Analysing: Analysis e-6b86b273ff: no AnalysisDefinition "checkout" in namespace "shop": create it there`, "/", nil},
		"Mangled": {"A result that cannot be read does not hide the verdict.", metricsv1.AnalysisStatus{State: "Completed", Pass: true, Message: "passed", Raw: "{"}, "Succeeded", "pass", "True Succeeded: passed", "/", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := newClusterOf(t, analysed(""), nil)
			e, wait := c.reconcile(t)
			if s := e.Status; wait != 0 || s.OverallStatus != lifecyclev1.StateProgressing || s.AnalysisName != "e-6b86b273ff" || ready(e) != "Unknown Analysing: Analysis e-6b86b273ff: begins" {
				t.Fatalf("%s %s, again in %s: %s", s.OverallStatus, s.AnalysisName, wait, ready(e))
			}
			a := c.analysis(t, e)
			if !metav1.IsControlledBy(a, e) {
				t.Errorf("the Analysis is owned by %v", a.OwnerReferences)
			}
			a.Status = tc.status
			if err := c.Status().Update(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			c.restart(t, nil)
			e, _ = c.reconcile(t)
			s := e.Status
			if s.OverallStatus != tc.state || s.Verdict != tc.verdict || ready(e) != tc.ready || s.Score+"/"+s.MaxScore != tc.score || s.EndTime.IsZero() == s.OverallStatus.Completed() {
				t.Errorf("%s %s %q, %s points: %s", tc.reason, s.OverallStatus, s.Verdict, s.Score+"/"+s.MaxScore, ready(e))
			}
			if diff := cmp.Diff(tc.found, found(e)); diff != "" {
				t.Errorf("%s Objectives (-want +got):\n%s", tc.reason, diff)
			}
			if got := strings.Count(strings.Join(c.told(), "\n"), "ReconcileEvaluationReconcileTimeout"); got > 0 {
				t.Error("an analysis has no retries to exceed")
			}
		})
	}
}

func TestAnAnalysisIsMadeOnce(t *testing.T) {
	c := newClusterOf(t, analysed("keptn"), nil)
	e, _ := c.reconcile(t)
	a := c.analysis(t, e)
	version := a.ResourceVersion
	e.Status = lifecyclev1.KeptnEvaluationStatus{} // the controller ended before it wrote the status
	if err := c.Status().Update(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	c.clock.Step(time.Hour)
	c.restart(t, nil)
	e, _ = c.reconcile(t)
	if again := c.analysis(t, e); again.UID != a.UID || again.ResourceVersion != version {
		t.Errorf("there is another one, or it was changed: %+v", again)
	}
	if err := c.Delete(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	e, _ = c.reconcile(t)
	if c.analysis(t, e).Name != a.Name {
		t.Error("one that was deleted by hand is not made again")
	}
}

func TestAnAnalysisDefinitionOutOfReachEndsTheEvaluation(t *testing.T) {
	c := newClusterOf(t, analysed("other"), nil)
	e, wait := c.reconcile(t)
	const says = `the AnalysisDefinition "checkout" of namespace other is out of reach: one of namespace shop or keptn can be named`
	if s := e.Status; wait != 0 || s.OverallStatus != lifecyclev1.StateUnknown || s.Summary != says || s.AnalysisName != "" {
		t.Errorf("%s: %s", s.OverallStatus, s.Summary)
	}
	var all metricsv1.AnalysisList
	if err := c.List(t.Context(), &all); err != nil || len(all.Items) != 0 {
		t.Errorf("%d analyses, %v", len(all.Items), err)
	}
}

func TestAnAnalysisOfSomebodyElseIsNotFollowed(t *testing.T) {
	foreign := &metricsv1.Analysis{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "e-6b86b273ff"}, Status: metricsv1.AnalysisStatus{State: "Completed", Pass: true}}
	c := newClusterOf(t, analysed(""), nil, foreign)
	if e, _ := c.reconcile(t); e.Status.OverallStatus != lifecyclev1.StateUnknown || !strings.Contains(e.Status.Summary, `"e-6b86b273ff"`) {
		t.Errorf("%s: %s", e.Status.OverallStatus, e.Status.Summary)
	}
}
