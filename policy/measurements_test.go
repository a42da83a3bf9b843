package policy_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/slo"
)

// opaque compares values, of which only the package sees the inside.
func opaque() cmp.Option {
	return cmp.Options{cmp.AllowUnexported(policy.Value{}), cmpopts.EquateNaNs(), cmpopts.EquateEmpty()}
}

func TestMeasurementsAreReadFromYAMLAndJSON(t *testing.T) {
	in, err := policy.ParseMeasurements([]byte(`
metrics:
  errors: 12
  ratio: 1.5e-3
  broken: .nan
  endless: -.inf
  p95: null
  nothing:
  none: []
  cpu:
    - {labels: {pod: a, port: 80}, value: 0.5}
    - {value: .nan}
baseline: {p95: 0.2}
`), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]policy.Value{
		"errors": policy.Number(12), "ratio": policy.Number(0.0015),
		"broken": policy.Number(math.NaN()), "endless": policy.Number(math.Inf(-1)),
		"p95": policy.NoData(""), "nothing": policy.NoData(""), "none": policy.NoData(""),
		"cpu": policy.Vector([]policy.Series{{Labels: map[string]string{"pod": "a", "port": "80"}, Value: 0.5}, {Value: math.NaN()}}),
	}
	if diff := cmp.Diff(want, in.Metrics, opaque()); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]policy.Value{"p95": policy.Number(0.2)}, in.Baseline, opaque()); diff != "" {
		t.Errorf("baseline (-want +got):\n%s", diff)
	}
	in, err = policy.ParseMeasurements([]byte(`{"metrics": {"errors": 12}}`), time.Time{})
	if diff := cmp.Diff(map[string]policy.Value{"errors": policy.Number(12)}, in.Metrics, opaque()); err != nil || diff != "" {
		t.Errorf("JSON: %v, metrics (-want +got):\n%s", err, diff)
	}
}

func TestMeasurementsThatAreNoneAreRefused(t *testing.T) {
	cases := map[string]struct{ reason, text, want string }{
		"Text":          {"A word is no number.", "metrics:\n  a: many", "line 2: metrics.a is neither a number, .nan, null nor a list of series"},
		"QuotedNumber":  {"Nor is a number in quotes.", "metrics: {a: '1'}", "line 1: metrics.a is neither a number, .nan, null nor a list of series"},
		"Mapping":       {"A series stands in a list.", "metrics: {a: {value: 1}}", "line 1: metrics.a is neither a number, .nan, null nor a list of series"},
		"UnknownKey":    {"A typo must not be an absent metric.", "metric: {a: 1}", `line 1: unknown key "metric": there is metrics, baseline, slo, params, commit, commits, commitsTruncated, rollout and now`},
		"UnknownInside": {"Nor inside of a series.", "metrics:\n  a:\n    - {label: {}, value: 1}", `line 3: unknown key "label" in metrics.a[0]: there is labels, value and values`},
		"NoValue":       {"A series without value.", "metrics:\n  a:\n    - {labels: {}}", "line 3: metrics.a[0] has to have one of value and values"},
		"NullValue":     {"A series that has no data is left out.", "metrics: {a: [{value: null}]}", "line 1: metrics.a[0].value is neither a number, .nan, null nor a list of series"},
		"Label":         {"A label is a text.", "metrics: {a: [{labels: {x: [1]}, value: 1}]}", "line 1: metrics.a[0].labels.x is no text"},
		"Twice":         {"Which one is meant?", "metrics:\n  a: 1\n  a: 2", `line 3: "a" is given twice in metrics`},
		"NoMapping":     {"A list of metrics has no names.", "metrics: [1]", "line 1: metrics is no mapping of names to values"},
		"List":          {"The file is a mapping.", "- 1", "line 1: the file is no mapping of names to values"},
		"Documents":     {"Only one is read.", "metrics: {}\n---\nmetrics: {}", "reading measurements: there is more than one document"},
		"Syntax":        {"YAML's own words.", "metrics: {", "reading measurements: yaml: line 1: did not find expected node content"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := policy.ParseMeasurements([]byte(tc.text), time.Time{})
			if err == nil || err.Error() != tc.want {
				t.Errorf("%s: error %v, want %s", tc.reason, err, tc.want)
			}
		})
	}
}

func TestAFileHoldsAllThatAPolicyReads(t *testing.T) {
	in, err := policy.ParseMeasurements([]byte(`
metrics:
  errors:
    - {labels: {code: "500"}, values: "0+10x2 _ 5"}
    - {labels: {code: "503"}, values: [1, .nan]}
    - {labels: {code: "504"}, values: 1 stale}
  gone: [{values: 1x3 stale}]
slo:
  availability: {objective: 99.9, window: 28d, good: 9995, total: 10000, burned: 0.031, burn: {1h: 14.4, 5m: null}}
  latency: {budgetRemaining: 0.25, burned: null}
  silent: null
params: {region: eu}
commit: {sha: a, message: "fix: x", time: 2026-01-02T15:04:05+01:00, files: []}
commits: [{sha: a}, {sha: b, trailers: {risk: [high]}}]
commitsTruncated: true
rollout: {app: shop, version: 1.2.3, startedAt: 2026-01-02T15:20:00Z}
now: 2026-01-02T15:30:00Z
`), time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	at := func(minutes int, v float64) metric.Sample {
		return metric.Sample{Time: friday.Add(time.Duration(minutes) * time.Minute), Value: v}
	}
	label := func(code string) map[string]string { return map[string]string{"code": code} }
	want := policy.Input{
		Metrics: map[string]policy.Value{
			"errors": policy.Vector([]policy.Series{
				{Labels: label("500"), Value: 5, Samples: []metric.Sample{at(-4, 0), at(-3, 10), at(-2, 20), at(0, 5)}},
				{Labels: label("503"), Value: math.NaN(), Samples: []metric.Sample{at(-1, 1), at(0, math.NaN())}},
			}),
			"gone": policy.Stale("no series has a current value"),
		},
		SLOs: map[string]slo.State{
			"availability": {
				Objective: 0.999, Good: 9995, Total: 10000, ErrorRatio: 0.0005, BudgetRemaining: 0.5, Burned: new(0.031), Period: 28 * 24 * time.Hour,
				Burn:        map[time.Duration]float64{time.Hour: 14.4},
				MissingBurn: map[time.Duration]string{5 * time.Minute: "no data"},
			},
			"latency": {Objective: math.NaN(), Good: math.NaN(), Total: math.NaN(), ErrorRatio: math.NaN(), BudgetRemaining: 0.25, Period: 30 * 24 * time.Hour},
		},
		Params:           map[string]string{"region": "eu"},
		Commit:           &policy.Commit{SHA: "a", Message: "fix: x", Time: time.Date(2026, 1, 2, 14, 4, 5, 0, time.UTC), Files: []string{}},
		Commits:          []policy.Commit{{SHA: "a"}, {SHA: "b", Trailers: map[string][]string{"risk": {"high"}}}},
		CommitsTruncated: true,
		Rollout:          &policy.Rollout{App: "shop", Version: "1.2.3", StartedAt: friday.Add(-10 * time.Minute)},
		Now:              friday,
	}
	if diff := cmp.Diff(want, in, opaque(), cmpopts.EquateApprox(0, 1e-12)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if in.Commit.Files == nil {
		t.Error("a commit without files is one whose files are not known")
	}
}

func TestValuesAreWrittenAsForPromtool(t *testing.T) {
	cases := map[string]struct {
		reason, text string
		want         []float64 // the newest last; NaN for none
	}{
		"Single":     {"Values one by one.", "1 -2.5 +3e2 .5 NaN", []float64{1, -2.5, 300, 0.5, math.Inf(1)}},
		"Expanding":  {"The first value, and so many more.", "1+2x3", []float64{1, 3, 5, 7}},
		"Falling":    {"Downwards.", "-1-1.5x2", []float64{-1, -2.5, -4}},
		"Constant":   {"The same again.", "4x2", []float64{4, 4, 4}},
		"Missing":    {"Nothing was scraped.", "1 _ 2 _x2 3", []float64{1, math.NaN(), 2, math.NaN(), math.NaN(), 3}},
		"MissingEnd": {"Also at the end: the newest is older.", "1 _", []float64{1, math.NaN()}},
		"Once":       {"No repetition.", "7x0", []float64{7}},
		"Exponents":  {"A number as any other.", "1e1+1e-1x1", []float64{10, 10.1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in, err := policy.ParseMeasurements([]byte("metrics: {a: [{values: '"+tc.text+"'}]}"), friday)
			if err != nil {
				t.Fatal(err)
			}
			var want []metric.Sample
			for i, v := range tc.want {
				if math.IsInf(v, 0) {
					v = math.NaN()
				} else if math.IsNaN(v) {
					continue
				}
				want = append(want, metric.Sample{Time: friday.Add(time.Duration(i-len(tc.want)+1) * time.Minute), Value: v})
			}
			value := policy.Vector([]policy.Series{{Value: want[len(want)-1].Value, Samples: want}})
			if diff := cmp.Diff(map[string]policy.Value{"a": value}, in.Metrics, opaque()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestWhatAFileCannotHoldIsRefused(t *testing.T) {
	cases := map[string]struct{ reason, text, want string }{
		"Notation":     {"A word is no value.", "metrics:\n  a: [{values: 1 two 3}]", `line 2: metrics.a[0].values: "two" is no value: write 5, 0+10x5, _x3 or stale`},
		"ValuesOfMap":  {"Nor is a mapping.", "metrics: {a: [{values: {}}]}", "line 1: metrics.a[0].values is neither a list of numbers nor a text as 0+10x5"},
		"ValuesOfText": {"Nor a text in a list.", "metrics: {a: [{values: [x]}]}", "line 1: metrics.a[0].values[0] is neither a number, .nan, null nor a list of series"},
		"TooMany":      {"A series has an end.", "metrics: {a: [{values: '1x99999999999999999999'}]}", "line 1: metrics.a[0].values has more than 11000 values"},
		"TooManyNone":  {"Even one of nothing.", "metrics: {a: [{values: '_x20000'}]}", "line 1: metrics.a[0].values has more than 11000 values"},
		"Both":         {"Which one counts?", "metrics: {a: [{value: 1, values: 1}]}", "line 1: metrics.a[0] has to have one of value and values"},
		"Fraction":     {"The fraction of a percentage is a slip.", "slo: {a: {objective: 0.999, good: 1, total: 1}}", "line 1: slo.a: objective 0.999 is no percentage as in a policy: write 99.9"},
		"Period":       {"A window has its notation.", "slo: {a: {window: 30 days, budgetRemaining: 1}}", `line 1: slo.a: "30 days" is no period: write it as 90m, 1h30m, 7d or 4w`},
		"BurnPeriod":   {"So has one of a burn rate.", "slo: {a: {budgetRemaining: 1, burn: {hour: 1}}}", `line 1: slo.a: "hour" is no period: write it as 90m, 1h30m, 7d or 4w`},
		"NoBudget":     {"Nothing is said.", "slo: {a: {objective: 99}}", "line 1: slo.a: give either good and total, or budgetRemaining"},
		"TwoBudgets":   {"Two things are.", "slo: {a: {objective: 99, good: 1, total: 1, budgetRemaining: 1}}", "line 1: slo.a: give either good and total, or budgetRemaining"},
		"NoTotal":      {"Half of it is.", "slo: {a: {objective: 99, good: 1}}", "line 1: slo.a: give either good and total, or budgetRemaining"},
		"NoObjective":  {"Without an objective there is no budget.", "slo: {a: {good: 1, total: 1}}", "line 1: slo.a: good and total say nothing of the budget without an objective"},
		"Burned":       {"Nothing gives back what was burned.", "slo: {a: {budgetRemaining: 1, burned: -1}}", "line 1: slo.a: burned -1 is no fraction of the error budget: write 0.03 for 3%"},
		"UnknownInSLO": {"A typo.", "slo:\n  a: {godo: 1}", `line 2: slo.a is not as it should be: json: unknown field "godo"`},
		"Time":         {"A word is no time.", "now: noon", `line 1: now is not as it should be: parsing time "noon" as "2006-01-02T15:04:05Z07:00": cannot parse "noon" as "2006"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := policy.ParseMeasurements([]byte(tc.text), friday); err == nil || err.Error() != tc.want {
				t.Errorf("%s: error\n%v, want\n%s", tc.reason, err, tc.want)
			}
		})
	}
}

func TestAnEmptyFileMeasuresNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing yet\n", "metrics:\nbaseline:\n", "null"} {
		in, err := policy.ParseMeasurements([]byte(text), time.Time{})
		if err != nil || len(in.Metrics) > 0 || len(in.Baseline) > 0 {
			t.Errorf("%q: %v, %v", text, in, err)
		}
	}
}

func FuzzParseMeasurements(f *testing.F) {
	for _, seed := range []string{
		"metrics: {a: 1, b: [{labels: {x: y}, value: .nan}]}\nbaseline: {a: null}", "a: &a [*a]", "metrics: &m {a: *m}", "---\n...\n",
		"metrics: {a: [{values: '0+10x5 _x3 1e3 -1-1x2 NaN'}, {values: [1, 2]}, {values: stale}]}\nnow: 2026-01-02T15:04:05Z",
		"slo: {a: {objective: 99.9, window: 30d, good: 9, total: 10, burned: 0.5, burn: {1h: 14.4, 6h: null}}, b: null, c: {budgetRemaining: -1}}",
		"params: {a: b}\ncommits: [{sha: a, files: [b]}]\nrollout: {app: x, startedAt: 2026-01-02T15:04:05Z}\ncommit: null\ncommitsTruncated: true",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		in, err := policy.ParseMeasurements([]byte(text), time.Unix(1e9, 0))
		if err == nil {
			return
		}
		if diff := cmp.Diff(policy.Input{}, in, opaque()); diff != "" || strings.TrimSpace(err.Error()) == "" {
			t.Errorf("error %q with measurements:\n%s", err, diff)
		}
	})
}
