package measure_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/measure"
	"github.com/keptn/gitops/dora"
)

// outcome is one of a deployment that finished so many days ago.
func outcome(daysAgo float64, kind dora.Kind, change ...func(*dora.Outcome)) dora.Outcome {
	o := dora.Outcome{Deployment: dora.Deployment{FinishedAt: began.Add(-time.Duration(daysAgo * float64(measure.Day)))}, Kind: kind}
	for _, c := range change {
		c(&o)
	}
	return o
}

func took(leads ...time.Duration) func(*dora.Outcome) {
	return func(o *dora.Outcome) {
		for _, lead := range leads {
			o.Delivered = append(o.Delivered, dora.Delivery{SHA: sha("d"), LeadTime: lead})
		}
	}
}

func TestASummaryHasAWeekAMonthAndAQuarter(t *testing.T) {
	blamed := func(o *dora.Outcome) {
		o.Causes, o.RecoveredAt = []dora.Cause{dora.CauseVerdict}, o.FinishedAt.Add(90*time.Second)
	}
	early := func(o *dora.Outcome) { o.Delivered = append(o.Delivered, dora.Delivery{Err: dora.ErrNegative}) }
	rework := func(o *dora.Outcome) { o.Rework = true }
	of := func(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }
	services := []dora.Service{{Outcomes: []dora.Outcome{
		outcome(89, dora.Baseline),
		outcome(20, dora.Failed, blamed),
		outcome(19, dora.Forward, rework, took(10*time.Hour), early),
		outcome(2, dora.Redeployment),
		outcome(1, dora.Forward, took(2*time.Hour)),
	}}}
	want := []gitopsv1alpha1.DORAWindow{
		{Days: 7, Deployments: 1, DeploymentsPerDay: "0.1429", LeadTimes: 1, LeadTimeP50: of(2 * time.Hour), LeadTimeP90: of(2 * time.Hour), ChangeFailRate: "0", ReworkRate: "0"},
		{
			Days: 30, Deployments: 3, FailedDeployments: 1, DeploymentsPerDay: "0.1", LeadTimes: 2, InvalidLeadTimes: 1,
			LeadTimeP50: of(6 * time.Hour), LeadTimeP90: of(9*time.Hour + 12*time.Minute), ChangeFailRate: "0.3333",
			Recoveries: 1, RecoveryP50: of(90 * time.Second), ReworkRate: "0.3333",
		},
		{
			Days: 90, Deployments: 4, FailedDeployments: 1, DeploymentsPerDay: "0.0444", LeadTimes: 2, InvalidLeadTimes: 1,
			LeadTimeP50: of(6 * time.Hour), LeadTimeP90: of(9*time.Hour + 12*time.Minute), ChangeFailRate: "0.25",
			Recoveries: 1, RecoveryP50: of(90 * time.Second), ReworkRate: "0.25",
		},
	}
	if diff := cmp.Diff(want, measure.Summary(services, &dora.Service{}, began).Windows); diff != "" {
		t.Errorf("-by hand +got:\n%s", diff)
	}
	none := []gitopsv1alpha1.DORAWindow{{Days: 7, DeploymentsPerDay: "0"}, {Days: 30, DeploymentsPerDay: "0"}, {Days: 90, DeploymentsPerDay: "0"}}
	if diff := cmp.Diff(none, measure.Summary(nil, &dora.Service{}, began).Windows); diff != "" {
		t.Errorf("of no deployments -want +got:\n%s", diff)
	}
}

func TestWindowsReachAsFarBackAsTheRecord(t *testing.T) {
	var many dora.Service
	for day := 19; day >= 0; day-- {
		for range 10 {
			many.Outcomes = append(many.Outcomes, outcome(float64(day), dora.Forward))
		}
	}
	all := measure.Summary([]dora.Service{many}, &dora.Service{}, began).Windows
	if got := all[1].DeploymentsPerDay; got != all[2].DeploymentsPerDay || got < "10" || got > "10.6" {
		t.Errorf("an app with ten deployments a day, of which the record has 200, has %s a day in 30 days and %s in 90", got, all[2].DeploymentsPerDay)
	}
}

func TestNumbersAreWrittenShort(t *testing.T) {
	cases := map[string]struct {
		reason string
		number float64
		want   string
	}{
		"Whole":    {"A whole number has no point.", 2, "2"},
		"Zero":     {"Nor has none.", 0, "0"},
		"Short":    {"What is short stays so.", 0.5, "0.5"},
		"Third":    {"What does not end is cut after four digits.", 1. / 3, "0.3333"},
		"Rounded":  {"And rounded.", 2. / 3, "0.6667"},
		"ToWhole":  {"Also to a whole number.", 0.99999, "1"},
		"TooSmall": {"What is smaller is nothing.", 0.00004, "0"},
		"Large":    {"A large number is written out, since not everybody reads exponents.", 1e21, "1000000000000000000000"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := measure.Window(&dora.Metrics{DeploymentsPerDay: tc.number}).DeploymentsPerDay; got != tc.want {
				t.Errorf("%s\ngot %s, want %s", tc.reason, got, tc.want)
			}
		})
	}
	if got := measure.Window(&dora.Metrics{}).ChangeFailRate; got != "" {
		t.Errorf("what is not known is %q", got)
	}
}

func TestTimesAreWrittenInSeconds(t *testing.T) {
	cases := map[string]struct {
		reason  string
		seconds float64
		want    string
	}{
		"Whole":    {"A time is written as Go does.", 5400, "1h30m0s"},
		"None":     {"It may be none.", 0, "0s"},
		"Fraction": {"The CRD knows no fractions of a second.", 1.4, "1s"},
		"Rounded":  {"They are rounded.", 59.6, "1m0s"},
		"Longest":  {"This is the longest that the CRD takes.", 3.6e9, "1000000h0m0s"},
		"Longer":   {"What is longer is cut to that.", 3.7e9, "1000000h0m0s"},
		"Overflow": {"Also what Go cannot count.", 1e300, "1000000h0m0s"},
		"Endless":  {"And what has no end.", math.Inf(1), "1000000h0m0s"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := measure.Window(&dora.Metrics{Recovery: dora.Recovery{P50Seconds: &tc.seconds}}).RecoveryP50
			if got == nil || got.Duration.String() != tc.want {
				t.Errorf("%s\ngot %v, want %s", tc.reason, got, tc.want)
			}
		})
	}
	if got := measure.Window(&dora.Metrics{}).LeadTimeP50; got != nil {
		t.Errorf("what is not known is %s", got.Duration)
	}
}

func TestMetricsChangeWhenADeploymentLeavesAWindow(t *testing.T) {
	finished := func(ago ...time.Duration) []dora.Deployment {
		var all []dora.Deployment
		for _, d := range ago {
			all = append(all, dora.Deployment{FinishedAt: began.Add(-d)})
		}
		return all
	}
	const day = measure.Day
	cases := map[string]struct {
		reason      string
		deployments []dora.Deployment
		want        time.Duration
	}{
		"None":    {"Nothing changes by itself.", nil, 0},
		"Week":    {"The first window to be left is the week.", finished(6 * day), day + time.Second},
		"Month":   {"Then the month.", finished(8 * day), 22*day + time.Second},
		"Quarter": {"Then the quarter.", finished(89 * day), day + time.Second},
		"Old":     {"What all windows have behind them changes nothing.", finished(90*day, 200*day), 0},
		"OnTime":  {"What leaves a window now has left it.", finished(8*day, 7*day), 22*day + time.Second},
		"Soonest": {"The soonest of several counts.", finished(8*day, 29*day, 6*day, 100*day), day + time.Second},
		"Ahead":   {"What a clock that is ahead recorded enters the windows when its time comes.", finished(-time.Hour), time.Hour + time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := measure.NextChange(tc.deployments, began); got != tc.want {
				t.Errorf("%s\ngot %s, want %s", tc.reason, got, tc.want)
			}
		})
	}
}
