package manifest

import (
	"bytes"
	"errors"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
)

// A Document is one of OpenSLO (https://github.com/OpenSLO/OpenSLO). What it may
// hold is not known here.
type Document struct {
	// Fields are what JSON would hold.
	Fields map[string]any

	file *File
	root *yaml.Node
}

// File is the path of the file that the document is in.
func (d Document) File() string { return d.file.Path }

// Place is where the field at a path is written, such as spec.objectives[0].target:
// its value or, with key, its name. If the path leads nowhere, it is the deepest place
// on the way.
func (d Document) Place(path string, key bool) Position {
	e, found := find(d.root, path)
	switch {
	case e.key != nil && (key || !found):
		return place(d.file.Path, e.key)
	case path == "":
		return place(d.file.Path, headOf(d.root))
	default:
		return place(d.file.Path, e.value)
	}
}

// Inside is the place of a line and a column, both from 1, in the text that the field
// at a path holds, as of [File.Position].
func (d Document) Inside(path string, line, column int) Position {
	e, found := find(d.root, path)
	if n := resolve(e.value); found && n.Kind == yaml.ScalarNode {
		return d.file.inside(n, line, column)
	}
	return d.Place(path, false)
}

// A NamedSLO is an OpenSLO document's name where a Lifecycle names a policy.
type NamedSLO struct {
	Name string
	// At is the place in the Lifecycle.
	At Position
}

// isOpenSLO says whether a document is one of OpenSLO, of any version.
func isOpenSLO(fields map[string]any) bool {
	version, _ := fields["apiVersion"].(string)
	group, _, _ := strings.Cut(version, "/")
	return group == "openslo" || group == "openslo.com"
}

// AddOpenSLO adds the OpenSLO documents of another file to those of this one; of what
// else is in it nothing is read. Data is its content, and name its path.
func (f *File) AddOpenSLO(name string, data []byte) Problems {
	var problems Problems
	if !bytes.Contains(data, []byte("openslo")) {
		return nil
	}
	if at, message := notText(name, data); message != "" {
		problems.add(at, "%s", message)
		return problems
	}
	other := &File{Path: name, lines: strings.Split(string(data), "\n")}
	for _, c := range split(data) {
		roots, more := c.parse(name)
		problems = append(problems, more...)
		for _, root := range roots {
			d := &decoder{file: name}
			if fields, ok := d.value(root, 0).(map[string]any); ok && isOpenSLO(fields) {
				f.OpenSLO = append(f.OpenSLO, Document{fields, other, root})
				problems = append(problems, d.problems...)
			}
		}
	}
	return problems.sorted()
}

// hasSLO says whether an OpenSLO SLO of that name is among the documents.
func (f *File) hasSLO(name string) bool {
	return slices.ContainsFunc(f.OpenSLO, func(d Document) bool {
		meta, _ := d.Fields["metadata"].(map[string]any)
		return d.Fields["kind"] == "SLO" && meta["name"] == name
	})
}

// callsForSLOs says whether a file has to do with OpenSLO.
func (f *File) callsForSLOs() bool {
	return len(f.OpenSLO) > 0 || slices.ContainsFunc(f.Policies, func(p v1alpha1.SLOPolicy) bool {
		return slices.ContainsFunc(p.Spec.SLOs, func(s v1alpha1.SLO) bool { return s.OpenSLO != "" })
	})
}

// addSLOs gives the files that have to do with OpenSLO what is beside them.
func (d *discovery) addSLOs(files ...*File) error {
	var names []string
	files = slices.DeleteFunc(files, func(f *File) bool { return !f.callsForSLOs() })
	for _, f := range files {
		in, err := d.besides(f)
		if err != nil {
			return err
		}
		names = append(names, in...)
	}
	if err := d.prefetch(names...); err != nil {
		return err
	}
	for _, f := range files {
		if err := d.addBeside(f); err != nil {
			return err
		}
	}
	return nil
}

// addBeside gives a lifecycle.yaml, once, the OpenSLO documents of the other YAML files
// in its folder. Their problems are those of the file.
func (d *discovery) addBeside(f *File) error {
	dir := path.Dir(f.Path)
	if _, done := d.beside[dir]; done {
		return nil
	}
	d.beside[dir] = nil
	names, err := d.besides(f)
	if err := errors.Join(err, d.prefetch(names...)); err != nil {
		return err
	}
	var problems Problems
	for at := d.again(d.ctx); len(names) > 0; names = names[1:] {
		data, err := at.raw(names[0])
		var r *refusal
		switch {
		case errors.As(err, &r):
			problems.add(startOf(r.path), "%s", r.reason)
		case err != nil:
			return err
		default:
			problems = append(problems, f.AddOpenSLO(names[0], data)...)
		}
	}
	d.beside[dir] = problems
	return nil
}

// besides are the files beside a lifecycle.yaml that can hold OpenSLO documents.
func (d *discovery) besides(f *File) ([]string, error) {
	dir := path.Dir(f.Path)
	entries, err := d.again(d.ctx).list(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range entries {
		if MayHoldOpenSLO(name) && d.folders.listed[dir][name].Type().IsRegular() {
			names = append(names, path.Join(dir, name))
		}
	}
	return names, nil
}

// MayHoldOpenSLO says whether OpenSLO documents are looked for in a file of this name
// beside a lifecycle.yaml: in YAML, but in no kustomization, and in no test of
// policies (_test.yaml).
func MayHoldOpenSLO(name string) bool {
	ext := path.Ext(name)
	return (ext == ".yaml" || ext == ".yml") && name != FileName && !strings.HasSuffix(name, "_test"+ext) &&
		!slices.Contains(konfig.RecognizedKustomizationFileNames(), name)
}
