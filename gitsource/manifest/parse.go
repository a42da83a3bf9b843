package manifest

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

const (
	// FileName is the name of the files that are read.
	FileName = "lifecycle.yaml"
	// MaxFileBytes is the largest lifecycle.yaml that is read.
	MaxFileBytes = 1 << 20
	// maxDocuments is how many documents one file may hold.
	maxDocuments = 500
	// maxProblems is how many problems of one file are told.
	maxProblems = 200
)

// File is what one lifecycle.yaml holds. Only objects without an error are in
// it; [Parse] returns the problems of the others.
type File struct {
	// Path in the repository, as it was given to Parse.
	Path string
	// Lifecycles, Policies and TaskDefinitions are in the order of the file, without
	// defaults.
	Lifecycles      []v1alpha1.Lifecycle
	Policies        []v1alpha1.SLOPolicy
	TaskDefinitions []lifecyclev1.KeptnTaskDefinition
	// OpenSLO are the OpenSLO documents in the file. [Discover] adds those of the
	// other YAML files in its folder, where anything in the file calls for them.
	OpenSLO []Document

	objects []object
	lines   []string
}

// object is one document: its name as it was written, and where.
type object struct {
	kind, name string
	root       *yaml.Node
}

// Parse reads one lifecycle.yaml: YAML documents of the kinds Lifecycle,
// SLOPolicy and KeptnTaskDefinition, and those of OpenSLO. Data is the file's content, and path its
// path in the repository, for the problems.
//
// All problems are returned at once, sorted by place. What a field may hold is
// decided by the schemas of the CustomResourceDefinitions; more strictly than
// by the API server, an unknown field is an error, and metadata may only have
// name, labels and annotations. The File is never nil.
func Parse(path string, data []byte) (*File, Problems) {
	f := &File{Path: path}
	var problems Problems
	if at, message := notText(path, data); message != "" {
		problems.add(at, "%s", message)
		return f, problems
	}
	f.lines = strings.Split(string(data), "\n")
	chunks := split(data)
	if len(chunks) > maxDocuments {
		problems.add(startOf(path), "the file has %d documents, and %d are the limit: split it", len(chunks), maxDocuments)
		return f, problems
	}
	for _, c := range chunks {
		roots, more := c.parse(path)
		problems = append(problems, more...)
		for _, root := range roots {
			problems = append(problems, f.read(root)...)
		}
	}
	problems = append(problems, f.duplicates()...)
	if len(f.objects)+len(f.OpenSLO) == 0 && len(problems) == 0 {
		problems.add(startOf(path), "there is no Lifecycle in it: write one (apiVersion: %s, kind: %s), or delete the file", v1alpha1.GroupVersion, v1alpha1.LifecycleKind)
	}
	problems = problems.sorted()
	if more := len(problems) - maxProblems; more > 0 {
		last := problems[maxProblems-1]
		problems = problems[:maxProblems]
		problems.add(Position{path, last.Line, last.Column}, "%d more problems follow: mend the ones above first", more)
	}
	return f, problems
}

// Position is where a field of an object is in the file. The object is the
// first of that kind and name; path is as the API server writes it, such as
// spec.rules[0].expression. Line and column are a place inside the text that
// the field holds, both from 1, the column in characters; 1, 1 is its begin.
// It is found through quotes, escapes and block scalars. If the path leads
// nowhere, the deepest place on the way is returned; ok is false if there is
// no such object.
func (f *File) Position(kind, name, path string, line, column int) (at Position, ok bool) {
	for _, o := range f.objects {
		if o.kind != kind || o.name != name {
			continue
		}
		e, found := find(o.root, path)
		n := resolve(e.value)
		if !found || n.Kind != yaml.ScalarNode {
			return place(f.Path, e.value), true
		}
		return f.inside(n, line, column), true
	}
	return Position{}, false
}

// read adds the object that one document holds.
func (f *File) read(root *yaml.Node) Problems {
	d := &decoder{file: f.Path}
	value := d.value(root, 0)
	if d.overflow {
		return d.problems
	}
	fields, ok := value.(map[string]any)
	if !ok {
		d.problems.add(d.at(root), "an object is expected, with apiVersion, kind, metadata and spec, not a %s", kindName(root))
		return d.problems
	}
	if isOpenSLO(fields) {
		f.OpenSLO = append(f.OpenSLO, Document{fields, f, root})
		return d.problems
	}
	k, problem := kindOf(fields)
	if problem != "" {
		d.problems.add(d.at(headOf(root)), "%s", problem)
		return d.problems
	}
	meta, _ := fields["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	d.metadata(root, fields)
	d.object(root, fields, k)
	f.objects = append(f.objects, object{k.kind, name, root})
	if len(d.problems) > 0 {
		return d.problems
	}
	if err := k.add(f, fields); err != nil {
		d.problems.add(d.at(root), "%s", err)
	}
	return d.problems
}

// duplicates tells of a second object of one kind and name, and takes it out.
func (f *File) duplicates() Problems {
	type id struct{ kind, name string }
	var problems Problems
	first := map[id]*yaml.Node{}
	for _, o := range f.objects {
		e, found := find(o.root, "metadata.name")
		prior := first[id{o.kind, o.name}]
		switch {
		case !found || o.name == "":
		case prior == nil:
			first[id{o.kind, o.name}] = e.value
		default:
			problems.add(place(f.Path, e.value), "%s %q is already in this file, at line %d: give it another name", o.kind, o.name, prior.Line)
		}
	}
	if len(problems) > 0 {
		f.Lifecycles = firstByName(f.Lifecycles, func(l *v1alpha1.Lifecycle) string { return l.Name })
		f.Policies = firstByName(f.Policies, func(p *v1alpha1.SLOPolicy) string { return p.Name })
		f.TaskDefinitions = firstByName(f.TaskDefinitions, func(t *lifecyclev1.KeptnTaskDefinition) string { return t.Name })
	}
	return problems
}

func firstByName[T any](list []T, name func(*T) string) []T {
	seen := map[string]bool{}
	var kept []T
	for i := range list {
		if n := name(&list[i]); !seen[n] {
			seen[n] = true
			kept = append(kept, list[i])
		}
	}
	return kept
}

// headOf is the node to point at for a problem of a whole object.
func headOf(root *yaml.Node) *yaml.Node {
	for _, name := range []string{"kind", "apiVersion"} {
		if e, ok := lookup(root, name); ok {
			return e.value
		}
	}
	return root
}

// notText says why data cannot be read as text at all.
func notText(file string, data []byte) (Position, string) {
	if len(data) > MaxFileBytes {
		return startOf(file), fmt.Sprintf("the file has %d bytes, and %d are the limit: split it", len(data), MaxFileBytes)
	}
	if isLFSPointer(data) {
		return startOf(file), lfsPointer
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return offset(file, data, i), fmt.Sprintf("not UTF-8: byte 0x%02x at offset %d; save the file as UTF-8", data[i], i)
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			return offset(file, data, i), fmt.Sprintf("not text: byte 0x%02x at offset %d", data[i], i)
		}
		i += size
	}
	return Position{}, ""
}

func offset(file string, data []byte, i int) Position {
	before := data[:i]
	start := bytes.LastIndexByte(before, '\n') + 1
	return Position{
		File: file, Line: bytes.Count(before, []byte{'\n'}) + 1,
		Column: utf8.RuneCount(before[start:]) + 1,
	}
}
