// Package docs_test runs the examples of the documentation, and holds what it
// says against the program.
package docs_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/json"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/kustomize/api/krusty"
	kustomize "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/check"
	"github.com/keptn/gitops/config/crd"
	"github.com/keptn/gitops/gitsource/manifest"
	"github.com/keptn/gitops/policy"
)

func TestEveryConsoleExampleSaysWhatTheCommandsSay(t *testing.T) {
	ran := 0
	for _, p := range pages(t) {
		dir := p.workingCopy(t)
		for _, b := range p.blocks {
			if b.language != "console" || b.marked("cluster") {
				continue
			}
			for _, c := range b.commands() {
				ran++
				got, err := bash(t, dir, c.line)
				if err != nil && c.output == "" {
					t.Errorf("%s: $ %s: %v\n%s", p.file, c.line, err, got)
				}
				if diff := cmp.Diff(c.output, got); diff != "" {
					t.Errorf("%s: $ %s (-page +command):\n%s", p.file, c.line, diff)
				}
			}
		}
	}
	if ran < 12 {
		t.Errorf("only %d commands were run", ran)
	}
}

func TestEveryObjectIsWhatTheAPIServerAccepts(t *testing.T) {
	kinds := readKinds(t)
	seen := map[string]bool{}
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language != "yaml" {
				continue
			}
			for _, object := range objects(t, p.file, b.text) {
				kind, _ := object["kind"].(string)
				k, ours := kinds[kind]
				if !ours {
					continue
				}
				seen[kind] = true
				problems := k.refuse(t, object)
				if b.marked("broken") != (len(problems) > 0) {
					t.Errorf("%s: %s %s: the API server says %q", p.file, kind, b.file(), problems)
				}
			}
		}
	}
	for _, kind := range []string{
		"GitSource", "Lifecycle", "SLOPolicy", "KeptnMetricsProvider", "KeptnMetric",
		"Analysis", "AnalysisDefinition", "AnalysisValueTemplate",
	} {
		if !seen[kind] {
			t.Errorf("no page shows a %s", kind)
		}
	}
}

func TestEveryLifecycleYAMLPassesTheCheck(t *testing.T) {
	workload := &fstest.MapFile{Data: []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: app}\n")}
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if path.Base(b.file()) != manifest.FileName || b.marked("broken") {
				continue
			}
			tree := fstest.MapFS{b.file(): {Data: []byte(b.text)}, path.Join(path.Dir(b.file()), "app.yaml"): workload}
			for _, beside := range p.blocks {
				if path.Dir(beside.file()) == path.Dir(b.file()) && path.Base(beside.file()) != manifest.FileName {
					tree[beside.file()] = &fstest.MapFile{Data: []byte(beside.text)}
				}
			}
			found, err := check.Tree(t.Context(), tree, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, problem := range found.Problems {
				t.Errorf("%s: %s", p.file, problem)
			}
		}
	}
}

func TestEveryExpressionIsARuleOfThePolicyAboveIt(t *testing.T) {
	compiled := 0
	for _, p := range pages(t) {
		var spec v1alpha1.SLOPolicySpec
		for _, b := range p.blocks {
			if path.Base(b.file()) == manifest.FileName {
				file, _ := manifest.Parse(b.file(), []byte(b.text))
				for i := range file.Policies {
					spec = file.Policies[i].Spec
				}
			}
			if b.language != "cel" {
				continue
			}
			for line := range strings.Lines(b.text) {
				compiled++
				spec.Rules = []v1alpha1.Rule{{Name: "example", Expression: strings.TrimSpace(line)}}
				if _, err := policy.Compile("example", spec); err != nil {
					t.Errorf("%s: %s: %v", p.file, strings.TrimSpace(line), err)
				}
			}
		}
	}
	if compiled < 10 {
		t.Errorf("only %d expressions were compiled", compiled)
	}
}

func TestEveryOverlayInstallsTheImageThatItNames(t *testing.T) {
	rendered := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if path.Base(b.file()) != "kustomization.yaml" {
				continue
			}
			var k kustomize.Kustomization
			if err := yaml.UnmarshalStrict([]byte(b.text), &k); err != nil {
				t.Fatalf("%s: %v", p.file, err)
			}
			if !strings.Contains(k.Resources[0], "../config/") {
				continue // that of an app
			}
			rendered++
			text := render(t, b)
			want := []string{"image: " + k.Images[0].NewName + ":" + k.Images[0].NewTag}
			for _, patch := range k.Patches {
				want = append(want, setting.FindAllString(patch.Patch, -1)...)
			}
			for _, w := range want {
				if !strings.Contains(text, w) {
					t.Errorf("%s: the overlay does not render %q", p.file, w)
				}
			}
		}
	}
	if rendered < 3 {
		t.Errorf("only %d overlays were rendered", rendered)
	}
}

// setting is a flag or a variable of the controller.
var setting = regexp.MustCompile(`--[a-z][a-z-]*=[^ }]*|OTEL_[A-Z_]+`)

func TestAShardIsShownWithTheSettingsOfTheInstallation(t *testing.T) {
	shared := regexp.MustCompile(`^(--(deny-|allow-|details-url|cluster-name)|OTEL_)`)
	settings := map[string][]string{}
	for _, b := range readPage(t, "operations.md").blocks {
		for _, s := range setting.FindAllString(b.text, -1) {
			if shared.MatchString(s) {
				settings[b.file()] = append(settings[b.file()], s)
			}
		}
	}
	installation := settings["install/kustomization.yaml"]
	if len(installation) == 0 {
		t.Fatal("the overlay of the installation sets nothing that shards share")
	}
	if diff := cmp.Diff(installation, settings["install/shard-a/kustomization.yaml"]); diff != "" {
		t.Errorf("settings (-installation +shard):\n%s", diff)
	}
}

// render builds a kustomization beside a copy of config.
func render(t *testing.T, b block) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "config"), os.DirFS("../config")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, b.file())
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
		t.Fatal(err)
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A kind is what the API server knows of a kind.
type kind struct {
	names      apiextensionsv1.CustomResourceDefinitionNames
	spec       apiextensionsv1.JSONSchemaProps
	structural *schema.Structural
	validator  validation.SchemaValidator
}

// refuse lists what the API server would refuse of an object, or drop.
func (k kind) refuse(t *testing.T, object map[string]any) []string {
	t.Helper()
	var problems []string
	dropped := pruning.PruneWithOptions(object, k.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, field := range dropped {
		problems = append(problems, "unknown field "+field)
	}
	for _, err := range validation.ValidateCustomResource(nil, object, k.validator) {
		problems = append(problems, err.Error())
	}
	rules := cel.NewValidator(k.structural, true, celconfig.PerCallLimit)
	errs, _ := rules.Validate(t.Context(), nil, k.structural, object, nil, celconfig.RuntimeCELCostBudget)
	for _, err := range errs {
		problems = append(problems, err.Error())
	}
	return problems
}

// readKinds reads the CustomResourceDefinitions, by kind.
func readKinds(t *testing.T) map[string]kind {
	t.Helper()
	files, err := fs.Glob(crd.Files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]kind{}
	for _, file := range files {
		text, err := fs.ReadFile(crd.Files, file)
		if err != nil {
			t.Fatal(err)
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(text, &definition); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		kinds[definition.Spec.Names.Kind] = newKind(t, definition.Spec.Names, definition.Spec.Versions[0].Schema.OpenAPIV3Schema)
	}
	return kinds
}

// newKind compiles the schema of a kind.
func newKind(t *testing.T, names apiextensionsv1.CustomResourceDefinitionNames, v1 *apiextensionsv1.JSONSchemaProps) kind {
	t.Helper()
	var internal apiextensions.JSONSchemaProps
	err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v1, &internal, nil)
	structural, structuralErr := schema.NewStructural(&internal)
	validator, _, validatorErr := validation.NewSchemaValidator(&internal)
	if err := errors.Join(err, structuralErr, validatorErr); err != nil {
		t.Fatalf("%s: %v", names.Kind, err)
	}
	return kind{names, v1.Properties["spec"], structural, validator}
}

// fields are the names of all fields of the spec, at any depth, but for those of
// Kubernetes' own containers.
func (k kind) fields() []string {
	var names []string
	var walk func(apiextensionsv1.JSONSchemaProps)
	walk = func(s apiextensionsv1.JSONSchemaProps) {
		if s.Items != nil {
			walk(*s.Items.Schema)
		}
		for name, field := range s.Properties {
			names = append(names, name)
			if name != "container" {
				walk(field)
			}
		}
	}
	walk(k.spec)
	slices.Sort(names)
	return slices.Compact(names)
}

// objects decodes the documents of a text as the API server does.
func objects(t *testing.T, file, text string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for reader := kubeyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader([]byte(text)))); ; {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		object := map[string]any{}
		text, yamlErr := yaml.YAMLToJSONStrict(document)
		if yamlErr == nil {
			yamlErr = json.Unmarshal(text, &object)
		}
		if err := errors.Join(err, yamlErr); err != nil {
			t.Fatalf("%s: %v\n%s", file, err, document)
		}
		all = append(all, object)
	}
}
