package openslo

import (
	"github.com/keptn/gitops/api/gitops/v1alpha1"
)

// A Set is what the documents of one folder say.
type Set struct {
	slos     []*SLO
	problems problems
}

// An SLO is one of a set.
type SLO struct {
	// Name of the document.
	Name string
	// At is the place of its name.
	At Place
	// Documents are the indexes of all that it is made of: itself, and the SLIs and
	// DataSources that it names.
	Documents []int
	// Valid says that it can be computed as it is written: none of its documents
	// has an error.
	Valid bool

	objectives []objective
	// composed says that the objectives have indicators of their own: together they
	// are one SLO, and each of them alone is none.
	composed bool
}

// An objective is one of an SLO, still without a name.
type objective struct {
	v1alpha1.SLO
	weight *float64
	places map[string]Place // of its fields, by their path in the SLO
}

// Read reads the documents of one folder; each holds what JSON would: nil, bool,
// string, int64, float64, []any and map[string]any.
func Read(all []map[string]any) *Set {
	var d documents
	for i, fields := range all {
		d.add(i, fields)
	}
	unique(&d.problems, kindDataSource, d.sources, func(s dataSource) field[string] { return s.name })
	unique(&d.problems, kindSLI, d.slis, func(s sli) field[string] { return s.name })
	unique(&d.problems, kindSLO, d.slos, func(s sloDocument) field[string] { return s.name })
	s := &Set{}
	for i := range d.slos {
		c := &converter{documents: &d, of: &d.slos[i]}
		made := c.convert()
		s.problems = append(s.problems, c.problems...)
		s.slos = append(s.slos, made)
	}
	s.problems = append(s.problems, d.problems...).sorted()
	for _, made := range s.slos {
		made.Valid = !s.problems.errorsIn(made.Documents)
	}
	return s
}

// unique tells of a second document of one kind and name.
func unique[T any](found *problems, kind string, list []T, name func(T) field[string]) {
	seen := map[string]bool{}
	for _, item := range list {
		n := name(item)
		if n.given && seen[n.value] {
			found.add(n.at, "%s %q is there twice: give it another name", kind, n.value)
		}
		seen[n.value] = true
	}
}

// Problems are all there are, by document and path.
func (s *Set) Problems() []Problem { return s.problems }

// SLO is the first of that name; nil if there is none.
func (s *Set) SLO(name string) *SLO {
	for _, made := range s.slos {
		if made.Name == name {
			return made
		}
	}
	return nil
}

// Names are those of all SLOs, in their order.
func (s *Set) Names() []string {
	names := make([]string, len(s.slos))
	for i, made := range s.slos {
		names[i] = made.Name
	}
	return names
}
