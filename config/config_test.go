package config_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

func TestPodsFulfilPodSecurityRestricted(t *testing.T) {
	checks, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, dir := range []string{
		"default", "shard", "../examples/checkout/deploy",
		"../examples/monorepo/apps/cart/overlays/production", "../examples/monorepo/apps/search/overlays/staging",
	} {
		for _, d := range find[appsv1.Deployment](t, dir, "Deployment") {
			for _, result := range checks.EvaluatePod(restricted, &d.Spec.Template.ObjectMeta, &d.Spec.Template.Spec) {
				if !result.Allowed {
					t.Errorf("%s: Deployment %s: %s: %s", dir, d.Name, result.ForbiddenReason, result.ForbiddenDetail)
				}
			}
		}
	}
}

func TestTheNamespaceRefusesPodsThatAreNotRestricted(t *testing.T) {
	ns := one[corev1.Namespace](t, "Namespace")
	if got := ns.Labels[api.EnforceLevelLabel]; got != string(api.LevelRestricted) {
		t.Errorf("namespace %s enforces %q", ns.Name, got)
	}
}

func TestTheControllerRunsOnAReadOnlyFileSystem(t *testing.T) {
	pod := one[appsv1.Deployment](t, "Deployment").Spec.Template.Spec
	c := pod.Containers[0]
	if s := c.SecurityContext; s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
		t.Error("the root file system can be written to")
	}
	for _, need := range []string{"/data", "/tmp"} {
		if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == need }) {
			t.Errorf("nothing is mounted at %s, where the controller writes", need)
		}
	}
	for _, v := range pod.Volumes {
		if v.Name == "data" && v.EmptyDir.SizeLimit.IsZero() {
			t.Error("copies of repositories could fill the node: data has no size limit")
		}
	}
}

func TestTheControllerListensWhereProbesAndPrometheusLook(t *testing.T) {
	d := one[appsv1.Deployment](t, "Deployment")
	c := d.Spec.Template.Spec.Containers[0]
	ports := map[string]string{}
	for _, p := range c.Ports {
		ports[p.Name] = fmt.Sprint(p.ContainerPort)
	}
	for flag, port := range map[string]string{
		"--metrics-bind-address": ports["metrics"], "--health-probe-bind-address": ports["health"],
		"--keptn-metrics-bind-address": ports["keptn-metrics"], "--custom-metrics-bind-address": ports["custom-metrics"],
	} {
		if want := flag + "=:" + port; !slices.Contains(c.Args, want) {
			t.Errorf("args %q lack %s", c.Args, want)
		}
	}
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
		if got := p.HTTPGet.Port.String(); got != "health" {
			t.Errorf("%s is looked for at port %s", p.HTTPGet.Path, got)
		}
	}
	var served []string
	for _, service := range find[corev1.Service](t, "default", "Service") {
		for _, p := range service.Spec.Ports {
			served = append(served, p.TargetPort.String())
			if ports[p.TargetPort.String()] == "" {
				t.Errorf("the Service %s leads to port %s, which the controller does not have", service.Name, p.TargetPort.String())
			}
		}
		for name, value := range service.Spec.Selector {
			if got := d.Spec.Template.Labels[name]; got != value {
				t.Errorf("the Service %s selects pods with %s=%s, the controller's have %q", service.Name, name, value, got)
			}
		}
	}
	if !slices.Contains(served, "metrics") {
		t.Errorf("no Service leads to the controller's metrics, only to %q", served)
	}
	if got := d.Spec.Template.Annotations["prometheus.io/port"]; got != ports["metrics"] {
		t.Errorf("Prometheus is sent to port %s", got)
	}
}

func TestAShardHasNoPortThatNothingListensAt(t *testing.T) {
	for _, d := range find[appsv1.Deployment](t, "shard", "Deployment") {
		var ports []string
		for _, p := range d.Spec.Template.Spec.Containers[0].Ports {
			ports = append(ports, p.Name)
		}
		if diff := cmp.Diff([]string{"metrics", "health"}, ports); diff != "" {
			t.Errorf("%s (-want +got):\n%s", d.Name, diff)
		}
		for _, service := range find[corev1.Service](t, "shard", "Service") {
			for _, p := range service.Spec.Ports {
				if !slices.Contains(ports, p.TargetPort.String()) {
					t.Errorf("the Service %s leads to port %s", service.Name, p.TargetPort.String())
				}
			}
			if diff := cmp.Diff(d.Spec.Selector.MatchLabels, service.Spec.Selector); diff != "" {
				t.Errorf("the Service %s selects others (-pods +selected):\n%s", service.Name, diff)
			}
		}
	}
}

func TestTheControllerRunsAsTheAccountThatRolesAreBoundTo(t *testing.T) {
	d := one[appsv1.Deployment](t, "Deployment")
	want := []rbacv1.Subject{{Kind: "ServiceAccount", Name: d.Spec.Template.Spec.ServiceAccountName, Namespace: d.Namespace}}
	var roles []string
	for _, b := range find[rbacv1.ClusterRoleBinding](t, "default", "ClusterRoleBinding") {
		if diff := cmp.Diff(want, b.Subjects); diff != "" {
			t.Errorf("%s (-want +got):\n%s", b.Name, diff)
		}
		roles = append(roles, b.RoleRef.Name)
	}
	for _, b := range find[rbacv1.RoleBinding](t, "default", "RoleBinding") {
		if diff := cmp.Diff(want, b.Subjects); diff != "" {
			t.Errorf("%s (-want +got):\n%s", b.Name, diff)
		}
		if b.Namespace != d.Namespace && b.Name != inKubeSystem {
			t.Errorf("%s is in namespace %s, the lease in %s", b.Name, b.Namespace, d.Namespace)
		}
		roles = append(roles, b.RoleRef.Name)
	}
	slices.Sort(roles)
	bound := []string{
		"extension-apiserver-authentication-reader", "keptn-custom-metrics", "keptn-custom-metrics",
		"keptn-gitops", "keptn-leader-election", "system:auth-delegator",
	}
	if diff := cmp.Diff(bound, roles); diff != "" {
		t.Errorf("bound roles (-want +got):\n%s", diff)
	}
	if names := clusterRoles(t); !slices.Contains(names, "keptn-gitops") {
		t.Errorf("the bound role keptn-gitops is not among %q", names)
	}
}

func TestNobodyIsGivenTheRecordsOfDeliveriesToEdit(t *testing.T) {
	reading := []string{"get", "list", "watch"}
	records := []string{"*", "keptnappversions", "keptnworkloads", "keptnworkloadversions", "keptnevaluations"}
	for _, role := range find[rbacv1.ClusterRole](t, "default", "ClusterRole") {
		if _, forUsers := role.Labels["rbac.authorization.k8s.io/aggregate-to-admin"]; !forUsers {
			continue
		}
		for _, rule := range role.Rules {
			for _, verb := range rule.Verbs {
				if !slices.Contains(rule.APIGroups, "lifecycle.keptn.sh") || slices.Contains(reading, verb) {
					continue
				}
				if slices.ContainsFunc(rule.Resources, func(r string) bool { return slices.Contains(records, strings.Split(r, "/")[0]) }) {
					t.Errorf("%s lets people %s %q", role.Name, verb, rule.Resources)
				}
			}
		}
	}
}

func TestTheCustomMetricsAPILeadsToAPortOfTheController(t *testing.T) {
	ports := map[string]string{}
	for _, service := range find[corev1.Service](t, "default", "Service") {
		for _, p := range service.Spec.Ports {
			ports[fmt.Sprintf("%s/%s:%d", service.Namespace, service.Name, p.Port)] = p.TargetPort.String()
		}
	}
	for _, object := range render(t, "default") {
		if object.kind != "APIService" {
			continue
		}
		var api struct {
			Spec struct {
				Service struct {
					Namespace, Name string
					Port            int
				}
			}
		}
		if err := yaml.Unmarshal(object.text, &api); err != nil {
			t.Fatal(err)
		}
		to := api.Spec.Service
		if got := ports[fmt.Sprintf("%s/%s:%d", to.Namespace, to.Name, to.Port)]; got != "custom-metrics" {
			t.Errorf("%s leads to %+v, there to port %q", object.name, to, got)
		}
	}
	if got := ports["keptn-system/metrics-operator-service:9999"]; got != "keptn-metrics" {
		t.Errorf("the address in Keptn's ScaledObjects leads to port %q", got)
	}
}

func TestTheCustomMetricsAPICanBeLeftOut(t *testing.T) {
	for _, dir := range []string{"rbac", "manager"} {
		for _, object := range render(t, dir) {
			if strings.Contains(string(object.text), "custom-metrics") {
				t.Errorf("%s %s is of custom metrics, and not in their component", object.kind, object.name)
			}
		}
	}
}

func TestEveryReferenceToTheNamespaceIsTheSame(t *testing.T) {
	ns := one[corev1.Namespace](t, "Namespace").Name
	for _, dir := range []string{"default", "prometheus"} {
		for _, object := range render(t, dir) {
			if got := object.namespace; got != "" && got != ns && object.name != inKubeSystem {
				t.Errorf("%s: %s %s is in namespace %s, the installation in %s", dir, object.kind, object.name, got, ns)
			}
		}
	}
}

// inKubeSystem lets the controller know the API server. The role that it binds is
// Kubernetes' own, and in kube-system.
const inKubeSystem = "keptn-custom-metrics-authentication-reader"

func clusterRoles(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, role := range find[rbacv1.ClusterRole](t, "default", "ClusterRole") {
		names = append(names, role.Name)
	}
	return names
}

// An object is one that a kustomization renders.
type object struct {
	kind, namespace, name string
	text                  []byte
}

// render runs a kustomization as kubectl does.
func render(t *testing.T, dir string) []object {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	var objects []object
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		objects = append(objects, object{r.GetKind(), r.GetNamespace(), r.GetName(), text})
	}
	return objects
}

// find reads every object of a kind; a field that the kind does not have is an error.
func find[T any](t *testing.T, dir, kind string) []T {
	t.Helper()
	var found []T
	for _, o := range render(t, dir) {
		if o.kind != kind {
			continue
		}
		var v T
		if err := yaml.UnmarshalStrict(o.text, &v); err != nil {
			t.Fatalf("%s: %s %s: %v", dir, kind, o.name, err)
		}
		found = append(found, v)
	}
	if len(found) == 0 {
		t.Fatalf("%s renders no %s", dir, kind)
	}
	return found
}

// one is the only object of its kind in the installation.
func one[T any](t *testing.T, kind string) T {
	t.Helper()
	found := find[T](t, "default", kind)
	if len(found) != 1 {
		t.Fatalf("the installation has %d objects of kind %s", len(found), kind)
	}
	return found[0]
}
