package config_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/config/crd"
)

func TestSamplesAndExamplesAreWhatTheAPIServerAccepts(t *testing.T) {
	schemas := readSchemas(t)
	seen := map[string]bool{}
	for _, dir := range []string{"samples", "../examples"} {
		for _, file := range yamlFiles(t, dir) {
			for _, object := range documents(t, file) {
				kind := kindOf(object)
				s, ours := schemas[kind]
				if !ours {
					continue
				}
				seen[kind] = true
				for _, problem := range s.refuse(t, object) {
					t.Errorf("%s: %s: %s", file, kind, problem)
				}
			}
		}
	}
	for _, kind := range []string{
		"gitops.keptn.sh/v1alpha1 GitSource", "gitops.keptn.sh/v1alpha1 Lifecycle", "gitops.keptn.sh/v1alpha1 SLOPolicy",
		"metrics.keptn.sh/v1 KeptnMetric", "metrics.keptn.sh/v1 KeptnMetricsProvider", "metrics.keptn.sh/v1 Analysis",
		"metrics.keptn.sh/v1 AnalysisDefinition", "metrics.keptn.sh/v1 AnalysisValueTemplate",
		"lifecycle.keptn.sh/v1 KeptnApp", "lifecycle.keptn.sh/v1 KeptnAppContext", "lifecycle.keptn.sh/v1 KeptnTaskDefinition",
		"lifecycle.keptn.sh/v1 KeptnTask", "lifecycle.keptn.sh/v1 KeptnEvaluationDefinition", "options.keptn.sh/v1alpha1 KeptnConfig",
	} {
		if !seen[kind] {
			t.Errorf("there is no sample of %s", kind)
		}
	}
}

func TestMetricsKindsAreAcceptedAndRefusedAsKeptnDoes(t *testing.T) {
	tryCases(t, "testdata/metrics.yaml", "metrics.keptn.sh/v1", "metrics.keptn.sh/v1beta1")
}

func TestLifecycleKindsAreAcceptedAndRefusedAsKeptnDoes(t *testing.T) {
	tryCases(t, "testdata/lifecycle.yaml", "lifecycle.keptn.sh/v1", "lifecycle.keptn.sh/v1beta1")
}

func TestOptionsAreAcceptedAndRefusedAsKeptnDoes(t *testing.T) {
	tryCases(t, "testdata/options.yaml", "options.keptn.sh/v1alpha1")
}

func TestGitOpsKindsAreAcceptedAndRefused(t *testing.T) {
	tryCases(t, "testdata/gitops.yaml", "gitops.keptn.sh/v1alpha1")
}

// tryCases tries each case of a file in each of the versions.
func tryCases(t *testing.T, file string, versions ...string) {
	t.Helper()
	schemas := readSchemas(t)
	for _, tc := range documents(t, file) {
		for _, version := range versions {
			t.Run(fmt.Sprint(tc["case"], " in ", version), func(t *testing.T) {
				s, ok := schemas[fmt.Sprintf("%s %s", version, tc["kind"])]
				if !ok {
					t.Fatalf("there is no %s in %s", tc["kind"], version)
				}
				problems := s.refuse(t, map[string]any{
					"metadata": map[string]any{"name": "case"}, "spec": runtime.DeepCopyJSONValue(tc["spec"]),
				})
				want, bad := tc["refuse"].(string)
				switch {
				case !bad && len(problems) > 0:
					t.Errorf("%s\nit is refused: %q", tc["reason"], problems)
				case bad && !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, want) }):
					t.Errorf("%s\nproblems %q, want one with %q", tc["reason"], problems, want)
				}
			})
		}
	}
}

func TestEveryDefinitionStoresOneVersionAndIsInstalled(t *testing.T) {
	var installed []string
	for _, definition := range find[apiextensionsv1.CustomResourceDefinition](t, "crd", "CustomResourceDefinition") {
		installed = append(installed, definition.Name)
	}
	for _, definition := range definitions(t) {
		if !slices.Contains(installed, definition.Name) {
			t.Errorf("crd/kustomization.yaml lacks %s", definition.Name)
		}
		var stored []string
		for _, version := range definition.Spec.Versions {
			if version.Storage {
				stored = append(stored, version.Name)
			}
			if !version.Served {
				t.Errorf("%s: %s is not served", definition.Name, version.Name)
			}
		}
		if len(stored) != 1 || stored[0] == "v1beta1" {
			t.Errorf("%s stores %q", definition.Name, stored)
		}
		if c := definition.Spec.Conversion; c != nil && c.Strategy != apiextensionsv1.NoneConverter {
			t.Errorf("%s needs a server to convert it", definition.Name)
		}
	}
}

func TestWhatTheAPIServerRefusesIsNoticed(t *testing.T) {
	schemas := readSchemas(t)
	cases := map[string]struct{ reason, kind, text, want string }{
		"UnknownField": {"A misspelled field would be dropped in silence.", "metrics.keptn.sh/v1 KeptnMetricsProvider",
			"spec: {type: prometheus, targetServer: http://p, targetSever: x}", "targetSever"},
		"Type": {"The schema is checked.", "gitops.keptn.sh/v1alpha1 Lifecycle",
			"spec: {postDeployment: {policies: one}}", "policies"},
		"Rule": {"CEL rules are checked.", "metrics.keptn.sh/v1 KeptnMetricsProvider",
			"spec: {type: prometheus, targetServer: 'http://user:password@p'}", "without credentials"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			problems := schemas[tc.kind].refuse(t, decode(t, name, []byte(tc.text)))
			if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, tc.want) }) {
				t.Errorf("%s\nproblems %q, want one with %q", tc.reason, problems, tc.want)
			}
		})
	}
}

// What is tried here is most of all that the CEL rules compile, and that their
// estimated cost stays within the API server's limits.
func TestTheAPIServerAcceptsEveryDefinition(t *testing.T) {
	for _, definition := range definitions(t) {
		t.Run(definition.Name, func(t *testing.T) {
			apiextensionsv1.SetDefaults_CustomResourceDefinition(&definition)
			apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&definition.Spec)
			var internal apiextensions.CustomResourceDefinition
			if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&definition, &internal, nil); err != nil {
				t.Fatal(err)
			}
			internal.Status.StoredVersions = []string{definition.Spec.Versions[0].Name}
			for _, err := range crdvalidation.ValidateCustomResourceDefinition(t.Context(), &internal) {
				t.Error(err)
			}
		})
	}
}

// A kindSchema is what the API server knows of a kind.
type kindSchema struct {
	structural *schema.Structural
	validator  validation.SchemaValidator
	rules      *cel.Validator
}

// refuse lists what the API server would refuse of an object, or drop.
func (k kindSchema) refuse(t *testing.T, object map[string]any) []string {
	t.Helper()
	var problems []string
	defaulting.Default(object, k.structural)
	for _, path := range pruning.PruneWithOptions(object, k.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		problems = append(problems, "unknown field "+path)
	}
	for _, err := range validation.ValidateCustomResource(nil, object, k.validator) {
		problems = append(problems, err.Error())
	}
	errs, _ := k.rules.Validate(t.Context(), nil, k.structural, object, nil, celconfig.RuntimeCELCostBudget)
	for _, err := range errs {
		problems = append(problems, err.Error())
	}
	return problems
}

// readSchemas reads the definitions in config/crd, by "group/version kind".
func readSchemas(t *testing.T) map[string]kindSchema {
	t.Helper()
	schemas := map[string]kindSchema{}
	for _, definition := range definitions(t) {
		for _, version := range definition.Spec.Versions {
			s, err := compile(version.Schema.OpenAPIV3Schema)
			if err != nil {
				t.Fatalf("%s %s: %v", definition.Name, version.Name, err)
			}
			schemas[fmt.Sprintf("%s/%s %s", definition.Spec.Group, version.Name, definition.Spec.Names.Kind)] = s
		}
	}
	return schemas
}

func definitions(t *testing.T) []apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	files, err := fs.Glob(crd.Files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := make([]apiextensionsv1.CustomResourceDefinition, len(files))
	for i, file := range files {
		text, err := fs.ReadFile(crd.Files, file)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(text, &all[i]); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return all
}

// kindOf is an object's "group/version kind".
func kindOf(object map[string]any) string {
	return fmt.Sprint(object["apiVersion"], " ", object["kind"])
}

func compile(v1 *apiextensionsv1.JSONSchemaProps) (kindSchema, error) {
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v1, &internal, nil); err != nil {
		return kindSchema{}, fmt.Errorf("convert schema: %w", err)
	}
	structural, err := schema.NewStructural(&internal)
	if err != nil {
		return kindSchema{}, fmt.Errorf("read schema: %w", err)
	}
	validator, _, err := validation.NewSchemaValidator(&internal)
	if err != nil {
		return kindSchema{}, fmt.Errorf("compile schema: %w", err)
	}
	return kindSchema{structural, validator, cel.NewValidator(structural, true, celconfig.PerCallLimit)}, nil
}

// yamlFiles lists the YAML files below dir, but for the tests of policies.
func yamlFiles(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".yaml" && !strings.HasSuffix(path, "_test.yaml") {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// documents reads every document of a YAML file.
func documents(t *testing.T, file string) []map[string]any {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var objects []map[string]any
	for reader := kubeyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		objects = append(objects, decode(t, file, document))
	}
}

// decode reads one document as the API server does: whole numbers stay whole.
func decode(t *testing.T, file string, document []byte) map[string]any {
	t.Helper()
	object := map[string]any{}
	text, err := yaml.YAMLToJSONStrict(document)
	if err == nil {
		err = json.Unmarshal(text, &object)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return object
}
