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
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/config/crd"
)

// schema is what the API server makes of a CustomResourceDefinition.
type schema struct {
	fields *structural.Structural
	values validation.SchemaValidator
	rules  *cel.Validator // nil if the kind has no x-kubernetes-validations
	root   bool           // it is that of a whole object
}

// schemas are those of our own kinds, by kind. They are made once, as compiling
// their rules takes long, and never change.
var schemas = sync.OnceValues(func() (map[string]schema, error) {
	made := map[string]schema{}
	names, err := fs.Glob(crd.Files, v1alpha1.GroupVersion.Group+"_*.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		kind, props, err := readProps(name, v1alpha1.GroupVersion.Version)
		if err != nil {
			return nil, err
		}
		if made[kind], err = newSchema(props, true); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return made, nil
})

// definitionSchema is that of the spec of a KeptnTaskDefinition, which tasks
// written in place have too. It is made once, and only where there is a task to
// check, as it is large.
var definitionSchema = sync.OnceValues(func() (schema, error) {
	name := lifecyclev1.GroupVersion.Group + "_keptntaskdefinitions.yaml"
	_, props, err := readProps(name, lifecyclev1.GroupVersion.Version)
	if err != nil {
		return schema{}, err
	}
	spec, ok := props.Properties["spec"]
	if !ok {
		return schema{}, fmt.Errorf("%s: there is no spec", name)
	}
	s, err := newSchema(&spec, false)
	if err != nil {
		return schema{}, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
})

// readProps reads the kind of a definition, and what one of its versions may hold.
func readProps(name, version string) (kind string, props *apiextensions.JSONSchemaProps, err error) {
	data, err := fs.ReadFile(crd.Files, name)
	if err != nil {
		return "", nil, err
	}
	var def apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &def); err != nil {
		return "", nil, fmt.Errorf("%s: %w", name, err)
	}
	i := slices.IndexFunc(def.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Name == version })
	if i < 0 || def.Spec.Versions[i].Schema == nil {
		return "", nil, fmt.Errorf("%s: version %s has no schema", name, version)
	}
	props = &apiextensions.JSONSchemaProps{}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
		def.Spec.Versions[i].Schema.OpenAPIV3Schema, props, nil); err != nil {
		return "", nil, fmt.Errorf("%s: %w", name, err)
	}
	return def.Spec.Names.Kind, props, nil
}

// newSchema compiles a schema: of a whole object, which is a root, or of a part.
func newSchema(props *apiextensions.JSONSchemaProps, root bool) (schema, error) {
	fields, err := structural.NewStructural(props)
	if err != nil {
		return schema{}, err
	}
	values, _, err := validation.NewSchemaValidator(props)
	if err != nil {
		return schema{}, err
	}
	return schema{fields: fields, values: values, rules: cel.NewValidator(fields, root, celapi.PerCallLimit), root: root}, nil
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
