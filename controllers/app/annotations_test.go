package app_test

import (
	"fmt"
	"hash/fnv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/app"
	"github.com/keptn/gitops/controllers/workload"
)

// keys are annotations or labels.
type keys = map[string]string

// seen is a Deployment with a template.
func seen(owner, template metav1.ObjectMeta, containers ...corev1.Container) *workload.Workload {
	return &workload.Workload{
		Kind: workload.Deployment, Namespace: "shop", Name: "d",
		Template: corev1.PodTemplateSpec{ObjectMeta: template, Spec: corev1.PodSpec{Containers: containers}},
		Object:   &appsv1.Deployment{ObjectMeta: owner},
	}
}

func annotations(k keys) metav1.ObjectMeta { return metav1.ObjectMeta{Annotations: k} }

func labels(k keys) metav1.ObjectMeta { return metav1.ObjectMeta{Labels: k} }

func TestTheAnnotationsOfAWorkloadAreReadInKeptnsOrder(t *testing.T) {
	none := metav1.ObjectMeta{}
	full := keys{"keptn.sh/workload": "cart", "keptn.sh/app": "shop", "keptn.sh/version": "1.0"}
	minimal := app.Said{App: "shop", Workload: "cart", Version: "1.0"}
	with := func(change func(*app.Said)) app.Said {
		said := minimal
		change(&said)
		return said
	}
	cases := map[string]struct {
		reason          string
		owner, template metav1.ObjectMeta
		want            app.Said
	}{
		"Template":      {"This is how Keptn is used.", none, annotations(full), minimal},
		"Labels":        {"Labels do, too.", none, labels(full), minimal},
		"Recommended":   {"So do the labels that Kubernetes recommends.", none, labels(keys{"app.kubernetes.io/name": "cart", "app.kubernetes.io/part-of": "shop", "app.kubernetes.io/version": "1.0"}), minimal},
		"Primary":       {"A label of Keptn's goes before an annotation that Kubernetes recommends.", none, metav1.ObjectMeta{Labels: full, Annotations: keys{"app.kubernetes.io/name": "other", "app.kubernetes.io/part-of": "other", "app.kubernetes.io/version": "2"}}, minimal},
		"Annotation":    {"An annotation goes before a label.", none, metav1.ObjectMeta{Annotations: full, Labels: keys{"keptn.sh/workload": "other", "keptn.sh/version": "2"}}, minimal},
		"Empty":         {"What is empty is not there.", none, metav1.ObjectMeta{Annotations: keys{"keptn.sh/workload": ""}, Labels: full}, minimal},
		"Owner":         {"The workload itself may have them.", annotations(full), none, minimal},
		"OwnerFirst":    {"Then what it says goes before what the template says, which may add to it.", annotations(full), annotations(keys{"keptn.sh/version": "2", "keptn.sh/pre-deployment-tasks": "a"}), with(func(s *app.Said) { s.PreDeploymentTasks = []string{"a"} })},
		"TemplateFirst": {"Where the template names the workload, the workload itself has no say.", annotations(keys{"keptn.sh/workload": "other", "keptn.sh/pre-deployment-tasks": "a"}), annotations(full), minimal},
		"NoApp":         {"A workload without an app is one.", none, annotations(keys{"keptn.sh/workload": "cart", "keptn.sh/version": "1.0"}), with(func(s *app.Said) { s.App, s.Single = "cart", true })},
		"NamesOfApps":   {"The name of an app is one of an object.", none, annotations(keys{"keptn.sh/workload": "cart", "keptn.sh/app": "My_Shop", "keptn.sh/version": "1.0"}), with(func(s *app.Said) { s.App = "my-shop" })},
		"LowerCase":     {"Versions are in lower case, and stay what they are besides.", none, annotations(keys{"keptn.sh/workload": "cart", "keptn.sh/app": "shop", "keptn.sh/version": "V1.0_RC+1"}), with(func(s *app.Said) { s.Version = "v1.0_rc+1" })},
		"Lists": {"Lists may have spaces, and gaps.", none, annotations(keys{
			"keptn.sh/workload": "cart", "keptn.sh/app": "shop", "keptn.sh/version": "1.0",
			"keptn.sh/pre-deployment-tasks": "a, b,,", "keptn.sh/post-deployment-tasks": " c ",
			"keptn.sh/pre-deployment-evaluations": "d,e", "keptn.sh/post-deployment-evaluations": ",",
			"keptn.sh/metadata": "k=v, k2 = v2,no,two=a=b,=x,empty=",
		}), with(func(s *app.Said) {
			s.Checks = lifecyclev1.Checks{PreDeploymentTasks: []string{"a", "b"}, PostDeploymentTasks: []string{"c"}, PreDeploymentEvaluations: []string{"d", "e"}}
			s.Metadata = map[string]string{"k": "v", "k2": "v2", "empty": ""}
		})},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := seen(tc.owner, tc.template)
			got, err := app.Read(w)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
			if !app.Managed(w) {
				t.Error("it is not managed")
			}
		})
	}
}

func TestAWorkloadThatIsNotNamedIsLeftAlone(t *testing.T) {
	named := keys{"keptn.sh/workload": "cart"}
	bare := seen(annotations(named), metav1.ObjectMeta{})
	bare.Kind, bare.Object = workload.ReplicaSet, &appsv1.ReplicaSet{ObjectMeta: annotations(named)}
	one := corev1.Container{Name: "main", Image: "cart:1"}
	cases := map[string]struct {
		reason string
		w      *workload.Workload
		why    string
	}{
		"Nothing":      {"It says nothing.", seen(metav1.ObjectMeta{}, metav1.ObjectMeta{}, one), "neither the pod template nor the workload"},
		"OnlyVersion":  {"A version names nothing.", seen(metav1.ObjectMeta{}, annotations(keys{"keptn.sh/version": "1", "keptn.sh/app": "shop"}), one), "neither the pod template nor the workload"},
		"ReplicaSet":   {"A ReplicaSet is read by its template alone.", bare, "neither the pod template nor the workload"},
		"NoContainer":  {"The version is to come from a container that is not there.", seen(metav1.ObjectMeta{}, annotations(keys{"keptn.sh/workload": "cart", "keptn.sh/container": "web"}), one), `names the container "web"`},
		"NotTheOnly":   {"Neither is it among several.", seen(metav1.ObjectMeta{}, annotations(keys{"keptn.sh/workload": "cart", "keptn.sh/container": "web"}), one, corev1.Container{Name: "b", Image: "b:1"}), `names the container "web"`},
		"OwnersChoice": {"Nor where the workload itself names it.", seen(annotations(keys{"keptn.sh/workload": "cart", "keptn.sh/container": "web"}), metav1.ObjectMeta{}, one), `names the container "web"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := app.Read(tc.w)
			if err == nil || !strings.Contains(err.Error(), tc.why) {
				t.Errorf("%s\ngot %v, want %q", tc.reason, err, tc.why)
			}
			if app.Managed(tc.w) {
				t.Error("it is managed")
			}
		})
	}
}

func TestTheVersionOfAWorkloadIsFound(t *testing.T) {
	sha := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	c := func(name, image string, env ...corev1.EnvVar) corev1.Container {
		return corev1.Container{Name: name, Image: image, Env: env}
	}
	all := func(containers ...corev1.Container) []corev1.Container { return containers }
	cases := map[string]struct {
		reason     string
		container  string
		containers []corev1.Container
		want       string
	}{
		"OnlyOne":     {"The image of the only container has a tag.", "", all(c("c", "nginx:1.25")), "1.25"},
		"Named":       {"Of several containers the named one's tag is the version.", "b", all(c("a", "a:1"), c("b", "b:2")), "2"},
		"Port":        {"A registry's port is no tag.", "", all(c("c", "reg:5000/nginx:1.25")), "1.25"},
		"PortAlone":   {"Nor is it without a tag: the hash is Keptn's.", "", all(c("c", "reg:5000/nginx")), fnv1a("creg:5000/nginx")},
		"Digest":      {"A digest is a version where there is no tag.", "", all(c("c", "nginx@"+sha)), "0123456789ab"},
		"TagFirst":    {"A tag goes before it.", "", all(c("c", "nginx:1.25@"+sha)), "1.25"},
		"LatestSha":   {"But for latest, which is no version.", "", all(c("c", "nginx:latest@"+sha)), "0123456789ab"},
		"UpperCase":   {"Versions are in lower case.", "", all(c("c", "nginx:V1.0-RC1")), "v1.0-rc1"},
		"Latest":      {"Latest alone is no version.", "", all(c("c", "nginx:latest")), fnv1a("cnginx:latest")},
		"NamedLatest": {"Neither is it of the named container: the hash is over all of them.", "b", all(c("a", "a:1"), c("b", "b:latest")), fnv1a("aa:1bb:latest")},
		"Several":     {"Of several containers none speaks for all.", "", all(c("a", "a:1"), c("b", "b:2")), fnv1a("aa:1bb:2")},
		"Environment": {"What they are told counts.", "", all(c("a", "a:1", corev1.EnvVar{Name: "K", Value: "v"}), c("b", "b:2")), fnv1a("aa:1Kvbb:2")},
		"Broken":      {"What is no image has no version.", "", all(c("c", "NGINX:1")), fnv1a("cNGINX:1")},
		"None":        {"There is nothing.", "", nil, fnv1a("")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := app.Read(seen(metav1.ObjectMeta{}, annotations(keys{"keptn.sh/workload": "cart", "keptn.sh/container": tc.container}), tc.containers...))
			if err != nil {
				t.Fatal(err)
			}
			if got.Version != tc.want {
				t.Errorf("%s\ngot %q, want %q", tc.reason, got.Version, tc.want)
			}
		})
	}
}

// fnv1a is FNV-1a of a text, in decimal.
func fnv1a(text string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(text))
	return fmt.Sprint(h.Sum32())
}

func TestTheHashOfContainersIsKeptns(t *testing.T) {
	// Keptn gives nginx:1.25 in a container c this version where no container is named.
	got := app.HashOf([]corev1.Container{{Name: "c", Image: "nginx:1.25"}})
	if want := "505296562"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
