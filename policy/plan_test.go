package policy_test

import (
	"testing"

	"github.com/keptn/gitops/policy"
)

var results = []policy.Result{policy.Pass, policy.Warning, policy.Fail, policy.Inconclusive}

// end is the verdict of a plan whose measurements are all known, straight from the
// definition.
func end(p policy.Plan, all []policy.Result) policy.Result {
	verdict := policy.Pass
	counts := map[policy.Result]int{}
	for _, r := range all {
		counts[r]++
		if counts[policy.Fail] > p.FailureLimit {
			return policy.Fail
		}
		if counts[policy.Inconclusive] > p.InconclusiveLimit {
			return policy.Inconclusive
		}
		if r != policy.Pass {
			verdict = policy.Warning
		}
	}
	return verdict
}

// ends are the verdicts that a plan can end with, whatever the measurements to
// come are.
func ends(p policy.Plan, so []policy.Result) map[policy.Result]bool {
	if len(so) == p.Count {
		return map[policy.Result]bool{end(p, so): true}
	}
	all := map[policy.Result]bool{}
	for _, r := range results {
		for verdict := range ends(p, append(so[:len(so):len(so)], r)) {
			all[verdict] = true
		}
	}
	return all
}

// Every sequence of results, of every plan of up to four measurements, is done
// exactly when all its continuations end alike, and then with that verdict.
func TestAPlanIsDoneAsSoonAsNothingCanChangeIt(t *testing.T) {
	var try func(p policy.Plan, so []policy.Result)
	early := 0
	try = func(p policy.Plan, so []policy.Result) {
		possible := ends(p, so)
		verdict, done := p.Decide(so)
		if done != (len(possible) == 1) || done && !possible[verdict] {
			t.Errorf("%+v after %v: %s, done %t, of %v", p, so, verdict, done, possible)
		}
		if done && len(so) < p.Count {
			early++
		}
		if len(so) < p.Count {
			for _, r := range results {
				try(p, append(so[:len(so):len(so)], r))
			}
		}
	}
	for count := 1; count <= 4; count++ {
		for failures := range count {
			for inconclusive := range count {
				try(policy.Plan{Count: count, FailureLimit: failures, InconclusiveLimit: inconclusive}, nil)
			}
		}
	}
	if early < 500 {
		t.Errorf("only %d sequences ended early: the test does not try that", early)
	}
}

func TestAPlanSaysWhatItWouldBe(t *testing.T) {
	p := policy.Plan{Count: 3, FailureLimit: 1}
	cases := map[string]struct {
		reason string
		so     []policy.Result
		want   policy.Result
		done   bool
	}{
		"Nothing":     {"Before the first measurement.", nil, policy.Pass, false},
		"LetPass":     {"A failure that the limit lets pass is a warning.", []policy.Result{policy.Fail}, policy.Warning, false},
		"Exceeded":    {"The next one is one too many.", []policy.Result{policy.Fail, policy.Fail}, policy.Fail, true},
		"First":       {"Which limit is exceeded first decides.", []policy.Result{policy.Inconclusive, policy.Fail, policy.Fail}, policy.Inconclusive, true},
		"Passed":      {"All measured.", []policy.Result{policy.Pass, policy.Pass, policy.Pass}, policy.Pass, true},
		"TooMany":     {"What was measured beyond the plan does not count.", []policy.Result{policy.Pass, policy.Pass, policy.Pass, policy.Fail, policy.Fail}, policy.Pass, true},
		"UnknownKind": {"What is no result is none to pass with.", []policy.Result{""}, policy.Inconclusive, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got, done := p.Decide(tc.so); got != tc.want || done != tc.done {
				t.Errorf("%s: %s, done %t, want %s, %t", tc.reason, got, done, tc.want, tc.done)
			}
		})
	}
	if got, done := (policy.Plan{}).Decide([]policy.Result{policy.Pass}); got != policy.Pass || !done {
		t.Errorf("the zero plan measures once: %s, done %t", got, done)
	}
}
