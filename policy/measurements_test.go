package policy_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keptn/gitops/policy"
)

// opaque compares values, of which only the package sees the inside.
func opaque() cmp.Option {
	return cmp.Options{cmp.AllowUnexported(policy.Value{}), cmpopts.EquateNaNs(), cmpopts.EquateEmpty()}
}

func TestMeasurementsAreReadFromYAMLAndJSON(t *testing.T) {
	metrics, baseline, err := policy.ParseMeasurements([]byte(`
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
`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]policy.Value{
		"errors": policy.Number(12), "ratio": policy.Number(0.0015),
		"broken": policy.Number(math.NaN()), "endless": policy.Number(math.Inf(-1)),
		"p95": policy.NoData(""), "nothing": policy.NoData(""), "none": policy.NoData(""),
		"cpu": policy.Vector([]policy.Series{{Labels: map[string]string{"pod": "a", "port": "80"}, Value: 0.5}, {Value: math.NaN()}}),
	}
	if diff := cmp.Diff(want, metrics, opaque()); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]policy.Value{"p95": policy.Number(0.2)}, baseline, opaque()); diff != "" {
		t.Errorf("baseline (-want +got):\n%s", diff)
	}
	metrics, _, err = policy.ParseMeasurements([]byte(`{"metrics": {"errors": 12}}`))
	if diff := cmp.Diff(map[string]policy.Value{"errors": policy.Number(12)}, metrics, opaque()); err != nil || diff != "" {
		t.Errorf("JSON: %v, metrics (-want +got):\n%s", err, diff)
	}
}

func TestMeasurementsThatAreNoneAreRefused(t *testing.T) {
	cases := map[string]struct{ reason, text, want string }{
		"Text":          {"A word is no number.", "metrics:\n  a: many", "line 2: metrics.a is neither a number, .nan, null nor a list of series"},
		"QuotedNumber":  {"Nor is a number in quotes.", "metrics: {a: '1'}", "line 1: metrics.a is neither a number, .nan, null nor a list of series"},
		"Mapping":       {"A series stands in a list.", "metrics: {a: {value: 1}}", "line 1: metrics.a is neither a number, .nan, null nor a list of series"},
		"UnknownKey":    {"A typo must not be an absent metric.", "metric: {a: 1}", `line 1: unknown key "metric": there is metrics and baseline`},
		"UnknownInside": {"Nor inside of a series.", "metrics:\n  a:\n    - {label: {}, value: 1}", `line 3: unknown key "label" in metrics.a[0]: there is labels and value`},
		"NoValue":       {"A series without value.", "metrics:\n  a:\n    - {labels: {}}", "line 3: metrics.a[0] has no value"},
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
			_, _, err := policy.ParseMeasurements([]byte(tc.text))
			if err == nil || err.Error() != tc.want {
				t.Errorf("%s: error %v, want %s", tc.reason, err, tc.want)
			}
		})
	}
}

func TestAnEmptyFileMeasuresNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing yet\n", "metrics:\nbaseline:\n", "null"} {
		metrics, baseline, err := policy.ParseMeasurements([]byte(text))
		if err != nil || len(metrics) > 0 || len(baseline) > 0 {
			t.Errorf("%q: %v, %v, %v", text, metrics, baseline, err)
		}
	}
}

func FuzzParseMeasurements(f *testing.F) {
	f.Add("metrics: {a: 1, b: [{labels: {x: y}, value: .nan}]}\nbaseline: {a: null}")
	f.Add("a: &a [*a]")
	f.Add("metrics: &m {a: *m}")
	f.Add("---\n...\n")
	f.Fuzz(func(t *testing.T, text string) {
		metrics, baseline, err := policy.ParseMeasurements([]byte(text))
		if err != nil && (metrics != nil || baseline != nil || strings.TrimSpace(err.Error()) == "") {
			t.Errorf("error %q with measurements %v, %v", err, metrics, baseline)
		}
	})
}
