package task

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// maxParents is how many definitions a script may be handed down through.
const maxParents = 8

// A resolver looks up what a task refers to.
type resolver struct {
	// definitions are read from the cache, ConfigMaps from the API server, since the
	// data of ConfigMaps is never cached.
	definitions, configMaps client.Reader
	task                    *lifecyclev1.KeptnTask
	// own is Keptn's namespace.
	own string
}

// An origin is where a part of a definition is written.
type origin struct {
	*lifecyclev1.KeptnTaskDefinition

	// frozen is what came with the task itself, and is no object of the cluster.
	frozen bool
}

// resolve returns what a task runs. Its error is a problem where a person has to
// do something about it.
func (r *resolver) resolve(ctx context.Context) (*definition, error) {
	from, err := r.origin(ctx)
	if err != nil {
		return nil, err
	}
	if len(from.Spec.Steps) > 0 && ways(&from.Spec.Executable) > 0 {
		return nil, refused(reasonInvalidDefinition, "the definition %q has steps, and something to run beside them: it can have one of both", from.Name)
	}
	d := &definition{name: from.Name, labels: from.Labels, annotations: from.Annotations, spec: &from.Spec}
	for _, e := range executables(&from.Spec) {
		p, err := r.program(ctx, from, e)
		if err != nil {
			return nil, err
		}
		d.programs = append(d.programs, p)
	}
	return d, nil
}

// origin is the definition that a task names, or brings with it.
func (r *resolver) origin(ctx context.Context) (origin, error) {
	if frozen := r.task.Spec.Definition; frozen != nil {
		d := &lifecyclev1.KeptnTaskDefinition{Spec: frozen.KeptnTaskDefinitionSpec}
		d.Namespace, d.Name = r.task.Namespace, r.task.Spec.TaskDefinition
		return origin{d, true}, nil
	}
	d, err := r.definition(ctx, r.task.Spec.TaskDefinition)
	return origin{d, false}, err
}

// definition is a KeptnTaskDefinition by its name: that of the task's namespace,
// else that of Keptn's own.
func (r *resolver) definition(ctx context.Context, name string) (*lifecyclev1.KeptnTaskDefinition, error) {
	for _, namespace := range []string{r.task.Namespace, r.own} {
		if namespace == "" {
			continue
		}
		var d lifecyclev1.KeptnTaskDefinition
		err := r.definitions.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &d)
		if err == nil {
			return &d, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("KeptnTaskDefinition %s/%s: %w", namespace, name, err)
		}
	}
	return nil, awaited(reasonDefinitionNotFound, "could not find KeptnTaskDefinition: %s", name)
}

// program is one executable of a definition.
func (r *resolver) program(ctx context.Context, from origin, e lifecyclev1.Step) (program, error) {
	if n := ways(&e.Executable); n != 1 {
		return program{}, refused(reasonInvalidDefinition, "%s is to be exactly one of deno, python and container, and is %d of them", called(from.Name, e.Name), n)
	}
	if e.Container != nil {
		return program{step: e.Name, container: e.Container.Container.DeepCopy()}, nil
	}
	p, err := r.function(ctx, from, e)
	if err != nil {
		return program{}, err
	}
	p.step = e.Name
	p.inputs.override(&r.task.Spec)
	return p, nil
}

// called is how an executable is spoken of.
func called(definition, step string) string {
	if step == "" {
		return fmt.Sprintf("the definition %q", definition)
	}
	return fmt.Sprintf("step %q of the definition %q", step, definition)
}

// function follows an executable to the script that it refers to, which may be
// handed down from one definition to the next: what the child says of its inputs
// counts before what its parents say.
func (r *resolver) function(ctx context.Context, from origin, e lifecyclev1.Step) (program, error) {
	var p program
	var passed []string
	if !from.frozen {
		passed = []string{from.Name}
	}
	for range maxParents + 1 {
		spec, lang := function(&e.Executable)
		if spec == nil {
			return p, refused(reasonInvalidDefinition, "functionRef names the definition %q, which is no script in Deno or Python", from.Name)
		}
		p.inputs.inherit(spec)
		parent := spec.FunctionReference.Name
		if parent == "" {
			var err error
			p.language = lang
			p.script, err = r.script(ctx, from, e.Name, spec)
			return p, err
		}
		if slices.Contains(passed, parent) {
			return p, refused(reasonInvalidDefinition, "functionRef goes round in a circle: %s", strings.Join(append(passed, parent), " → "))
		}
		d, err := r.definition(ctx, parent)
		if err != nil {
			return p, err
		}
		from, e, passed = origin{d, false}, lifecyclev1.Step{Executable: d.Spec.Executable}, append(passed, parent)
	}
	return p, refused(reasonInvalidDefinition, "functionRef goes through more than %d definitions: %s", maxParents, strings.Join(passed, " → "))
}

// script is where the code is that an executable runs: in a ConfigMap before all
// else, as in Keptn.
func (r *resolver) script(ctx context.Context, from origin, step string, spec *lifecyclev1.RuntimeSpec) (script, error) {
	ref, inline, address := spec.ConfigMapReference.Name, spec.Inline.Code, spec.HTTPReference.URL
	switch {
	case ref != "" && from.frozen:
		_, err := r.code(ctx, from.Namespace, ref)
		return script{configMap: ref, key: code}, err
	case inline != "" && ref == "" && (from.frozen || from.Namespace != r.task.Namespace):
		return script{code: inline, key: codeKey(step)}, nil
	case ref != "" || inline != "":
		return r.kept(ctx, from, step, ref)
	case address != "":
		return script{url: address}, fetchable(address)
	default:
		return script{}, refused(reasonInvalidDefinition, "%s has no script: set one of inline, httpRef, functionRef and configMapRef", called(from.Name, step))
	}
}

// kept is a script that the reconciler of definitions looks after.
func (r *resolver) kept(ctx context.Context, from origin, step, ref string) (script, error) {
	name := keptIn(from.KeptnTaskDefinition)
	if from.Status.Function.ConfigMap != name {
		return script{}, awaited(reasonScriptNotFound, "the script of the KeptnTaskDefinition %q is not there yet: it is to be in the ConfigMap %q, under the key %s", from.Name, name, code)
	}
	switch {
	case from.Namespace != r.task.Namespace: // a pod mounts ConfigMaps of its own namespace only
		text, err := r.code(ctx, from.Namespace, ref)
		return script{code: text, key: codeKey(step)}, err
	case ref != "":
		return script{configMap: ref, key: code}, nil
	default:
		return script{configMap: name, key: codeKey(step)}, nil
	}
}

// code is the script in a ConfigMap.
func (r *resolver) code(ctx context.Context, namespace, name string) (string, error) {
	var found corev1.ConfigMap
	err := r.configMaps.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &found)
	if err != nil && !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("ConfigMap %s/%s: %w", namespace, name, err)
	}
	text, ok := found.Data[code]
	if err != nil || !ok {
		return "", awaited(reasonScriptNotFound, "no ConfigMap %q in the namespace %q with the key %s: create it there", name, namespace, code)
	}
	return text, nil
}

// fetchable says why a script cannot be fetched from an address. Both languages
// fetch by HTTP; what else Deno could load is not fetched from anywhere.
func fetchable(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return refused(reasonInvalidDefinition, "httpRef.url %q is no address that a script can be fetched from: it has to begin with https://", address)
	}
	return nil
}
