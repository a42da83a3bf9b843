package policy

import "github.com/keptn/gitops/api/gitops/v1alpha1"

// outcomes are the results that a rule can still have, once everything that can be
// known is known: exactly one when it is decided.
type outcomes uint8

const (
	canPass outcomes = 1 << iota
	canWarn
	canFail
)

// result is the rule's result.
func (o outcomes) result() Result {
	switch o {
	case canPass:
		return Pass
	case canWarn:
		return Warning
	case canFail:
		return Fail
	default:
		return Inconclusive
	}
}

// points are twice what the outcome earns of a weight, so that half a weight is a
// whole number.
func (o outcomes) points(weight int64) int64 {
	switch o {
	case canPass:
		return 2 * weight
	case canWarn:
		return weight
	default:
		return 0
	}
}

// least and most are the worst and the best of the outcomes.
func (o outcomes) least() outcomes {
	for _, one := range []outcomes{canFail, canWarn} {
		if o&one != 0 {
			return one
		}
	}
	return canPass
}

func (o outcomes) most() outcomes {
	for _, one := range []outcomes{canPass, canWarn} {
		if o&one != 0 {
			return one
		}
	}
	return canFail
}

// A ballot is what one rule contributes to the verdict.
type ballot struct {
	outcomes outcomes
	weight   int64
	required bool
}

// A standing is what the ballots sum up to, in points.
type standing struct {
	certain    int64 // earned however the undecided rules turn out
	low, high  int64 // the range, should no required rule fail
	max        int64
	mustFail   bool // a required rule has failed
	mayFail    bool // a required rule can still fail
	ruleResult Result
}

// tally sums the ballots up.
func tally(ballots []ballot) standing {
	s := standing{ruleResult: Pass}
	for _, b := range ballots {
		s.ruleResult = worse(s.ruleResult, b.outcomes.result())
		s.max += canPass.points(b.weight)
		s.certain += b.outcomes.least().points(b.weight)
		s.high += b.outcomes.most().points(b.weight)
		low := b.outcomes
		if b.required && b.outcomes&canFail != 0 {
			s.mustFail = s.mustFail || b.outcomes == canFail
			s.mayFail = true
			low &^= canFail
		}
		if low == 0 {
			low = canFail
		}
		s.low += low.least().points(b.weight)
	}
	return s
}

// verdict is what every completion of the undecided rules agrees on, or
// Inconclusive. It need not try them one by one: the result rises with the
// points, so the lowest and the highest sum stand for all between them, and only
// a required rule that fails stands aside.
//
// Without a score, or where all weights are 0 and there is nothing to earn, it is
// the result of the worst rule.
func (s standing) verdict(score *v1alpha1.Score) Result {
	if score == nil || s.max == 0 {
		return s.ruleResult
	}
	if s.mustFail {
		return Fail
	}
	low, high := s.zone(s.low, score), s.zone(s.high, score)
	if low != high || s.mayFail && low != Fail {
		return Inconclusive
	}
	return low
}

// zone is the result of a sum of points. The comparison is exact.
func (s standing) zone(points int64, score *v1alpha1.Score) Result {
	reaches := func(percent int32) bool { return points*100 >= int64(percent)*s.max }
	switch {
	case reaches(score.Pass):
		return Pass
	case score.Warning != nil && reaches(*score.Warning):
		return Warning
	default:
		return Fail
	}
}

// worse is the worse of two results: fail, then inconclusive, warning, pass.
func worse(a, b Result) Result {
	for _, r := range []Result{Fail, Inconclusive, Warning} {
		if a == r || b == r {
			return r
		}
	}
	return Pass
}
