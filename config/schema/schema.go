// Package schema makes JSON Schemas (draft 7, https://json-schema.org/draft-07)
// of the CustomResourceDefinitions in config/crd, so that an editor completes and
// checks what people write:
//
//	# yaml-language-server: $schema=…/config/schema/metrics.keptn.sh/keptnmetric_v1.json
//
// A schema is as strict as the API server with strict field validation: a field
// that is unknown is wrong. The rules in CEL are not in it.
package schema

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// Files makes the schemas of all definitions in a folder, by file name:
// <group>/<kind>_<version>.json, in small letters.
func Files(definitions fs.FS) (map[string][]byte, error) {
	names, err := fs.Glob(definitions, "*_*.yaml")
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, name := range names {
		text, err := fs.ReadFile(definitions, name)
		if err != nil {
			return nil, err
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(text, &definition); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for i := range definition.Spec.Versions {
			version := &definition.Spec.Versions[i]
			made, err := kind(&definition, version)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", name, version.Name, err)
			}
			file := fmt.Sprintf("%s/%s_%s.json", definition.Spec.Group, strings.ToLower(definition.Spec.Names.Kind), version.Name)
			files[file] = made
		}
	}
	return files, nil
}

// kind makes the schema of one version of a kind.
func kind(definition *apiextensionsv1.CustomResourceDefinition, version *apiextensionsv1.CustomResourceDefinitionVersion) ([]byte, error) {
	made, err := convert(version.Schema.OpenAPIV3Schema)
	if err != nil {
		return nil, err
	}
	group, name := definition.Spec.Group, definition.Spec.Names.Kind
	apiVersion := group + "/" + version.Name
	made["$schema"] = "http://json-schema.org/draft-07/schema#"
	made["title"] = fmt.Sprintf("%s (%s)", name, apiVersion)
	properties, ok := made["properties"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s has no properties", name)
	}
	properties["apiVersion"] = map[string]any{"type": "string", "description": "Group and version of the kind.", "enum": []any{apiVersion}}
	properties["kind"] = map[string]any{"type": "string", "description": "Kind of the object.", "enum": []any{name}}
	properties["metadata"] = metadata()
	required, _ := made["required"].([]any)
	made["required"] = append([]any{"apiVersion", "kind", "metadata"}, required...)
	text, err := json.MarshalIndent(made, "", "  ")
	return append(text, '\n'), err
}

// metadata is what people write of ObjectMeta. The API server knows more.
func metadata() map[string]any {
	name := func(description string) map[string]any {
		return map[string]any{"type": "string", "description": description}
	}
	texts := func(description string) map[string]any {
		return map[string]any{"type": "object", "description": description, "additionalProperties": map[string]any{"type": "string"}}
	}
	return map[string]any{
		"type":        "object",
		"description": "Name, namespace, labels and annotations of the object.",
		"properties": map[string]any{
			"name":         name("Name of the object, unique in its namespace."),
			"generateName": name("Begin of the name, to which the API server adds the rest."),
			"namespace":    name("Namespace of the object."),
			"labels":       texts("Labels to select the object by."),
			"annotations":  texts("Annotations for tools."),
		},
	}
}

// convert makes a JSON Schema of a structural schema
// (https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema).
func convert(from *apiextensionsv1.JSONSchemaProps) (map[string]any, error) {
	text, err := json.Marshal(from)
	if err != nil {
		return nil, err
	}
	var made map[string]any
	if err := json.Unmarshal(text, &made); err != nil {
		return nil, err
	}
	strict(made)
	return made, nil
}

// strict rewrites a schema, and all that are in it, in place.
func strict(s map[string]any) {
	open := s["x-kubernetes-preserve-unknown-fields"] == true || s["x-kubernetes-embedded-resource"] == true
	if s["nullable"] == true {
		s["type"] = []any{s["type"], "null"}
	}
	for _, bound := range []string{"Minimum", "Maximum"} {
		if s["exclusive"+bound] == true { // a flag in OpenAPI 3.0, a number in draft 7
			s["exclusive"+bound] = s[strings.ToLower(bound)]
			delete(s, strings.ToLower(bound))
		}
	}
	maps.DeleteFunc(s, func(key string, _ any) bool { return key == "nullable" || strings.HasPrefix(key, "x-kubernetes-") })
	_, listed := s["properties"]
	if _, typed := s["additionalProperties"]; listed && !typed && !open {
		s["additionalProperties"] = false
	}
	for _, below := range schemasIn(s) {
		strict(below)
	}
}

// schemasIn are the schemas of fields, items and values.
func schemasIn(s map[string]any) []map[string]any {
	var found []map[string]any
	properties, _ := s["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if field, ok := properties[name].(map[string]any); ok {
			found = append(found, field)
		}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if below, ok := s[key].(map[string]any); ok {
			found = append(found, below)
		}
	}
	return found
}
