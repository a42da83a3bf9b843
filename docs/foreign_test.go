package docs_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/ext"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// foreign are the folders with the CustomResourceDefinitions of other projects.
var foreign = []string{"../controllers/evidence/testdata/crds", "testdata/crds"}

// foreignKinds reads the kinds of other projects, by apiVersion and kind.
func foreignKinds(t *testing.T) map[string]kind {
	t.Helper()
	kinds := map[string]kind{}
	for _, dir := range foreign {
		files, err := filepath.Glob(dir + "/*.yaml.gz")
		if err != nil || len(files) < 2 {
			t.Fatalf("%s has %q: %v", dir, files, err)
		}
		for _, file := range files {
			for _, object := range objects(t, file, unzip(t, file)) {
				text, err := yaml.Marshal(object)
				var definition apiextensionsv1.CustomResourceDefinition
				if err := errors.Join(err, yaml.Unmarshal(text, &definition)); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				for _, v := range definition.Spec.Versions {
					name := fmt.Sprintf("%s/%s %s", definition.Spec.Group, v.Name, definition.Spec.Names.Kind)
					kinds[name] = newKind(t, definition.Spec.Names, v.Schema.OpenAPIV3Schema)
				}
			}
		}
	}
	return kinds
}

func unzip(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return string(text)
}

func TestEveryObjectOfOthersIsWhatTheAPIServerAccepts(t *testing.T) {
	kinds := foreignKinds(t)
	// The CRDs of these cannot be had from where modules come.
	unknown := []string{
		"notification.toolkit.fluxcd.io/v1beta3 Provider", "notification.toolkit.fluxcd.io/v1beta3 Alert",
		"promoter.argoproj.io/v1alpha1 WebRequestCommitStatus",
	}
	seen := map[string]bool{}
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language != "yaml" {
				continue
			}
			for _, object := range objects(t, p.file, b.text) {
				name := fmt.Sprint(object["apiVersion"], " ", object["kind"])
				k, known := kinds[name]
				if known {
					seen[name] = true
					for _, problem := range k.refuse(t, object) {
						t.Errorf("%s: %s: %s", p.file, name, problem)
					}
				} else if (strings.Contains(name, "fluxcd.io/") || strings.Contains(name, "argoproj.io/") || strings.Contains(name, "flagger.app/")) && !slices.Contains(unknown, name) {
					t.Errorf("%s shows a %s, which is not known", p.file, name)
				}
			}
		}
	}
	for _, name := range []string{
		"source.toolkit.fluxcd.io/v1 GitRepository", "kustomize.toolkit.fluxcd.io/v1 Kustomization", "helm.toolkit.fluxcd.io/v2 HelmRelease",
		"argoproj.io/v1alpha1 Application", "argoproj.io/v1alpha1 AnalysisTemplate", "flagger.app/v1beta1 Canary",
	} {
		if !seen[name] {
			t.Errorf("no page shows a %s", name)
		}
	}
}

func TestEveryObjectOfKubernetesHasItsFieldsOnly(t *testing.T) {
	decoded := map[string]int{}
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language != "yaml" || b.marked("broken") {
				continue
			}
			for _, object := range objects(t, p.file, b.text) {
				text, err := yaml.Marshal(object)
				if err != nil {
					t.Fatal(err)
				}
				typed := builtIn(object)
				if typed == nil {
					continue
				}
				decoded[fmt.Sprint(object["kind"])]++
				if err := yaml.UnmarshalStrict(text, typed); err != nil {
					t.Errorf("%s: %s: %v", p.file, object["kind"], err)
				}
			}
		}
	}
	for _, kind := range []string{"Deployment", "Job", "NetworkPolicy"} {
		if decoded[kind] == 0 {
			t.Errorf("no page shows a %s", kind)
		}
	}
}

// builtIn is an empty object of the same kind; nil if that is none of Kubernetes' own.
func builtIn(object map[string]any) any {
	for gvk := range scheme.Scheme.AllKnownTypes() {
		if gvk.GroupVersion().String() == object["apiVersion"] && gvk.Kind == object["kind"] {
			typed, err := scheme.Scheme.New(gvk)
			if err == nil {
				return typed
			}
		}
	}
	return nil
}

// first finds the first object of a kind on a page.
func first[T any](t *testing.T, p page, kind string) (v T) {
	t.Helper()
	found := false
	for _, b := range p.blocks {
		if b.language != "yaml" {
			continue
		}
		for _, object := range objects(t, p.file, b.text) {
			if found || object["kind"] != kind {
				continue
			}
			found = true
			text, err := yaml.Marshal(object)
			if err := errors.Join(err, yaml.Unmarshal(text, &v)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !found {
		t.Fatalf("%s shows no %s", p.file, kind)
	}
	return v
}

func TestTheNetworkPolicyIsOfTheControllersPorts(t *testing.T) {
	p := first[networkingv1.NetworkPolicy](t, readPage(t, "http.md"), "NetworkPolicy")
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../config/default")
	if err != nil {
		t.Fatal(err)
	}
	var d appsv1.Deployment
	for _, r := range resources.Resources() {
		if r.GetKind() == "Deployment" {
			if err := yaml.Unmarshal([]byte(r.MustYaml()), &d); err != nil {
				t.Fatal(err)
			}
		}
	}
	if p.Namespace != d.Namespace {
		t.Errorf("the policy is for namespace %q, the controller in %q", p.Namespace, d.Namespace)
	}
	for name, value := range p.Spec.PodSelector.MatchLabels {
		if got := d.Spec.Template.Labels[name]; got != value {
			t.Errorf("the policy selects pods with %s=%s, the controller's have %q", name, value, got)
		}
	}
	open := map[int32]bool{}
	for _, rule := range p.Spec.Ingress {
		for _, port := range rule.Ports {
			open[port.Port.IntVal] = len(rule.From) == 0
		}
	}
	for _, port := range d.Spec.Template.Spec.Containers[0].Ports {
		everyone, listed := open[port.ContainerPort]
		if !listed {
			t.Errorf("the policy closes port %d (%s) for all", port.ContainerPort, port.Name)
		}
		if want := port.Name != "keptn-metrics"; everyone != want {
			t.Errorf("port %d (%s) is open for all: %t", port.ContainerPort, port.Name, everyone)
		}
	}
}

// folder renders a folder of Git that a page shows; files are shown below prefix.
func folder(t *testing.T, p page, prefix, dir string, change func(file, text string) string) resmap.ResMap {
	t.Helper()
	fs := filesys.MakeFsInMemory()
	for _, at := range []string{"", prefix} {
		for _, b := range p.blocks {
			file, below := strings.CutPrefix(b.file(), at)
			if !below || path.Dir(file) != dir {
				continue
			}
			if err := fs.WriteFile(file, []byte(change(file, b.text))); err != nil {
				t.Fatal(err)
			}
		}
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, dir)
	if err != nil {
		t.Fatal(err)
	}
	return resources
}

func TestTheJobOfFluxIsAnotherOneForEachThatIsDelivered(t *testing.T) {
	p := readPage(t, "flux.md")
	job := func(from, to string) string {
		found := false
		resources := folder(t, p, "verdict/", "apps/checkout", func(_, text string) string {
			found = found || strings.Contains(text, from)
			return strings.ReplaceAll(text, from, to)
		})
		if !found {
			t.Fatalf("no file has %q", from)
		}
		var maps []string
		var j batchv1.Job
		for _, r := range resources.Resources() {
			if r.GetKind() == "ConfigMap" {
				maps = append(maps, r.GetName())
			}
			if r.GetKind() == "Job" {
				if err := yaml.UnmarshalStrict([]byte(r.MustYaml()), &j); err != nil {
					t.Fatal(err)
				}
			}
		}
		env := j.Spec.Template.Spec.Containers[0].Env
		i := slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.ValueFrom != nil })
		if i < 0 || !slices.Contains(maps, env[i].ValueFrom.ConfigMapKeyRef.Name) {
			t.Fatalf("the Job's variables %v name none of the ConfigMaps %q", env, maps)
		}
		return j.Spec.Template.String()
	}
	ran := job("1.4.0", "1.4.0")
	if again := job("1.4.0", "1.4.0"); again != ran {
		t.Error("the Job is another one though nothing has changed")
	}
	for _, change := range [][2]string{{"1.4.0", "1.5.0"}, {"progressDeadlineSeconds: 1800", "progressDeadlineSeconds: 900"}} {
		if job(change[0], change[1]) == ran {
			t.Errorf("with %s the Job is the same, and Flux would not run it again", change[1])
		}
	}
}

// TestTheHealthOfALifecycleIsThatOfWhatRuns evaluates the expression as Flux does: see
// https://github.com/fluxcd/pkg/blob/main/runtime/cel/expression.go.
func TestTheHealthOfALifecycleIsThatOfWhatRuns(t *testing.T) {
	env, err := cel.NewEnv(cel.HomogeneousAggregateLiterals(), cel.EagerlyValidateDeclarations(true), cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), ext.Strings(), ext.Sets(), ext.Encoders())
	if err != nil {
		t.Fatal(err)
	}
	var current cel.Program
	for _, b := range readPage(t, "flux.md").blocks {
		if b.language != "yaml" || !strings.Contains(b.text, "healthCheckExprs") {
			continue
		}
		var k struct {
			Spec struct {
				HealthCheckExprs []struct{ Current, Failed string }
			}
		}
		if err := yaml.Unmarshal([]byte(b.text), &k); err != nil {
			t.Fatal(err)
		}
		ast, issues := env.Parse(k.Spec.HealthCheckExprs[0].Current)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		if current, err = env.Program(ast); err != nil {
			t.Fatal(err)
		}
	}
	if current == nil {
		t.Fatal("flux.md shows no expression")
	}
	cases := map[string]struct {
		reason         string
		ready, matched string
		want           bool
	}{
		"Passed":      {"What runs is known, and passed.", "True", "True", true},
		"Progressing": {"It is being judged.", "Unknown", "True", false},
		"Searching":   {"What passed is the commit before.", "True", "Unknown", false},
		"Unmatched":   {"Nobody knows what runs.", "True", "False", false},
		"Failed":      {"It was bad.", "False", "True", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			conditions := []any{
				map[string]any{"type": "Matched", "status": tc.matched}, map[string]any{"type": "Ready", "status": tc.ready},
				map[string]any{"type": "Reported", "status": "True"},
			}
			got, _, err := current.Eval(map[string]any{"status": map[string]any{"conditions": conditions}})
			if err != nil || got.Value() != tc.want {
				t.Errorf("%s\ngot %v, %v", tc.reason, got, err)
			}
		})
	}
	if got, _, err := current.Eval(map[string]any{"metadata": map[string]any{}}); err == nil {
		t.Errorf("a Lifecycle that nobody has looked at is %v; an error has Flux wait", got)
	}
}
