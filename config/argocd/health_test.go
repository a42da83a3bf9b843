// Package argocd_test runs the health checks for Argo CD as Argo CD does.
package argocd_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	lua "github.com/yuin/gopher-lua"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/config/crd"
)

// customizations is laid out as Argo CD's own folder of that name.
const customizations = "resource_customizations"

// health is what a check says.
type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// check runs a script as Argo CD runs those of argocd-cm: the object is the global obj,
// there are no libraries but the basic one and that of tables, and it has a second.
// See https://github.com/argoproj/argo-cd/blob/master/util/lua/lua.go.
func check(ctx context.Context, script string, obj map[string]any) (health, error) {
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	for name, open := range map[string]lua.LGFunction{lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		if err := l.CallByParam(lua.P{Fn: l.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			return health{}, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	l.SetContext(ctx)
	l.SetGlobal("obj", value(l, obj))
	if err := l.DoString(script); err != nil {
		return health{}, err
	}
	said, ok := l.Get(-1).(*lua.LTable)
	if !ok {
		return health{}, fmt.Errorf("returned %s, not a table", l.Get(-1).Type())
	}
	var h health
	for name, field := range map[string]*string{"status": &h.Status, "message": &h.Message} {
		text, ok := said.RawGetString(name).(lua.LString)
		if !ok {
			return health{}, errors.New(name + " is no text")
		}
		*field = string(text)
	}
	return h, nil
}

// value is a value of JSON in Lua.
func value(l *lua.LState, v any) lua.LValue {
	switch v := v.(type) {
	case bool:
		return lua.LBool(v)
	case float64:
		return lua.LNumber(v)
	case int64:
		return lua.LNumber(v)
	case string:
		return lua.LString(v)
	case []any:
		list := l.CreateTable(len(v), 0)
		for _, item := range v {
			list.Append(value(l, item))
		}
		return list
	case map[string]any:
		table := l.CreateTable(0, len(v))
		for name, item := range v {
			table.RawSetString(name, value(l, item))
		}
		return table
	default:
		return lua.LNil
	}
}

// read reads YAML.
func read[T any](t *testing.T, file string) T {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var into T
	if err := yaml.Unmarshal(text, &into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return into
}

// definitions are those of all kinds, by <group>/<kind>.
func definitions(t *testing.T) map[string]*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	names, err := fs.Glob(crd.Files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*apiextensionsv1.CustomResourceDefinition{}
	for _, name := range names {
		text, err := crd.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var d apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		all[d.Spec.Group+"/"+d.Spec.Names.Kind] = &d
	}
	return all
}

// refused says what a definition does not allow of an object.
func refused(t *testing.T, d *apiextensionsv1.CustomResourceDefinition, obj map[string]any) string {
	t.Helper()
	for _, v := range d.Spec.Versions {
		if obj["apiVersion"] != d.Spec.Group+"/"+v.Name {
			continue
		}
		var schema apiextensions.CustomResourceValidation
		if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v.Schema, &schema, nil); err != nil {
			t.Fatal(err)
		}
		validator, _, err := validation.NewSchemaValidator(schema.OpenAPIV3Schema)
		if err != nil {
			t.Fatal(err)
		}
		if problems := validation.ValidateCustomResource(nil, obj, validator); len(problems) > 0 {
			return problems.ToAggregate().Error()
		}
		return ""
	}
	return fmt.Sprintf("there is no version %v", obj["apiVersion"])
}

func TestArgoCDSeesTheHealthOfEveryKind(t *testing.T) {
	for kind, definition := range definitions(t) {
		t.Run(kind, func(t *testing.T) {
			dir := filepath.Join(customizations, filepath.FromSlash(kind))
			script, err := os.ReadFile(filepath.Join(dir, "health.lua"))
			if err != nil {
				t.Fatal(err)
			}
			cases := read[struct {
				Tests []struct {
					InputPath    string `json:"inputPath"`
					HealthStatus health `json:"healthStatus"`
				} `json:"tests"`
			}](t, filepath.Join(dir, "health_test.yaml"))
			tried := map[string]bool{}
			for _, tc := range cases.Tests {
				tried[path.Base(tc.InputPath)] = true
				obj := read[map[string]any](t, filepath.Join(dir, tc.InputPath))
				if got := fmt.Sprint(obj["kind"]); got != path.Base(kind) {
					t.Errorf("%s is a %s", tc.InputPath, got)
				}
				if why := refused(t, definition, obj); why != "" {
					t.Errorf("%s is nothing that the API server has: %s", tc.InputPath, why)
				}
				got, err := check(t.Context(), string(script), obj)
				if err != nil {
					t.Errorf("%s: %v", tc.InputPath, err)
				}
				if diff := cmp.Diff(tc.HealthStatus, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", tc.InputPath, diff)
				}
			}
			files, err := os.ReadDir(filepath.Join(dir, "testdata"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if !tried[file.Name()] {
					t.Errorf("testdata/%s is not in health_test.yaml", file.Name())
				}
			}
		})
	}
}

func TestAnObjectThatIsBarelyThereHasAHealth(t *testing.T) {
	for kind := range definitions(t) {
		script, err := os.ReadFile(filepath.Join(customizations, filepath.FromSlash(kind), "health.lua"))
		if err != nil {
			t.Fatal(err)
		}
		for name, status := range map[string]any{"nothing": nil, "an empty status": map[string]any{}, "no conditions": map[string]any{"conditions": []any{}}} {
			obj := map[string]any{"kind": path.Base(kind), "metadata": map[string]any{"generation": int64(1)}, "spec": map[string]any{"version": "1"}}
			if status != nil {
				obj["status"] = status
			}
			got, err := check(t.Context(), string(script), obj)
			if err != nil || got.Status != "Progressing" && !strings.Contains(string(script), "nothing to wait for") {
				t.Errorf("%s with %s: %+v, %v", kind, name, got, err)
			}
		}
	}
}

func TestTheConfigMapHasEveryCheck(t *testing.T) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), ".")
	if err != nil {
		t.Fatal(err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	var got corev1.ConfigMap
	if err := yaml.UnmarshalStrict(text, &got); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	want := map[string]string{}
	for kind := range definitions(t) {
		script, err := os.ReadFile(filepath.Join(customizations, filepath.FromSlash(kind), "health.lua"))
		if err != nil {
			t.Fatal(err)
		}
		want["resource.customizations.health."+strings.Replace(kind, "/", "_", 1)] = string(script)
	}
	if got.Name != "argocd-cm" || got.Namespace != "argocd" || !maps.Equal(got.Data, want) {
		t.Errorf("%s/%s has %q", got.Namespace, got.Name, slices.Sorted(maps.Keys(got.Data)))
	}
}
