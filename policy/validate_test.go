package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
)

func TestMistakesInWhatTheLanguageAddsAreReported(t *testing.T) {
	cases := map[string]struct {
		reason, expression string
		want               []string
	}{
		"NearMetric":       {"A slip of the finger.", "metrics.aveg < 1", []string{"1:1: no metric `aveg`; did you mean `avg`?"}},
		"NearSLO":          {"Of any root.", "slo.availabilitie.budget > 0", []string{"1:1: no slo `availabilitie`; did you mean `availability`?"}},
		"FarSLO":           {"Where none is near all are told.", "slo.x.budget > 0", []string{"1:1: slo.x is not declared: the slos are availability, checkout, latency, silent"}},
		"NearCommitField":  {"A field of a root.", "commit.massage == ''", []string{"1:1: no field of a commit `massage`; did you mean `message`?"}},
		"NearRolloutField": {"Of another.", "rollout.startetAt < now", []string{"1:1: no field of a rollout `startetAt`; did you mean `startedAt`?"}},
		"NearField":        {"A field of an object.", "slo.latency.budgetRemainig > 0.1", []string{"1:12: undefined field 'budgetRemainig'; did you mean `budgetRemaining`?"}},
		"NearRoot":         {"A root.", "metric.a < 1", []string{"1:1: undeclared reference to 'metric'; did you mean `metrics`?"}},
		"NearFunction":     {"A function.", "semverMatch('1.2.3', '>1')", []string{"1:12: undeclared reference to 'semverMatch'; did you mean `semverMatches`?"}},
		"NearMember":       {"A member function.", "series.a.summ() < 1", []string{"1:14: undeclared reference to 'summ'; did you mean `sum`?"}},
		"FieldOfFarSLO":    {"Also where its presence is asked for.", "has(slo.x.burned)", []string{"1:5: slo.x is not declared: the slos are availability, checkout, latency, silent"}},
		"PresenceOfField":  {"And of a field.", "slo.latency.burnd == null", []string{"1:12: undefined field 'burnd'; did you mean `burned`?"}},
		"BareSLO":          {"A root is no value.", "slo == null", []string{"1:1: slo is no value by itself: write slo.<name>"}},
		"HidingCommits":    {"A value is hidden as well.", "series.a.all(commits, true)", []string{"1:7: the loop variable commits hides what commits means: choose another name"}},
		"SumOfTexts":       {"Texts have no sum.", "commit.files.sum() < 1", []string{"1:17: found no matching overload for 'sum' applied to 'list(string).()'"}},
		"BurnOfNumber":     {"Nor has a number a burn rate.", "metrics.a.burnRate('1h') < 1", []string{"1:19: found no matching overload for 'burnRate' applied to 'double.(string)'"}},
		"Window":           {"A window has its notation.", "slo.latency.burnRate('1 hour') < 1", []string{"1:22: \"1 hour\" is no period: write it as 90m, 1h30m, 7d or 4w"}},
		"ShortWindow":      {"Seconds hold no samples.", "slo.latency.burnRate('30s') < 1", []string{"1:22: the window 30s is too short: a burn rate takes 1m at least"}},
		"LongWindow":       {"Beyond the SLO's own there is no budget.", "slo.latency.exhaustedIn('31d') > duration('1h')", []string{"1:25: the window 31d is longer than that of slo.latency"}},
		"WindowOfParam":    {"A window that nobody can measure in advance.", "slo.latency.burnRate(params.tier) < 1", []string{"1:28: write the window as text, as '1h': it has to be known before anything is measured"}},
		"BurnInLoop":       {"Nor an SLO.", "[slo.latency].all(s, s.burnRate('1h') < 1)", []string{"1:22: a burn rate is that of one slo: write it as slo.<name>.burnRate('1h')"}},
		"Constraint":       {"A constraint that is none.", "semverMatches(rollout.version, '>=one')", []string{`1:32: ">=one" is no constraint of versions, as >=1.2 <2: improper constraint: ">=one"`}},
		"Version":          {"A version that is none.", "semverMatches('one', '>1')", []string{`1:15: "one" is no semantic version, as 1.2.3: invalid semantic version`}},
		"Compared":         {"On the other side.", "semverCompare(rollout.version, 'one') > 0", []string{`1:32: "one" is no semantic version, as 1.2.3: invalid semantic version`}},
		"Pattern":          {"A pattern that is not closed.", "commit.files.all(f, f.glob('db/{a,b'))", []string{`1:28: "db/{a,b" is no pattern of paths: write it as in db/migrations/**, with [ and { closed`}},
		"Clock":            {"An hour that no day has.", "now.within('Fri 25:00', 'Mon 08:00')", []string{`1:12: "Fri 25:00" is no time of a window: write 14:00, or Fri 14:00`}},
		"Weekday":          {"A day that no week has.", "now.within('Fri 14:00', 'Fry 08:00')", []string{`1:25: "Fry 08:00" is no time of a window: write 14:00, or Fri 14:00`}},
		"MixedClocks":      {"From which Friday on?", "now.within('Fri 14:00', '08:00')", []string{`1:25: "Fri 14:00" and "08:00" have to name a day both, or none`}},
		"EmptyWindow":      {"Always, or never?", "now.within('14:00', '14:00', 'UTC')", []string{`1:21: the window from "14:00" to "14:00" is empty`}},
		"Zone":             {"A town that no zone is called after.", "now.within('14:00', '15:00', 'Europe/Graz')", []string{`1:30: "Europe/Graz" is no time zone: write one of the IANA database, as Europe/Vienna`}},
		"LocalZone":        {"Whose?", "now.within('14:00', '15:00', 'Local')", []string{`1:30: "Local" is no time zone: write one of the IANA database, as Europe/Vienna`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for i := range tc.want {
				tc.want[i] = "spec.rules[0].expression:" + tc.want[i]
			}
			if diff := cmp.Diff(tc.want, texts(problems(t, full(rule(tc.expression))))); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestMistakesOfThePolicyItselfAreReported(t *testing.T) {
	ratio := func(good, bad, total string) *v1alpha1.RatioIndicator {
		return &v1alpha1.RatioIndicator{Good: good, Bad: bad, Total: total}
	}
	month := &v1alpha1.SLOWindow{Rolling: "30d"}
	s := spec(rule("true"))
	s.Metrics = []v1alpha1.Metric{
		{Name: "a", Query: "up{app=\"{{.appp}}\"}\n  {{ .params.regio }}"},
		{Name: "b", Query: "rate(x[{{.window}}])", Reducer: "rate"},
		{Name: "c", Query: "up{", Reducer: "medain"},
		{Name: "d", Query: "{{if .app}}", Reducer: "avg"},
	}
	s.SLOs = []v1alpha1.SLO{
		{Name: "a", Objective: 99.9, Window: month, Ratio: ratio("g[{{.window}}]", "", "{{.widnow}}")},
		{Name: "a", Objective: 100, Window: &v1alpha1.SLOWindow{Rolling: "30 days"}, Ratio: ratio("g", "b", "t")},
		{Name: "c", Objective: 99, Window: &v1alpha1.SLOWindow{Calendar: "fortnight"}},
		{Name: "d", Objective: 99, Window: &v1alpha1.SLOWindow{Calendar: "month", TimeZone: "Graz"}, Threshold: &v1alpha1.ThresholdIndicator{Query: "{{.window}}", Op: "<"}},
		{Name: "e", Objective: 99, Window: month, Composite: []v1alpha1.SLOPart{{SLO: "a"}, {SLO: "f"}, {SLO: "a"}, {SLO: "availability"}, {SLO: "c", Weight: ptr.To(0.0)}}},
		{Name: "f", OpenSLO: "checkout", Timeslices: &v1alpha1.Timeslices{Duration: "1min"}},
		{Name: "g", Objective: 99, Ratio: ratio("g", "", "t")},
	}
	s.Params = []v1alpha1.Param{{Name: "region"}, {Name: "region"}}
	s.Count, s.FailureLimit, s.InconclusiveLimit = 2, 2, -1
	want := []string{
		"spec.metrics[0].query:1:11: no field `appp`; did you mean `app`?",
		"spec.metrics[0].query:2:6: .params.regio is not declared in spec.params; did you mean `region`?",
		"spec.metrics[1].query:1:10: only the queries of a ratio read .window",
		"spec.metrics[1].reducer: the reducer rate needs a window",
		"spec.metrics[2].reducer: there is no reducer `medain`; did you mean `median`?",
		"spec.metrics[3].query:1:1: the template is wrong: unexpected EOF",
		"spec.slos[0].ratio.total:1:3: no field `widnow`; did you mean `window`?",
		`spec.slos[1].name: there are two slos named "a": spec.slos[0] is the other; rename one`,
		"spec.slos[1].objective: 100 is no objective: give the percentage that has to be good, above 0 and below 100",
		`spec.slos[1].window.rolling: "30 days" is no period: write it as 90m, 1h30m, 7d or 4w`,
		"spec.slos[1].ratio: a ratio has either good or bad events, and the total",
		"spec.slos[2]: an slo has exactly one of ratio, threshold, composite and openSLO",
		`spec.slos[2].window.calendar: "fortnight" is no period of the calendar: write day, week, month, quarter or year`,
		`spec.slos[3].window.timeZone: "Graz" is no time zone: write one of the IANA database, as Europe/Vienna`,
		"spec.slos[3].threshold.query:1:3: only the queries of a ratio read .window",
		`spec.slos[3].threshold.op: "<" is no comparison: write lt, lte, gt or gte`,
		`spec.slos[4].composite[1].slo: slo "f" is not known here: a composite joins objectives above it only; move it up`,
		`spec.slos[4].composite[2].slo: slo "a" is given twice: raise its weight instead`,
		"spec.slos[4].composite[3].slo: no slo `availability`",
		"spec.slos[4].composite[4].weight: 0 is no weight: give one above 0",
		"spec.slos[5].timeslices: timeslices go with ratio or threshold",
		`spec.slos[5].timeslices.duration: "1min" is no period: write it as 90m, 1h30m, 7d or 4w`,
		"spec.slos[6].window: an slo has a window: give either rolling, as 30d, or calendar, as month",
		`spec.params[1].name: there are two params named "region": spec.params[0] is the other; rename one`,
		"spec.count: 2 measurements need an interval between them: give interval",
		"spec.failureLimit: 2 is not from 0 to 1: as many failures as measurements would never fail the policy",
		"spec.inconclusiveLimit: -1 is not from 0 to 1: it has to be below count",
	}
	if diff := cmp.Diff(want, texts(problems(t, s))); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestAnOpenSLOIsKnownBeforeItIsRead(t *testing.T) {
	s := spec(rule("slo.checkout.burnRate('90d') < 1"))
	s.SLOs = []v1alpha1.SLO{{Name: "checkout", OpenSLO: "checkout"}}
	if _, err := policy.Compile("test", s); err != nil {
		t.Error(err)
	}
}

func TestACalendarsWindowIsAsLongAsItCanBe(t *testing.T) {
	for calendar, longest := range map[string]string{"day": "24h", "week": "7d", "month": "31d", "quarter": "92d", "year": "366d"} {
		s := spec(rule("slo.a.burnRate('" + longest + "') < 1"))
		s.SLOs = []v1alpha1.SLO{{Name: "a", Objective: 99, Window: &v1alpha1.SLOWindow{Calendar: calendar}, Ratio: &v1alpha1.RatioIndicator{Good: "g", Total: "t"}}}
		if _, err := policy.Compile("test", s); err != nil {
			t.Errorf("%s of a %s: %v", longest, calendar, err)
		}
		s.Rules[0].Expression = "slo.a.burnRate('" + longest + "1s') < 1"
		if len(problems(t, s)) != 1 {
			t.Errorf("more than %s of a %s compiles", longest, calendar)
		}
	}
}

func TestAPlanIsThatOfThePolicy(t *testing.T) {
	s := v1alpha1.SLOPolicySpec{Count: 5, FailureLimit: 2, InconclusiveLimit: 1, Interval: &metav1.Duration{Duration: time.Minute}}
	want := policy.Plan{Count: 5, FailureLimit: 2, InconclusiveLimit: 1, Interval: time.Minute}
	if diff := cmp.Diff(want, policy.PlanOf(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(policy.Plan{Count: 1}, policy.PlanOf(v1alpha1.SLOPolicySpec{})); diff != "" {
		t.Errorf("by default (-want +got):\n%s", diff)
	}
}
