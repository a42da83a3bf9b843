package policy

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
)

// issues reports what CEL found.
func (c *compiler) issues(path string, issues *cel.Issues, parsed *cel.Ast) {
	for _, issue := range issues.Errors() {
		line, column := issue.Location.Line(), issue.Location.Column()+1
		if line < 1 {
			line, column = 1, 1
		}
		function := parsed != nil && isCall(parsed.NativeRep(), issue.ExprID)
		p := Problem{Path: path, Line: line, Column: column, Message: c.authorsWords(issue.Message, function)}
		if !slices.Contains(c.problems, p) {
			c.problems = append(c.problems, p)
		}
	}
}

// authorsWords says what CEL says in one line and without its inner names, and
// offers the name that was meant.
func (c *compiler) authorsWords(message string, function bool) string {
	message, _, _ = strings.Cut(strings.Join(strings.Fields(message), " "), " expecting {")
	for operator, name := range loose() {
		message = strings.ReplaceAll(message, "'"+name+"'", "'"+operator+"'")
	}
	if name, ok := strings.CutPrefix(message, "undefined field '"); ok {
		return message + didYouMean(strings.TrimSuffix(name, "'"), fieldNames())
	}
	before, inContainer := strings.CutSuffix(message, " (in container '')")
	name := strings.TrimSuffix(strings.TrimPrefix(before, "undeclared reference to '"), "'")
	switch {
	case inContainer && function:
		return before + cmp.Or(didYouMean(name, c.functionNames()), ": there is no such function")
	case inContainer:
		return before + cmp.Or(didYouMean(name, slices.Collect(maps.Keys(c.names))), ": expressions read "+c.readable)
	default:
		return before
	}
}

// fieldNames are those of all objects.
func fieldNames() []string {
	var names []string
	for _, t := range objectTypes() {
		names = append(names, t.names()...)
	}
	return names
}

// functionNames are the functions that an author can write.
func (c *compiler) functionNames() []string {
	var names []string
	for name := range c.env.Functions() {
		if !strings.ContainsAny(name, "@_!-") {
			names = append(names, name)
		}
	}
	return names
}

// isCall says whether the part of that id is a call.
func isCall(a *ast.AST, id int64) bool {
	part := partOf(a, id)
	return part != nil && part.Kind() == ast.CallKind
}
