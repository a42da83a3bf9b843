package manifest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/manifest"
)

// release is a HelmRelease in short, with more of its spec.
func release(name, spec string) string {
	return fmt.Sprintf("apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: %s}\nspec: {%s}\n", name, spec)
}

func TestAFolderRendersToItsHelmReleases(t *testing.T) {
	cases := map[string]struct {
		reason, dir, tree string
		want              []string
	}{
		"Plain": {
			"Of any version, in a List as well, beside workloads; others of that name and one without a name are none.",
			".", `
-- a.yaml --
` + release("cart", "targetNamespace: shop") + `---
DEPLOY(web)
---
apiVersion: example.com/v1
kind: HelmRelease
metadata: {name: other}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
-- b.json --
{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "helm.toolkit.fluxcd.io/v2beta1", "kind": "HelmRelease", "metadata": {"name": "a", "namespace": "flux"}}]}
`,
			[]string{"/cart → shop", "flux/a → "},
		},
		"Kustomized": {
			"As an overlay changes it.",
			"prod", `
-- base/kustomization.yaml --
resources: [r.yaml]
-- base/r.yaml --
` + release("cart", "interval: 1h") + `
-- prod/kustomization.yaml --
resources: [../base]
namespace: shop
namePrefix: eu-
`,
			[]string{"shop/eu-cart → "},
		},
		"Elsewhere": {
			"What is released to another cluster does not run in this one.",
			".", "-- a.yaml --\n" + release("cart", "kubeConfig: {secretRef: {name: far}}"), nil,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := manifest.Render(t.Context(), repository(tc.tree), tc.dir, manifest.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range r.Releases {
				got = append(got, fmt.Sprintf("%s/%s → %s", r.Namespace, r.Name, r.Target))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\nreleases (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// chart is of a release whose chart is a folder of the tree.
const chart = "chart: {spec: {chart: ./charts/cart, sourceRef: {kind: GitRepository, name: shop}%s}}"

func TestTheDigestOfAReleaseIsOfWhatItReleases(t *testing.T) {
	// revision follows every commit, version only the chart's version.
	revision := fmt.Sprintf(chart, ", reconcileStrategy: Revision, valuesFiles: [./prod.yaml, ../out.yaml, gone.yaml]")
	version := fmt.Sprintf(chart, "")
	base := map[string]string{
		"app/release.yaml":                 release("cart", "interval: 1h, values: {tag: 1}, valuesFrom: [{kind: Secret, name: cart}]"),
		"app/values.yaml":                  "apiVersion: v1\nkind: Secret\nmetadata: {name: cart}\nstringData: {a: 'ENC[x]'}\nsops: {mac: y}\n",
		"app/other.yaml":                   "apiVersion: v1\nkind: Secret\nmetadata: {name: other}\nstringData: {a: b}\n",
		"charts/cart/Chart.yaml":           "name: cart\nversion: 1.10\n",
		"charts/cart/templates/a/web.yaml": "{{ a }}\n",
		"charts/web/Chart.yaml":            "name: web\n",
		"prod.yaml":                        "a: b\n",
	}
	cases := map[string]struct {
		reason       string
		spec         string
		path, become string
		want         bool
	}{
		"Values":       {"Other values are another release.", "", "app/release.yaml", release("cart", "interval: 1h, values: {tag: 2}, valuesFrom: [{kind: Secret, name: cart}]"), true},
		"Handling":     {"How and when it is released is no matter.", "", "app/release.yaml", release("cart", "interval: 2h, suspend: true, upgrade: {disableWait: true}, values: {tag: 1}, valuesFrom: [{kind: Secret, name: cart}]"), false},
		"Metadata":     {"Nor are annotations, the version of the API, or a status.", "", "app/release.yaml", strings.Replace(strings.Replace(base["app/release.yaml"], "/v2", "/v2beta2", 1), "{name: cart}", "{name: cart, annotations: {a: b}}", 1) + "status: {a: b}\n", false},
		"ValuesFrom":   {"Values beside it count, encrypted as they are.", "", "app/values.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: cart}\nstringData: {a: 'ENC[z]'}\nsops: {mac: y}\n", true},
		"Relabelled":   {"But not the labels of what holds them.", "", "app/values.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: cart, labels: {a: b}}\nstringData: {a: 'ENC[x]'}\nsops: {mac: y}\n", false},
		"NotNamed":     {"What valuesFrom does not name is no part of it.", "", "app/other.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: other}\nstringData: {a: c}\n", false},
		"OtherKind":    {"A ConfigMap is not the Secret of its name.", "", "app/other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cart}\ndata: {a: c}\n", false},
		"Version":      {"A chart of another version.", version, "charts/cart/Chart.yaml", "name: cart\nversion: 1.1\n", true},
		"NoVersion":    {"A Chart.yaml that cannot be read counts as it is.", version, "charts/cart/Chart.yaml", "{\n", true},
		"SameVersion":  {"Flux releases no chart of the same version again.", version, "charts/cart/templates/a/web.yaml", "{{ b }}\n", false},
		"Template":     {"It does where it follows the revision.", revision, "charts/cart/templates/a/web.yaml", "{{ b }}\n", true},
		"NewFile":      {"A file that is added changes the chart, too.", revision, "charts/cart/templates/b.yaml", "{{ b }}\n", true},
		"ValuesFile":   {"So do values out of the chart's folder.", revision, "prod.yaml", "a: c\n", true},
		"OtherChart":   {"Another chart is none of its business.", revision, "charts/web/Chart.yaml", "name: shop\n", false},
		"OtherSource":  {"The path is one of the source: that of a Bucket is not here.", strings.Replace(version, "GitRepository", "Bucket", 1), "charts/cart/Chart.yaml", "version: 2\n", false},
		"OutOfTheTree": {"A path out of the repository leads nowhere.", strings.Replace(version, "./charts", "../charts", 1), "charts/cart/Chart.yaml", "version: 2\n", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			digest := func(path, content string) manifest.Release {
				fsys := repository("")
				for name, text := range base {
					fsys[name] = file(text)
				}
				if tc.spec != "" {
					fsys["app/release.yaml"] = file(release("cart", tc.spec))
				}
				if path != "" {
					fsys[path] = file(content)
				}
				r, err := manifest.Render(t.Context(), fsys, "app", manifest.Limits{})
				if err != nil || len(r.Releases) != 1 {
					t.Fatalf("got %+v, %v, want one release", r, err)
				}
				return r.Releases[0]
			}
			before, after := digest("", ""), digest(tc.path, tc.become)
			if before.Digest == "" || (before.Digest != after.Digest) != tc.want {
				t.Errorf("%s\ngot %+v and %+v", tc.reason, before, after)
			}
			if itself := name == "Values"; (before.Object != after.Object) != itself {
				t.Errorf("the HelmRelease itself: got %s and %s", before.Object, after.Object)
			}
		})
	}
}

func TestTheChartOfAReleaseIsAnInput(t *testing.T) {
	trees := map[string]string{"version": "", "revision": ", reconcileStrategy: Revision"}
	for strategy, spec := range trees {
		r, err := manifest.Render(t.Context(), repository("-- app/release.yaml --\n"+release("cart", fmt.Sprintf(chart, spec))+
			"-- charts/cart/Chart.yaml --\nversion: 1\n-- charts/cart/templates/web.yaml --\n"), "app", manifest.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]bool{
			"charts/cart/Chart.yaml": true, "charts/cart/templates/web.yaml": true, "charts/cart/templates/new.yaml": true,
			"charts/web/Chart.yaml": false, "README.md": false, "app/release.yaml": true,
		} {
			if got := r.DependsOn(path); got != want {
				t.Errorf("%s: a change of %s: got %t; inputs: %v", strategy, path, got, r.Inputs)
			}
		}
	}
	missing, err := manifest.Render(t.Context(), repository("-- app/release.yaml --\n"+release("cart", fmt.Sprintf(chart, ""))), "app", manifest.Limits{})
	if err != nil || !missing.DependsOn("charts/cart/Chart.yaml") {
		t.Errorf("a chart that comes is an input: %+v, %v", missing, err)
	}
}

func TestAChartIsReadWithinLimits(t *testing.T) {
	of := release("cart", fmt.Sprintf(chart, ", reconcileStrategy: Revision"))
	tree := "-- app/release.yaml --\n" + of +
		"-- charts/cart/Chart.yaml --\nversion: 1\n-- charts/cart/a/b/c/web.yaml --\n0123456789\n"
	cases := map[string]struct {
		reason string
		limits manifest.Limits
		want   string
	}{
		"Files": {"It can have any number of files and folders.", manifest.Limits{Reads: 3}, "charts/cart:1:1: more than 3 files and folders are in it"},
		"Depth": {"They can be nested.", manifest.Limits{Depth: 4}, "charts/cart/a/b/c:1:1: folders are nested deeper"},
		"Bytes": {"They can be long.", manifest.Limits{TotalBytes: int64(len(of)) + 12}, "charts/cart/a/b/c/web.yaml:1:1: more than"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := manifest.Render(t.Context(), repository(tree), "app", tc.limits)
			var problems manifest.Problems
			if !errors.As(err, &problems) || !strings.HasPrefix(err.Error(), tc.want) {
				t.Fatalf("%s\ngot %v, want %s…", tc.reason, err, tc.want)
			}
			if len(r.Releases) > 0 {
				t.Errorf("%s\ngot releases: %v", tc.reason, r.Releases)
			}
		})
	}
}
