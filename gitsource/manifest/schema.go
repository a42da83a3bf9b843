package manifest

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	celapi "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/config/crd"
)

// schema is what the API server makes of a CustomResourceDefinition.
type schema struct {
	fields *structural.Structural
	values validation.SchemaValidator
	rules  *cel.Validator // nil if the kind has no x-kubernetes-validations
}

// schemas are those of the kinds a lifecycle.yaml may hold, by kind. They are
// made once, as compiling their rules takes long, and never change.
var schemas = sync.OnceValues(func() (map[string]schema, error) {
	made := map[string]schema{}
	names, err := fs.Glob(crd.Files, v1alpha1.GroupVersion.Group+"_*.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		data, err := fs.ReadFile(crd.Files, name)
		if err != nil {
			return nil, err
		}
		var def apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(data, &def); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s, err := newSchema(&def)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		made[def.Spec.Names.Kind] = s
	}
	return made, nil
})

func newSchema(def *apiextensionsv1.CustomResourceDefinition) (schema, error) {
	i := slices.IndexFunc(def.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool {
		return v.Name == v1alpha1.GroupVersion.Version
	})
	if i < 0 || def.Spec.Versions[i].Schema == nil {
		return schema{}, fmt.Errorf("version %s has no schema", v1alpha1.GroupVersion.Version)
	}
	var props apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
		def.Spec.Versions[i].Schema.OpenAPIV3Schema, &props, nil); err != nil {
		return schema{}, err
	}
	fields, err := structural.NewStructural(&props)
	if err != nil {
		return schema{}, err
	}
	values, _, err := validation.NewSchemaValidator(&props)
	if err != nil {
		return schema{}, err
	}
	return schema{fields: fields, values: values, rules: cel.NewValidator(fields, true, celapi.PerCallLimit)}, nil
}

// names are the fields known at a path such as spec.rules[0], sorted.
func (s schema) names(path string) []string {
	at := s.fields
	for path != "" && at != nil {
		if _, rest, ok := bracketed(path); ok {
			at, path = at.Items, strings.TrimPrefix(rest, ".")
			continue
		}
		name := path
		if i := strings.IndexAny(path, ".["); i >= 0 {
			name = path[:i]
		}
		next, ok := at.Properties[name]
		if !ok {
			return nil
		}
		at, path = &next, strings.TrimPrefix(path[len(name):], ".")
	}
	if at == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(at.Properties))
}
