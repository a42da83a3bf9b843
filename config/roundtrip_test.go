package config_test

import (
	stdjson "encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	lifecyclev1beta1 "github.com/keptn/gitops/api/lifecycle/v1beta1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	metricsv1beta1 "github.com/keptn/gitops/api/metrics/v1beta1"
	optionsv1alpha1 "github.com/keptn/gitops/api/options/v1alpha1"
)

// One object that Go cannot decode keeps all objects of its kind from being listed.
func TestWhatTheAPIServerAcceptsGoDecodesAndWritesBack(t *testing.T) {
	met := map[reflect.Type]int{}
	seen := map[string]bool{}
	for _, f := range allFields(t) {
		met[f.goType]++
		schema, err := stdjson.Marshal(f.schema)
		if err != nil {
			t.Fatal(err)
		}
		key := f.goType.String() + string(schema)
		if seen[key] {
			continue
		}
		seen[key] = true
		if accepted := f.roundTrip(t); accepted == 0 && needsASample(f.goType) {
			t.Errorf("%s: no value of the table is accepted, so that nothing was tried", f.path)
		}
	}
	for _, want := range []reflect.Type{
		reflect.TypeFor[metav1.Duration](), reflect.TypeFor[metav1.Time](), reflect.TypeFor[resource.Quantity](),
		reflect.TypeFor[gitopsv1alpha1.Task](), reflect.TypeFor[int32](), reflect.TypeFor[uint](),
	} {
		if met[want] == 0 {
			t.Errorf("no field of type %s was found: the walk has missed them", want)
		}
	}
}

// nasty are values at and beyond the limits of Go's types.
var nasty = []string{
	`"0"`, `"0s"`, `"1ms"`, `"20s"`, `"1.5s"`, `"0.5ms"`, `"1.0000001ms"`, `"1h30m"`, `"100ns"`, `"1.5s500µs"`, `"2m"`, `"2m0.001s"`,
	`"8760h"`, `"8761h"`, `"2562047h"`, `"2562048h"`, `"9999999h"`, `"99999999999999999999h"`, `"0.99999999999999999999h"`,
	`"9223372036854775807ns"`, `"9223372036854775808ns"`, `"2562047h2562047h"`, `"1d"`, `"-1s"`, `"+1s"`, `"1h "`, `"1"`, `""`, `".5s"`, `"5.s"`,
	`"600"`, `"0.5"`, `".5"`, `"5."`, `"+5"`, `"-0"`, `"3m"`, `"1k"`, `"1Ki"`, `"1e3"`, `"1E-3"`, `"1e+99"`, `"1e100"`, `"1e-100"`, `"1E"`, `"1e"`,
	`"1e1.5"`, `"1.2.3"`, `"."`, `"many"`, `"1e2147483648"`, `"1e-999999999"`, `"1e999999999999999999999"`, `"99999999999999999999Ei"`,
	`"2026-05-05T05:05:05Z"`, `"2026-05-05T05:05:05.123456789123Z"`, `"2026-05-05T05:05:05+14:00"`, `"2026-05-05t05:05:05z"`,
	`"2026-05-05T05:05:05,5Z"`, `"2026-05-05T24:00:00Z"`, `"2026-05-05T23:59:60Z"`, `"2026-05-05T05:05:05+25:00"`, `"2026-05-05T05:05:05-00:00"`,
	`"2026-05-05T05:05:05+0200"`, `"2026-02-30T05:05:05Z"`, `"2026-05-05T5:05:05Z"`, `"2026-05-05 05:05:05Z"`, `"2026-05-05T05:05:05"`, `"2026-05-05"`,
	`"0000-01-01T00:00:00+01:00"`, `"9999-12-31T23:59:59-01:00"`, `"12026-05-05T05:05:05Z"`, `"2026-05-05T05:05:05.Z"`, `"2026-05-05T05:05:05+24:00"`,
	`"2026-05-05T05:05:05+05:60"`, `"2026-05-05T05:60:05Z"`, `"2026-13-05T05:05:05Z"`,
	`"4w"`, `"999w9999d"`, `"9999999999w"`, `"QUJD"`, `"QUJ"`, `"QU JD"`, `"QUJ_"`, `"a"`,
	`0`, `1`, `-1`, `50`, `600`, `1000001`, `2147483648`, `-2147483649`, `4294967296`, `9223372036854775807`, `-9223372036854775808`,
	`1.0`, `1.5`, `1e3`, `1e21`, `-1e21`, `1e300`, `9223372036854775808`, `18446744073709551616`,
	`true`, `[]`, `{}`, `[1]`, `{"name": 5}`, `{"name": "a", "container": 5}`, `{"name": "a", "container": {"image": 5}}`,
	`{"name": "a", "container": {"image": "b", "resources": {"limits": {"cpu": "1e-999999999"}}}}`,
	`{"name": "a", "container": {"image": "b", "resources": {"limits": {"cpu": "1e2147483648"}}}}`,
	`{"name": "a", "container": {"image": "b", "args": ["c"]}}`,
	`{"name": "a", "image": "b", "resources": {"limits": {"cpu": "1"}}}`,
	`{"name": "a", "image": "b", "resources": {"limits": {"cpu": "1e-999999999"}}}`,
	`{"name": "a", "emptyDir": {"sizeLimit": "1e-999999999"}}`,
}

// needsASample says that of a type at least one nasty value has to be accepted.
func needsASample(t reflect.Type) bool { return t.Kind() == reflect.Struct }

// A goField is a field as its schema describes it, and the Go type it is decoded into.
type goField struct {
	path   string
	schema apiextensionsv1.JSONSchemaProps
	goType reflect.Type
}

// roundTrip decodes and encodes again each nasty value that the schema accepts, and
// counts them.
func (f goField) roundTrip(t *testing.T) (accepted int) {
	t.Helper()
	f.schema.Default = nil
	s, err := compile(&apiextensionsv1.JSONSchemaProps{
		Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{"v": f.schema},
	})
	if err != nil {
		t.Fatalf("%s: %v", f.path, err)
	}
	for _, text := range nasty {
		object := decode(t, text, []byte(`{"v": `+text+`}`))
		if len(s.refuse(t, object)) > 0 {
			continue
		}
		accepted++
		stored, err := stdjson.Marshal(object["v"])
		if err != nil {
			t.Fatal(err)
		}
		v := reflect.New(f.goType)
		if err := json.Unmarshal(stored, v.Interface()); err != nil {
			t.Errorf("%s: %s is accepted, and Go cannot decode it: %v", f.path, text, err)
			continue
		}
		back, err := stdjson.Marshal(v.Interface())
		if err != nil {
			t.Errorf("%s: %s is accepted, and Go cannot encode it: %v", f.path, text, err)
			continue
		}
		if empty := string(back); empty == "null" || empty == `""` && f.goType.Kind() == reflect.Slice {
			continue // it is left out
		}
		if problems := s.refuse(t, decode(t, text, []byte(`{"v": `+string(back)+`}`))); len(problems) > 0 {
			t.Errorf("%s: %s is accepted, Go writes it back as %s, and that is refused: %q", f.path, text, back, problems)
		}
	}
	return accepted
}

// allFields lists the fields of every kind that hold no further fields.
func allFields(t *testing.T) []goField {
	t.Helper()
	types := map[string]any{
		"gitops.keptn.sh/v1alpha1 GitSource": gitopsv1alpha1.GitSource{}, "gitops.keptn.sh/v1alpha1 Lifecycle": gitopsv1alpha1.Lifecycle{},
		"gitops.keptn.sh/v1alpha1 SLOPolicy":                   gitopsv1alpha1.SLOPolicy{},
		"lifecycle.keptn.sh/v1 KeptnApp":                       lifecyclev1.KeptnApp{},
		"lifecycle.keptn.sh/v1beta1 KeptnApp":                  lifecyclev1beta1.KeptnApp{},
		"lifecycle.keptn.sh/v1 KeptnAppContext":                lifecyclev1.KeptnAppContext{},
		"lifecycle.keptn.sh/v1beta1 KeptnAppContext":           lifecyclev1beta1.KeptnAppContext{},
		"lifecycle.keptn.sh/v1 KeptnAppVersion":                lifecyclev1.KeptnAppVersion{},
		"lifecycle.keptn.sh/v1beta1 KeptnAppVersion":           lifecyclev1beta1.KeptnAppVersion{},
		"lifecycle.keptn.sh/v1 KeptnEvaluation":                lifecyclev1.KeptnEvaluation{},
		"lifecycle.keptn.sh/v1beta1 KeptnEvaluation":           lifecyclev1beta1.KeptnEvaluation{},
		"lifecycle.keptn.sh/v1 KeptnEvaluationDefinition":      lifecyclev1.KeptnEvaluationDefinition{},
		"lifecycle.keptn.sh/v1beta1 KeptnEvaluationDefinition": lifecyclev1beta1.KeptnEvaluationDefinition{},
		"lifecycle.keptn.sh/v1 KeptnTask":                      lifecyclev1.KeptnTask{},
		"lifecycle.keptn.sh/v1beta1 KeptnTask":                 lifecyclev1beta1.KeptnTask{},
		"lifecycle.keptn.sh/v1 KeptnTaskDefinition":            lifecyclev1.KeptnTaskDefinition{},
		"lifecycle.keptn.sh/v1beta1 KeptnTaskDefinition":       lifecyclev1beta1.KeptnTaskDefinition{},
		"lifecycle.keptn.sh/v1 KeptnWorkload":                  lifecyclev1.KeptnWorkload{},
		"lifecycle.keptn.sh/v1beta1 KeptnWorkload":             lifecyclev1beta1.KeptnWorkload{},
		"lifecycle.keptn.sh/v1 KeptnWorkloadVersion":           lifecyclev1.KeptnWorkloadVersion{},
		"lifecycle.keptn.sh/v1beta1 KeptnWorkloadVersion":      lifecyclev1beta1.KeptnWorkloadVersion{},
		"options.keptn.sh/v1alpha1 KeptnConfig":                optionsv1alpha1.KeptnConfig{},
		"metrics.keptn.sh/v1 Analysis":                         metricsv1.Analysis{},
		"metrics.keptn.sh/v1 AnalysisDefinition":               metricsv1.AnalysisDefinition{},
		"metrics.keptn.sh/v1 KeptnMetric":                      metricsv1.KeptnMetric{},
		"metrics.keptn.sh/v1beta1 Analysis":                    metricsv1beta1.Analysis{},
		"metrics.keptn.sh/v1beta1 KeptnMetric":                 metricsv1beta1.KeptnMetric{},
		"metrics.keptn.sh/v1 KeptnMetricsProvider":             metricsv1.KeptnMetricsProvider{},
		"metrics.keptn.sh/v1 AnalysisValueTemplate":            metricsv1.AnalysisValueTemplate{},
		"metrics.keptn.sh/v1beta1 KeptnMetricsProvider":        metricsv1beta1.KeptnMetricsProvider{},
		"metrics.keptn.sh/v1beta1 AnalysisDefinition":          metricsv1beta1.AnalysisDefinition{},
		"metrics.keptn.sh/v1beta1 AnalysisValueTemplate":       metricsv1beta1.AnalysisValueTemplate{},
	}
	var all []goField
	for _, definition := range definitions(t) {
		for _, version := range definition.Spec.Versions {
			kind := fmt.Sprintf("%s/%s %s", definition.Spec.Group, version.Name, definition.Spec.Names.Kind)
			object, ok := types[kind]
			if !ok {
				t.Errorf("%s has no Go type here", kind)
				continue
			}
			for _, part := range []string{"spec", "status"} {
				if schema, ok := version.Schema.OpenAPIV3Schema.Properties[part]; ok {
					goType, _ := fieldOf(reflect.TypeOf(object), part)
					all = append(all, fieldsOf(t, kind+"."+part, schema, goType)...)
				}
			}
		}
	}
	return all
}

// fieldsOf walks a schema and the Go type it is decoded into side by side.
func fieldsOf(t *testing.T, path string, schema apiextensionsv1.JSONSchemaProps, goType reflect.Type) []goField {
	t.Helper()
	for goType.Kind() == reflect.Pointer {
		goType = goType.Elem()
	}
	_, reads := reflect.New(goType).Interface().(stdjson.Unmarshaler)
	var all []goField
	switch {
	case goType == reflect.TypeFor[metav1.Condition]():
		return nil // its schema is Kubernetes' own
	case reads:
		return []goField{{path, schema, goType}}
	case goType.Kind() == reflect.Struct:
		for name, property := range schema.Properties {
			field, ok := fieldOf(goType, name)
			if !ok {
				t.Errorf("%s.%s has no field in %s", path, name, goType)
				continue
			}
			all = append(all, fieldsOf(t, path+"."+name, property, field)...)
		}
		return all
	case goType.Kind() == reflect.Slice && schema.Items != nil:
		return fieldsOf(t, path+"[]", *schema.Items.Schema, goType.Elem())
	case goType.Kind() == reflect.Map && schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil:
		return fieldsOf(t, path+"{}", *schema.AdditionalProperties.Schema, goType.Elem())
	default:
		return []goField{{path, schema, goType}}
	}
}

// fieldOf is the type of the field with a name in JSON.
func fieldOf(goType reflect.Type, name string) (reflect.Type, bool) {
	for _, field := range reflect.VisibleFields(goType) {
		if tag, _, _ := strings.Cut(field.Tag.Get("json"), ","); tag == name {
			return field.Type, true
		}
	}
	return nil, false
}
