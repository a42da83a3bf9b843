package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/gate"
)

func TestUninstallTriesPodsWhereTheyAreGated(t *testing.T) {
	namespace := func(name string, annotations map[string]string) client.Object {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: annotations}}
	}
	enabled := map[string]string{lifecyclev1.NamespaceEnabledAnnotation: "enabled"}
	git := func(workloads string) map[string]string { return map[string]string{gate.GatedAnnotation: workloads} }
	cases := map[string]struct {
		reason     string
		namespaces []client.Object
		want       string // <namespace> <owner's kind>/<owner's name> <template's hash>
	}{
		"Enabled":     {"Every pod of the namespace is gated.", []client.Object{namespace("a", nil), namespace("b", enabled)}, "b ReplicaSet/keptnuninstall "},
		"Deployment":  {"Git names a workload, and no namespace asks for gates.", []client.Object{namespace("a", git(",Deployment/cart,DaemonSet/log,"))}, "a ReplicaSet/cart-keptnuninstall keptnuninstall"},
		"StatefulSet": {"Its pods are its own.", []client.Object{namespace("a", git(",StatefulSet/db,"))}, "a StatefulSet/db "},
		"LeftOut":     {"The binding leaves a namespace out.", []client.Object{namespace("free", enabled), namespace("gated", enabled)}, "gated ReplicaSet/keptnuninstall "},
		"Refused":     {"A namespace takes no such pod.", []client.Object{namespace("full", enabled), namespace("gated", enabled)}, "gated ReplicaSet/keptnuninstall "},
		"None":        {"Nobody asks for gates.", []client.Object{namespace("a", nil)}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := cluster(t, interceptor.Funcs{Create: func(_ context.Context, _ client.WithWatch, obj client.Object, _ ...client.CreateOption) error {
				pod := obj.(*corev1.Pod) //nolint:forcetypeassert // nothing else is created
				if pod.Namespace == "full" {
					return errors.New("exceeded quota")
				}
				if pod.Namespace != "free" {
					pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: lifecyclev1.SchedulingGate}}
				}
				return nil
			}}, tc.namespaces...)
			pod, err := (&uninstaller{Client: c}).canary(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if pod != nil {
				owner := pod.OwnerReferences[0]
				got = fmt.Sprintf("%s %s/%s %s", pod.Namespace, owner.Kind, owner.Name, pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey])
			}
			if got != tc.want {
				t.Errorf("%s: tried %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestUninstallOpensAGateThatAnotherAPIServerSetLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, looked := time.Now(), 0
		c := cluster(t, interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			err := c.List(ctx, list, opts...)
			if _, ok := list.(*corev1.PodList); ok {
				if looked++; looked == 1 {
					err = errors.Join(err, c.Create(ctx, gatedPod("shop", "late", lifecyclev1.SchedulingGate)))
				}
			}
			return err
		}})
		done, err := (&uninstaller{Client: c, settle: settle}).openGates(t.Context())
		if err != nil || len(done) != 1 || done[0] != "pod shop/late" {
			t.Errorf("opened %q: %v", done, err)
		}
		if took := time.Since(began); looked != 3 || took != 2*settle {
			t.Errorf("looked %d times in %s, want thrice with %s in between", looked, took, settle)
		}
	})
}
