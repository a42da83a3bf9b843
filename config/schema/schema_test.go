package schema_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"

	"github.com/keptn/gitops/config/crd"
	"github.com/keptn/gitops/config/schema"
)

func TestSchemasAreThoseOfTheDefinitions(t *testing.T) {
	want, err := schema.Files(crd.Files)
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	err = fs.WalkDir(os.DirFS("."), ".", func(file string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(file) != ".json" {
			return err
		}
		written[file] = true
		got, err := os.ReadFile(file)
		if diff := cmp.Diff(string(want[file]), string(got)); diff != "" {
			t.Errorf("%s: run make generate (-want +got):\n%.2000s", file, diff)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for file := range want {
		if !written[file] {
			t.Errorf("there is no %s: run make generate", file)
		}
	}
}

func TestSamplesAndExamplesAreValid(t *testing.T) {
	validators := validators(t)
	seen := 0
	for _, dir := range []string{"../samples", "../../examples"} {
		err := filepath.WalkDir(dir, func(file string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(file) != ".yaml" || strings.HasSuffix(file, "_test.yaml") {
				return err
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			for _, object := range objects(t, string(text)) {
				if v, ours := validators[name(object)]; ours {
					seen++
					for _, problem := range v.Validate(object).Errors {
						t.Errorf("%s: %v", file, problem)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if seen < 10 {
		t.Errorf("only %d objects were looked at", seen)
	}
}

func TestMistakesAreFoundWhereTheyAre(t *testing.T) {
	validators := validators(t)
	const head = "apiVersion: metrics.keptn.sh/v1\nmetadata: {name: x}\n"
	cases := map[string]struct{ reason, text, want string }{
		"UnknownField": {"A misspelled field is marked.", head + "kind: KeptnMetric\nspec: {provider: {name: p}, query: up, fetchIntervalSeconds: 10, rnage: {}}", "spec.rnage"},
		"DeepField":    {"In a list as well.", head + "kind: AnalysisDefinition\nspec: {objectives: [{analysisValueTemplateRef: {name: a, label: b}}], totalScore: {passPercentage: 90, warningPercentage: 75}}", "label"},
		"Missing":      {"What is required is asked for.", head + "kind: KeptnMetric\nspec: {query: up, fetchIntervalSeconds: 10}", "spec.provider"},
		"Type":         {"Types are checked.", head + "kind: KeptnMetric\nspec: {provider: {name: p}, query: [up], fetchIntervalSeconds: 10}", "spec.query"},
		"Enum":         {"So are values.", head + "kind: AnalysisValueTemplate\nspec: {provider: {name: p}, query: up, aggregation: mean}", "spec.aggregation"},
		"Quantity":     {"So is what may be text or number.", head + "kind: AnalysisDefinition\nspec: {objectives: [{analysisValueTemplateRef: {name: a}, target: {failure: {lessThan: {fixedValue: many}}}}], totalScore: {passPercentage: 90, warningPercentage: 75}}", "fixedValue"},
		"TopLevel":     {"Nothing is beside the spec.", head + "kind: KeptnMetric\nspecs: {}\nspec: {provider: {name: p}, query: up, fetchIntervalSeconds: 10}", "specs"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			object := objects(t, tc.text)[0]
			v := validators["metrics.keptn.sh/keptnmetric_v1.json"]
			if kind, ok := object["kind"].(string); ok {
				v = validators["metrics.keptn.sh/"+strings.ToLower(kind)+"_v1.json"]
			}
			var problems []string
			for _, problem := range v.Validate(object).Errors {
				problems = append(problems, problem.Error())
			}
			if !strings.Contains(strings.Join(problems, "\n"), tc.want) {
				t.Errorf("%s\nproblems %q, want one with %q", tc.reason, problems, tc.want)
			}
		})
	}
}

func TestADefinitionThatIsNoneIsAnError(t *testing.T) {
	for _, text := range []string{"kind: [", "spec: {unknown: true}"} {
		if files, err := schema.Files(fstest.MapFS{"a_b.yaml": {Data: []byte(text)}}); err == nil {
			t.Errorf("%q became %v", text, files)
		}
	}
}

// validators read the schemas, by file.
func validators(t *testing.T) map[string]*validate.SchemaValidator {
	t.Helper()
	files, err := schema.Files(crd.Files)
	if err != nil {
		t.Fatal(err)
	}
	made := map[string]*validate.SchemaValidator{}
	for file, text := range files {
		var s spec.Schema
		if err := json.Unmarshal(draft4(t, text), &s); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if s.Title == "" || s.Description == "" {
			t.Errorf("%s has no title or no description", file)
		}
		made[file] = validate.NewSchemaValidator(&s, nil, "", strfmt.Default)
	}
	return made
}

// draft4 writes exclusive bounds as the validator, which knows draft 4, reads
// them: as flags.
func draft4(t *testing.T, text []byte) []byte {
	t.Helper()
	var s any
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	flag(s)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func flag(value any) {
	switch v := value.(type) {
	case []any:
		for _, one := range v {
			flag(one)
		}
	case map[string]any:
		for exclusive, bound := range map[string]string{"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"} {
			if number, ok := v[exclusive].(float64); ok {
				v[exclusive], v[bound] = true, number
			}
		}
		for _, one := range v {
			flag(one)
		}
	}
}

// objects reads every document of a YAML file.
func objects(t *testing.T, text string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for decoder := kubeyaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096); ; {
		var object map[string]any
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, object)
	}
}

// name is the file of an object's schema.
func name(object map[string]any) string {
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	group, version, _ := strings.Cut(apiVersion, "/")
	return group + "/" + strings.ToLower(kind) + "_" + version + ".json"
}
