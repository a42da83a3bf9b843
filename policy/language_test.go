package policy_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/slo"
)

// friday is a Friday, 16:30 in Vienna, in winter.
var friday = time.Date(2026, 1, 2, 15, 30, 0, 0, time.UTC)

// full is a policy that declares something of each kind.
func full(rules ...v1alpha1.Rule) v1alpha1.SLOPolicySpec {
	s := spec(rules...)
	for _, r := range []v1alpha1.Reducer{"avg", "rate", "p90", "last"} {
		s.Metrics = append(s.Metrics, v1alpha1.Metric{Name: string(r), Reducer: r, Window: &v1alpha1.Window{Duration: &metav1.Duration{Duration: time.Hour}}})
	}
	s.Metrics = append(s.Metrics, v1alpha1.Metric{Name: "fresh", MaxAge: &metav1.Duration{Duration: 5 * time.Minute}})
	indicator := &v1alpha1.RatioIndicator{Good: "good", Total: "total"}
	for _, name := range []string{"availability", "checkout", "latency", "silent"} {
		s.SLOs = append(s.SLOs, v1alpha1.SLO{Name: name, Objective: 99.9, Window: &v1alpha1.SLOWindow{Rolling: "30d"}, Ratio: indicator})
	}
	s.Params = []v1alpha1.Param{{Name: "region"}, {Name: "tier", Default: "gold"}, {Name: "unset"}}
	return s
}

// samples are values, one a minute, the last of them on friday.
func samples(values ...float64) []metric.Sample {
	all := make([]metric.Sample, len(values))
	for i, v := range values {
		all[i] = metric.Sample{Time: friday.Add(time.Duration(i-len(values)+1) * time.Minute), Value: v}
	}
	return all
}

// windowed is a series with the samples of a window.
func windowed(labels map[string]string, values ...float64) metric.Series {
	return metric.Series{Labels: labels, Samples: samples(values...)}
}

// everything is an input with something for each root.
func everything() policy.Input {
	pods := policy.Measured(metric.Result{Series: []metric.Series{
		windowed(map[string]string{"code": "200", "pod": "a"}, 60, 120, 180),
		windowed(map[string]string{"code": "500", "pod": "a"}, 0, 30, 60),
		windowed(map[string]string{"code": "503", "pod": "b"}, 6, 6, 6),
	}})
	return policy.Input{
		Metrics: map[string]policy.Value{
			"a": policy.Number(1), "b": policy.Number(2), "c": pods,
			"avg": pods, "rate": pods, "p90": policy.Number(7), "last": pods, "fresh": pods,
		},
		Baseline: map[string]policy.Value{"avg": policy.Measured(metric.Result{Series: []metric.Series{windowed(nil, 1, 2, 3)}}), "fresh": pods},
		SLOs: map[string]slo.State{
			"availability": {
				Objective: 0.999, Good: 99950, Total: 100000, ErrorRatio: 0.0005, BudgetRemaining: 0.5, Burned: new(0.031), Period: 720 * time.Hour,
				Burn:        map[time.Duration]float64{time.Hour: 14.4, 6 * time.Hour: 0},
				MissingBurn: map[time.Duration]string{5 * time.Minute: "prometheus answers 503"},
			},
			"checkout": {Objective: 0.999, BudgetRemaining: 0.9, MissingBurned: "total: no data"},
			"latency":  {Objective: 0.999, Missing: "the history is too short", Burn: map[time.Duration]float64{time.Hour: 3}},
			"silent":   {Objective: 0.999, Missing: "prometheus answers 503"},
		},
		Params: map[string]string{"region": "eu"},
		Commit: &policy.Commit{
			SHA: "5d41402abc4b2a76b9719d911017c592", Message: "fix(cart)!: stop\nrounding\n\nA body.\n\nReviewed-by: Ada\nreviewed-by: Bob\n  Builder\nSigned-off-by: Eve\n",
			Files: []string{"db/migrations/007/up.sql", "README.md"}, Time: friday.Add(-time.Hour),
		},
		Commits: []policy.Commit{
			{SHA: "b", Message: "fix: b", Files: []string{"cart/b.go"}},
			{SHA: "a", Message: "feat(api): a\n\nRisk: high"},
		},
		Rollout: &policy.Rollout{App: "shop", Environment: "prod", Namespace: "shop-prod", Version: "1.10.0-rc.1", StartedAt: friday.Add(-10 * time.Minute)},
		Now:     friday,
	}
}

func TestExpressionsReadEverythingThatARolloutIsJudgedBy(t *testing.T) {
	cases := map[string]struct {
		reason, expression string
		want               policy.Result
		because            string // part of the message
	}{
		"Avg":               {"A reducer makes one number of all series.", "metrics.avg == 52", policy.Pass, ""},
		"AvgPerSeries":      {"And of each.", "series.avg.map(s, s.value) == [120.0, 30.0, 6.0]", policy.Pass, ""},
		"Rate":              {"The rates of all series are summed.", "metrics.rate == 1.5", policy.Pass, ""},
		"ReducedNumber":     {"A number is a single sample.", "metrics.p90 == 7", policy.Pass, ""},
		"LastOfSeveral":     {"Which one is the last?", "metrics.last > 0", policy.Inconclusive, "metrics.last has no last: 3 have a last value"},
		"BaselineReduced":   {"A baseline is reduced as the metric is.", "baseline.avg == 2", policy.Pass, ""},
		"Newest":            {"Without a reducer a series has the newest value.", "series.c.map(s, s.value) == [180.0, 60.0, 6.0]", policy.Pass, ""},
		"Fresh":             {"A sample of now is young.", "series.fresh.size() == 3", policy.Pass, ""},
		"Sum":               {"Filtering is CEL's own.", "series.c.filter(s, s.labels.code.startsWith('5')).sum() == 66", policy.Pass, ""},
		"SumOfNothing":      {"No series with such a code are no errors.", "series.c.filter(s, s.labels.code == '404').sum() == 0", policy.Pass, ""},
		"CountOfNothing":    {"Nor is there any to count.", "series.c.filter(s, s.labels.code == '404').count() == 0", policy.Pass, ""},
		"MaxOfNothing":      {"But nothing has no maximum.", "series.c.filter(s, s.labels.code == '404').max() < 1", policy.Inconclusive, "there is no sample to take the max of"},
		"Aggregates":        {"They are the reducers.", "series.c.avg() == 82 && series.c.min() == 6 && series.c.max() == 180 && series.c.count() == 3 && series.c.median() == 60", policy.Pass, ""},
		"Percentiles":       {"By the nearest rank.", "series.c.p90() == 180 && series.c.p95() == 180 && series.c.p99() == 180", policy.Pass, ""},
		"AggregateNumbers":  {"Lists of numbers have them too.", "series.c.map(s, s.value * 2).max() == 360 && [metrics.a, metrics.b].avg() == 1.5", policy.Pass, ""},
		"SLO":               {"The fields of an objective.", "slo.availability.objective == 0.999 && slo.availability.budget == 0.001 && slo.availability.errorRatio == 0.0005 && slo.availability.good == 99950 && slo.availability.total == 100000", policy.Pass, ""},
		"Budget":            {"What is left.", "slo.availability.budgetRemaining >= 0.5", policy.Pass, ""},
		"Burn":              {"How fast it is used up.", "slo.availability.burnRate('1h') > 14", policy.Pass, ""},
		"BurnMissing":       {"Each window is measured by itself.", "slo.availability.burnRate('5m') < 14", policy.Inconclusive, "slo.availability has no burn rate over 5m: prometheus answers 503"},
		"BurnUnmeasured":    {"A caller that did not measure.", "slo.availability.burnRate('2h') < 14", policy.Inconclusive, "slo.availability has no burn rate over 2h: it was not measured"},
		"Exhausted":         {"30d · 0.5 / 14.4 are 25 hours.", "slo.availability.exhaustedIn('1h') == duration('25h')", policy.Pass, ""},
		"NeverExhausted":    {"What does not burn lasts.", "slo.availability.exhaustedIn('6h') > duration('87600h')", policy.Pass, ""},
		"BurnAlone":         {"A burn rate can be known where the budget is not.", "slo.latency.burnRate('1h') < 14", policy.Pass, ""},
		"BudgetMissing":     {"Then the budget is undecided.", "slo.latency.budgetRemaining > 0", policy.Inconclusive, "slo.latency has no data: the history is too short"},
		"NoExhaustion":      {"And nobody knows how long it lasts.", "slo.latency.exhaustedIn('1h') > duration('1h')", policy.Inconclusive, "slo.latency has no data: the history is too short"},
		"NoSLO":             {"Nothing is known.", "slo.silent.objective > 0", policy.Inconclusive, "slo.silent has no data: prometheus answers 503"},
		"Burned":            {"What the rollout used up of the budget.", "slo.availability.burned == 0.031", policy.Pass, "r 3.1% = 3.1%"},
		"BurnedTooMuch":     {"A rule can fail on it.", "slo.availability.burned < 0.02", policy.Fail, "r 3.1% ≥ 2%"},
		"BurnedMissing":     {"It is measured by itself.", "slo.checkout.burned < 0.2", policy.Inconclusive, "slo.checkout.burned has no data: total: no data"},
		"BurnedOfNothing":   {"Without the budget there is no part of it.", "slo.latency.burned < 0.2", policy.Inconclusive, "slo.latency.burned has no data: the history is too short"},
		"BurnedOrNot":       {"One can ask first.", "slo.checkout.burned == null || slo.checkout.burned < 0.2", policy.Pass, "slo.checkout.burned == null"},
		"BurnedAndIs":       {"And then it counts.", "slo.availability.burned != null && slo.availability.burned > 0.2", policy.Fail, "3.1% ≤ 20%"},
		"HasBurned":         {"Also of what is not known at all.", "has(slo.availability.burned) && !has(slo.latency.burned) && !has(slo.silent.burned) && null == slo['silent'].burned", policy.Pass, ""},
		"HasField":          {"As of each field.", "slo.checkout.budgetRemaining != null && slo.latency.budgetRemaining == null && has(slo.latency.objective) && !has(slo.silent.objective)", policy.Pass, ""},
		"HasSLO":            {"Whether there is data can be asked.", "has(slo.availability) && !has(slo.latency) && slo.silent == null", policy.Pass, ""},
		"Param":             {"A param that is set, and one that has a default.", "params.region == 'eu' && params.tier == 'gold'", policy.Pass, ""},
		"NoParam":           {"One that is neither.", "params.unset == 'x'", policy.Inconclusive, "params.unset has no data"},
		"HasParam":          {"That can be asked too.", "has(params.tier) && params.unset == null", policy.Pass, ""},
		"Commit":            {"What a message says.", "commit.subject == 'fix(cart)!: stop rounding' && commit.type == 'fix' && commit.body.startsWith('A body.')", policy.Pass, ""},
		"Trailers":          {"Git compares keys without their case, and continues lines.", "commit.trailers['reviewed-by'] == ['Ada', 'Bob Builder'] && 'signed-off-by' in commit.trailers", policy.Pass, ""},
		"NoTrailer":         {"A trailer that is not there.", "'risk' in commit.trailers", policy.Fail, ""},
		"Files":             {"Paths are matched as by the shell, with ** for folders.", "commit.files.exists(f, f.glob('db/migrations/**')) && !commit.files.exists(f, f.glob('db/*.sql'))", policy.Pass, ""},
		"Commits":           {"What the rollout delivers.", "commits.size() == 2 && commits[0].sha == 'b' && commits.exists(c, c.type == 'feat') && commits[1].trailers.risk == ['high']", policy.Pass, ""},
		"OnlyFixes":         {"The gate of a team with little budget left.", "slo.availability.budgetRemaining > 0.9 || commits.all(c, c.type == 'fix')", policy.Fail, ""},
		"FilesOfCommits":    {"The files of one commit are not known.", "commits.all(c, c.files.all(f, f.glob('cart/**')))", policy.Inconclusive, "the files of commit a are not known"},
		"FilesOfOneDecide":  {"Another commit's decide all the same.", "commits.exists(c, c.files.exists(f, f.glob('cart/**')))", policy.Pass, ""},
		"HasFiles":          {"Or one asks first.", "commits.all(c, !has(c.files) || c.files.size() == 1) && has(commit.files)", policy.Pass, ""},
		"SameCommit":        {"A commit is equal to itself.", "commits[0] == commits[0] && commits[0] != commits[1] && commits[1] in commits && type(commits[0]) == type(commits[1])", policy.Pass, ""},
		"Rollout":           {"What is rolled out where.", "rollout.app == 'shop' && rollout.environment == 'prod' && rollout.namespace == 'shop-prod' && now - rollout.startedAt == duration('10m')", policy.Pass, ""},
		"Unfinished":        {"A rollout that is still under way has no end.", "rollout.finishedAt < now", policy.Inconclusive, "rollout.finishedAt has no data"},
		"FirstRollout":      {"The first has no version before it.", "!has(rollout.previousVersion) || semverCompare(rollout.version, rollout.previousVersion) > 0", policy.Pass, ""},
		"Semver":            {"By precedence, not by the alphabet.", "semverCompare(rollout.version, '1.9.0') == 1 && semverCompare('1.10.0', rollout.version) == 1", policy.Pass, ""},
		"SemverConstraint":  {"A range of versions.", "semverMatches('v1.2.3', '>=1.0 <2') && !semverMatches(rollout.version, '^1.0')", policy.Pass, ""},
		"NoSemver":          {"A version that is none.", "semverMatches(params.region, '>1')", policy.Inconclusive, `"eu" is no semantic version`},
		"Weekend":           {"From Friday afternoon to Monday morning, as Vienna's clocks show it.", "now.within('Fri 16:00', 'Mon 08:00', 'Europe/Vienna')", policy.Pass, ""},
		"WeekendUTC":        {"By UTC it is half an hour earlier.", "now.within('Fri 16:00', 'Mon 08:00')", policy.Fail, ""},
		"Hours":             {"CEL's own.", "now.getHours('Europe/Vienna') == 16", policy.Pass, ""},
		"ZoneAtRunTime":     {"A zone that is no literal is looked up late.", "now.within('08:00', '18:00', params.region)", policy.Inconclusive, `"eu" is no time zone`},
		"WindowAtRunTime":   {"So is the window.", "now.within(params.region, '18:00')", policy.Inconclusive, `"eu" is no time of a window`},
		"PatternAtRunTime":  {"And a pattern.", "'x'.glob(params.region + '[')", policy.Inconclusive, `"eu[" is no pattern`},
		"DynamicIsNoNumber": {"What could be anything is looked at late.", "dyn(['x']).max() < 1", policy.Inconclusive, "no such overload"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := compile(t, full(rule(tc.expression)))
			got := p.Explain(t.Context(), everything())
			if got.Result != tc.want || !strings.Contains(got.Rules[0].Message, tc.because) {
				t.Errorf("%s: %s, %q, want %s, %q", tc.reason, got.Result, got.Rules[0].Message, tc.want, tc.because)
			}
		})
	}
}

func TestWhyItIsNotKnownWhatARolloutBurned(t *testing.T) {
	p := compile(t, full(rule("slo.availability.burned < 0.1")))
	measured := map[string]slo.State{"availability": {Objective: 0.999, BudgetRemaining: 0.5}}
	for because, rollout := range map[string]*policy.Rollout{
		"the rollout has not begun":  {App: "shop"},
		"it was not measured":        {StartedAt: friday},
		"the rollout has not begun ": nil,
	} {
		got := p.Evaluate(t.Context(), policy.Input{SLOs: measured, Rollout: rollout}).Rules[0]
		if got.Result != policy.Inconclusive || !strings.Contains(got.Message, "slo.availability.burned has no data: "+strings.TrimSpace(because)) {
			t.Errorf("%+v: %s, %q", rollout, got.Result, got.Message)
		}
	}
}

func TestWhatIsNotGivenIsUndecided(t *testing.T) {
	for expression, because := range map[string]string{
		"slo.availability.budget > 0":       "slo.availability has no data",
		"commits.size() == 0":               "commits has no data: it is not known what the rollout delivers",
		"rollout.app == 'shop'":             "rollout.app has no value: no rollout is judged",
		"commit.type == 'fix'":              "commit.type has no value: no commit is judged",
		"now.within('08:00', '18:00')":      "now has no value",
		"metrics.avg < 1":                   "metrics.avg has no data",
		"series.avg.sum() < 1":              "series.avg has no data",
		"params.region == 'eu'":             "params.region has no data",
		"slo.availability.burned < 1":       "slo.availability has no data",
		"has(slo.availability.burned)":      "has(slo.availability.burned) is false",
		"slo.availability.burned != null":   "slo.availability.burned != null is false",
		"has(rollout.app)":                  "has(rollout.app) is false",
		"has(commit.files)":                 "has(commit.files) is false",
		"slo.availability.burnRate('1h')>1": "slo.availability has no data",
	} {
		got := compile(t, full(rule(expression))).Evaluate(t.Context(), policy.Input{})
		want := policy.Inconclusive
		if strings.HasPrefix(expression, "has") || strings.HasSuffix(expression, "null") {
			want = policy.Fail
		}
		if got.Result != want || !strings.Contains(got.Rules[0].Message, because) {
			t.Errorf("%s: %s, %q, want %s, %q", expression, got.Result, got.Rules[0].Message, want, because)
		}
	}
}

func TestANumberIsNotReducedAgain(t *testing.T) {
	spec := v1alpha1.SLOPolicySpec{
		Metrics: []v1alpha1.Metric{{Name: "n", Reducer: "count"}, {Name: "r", Reducer: "rate", Window: &v1alpha1.Window{Since: "rollout"}}},
		Rules:   []v1alpha1.Rule{{Name: "remembered", Expression: "baseline.n == 5.0 && metrics.r == 2.0 && series.r[0].value == 2.0"}},
	}
	p, err := policy.Compile("p", spec)
	if err != nil {
		t.Fatal(err)
	}
	verdict := p.Evaluate(t.Context(), policy.Input{
		Metrics:  map[string]policy.Value{"r": policy.Number(2)},
		Baseline: map[string]policy.Value{"n": policy.Number(5)},
	})
	if verdict.Result != policy.Pass {
		t.Errorf("%s: %s, want pass: a number is what the reducer made of its samples", verdict.Result, verdict.Rules[0].Message)
	}
}

func TestTooFewSamplesAreUndecided(t *testing.T) {
	one := policy.Measured(metric.Result{Series: []metric.Series{windowed(nil, 1)}})
	nan := policy.Measured(metric.Result{Series: []metric.Series{windowed(nil, 1, math.NaN())}})
	cases := map[string]struct {
		reason, expression string
		value              policy.Value
		because            string
	}{
		"Rate":      {"A rate takes two samples.", "metrics.rate < 1", one, "metrics.rate has no rate: a rate takes two samples at least"},
		"RateOfOne": {"Also that of one series.", "series.rate[0].value < 1", one, "a series has no rate: a rate takes two samples at least"},
		"Sum":       {"What is summed has to be known.", "series.rate.sum() < 1", one, "a series has no rate"},
		"NaN":       {"A sample that is no number spoils the mean.", "metrics.avg < 1", nan, "metrics.avg has NaN as its avg"},
		"NaNSeries": {"And that of its series.", "series.avg.max() < 1", nan, "the value of a series is NaN"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := policy.Input{Metrics: map[string]policy.Value{"rate": tc.value, "avg": tc.value}}
			got := compile(t, full(rule(tc.expression))).Evaluate(t.Context(), in)
			if got.Result != policy.Inconclusive || !strings.Contains(got.Rules[0].Message, tc.because) {
				t.Errorf("%s: %s, %q, want inconclusive, %q", tc.reason, got.Result, got.Rules[0].Message, tc.because)
			}
		})
	}
}

func TestASampleThatIsTooOldIsStale(t *testing.T) {
	p := compile(t, full(rule("metrics.fresh < 10"), v1alpha1.Rule{Name: "null", Expression: "metrics.fresh == null"}))
	measured := func(values ...float64) policy.Value {
		return policy.Measured(metric.Result{Series: []metric.Series{windowed(nil, values...)}})
	}
	cases := map[string]struct {
		reason  string
		value   policy.Value
		now     time.Time
		want    policy.Result
		because string
	}{
		"Young":   {"At the limit.", measured(1), friday.Add(5 * time.Minute), policy.Pass, ""},
		"Old":     {"And just above it.", measured(1), friday.Add(5*time.Minute + time.Second), policy.Inconclusive, "metrics.fresh is stale: the newest sample is 5m1s old, and 5m0s is the limit"},
		"NoClock": {"Without a time nobody knows.", measured(1), time.Time{}, policy.Inconclusive, "metrics.fresh is stale: no time of the evaluation was given"},
		"NoTime":  {"A number without a time is what the caller says it is.", policy.Number(1), friday, policy.Pass, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := p.Evaluate(t.Context(), policy.Input{Metrics: map[string]policy.Value{"fresh": tc.value}, Now: tc.now}).Rules
			if got[0].Result != tc.want || !strings.Contains(got[0].Message, tc.because) {
				t.Errorf("%s: %s, %q, want %s, %q", tc.reason, got[0].Result, got[0].Message, tc.want, tc.because)
			}
			if got[1].Result != policy.Fail {
				t.Errorf("%s: it is null", tc.reason)
			}
		})
	}
}

func TestABaselineIsAsOldAsItIs(t *testing.T) {
	in := everything()
	in.Baseline["fresh"] = policy.Measured(metric.Result{Series: []metric.Series{{Samples: []metric.Sample{{Time: friday.AddDate(0, 0, -7), Value: 3}}}}})
	if got := compile(t, full(rule("baseline.fresh == 3"))).Evaluate(t.Context(), in); got.Result != policy.Pass {
		t.Errorf("a baseline of last week is %s, %s", got.Result, got.Rules[0].Message)
	}
}

func TestCommitsThatAreNotAllKnownDecideOnlyWhatTheyCan(t *testing.T) {
	in := everything()
	in.CommitsTruncated = true
	cases := map[string]struct {
		reason, expression string
		want               policy.Result
	}{
		"Found":     {"One is enough.", "commits.exists(c, c.type == 'feat')", policy.Pass},
		"NotFound":  {"It could be among the others.", "commits.exists(c, c.type == 'docs')", policy.Inconclusive},
		"Refuted":   {"One is enough against all, too.", "commits.all(c, c.type == 'fix')", policy.Fail},
		"Unrefuted": {"All known ones are not all.", "commits.all(c, c.type in ['fix', 'feat'])", policy.Inconclusive},
		"Size":      {"How many there are is not known.", "commits.size() < 10", policy.Inconclusive},
		"SizeLess":  {"Nor is a count of some.", "commits.filter(c, c.type == 'fix').size() > 0", policy.Inconclusive},
		"Newest":    {"The newest is.", "commits[0].sha == 'b'", policy.Pass},
		"Further":   {"The hundredth is not.", "commits[99].sha == 'b'", policy.Inconclusive},
		"Sum":       {"Nor what is made of all.", "commits.map(c, double(c.message.size())).sum() < 99", policy.Inconclusive},
		"Contained": {"What is among the known ones is there.", "commits[1] in commits", policy.Pass},
		"Equal":     {"Whether two lists are the same is not.", "commits == commits.map(c, c)", policy.Inconclusive},
		"Joined":    {"Nor a longer list.", "(commits + commits).size() > 0", policy.Inconclusive},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := compile(t, full(rule(tc.expression))).Explain(t.Context(), in)
			if got.Result != tc.want {
				t.Errorf("%s: %s, %q, want %s", tc.reason, got.Result, got.Rules[0].Message, tc.want)
			}
			if tc.want == policy.Inconclusive && name != "Further" && !strings.Contains(got.Rules[0].Message, "commits holds only the newest 2") {
				t.Errorf("%s: message %q", tc.reason, got.Rules[0].Message)
			}
		})
	}
}

func TestAPolicySaysWhatItNeeds(t *testing.T) {
	cases := map[string]struct {
		reason, expression string
		burn               map[string][]time.Duration
		commits, files     bool
	}{
		"Nothing":        {"A policy over metrics.", "metrics.a < 1 && commit.sha != ''", nil, false, false},
		"Burn":           {"Each window once, by SLO, in order.", "slo.latency.burnRate('1d') < 1 && slo.latency.burnRate('1h') < 1 && slo.latency.exhaustedIn('60m') > duration('1h') && slo['silent'].burnRate('5m') < 1", map[string][]time.Duration{"latency": {time.Hour, 24 * time.Hour}, "silent": {5 * time.Minute}}, false, false},
		"Commits":        {"Their messages.", "commits.all(c, c.type == 'fix')", nil, true, false},
		"FilesOfCommit":  {"Those of the judged commit.", "commit.files.size() < 100", nil, false, true},
		"HasFiles":       {"Whether they are known depends on the caller.", "has(commit.files)", nil, false, true},
		"FilesOfCommits": {"Those of what is delivered.", "commits.exists(c, c.files.size() > 0)", nil, true, true},
		"OtherFiles":     {"A label of that name is none.", "series.a.all(s, s.labels.files == '')", nil, false, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := full(rule("variables.v"))
			s.Variables = []v1alpha1.Variable{{Name: "v", Expression: tc.expression}}
			p := compile(t, s)
			if tc.burn == nil {
				tc.burn = map[string][]time.Duration{}
			}
			if diff := cmp.Diff(tc.burn, p.BurnWindows()); diff != "" || p.ReadsCommits() != tc.commits || p.ReadsFiles() != tc.files {
				t.Errorf("%s: commits %t, files %t, burn windows (-want +got):\n%s", tc.reason, p.ReadsCommits(), p.ReadsFiles(), diff)
			}
		})
	}
}

func TestAWindowOfTimeComesBack(t *testing.T) {
	at := func(day int, clock string) string { return fmt.Sprintf("2026-01-%02dT%s:00Z", day, clock) } // the 5th is a Monday
	cases := map[string]struct {
		reason, window string
		open, closed   []string
	}{
		"Day":        {"Within one day.", "'09:00', '17:30'", []string{at(5, "09:00"), at(11, "17:29")}, []string{at(5, "08:59"), at(5, "17:30")}},
		"Night":      {"Over midnight.", "'22:00', '6:00'", []string{at(5, "22:00"), at(5, "00:00"), at(6, "05:59")}, []string{at(5, "06:00"), at(5, "21:59")}},
		"Week":       {"Within one week.", "'Tue 10:00', 'Thu 10:00'", []string{at(6, "10:00"), at(7, "00:00"), at(8, "09:59")}, []string{at(6, "09:59"), at(8, "10:00"), at(11, "10:00")}},
		"Weekend":    {"Over Sunday night.", "'fri 14:00', 'Mon 08:00'", []string{at(9, "14:00"), at(11, "23:59"), at(5, "00:00"), at(5, "07:59")}, []string{at(5, "08:00"), at(9, "13:59")}},
		"SameDay":    {"All week but one hour.", "'Wed 10:00', 'Wed 09:00'", []string{at(7, "10:00"), at(7, "08:59"), at(5, "09:30")}, []string{at(7, "09:00"), at(7, "09:59")}},
		"NewYork":    {"As the clocks of a zone show it.", "'09:00', '10:00', 'America/New_York'", []string{at(5, "14:00")}, []string{at(5, "09:00"), at(5, "15:00")}},
		"Yesterdays": {"There it is still Sunday.", "'Sun 00:00', 'Mon 00:00', 'America/New_York'", []string{at(5, "04:59")}, []string{at(5, "05:00")}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := compile(t, full(rule("now.within("+tc.window+")")))
			for want, times := range map[policy.Result][]string{policy.Pass: tc.open, policy.Fail: tc.closed} {
				for _, text := range times {
					now, err := time.Parse(time.RFC3339, text)
					if err != nil {
						t.Fatal(err)
					}
					if got := p.Evaluate(t.Context(), policy.Input{Now: now}); got.Result != want {
						t.Errorf("%s: at %s it is %s, want %s", tc.reason, text, got.Result, want)
					}
				}
			}
		})
	}
}

func TestTrailersAreFoundAsGitFindsThem(t *testing.T) {
	cases := map[string]struct {
		reason, message string
		want            map[string][]string
	}{
		"None":        {"A subject is no trailer.", "Fixes: nothing", map[string][]string{}},
		"Paragraph":   {"The last paragraph has only trailers.", "x\n\ny\n\nRefs: #1\nRefs : #2\n\n", map[string][]string{"refs": {"#1", "#2"}}},
		"NotLast":     {"A paragraph above is none.", "x\n\nRefs: #1\n\ny", map[string][]string{}},
		"Mixed":       {"One line that is none spoils it.", "x\n\nSee: below\nthis line", map[string][]string{}},
		"GitsOwn":     {"Unless Git wrote one of them.", "x\n\nthis line\nSigned-off-by: Ada <a@b.c>", map[string][]string{"signed-off-by": {"Ada <a@b.c>"}}},
		"CherryPick":  {"It writes this one, too.", "x\n\nRefs: #1\n(cherry picked from commit 5d41402)", map[string][]string{"refs": {"#1"}}},
		"TooFew":      {"And a quarter of the lines are trailers.", "x\n\na\nb\nc\nd\nSigned-off-by: Ada", map[string][]string{}},
		"Windows":     {"Lines end as they do.", "x\r\n\r\nRefs: #1\r\n", map[string][]string{"refs": {"#1"}}},
		"BlankInside": {"A key has no blank in it.", "x\n\nSee also: y", map[string][]string{}},
		"Empty":       {"No message, no trailer.", "", map[string][]string{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var conditions []string
			for key, values := range tc.want {
				conditions = append(conditions, fmt.Sprintf("commit.trailers[%q] == ['%s']", key, strings.Join(values, "', '")))
			}
			conditions = append(conditions, fmt.Sprintf("commit.trailers.size() == %d", len(tc.want)))
			got := compile(t, spec(rule(strings.Join(conditions, " && ")))).Evaluate(t.Context(), policy.Input{Commit: &policy.Commit{Message: tc.message}})
			if got.Result != policy.Pass {
				t.Errorf("%s: %s, %s", tc.reason, got.Result, got.Rules[0].Message)
			}
		})
	}
	given := &policy.Commit{Message: "x\n\nRefs: #1", Trailers: map[string][]string{}}
	if got := compile(t, spec(rule("commit.trailers.size() == 0"))).Evaluate(t.Context(), policy.Input{Commit: given}); got.Result != policy.Pass {
		t.Errorf("trailers that the caller gives are those: %s", got.Rules[0].Message)
	}
}

func TestTheTypeOfACommitIsThatOfItsSubject(t *testing.T) {
	for message, want := range map[string]string{
		"fix: x": "fix", "Feat(api)!: x": "feat", "build-image: x": "build-image",
		"Merge branch: x": "", "fix:x": "", "fix x": "", "": "", "\n\nchore: x": "chore", "(api): x": "",
	} {
		got := compile(t, spec(rule("commit.type == '"+want+"'"))).Evaluate(t.Context(), policy.Input{Commit: &policy.Commit{Message: message}})
		if got.Result != policy.Pass {
			t.Errorf("%q is not of type %q", message, want)
		}
	}
}

func TestAnAggregateCostsItsElements(t *testing.T) {
	in := policy.Input{Metrics: map[string]policy.Value{"a": policy.Vector(make([]policy.Series, 3*policy.MaxSeries))}}
	p := compile(t, spec(rule("series.a.sum() == 0")), policy.CostLimit(2*policy.MaxSeries))
	if got := p.Evaluate(t.Context(), in); got.Result != policy.Inconclusive || !strings.Contains(got.Rules[0].Message, "cost limit") {
		t.Errorf("%s, %q, want inconclusive by the cost limit", got.Result, got.Rules[0].Message)
	}
	if got := problems(t, spec(rule("series.a.sum() == 0")), policy.CostLimit(policy.MaxSeries/2)); !strings.Contains(got[0].Message, "can cost") {
		t.Errorf("with a small limit: %v", got)
	}
	if got := problems(t, spec(rule("series.a.all(s, series.a.map(t, t.value).max() > s.value)"))); !strings.Contains(got[0].Message, "can cost") {
		t.Errorf("a loop in a loop: %v", got)
	}
}

func TestAllFilesOfAllCommitsFitIntoTheLimit(t *testing.T) {
	const expression = "commits.exists(c, c.files.exists(f, f.glob('db/migrations/**'))) && commits.all(c, c.files.all(f, !f.glob('infra/**') && !f.startsWith('secrets/')))"
	p := compile(t, spec(rule(expression)))
	in := policy.Input{Commits: make([]policy.Commit, policy.MaxCommits)}
	for i := range in.Commits {
		in.Commits[i].Files = make([]string, policy.MaxFiles)
		for j := range in.Commits[i].Files {
			in.Commits[i].Files[j] = strings.Repeat("directory/", 10) + "file.go"
		}
	}
	in.Commits[policy.MaxCommits-1].Files[0] = "db/migrations/1.sql"
	if got := p.Evaluate(t.Context(), in); got.Result != policy.Pass {
		t.Errorf("%s, %s", got.Result, got.Rules[0].Message)
	}
}
