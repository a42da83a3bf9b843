package web

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/ext"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// What an expression may be and cost at most. A simple step costs 1.
const (
	maxExpressionLength = 4096
	maxNesting          = 100
	maxLoopNesting      = 3 // of loops, also of those over the result of another
	maxCost             = 1_000_000
	interruptEvery      = 100
)

// value is an expression that finds the numbers in an answer.
type value struct {
	program cel.Program
}

// compileValue compiles an expression over body, the answer's JSON.
func compileValue(expression string) (*value, error) {
	env, err := cel.NewEnv(
		cel.Variable("body", cel.DynType),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(maxExpressionLength),
		cel.ParserRecursionLimit(maxNesting),
		cel.ASTValidators(cel.ValidateComprehensionNestingLimit(maxLoopNesting)),
		ext.Strings(),
		ext.Math(),
	)
	if err != nil {
		return nil, fmt.Errorf("creating the CEL environment: %w", err)
	}
	checked, issues := env.Compile(expression)
	if err := issues.Err(); err != nil {
		return nil, fmt.Errorf("%w: its http.value: %w", metric.ErrConfig, err)
	}
	if name := unbounded(checked); name != "" {
		return nil, fmt.Errorf("%w: its http.value cannot use %s, which can make a text of any length", metric.ErrConfig, name)
	}
	program, err := env.Program(checked, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(interruptEvery))
	if err != nil {
		return nil, fmt.Errorf("%w: its http.value: %w", metric.ErrConfig, err)
	}
	return &value{program}, nil
}

// unbounded is a function in the expression whose single call could fill the
// memory, before the limit of cost is looked at. To replace a text by one that is no
// longer is none.
func unbounded(checked *cel.Ast) string {
	calls := ast.MatchDescendants(ast.NavigateAST(checked.NativeRep()), ast.KindMatcher(ast.CallKind))
	for _, node := range calls {
		switch call := node.AsCall(); call.FunctionName() {
		case "join", "format":
			return call.FunctionName()
		case "replace":
			if before, after := literal(call.Args()[0]), literal(call.Args()[1]); before == nil || after == nil || *before == "" || len(*after) > len(*before) {
				return "replace, but for literals of which the second is no longer"
			}
		}
	}
	return ""
}

// literal is the text of a string literal, or nil.
func literal(e ast.Expr) *string {
	if e.Kind() != ast.LiteralKind {
		return nil
	}
	text, ok := e.AsLiteral().Value().(string)
	if !ok {
		return nil
	}
	return &text
}

// series are what the expression finds in an answer. They are given the time at.
func (v *value) series(ctx context.Context, body any, at time.Time) ([]metric.Series, error) {
	found, _, err := v.program.ContextEval(ctx, map[string]any{"body": body})
	if err != nil {
		return nil, evaluationError(ctx, err)
	}
	list, ok := found.(traits.Lister)
	if !ok {
		return appendSeries(nil, found, nil, at)
	}
	var series []metric.Series
	for it := list.Iterator(); it.HasNext() == types.True; {
		if series, err = appendElement(series, it.Next(), at); err != nil {
			return nil, err
		}
	}
	return series, nil
}

// appendElement appends a series of the form {"labels": {…}, "value": n}.
func appendElement(series []metric.Series, element ref.Val, at time.Time) ([]metric.Series, error) {
	fields, ok := element.(traits.Mapper)
	if !ok {
		return nil, fmt.Errorf(`%w: http.value yields a list of %s, and has to yield a number or a list of {"labels": {…}, "value": n}`, metric.ErrBadResponse, typeOf(element))
	}
	number, ok := fields.Find(types.String("value"))
	if !ok {
		return nil, fmt.Errorf(`%w: http.value yields a series without "value"`, metric.ErrBadResponse)
	}
	labels, err := labelsOf(fields)
	if err != nil {
		return nil, err
	}
	return appendSeries(series, number, labels, at)
}

// appendSeries appends a series of one number. Null is no sample.
func appendSeries(series []metric.Series, number ref.Val, labels map[string]string, at time.Time) ([]metric.Series, error) {
	if number.Type() == types.NullType {
		return series, nil
	}
	n, err := numberOf(number)
	if err != nil {
		return nil, err
	}
	return append(series, metric.Series{Labels: labels, Samples: []metric.Sample{{Time: at, Value: n}}}), nil
}

// numberOf is a number, also where the API writes it as text.
func numberOf(v ref.Val) (float64, error) {
	switch n := v.(type) {
	case types.Double:
		return float64(n), nil
	case types.Int:
		return float64(n), nil
	case types.Uint:
		return float64(n), nil
	case types.String:
		number, err := strconv.ParseFloat(strings.TrimSpace(string(n)), 64)
		if err != nil {
			return 0, fmt.Errorf("%w: http.value yields the text %.40q, which is no number", metric.ErrBadResponse, string(n))
		}
		return number, nil
	default:
		return 0, fmt.Errorf("%w: http.value yields %s, and has to yield a number", metric.ErrBadResponse, typeOf(v))
	}
}

// labelsOf are the labels of a series. Null is a label that is not there.
func labelsOf(fields traits.Mapper) (map[string]string, error) {
	found, ok := fields.Find(types.String("labels"))
	if !ok || found.Type() == types.NullType {
		return nil, nil //nolint:nilnil // a series without labels is one
	}
	pairs, ok := found.(traits.Mapper)
	if !ok {
		return nil, fmt.Errorf("%w: http.value yields labels that are %s and no map", metric.ErrBadResponse, typeOf(found))
	}
	labels := map[string]string{}
	for it := pairs.Iterator(); it.HasNext() == types.True; {
		name := it.Next()
		label := pairs.Get(name)
		if label.Type() == types.NullType {
			continue
		}
		key, isText := name.(types.String)
		text, ok := label.ConvertToType(types.StringType).(types.String)
		if !isText || !ok {
			return nil, fmt.Errorf("%w: http.value yields a label that is %s and no text", metric.ErrBadResponse, typeOf(label))
		}
		labels[string(key)] = string(text)
	}
	return labels, nil
}

// typeOf names a type as CEL does.
func typeOf(v ref.Val) string { return "a " + v.Type().TypeName() }

// evaluationError says of an expression that failed which error it is.
func evaluationError(ctx context.Context, err error) error {
	message := err.Error()
	switch {
	case ctx.Err() != nil:
		return connect.Error(ctx, ctx.Err())
	case strings.HasPrefix(message, "no such key"), strings.HasPrefix(message, "index out of bounds"):
		return fmt.Errorf("%w: http.value: the answer has %.200s", metric.ErrNoData, message)
	case strings.Contains(message, "cost limit exceeded"):
		return fmt.Errorf("%w: the answer is too large for http.value", metric.ErrTooManySeries)
	default:
		return fmt.Errorf("%w: http.value: %.200s: is body what it expects, and are numbers written as 2.0?", metric.ErrBadResponse, message)
	}
}
