package convert_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/policy/convert"
)

func TestAnSLOFileBecomesTheDefinitionThatKeptnMakesOfIt(t *testing.T) {
	data, err := os.ReadFile("testdata/slo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	definition, notes, err := convert.SLO(data, "defname", "default")
	if err != nil {
		t.Fatal(err)
	}
	got, err := yaml.Marshal(definition)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/slo.want.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wantNotes := []string{
		"comparison is left out: an Analysis compares with no earlier result",
		`objectives[3] "response_time_p70": values that meet warning criteria warn, though they meet pass criteria too`,
		`objectives[4] "response_time_p95": pass criterion "<=+75%" is left out: an Analysis compares with no earlier result`,
		`objectives[4] "response_time_p95": warning criterion "<=+100%" is left out: an Analysis compares with no earlier result`,
		`objectives[5] "cpu": pass criterion "<=+100%" is left out: an Analysis compares with no earlier result`,
		`objectives[5] "cpu": pass criterion "<=+100%" is left out: an Analysis compares with no earlier result`,
		`objectives[6] "throughput": pass criterion "<=+100%" is left out: an Analysis compares with no earlier result`,
		`objectives[6] "throughput": pass criterion ">=-80%" is left out: an Analysis compares with no earlier result`,
		`objectives[6] "throughput": it has become informative: it always passes`,
	}
	if diff := cmp.Diff(wantNotes, notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

// withCriteria is an SLO file of one objective.
func withCriteria(criteria string) []byte {
	return []byte("objectives: [{sli: a, " + criteria + "}]\ntotal_score: {pass: 90%, warning: 75%}")
}

func TestCriteriaBecomeTargets(t *testing.T) {
	cases := map[string]struct{ reason, criteria, want, note string }{
		"Less":          {"What is not below fails.", `pass: [{criteria: ["<600"]}]`, `failure: {greaterThanOrEqual: {fixedValue: "600"}}`, ""},
		"LessOrEqual":   {"What is above fails.", `pass: [{criteria: ["<=600"]}]`, `failure: {greaterThan: {fixedValue: "600"}}`, ""},
		"More":          {"What is not above fails.", `pass: [{criteria: ["> 0.5"]}]`, `failure: {lessThanOrEqual: {fixedValue: 500m}}`, ""},
		"MoreOrEqual":   {"What is below fails.", `pass: [{criteria: [">=0.5"]}]`, `failure: {lessThan: {fixedValue: 500m}}`, ""},
		"And":           {"What is out of the range fails.", `pass: [{criteria: [">600", "<800"]}]`, `failure: {notInRange: {lowBound: "600", highBound: "800"}}`, ""},
		"AndSame":       {"Of two upper bounds the lower one counts.", `pass: [{criteria: ["<600", "<800"]}]`, `failure: {greaterThanOrEqual: {fixedValue: "600"}}`, ""},
		"AndStrict":     {"Of equal bounds the strict one counts.", `pass: [{criteria: ["<=600", "<600"]}]`, `failure: {greaterThanOrEqual: {fixedValue: "600"}}`, ""},
		"AndNever":      {"Nothing is below 600 and above 800.", `pass: [{criteria: ["<600", ">800"]}]`, `{}`, "hold for no value"},
		"AndThree":      {"Only two are converted, as in Keptn.", `pass: [{criteria: ["<600", ">400", ">800"]}]`, `failure: {notInRange: {lowBound: "400", highBound: "600"}}`, `">800" is left out`},
		"Or":            {"What is in the gap fails.", `pass: [{criteria: ["<600"]}, {criteria: [">800"]}]`, `failure: {inRange: {lowBound: "600", highBound: "800"}}`, ""},
		"OrTurned":      {"The order of alternatives means nothing.", `pass: [{criteria: [">=100"]}, {criteria: ["<=80"]}]`, `failure: {inRange: {lowBound: "80", highBound: "100"}}`, ""},
		"OrSame":        {"Of two upper bounds the higher one counts.", `pass: [{criteria: ["<600"]}, {criteria: ["<800"]}]`, `failure: {greaterThanOrEqual: {fixedValue: "800"}}`, ""},
		"OrAlways":      {"Everything is above 600 or below 800.", `pass: [{criteria: [">600"]}, {criteria: ["<800"]}]`, `{}`, "always holds"},
		"OrRanges":      {"Two ranges cannot be expressed.", `pass: [{criteria: [">1", "<2"]}, {criteria: [">3", "<4"]}]`, `{}`, "cannot be expressed"},
		"OrThree":       {"Only two are converted, as in Keptn.", `pass: [{criteria: ["<1"]}, {criteria: [">4"]}, {criteria: [">9"]}]`, `failure: {inRange: {lowBound: "1", highBound: "4"}}`, "after the second alternative"},
		"WarnAround":    {"A wider warning makes the failure.", `pass: [{criteria: ["<600"]}], warning: [{criteria: ["<=800"]}]`, `{failure: {greaterThan: {fixedValue: "800"}}, warning: {greaterThanOrEqual: {fixedValue: "600"}}}`, ""},
		"WarnWithin":    {"A narrower warning warns.", `pass: [{criteria: ["<1000"]}], warning: [{criteria: ["<=800"]}]`, `{failure: {greaterThanOrEqual: {fixedValue: 1k}}, warning: {lessThanOrEqual: {fixedValue: "800"}}}`, "though they meet pass criteria"},
		"WarnEqual":     {"The one that includes the bound is wider.", `pass: [{criteria: ["<=8"]}], warning: [{criteria: ["<8"]}]`, `{failure: {greaterThan: {fixedValue: "8"}}, warning: {lessThan: {fixedValue: "8"}}}`, "though they meet pass criteria"},
		"WarnElsewhere": {"Neither includes the other.", `pass: [{criteria: [">200", "<400"]}], warning: [{criteria: [">600", "<800"]}]`, `{}`, "neither includes the other"},
		"WarnOpposite":  {"Neither includes the other.", `pass: [{criteria: ["<600"]}], warning: [{criteria: [">800"]}]`, `{}`, "neither includes the other"},
		"WarnNever":     {"A warning that never holds is no range.", `pass: [{criteria: ["<600"]}], warning: [{criteria: [">8", "<7"]}]`, `{}`, "hold for no value"},
		"WarnOr":        {"Alternatives of warnings cannot be expressed.", `pass: [{criteria: ["<6"]}], warning: [{criteria: ["<7"]}, {criteria: ["<8"]}]`, `{}`, "only one list"},
		"WarnAndOr":     {"Nor can those beside a warning.", `pass: [{criteria: ["<6"]}, {criteria: [">9"]}], warning: [{criteria: ["<7"]}]`, `{}`, "only one list"},
		"WarnOnly":      {"Without pass criteria everything passes.", `warning: [{criteria: ["<7"]}]`, `{}`, "informative"},
		"Relative":      {"So it does where all are relative.", `pass: [{criteria: ["<=+10%"]}]`, `{}`, "no earlier result"},
		"RelativeValue": {"A sign makes a criterion relative, without % too.", `pass: [{criteria: ["<=+10", ">-5", "<9"]}]`, `failure: {greaterThanOrEqual: {fixedValue: "9"}}`, `">-5" is left out`},
		"Equal":         {"That a value is another cannot be expressed.", `pass: [{criteria: ["=0"]}]`, `{}`, "criteria hold for 0 only: that any other value does not meet them cannot be expressed"},
		"EqualBounds":   {"Two bounds can leave one value too.", `pass: [{criteria: ["<=5", ">=5"]}]`, `{}`, "criteria hold for 5 only"},
		"EqualWarns":    {"One value alone can warn.", `pass: [{criteria: ["<9"]}], warning: [{criteria: ["=0"]}]`, `{failure: {greaterThanOrEqual: {fixedValue: "9"}}, warning: {equalTo: {fixedValue: "0"}}}`, "though they meet pass criteria"},
		"EqualWithin":   {"An alternative that holds one value of another adds nothing.", `pass: [{criteria: ["=0"]}, {criteria: ["<9"]}]`, `failure: {greaterThanOrEqual: {fixedValue: "9"}}`, ""},
		"EqualBeside":   {"Beside another it cannot be expressed.", `pass: [{criteria: ["=9"]}, {criteria: ["<5"]}]`, `{}`, "cannot be expressed unless"},
		"EqualRelative": {"A percentage is relative here too.", `pass: [{criteria: ["=+10%", "<9"]}]`, `failure: {greaterThanOrEqual: {fixedValue: "9"}}`, `"=+10%" is left out`},
		"Operator":      {"What has no operator is told, and the rest read.", `pass: [{criteria: ["~600", "<9"]}]`, `failure: {greaterThanOrEqual: {fixedValue: "9"}}`, `pass criterion "~600" is left out: it does not begin with <, <=, >, >= or =`},
		"Number":        {"Words are no number.", `pass: [{criteria: ["<9"]}], warning: [{criteria: ["<many"]}]`, `failure: {greaterThanOrEqual: {fixedValue: "9"}}`, `warning criterion "<many" is left out: "many" is no number`},
		"LongNumber":    {"A quantity would round it.", `pass: [{criteria: ["<0.0000000001"]}]`, `{}`, "9 decimals"},
		"Nothing":       {"Who asks for nothing is told nothing.", `weight: 1`, `{}`, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			definition, notes, err := convert.SLO(withCriteria(tc.criteria), "d", "")
			if err != nil {
				t.Fatal(err)
			}
			var want metricsv1.Target
			if err := yaml.UnmarshalStrict([]byte(tc.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, definition.Spec.Objectives[0].Target); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if told := strings.Join(notes, "\n"); tc.note == "" && told != "" || !strings.Contains(told, tc.note) {
				t.Errorf("%s: notes %q, want %q", tc.reason, told, tc.note)
			}
		})
	}
}

func TestPartsOfTheFileThatAreLeftOutAreTold(t *testing.T) {
	_, notes, err := convert.SLO(append(withCriteria("weight: 1"), "\ncomparison: {compare_with: single_result}\nfilter: {id: '<id>'}"...), "d", "")
	want := []string{
		"comparison is left out: an Analysis compares with no earlier result",
		"filter is left out: write it into the queries of the AnalysisValueTemplates",
	}
	if diff := cmp.Diff(want, notes); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestObjectivesKeepTheirWeightAndWhetherTheyAreKey(t *testing.T) {
	definition, _, err := convert.SLO([]byte(`
objectives:
  - {sli: Response Time (p95), weight: 0, key_sli: true}
  - {sli: cpu}
total_score: {pass: 90, warning: "74.6 %"}`), "d", "")
	if err != nil {
		t.Fatal(err)
	}
	zero := int64(0)
	want := metricsv1.AnalysisDefinitionSpec{
		Objectives: []metricsv1.Objective{
			{AnalysisValueTemplateRef: metricsv1.ObjectReference{Name: "response-time-p95"}, Weight: &zero, KeyObjective: true},
			{AnalysisValueTemplateRef: metricsv1.ObjectReference{Name: "cpu"}},
		},
		TotalScore: metricsv1.TotalScore{PassPercentage: 90, WarningPercentage: 75},
	}
	if diff := cmp.Diff(want, definition.Spec); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnSLOFileThatCannotBeUnderstoodIsRefused(t *testing.T) {
	score := "\ntotal_score: {pass: 90%, warning: 75%}"
	cases := map[string]struct{ reason, file, name, want string }{
		"NoYAML":       {"A text is no file.", "invalid", "d", "read SLO file"},
		"Empty":        {"Nothing is no file.", "", "d", "no objectives"},
		"Twice":        {"One of two equal keys would be lost.", "objectives: []\nobjectives: []", "d", "already set"},
		"NoName":       {"The definition needs a name.", string(withCriteria("weight: 1")), "", "name of the definition"},
		"BadName":      {"Kubernetes has rules for names.", string(withCriteria("weight: 1")), "my_def", `"my_def"`},
		"NoScore":      {"Without percentages there is no verdict.", "objectives: [{sli: a}]", "d", "total_score.pass"},
		"BadScore":     {"Words are no percentage.", "objectives: [{sli: a}]\ntotal_score: {pass: all, warning: 1}", "d", `"all" is no percentage`},
		"NotANumber":   {"Nor is NaN.", "objectives: [{sli: a}]\ntotal_score: {pass: 90, warning: NaN}", "d", `"NaN" is no percentage`},
		"TooMuch":      {"There are only 100 percent.", "objectives: [{sli: a}]\ntotal_score: {pass: 101, warning: 1}", "d", `"101" is no percentage`},
		"TurnedScore":  {"The API server would refuse it.", "objectives: [{sli: a}]\ntotal_score: {pass: 75, warning: 75}", "d", "has to be the lower one"},
		"NoSLI":        {"An objective needs a name.", "objectives: [{weight: 1}]" + score, "d", `objectives[0] ""`},
		"Weight":       {"The API server would refuse it.", "objectives: [{sli: a, weight: -1}]" + score, "d", "weight is -1"},
		"ManyMegabyte": {"No one writes such a file.", strings.Repeat("#", 5<<20), "d", "too long"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			definition, _, err := convert.SLO([]byte(tc.file), tc.name, "")
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: got %v, %v, want %q", tc.reason, definition, err, tc.want)
			}
		})
	}
}

func FuzzSLO(f *testing.F) {
	data, err := os.ReadFile("testdata/slo.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(withCriteria(`pass: [{criteria: ["<1"]}, {criteria: [">4"]}], warning: [{criteria: ["<=+2%"]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		definition, notes, err := convert.SLO(data, "d", "")
		if err != nil {
			return
		}
		again, notesAgain, err := convert.SLO(data, "d", "")
		if diff := cmp.Diff(definition, again); diff != "" || err != nil || len(notes) != len(notesAgain) {
			t.Fatalf("the second time it is another: %v\n%s", err, diff)
		}
		if s := definition.Spec.TotalScore; s.WarningPercentage >= s.PassPercentage {
			t.Fatalf("%+v", s)
		}
		for _, o := range definition.Spec.Objectives {
			for _, operator := range []*metricsv1.Operator{o.Target.Failure, o.Target.Warning} {
				if operator == nil {
					continue
				}
				for _, r := range []*metricsv1.RangeValue{operator.InRange, operator.NotInRange} {
					if r != nil && r.LowBound.Cmp(r.HighBound) >= 0 {
						t.Fatalf("range %v to %v", &r.LowBound, &r.HighBound)
					}
				}
			}
		}
	})
}
