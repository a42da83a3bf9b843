package manifest_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/manifest"
)

// discovered is what was found, in lines: path < file: name [workloads] (policies).
func discovered(f *manifest.Found) []string {
	var all []string
	for _, a := range f.Apps {
		var policies []string
		for _, p := range a.Policies {
			policies = append(policies, p.Name)
		}
		line := fmt.Sprintf("%s < %s: %s %v", a.Path, a.File, a.Lifecycle.Name, workloads(a.Rendered))
		if len(policies) > 0 {
			line += fmt.Sprintf(" %v", policies)
		}
		all = append(all, line)
	}
	return all
}

const shop = `
-- apps/cart/lifecycle.yaml --
LIFECYCLE(cart)
-- apps/cart/d.yaml --
DEPLOY(cart)
-- apps/shop/base/lifecycle.yaml --
LIFECYCLE(shop)
-- apps/shop/base/kustomization.yaml --
resources: [d.yaml]
-- apps/shop/base/d.yaml --
DEPLOY(shop)
-- apps/shop/staging/kustomization.yaml --
resources: [../base]
namespace: staging
-- apps/shop/prod/kustomization.yaml --
resources: [../base]
namespace: prod
-- clusters/prod/kustomization.yaml --
resources: [../../apps/cart/over, ../../apps/shop/prod]
-- apps/cart/over/kustomization.yaml --
resources: [../d.yaml]
components: [../../../component]
-- component/kustomization.yaml --
kind: Component
apiVersion: kustomize.config.k8s.io/v1alpha1
namePrefix: x-
-- other/kustomization.yaml --
resources: [https://example.com/not-ours]
-- other/broken/kustomization.yaml --
{{ template }}
-- .git/lifecycle.yaml --
LIFECYCLE(never)
`

func TestAppsAreFoundBelowThePaths(t *testing.T) {
	cases := map[string]struct {
		reason string
		tree   string
		paths  []string
		want   []string
	}{
		"OneEnvironment": {
			"An overlay below the paths inherits from a base that is not.",
			shop, []string{"apps/shop/prod"},
			[]string{"apps/shop/prod < apps/shop/base/lifecycle.yaml: shop [Deployment/prod/shop=acme/shop:1]"},
		},
		"Glob": {
			"A glob stands for folders at any depth.",
			shop, []string{"apps/**/staging", "apps/c*"},
			[]string{
				"apps/cart < apps/cart/lifecycle.yaml: cart [Deployment//cart=acme/cart:1]",
				"apps/shop/staging < apps/shop/base/lifecycle.yaml: shop [Deployment/staging/shop=acme/shop:1]",
			},
		},
		"GlobOfFiles": {
			"A glob of the files themselves is understood.",
			shop, []string{"apps/*/lifecycle.yaml"},
			[]string{"apps/cart < apps/cart/lifecycle.yaml: cart [Deployment//cart=acme/cart:1]"},
		},
		"Gathered": {
			"What a cluster gathers is rendered app by app.",
			shop + "-- apps/cart/over/lifecycle.yaml --\nLIFECYCLE(cart-over)\n", []string{"clusters/prod"},
			[]string{
				"apps/cart/over < apps/cart/over/lifecycle.yaml: cart-over [Deployment//x-cart=acme/cart:1]",
				"apps/shop/prod < apps/shop/base/lifecycle.yaml: shop [Deployment/prod/shop=acme/shop:1]",
			},
		},
		"Chain": {
			"Of overlays that build on each other the last one counts.",
			shop + "-- apps/shop/prod/eu/kustomization.yaml --\nresources: [../../prod-eu]\nnamespace: eu\n-- apps/shop/prod-eu/kustomization.yaml --\nresources: [../base]\n",
			[]string{"apps/shop/prod/eu", "apps/shop/prod-eu"},
			[]string{"apps/shop/prod/eu < apps/shop/base/lifecycle.yaml: shop [Deployment/eu/shop=acme/shop:1]"},
		},
		"Component": {
			"A component can bring the lifecycle.yaml; it is rendered by who uses it.",
			"-- a/kustomization.yaml --\nresources: [d.yaml]\ncomponents: [../c]\n-- a/d.yaml --\nDEPLOY(a)\n-- c/kustomization.yaml --\nkind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\nnamePrefix: x-\n-- c/lifecycle.yaml --\nLIFECYCLE(c)\n",
			nil,
			[]string{"a < c/lifecycle.yaml: c [Deployment//x-a=acme/a:1]"},
		},
		"Replaced": {
			"An overlay's own Lifecycle replaces the inherited one of its name.",
			"-- base/kustomization.yaml --\nresources: [d.yaml]\n-- base/d.yaml --\nDEPLOY(a)\n-- base/lifecycle.yaml --\nLIFECYCLE(a)\n-- prod/kustomization.yaml --\nresources: [../base]\nnamePrefix: p-\n-- prod/lifecycle.yaml --\nLIFECYCLE(a)\n",
			nil,
			[]string{"prod < prod/lifecycle.yaml: a [Deployment//p-a=acme/a:1]"},
		},
		"Several": {
			"One file can hold several Lifecycles.",
			"-- lifecycle.yaml --\nLIFECYCLE(b)\n---\nLIFECYCLE(a)\n-- d.yaml --\nDEPLOY(a)\n", nil,
			[]string{". < lifecycle.yaml: a [Deployment//a=acme/a:1]", ". < lifecycle.yaml: b [Deployment//a=acme/a:1]"},
		},
		"OddNames": {
			"Folders can be called anything.",
			"-- a b/[x]*/{é}/lifecycle.yaml --\nLIFECYCLE(a)\n-- a b/[x]*/{é}/d.yaml --\nDEPLOY(a)\n", []string{"a b"},
			[]string{"a b/[x]*/{é} < a b/[x]*/{é}/lifecycle.yaml: a [Deployment//a=acme/a:1]"},
		},
		"Policies": {
			"Policies come from the same file, then from those found, then from the rest of the repository.",
			"-- a/lifecycle.yaml --\nLIFECYCLE(a)\nspec: {preDeployment: {policies: [own, far]}, postDeployment: {policies: [near]}}\nSLO(own)\n" +
				"-- b/lifecycle.yaml --\nLIFECYCLE(b)\nSLO(near)\nSLO(own)\n-- slos/lifecycle.yaml --\nSLO(far)\n-- slos/x/lifecycle.yaml --\nbroken: [\n", []string{"a", "b"},
			[]string{"a < a/lifecycle.yaml: a [] [far near own]", "b < b/lifecycle.yaml: b []"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			found, err := manifest.Discover(t.Context(), tree(tc.tree), tc.paths, manifest.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, discovered(found)); diff != "" {
				t.Errorf("%s\napps (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff([]string(nil), lines(found.Problems)); diff != "" {
				t.Errorf("%s\nproblems (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestWhatIsWrongInATreeIsToldAndHidesNothingElse(t *testing.T) {
	cases := map[string]struct {
		reason string
		tree   string
		paths  []string
		apps   []string
		want   []string
	}{
		"TwoOverlays": {
			"One name cannot stand for two environments.",
			shop, []string{"apps/shop"},
			[]string{
				"apps/shop/prod < apps/shop/base/lifecycle.yaml: shop [Deployment/prod/shop=acme/shop:1]",
				"apps/shop/staging < apps/shop/base/lifecycle.yaml: shop [Deployment/staging/shop=acme/shop:1]",
			},
			[]string{`apps/shop/base/lifecycle.yaml:3:18: Lifecycle "shop" is inherited by both apps/shop/prod and apps/shop/staging: give each environment a source of its own, whose spec.paths name one of them`},
		},
		"ReplacedInOne": {
			"One environment inherits, and the other replaces: that is one app in two environments.",
			"-- base/kustomization.yaml --\nresources: [d.yaml]\n-- base/d.yaml --\nDEPLOY(a)\n-- base/lifecycle.yaml --\nLIFECYCLE(a)\n" +
				"-- prod/kustomization.yaml --\nresources: [../base]\n-- prod/lifecycle.yaml --\nLIFECYCLE(a)\n-- staging/kustomization.yaml --\nresources: [../base]\n", nil,
			[]string{"prod < prod/lifecycle.yaml: a [Deployment//a=acme/a:1]", "staging < base/lifecycle.yaml: a [Deployment//a=acme/a:1]"},
			[]string{`prod/lifecycle.yaml:3:18: Lifecycle "a" is inherited by both staging and prod: give each environment a source of its own, whose spec.paths name one of them`},
		},
		"TwoFiles": {
			"The second of one name is told, with the place of the first.",
			"-- b/lifecycle.yaml --\n# later\nLIFECYCLE(a)\n-- a/lifecycle.yaml --\nLIFECYCLE(a)\n", nil,
			[]string{"a < a/lifecycle.yaml: a []", "b < b/lifecycle.yaml: a []"},
			[]string{`b/lifecycle.yaml:4:18: Lifecycle "a" is already at a/lifecycle.yaml:3:18: give it another name`},
		},
		"BrokenFile": {
			"A broken file does not hide the others.",
			"-- a/lifecycle.yaml --\nkind: [\n-- b/lifecycle.yaml --\nLIFECYCLE(b)\n", nil,
			[]string{"b < b/lifecycle.yaml: b []"},
			[]string{"a/lifecycle.yaml:1:1: not valid YAML: did not find expected node content"},
		},
		"BrokenRender": {
			"An app that cannot be rendered is an app.",
			"-- a/lifecycle.yaml --\nLIFECYCLE(a)\n-- a/kustomization.yaml --\nresources: [https://x/y]\n-- b/lifecycle.yaml --\nLIFECYCLE(b)\n", nil,
			[]string{"a < a/lifecycle.yaml: a []", "b < b/lifecycle.yaml: b []"},
			[]string{"a/kustomization.yaml:1:13: resources[0]: remote files and bases are not fetched: copy what you need into the repository and name its path"},
		},
		"Cycle": {
			"Kustomizations that name each other are told at the app.",
			"-- a/lifecycle.yaml --\nLIFECYCLE(a)\n-- a/kustomization.yaml --\nresources: [../b]\n-- b/kustomization.yaml --\nresources: [../a]\n", nil,
			[]string{"a < a/lifecycle.yaml: a []"},
			[]string{"a/kustomization.yaml:1:1: kustomize: accumulating resources: accumulation err='accumulating resources from '../b': read b: is a folder, not a file': recursed accumulation of path 'b': accumulating resources: accumulation err='accumulating resources from '../a': read a: is a folder, not a file': cycle detected: candidate root 'a' contains visited root 'a'"},
		},
		"Unresolved": {
			"A policy can come from the cluster, so its absence is a warning.",
			"-- lifecycle.yaml --\nLIFECYCLE(a)\nspec: {postDeployment: {policies: [x, y]}}\nSLO(y)\n", nil,
			[]string{". < lifecycle.yaml: a [] [y]"},
			[]string{`lifecycle.yaml:4:36: warning: SLOPolicy "x" is not in this repository: write it, or see that the cluster has it`},
		},
		"Ambiguous": {
			"Two policies of one name, elsewhere.",
			"-- a/lifecycle.yaml --\nLIFECYCLE(a)\nspec: {postDeployment: {policies: [y]}}\n-- b/lifecycle.yaml --\nSLO(y)\n-- c/lifecycle.yaml --\nSLO(y)\n", nil,
			[]string{"a < a/lifecycle.yaml: a [] [y]"},
			[]string{`a/lifecycle.yaml:4:36: warning: SLOPolicy "y" is in both b/lifecycle.yaml and c/lifecycle.yaml, and the first is used: give them different names`},
		},
		"Transformed": {
			"What a gathering kustomization changes is lost, which is said.",
			"-- a/lifecycle.yaml --\nLIFECYCLE(a)\n-- b/lifecycle.yaml --\nLIFECYCLE(b)\n-- kustomization.yaml --\nresources: [a, b]\nnamespace: prod\n", nil,
			[]string{"a < a/lifecycle.yaml: a []", "b < b/lifecycle.yaml: b []"},
			[]string{"kustomization.yaml:1:1: warning: it reaches 2 lifecycle.yaml files and also changes what they deploy: each app is rendered without that change, so give each an overlay of its own"},
		},
		"NoFolder": {
			"A path that is not there.",
			"-- a/lifecycle.yaml --\nLIFECYCLE(a)\n", []string{"a", "b"},
			[]string{"a < a/lifecycle.yaml: a []"},
			[]string{"b:1:1: warning: there is no such folder, so nothing is found there: correct spec.paths"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			found, err := manifest.Discover(t.Context(), tree(tc.tree), tc.paths, manifest.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.apps, discovered(found)); diff != "" {
				t.Errorf("%s\napps (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.want, lines(found.Problems)); diff != "" {
				t.Errorf("%s\nproblems (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAnAppSaysItselfWhatIsWrongWithIt(t *testing.T) {
	found, err := manifest.Discover(t.Context(), tree(
		"-- a/lifecycle.yaml --\nLIFECYCLE(a)\n---\nkind: x\n-- b/lifecycle.yaml --\nLIFECYCLE(b)\n-- c/lifecycle.yaml --\nLIFECYCLE(b)\n"+shop),
		[]string{"a", "b", "c", "apps/shop"}, manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, a := range found.Apps {
		got[a.Path] = a.Problems.HasErrors()
	}
	if diff := cmp.Diff(map[string]bool{"a": true, "b": false, "c": true, "apps/shop/staging": true, "apps/shop/prod": true}, got); diff != "" {
		t.Errorf("apps with errors (-want +got):\n%s", diff)
	}
}

func TestALinkedLifecycleIsToldAndNotRead(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "real/lifecycle.yaml"), lifecycle("a"))
	write(t, filepath.Join(dir, "b/x"), "")
	link(t, "../real/lifecycle.yaml", filepath.Join(dir, "b/lifecycle.yaml"))
	link(t, "/", filepath.Join(dir, "b/root"))
	found, err := manifest.Discover(t.Context(), os.DirFS(dir), nil, manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"real < real/lifecycle.yaml: a []"}, discovered(found)); diff != "" {
		t.Errorf("apps (-want +got):\n%s", diff)
	}
	want := []string{"b/lifecycle.yaml:1:1: is not a regular file: symbolic links are not followed, put the file itself here"}
	if diff := cmp.Diff(want, lines(found.Problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestPathsThatCannotBeAreTheCallersError(t *testing.T) {
	for _, p := range []string{"../x", "a/["} {
		_, err := manifest.Discover(t.Context(), fstest.MapFS{}, []string{"ok", p}, manifest.Limits{})
		var problems manifest.Problems
		if err == nil || errors.As(err, &problems) {
			t.Errorf("%q: got %v, want an error that is no Problems", p, err)
		}
	}
}

// counting is a file system far away: it counts what is read of it, and what
// was asked for before it was read.
type counting struct {
	fstest.MapFS
	read     []string
	expected map[string]bool
}

func (c *counting) Open(name string) (fs.File, error) {
	if f, ok := c.MapFS[name]; ok && !f.Mode.IsDir() {
		c.read = append(c.read, name)
	}
	return c.MapFS.Open(name)
}

func (c *counting) Prefetch(_ context.Context, paths ...string) error {
	for _, p := range paths {
		c.expected[p] = true
	}
	return nil
}

func TestOnlyWhatIsNeededIsReadAndAskedForBefore(t *testing.T) {
	fsys := &counting{MapFS: tree(shop), expected: map[string]bool{}}
	if _, err := manifest.Discover(t.Context(), fsys, []string{"apps/shop/prod", "apps/cart"}, manifest.Limits{}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(fsys.read)
	want := []string{
		"apps/cart/d.yaml", "apps/cart/lifecycle.yaml", "apps/cart/over/kustomization.yaml",
		"apps/shop/base/d.yaml", "apps/shop/base/kustomization.yaml", "apps/shop/base/lifecycle.yaml",
		"apps/shop/prod/kustomization.yaml", "component/kustomization.yaml",
	}
	if diff := cmp.Diff(want, slices.Compact(fsys.read)); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	for _, name := range want {
		if !fsys.expected[name] {
			t.Errorf("%s was read one by one", name)
		}
	}
}

func large() fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := range 100 {
		for j := range 99 {
			fsys[fmt.Sprintf("svc/t%02d/src/f%02d.go", i, j)] = &fstest.MapFile{Data: []byte("package main")}
		}
		fsys[fmt.Sprintf("svc/t%02d/lifecycle.yaml", i)] = &fstest.MapFile{Data: []byte(lifecycle(fmt.Sprintf("t%d", i)))}
		fsys[fmt.Sprintf("svc/t%02d/d.yaml", i)] = &fstest.MapFile{Data: []byte(deployment("x"))}
	}
	return fsys
}

func TestATreeOfTenThousandFilesIsWalkedWithinItsLimits(t *testing.T) {
	fsys := large()
	found, err := manifest.Discover(t.Context(), fsys, nil, manifest.Limits{})
	if err != nil || len(found.Apps) != 100 || len(found.Problems) != 0 {
		t.Fatalf("got %v, want 100 apps without a problem", err)
	}
	for name, limits := range map[string]manifest.Limits{
		"files and folders are below the paths": {Entries: 1000},
		"narrow spec.paths":                     {Reads: 50},
	} {
		found, err := manifest.Discover(t.Context(), fsys, nil, limits)
		if err != nil || !found.Problems.HasErrors() || !strings.Contains(found.Problems.Error(), name) {
			t.Errorf("%+v: got %v, want a problem with %q", limits, err, name)
		}
	}
}

func BenchmarkDiscover(b *testing.B) {
	fsys := large()
	for b.Loop() {
		if _, err := manifest.Discover(b.Context(), fsys, nil, manifest.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	data := []byte(example(b))
	for b.Loop() {
		if _, problems := manifest.Parse("f", data); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}
