package examples_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/check"
)

func TestEveryKustomizationRenders(t *testing.T) {
	folders := kustomizations(t)
	if len(folders) < 8 {
		t.Fatalf("found %q only", folders)
	}
	for _, dir := range folders {
		if len(render(t, dir)) == 0 {
			t.Errorf("%s renders nothing", dir)
		}
	}
}

func TestALifecycleIsReadFromGitAndNeverApplied(t *testing.T) {
	for _, dir := range kustomizations(t) {
		for _, object := range render(t, dir) {
			if kind, _, _ := strings.Cut(object, "/"); kind == "Lifecycle" || kind == "SLOPolicy" {
				t.Errorf("%s applies %s: the copy would be inert", dir, object)
			}
		}
	}
}

func TestOverlaysOfTheMonorepoDeployTheirBaseIntoTheirNamespace(t *testing.T) {
	for dir, want := range map[string]string{
		"monorepo/apps/cart/overlays/staging":      "Deployment/staging/cart",
		"monorepo/apps/cart/overlays/production":   "Deployment/production/cart",
		"monorepo/apps/search/overlays/staging":    "Deployment/staging/search",
		"monorepo/apps/search/overlays/production": "Deployment/production/search",
	} {
		if diff := cmp.Diff([]string{want}, render(t, dir)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", dir, diff)
		}
	}
}

func TestSourcesFindTheirAppsAndNoProblem(t *testing.T) {
	cases := map[string]struct {
		reason string
		tree   string
		source string // empty: the whole tree
		want   []string
	}{
		"Checkout":   {"The lifecycle.yaml lies beside the kustomization.", "checkout/deploy", "", []string{"checkout ."}},
		"Staging":    {"Overlays inherit the base's.", "monorepo", "monorepo/staging.yaml", []string{"cart apps/cart/overlays/staging", "search apps/search/overlays/staging"}},
		"Production": {"The other environment is not looked at.", "monorepo", "monorepo/production.yaml", []string{"cart apps/cart/overlays/production", "search apps/search/overlays/production"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			found, err := check.Tree(t.Context(), os.DirFS(tc.tree), paths(t, tc.source))
			if err != nil {
				t.Fatal(err)
			}
			var apps []string
			for _, a := range found.Apps {
				apps = append(apps, a.Lifecycle.Name+" "+a.Path)
			}
			if diff := cmp.Diff(tc.want, apps); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			for _, p := range found.Problems {
				t.Errorf("%s: %s", tc.tree, p)
			}
		})
	}
}

// paths are those that a GitSource looks at.
func paths(t *testing.T, file string) []string {
	t.Helper()
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var source v1alpha1.GitSource
	if err := yaml.UnmarshalStrict(text, &source); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return source.Spec.Paths
}

// kustomizations lists the folders with a kustomization.yaml.
func kustomizations(t *testing.T) []string {
	t.Helper()
	var dirs []string
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, _ fs.DirEntry, err error) error {
		if filepath.Base(path) == "kustomization.yaml" {
			dirs = append(dirs, filepath.Dir(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// render lists what a kustomization renders, as kind/namespace/name.
func render(t *testing.T, dir string) []string {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	var ids []string
	for _, r := range resources.Resources() {
		ids = append(ids, r.GetKind()+"/"+r.GetNamespace()+"/"+r.GetName())
	}
	return ids
}
