package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Severity says whether a problem keeps an object from being used.
type Severity string

// How grave a problem is.
const (
	// Error keeps the object, or the app, from being used.
	Error Severity = "error"
	// Warning is worth telling, and keeps nothing from being used.
	Warning Severity = "warning"
)

// Problem is something that the author of a file has to mend. It never holds
// the value of a field that could be a secret.
type Problem struct {
	// File is the path in the repository, with slashes.
	File string `json:"file"`
	// Line and Column begin at 1; the column counts characters, not bytes. A
	// problem of a whole file, or folder, is at 1:1.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Severity is Error or Warning.
	Severity Severity `json:"severity"`
	// Message says what is wrong and what to do, in one line.
	Message string `json:"message"`
	// Overlays says that several overlays inherit one Lifecycle: wrong in the
	// paths of one environment, and as it should be in a repository of several.
	Overlays bool `json:"-"`
}

// String is file:line:column: message; a warning says so before its message.
func (p Problem) String() string {
	message := p.Message
	if p.Severity == Warning {
		message = "warning: " + message
	}
	return fmt.Sprintf("%s:%d:%d: %s", Plain(p.File), p.Line, p.Column, message)
}

// Problems are all problems of a file, a render or a repository, sorted by
// place. As an error they mean that the author has to act: to try again
// without a new commit is useless.
type Problems []Problem

// Error is one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// HasErrors says whether any of the problems is more than a warning.
func (ps Problems) HasErrors() bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.Severity == Error })
}

// sorted returns the problems by file, line, column and message, each once.
func (ps Problems) sorted() Problems {
	slices.SortFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column), cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(ps)
}

// add appends an error at a place.
func (ps *Problems) add(at Position, format string, args ...any) {
	*ps = append(*ps, Problem{
		File: at.File, Line: at.Line, Column: at.Column,
		Severity: Error, Message: oneLine(fmt.Sprintf(format, args...)),
	})
}

// warn appends a warning at a place.
func (ps *Problems) warn(at Position, format string, args ...any) {
	ps.add(at, format, args...)
	(*ps)[len(*ps)-1].Severity = Warning
}

// Position is a place in a file of the repository.
type Position struct {
	// File is the path in the repository, with slashes.
	File string
	// Line and Column begin at 1; the column counts characters.
	Line, Column int
}

// String is file:line:column.
func (p Position) String() string { return fmt.Sprintf("%s:%d:%d", Plain(p.File), p.Line, p.Column) }

// startOf is the place that stands for a whole file.
func startOf(file string) Position { return Position{File: file, Line: 1, Column: 1} }

// oneLine folds white space, so that a message fits a commit status and a log.
func oneLine(s string) string { return Plain(strings.Join(strings.Fields(s), " ")) }

// Plain is text from a repository, such as a path, in which whatever would not be seen as it
// is, as line breaks and the codes that terminals act on, is escaped as in a Go string.
func Plain(s string) string {
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool { return !unicode.IsPrint(r) }
