package manifest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"

	"github.com/keptn/gitops/gitsource/manifest"
)

// repository is a tree written as a txtar archive. DEPLOY(x) in a file stands
// for a Deployment of that name.
func repository(archive string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		data := string(f.Data)
		for {
			before, rest, ok := strings.Cut(data, "DEPLOY(")
			if !ok {
				break
			}
			name, after, _ := strings.Cut(rest, ")")
			data = before + deployment(name) + after
		}
		fsys[f.Name] = &fstest.MapFile{Data: []byte(data)}
	}
	return fsys
}

func deployment(name string) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
      - {name: %[1]s, image: "acme/%[1]s:1"}
`, name)
}

// workloads are kind/namespace/name=image of a result.
func workloads(r *manifest.Rendered) []string {
	var all []string
	for _, w := range r.Workloads {
		all = append(all, fmt.Sprintf("%s/%s/%s=%s", w.Kind, w.Namespace, w.Name, w.Template.Spec.Containers[0].Image))
	}
	return all
}

func write(t *testing.T, name, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
}

// lifecycle is a lifecycle.yaml in short.
func lifecycle(name string) string {
	return "apiVersion: gitops.keptn.sh/v1alpha1\nkind: Lifecycle\nmetadata: {name: " + name + "}\n"
}

// slo is an SLOPolicy in short.
func slo(name string) string {
	return "---\napiVersion: gitops.keptn.sh/v1alpha1\nkind: SLOPolicy\nmetadata: {name: " + name + "}\n" +
		"spec: {metrics: [{name: a, keptnMetric: {name: a}}], rules: [{name: r, expression: metrics.a < 1.0}]}\n"
}

// tree is a repository with Lifecycles and SLOPolicies in short.
func tree(archive string) fstest.MapFS {
	fsys := repository(archive)
	for name, f := range fsys {
		text := string(f.Data)
		for _, short := range []struct {
			mark string
			long func(string) string
		}{{"LIFECYCLE(", lifecycle}, {"SLO(", slo}} {
			for {
				before, rest, ok := strings.Cut(text, short.mark)
				if !ok {
					break
				}
				of, after, _ := strings.Cut(rest, ")")
				text = before + strings.TrimSuffix(short.long(of), "\n") + after
			}
		}
		fsys[name].Data = []byte(text)
	}
	return fsys
}

// lines are problems as an author reads them.
func lines(ps manifest.Problems) []string {
	var all []string
	for _, p := range ps {
		all = append(all, p.String())
	}
	return all
}

// head is the beginning of an object whose spec follows.
func head(kind string) string {
	return fmt.Sprintf("apiVersion: gitops.keptn.sh/v1alpha1\nkind: %s\nmetadata: {name: cart}\n", kind)
}

func example(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
