package check

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/gitsource/manifest"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/openslo"
)

// File reads the policies of one file, whatever its name, as [Tree] does those of a
// lifecycle.yaml: OpenSLO documents in it and in the other YAML files of its folder
// stand in the place of the references to them, and each SLO that is in the file
// itself is a policy too, unless there is one of its name. An error means that a file
// could not be read.
func File(fsys fs.FS, name string) (*manifest.File, manifest.Problems, error) {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, nil, fmt.Errorf("read policies: %w", err)
	}
	file, problems := manifest.Parse(name, data)
	entries, err := fs.ReadDir(fsys, path.Dir(name))
	if err != nil {
		return nil, nil, fmt.Errorf("look beside %s: %w", name, err)
	}
	own := len(file.OpenSLO)
	for _, e := range entries {
		beside := path.Join(path.Dir(name), e.Name())
		if beside == name || !e.Type().IsRegular() || !manifest.MayHoldOpenSLO(e.Name()) {
			continue
		}
		if data, err = fs.ReadFile(fsys, beside); err != nil {
			return nil, nil, fmt.Errorf("look for OpenSLO documents: %w", err)
		}
		problems = append(problems, file.AddOpenSLO(beside, data)...)
	}
	j := newJoint(file)
	for _, slo := range j.set.Names() {
		if j.set.SLO(slo).At.Document < own && j.set.SLO(slo).Valid {
			j.add(slo)
		}
	}
	j.resolve()
	problems = append(problems, j.documents...)
	for i := range file.Policies {
		problems = append(problems, j.problems(&file.Policies[i])...)
	}
	return file, sorted(problems), nil
}

// joints put OpenSLO documents into the policies of files.
type joints map[*manifest.File]*joint

// join puts OpenSLO documents into the policies of all files and apps, and adds what is
// wrong with them to the problems.
func join(found *manifest.Found) joints {
	all := joints{}
	own := map[string]*joint{}
	for _, file := range found.Files {
		own[file.Path] = all.of(file)
	}
	for i := range found.Apps {
		app := &found.Apps[i]
		for _, named := range app.OpenSLO {
			if reason := own[app.File].add(named.Name); reason != "" {
				wrong := manifest.Problem{File: named.At.File, Line: named.At.Line, Column: named.At.Column, Severity: manifest.Error, Message: reason}
				app.Problems = append(app.Problems, wrong)
				found.Problems = append(found.Problems, wrong)
			}
		}
	}
	for _, file := range found.Files {
		all[file].resolve()
		found.Problems = append(found.Problems, all[file].documents...)
	}
	for i := range found.Apps {
		all.take(&found.Apps[i], own[found.Apps[i].File])
	}
	return all
}

// of is the joint of a file.
func (all joints) of(file *manifest.File) *joint {
	if all[file] == nil {
		all[file] = newJoint(file)
	}
	return all[file]
}

// take gives an app the policies as they are now, and the problems of the documents in
// and beside its file.
func (all joints) take(app *manifest.App, own *joint) {
	app.Problems = append(app.Problems, own.documents...)
	for i := range app.Policies {
		j := all.of(app.PolicyFile(app.Policies[i].Name))
		j.resolve()
		app.Problems = append(app.Problems, j.unresolved[app.Policies[i].Name]...)
		if p := j.policy(app.Policies[i].Name); p != nil {
			app.Policies[i] = *p
		}
	}
	for _, named := range app.OpenSLO {
		has := slices.ContainsFunc(app.Policies, func(p v1alpha1.SLOPolicy) bool { return p.Name == named.Name })
		if p := own.policy(named.Name); p != nil && !has {
			app.Policies = append(app.Policies, *p)
		}
	}
	slices.SortFunc(app.Policies, func(a, b v1alpha1.SLOPolicy) int { return cmp.Compare(a.Name, b.Name) })
}

// A joint puts the OpenSLO documents in and beside a file into its policies.
type joint struct {
	file *manifest.File
	set  *openslo.Set
	// origins tell, by policy, where its SLOs are written.
	origins map[string][]openslo.Origin
	// unresolved are the references, by policy, that lead nowhere.
	unresolved map[string]manifest.Problems
	// documents are the problems of the documents.
	documents manifest.Problems
	// used are the documents that a policy needs, by their index.
	used     map[int]bool
	resolved bool
}

func newJoint(file *manifest.File) *joint {
	all := make([]map[string]any, len(file.OpenSLO))
	for i, d := range file.OpenSLO {
		all[i] = d.Fields
	}
	return &joint{
		file: file, set: openslo.Read(all),
		origins: map[string][]openslo.Origin{}, unresolved: map[string]manifest.Problems{}, used: map[int]bool{},
	}
}

// policy is the file's policy of that name; nil if it has none.
func (j *joint) policy(name string) *v1alpha1.SLOPolicy {
	i := slices.IndexFunc(j.file.Policies, func(p v1alpha1.SLOPolicy) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &j.file.Policies[i]
}

// add makes a policy of an SLO, or says why it cannot. It is added once.
func (j *joint) add(slo string) (reason string) {
	if j.policy(slo) != nil {
		return ""
	}
	j.use(slo)
	p, reason := j.set.Policy(slo)
	if p != nil {
		j.file.Policies = append(j.file.Policies, *p)
	}
	return reason
}

// use notes the documents of an SLO.
func (j *joint) use(slo string) {
	if made := j.set.SLO(slo); made != nil {
		for _, d := range made.Documents {
			j.used[d] = true
		}
	}
}

// resolve puts SLOs in the place of the references to them, once, and finds the
// problems of the documents. In another file, a document that no policy needs only
// warns.
func (j *joint) resolve() {
	if j.resolved {
		return
	}
	j.resolved = true
	for i := range j.file.Policies {
		j.resolvePolicy(&j.file.Policies[i])
	}
	for _, w := range j.set.Problems() {
		d := j.file.OpenSLO[w.Document]
		said := problem(d.Place(w.Path, w.Key), openSLOMessage(d, w.Path, w.Message))
		if w.Warning || d.File() != j.file.Path && !j.used[w.Document] {
			said.Severity = manifest.Warning
		}
		j.documents = append(j.documents, said)
	}
}

func (j *joint) resolvePolicy(p *v1alpha1.SLOPolicy) {
	for _, s := range p.Spec.SLOs {
		if s.OpenSLO != "" {
			j.use(s.OpenSLO)
		}
	}
	r := j.set.Resolve(p.Spec)
	p.Spec, j.origins[p.Name] = r.Spec, r.Origins
	for _, u := range r.Unresolved {
		path := fmt.Sprintf("spec.slos[%d].openSLO", u.Index)
		at, _ := j.file.Position(v1alpha1.SLOPolicyKind, p.Name, path, 1, 1)
		j.unresolved[p.Name] = append(j.unresolved[p.Name], problem(at, fmt.Sprintf("policy %q: %s: %s", p.Name, path, u.Message)))
	}
}

func problem(at manifest.Position, message string) manifest.Problem {
	return manifest.Problem{File: at.File, Line: at.Line, Column: at.Column, Severity: manifest.Error, Message: message}
}

// openSLOMessage says what is wrong with a field of a document.
func openSLOMessage(d manifest.Document, path, message string) string {
	meta, _ := d.Fields["metadata"].(map[string]any)
	what := fmt.Sprintf("OpenSLO %v %q: ", d.Fields["kind"], fmt.Sprint(meta["name"]))
	if path != "" {
		what += path + ": "
	}
	return what + message
}

// problems are what is wrong with a policy of the file: its references, and what the
// compiler says.
func (j *joint) problems(p *v1alpha1.SLOPolicy) manifest.Problems {
	all := slices.Clone(j.unresolved[p.Name])
	_, err := policy.Compile(p.Name, p.Spec)
	var wrong policy.Problems
	if errors.As(err, &wrong) {
		for _, w := range wrong {
			all = append(all, j.place(p, w))
		}
	}
	return all
}

// place is a problem of a policy where it is written: in the policy, or in the document
// that an SLO of it comes from.
func (j *joint) place(p *v1alpha1.SLOPolicy, w policy.Problem) manifest.Problem {
	line, column := max(w.Line, 1), max(w.Column, 1)
	var index int
	if n, _ := fmt.Sscanf(w.Path, "spec.slos[%d]", &index); n == 1 && index < len(j.origins[p.Name]) {
		origin := j.origins[p.Name][index]
		_, rest, _ := strings.Cut(w.Path, "]")
		if at, ok := origin.Place(strings.TrimPrefix(rest, ".")); ok {
			d := j.file.OpenSLO[at.Document]
			return problem(d.Inside(at.Path, line, column), openSLOMessage(d, at.Path, w.Message))
		}
		w.Path = fmt.Sprintf("spec.slos[%d]%s", origin.Index, rest)
	}
	message := fmt.Sprintf("policy %q: %s: %s", p.Name, w.Path, w.Message)
	at, ok := j.file.Position(v1alpha1.SLOPolicyKind, p.Name, w.Path, line, column)
	if made := j.set.SLO(p.Name); !ok && made != nil {
		at = j.file.OpenSLO[made.At.Document].Place(made.At.Path, false)
	}
	return problem(at, message)
}
