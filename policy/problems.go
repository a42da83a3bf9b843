package policy

import (
	"fmt"
	"strings"
)

// A Problem is one mistake of a policy's author.
type Problem struct {
	// Path leads to the field within the SLOPolicy, like
	// spec.rules[0].expression.
	Path string
	// Line and Column are where in the field's text the problem is, from 1;
	// columns count characters. Both are 0 where the whole field is meant.
	Line, Column int
	// Message says what is wrong and what to do about it, in one line.
	Message string
}

// String is the problem as path:line:column: message.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.Path + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.Path, p.Line, p.Column, p.Message)
}

// Problems are all mistakes of one policy, in the order of its fields. It is
// never empty where it is an error.
type Problems []Problem

// Error lists the problems, separated by semicolons.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "; ")
}
