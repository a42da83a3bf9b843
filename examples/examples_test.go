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
