package analysis_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/policy/analysis"
)

func fixed(n string) *metricsv1.OperatorValue {
	return &metricsv1.OperatorValue{FixedValue: resource.MustParse(n)}
}

func between(low, high string) *metricsv1.RangeValue {
	return &metricsv1.RangeValue{LowBound: resource.MustParse(low), HighBound: resource.MustParse(high)}
}

func template(name string) metricsv1.ObjectReference { return metricsv1.ObjectReference{Name: name} }

// objective fails below 5 and warns below 10.
func objective(name string, weight int64, key bool) metricsv1.Objective {
	return metricsv1.Objective{
		AnalysisValueTemplateRef: template(name),
		Target: metricsv1.Target{
			Failure: &metricsv1.Operator{LessThan: fixed("5")},
			Warning: &metricsv1.Operator{LessThan: fixed("10")},
		},
		Weight: &weight, KeyObjective: key,
	}
}

const bad, soSo, good = 1, 7, 20

func spec(objectives ...metricsv1.Objective) *metricsv1.AnalysisDefinitionSpec {
	return &metricsv1.AnalysisDefinitionSpec{
		Objectives: objectives,
		TotalScore: metricsv1.TotalScore{PassPercentage: 75, WarningPercentage: 50},
	}
}

func values(byName map[string]float64) map[metricsv1.ObjectReference]analysis.Value {
	v := map[metricsv1.ObjectReference]analysis.Value{}
	for name, value := range byName {
		v[template(name)] = analysis.Value{Value: value}
	}
	return v
}

func TestTheExampleOfKeptnsDocumentationPassesWith87Percent(t *testing.T) {
	first, second, third := objective("v1", 2, false), objective("v2", 1, false), objective("v3", 1, false)
	first.Target.Warning = &metricsv1.Operator{LessThan: fixed("4")}
	second.Target = metricsv1.Target{Failure: &metricsv1.Operator{GreaterThan: fixed("20")}, Warning: &metricsv1.Operator{GreaterThan: fixed("15")}}
	third.Target = metricsv1.Target{Failure: &metricsv1.Operator{NotInRange: between("25", "35")}}
	got := analysis.Evaluate(spec(first, second, third), values(map[string]float64{"v1": 11, "v2": 20, "v3": 30}))
	var scores []float64
	for _, o := range got.ObjectiveResults {
		scores = append(scores, o.Score)
	}
	if diff := cmp.Diff([]float64{2, 0.5, 1}, scores); diff != "" {
		t.Errorf("scores (-want +got):\n%s", diff)
	}
	if got.TotalScore != 3.5 || got.MaximumScore != 4 || got.Percentage() != 87.5 || !got.Pass || got.Warning {
		t.Errorf("got %g of %g, %g%%, pass %t, warning %t", got.TotalScore, got.MaximumScore, got.Percentage(), got.Pass, got.Warning)
	}
}

// The text is what Keptn's own end-to-end test demands
// (test/chainsaw/testanalysis/analysis-controller/assert-1.yaml).
func TestJSONIsKeptnsByteForByte(t *testing.T) {
	one := int64(1)
	got := analysis.Evaluate(spec(metricsv1.Objective{
		AnalysisValueTemplateRef: template("ready"),
		Target: metricsv1.Target{
			Failure: &metricsv1.Operator{LessThan: fixed("2")},
			Warning: &metricsv1.Operator{LessThan: fixed("3")},
		},
		Weight: &one,
	}), map[metricsv1.ObjectReference]analysis.Value{
		template("ready"): {Value: 4, Query: `sum(kube_pod_container_status_ready{namespace="keptn-system"})`},
	})
	raw, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"objectiveResults":[{"result":{"failResult":{"operator":{"lessThan":{"fixedValue":"2"}},"fulfilled":false},"warnResult":{"operator":{"lessThan":{"fixedValue":"3"}},"fulfilled":false},"warning":false,"pass":true},"objective":{"analysisValueTemplateRef":{"name":"ready"},"target":{"failure":{"lessThan":{"fixedValue":"2"}},"warning":{"lessThan":{"fixedValue":"3"}}},"weight":1},"value":4,"query":"sum(kube_pod_container_status_ready{namespace=\"keptn-system\"})","score":1}],"totalScore":1,"maximumScore":1,"pass":true,"warning":false}`
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSONOfAnErrorIsItsText(t *testing.T) {
	got := analysis.Evaluate(spec(metricsv1.Objective{AnalysisValueTemplateRef: template("a")}), values(map[string]float64{"a": math.NaN()}))
	raw, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"objectiveResults":[{"result":{"failResult":{"operator":{},"fulfilled":false},"warnResult":{"operator":{},"fulfilled":false},"warning":false,"pass":false},"objective":{"analysisValueTemplateRef":{"name":"a"},"target":{}},"value":0,"query":"","score":0,"error":"value is NaN: the query has to yield a finite number"}],"totalScore":0,"maximumScore":1,"pass":false,"warning":false}`
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheWholeFollowsFromObjectives(t *testing.T) {
	pct := func(s *metricsv1.AnalysisDefinitionSpec, pass, warning int) *metricsv1.AnalysisDefinitionSpec {
		s.TotalScore = metricsv1.TotalScore{PassPercentage: pass, WarningPercentage: warning}
		return s
	}
	cases := map[string]struct {
		reason        string
		spec          *metricsv1.AnalysisDefinitionSpec
		values        map[string]float64
		pass, warning bool
	}{
		"Pass":           {"All is well.", spec(objective("a", 1, false)), map[string]float64{"a": good}, true, false},
		"Warning":        {"Half of the weight is the warning's 50%.", spec(objective("a", 1, false)), map[string]float64{"a": soSo}, false, true},
		"Fail":           {"Nothing was earned.", spec(objective("a", 1, false)), map[string]float64{"a": bad}, false, false},
		"AtThePass":      {"75 of 75 percent are enough.", spec(objective("a", 3, false), objective("b", 1, false)), map[string]float64{"a": good, "b": bad}, true, false},
		"ExactlyAll":     {"Thirds add up to 100 percent.", pct(spec(objective("a", 1, false), objective("b", 1, false), objective("c", 1, false)), 100, 99), map[string]float64{"a": good, "b": good, "c": good}, true, false},
		"KeyFails":       {"A key objective outweighs everything.", spec(objective("a", 1, true), objective("b", 100, false)), map[string]float64{"a": bad, "b": good}, false, false},
		"KeyWarns":       {"A warning is no failure, for a key objective neither.", spec(objective("a", 1, true), objective("b", 100, false)), map[string]float64{"a": soSo, "b": good}, true, false},
		"KeyOfNoWeight":  {"What weighs nothing can still pass.", spec(objective("a", 0, true), objective("b", 1, false)), map[string]float64{"a": good, "b": good}, true, false},
		"KeyOfNoWeight2": {"And it can fail everything.", spec(objective("a", 0, true), objective("b", 1, false)), map[string]float64{"a": bad, "b": good}, false, false},
		"NotANumber":     {"0/0 is no evidence, however little it weighs.", spec(objective("a", 0, false), objective("b", 100, false)), map[string]float64{"a": math.NaN(), "b": good}, false, false},
		"Infinite":       {"1/0 is no evidence, even where more is better.", spec(objective("a", 0, false), objective("b", 100, false)), map[string]float64{"a": math.Inf(1), "b": good}, false, false},
		"Missing":        {"What was not measured does not pass.", spec(objective("a", 1, false), objective("b", 100, false)), map[string]float64{"b": good}, false, false},
		"NoObjectives":   {"Nothing was measured, so nothing was earned.", spec(), nil, false, false},
		"NothingAsked":   {"No percent of nothing are always reached, as in Keptn.", pct(spec(), 0, 0), nil, true, false},
		"Informative":    {"Without a target every number passes, and counts.", spec(metricsv1.Objective{AnalysisValueTemplateRef: template("a")}), map[string]float64{"a": bad}, true, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := analysis.Evaluate(tc.spec, values(tc.values))
			if got.Pass != tc.pass || got.Warning != tc.warning {
				t.Errorf("%s: pass %t, warning %t, want %t, %t: %+v", tc.reason, got.Pass, got.Warning, tc.pass, tc.warning, got)
			}
		})
	}
}

func TestOperatorsIncludeTheirBoundsAsTheirNamesSay(t *testing.T) {
	cases := map[string]struct {
		operator metricsv1.Operator
		holds    map[float64]bool
	}{
		"LessThan":           {metricsv1.Operator{LessThan: fixed("3m")}, map[float64]bool{0.0029: true, 0.003: false, 0.0031: false}},
		"LessThanOrEqual":    {metricsv1.Operator{LessThanOrEqual: fixed("3m")}, map[float64]bool{0.0029: true, 0.003: true, 0.0031: false}},
		"GreaterThan":        {metricsv1.Operator{GreaterThan: fixed("1k")}, map[float64]bool{999: false, 1000: false, 1001: true}},
		"GreaterThanOrEqual": {metricsv1.Operator{GreaterThanOrEqual: fixed("1Ki")}, map[float64]bool{1023: false, 1024: true}},
		"EqualTo":            {metricsv1.Operator{EqualTo: fixed("0.1")}, map[float64]bool{0.1: true, 0.1000001: false}},
		"InRange":            {metricsv1.Operator{InRange: between("-1", "2.5")}, map[float64]bool{-1.1: false, -1: true, 0: true, 2.5: true, 2.6: false}},
		"NotInRange":         {metricsv1.Operator{NotInRange: between("-1", "2.5")}, map[float64]bool{-1.1: true, -1: false, 0: false, 2.5: false, 2.6: true}},
		"None":               {metricsv1.Operator{}, map[float64]bool{0: false}},
	}
	for name, tc := range cases {
		for value, want := range tc.holds {
			o := objective("a", 1, false)
			o.Target = metricsv1.Target{Failure: &tc.operator}
			got := analysis.Evaluate(spec(o), values(map[string]float64{"a": value}))
			if got := got.ObjectiveResults[0].Result.FailResult.Fulfilled; got != want {
				t.Errorf("%s of %g is %t", name, value, got)
			}
		}
	}
}

func TestAnErrorNamesItsTemplate(t *testing.T) {
	elsewhere := metricsv1.Objective{AnalysisValueTemplateRef: metricsv1.ObjectReference{Name: "b", Namespace: "shop"}}
	got := analysis.Evaluate(spec(metricsv1.Objective{AnalysisValueTemplateRef: template("a")}, elsewhere),
		map[metricsv1.ObjectReference]analysis.Value{template("a"): {Err: errors.New("boom")}})
	want := "a: boom\nb: required value 'b-shop' not available"
	if err := got.Err(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestAStoredValueIsReadOrIsAnError(t *testing.T) {
	cases := map[string]struct {
		stored metricsv1.ProviderResult
		value  float64
		err    string
	}{
		"Number": {metricsv1.ProviderResult{Value: "4.5", Query: "q"}, 4.5, ""},
		"Words":  {metricsv1.ProviderResult{Value: "many"}, 0, `value "many" is not a number`},
		"Empty":  {metricsv1.ProviderResult{}, 0, `value "" is not a number`},
		"Error":  {metricsv1.ProviderResult{Value: "1", ErrMsg: "boom"}, 0, "boom"},
	}
	for name, tc := range cases {
		got := analysis.ParseValue(tc.stored)
		if tc.err != "" && (got.Err == nil || got.Err.Error() != tc.err) || tc.err == "" && got.Err != nil {
			t.Errorf("%s: error %v, want %q", name, got.Err, tc.err)
		}
		if got.Value != tc.value || got.Query != tc.stored.Query {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// random makes a definition and values for it.
func random(r *rand.Rand) (*metricsv1.AnalysisDefinitionSpec, map[string]float64) {
	s, v := spec(), map[string]float64{}
	for i := range 1 + r.IntN(8) {
		name := string(rune('a' + i))
		s.Objectives = append(s.Objectives, objective(name, r.Int64N(10), r.IntN(4) == 0))
		if r.IntN(8) > 0 {
			v[name] = []float64{bad, soSo, good, good, good, math.NaN()}[r.IntN(6)]
		}
	}
	s.TotalScore.PassPercentage = 1 + r.IntN(100)
	s.TotalScore.WarningPercentage = r.IntN(s.TotalScore.PassPercentage)
	return s, v
}

func TestTheOrderOfObjectivesChangesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		s, v := random(r)
		before := analysis.Evaluate(s, values(v))
		r.Shuffle(len(s.Objectives), func(i, j int) {
			s.Objectives[i], s.Objectives[j] = s.Objectives[j], s.Objectives[i]
		})
		after := analysis.Evaluate(s, values(v))
		if before.Pass != after.Pass || before.Warning != after.Warning || before.TotalScore != after.TotalScore || before.MaximumScore != after.MaximumScore {
			t.Fatalf("%+v\nis not\n%+v", before, after)
		}
	}
}

func TestMoreWeightOnWhatPassesNeverHurtsAndOnWhatFailsNeverHelps(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		s, v := random(r)
		before := analysis.Evaluate(s, values(v))
		i := r.IntN(len(s.Objectives))
		heavier := *s.Objectives[i].Weight + 1 + r.Int64N(10)
		s.Objectives[i].Weight = &heavier
		after := analysis.Evaluate(s, values(v))
		changed := rank(after) - rank(before)
		switch result := before.ObjectiveResults[i].Result; {
		case result.Pass && changed < 0, !result.Pass && !result.Warning && changed > 0:
			t.Fatalf("objective %d at %d:\n%+v\nbecame\n%+v", i, heavier, before, after)
		}
	}
}

func TestABetterValueNeverMakesTheVerdictWorse(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		s, v := random(r)
		before := analysis.Evaluate(s, values(v))
		v[s.Objectives[r.IntN(len(s.Objectives))].AnalysisValueTemplateRef.Name] = good
		if after := analysis.Evaluate(s, values(v)); rank(after) < rank(before) {
			t.Fatalf("%+v\nbecame\n%+v", before, after)
		}
	}
}

func TestPassAndWarningFollowFromThePercentage(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 2000 {
		s, v := random(r)
		got := analysis.Evaluate(s, values(v))
		p := got.Percentage()
		switch {
		case got.Pass && got.Warning, p < 0, p > 100,
			got.Pass && p < float64(s.TotalScore.PassPercentage),
			got.Warning && (p < float64(s.TotalScore.WarningPercentage) || p >= float64(s.TotalScore.PassPercentage)),
			(got.Pass || got.Warning) && got.Err() != nil:
			t.Fatalf("%g%%: %+v of %+v", p, got, s.TotalScore)
		}
	}
}

func rank(r analysis.Result) int {
	switch {
	case r.Pass:
		return 2
	case r.Warning:
		return 1
	default:
		return 0
	}
}

func TestAWeightThatIsNotGivenIsOne(t *testing.T) {
	o := objective("a", 0, false)
	o.Weight = nil
	if got := analysis.Evaluate(spec(o), values(map[string]float64{"a": good})); got.MaximumScore != 1 || got.TotalScore != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestKeyIsKeptns(t *testing.T) {
	got := strings.Join([]string{analysis.Key(template("a")), analysis.Key(metricsv1.ObjectReference{Name: "a", Namespace: "b"})}, " ")
	if got != "a a-b" {
		t.Errorf("got %q", got)
	}
}
