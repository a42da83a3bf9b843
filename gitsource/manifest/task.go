package manifest

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	strictjson "sigs.k8s.io/json"
)

// maxTasks is the MaxItems of a list of tasks, which its open schema cannot say.
const maxTasks = 32

// taskPhases are the phases of a Lifecycle that have tasks.
func taskPhases() []string { return []string{"preDeployment", "postDeployment", "promotion"} }

// tasks checks the tasks of a Lifecycle. The schema leaves them open, as a task
// is either a name or an object.
func (d *decoder) tasks(root *yaml.Node, fields map[string]any) {
	spec, _ := fields["spec"].(map[string]any)
	written := map[string]string{} // where the tasks written in place are, by their names
	for _, phase := range taskPhases() {
		checks, _ := spec[phase].(map[string]any)
		path := field.NewPath("spec", phase, "tasks")
		list, ok := checks["tasks"].([]any)
		if !ok && checks["tasks"] != nil {
			d.point(root, path.String(), "%s must be a list of tasks", path)
		}
		if len(list) > maxTasks {
			d.point(root, path.String(), "%s has %d tasks, and %d are the limit", path, len(list), maxTasks)
		}
		seen := map[string]int{}
		for i, task := range list {
			at := path.Index(i)
			name, nameAt, inPlace := d.task(root, at, task)
			first, twice := seen[name]
			switch prior := written[name]; {
			case name == "":
			case twice:
				d.point(root, nameAt, "%s is given twice: %q is already %s", at, name, path.Index(first))
			case inPlace && prior != "":
				d.point(root, nameAt, "%s: a task %q is already written at %s: name it there, or give this one another name", at, name, prior)
			case inPlace:
				written[name] = at.String()
			}
			seen[name] = i
		}
	}
}

// task checks one task, and returns its name, where that is, and whether the task
// is written in place.
func (d *decoder) task(root *yaml.Node, path *field.Path, task any) (name, at string, inPlace bool) {
	switch task := task.(type) {
	case string:
		name, at = task, path.String()
	case map[string]any:
		if spec := maps.Clone(task); len(task) > 1 || task["name"] == nil {
			delete(spec, "name")
			inPlace = true
			d.definition(root, path, spec, "name")
		}
		at = path.Child("name").String()
		text, ok := task["name"].(string)
		if !ok {
			d.point(root, at, "%s is required", at)
			return "", at, inPlace
		}
		name = text
	default:
		d.point(root, path.String(), "%s must be the name of a KeptnTaskDefinition, or a mapping with a name and what to run", path)
		return "", path.String(), false
	}
	for _, reason := range apivalidation.NameIsDNSSubdomain(name, false) {
		d.point(root, at, "%s %q: %s", at, name, reason)
	}
	return name, at, inPlace
}

// taskDefinition checks a KeptnTaskDefinition.
func (d *decoder) taskDefinition(root *yaml.Node, fields map[string]any) {
	spec, ok := fields["spec"].(map[string]any)
	switch {
	case fields["spec"] == nil:
		d.point(root, "spec", "spec is required")
	case !ok:
		d.point(root, "spec", "spec must be a mapping of what to run")
	default:
		d.definition(root, field.NewPath("spec"), spec)
	}
}

// definition checks the spec of a KeptnTaskDefinition, wherever it is written.
// Others are fields that are known beside its own.
func (d *decoder) definition(root *yaml.Node, at *field.Path, spec map[string]any, others ...string) {
	s, err := definitionSchema()
	if err != nil {
		d.noSchema(root, taskDefinitionKind, err)
		return
	}
	d.unknown(root, at.String(), spec, s, others...)
	defaulting.PruneNonNullableNullsWithoutDefaults(spec, s.fields)
	full := runtime.DeepCopyJSON(spec)
	for _, e := range runnable(at, full) {
		if c, ok := e.fields["container"].(map[string]any); ok && c["name"] == nil {
			c["name"] = "task" // it need not have one, as the task itself has
		}
	}
	d.schema(root, at, full, s)
	for _, e := range runnable(at, spec) {
		d.executable(root, e)
	}
	volumes, _ := spec["volumes"].([]any)
	for i, v := range volumes {
		d.strictly(root, at.Child("volumes").Index(i), v, &corev1.Volume{})
	}
}

// executable is where a spec says what to run.
type executable struct {
	at     *field.Path
	fields map[string]any
}

// runnable are the places of a definition's spec that say what to run: itself, and
// its steps.
func runnable(at *field.Path, spec map[string]any) []executable {
	found := []executable{{at, spec}}
	steps, _ := spec["steps"].([]any)
	for i, step := range steps {
		if fields, ok := step.(map[string]any); ok {
			found = append(found, executable{at.Child("steps").Index(i), fields})
		}
	}
	return found
}

// executable checks what the schema cannot say of what is run.
func (d *decoder) executable(root *yaml.Node, e executable) {
	if c, ok := e.fields["container"].(map[string]any); ok {
		at := e.at.Child("container")
		d.strictly(root, at, c, &corev1.Container{})
		if image, isText := c["image"].(string); c["image"] == nil || isText && image == "" {
			d.point(root, at.Child("image").String(), "%s.image is required", at)
		}
	}
	for _, language := range []string{"deno", "python"} {
		script, ok := e.fields[language].(map[string]any)
		if !ok {
			continue
		}
		if script["inline"] == nil && script["httpRef"] == nil && script["functionRef"] == nil && script["configMapRef"] == nil {
			at := e.at.Child(language).String()
			d.point(root, at, "%s has no script: set one of inline, httpRef, functionRef and configMapRef", at)
		}
	}
}

// strictly checks that a value is what Kubernetes has a type for.
func (d *decoder) strictly(root *yaml.Node, at *field.Path, given, into any) {
	path := at.String()
	data, err := json.Marshal(given)
	if err == nil {
		err = refuseEndless(data)
	}
	if err != nil {
		d.point(root, path, "%s: %s", path, err)
		return
	}
	unknown, err := strictjson.UnmarshalStrict(data, into, strictjson.DisallowUnknownFields)
	for _, u := range unknown {
		d.unknownIn(root, path, u, reflect.TypeOf(into))
	}
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		at := child(path, strings.ReplaceAll(wrongType.Field, "VolumeSource.", "")) // which JSON does not show
		d.point(root, at, "%s must not be a %s", at, wrongType.Value)
	case err != nil:
		d.point(root, path, "%s: %s", path, err)
	}
}

func (d *decoder) unknownIn(root *yaml.Node, path string, err error, t reflect.Type) {
	var unknown strictjson.FieldError
	if !errors.As(err, &unknown) {
		d.point(root, path, "%s: %s", path, err)
		return
	}
	at := child(path, unknown.FieldPath())
	name := at[strings.LastIndexByte(at, '.')+1:]
	parent := strings.TrimSuffix(strings.TrimSuffix(unknown.FieldPath(), name), ".")
	d.pointKey(root, at, "unknown field %q%s", at, didYouMean(name, jsonNames(t, parent)))
}

// jsonNames are the fields that a type has at a path such as env[0].valueFrom.
func jsonNames(t reflect.Type, path string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	first, rest, _ := strings.Cut(path, ".")
	first, _, _ = strings.Cut(first, "[")
	var names []string
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "" && f.Anonymous:
			names = append(names, jsonNames(f.Type, path)...)
		case first != "" && name == first:
			return jsonNames(f.Type, rest)
		case first == "" && name != "":
			names = append(names, name)
		}
	}
	return names
}
