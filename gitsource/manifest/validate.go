package manifest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/runtime"
	textvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celapi "k8s.io/apiserver/pkg/apis/cel"
)

// metadata checks name, labels and annotations as the API server does.
func (d *decoder) metadata(root *yaml.Node, fields map[string]any) {
	meta, ok := fields["metadata"].(map[string]any)
	if !ok {
		d.point(root, "metadata", "metadata is required, with a name")
		return
	}
	switch name, isText := meta["name"].(string); {
	case meta["name"] == nil || isText && name == "":
		d.point(root, "metadata.name", "metadata.name is required")
	case !isText:
		d.point(root, "metadata.name", "metadata.name must be text: put it in quotes")
	default:
		for _, reason := range apivalidation.NameIsDNSSubdomain(name, false) {
			d.point(root, "metadata.name", "metadata.name %q: %s", name, reason)
		}
	}
	d.texts(root, meta, "labels", func(key, value string) []string {
		return append(textvalidation.IsQualifiedName(key), textvalidation.IsValidLabelValue(value)...)
	})
	d.texts(root, meta, "annotations", func(key, _ string) []string {
		return textvalidation.IsQualifiedName(strings.ToLower(key))
	})
}

// texts checks the labels or annotations, entry by entry.
func (d *decoder) texts(root *yaml.Node, meta map[string]any, name string, check func(key, value string) []string) {
	path := child("metadata", name)
	entries, ok := meta[name].(map[string]any)
	if !ok && meta[name] != nil {
		d.point(root, path, "%s must be a mapping of names to text", path)
	}
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		at := fmt.Sprintf("%s[%s]", path, key)
		value, ok := entries[key].(string)
		if !ok {
			d.point(root, at, "%s must be text: put it in quotes", at)
			continue
		}
		for _, reason := range check(key, value) {
			d.point(root, at, "%s: %s", at, reason)
		}
	}
}

// object checks an object of a kind of our own by its schema, in the order of
// the API server, and takes out what does not belong.
func (d *decoder) object(root *yaml.Node, fields map[string]any, k kind) {
	d.only(root, fields, "", []string{"apiVersion", "kind", "metadata", "spec"})
	if meta, ok := fields["metadata"].(map[string]any); ok {
		d.only(root, meta, "metadata", []string{"annotations", "labels", "name"})
	}
	if k.kind == taskDefinitionKind {
		d.taskDefinition(root, fields)
		return
	}
	all, err := schemas()
	s, ok := all[k.kind]
	if err != nil || !ok {
		d.noSchema(root, k.kind, err)
		return
	}
	d.unknown(root, "", fields, s)
	defaulting.PruneNonNullableNullsWithoutDefaults(fields, s.fields)
	d.tasks(root, fields)
	d.schema(root, nil, runtime.DeepCopyJSON(fields), s)
}

func (d *decoder) noSchema(root *yaml.Node, kind string, err error) {
	d.problems.add(d.at(root), "the schema of %s cannot be used, which is a defect of this program: %v", kind, err)
}

// only says which fields an author has no business to write, and removes them.
func (d *decoder) only(root *yaml.Node, fields map[string]any, path string, allowed []string) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if slices.Contains(allowed, name) {
			continue
		}
		delete(fields, name)
		at := child(path, name)
		switch at {
		case "status":
			d.pointKey(root, at, "status is what the controller writes: remove it")
		case "metadata.namespace":
			d.pointKey(root, at, "metadata.namespace has no place here, as the object lives beside the GitSource that reads it: remove it")
		default:
			d.pointKey(root, at, "unknown field %q%s%s", at, didYouMean(name, allowed), known(allowed))
		}
	}
}

// unknown finds the fields that the schema does not have, and removes them. The
// schema's fields are at a path, which is empty for those of a whole object.
// Others are known there too.
func (d *decoder) unknown(root *yaml.Node, path string, fields map[string]any, s schema, others ...string) {
	opts := structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, below := range pruning.PruneWithOptions(fields, s.fields, s.root, opts) {
		at := child(path, below)
		e, found := find(root, at)
		if !found || e.key == nil {
			d.point(root, at, "unknown field %q", at)
			continue
		}
		parent := strings.TrimSuffix(strings.TrimSuffix(below, e.key.Value), ".")
		names := s.names(parent)
		if parent == "" {
			names = slices.Sorted(slices.Values(append(names, others...)))
		}
		d.pointKey(root, at, "unknown field %q%s%s", at, didYouMean(e.key.Value, names), known(names))
	}
}

// known lists the fields there are, where that is short enough to help.
func known(names []string) string {
	if len(names) == 0 || len(names) > 12 {
		return ""
	}
	return fmt.Sprintf(" (known here: %s)", strings.Join(names, ", "))
}

// schema applies the values, lists and expressions of the schema to an object, or
// to the part of one that is at a path, to which it adds the defaults.
func (d *decoder) schema(root *yaml.Node, at *field.Path, full map[string]any, s schema) {
	defaulting.Default(full, s.fields)
	errs := validation.ValidateCustomResource(at, full, s.values)
	errs = append(errs, listtype.ValidateListSetsAndMaps(at, s.fields, full)...)
	for _, err := range append(errs, s.broken(at, full, len(errs) > 0)...) {
		if below, ok := strings.CutPrefix(err.Field, at.String()+"."); ok && strings.HasPrefix(err.Detail, below) {
			err.Detail = strings.TrimSuffix(err.Field, below) + err.Detail // it knows no more than its own path
		}
		d.point(root, err.Field, "%s", describe(err))
	}
}

// broken are the x-kubernetes-validations that do not hold. In an object that
// has other errors, a rule that cannot be evaluated for them is passed over.
func (s schema) broken(at *field.Path, object map[string]any, hasErrors bool) field.ErrorList {
	if s.rules == nil {
		return nil
	}
	//nolint:forbidigo // the cost budget bounds the evaluation, there is nothing to cancel
	ctx := context.Background()
	errs, _ := s.rules.Validate(ctx, at, s.fields, object, nil, celapi.RuntimeCELCostBudget)
	return slices.DeleteFunc(errs, func(err *field.Error) bool {
		return hasErrors && strings.Contains(err.Detail, "rule:")
	})
}

// describe says an error of the API server's in the words of an author.
func describe(err *field.Error) string {
	detail := strings.ReplaceAll(err.Detail, " in body", "")
	switch err.Type {
	case field.ErrorTypeRequired:
		return err.Field + " is required"
	case field.ErrorTypeDuplicate:
		return fmt.Sprintf("%s is given twice: %s", err.Field, duplicate(err.BadValue))
	case field.ErrorTypeNotSupported:
		return fmt.Sprintf("%s: %q is not one of the %s", err.Field, fmt.Sprint(err.BadValue), detail)
	case field.ErrorTypeTypeInvalid:
		detail, _, _ = strings.Cut(detail, ": ")
		return fmt.Sprintf("%s, not %s", detail, typeName(err.BadValue))
	}
	if strings.HasPrefix(detail, err.Field) {
		return detail
	}
	return fmt.Sprintf("%s: %s", err.Field, detail)
}

// duplicate names an entry of a list by its key.
func duplicate(v any) string {
	if m, ok := v.(map[string]any); ok && m["name"] != nil {
		v = m["name"]
	}
	return fmt.Sprintf("%q", fmt.Sprint(v))
}

func typeName(v any) string {
	switch v := v.(type) {
	case string:
		return v // the validator names the type it found
	case bool:
		return "boolean"
	case map[string]any:
		return "a mapping"
	case []any:
		return "a list"
	case nil:
		return "nothing"
	default:
		return "a number"
	}
}

// point adds a problem at the value of a field, or at the nearest place above
// it if it is not there.
func (d *decoder) point(root *yaml.Node, path, format string, args ...any) {
	e, found := find(root, path)
	at := e.value
	if !found && e.key != nil {
		at = e.key
	}
	d.problems.add(d.at(at), format, args...)
}

// pointKey adds a problem at the name of a field.
func (d *decoder) pointKey(root *yaml.Node, path, format string, args ...any) {
	if e, found := find(root, path); found && e.key != nil {
		d.problems.add(d.at(e.key), format, args...)
		return
	}
	d.point(root, path, format, args...)
}
