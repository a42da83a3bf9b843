package policy

import (
	"fmt"

	"github.com/Masterminds/semver/v3"
	"github.com/bmatcuk/doublestar/v4"
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/keptn/gitops/policy/metric"
)

// A function is one of the language's own, beside those of CEL. It is called with
// arguments that have a value; of a member function the first is the target.
type function struct {
	name      string
	member    bool
	overloads []overload
	call      func(args ...ref.Val) ref.Val
	// cost is what a call costs, by the sizes of its arguments: the elements of a
	// list, the bytes of a text, and 1 for the rest. The estimate and the meter of
	// the evaluation both follow it.
	cost func(sizes []uint64) uint64
	// steps is what a call costs in an evaluation beside, where its arguments say so.
	steps func(args []ref.Val) uint64
	// check finds a mistake in the arguments that are literal texts, which are nil
	// where they are not, and says in which.
	check func(args []*string) (int, error)
	// text is how many bytes the result has at most, where that is a text.
	text uint64
}

// An overload is one signature of a function.
type overload struct {
	id     string
	args   []*cel.Type
	result *cel.Type
}

// functions are the functions of the language; one is added here and nowhere else.
func functions() map[string]*function {
	str, double := cel.StringType, cel.DoubleType
	all := []*function{
		{
			name: "percent", call: percent, cost: unit, text: 32,
			overloads: []overload{
				{"percent_double", []*cel.Type{double}, str},
				{"percent_int64", []*cel.Type{cel.IntType}, str},
			},
		},
		{
			name: "within", member: true, call: within, check: checkWithin,
			cost: func([]uint64) uint64 { return 20 }, // a zone is read from a file
			overloads: []overload{
				{"timestamp_within", []*cel.Type{cel.TimestampType, str, str}, cel.BoolType},
				{"timestamp_within_zone", []*cel.Type{cel.TimestampType, str, str, str}, cel.BoolType},
			},
		},
		{
			name: "glob", member: true, call: glob, check: checkGlob, cost: product, steps: globSteps,
			overloads: []overload{{"string_glob", []*cel.Type{str, str}, cel.BoolType}},
		},
		{
			name: "semverMatches", call: semverMatches, check: checkSemverMatches, cost: product,
			overloads: []overload{{"semver_matches", []*cel.Type{str, str}, cel.BoolType}},
		},
		{
			name: "semverCompare", call: semverCompare, check: checkSemverCompare, cost: texts,
			overloads: []overload{{"semver_compare", []*cel.Type{str, str}, cel.IntType}},
		},
		{
			name: functionBurnRate, member: true, call: burnRate, cost: unit,
			overloads: []overload{{"slo_burn_rate", []*cel.Type{sloObjects.celType, str}, double}},
		},
		{
			name: functionExhaustedIn, member: true, call: exhaustedIn, cost: unit,
			overloads: []overload{{"slo_exhausted_in", []*cel.Type{sloObjects.celType, str}, cel.DurationType}},
		},
	}
	for _, r := range aggregates() {
		all = append(all, aggregate(r))
	}
	byName := make(map[string]*function, len(all))
	for _, f := range all {
		byName[f.name] = f
	}
	return byName
}

// declare declares the function.
func (f *function) declare() cel.EnvOption {
	opts := []cel.FunctionOpt{cel.SingletonFunctionBinding(f.call)}
	for _, o := range f.overloads {
		if f.member {
			opts = append(opts, cel.MemberOverload(o.id, o.args, o.result))
		} else {
			opts = append(opts, cel.Overload(o.id, o.args, o.result))
		}
	}
	return cel.Function(f.name, opts...)
}

func unit([]uint64) uint64 { return 1 }

// texts is the cost of reading the arguments once.
func texts(sizes []uint64) uint64 {
	cost := uint64(1)
	for _, size := range sizes {
		cost = addCost(cost, size/textPerUnit)
	}
	return cost
}

// product is the cost of holding one text against another.
func product(sizes []uint64) uint64 {
	cost := uint64(1)
	for _, size := range sizes {
		cost = multiplyCost(cost, 1+size/textPerUnit)
	}
	return cost
}

// percent is percent(x): 0.031 as "3.1%".
func percent(args ...ref.Val) ref.Val {
	switch v := args[0].(type) {
	case types.Double:
		return types.String(formatPercent(float64(v)))
	case types.Int:
		return types.String(formatPercent(float64(v)))
	default:
		return types.MaybeNoSuchOverloadErr(v)
	}
}

// textsOf are the arguments that are texts.
func textsOf(args []ref.Val) []string {
	all := make([]string, 0, len(args))
	for _, arg := range args {
		if s, ok := arg.(types.String); ok {
			all = append(all, string(s))
		}
	}
	return all
}

// onTexts makes a function of two texts one of CEL. Its error leaves the
// expression undecided.
func onTexts(args []ref.Val, f func(a, b string) (ref.Val, error)) ref.Val {
	texts := textsOf(args)
	if len(texts) != 2 {
		return types.MaybeNoSuchOverloadErr(args[0])
	}
	v, err := f(texts[0], texts[1])
	if err != nil {
		return undecided(noID, "%v", err)
	}
	return v
}

// glob is path.glob(pattern), in the notation of
// https://github.com/bmatcuk/doublestar#patterns.
func glob(args ...ref.Val) ref.Val {
	return onTexts(args, func(path, pattern string) (ref.Val, error) {
		if err := validGlob(pattern); err != nil {
			return nil, err
		}
		if len(path) > maxGlobPath {
			return nil, fmt.Errorf("a text of %d bytes is no path: the limit is %d", len(path), maxGlobPath)
		}
		return types.Bool(doublestar.MatchUnvalidated(pattern, path)), nil
	})
}

// What a glob may be at most. Each of the alternatives that its braces stand for is
// held against the path, and their number is the product of those of all braces.
const (
	maxGlob         = 1024 // bytes
	maxGlobPath     = 4096 // bytes of the path, as in Linux
	maxAlternatives = 64
)

func validGlob(pattern string) error {
	switch {
	case len(pattern) > maxGlob:
		return fmt.Errorf("the pattern has %d bytes, and the limit is %d: write several globs", len(pattern), maxGlob)
	case !doublestar.ValidatePattern(pattern):
		return fmt.Errorf("%q is no pattern of paths: write it as in db/migrations/**, with [ and { closed", shorten(pattern, maxText))
	case alternatives(pattern) > maxAlternatives:
		return fmt.Errorf("%q has too many alternatives, more than %d: write several globs", shorten(pattern, maxText), maxAlternatives)
	}
	return nil
}

// globSteps is the cost of all alternatives but the first, which is in every call's.
func globSteps(args []ref.Val) uint64 {
	pattern, ok := args[1].(types.String)
	if !ok || validGlob(string(pattern)) != nil {
		return 0
	}
	return multiplyCost(uint64(alternatives(string(pattern))-1), product([]uint64{sizeOf(args[0]), sizeOf(pattern)}))
}

// alternatives is how many patterns without braces a pattern stands for at most, or
// more than maxAlternatives.
func alternatives(pattern string) int {
	all := 1
	var open []int // the alternatives of each open brace so far
	for i := 0; i < len(pattern) && all <= maxAlternatives; i++ {
		switch c := pattern[i]; {
		case c == '\\':
			i++
		case c == '{':
			open = append(open, 1)
		case c == ',' && len(open) > 0:
			open[len(open)-1]++
		case c == '}' && len(open) > 0:
			all *= open[len(open)-1]
			open = open[:len(open)-1]
		}
	}
	for _, n := range open {
		all = min(all*n, maxAlternatives+1)
	}
	return all
}

func checkGlob(args []*string) (int, error) {
	if args[1] == nil {
		return 0, nil
	}
	return 1, validGlob(*args[1])
}

// semverMatches is semverMatches(version, constraint), in the notation of
// https://github.com/Masterminds/semver#checking-version-constraints.
func semverMatches(args ...ref.Val) ref.Val {
	return onTexts(args, func(version, constraint string) (ref.Val, error) {
		v, err := parseVersion(version)
		if err != nil {
			return nil, err
		}
		c, err := parseConstraint(constraint)
		if err != nil {
			return nil, err
		}
		return types.Bool(c.Check(v)), nil
	})
}

// semverCompare is semverCompare(a, b): -1, 0 or 1 (https://semver.org/#spec-item-11).
func semverCompare(args ...ref.Val) ref.Val {
	return onTexts(args, func(a, b string) (ref.Val, error) {
		v, err := parseVersion(a)
		if err != nil {
			return nil, err
		}
		w, err := parseVersion(b)
		if err != nil {
			return nil, err
		}
		return types.Int(v.Compare(w)), nil
	})
}

func parseVersion(text string) (*semver.Version, error) {
	v, err := semver.NewVersion(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no semantic version, as 1.2.3: %w", shorten(text, maxText), err)
	}
	return v, nil
}

func parseConstraint(text string) (*semver.Constraints, error) {
	c, err := semver.NewConstraint(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no constraint of versions, as >=1.2 <2: %w", shorten(text, maxText), err)
	}
	return c, nil
}

func checkSemverMatches(args []*string) (int, error) {
	if args[1] != nil {
		if _, err := parseConstraint(*args[1]); err != nil {
			return 1, err
		}
	}
	return checkSemverCompare(args[:1])
}

func checkSemverCompare(args []*string) (int, error) {
	for i, arg := range args {
		if arg == nil {
			continue
		}
		if _, err := parseVersion(*arg); err != nil {
			return i, err
		}
	}
	return 0, nil
}

// aggregates are the reducers that are functions of lists as well.
func aggregates() []metric.Reducer {
	return []metric.Reducer{
		metric.Sum, metric.Avg, metric.Min, metric.Max, metric.Count,
		metric.Median, metric.P90, metric.P95, metric.P99,
	}
}

// aggregate is the function of lists that a reducer is, such as
// series.x.filter(s, s.labels.code.startsWith('5')).sum(). The sum and the count of
// nothing are 0; the others have no value then.
func aggregate(r metric.Reducer) *function {
	return &function{
		name: string(r), member: true,
		cost: func(sizes []uint64) uint64 { return addCost(1, sizes[0]) },
		overloads: []overload{
			{"series_" + string(r), []*cel.Type{cel.ListType(seriesObjects.celType)}, cel.DoubleType},
			{"doubles_" + string(r), []*cel.Type{cel.ListType(cel.DoubleType)}, cel.DoubleType},
		},
		call: func(args ...ref.Val) ref.Val {
			list, ok := args[0].(traits.Lister)
			if !ok {
				return types.MaybeNoSuchOverloadErr(args[0])
			}
			return reduceList(r, list)
		},
	}
}

func reduceList(r metric.Reducer, list traits.Lister) ref.Val {
	var samples []metric.Sample
	for it := list.Iterator(); it.HasNext() == types.True; {
		v, err := numberOf(it.Next())
		if err != nil {
			return err
		}
		samples = append(samples, metric.Sample{Value: v})
	}
	if len(samples) == 0 && (r == metric.Sum || r == metric.Count) {
		return types.Double(0)
	}
	v, err := r.Reduce(samples)
	if err != nil {
		return undecided(noID, "%s", plainReason(err))
	}
	return types.Double(v)
}

// numberOf is the number of an element of a list, or why it has none.
func numberOf(v ref.Val) (float64, ref.Val) {
	switch v := v.(type) {
	case types.Double:
		return float64(v), nil
	case *object:
		if s, ok := v.of.(*measuredSeries); ok {
			number, why := s.number()
			if why != "" {
				return 0, undecided(noID, "%s", why)
			}
			return number, nil
		}
	}
	return 0, types.MaybeNoSuchOverloadErr(v)
}
