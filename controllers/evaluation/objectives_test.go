package evaluation_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/evaluation"
	"github.com/keptn/gitops/controllers/serving"
)

// objective is what a KeptnMetric has to be: its name, or <namespace>/<name>.
func objective(metric, target string) lifecyclev1.Objective {
	namespace, name, ok := strings.Cut(metric, "/")
	if !ok {
		namespace, name = "", metric
	}
	return lifecyclev1.Objective{KeptnMetricRef: lifecyclev1.KeptnMetricReference{Name: name, Namespace: namespace}, EvaluationTarget: target}
}

// retrying is how often and how fast is looked.
func retrying(times int, interval time.Duration) lifecyclev1.EvaluationRetries {
	return lifecyclev1.EvaluationRetries{Retries: times, RetryInterval: metav1.Duration{Duration: interval}}
}

// healthy is a KeptnEvaluationDefinition.
func healthy(namespace string, objectives ...lifecyclev1.Objective) *lifecyclev1.KeptnEvaluationDefinition {
	return &lifecyclev1.KeptnEvaluationDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "healthy"},
		Spec:       lifecyclev1.KeptnEvaluationDefinitionSpec{Objectives: objectives, EvaluationRetries: retrying(10, 5*time.Second)},
	}
}

// looking has an evaluation of the definition healthy that looks so often, 5 s apart.
func looking(t *testing.T, times int, others ...client.Object) *cluster {
	t.Helper()
	return newClusterOf(t, lifecyclev1.KeptnEvaluationSpec{EvaluationDefinition: "healthy", EvaluationRetries: retrying(times, 5*time.Second)}, nil, others...)
}

// set sets the value of a KeptnMetric; an empty one is none.
func (c *cluster) set(namespace, name, text string) {
	value := serving.Value{Text: text, HasValue: text != "", Time: c.clock.Now()}
	if _, err := fmt.Sscan(text, &value.Value); err != nil {
		value.HasValue = false
	}
	c.metrics[types.NamespacedName{Namespace: namespace, Name: name}] = value
}

// found are the objectives of an evaluation, each as <name> is <state>: <message>.
func found(e *lifecyclev1.KeptnEvaluation) []string {
	var all []string
	for name, item := range e.Status.EvaluationStatus {
		all = append(all, fmt.Sprintf("%s is %s: %s", name, item.Status, item.Message))
	}
	slices.Sort(all)
	return all
}

func ready(e *lifecyclev1.KeptnEvaluation) string {
	c := condition.Of(e, meta.ReadyCondition)
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}

func TestAnEvaluationLooksAsOftenAsItSays(t *testing.T) {
	const s = time.Second
	cases := map[string]struct {
		reason          string
		own, definition lifecyclev1.EvaluationRetries
		looks           int
		interval        time.Duration
	}{
		"Own":       {"An evaluation may say it itself.", retrying(3, s), retrying(7, 20*s), 3, s},
		"Default":   {"Where it says nothing its definition does.", retrying(10, 5*s), retrying(7, 20*s), 7, 20 * s},
		"Once":      {"No retries are one look.", retrying(0, 5*s), retrying(7, 20*s), 1, 20 * s},
		"NoneInGo":  {"Go leaves 0 retries out, and writes 0s where nothing is said.", retrying(10, 0), retrying(0, 20*s), 1, 20 * s},
		"TooOften":  {"A KeptnMetric is not measured more often than every second.", retrying(3, time.Millisecond), retrying(7, 20*s), 3, s},
		"AtOnce":    {"No interval is no endless loop.", retrying(3, 0), retrying(7, 0), 3, s},
		"Defaults":  {"Where nobody says anything they are Keptn's.", retrying(10, 5*s), retrying(10, 5*s), 10, 5 * s},
		"Overrules": {"Each is said by itself.", retrying(3, 5*s), retrying(7, 20*s), 3, 20 * s},
	}
	for name, tc := range cases {
		if looks, interval := evaluation.RetriesOf(tc.own, tc.definition); looks != tc.looks || interval != tc.interval {
			t.Errorf("%s: %s %d looks, %s apart", name, tc.reason, looks, interval)
		}
	}
}

func TestObjectivesThatAreMetEndAnEvaluation(t *testing.T) {
	c := looking(t, 10, healthy("shop", objective("cpu", "<11"), objective("mem", ">= 5")))
	c.set("shop", "cpu", "7")
	c.set("shop", "mem", "5")
	e, wait := c.reconcile(t)
	s := e.Status
	if wait != 0 || s.OverallStatus != lifecyclev1.StateSucceeded || s.Verdict != lifecyclev1.VerdictPass || s.RetryCount != 1 {
		t.Errorf("%s %q after %d, again in %s", s.OverallStatus, s.Verdict, s.RetryCount, wait)
	}
	if !s.StartTime.Time.Equal(noon()) || !s.EndTime.Time.Equal(noon()) || s.Summary != "2 of 2 objectives met" || ready(e) != "True Succeeded: 2 of 2 objectives met" {
		t.Errorf("%s to %s: %s; %s", s.StartTime, s.EndTime, s.Summary, ready(e))
	}
	if diff := cmp.Diff([]string{"cpu is Succeeded: value '7' met objective '<11'", "mem is Succeeded: value '5' met objective '>= 5'"}, found(e)); diff != "" {
		t.Errorf("objectives (-want +got):\n%s", diff)
	}
	want := []string{
		"Normal ReconcileEvaluationStatusChanged Reconcile Evaluation: evaluation status changed from Pending to Succeeded / Namespace: shop, Name: e",
		"Normal ReconcileEvaluationFinished Reconcile Evaluation: pass: 2 of 2 objectives met / Namespace: shop, Name: e",
	}
	if diff := cmp.Diff(want, c.told()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestAnObjectiveThatWasMetIsNotLookedAtAgain(t *testing.T) {
	c := looking(t, 3, healthy("shop", objective("cpu", "<11"), objective("mem", ">5")))
	c.set("shop", "cpu", "7")
	e, wait := c.reconcile(t)
	const summary = `1 of 2 objectives not met, look 1 of 3: mem: keptnmetrics.metrics.keptn.sh "mem" not found`
	if s := e.Status; s.OverallStatus != lifecyclev1.StateProgressing || wait != 5*time.Second || ready(e) != "Unknown NotMet: "+summary {
		t.Fatalf("%s, again in %s: %s", s.OverallStatus, wait, ready(e))
	}
	c.set("shop", "cpu", "20")
	c.set("shop", "mem", "6")
	c.restart(t, nil)
	c.clock.Step(3 * time.Second)
	if e, wait = c.reconcile(t); e.Status.RetryCount != 1 || wait != 2*time.Second {
		t.Fatalf("it looks %d times before its interval is over, again in %s", e.Status.RetryCount, wait)
	}
	c.clock.Step(wait)
	if e, wait = c.reconcile(t); e.Status.OverallStatus != lifecyclev1.StateSucceeded || wait != 0 {
		t.Errorf("%s: %s", e.Status.OverallStatus, e.Status.Summary)
	}
	if diff := cmp.Diff([]string{"cpu is Succeeded: value '7' met objective '<11'", "mem is Succeeded: value '6' met objective '>5'"}, found(e)); diff != "" {
		t.Errorf("objectives (-want +got):\n%s", diff)
	}
}

func TestAnObjectiveWithAnotherTargetIsLookedAtAgain(t *testing.T) {
	definition := healthy("shop", objective("cpu", "<11"), objective("mem", ">5"))
	c := looking(t, 10, definition)
	c.set("shop", "cpu", "7")
	_, wait := c.reconcile(t)
	definition.Spec.Objectives[0].EvaluationTarget = "<5"
	if err := c.Update(t.Context(), definition); err != nil {
		t.Fatal(err)
	}
	c.set("shop", "mem", "6")
	c.clock.Step(wait)
	e, _ := c.reconcile(t)
	if got := e.Status.EvaluationStatus["cpu"].Message; e.Status.OverallStatus != lifecyclev1.StateProgressing || got != "value '7' did not meet objective '<5'" {
		t.Errorf("%s: %s", e.Status.OverallStatus, got)
	}
}

func TestAnEvaluationFailsWithItsLastLook(t *testing.T) {
	cases := map[string]struct {
		reason  string
		retries int
		metAt   int // the look at which the objective is met, 0 for never
		looks   int
		state   lifecyclev1.KeptnState
		timeout bool
	}{
		"Never": {"It looks as often as it may.", 3, 0, 3, lifecyclev1.StateFailed, true},
		"Last":  {"What succeeds with the last look has succeeded (R75).", 3, 3, 3, lifecyclev1.StateSucceeded, false},
		"Once":  {"No retries are one look.", 0, 0, 1, lifecyclev1.StateFailed, true},
		"First": {"Which may be met.", 0, 1, 1, lifecyclev1.StateSucceeded, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := looking(t, tc.retries, healthy("shop", objective("cpu", "<5"), objective("mem", ">5")))
			c.set("shop", "mem", "6")
			for look, wait := 1, time.Second; wait > 0 && look < 10; look++ {
				c.set("shop", "cpu", "7")
				if look == tc.metAt {
					c.set("shop", "cpu", "4")
				}
				_, wait = c.reconcile(t)
				c.clock.Step(wait)
			}
			c.clock.Step(time.Hour)
			c.restart(t, nil)
			e, wait := c.reconcile(t)
			s := e.Status
			if s.RetryCount != tc.looks || s.OverallStatus != tc.state || wait != 0 {
				t.Errorf("%s %s after %d looks: %s", tc.reason, s.OverallStatus, s.RetryCount, s.Summary)
			}
			told := strings.Join(c.told(), "\n")
			for _, event := range []string{
				"Warning ReconcileEvaluationReconcileTimeout Reconcile Evaluation: retryCount exceeded / Namespace: shop, Name: e\n",
				fmt.Sprintf("Warning ReconcileEvaluationFailed Reconcile Evaluation: fail: 1 of 2 objectives not met, look %d of %d: cpu: value '7' did not meet objective '<5'\n", tc.looks, tc.looks),
				"evaluation of 'cpu' failed with value: '7' and reason: 'value '7' did not meet objective '<5''",
			} {
				if want := map[bool]int{true: 1}[tc.timeout]; strings.Count(told, event) != want {
					t.Errorf("%s %d of %q in\n%s", tc.reason, strings.Count(told, event), event, told)
				}
			}
			if tc.timeout && (s.Verdict != lifecyclev1.VerdictFail || !strings.HasPrefix(ready(e), "False Failed: ")) {
				t.Errorf("%s %q, %s", tc.reason, s.Verdict, ready(e))
			}
		})
	}
}

func TestObjectivesOnOneMetricAreToldApart(t *testing.T) {
	c := looking(t, 1, healthy("shop",
		objective("cpu", "<11"), objective("cpu", ">5"), objective("other/cpu", ">5"), objective("cpu", ">5"), objective("cpu", "broken")))
	c.set("shop", "cpu", "4")
	c.set("other", "cpu", "6")
	e, _ := c.reconcile(t)
	want := []string{
		"cpu >5 #2 is Failed: value '4' did not meet objective '>5'",
		"cpu >5 is Failed: value '4' did not meet objective '>5'",
		"cpu broken is Failed: invalid operator in evaluationTarget 'broken': write one of <, <=, >, >= and ==, and a number",
		"cpu is Succeeded: value '4' met objective '<11'",
		"other/cpu >5 is Succeeded: value '6' met objective '>5'",
	}
	if diff := cmp.Diff(want, found(e)); diff != "" || !strings.HasPrefix(e.Status.Summary, "3 of 5 objectives not met") {
		t.Errorf("%s (-want +got):\n%s", e.Status.Summary, diff)
	}
}

func TestAKeptnMetricIsThatOfTheNearestNamespace(t *testing.T) {
	cases := map[string]struct {
		reason string
		metric string
		has    map[string]string
		says   string
	}{
		"Own":     {"The evaluation's namespace goes first.", "cpu", map[string]string{"shop": "1", "keptn": "2"}, "value '1' met"},
		"Keptn":   {"Keptn's own has those that are for all.", "cpu", map[string]string{"keptn": "2"}, "value '2' met"},
		"Named":   {"The one that is named is the only one.", "other/cpu", map[string]string{"shop": "1", "other": "3"}, "value '3' met"},
		"Missing": {"And nothing stands in for it.", "other/cpu", map[string]string{"shop": "1", "keptn": "2"}, `keptnmetrics.metrics.keptn.sh "cpu" not found`},
		"Empty":   {"Nor for one without a value.", "cpu", map[string]string{"shop": "", "keptn": "2"}, "empty value for: cpu"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := looking(t, 1, healthy("shop", objective(tc.metric, ">0")))
			for namespace, value := range tc.has {
				c.set(namespace, "cpu", value)
			}
			e, _ := c.reconcile(t)
			if got := e.Status.EvaluationStatus["cpu"].Message; !strings.HasPrefix(got, tc.says) {
				t.Errorf("%s %q", tc.reason, got)
			}
		})
	}
}

func TestAnEvaluationWaitsForItsDefinition(t *testing.T) {
	for _, namespace := range []string{"shop", "keptn"} {
		c := looking(t, 10)
		c.set("shop", "cpu", "7")
		e, wait := c.reconcile(t)
		const says = `no KeptnEvaluationDefinition "healthy" in namespace shop or keptn: create it there`
		if s := e.Status; wait != 0 || s.OverallStatus != lifecyclev1.StatePending || s.RetryCount != 0 || ready(e) != "Unknown DefinitionNotFound: "+says {
			t.Fatalf("%s after %d, again in %s: %s", s.OverallStatus, s.RetryCount, wait, ready(e))
		}
		version := e.ResourceVersion
		if e, _ = c.reconcile(t); e.ResourceVersion != version {
			t.Error("what is written already is written again")
		}
		definition := healthy(namespace, objective("cpu", "<11"))
		if err := c.Create(t.Context(), definition); err != nil {
			t.Fatal(err)
		}
		if got := c.Evaluating(t.Context(), definition); len(got) != 1 || got[0].NamespacedName != client.ObjectKeyFromObject(e) {
			t.Errorf("a definition in %s wakes %v", namespace, got)
		}
		if e, _ = c.reconcile(t); e.Status.OverallStatus != lifecyclev1.StateSucceeded {
			t.Errorf("with a definition in %s: %s", namespace, e.Status.Summary)
		}
		if got := c.Evaluating(t.Context(), definition); len(got) != 0 {
			t.Errorf("a definition in %s wakes what has ended: %v", namespace, got)
		}
	}
}

func TestADefinitionWakesOnlyWhatLooksForIt(t *testing.T) {
	c := looking(t, 10)
	for name, spec := range map[string]lifecyclev1.KeptnEvaluationSpec{
		"other":    {EvaluationDefinition: "other"},
		"policy":   {EvaluationDefinition: "healthy", Policy: &gitopsv1alpha1.SLOPolicySpec{}},
		"analysis": {EvaluationDefinition: "healthy", AnalysisDefinition: &lifecyclev1.AnalysisDefinitionReference{Name: "healthy"}},
	} {
		if err := c.Create(t.Context(), &lifecyclev1.KeptnEvaluation{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: spec}); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.Evaluating(t.Context(), healthy("shop")); len(got) != 1 || got[0].Name != "e" {
		t.Errorf("a definition of the namespace wakes %v", got)
	}
	if got := c.Evaluating(t.Context(), healthy("elsewhere")); len(got) != 0 {
		t.Errorf("a definition of another namespace wakes %v", got)
	}
}

func TestADefinitionThatGoesIsWaitedFor(t *testing.T) {
	definition := healthy("shop", objective("cpu", "<5"))
	c := looking(t, 10, definition)
	c.set("shop", "cpu", "7")
	_, wait := c.reconcile(t)
	if err := c.Delete(t.Context(), definition); err != nil {
		t.Fatal(err)
	}
	c.clock.Step(wait)
	e, wait := c.reconcile(t)
	if s := e.Status; s.OverallStatus != lifecyclev1.StateProgressing || s.RetryCount != 1 || wait != 0 || !strings.HasPrefix(ready(e), "Unknown DefinitionNotFound: ") {
		t.Errorf("%s after %d, again in %s: %s", s.OverallStatus, s.RetryCount, wait, ready(e))
	}
}

func TestAnEvaluationThatIsDeletedIsLeftAlone(t *testing.T) {
	c := looking(t, 10)
	e, _ := c.reconcile(t)
	e.Finalizers = []string{"example.com/keep"}
	if err := c.Update(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), healthy("shop")); err != nil {
		t.Fatal(err)
	}
	if e, _ = c.reconcile(t); e.Status.OverallStatus != lifecyclev1.StatePending {
		t.Errorf("it is %s", e.Status.OverallStatus)
	}
}

func TestADefinitionWithoutObjectivesIsMet(t *testing.T) {
	c := looking(t, 10, healthy("shop"))
	if e, _ := c.reconcile(t); e.Status.OverallStatus != lifecyclev1.StateSucceeded || e.Status.Summary != "0 of 0 objectives met" {
		t.Errorf("%s: %s", e.Status.OverallStatus, e.Status.Summary)
	}
}

func TestANameThatIsTakenIsNumbered(t *testing.T) {
	taken := map[string]int{}
	var got []string
	for range 4 {
		name := evaluation.Free(taken, "a", "b")
		taken[name] = 1
		got = append(got, name)
	}
	if diff := cmp.Diff([]string{"a", "b", "b #2", "b #3"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
