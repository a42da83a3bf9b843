package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/metrics"
	"github.com/keptn/gitops/controllers/provider"
	"github.com/keptn/gitops/policy/analysis"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/fabric"
)

func TestTheWindowIsFixedWhenAnAnalysisBegins(t *testing.T) {
	at := func(after time.Duration) metav1.Time { return metav1.NewTime(noon().Add(after)) }
	cases := map[string]struct {
		reason    string
		spec      metricsv1.Timeframe
		known     metricsv1.AnalysisStatus
		from, to  metav1.Time
		tolerance time.Duration
	}{
		"Recent":  {"The recent past ends now.", metricsv1.Timeframe{Recent: metav1.Duration{Duration: 5 * time.Minute}}, metricsv1.AnalysisStatus{}, at(-5 * time.Minute), at(0), 2 * time.Second},
		"Short":   {"A short one is shared for a second.", metricsv1.Timeframe{Recent: metav1.Duration{Duration: time.Minute}}, metricsv1.AnalysisStatus{}, at(-time.Minute), at(0), time.Second},
		"Long":    {"A long one for five.", metricsv1.Timeframe{Recent: metav1.Duration{Duration: 24 * time.Hour}}, metricsv1.AnalysisStatus{}, at(-24 * time.Hour), at(0), 5 * time.Second},
		"FromTo":  {"A window is what it is.", metricsv1.Timeframe{From: at(-2 * time.Hour), To: at(-time.Hour)}, metricsv1.AnalysisStatus{}, at(-2 * time.Hour), at(-time.Hour), 0},
		"Retried": {"A retry, also after a restart, judges the same window.", metricsv1.Timeframe{Recent: metav1.Duration{Duration: 5 * time.Minute}}, metricsv1.AnalysisStatus{Timeframe: metricsv1.Timeframe{From: at(-time.Hour), To: at(-30 * time.Minute)}}, at(-time.Hour), at(-30 * time.Minute), 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a := &metricsv1.Analysis{ObjectMeta: metav1.ObjectMeta{Generation: 7}, Spec: metricsv1.AnalysisSpec{Timeframe: tc.spec}, Status: tc.known}
			var asked time.Duration
			metrics.Begin(a, noon(), func(now time.Time, tolerance time.Duration) time.Time {
				asked = tolerance
				return now
			})
			got := a.Status.Timeframe
			if !got.From.Equal(&tc.from) || !got.To.Equal(&tc.to) || asked != tc.tolerance {
				t.Errorf("%s: %s to %s within %s, want %s to %s within %s", tc.reason, got.From, got.To, asked, tc.from, tc.to, tc.tolerance)
			}
			if a.Status.ObservedGeneration != 7 {
				t.Errorf("generation %d is observed", a.Status.ObservedGeneration)
			}
			if began := tc.known.Timeframe.To.IsZero(); began != (a.Status.State == metricsv1.StateProgressing) {
				t.Errorf("the state is %q", a.Status.State)
			}
		})
	}
}

func TestAnAnalysisWithoutValuesIsRepeatedLessAndLessOftenUntilItsTimeout(t *testing.T) {
	for _, tc := range []struct {
		reason         string
		timeout, after time.Duration
		recheck        time.Duration
		completed      bool
	}{
		{"At first soon.", 0, 0, 2 * time.Second, false},
		{"Then after as long as it has tried.", 0, 8 * time.Second, 8 * time.Second, false},
		{"But every 30 s at least.", 0, 5 * time.Minute, 30 * time.Second, false},
		{"The last time when the time is over.", 0, 10*time.Minute - time.Second, time.Second, false},
		{"Which is 10 minutes by default: Keptn tries without end.", 0, 10 * time.Minute, 0, true},
		{"Or what the spec says.", time.Second, 2 * time.Second, 0, true},
	} {
		a := &metricsv1.Analysis{Status: metricsv1.AnalysisStatus{State: metricsv1.StateProgressing, StartTime: metav1.NewTime(noon())}}
		if tc.timeout > 0 {
			a.Spec.Timeout = &metav1.Duration{Duration: tc.timeout}
		}
		lucky := analysis.Result{Pass: true, Warning: true}
		recheck, err := metrics.Postpone(a, noon().Add(tc.after), lucky, errors.New("errors: no data"))
		s := a.Status
		if err != nil || recheck != tc.recheck || (s.State == metricsv1.StateCompleted) != tc.completed {
			t.Errorf("%s It is %s, again after %s, error %v", tc.reason, s.State, recheck, err)
		}
		if !strings.Contains(s.Message, "errors: no data") || s.Pass || s.Warning {
			t.Errorf("%s Message %q, pass %t, warning %t", tc.reason, s.Message, s.Pass, s.Warning)
		}
	}
}

func TestACompletedAnalysisSaysHowItEnded(t *testing.T) {
	cases := map[string]struct {
		reason  string
		result  analysis.Result
		problem string
		ready   string
		message string
	}{
		"Pass":    {"Enough was reached.", analysis.Result{Pass: true, TotalScore: 3.5, MaximumScore: 4}, "", "True Passed", "3.5 of 4 points, 87.5%"},
		"Warning": {"A warning holds up nobody.", analysis.Result{Warning: true, TotalScore: 2, MaximumScore: 3}, "", "True Warning", "2 of 3 points, 66.67%"},
		"Fail":    {"Not enough was reached.", analysis.Result{MaximumScore: 4}, "", "False Failed", "0 of 4 points, 0%"},
		"Problem": {"What was missing goes before points.", analysis.Result{MaximumScore: 4}, "no result within 10m0s: no data", "False Failed", "no result within 10m0s: no data"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a := &metricsv1.Analysis{Status: metricsv1.AnalysisStatus{StoredValues: map[string]metricsv1.ProviderResult{"errors": {}}}}
			if err := metrics.Complete(a, tc.result, tc.problem); err != nil {
				t.Fatal(err)
			}
			s, ready := a.Status, condition.Of(a, meta.ReadyCondition)
			if got := string(ready.Status) + " " + ready.Reason; got != tc.ready || s.Message != tc.message {
				t.Errorf("%s: %s, %q", tc.reason, got, s.Message)
			}
			if s.State != metricsv1.StateCompleted || s.Pass != tc.result.Pass || s.Warning != tc.result.Warning || s.StoredValues != nil || s.Raw == "" {
				t.Errorf("%s: %+v", tc.reason, s)
			}
		})
	}
}

// A server is all providers of a cluster. It answers with 0, 1, 2 and 3, and without
// a step with the newest of them.
type server struct {
	mu    sync.Mutex
	asked []string
	args  map[string]string // of the newest question
}

// Query implements metric.Querier.
func (s *server) Query(_ context.Context, q metric.Query) (metric.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, fmt.Sprintf("%s %s %s", q.Expr, q.Window, q.Step))
	s.args = q.Args
	if q.Expr == "nothing" {
		return metric.Result{}, metric.ErrNoData
	}
	var samples []metric.Sample
	for i := range 4 {
		samples = append(samples, metric.Sample{Time: q.At, Value: float64(i)})
	}
	if q.Step == 0 {
		samples = samples[3:]
	}
	return metric.Result{Series: []metric.Series{{Samples: samples}}}, nil
}

// analysing is a reconciler of a cluster with these objects.
func analysing(t *testing.T, s *server, foreign bool, objects ...client.Object) *metrics.AnalysisReconciler {
	t.Helper()
	c := inCluster(t, objects...)
	providers, err := provider.New(c, fabric.New(func(connect.Server) (metric.Querier, error) { return s, nil }), clock.RealClock{}, provider.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &metrics.AnalysisReconciler{Client: c, Clock: clock.RealClock{}, Providers: providers, Foreign: foreign}
}

func template(namespace, name, query string, in metricsv1.ObjectReference) *metricsv1.AnalysisValueTemplate {
	return &metricsv1.AnalysisValueTemplate{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       metricsv1.AnalysisValueTemplateSpec{Provider: in, Query: query},
	}
}

func prometheus(namespace, name string) *metricsv1.KeptnMetricsProvider {
	return &metricsv1.KeptnMetricsProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: "http://" + namespace},
	}
}

// over is an Analysis of 5 minutes, and the definition in namespace slos of the
// objectives.
func over(objectives ...metricsv1.ObjectReference) (*metricsv1.Analysis, *metricsv1.AnalysisDefinition) {
	a := &metricsv1.Analysis{ObjectMeta: metav1.ObjectMeta{Namespace: "shop"}, Spec: metricsv1.AnalysisSpec{Args: map[string]string{"app": "cart"}}}
	a.Status.Timeframe.From, a.Status.Timeframe.To = metav1.NewTime(noon().Add(-5*time.Minute)), metav1.NewTime(noon())
	d := &metricsv1.AnalysisDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: "slos"}}
	for _, o := range objectives {
		d.Spec.Objectives = append(d.Spec.Objectives, metricsv1.Objective{AnalysisValueTemplateRef: o})
	}
	return a, d
}

func TestReferencesAreToTheNamespaceOfTheDefinition(t *testing.T) {
	here, there := metricsv1.ObjectReference{Name: "p"}, metricsv1.ObjectReference{Name: "p", Namespace: "monitoring"}
	objects := []client.Object{
		prometheus("slos", "p"), prometheus("monitoring", "p"),
		template("slos", "plain", "one", here), template("slos", "reaching", "two", there),
		template("slis", "shared", "three", here), template("shop", "plain", "never", here),
	}
	plain, reaching := metricsv1.ObjectReference{Name: "plain"}, metricsv1.ObjectReference{Name: "reaching"}
	shared, gone := metricsv1.ObjectReference{Name: "shared", Namespace: "slis"}, metricsv1.ObjectReference{Name: "gone"}
	outcome := func(v analysis.Value) string {
		if v.Err != nil {
			return v.Err.Error()
		}
		return fmt.Sprintf("%s=%g", v.Query, v.Value)
	}
	const refused = ": references to other namespaces are switched off by the controller's flag --no-cross-namespace-refs"
	for foreign, want := range map[bool][]string{
		true:  {"one=3", "two=3", "three=3", `no AnalysisValueTemplate "gone" in namespace "slos": create it there`},
		false: {"one=3", `"p" in namespace "monitoring"` + refused, `"shared" in namespace "slis"` + refused, `no AnalysisValueTemplate "gone" in namespace "slos": create it there`},
	} {
		a, d := over(plain, reaching, shared, gone)
		values := analysing(t, &server{}, foreign, objects...).Values(t.Context(), a, d)
		var got []string
		for _, o := range []metricsv1.ObjectReference{plain, reaching, shared, gone} {
			got = append(got, outcome(values[o]))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("other namespaces allowed: %t (-want +got):\n%s", foreign, diff)
		}
	}
}

func TestAQueryIsTheTemplatesOverTheWindow(t *testing.T) {
	mean, fine := template("slos", "mean", "b", metricsv1.ObjectReference{Name: "p"}), template("slos", "fine", "c", metricsv1.ObjectReference{Name: "p"})
	mean.Spec.Aggregation = "avg"
	fine.Spec.Aggregation, fine.Spec.Step = "max", &metav1.Duration{Duration: 15 * time.Second}
	s := &server{}
	r := analysing(t, s, true, prometheus("slos", "p"), mean, fine,
		template("slos", "filled", "up{app=\"{{.app}}\"}", metricsv1.ObjectReference{Name: "p"}),
		template("slos", "argless", "up{app=\"{{.service}}\"}", metricsv1.ObjectReference{Name: "p"}))
	a, d := over(metricsv1.ObjectReference{Name: "filled"}, metricsv1.ObjectReference{Name: "mean"}, metricsv1.ObjectReference{Name: "fine"}, metricsv1.ObjectReference{Name: "argless"})
	values := r.Values(t.Context(), a, d)
	for name, want := range map[string]float64{"filled": 3, "mean": 1.5, "fine": 3} {
		if v := values[metricsv1.ObjectReference{Name: name}]; v.Err != nil || v.Value != want {
			t.Errorf("%s is %g, error %v, want %g", name, v.Value, v.Err, want)
		}
	}
	if err := values[metricsv1.ObjectReference{Name: "argless"}].Err; err == nil || !strings.Contains(err.Error(), "service") {
		t.Errorf("an arg that is missing is the error %v", err)
	}
	asked := map[string]bool{}
	for _, q := range s.asked {
		asked[q] = true
	}
	if diff := cmp.Diff(map[string]bool{`up{app="cart"} 5m0s 0s`: true, "b 5m0s 1m0s": true, "c 5m0s 15s": true}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestAnalysesThatAskTheSameShareIt(t *testing.T) {
	s, p := &server{}, metricsv1.ObjectReference{Name: "p"}
	r := analysing(t, s, true, prometheus("slos", "p"), template("slos", "load", `load{app="{{.app}}"}`, p))
	for _, run := range []string{"1", "2"} {
		a, d := over(metricsv1.ObjectReference{Name: "load"})
		a.Spec.Args["run"] = run
		r.Values(t.Context(), a, d)
	}
	if len(s.asked) != 1 {
		t.Errorf("asked %q, although only an arg that the query does not read is another", s.asked)
	}
	a, d := over(metricsv1.ObjectReference{Name: "load"})
	a.Spec.Args["metricPath"], a.Spec.Args["index"] = "latency.value", "logs"
	r.Values(t.Context(), a, d)
	if diff := cmp.Diff(map[string]string{"metricPath": "latency.value", "index": "logs"}, s.args); diff != "" {
		t.Errorf("elastic reads two (-want +got):\n%s", diff)
	}
}

func TestWhatIsKnownIsNotAskedAgain(t *testing.T) {
	p := metricsv1.ObjectReference{Name: "p"}
	s := &server{}
	r := analysing(t, s, true, prometheus("slos", "p"), template("slos", "a", "a", p), template("slos", "b", "nothing", p),
		template("slos", "a-b", "ab", p), template("b", "a", "a in b", p))
	ab, aInB := metricsv1.ObjectReference{Name: "a-b"}, metricsv1.ObjectReference{Name: "a", Namespace: "b"}
	a, d := over(metricsv1.ObjectReference{Name: "a"}, metricsv1.ObjectReference{Name: "b"})
	r.Values(t.Context(), a, d)
	if got := a.Status.StoredValues["a"]; got.Value != "3" || got.ErrMsg != "" {
		t.Errorf("a is stored as %+v", got)
	}
	if got := a.Status.StoredValues["b"]; got.Value != "" || got.ErrMsg != "no data" || got.Query != "nothing" {
		t.Errorf("b is stored as %+v", got)
	}
	for range 3 { // Keptn forgets what it knew at every other try (A27)
		s.asked = nil
		r.Values(t.Context(), a, d)
		for _, q := range s.asked {
			if strings.HasPrefix(q, "a ") {
				t.Error("what is known was asked again")
			}
		}
		if a.Status.StoredValues["a"].Value != "3" {
			t.Error("what was known is forgotten")
		}
	}
	a, d = over(ab, aInB) // Keptn stores both under one key
	r.Values(t.Context(), a, d)
	values := r.Values(t.Context(), a, d)
	if values[ab].Query != "ab" || values[aInB].Query != "a in b" {
		t.Errorf("two templates of one key became %+v", values)
	}
}

func TestAProviderWakesThoseWhoAskIt(t *testing.T) {
	asks := func(namespace, name, of string) *metricsv1.KeptnMetric {
		return &metricsv1.KeptnMetric{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec:       metricsv1.KeptnMetricSpec{Provider: metricsv1.ProviderRef{Name: of}},
		}
	}
	r := &metrics.MetricReconciler{Client: inCluster(t, asks("shop", "errors", "p"), asks("shop", "p", "q"), asks("cart", "errors", "p"))}
	var got []string
	for _, request := range r.Asking(t.Context(), prometheus("shop", "p")) {
		got = append(got, request.String())
	}
	if diff := cmp.Diff([]string{"shop/errors"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
