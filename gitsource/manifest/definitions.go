package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// maxParents is how many definitions a script may be handed down through.
const maxParents = 8

// taskUse is a task of a Lifecycle, and where it is.
type taskUse struct {
	v1alpha1.Task
	path string
}

// taskUses are all tasks of a Lifecycle, those that are written in place first:
// what only names a task can mean one of them.
func taskUses(l *v1alpha1.Lifecycle) []taskUse {
	var inPlace, named []taskUse
	add := func(phase string, tasks []v1alpha1.Task) {
		for i, task := range tasks {
			u := taskUse{task, fmt.Sprintf("spec.%s.tasks[%d]", phase, i)}
			if len(task.Inline) > 0 {
				inPlace = append(inPlace, u)
			} else {
				named = append(named, u)
			}
		}
	}
	if pre := l.Spec.PreDeployment; pre != nil {
		add("preDeployment", pre.Tasks)
	}
	if post := l.Spec.PostDeployment; post != nil {
		add("postDeployment", post.Tasks)
	}
	if promotion := l.Spec.Promotion; promotion != nil {
		add("promotion", promotion.Tasks)
	}
	return append(inPlace, named...)
}

// written is a definition, and where it is written.
type written struct {
	lifecyclev1.KeptnTaskDefinition
	file *File
	// kind and object are what it is part of, and path is where in it.
	kind, object, path string
}

// at is the place of a field of the definition.
func (w *written) at(field string) Position {
	at, _ := w.file.Position(w.kind, w.object, child(w.path, field), 1, 1)
	return at
}

// definitions gives an app what its tasks run.
func (d *discovery) definitions(app *App) error {
	known := map[string]lifecyclev1.KeptnTaskDefinition{}
	sought := map[string]bool{}
	for _, u := range taskUses(&app.Lifecycle) {
		if sought[u.Name] {
			continue
		}
		sought[u.Name] = true
		w, err := d.writtenFor(app, u)
		if err != nil {
			return err
		}
		if w == nil {
			continue
		}
		if err := d.followAll(app, w); err != nil {
			return err
		}
		known[u.Name] = w.KeptnTaskDefinition
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		app.Definitions = append(app.Definitions, known[name])
	}
	return nil
}

// writtenFor is the definition of a task, or nil where the repository has none.
func (d *discovery) writtenFor(app *App, u taskUse) (*written, error) {
	own := d.files[path.Dir(app.File)]
	if len(u.Inline) == 0 {
		at, _ := own.Position(v1alpha1.LifecycleKind, app.Lifecycle.Name, u.path, 1, 1)
		return d.definition(app, own, u.Name, at)
	}
	w := &written{file: own, kind: v1alpha1.LifecycleKind, object: app.Lifecycle.Name, path: u.path}
	w.Name = u.Name
	if err := json.Unmarshal(u.Inline, &w.Spec); err != nil {
		app.Problems.add(w.at(""), "task %q: %s", u.Name, decodeError(err))
		return nil, nil //nolint:nilnil // it is told, and there is none
	}
	return w, nil
}

// definition looks a KeptnTaskDefinition up that is named at a place, from a file.
// It is nil where the repository has none that can be used.
func (d *discovery) definition(app *App, from *File, name string, at Position) (*written, error) {
	in, err := d.holding(from, taskDefinitionKind, name)
	if err != nil {
		return nil, err
	}
	if len(in) == 0 {
		app.Problems.warn(at, "KeptnTaskDefinition %q is not in this repository: write it, or see that the cluster has it", name)
		return nil, nil //nolint:nilnil // the cluster can have it
	}
	if len(in) > 1 {
		app.Problems.warn(at, "KeptnTaskDefinition %q is in both %s and %s, and the first is used: give them different names", name, in[0].Path, in[1].Path)
	}
	i := slices.IndexFunc(in[0].TaskDefinitions, func(t lifecyclev1.KeptnTaskDefinition) bool { return t.Name == name })
	if i < 0 {
		app.Problems.add(at, "KeptnTaskDefinition %q has errors in %s: mend them", name, in[0].Path)
		return nil, nil //nolint:nilnil // it is told, and there is none
	}
	found := in[0].TaskDefinitions[i].DeepCopy()
	return &written{KeptnTaskDefinition: *found, file: in[0], kind: taskDefinitionKind, object: name, path: "spec"}, nil
}

// followAll puts into a definition what its functionRefs name.
func (d *discovery) followAll(app *App, w *written) error {
	if err := d.follow(app, *w, &w.Spec.Executable, ""); err != nil {
		return err
	}
	for i := range w.Spec.Steps {
		if err := d.follow(app, *w, &w.Spec.Steps[i].Executable, fmt.Sprintf("steps[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

// follow puts the script that an executable takes from another definition in the
// place of its functionRef, as far as the repository has it. What the child says of
// parameters, of their Secret and of arguments goes before what its parents say.
func (d *discovery) follow(app *App, from written, e *lifecyclev1.Executable, below string) error {
	var passed []string
	if from.kind == taskDefinitionKind {
		passed = []string{from.object}
	}
	for {
		script, language := scriptOf(e)
		if script == nil || script.FunctionReference.Name == "" {
			return nil
		}
		parent := script.FunctionReference.Name
		at := from.at(child(child(below, string(language)), "functionRef.name"))
		switch {
		case slices.Contains(passed, parent):
			app.Problems.add(at, "functionRef goes round in a circle: %s", strings.Join(append(passed, parent), " → "))
			return nil
		case len(passed) > maxParents:
			app.Problems.add(at, "functionRef goes through more than %d definitions: %s", maxParents, strings.Join(passed, " → "))
			return nil
		}
		next, err := d.definition(app, from.file, parent, at)
		if err != nil || next == nil {
			return err
		}
		inherited, of := scriptOf(&next.Spec.Executable)
		if inherited == nil {
			app.Problems.add(at, "functionRef names the KeptnTaskDefinition %q, which is no script in Deno or Python", parent)
			return nil
		}
		of.put(e, inherit(script, inherited))
		from, below, passed = *next, "", append(passed, parent)
	}
}

// language is the field of an executable for scripts of one language.
type language string

const (
	deno   language = "deno"
	python language = "python"
)

// scriptOf is the script of an executable; nil where it is none.
func scriptOf(e *lifecyclev1.Executable) (*lifecyclev1.RuntimeSpec, language) {
	if e.Python != nil {
		return e.Python, python
	}
	return e.Deno, deno
}

// put makes a script of the language what is executed.
func (l language) put(e *lifecyclev1.Executable, script *lifecyclev1.RuntimeSpec) {
	*e = lifecyclev1.Executable{}
	if l == python {
		e.Python = script
	} else {
		e.Deno = script
	}
}

// inherit is the script of a parent with what its child says of its inputs.
func inherit(from, parent *lifecyclev1.RuntimeSpec) *lifecyclev1.RuntimeSpec {
	script := parent.DeepCopy()
	if len(from.Parameters.Inline) > 0 {
		merged := maps.Clone(from.Parameters.Inline)
		for name, value := range parent.Parameters.Inline {
			if _, given := merged[name]; !given {
				merged[name] = value
			}
		}
		script.Parameters.Inline = merged
	}
	if from.SecureParameters.Secret != "" {
		script.SecureParameters = from.SecureParameters
	}
	if from.CmdParameters != "" {
		script.CmdParameters = from.CmdParameters
	}
	return script
}
