package policy

import (
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"
)

// What an expression may be at most. The length is the API's; the nesting keeps
// the parser's stack small.
const (
	maxExpressionLength = 4096
	maxNesting          = 100
	maxLoopNesting      = 3
	maxRegex            = 1000 // instructions of a regular expression's program
)

// interruptEvery is after how many iterations a loop looks at its context.
const interruptEvery = 100

// An environment is the CEL environment of one policy: its types, names and
// functions.
type environment struct {
	*cel.Env
}

// newEnvironment declares what the names mean. Variables are added by declare, as
// their types become known.
func newEnvironment(names namespace, functions map[string]*function) (*environment, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, fmt.Errorf("creating the registry of types: %w", err)
	}
	opts := []cel.EnvOption{
		cel.CustomTypeAdapter(registry),
		cel.CustomTypeProvider(typeProvider{registry, objectTypes()}),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true),
		cel.EnableMacroCallTracking(),
		cel.ParserExpressionSizeLimit(maxExpressionLength),
		cel.ParserRecursionLimit(maxNesting),
		cel.RegexProgramSizeLimit(maxRegex),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(),
			cel.ValidateTimestampLiterals(),
			cel.ValidateRegexLiterals(),
			cel.ValidateHomogeneousAggregateLiterals(),
			cel.ValidateComprehensionNestingLimit(maxLoopNesting),
		),
		ext.Strings(),
		ext.Math(),
	}
	opts = append(opts, mixedArithmetic()...)
	opts = append(opts, looseOperators()...)
	opts = append(opts, names.declarations()...)
	for _, f := range functions {
		opts = append(opts, f.declare())
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("creating the CEL environment: %w", err)
	}
	return &environment{env}, nil
}

// declare makes a variable known to the expressions that follow it.
func (e *environment) declare(name string, t *cel.Type) error {
	env, err := e.Extend(cel.Variable(rootVariables+"."+name, t))
	if err != nil {
		return fmt.Errorf("declaring variable %q: %w", name, err)
	}
	e.Env = env
	return nil
}

// mixedArithmetic lets the type checker accept an integer beside a double. No
// such call is ever evaluated: promote turns the integer into a double first.
func mixedArithmetic() []cel.EnvOption {
	var opts []cel.EnvOption
	for function, id := range map[string]string{
		operators.Add: "add", operators.Subtract: "subtract",
		operators.Multiply: "multiply", operators.Divide: "divide",
	} {
		opts = append(opts, cel.Function(function,
			cel.Overload(id+"_double_int64", []*cel.Type{cel.DoubleType, cel.IntType}, cel.DoubleType),
			cel.Overload(id+"_int64_double", []*cel.Type{cel.IntType, cel.DoubleType}, cel.DoubleType)))
	}
	return opts
}
