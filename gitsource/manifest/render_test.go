package manifest_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/manifest"
)

func TestAFolderRendersToItsWorkloads(t *testing.T) {
	cases := map[string]struct {
		reason string
		dir    string
		tree   string
		want   []string
	}{
		"Plain": {
			"Without a kustomization the manifests right in the folder count, but not those below, nor lifecycle.yaml, nor what is no manifest.",
			"app", `
-- app/lifecycle.yaml --
DEPLOY(never)
-- app/a.yaml --
DEPLOY(one)
---
# nothing
---
DEPLOY(two)
---
apiVersion: gitops.keptn.sh/v1alpha1
kind: Lifecycle
metadata: {name: x}
-- app/b.json --
{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "apps/v1", "kind": "DaemonSet",
 "metadata": {"name": "agent", "namespace": "kube"}, "spec": {"template": {"spec": {"containers": [{"image": "agent:1"}]}}}}]}
-- app/c.yml --
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec: {template: {spec: {containers: [{image: "db:1"}]}}}
-- app/values.yaml --
{{ not: yaml }}
-- app/readme.txt --
DEPLOY(never)
-- app/below/d.yaml --
DEPLOY(never)
`,
			[]string{"Deployment//one=acme/one:1", "Deployment//two=acme/two:1", "StatefulSet//db=db:1", "DaemonSet/kube/agent=agent:1"},
		},
		"Overlay": {
			"Everything that an overlay changes is in the result.",
			"overlays/prod", `
-- base/kustomization.yaml --
resources: [d.yaml, lifecycle.yaml]
-- base/lifecycle.yaml --
apiVersion: gitops.keptn.sh/v1alpha1
kind: Lifecycle
metadata: {name: x}
-- base/d.yaml --
DEPLOY(cart)
-- overlays/prod/kustomization.yaml --
resources: [../../base]
components: [../../tls]
namespace: prod
namePrefix: eu-
images: [{name: acme/cart, newTag: "7"}]
replicas: [{name: cart, count: 3}]
-- tls/kustomization.yml --
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
patches:
- target: {kind: Deployment}
  patch: |
    - {op: add, path: /spec/template/metadata/annotations, value: {tls: "on"}}
`,
			[]string{"Deployment/prod/eu-cart=acme/cart:7"},
		},
		"Plugins": {
			"Plugins that are part of kustomize run.",
			".", `
-- Kustomization --
resources: [d.yaml]
transformers:
- t.yaml
- |-
  apiVersion: builtin
  kind: PrefixTransformer
  metadata: {name: p}
  prefix: a-
  fieldSpecs: [{path: metadata/name}]
-- t.yaml --
apiVersion: builtin
kind: ImageTagTransformer
metadata: {name: t}
imageTag: {name: acme/cart, newTag: "9"}
-- d.yaml --
DEPLOY(cart)
`,
			[]string{"Deployment//a-cart=acme/cart:9"},
		},
		"OddNames": {
			"A folder can have any name that Git allows.",
			"a b/ü:%20[x]/o'v", `
-- a b/ü:%20[x]/o'v/kustomization.yaml --
resources: ["../d:1.yaml", ../github.com]
-- a b/ü:%20[x]/d:1.yaml --
DEPLOY(cart)
-- a b/ü:%20[x]/github.com/kustomization.yaml --
namePrefix: x-
resources: [d.yaml]
-- a b/ü:%20[x]/github.com/d.yaml --
DEPLOY(near)
`,
			[]string{"Deployment//cart=acme/cart:1", "Deployment//x-near=acme/near:1"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := manifest.Render(t.Context(), repository(tc.tree), tc.dir, manifest.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, workloads(r)); diff != "" {
				t.Errorf("%s\nworkloads (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTheContentOfAGeneratedConfigMapIsPartOfTheTemplate(t *testing.T) {
	digest := func(value string) string {
		r, err := manifest.Render(t.Context(), repository(`
-- kustomization.yaml --
resources: [d.yaml]
configMapGenerator: [{name: conf, files: [app.conf], envs: [.env]}]
patches:
- patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: cart}
    spec: {template: {spec: {volumes: [{name: conf, configMap: {name: conf}}]}}}
-- app.conf --
`+value+`
-- .env --
A=1
-- d.yaml --
DEPLOY(cart)
`), ".", manifest.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if name := r.Workloads[0].Template.Spec.Volumes[0].ConfigMap.Name; !strings.HasPrefix(name, "conf-") {
			t.Fatalf("the name %q has no hash", name)
		}
		return r.Workloads[0].Digest()
	}
	if digest("a") == digest("b") {
		t.Error("a change of the file does not change the workload")
	}
	if first, again := digest("a"), digest("a"); first != again {
		t.Error("the digest is not stable")
	}
}

func TestWhatCannotBeRenderedIsAProblem(t *testing.T) {
	kustomization := func(text string) fstest.MapFS {
		return repository("-- app/kustomization.yaml --\n" + text + "\n-- app/d.yaml --\nDEPLOY(cart)\n")
	}
	cases := map[string]struct {
		reason string
		fsys   fs.FS
		want   []string
	}{
		"NoFolder":   {"The folder can be gone at this commit.", fstest.MapFS{}, []string{"app:1:1: there is no such folder"}},
		"RemoteBase": {"The network is not touched.", kustomization("resources:\n- d.yaml\n- https://github.com/acme/base?ref=v1\n- git@github.com:acme/base\n- github.com/acme/base\n- ssh://x/y"), []string{"app/kustomization.yaml:3:3: resources[1]: remote", "app/kustomization.yaml:4:3: resources[2]: remote", "app/kustomization.yaml:5:3: resources[3]: remote", "app/kustomization.yaml:6:3: resources[4]: remote"}},
		"Bases":      {"The old field too.", kustomization("resources: [d.yaml]\nbases: [github.com/acme/base]"), []string{"app/kustomization.yaml:2:9: bases[0]: remote"}},
		"RemoteFile": {"Nor for a file of a generator, nor a patch.", kustomization("configMapGenerator: [{name: x, files: ['k=http://169.254.169.254/']}]\npatches: [{path: 'HTTPS://x/y'}]\ncomponents: ['git::https://x/y']"), []string{"app/kustomization.yaml:1:40: configMapGenerator[0].files[0]: remote", "app/kustomization.yaml:2:18: patches[0].path: remote", "app/kustomization.yaml:3:14: components[0]: remote"}},
		"RemoteLine": {"A line break hides nothing.", kustomization("resources: [\"https://github.com/a/b\\n\"]"), []string{"app/kustomization.yaml:1:13: resources[0]: remote"}},
		"Helm":       {"A chart would need Helm and the network.", kustomization("helmCharts:\n- name: x"), []string{"app/kustomization.yaml:2:1: helmCharts: Helm charts are not rendered"}},
		"Escape":     {"A path must not leave the repository.", kustomization("resources: [d.yaml, ../../etc/passwd, /etc/passwd]"), []string{`app/kustomization.yaml:1:21: resources[1]: "../../etc/passwd" leads out`, `app/kustomization.yaml:1:39: resources[2]: "/etc/passwd" leads out`}},
		"Exec":       {"No program runs.", kustomization("transformers:\n- |-\n  apiVersion: x/v1\n  kind: Evil\n  metadata:\n    name: x\n    annotations: {config.kubernetes.io/function: 'exec: {path: ./x}'}"), []string{"app/kustomization.yaml:2:3: transformers[0]: the plugin Evil is no part of kustomize"}},
		"ExecFile":   {"Not by a file either.", repository("-- app/kustomization.yaml --\ngenerators: [g.yaml, ../g]\n-- app/g.yaml --\napiVersion: x/v1\nkind: Evil\nmetadata: {name: x}\n-- g/kustomization.yaml --\n"), []string{"app/g.yaml:1:1: the plugin Evil is no part", "g:1:1: plugins are read from files only"}},
		"PluginURL":  {"A plugin of kustomize must not fetch either.", kustomization("transformers: ['{apiVersion: builtin, kind: PatchTransformer, metadata: {name: x}, PATH: \"https://x/y\"}']"), []string{"app/kustomization.yaml:1:16: transformers[0]: remote files are not fetched"}},
		"Cycle":      {"Kustomizations can name each other.", repository("-- app/kustomization.yaml --\nresources: [../b]\n-- b/kustomization.yaml --\nresources: [../app]\n"), []string{"app/kustomization.yaml:1:1: kustomize: accumulating resources"}},
		"Missing":    {"A file that is named is not there.", kustomization("resources: [e.yaml]"), []string{"app/kustomization.yaml:1:1: kustomize: accumulating resources"}},
		"Two":        {"Two kustomizations in one folder are ambiguous.", repository("-- app/kustomization.yaml --\n-- app/kustomization.yml --\n"), []string{"app/kustomization.yml:1:1: the folder has more than one kustomization, app/kustomization.yaml as well"}},
		"Unknown":    {"A typo in a kustomization.", kustomization("resource: [d.yaml]"), []string{"app/kustomization.yaml:1:1: not a kustomization: invalid Kustomization: json: unknown field \"resource\""}},
		"Syntax":     {"A manifest that is not YAML.", repository("-- app/d.yaml --\napiVersion: v1\nkind: [\n---\nkind: x\n  y: z\n"), []string{"app/d.yaml:2:1: not valid YAML", "app/d.yaml:5:3: not valid YAML"}},
		"Type":       {"A manifest that no API server would take.", repository("-- app/d.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicas: two}\n"), []string{"app/d.yaml:1:1: spec.replicas must not be a string"}},
		"Twice":      {"One workload in two files.", repository("-- app/a.yaml --\nDEPLOY(x)\n-- app/b.yaml --\nDEPLOY(x)\n"), []string{`app/b.yaml:1:1: Deployment "x" is in this folder twice`}},
		"Bomb":       {"Aliases must not expand without bound.", repository("-- app/kustomization.yaml --\nresources: [d.yaml]\n-- app/d.yaml --\n" + bomb()), []string{"app/d.yaml:1:1: YAML aliases in it expand to more"}},
		"Secret":     {"What a file holds is not told.", kustomization("secretGenerator: [{name: x, literals: ['hunter2']}]"), []string{"app/kustomization.yaml:1:1: kustomize: loading KV pairs: literal sources […]: invalid literal source …, expected key=value"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := manifest.Render(t.Context(), tc.fsys, "app", manifest.Limits{})
			var problems manifest.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("%s\ngot error %v, want Problems", tc.reason, err)
			}
			got := lines(problems)
			for i := range min(len(got), len(tc.want)) {
				got[i] = got[i][:min(len(got[i]), len(tc.want[i]))]
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nproblems (-want +got):\n%s\n%v", tc.reason, diff, err)
			}
			if len(r.Workloads) != 0 || len(r.Inputs) == 0 {
				t.Errorf("got %d workloads and %d inputs, want none and some", len(r.Workloads), len(r.Inputs))
			}
		})
	}
}

func TestSymbolicLinksAreNotFollowed(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret.yaml")
	write(t, outside, deployment("secret"))
	write(t, filepath.Join(dir, "app/kustomization.yaml"), "resources: [link.yaml]")
	write(t, filepath.Join(dir, "over/kustomization.yaml"), "resources: [../linked]")
	write(t, filepath.Join(dir, "plain/d.yaml"), deployment("cart"))
	link(t, outside, filepath.Join(dir, "app/link.yaml"))
	link(t, filepath.Join(dir, "plain"), filepath.Join(dir, "linked"))
	link(t, outside, filepath.Join(dir, "plain/e.yaml"))
	for dir, fsys := range map[string]fs.FS{"app": os.DirFS(dir), "over": os.DirFS(dir), "linked": os.DirFS(dir), "plain": os.DirFS(dir)} {
		r, err := manifest.Render(t.Context(), fsys, dir, manifest.Limits{})
		if err == nil || !strings.Contains(err.Error(), "is a symbolic link") {
			t.Errorf("%s: got %v, want that a symbolic link is refused", dir, err)
		}
		if r == nil || len(r.Workloads) > 0 {
			t.Errorf("%s: something was rendered", dir)
		}
	}
}

func TestInputsAreWhatTheResultDependsOn(t *testing.T) {
	fsys := repository(`
-- base/kustomization.yaml --
resources: [d.yaml]
-- base/d.yaml --
DEPLOY(cart)
-- base/other.yaml --
-- prod/kustomization.yaml --
resources: [../base]
-- plain/d.yaml --
DEPLOY(cart)
-- plain/sub/d.yaml --
`)
	cases := map[string]struct {
		reason  string
		dir     string
		changed string
		want    bool
	}{
		"Read":         {"A file that was read.", "prod", "base/d.yaml", true},
		"Kustomized":   {"The kustomization of a base.", "prod", "base/kustomization.yaml", true},
		"LookedFor":    {"A second kustomization would be ambiguous.", "prod", "base/Kustomization", true},
		"Beside":       {"A file that is not named does not matter.", "prod", "base/other.yaml", false},
		"Elsewhere":    {"Nor does another folder.", "prod", "plain/d.yaml", false},
		"Removed":      {"A folder that becomes a file is no folder.", "prod", "base", true},
		"PlainNew":     {"A manifest that is added.", "plain", "plain/new.yaml", true},
		"PlainSub":     {"Sub-folders do not count.", "plain", "plain/sub/d.yaml", false},
		"NowKustomize": {"A kustomization that is added.", "plain", "plain/kustomization.yaml", true},
		"Missing":      {"What was not there can come.", "gone", "gone/d.yaml", true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := manifest.Render(t.Context(), fsys, tc.dir, manifest.Limits{})
			if r == nil {
				t.Fatal(err)
			}
			if got := r.DependsOn(tc.changed); got != tc.want {
				t.Errorf("%s\ngot %v, want %v; inputs: %v", tc.reason, got, tc.want, r.Inputs)
			}
		})
	}
}

func TestTheSchemaOfOneKustomizationIsNotThatOfAnother(t *testing.T) {
	custom := repository("-- kustomization.yaml --\nresources: [d.yaml]\nopenapi: {path: s.json}\n-- d.yaml --\nDEPLOY(x)\n" +
		`-- s.json --
{"definitions": {"x": {"type": "object", "properties": {}, "x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Deployment"}]}}}
`)
	merged := repository("-- kustomization.yaml --\nresources: [d.yaml]\npatches: [{path: p.yaml}]\n-- d.yaml --\nDEPLOY(x)\n" +
		"-- p.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {template: {spec: {containers: [{name: proxy, image: 'proxy:1'}]}}}\n")
	done := make(chan error)
	render := func(fsys fs.FS, containers int) {
		r, err := manifest.Render(t.Context(), fsys, ".", manifest.Limits{})
		if err == nil && len(r.Workloads[0].Template.Spec.Containers) != containers {
			err = fmt.Errorf("got %d containers, want %d", len(r.Workloads[0].Template.Spec.Containers), containers)
		}
		done <- err
	}
	for range 4 {
		go render(custom, 1)
		go render(merged, 2)
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
