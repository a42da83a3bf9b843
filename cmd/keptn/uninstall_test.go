package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers"
	"github.com/keptn/gitops/controllers/gate"
)

const system = "keptn-system"

// ours is the metadata of what config/default installs.
func ours(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: partOf}
}

func gatedPod(namespace, name string, gates ...string) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for _, gate := range gates {
		pod.Spec.SchedulingGates = append(pod.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: gate})
	}
	return pod
}

func untyped(group, kind, name string, spec map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	u.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: "v1", Kind: kind})
	u.SetName(name)
	u.SetLabels(partOf)
	return u
}

func apiService(name, namespace string) client.Object {
	return untyped("apiregistration.k8s.io", "APIService", name, map[string]any{"service": map[string]any{"namespace": namespace}})
}

func crd(name, group string) client.Object {
	return untyped("apiextensions.k8s.io", "CustomResourceDefinition", name, map[string]any{"group": group})
}

// installed is a cluster with Keptn in it, and things of others.
func installed() []client.Object {
	shop := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: map[string]string{
		lifecyclev1.NamespaceEnabledAnnotation: "enabled", gate.ReleasedAnnotation: ",a,", gate.GatedAnnotation: ",Deployment/cart,",
	}}}
	return []client.Object{
		&admissionv1.MutatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: gate.PolicyName}},
		&admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: gate.PolicyName}},
		&admissionv1.ValidatingAdmissionPolicy{ObjectMeta: ours("", "keptn-controller-pods")},
		shop, gatedPod("shop", "cart", "theirs", lifecyclev1.SchedulingGate), gatedPod("other", "db", lifecyclev1.SchedulingGate), gatedPod("other", "foreign", "theirs"),
		&corev1.Namespace{ObjectMeta: ours("", system)},
		&appsv1.Deployment{ObjectMeta: ours(system, "keptn-controller")},
		&appsv1.Deployment{ObjectMeta: ours("shop", "an-app-called-keptn")},
		&corev1.Service{ObjectMeta: ours(system, "keptn-metrics")},
		&corev1.ServiceAccount{ObjectMeta: ours(system, "keptn-controller")},
		&rbacv1.ClusterRole{ObjectMeta: ours("", "keptn-gitops")},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "view"}},
		&rbacv1.RoleBinding{ObjectMeta: ours("kube-system", "keptn-custom-metrics-authentication-reader")},
		apiService("v1beta1.custom.metrics.k8s.io", system), apiService("v1.theirs", "elsewhere"),
		crd("gitsources.gitops.keptn.sh", "gitops.keptn.sh"), crd("others.example.com", "example.com"),
	}
}

// cluster makes a client of a cluster with objects.
func cluster(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) client.Client {
	t.Helper()
	scheme, err := controllers.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(funcs).
		WithIndex(&corev1.Pod{}, "spec.nodeName", func(obj client.Object) []string { return []string{obj.(*corev1.Pod).Spec.NodeName} }). //nolint:forcetypeassert // as it is registered
		Build()
}

func uninstalled(t *testing.T, c client.Client, crds bool) (reports map[string]stepReport, code int) {
	t.Helper()
	var out bytes.Buffer
	flags := uninstallFlags{format: formatJSON}
	err := flags.uninstall(t.Context(), &uninstaller{Client: c, namespace: system, crds: crds}, &out)
	if exit := exitCode(0); errors.As(err, &exit) {
		code = int(exit)
	}
	var list []stepReport
	if err := json.Unmarshal(out.Bytes(), &list); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	reports = map[string]stepReport{}
	for _, r := range list {
		reports[r.Step] = r
	}
	return reports, code
}

func exists(t *testing.T, c client.Client, obj client.Object) bool {
	t.Helper()
	live := &unstructured.Unstructured{}
	gvk, err := c.GroupVersionKindFor(obj)
	if err != nil {
		t.Fatal(err)
	}
	live.SetGroupVersionKind(gvk)
	err = c.Get(t.Context(), client.ObjectKeyFromObject(obj), live)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return err == nil
}

func TestUninstallTakesOutWhatWasInstalledAndNothingElse(t *testing.T) {
	for _, crds := range []bool{false, true} {
		c := cluster(t, interceptor.Funcs{}, installed()...)
		reports, code := uninstalled(t, c, crds)
		if code != 0 {
			t.Fatalf("exit code %d: %+v", code, reports)
		}
		stay := map[string]bool{
			"shop": true, "cart": true, "db": true, "foreign": true, "an-app-called-keptn": true, "view": true,
			"v1.theirs": true, "others.example.com": true, "gitsources.gitops.keptn.sh": !crds,
		}
		for _, obj := range installed() {
			if got := exists(t, c, obj); got != stay[obj.GetName()] {
				t.Errorf("with --crds=%t %T %s is there: %t", crds, obj, obj.GetName(), got)
			}
		}
		want := map[string][]string{"cart": {"theirs"}, "db": nil, "foreign": {"theirs"}}
		var pods corev1.PodList
		if err := c.List(t.Context(), &pods); err != nil {
			t.Fatal(err)
		}
		for _, pod := range pods.Items {
			var gates []string
			for _, g := range pod.Spec.SchedulingGates {
				gates = append(gates, g.Name)
			}
			if diff := cmp.Diff(want[pod.Name], gates); diff != "" {
				t.Errorf("gates of %s (-want +got):\n%s", pod.Name, diff)
			}
		}
		ns := &corev1.Namespace{}
		if err := c.Get(t.Context(), client.ObjectKey{Name: "shop"}, ns); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{lifecyclev1.NamespaceEnabledAnnotation: "enabled"}, ns.Annotations); diff != "" {
			t.Errorf("annotations of the namespace (-want +got):\n%s", diff)
		}
	}
}

func TestUninstallCanBeRunAgain(t *testing.T) {
	c := cluster(t, interceptor.Funcs{}, installed()...)
	for range 2 {
		if reports, code := uninstalled(t, c, true); code != 0 {
			t.Fatalf("exit code %d: %+v", code, reports)
		}
	}
	reports, _ := uninstalled(t, c, true)
	for step, r := range reports {
		if len(r.Done) > 0 && step != "remove the annotations of namespaces" {
			t.Errorf("%s has done something where nothing was left: %q", step, r.Done)
		}
	}
}

func TestUninstallGatesNothingBeforeItOpensGatesAndTheControllerGoesAfter(t *testing.T) {
	var order []string
	note := func(obj client.Object, verb string) {
		kind := obj.GetObjectKind().GroupVersionKind().Kind
		if _, ok := obj.(*corev1.Pod); ok {
			kind = "Pod"
		}
		switch kind {
		case "MutatingAdmissionPolicyBinding", "Pod", "Deployment", "Namespace":
			if entry := verb + " " + kind; len(order) == 0 || order[len(order)-1] != entry {
				order = append(order, entry)
			}
		}
	}
	tries := 0
	c := cluster(t, interceptor.Funcs{
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			note(obj, "delete")
			return c.Delete(ctx, obj, opts...)
		},
		Create: func(_ context.Context, _ client.WithWatch, obj client.Object, _ ...client.CreateOption) error {
			note(obj, "try")
			if pod, ok := obj.(*corev1.Pod); ok && tries < 2 { // before, and for a moment after, the API server gates
				pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: lifecyclev1.SchedulingGate}}
			}
			tries++
			return nil
		},
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			note(obj, "open")
			return c.Patch(ctx, obj, patch, opts...)
		},
	}, installed()...)
	if reports, code := uninstalled(t, c, false); code != 0 {
		t.Fatalf("exit code %d: %+v", code, reports)
	}
	want := []string{"try Pod", "delete MutatingAdmissionPolicyBinding", "try Pod", "open Pod", "delete Deployment", "delete Namespace"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if tries != 3 {
		t.Errorf("tried %d times whether pods are gated, want once before, and then until they are not", tries)
	}
}

func TestUninstallGoesOnWhereItMayNotUnlessPodsWouldWaitForEver(t *testing.T) {
	refused := func(resource string) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", errors.New(`User "me" may not`))
	}
	list := func(kind string) interceptor.Funcs {
		return interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if gvk, err := c.GroupVersionKindFor(list); err != nil || strings.TrimSuffix(gvk.Kind, "List") == kind {
				return errors.Join(err, refused(strings.ToLower(kind)+"s"))
			}
			return c.List(ctx, list, opts...)
		}}
	}
	remove := func(kind string) interceptor.Funcs {
		return interceptor.Funcs{Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			if obj.GetObjectKind().GroupVersionKind().Kind == kind {
				return refused(strings.ToLower(kind))
			}
			return c.Delete(ctx, obj, opts...)
		}}
	}
	cases := map[string]struct {
		reason string
		funcs  interceptor.Funcs
		step   string
		stays  bool // the controller
	}{
		"Pods":   {"Pods that keep their gate need the controller.", list("Pod"), "remove the gates of pods", true},
		"Policy": {"Pods that are gated need it as well.", remove("MutatingAdmissionPolicyBinding"), "gate no pod any more", true},
		"Annotations": {"What can be found out about namespaces decides nothing.", interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if _, ok := obj.(*corev1.Namespace); ok {
				return refused("namespaces")
			}
			return c.Patch(ctx, obj, patch, opts...)
		}}, "remove the annotations of namespaces", false},
		"Rights": {"Roles that stay harm nobody.", list("ClusterRole"), "remove what it was allowed to do", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := cluster(t, tc.funcs, installed()...)
			reports, code := uninstalled(t, c, false)
			got := reports[tc.step].Error
			if code != exitError || !strings.Contains(got, `User "me" may not`) || !strings.Contains(got, "cluster administrator") {
				t.Errorf("%s: exit code %d, and it says %q", tc.reason, code, got)
			}
			if strings.Contains(got, "nothing else is taken out") != tc.stays {
				t.Errorf("%s: of the rest it says %q", tc.reason, got)
			}
			if exists(t, c, &appsv1.Deployment{ObjectMeta: ours(system, "keptn-controller")}) != tc.stays {
				t.Errorf("%s: the controller is not as it should be", tc.reason)
			}
		})
	}
}

func TestUninstallAsksBeforeItChangesAnything(t *testing.T) {
	t.Setenv("KUBECONFIG", folder(t, map[string]string{"config": `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
contexts: [{name: c, context: {cluster: c, user: ""}}]
current-context: c
`})+"/config")
	if _, stderr, code := keptn(t, "uninstall"); code != exitError || !strings.Contains(stderr, "--yes") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, stderr, code := keptn(t, "uninstall", "--yes", "-o", "yaml"); code != exitError || !strings.Contains(stderr, "text or json") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	stdout, _, code := keptn(t, "uninstall", "--yes")
	if code != exitError || strings.Count(stdout, "\n") != 1 || !strings.HasPrefix(stdout, "failed gate no pod any more") || !strings.Contains(stdout, "127.0.0.1:1") {
		t.Errorf("of a cluster that cannot be reached: exit code %d: %s", code, stdout)
	}
}
