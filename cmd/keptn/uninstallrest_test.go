package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

func TestUninstallEndsWhenTheNamespaceIsGone(t *testing.T) {
	cases := map[string]struct {
		reason string
		gone   time.Duration
		want   string
	}{
		"Late":  {"What is in it takes a while.", 20 * time.Second, "<nil>"},
		"Never": {"Something in it cannot be deleted.", time.Hour, "Namespace keptn-system is not gone yet, its status says why"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ns := &corev1.Namespace{ObjectMeta: ours("", system)}
				ns.Finalizers = []string{"example.com/slow"}
				c := cluster(t, interceptor.Funcs{}, ns)
				ended := make(chan error, 1)
				timer := time.AfterFunc(tc.gone, func() {
					err := c.Get(t.Context(), client.ObjectKeyFromObject(ns), ns)
					ns.Finalizers = nil
					ended <- errors.Join(err, c.Update(t.Context(), ns))
				})
				began := time.Now()
				done, err := (&uninstaller{Client: c, namespace: system}).removeNamespace(t.Context())
				if fmt.Sprint(done) != "[Namespace keptn-system]" || !strings.HasPrefix(fmt.Sprint(err), tc.want) {
					t.Errorf("%s: did %q: %v", tc.reason, done, err)
				}
				if took := time.Since(began); tc.want == "<nil>" && took < tc.gone {
					t.Errorf("%s: ended after %s", tc.reason, took)
				}
				if !timer.Stop() {
					if err := <-ended; err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

func TestUninstallLeavesANamespaceWithWhatIsToStay(t *testing.T) {
	plain := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: system}}
	source := &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "shop"}}
	cases := map[string]struct {
		reason  string
		objects []client.Object
		crds    bool
		want    string
	}{
		"Stranger": {"Somebody else made it.", []client.Object{plain}, true, "does not carry the label"},
		"Objects":  {"What is to stay would go with it.", []client.Object{&corev1.Namespace{ObjectMeta: ours("", system)}, source}, false, "kind GitSource"},
		"All":      {"With --crds nothing is to stay.", []client.Object{&corev1.Namespace{ObjectMeta: ours("", system)}, source}, true, "Namespace " + system},
		"None":     {"It is gone already.", nil, true, "[]"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			reports, code := uninstalled(t, cluster(t, interceptor.Funcs{}, c.objects...), c.crds)
			if got := fmt.Sprint(reports["remove the namespace"].Done); code != 0 || !strings.Contains(got, c.want) {
				t.Errorf("%s: exit code %d, it says %s", c.reason, code, got)
			}
		})
	}
}
