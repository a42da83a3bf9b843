package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	strictjson "sigs.k8s.io/json"
)

// tasks checks the tasks of a Lifecycle. The schema leaves them open, as a task
// is either a name or an object.
func (d *decoder) tasks(root *yaml.Node, fields map[string]any) {
	spec, _ := fields["spec"].(map[string]any)
	for _, phase := range []string{"preDeployment", "postDeployment", "promotion"} {
		checks, _ := spec[phase].(map[string]any)
		path := fmt.Sprintf("spec.%s.tasks", phase)
		list, ok := checks["tasks"].([]any)
		if !ok && checks["tasks"] != nil {
			d.point(root, path, "%s must be a list of tasks", path)
		}
		if len(list) > maxTasks {
			d.point(root, path, "%s has %d tasks, and %d are the limit", path, len(list), maxTasks)
		}
		seen := map[string]int{}
		for i, task := range list {
			at := fmt.Sprintf("%s[%d]", path, i)
			name, nameAt := d.task(root, at, task)
			if first, twice := seen[name]; twice && name != "" {
				d.point(root, nameAt, "%s is given twice: %q is already %s[%d]", at, name, path, first)
			}
			seen[name] = i
		}
	}
}

// maxTasks is the MaxItems of a list of tasks, which its open schema cannot say.
const maxTasks = 32

// task checks one task, and returns its name and where that is.
func (d *decoder) task(root *yaml.Node, path string, task any) (name, at string) {
	switch task := task.(type) {
	case string:
		name, at = task, path
	case map[string]any:
		d.inline(root, path, task)
		at = child(path, "name")
		text, ok := task["name"].(string)
		if !ok {
			d.point(root, at, "%s is required", at)
			return "", at
		}
		name = text
	default:
		d.point(root, path, "%s must be the name of a KeptnTaskDefinition, or a mapping with name and container", path)
		return "", path
	}
	for _, reason := range apivalidation.NameIsDNSSubdomain(name, false) {
		d.point(root, at, "%s %q: %s", at, name, reason)
	}
	return name, at
}

// inline checks a task written in place against the fields of a container.
func (d *decoder) inline(root *yaml.Node, path string, task map[string]any) {
	d.only(root, task, path, []string{"container", "name"})
	given, ok := task["container"]
	if !ok {
		return
	}
	path = child(path, "container")
	var c corev1.Container
	data, err := json.Marshal(given)
	if err == nil {
		err = refuseEndless(data)
	}
	if err != nil {
		d.point(root, path, "%s: %s", path, err)
		return
	}
	unknown, err := strictjson.UnmarshalStrict(data, &c, strictjson.DisallowUnknownFields)
	for _, u := range unknown {
		d.unknownInContainer(root, path, u)
	}
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		at := child(path, wrongType.Field)
		d.point(root, at, "%s must not be a %s", at, wrongType.Value)
	case err != nil:
		d.point(root, path, "%s: %s", path, err)
	case c.Image == "":
		d.point(root, child(path, "image"), "%s.image is required", path)
	}
}

func (d *decoder) unknownInContainer(root *yaml.Node, path string, err error) {
	var unknown strictjson.FieldError
	if !errors.As(err, &unknown) {
		d.point(root, path, "%s: %s", path, err)
		return
	}
	at := child(path, unknown.FieldPath())
	name := at[strings.LastIndexByte(at, '.')+1:]
	parent := strings.TrimSuffix(strings.TrimSuffix(unknown.FieldPath(), name), ".")
	d.pointKey(root, at, "unknown field %q%s", at, didYouMean(name, jsonNames(reflect.TypeFor[corev1.Container](), parent)))
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
