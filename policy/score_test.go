package policy

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"k8s.io/utils/ptr"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
)

// A ruleCase is a rule whose results are known: what it can still be.
type ruleCase struct {
	possible []Result
	weight   int64
	required bool
}

// ruleShapes are rules over a metric that is 1 (a) and one without data (b), by
// what they can still be.
func ruleShapes() []struct {
	expression, warning string
	possible            []Result
} {
	const holds, fails, unknown = "metrics.a == 1", "metrics.a == 2", "metrics.b == 1"
	return []struct {
		expression, warning string
		possible            []Result
	}{
		{holds, "", []Result{Pass}},
		{holds, fails, []Result{Pass}},
		{holds, holds, []Result{Warning}},
		{fails, "", []Result{Fail}},
		{fails, unknown, []Result{Fail}},
		{unknown, "", []Result{Pass, Fail}},
		{unknown, fails, []Result{Pass, Fail}},
		{unknown, holds, []Result{Warning, Fail}},
		{unknown, unknown, []Result{Pass, Warning, Fail}},
		{holds, unknown, []Result{Pass, Warning}},
	}
}

// decided is the verdict of rules that are all decided, and the score that they
// earn, straight from the definition.
func decided(rules []ruleCase, results []Result, score *v1alpha1.Score) (Result, float64) {
	var earned, total float64
	worst, failed := Pass, false
	for i, r := range rules {
		total += float64(r.weight)
		switch results[i] {
		case Pass:
			earned += float64(r.weight)
		case Warning:
			earned += float64(r.weight) / 2
			if worst == Pass {
				worst = Warning
			}
		default:
			worst = Fail
			failed = failed || r.required
		}
	}
	switch {
	case score == nil || total == 0:
		return worst, earned
	case failed:
		return Fail, earned
	case earned*100 >= float64(score.Pass)*total:
		return Pass, earned
	case score.Warning != nil && earned*100 >= float64(*score.Warning)*total:
		return Warning, earned
	default:
		return Fail, earned
	}
}

// completions calls f with every way in which the rules can turn out.
func completions(rules []ruleCase, results []Result, f func([]Result)) {
	if len(results) == len(rules) {
		f(results)
		return
	}
	for _, r := range rules[len(results)].possible {
		completions(rules, append(results, r), f)
	}
}

// expected tries every completion: the verdict on which all agree, and the score
// that none falls below.
func expected(rules []ruleCase, score *v1alpha1.Score) (verdict Result, certain float64) {
	verdicts := map[Result]bool{}
	certain = -1
	if score == nil || weights(rules) == 0 {
		defer func() { verdict = worst(rules, verdict) }()
	}
	completions(rules, nil, func(results []Result) {
		verdict, earned := decided(rules, results, score)
		verdicts[verdict] = true
		if certain < 0 || earned < certain {
			certain = earned
		}
	})
	for verdict := range verdicts {
		if len(verdicts) == 1 {
			return verdict, certain
		}
	}
	return Inconclusive, certain
}

// worst is the verdict without a score, of which an inconclusive rule is worse
// than a warning.
func worst(rules []ruleCase, byAll Result) Result {
	result := byAll
	for _, r := range rules {
		if len(r.possible) > 1 && result != Fail {
			result = Inconclusive
		}
	}
	for _, r := range rules {
		if len(r.possible) == 1 && r.possible[0] == Fail {
			result = Fail
		}
	}
	return result
}

// randomRules are up to eight rules of any shape, and the shapes' indices.
func randomRules(random *rand.Rand) (rules []ruleCase, shapes []int) {
	all := ruleShapes()
	for range 1 + random.IntN(8) {
		shape := random.IntN(len(all))
		shapes = append(shapes, shape)
		rules = append(rules, ruleCase{all[shape].possible, random.Int64N(4), random.IntN(6) == 0})
	}
	return rules, shapes
}

// randomScore is a score, or none.
func randomScore(random *rand.Rand) *v1alpha1.Score {
	if random.IntN(5) == 0 {
		return nil
	}
	score := &v1alpha1.Score{Pass: random.Int32N(101)}
	if random.IntN(3) > 0 {
		score.Warning = ptr.To(random.Int32N(score.Pass + 1))
	}
	return score
}

func TestAVerdictIsWhatEveryCompletionAgreesOn(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	bits := map[Result]outcomes{Pass: canPass, Warning: canWarn, Fail: canFail}
	seen := map[Result]int{}
	for n := range 20_000 {
		rules, _ := randomRules(random)
		score := randomScore(random)
		ballots := make([]ballot, len(rules))
		for i, r := range rules {
			ballots[i] = ballot{weight: r.weight, required: r.required}
			for _, possible := range r.possible {
				ballots[i].outcomes |= bits[possible]
			}
		}
		want, certain := expected(rules, score)
		sum := tally(ballots)
		if got := sum.verdict(score); got != want || float64(sum.certain)/2 != certain {
			t.Fatalf("policy %d is %s with %v points, want %s with a score of %v: %+v, score %+v",
				n, got, sum.certain, want, certain, rules, score)
		}
		seen[want]++
	}
	for _, r := range []Result{Pass, Warning, Fail, Inconclusive} {
		if seen[r] < 500 {
			t.Errorf("only %d of the policies were %s: the test does not try that", seen[r], r)
		}
	}
}

func TestAnEvaluationCountsItsRulesLikeThat(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	in := Input{Metrics: map[string]Value{"a": Number(1)}}
	for n := range 60 {
		rules, shapes := randomRules(random)
		s := v1alpha1.SLOPolicySpec{Metrics: []v1alpha1.Metric{{Name: "a"}, {Name: "b"}}, Score: randomScore(random)}
		for i, r := range rules {
			shape := ruleShapes()[shapes[i]]
			s.Rules = append(s.Rules, v1alpha1.Rule{
				Name: fmt.Sprintf("r%d", i), Expression: shape.expression, Warning: shape.warning,
				Weight: ptr.To(r.weight), Required: r.required,
			})
		}
		want, certain := expected(rules, s.Score)
		got := evaluate(t, s, in)
		if got.Result != want || got.Score != certain || got.MaxScore != float64(weights(rules)) {
			t.Fatalf("policy %d is %s with a score of %v of %v, want %s with %v: %+v, score %+v",
				n, got.Result, got.Score, got.MaxScore, want, certain, rules, s.Score)
		}
	}
}

// evaluate compiles a policy and evaluates it.
func evaluate(t *testing.T, s v1alpha1.SLOPolicySpec, in Input) Verdict {
	t.Helper()
	p, err := Compile("test", s)
	if err != nil {
		t.Fatal(err)
	}
	return p.Evaluate(t.Context(), in)
}

func weights(rules []ruleCase) (sum int64) {
	for _, r := range rules {
		sum += r.weight
	}
	return sum
}

// Trying 3 to the power of 64 completions one by one would not end.
func TestSixtyFourInconclusiveRulesAreDecidedAtOnce(t *testing.T) {
	s := v1alpha1.SLOPolicySpec{Metrics: []v1alpha1.Metric{{Name: "b"}}}
	for i := range 64 {
		s.Rules = append(s.Rules, v1alpha1.Rule{Name: fmt.Sprintf("r%d", i), Expression: "metrics.b < 1", Warning: "metrics.b > 0"})
	}
	for pass, want := range map[int32]Result{0: Pass, 1: Inconclusive} {
		s.Score = &v1alpha1.Score{Pass: pass}
		if got := evaluate(t, s, Input{}); got.Result != want {
			t.Errorf("with score.pass %d the verdict is %s, want %s", pass, got.Result, want)
		}
	}
}
