package openslo

import (
	"cmp"
	"fmt"
	"slices"
)

// A Place is a field of a document.
type Place struct {
	// Document is its index among those that [Read] was given.
	Document int
	// Path leads to the field, as spec.objectives[0].target. It is empty for the
	// whole document.
	Path string
	// Key says that the field's name is meant, and not its value.
	Key bool
}

// child is the place of a field in the one at p.
func (p Place) child(name string) Place {
	if p.Path != "" {
		name = p.Path + "." + name
	}
	return Place{Document: p.Document, Path: name}
}

// item is the place of an element of the list at p.
func (p Place) item(i int) Place {
	return Place{Document: p.Document, Path: fmt.Sprintf("%s[%d]", p.Path, i)}
}

// key is the place of the field's name.
func (p Place) key() Place {
	p.Key = true
	return p
}

// A Problem is something that the author of a document has to mend or, where it is
// a warning, should know.
type Problem struct {
	Place
	// Warning says that nothing is computed otherwise than it is written.
	Warning bool
	// Message says what is wrong and what to do, in one line.
	Message string

	mistyped bool // the field is of another type, so that it is not known what it says
}

// String is the problem as path: message.
func (p Problem) String() string {
	message := p.Message
	if p.Warning {
		message = "warning: " + message
	}
	if p.Path == "" {
		return message
	}
	return p.Path + ": " + message
}

// problems are those found so far.
type problems []Problem

func (ps *problems) add(at Place, format string, args ...any) {
	*ps = append(*ps, Problem{Place: at, Message: fmt.Sprintf(format, args...)})
}

func (ps *problems) warn(at Place, format string, args ...any) {
	*ps = append(*ps, Problem{Place: at, Warning: true, Message: fmt.Sprintf(format, args...)})
}

func (ps *problems) mistyped(at Place, format string, args ...any) {
	*ps = append(*ps, Problem{Place: at, Message: fmt.Sprintf(format, args...), mistyped: true})
}

// sorted are the problems by document and path, each once. A field that is of another
// type has no other problem.
func (ps problems) sorted() problems {
	mistyped := map[Place]bool{}
	for _, p := range ps {
		if p.mistyped {
			mistyped[p.Place] = true
		}
	}
	ps = slices.DeleteFunc(ps, func(p Problem) bool { return mistyped[p.Place] && !p.mistyped })
	slices.SortFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Document, b.Document), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(ps)
}

// errorsIn says whether one of the documents has an error.
func (ps problems) errorsIn(documents []int) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool {
		return !p.Warning && slices.Contains(documents, p.Document)
	})
}

// didYouMean is a half sentence that offers the known name nearest to a wrong one,
// or nothing if none is near.
func didYouMean(wrong string, known []string) string {
	best, least := "", max(1, len(wrong)/3)+1
	for _, k := range known {
		if d := distance(wrong, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// distance is the number of insertions, deletions and replacements that make b of a
// (Levenshtein). Names of more than 64 bytes are as far as they are long.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
