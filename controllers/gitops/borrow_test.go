package gitops

import (
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/repository"
)

func TestASourceIsWokenByWhatItIsLent(t *testing.T) {
	flux := &sourcev1.GitRepository{}
	flux.Spec.URL = "https://git/a"
	argo := repository.NewApplication()
	argo.Object["spec"] = map[string]any{"source": map[string]any{"repoURL": "https://git/a"}}
	cases := map[string]struct {
		reason string
		before client.Object
		change func(client.Object)
		want   bool
	}{
		"FluxRef": {"It lends another branch.", flux, func(o client.Object) {
			o.(*sourcev1.GitRepository).Spec.Reference = &sourcev1.GitRepositoryRef{Branch: "b"}
		}, true},
		"FluxSecret": {"It lends another Secret.", flux, func(o client.Object) {
			o.(*sourcev1.GitRepository).Spec.SecretRef = &meta.LocalObjectReference{Name: "s"}
		}, true},
		"FluxStatus": {"What Flux fetched is not what is lent.", flux, func(o client.Object) {
			o.(*sourcev1.GitRepository).Status.ObservedGeneration = 7
		}, false},
		"ArgoSource": {"It lends another repository.", argo, func(o client.Object) {
			_ = unstructured.SetNestedField(o.(*unstructured.Unstructured).Object, "https://git/b", "spec", "source", "repoURL")
		}, true},
		"ArgoStatus": {"Argo CD writes it often, and with it a new generation.", argo, func(o client.Object) {
			_ = unstructured.SetNestedField(o.(*unstructured.Unstructured).Object, "abc", "status", "sync", "revision")
			o.SetGeneration(8)
		}, false},
		"Consent": {"It lends to somebody else.", argo, func(o client.Object) {
			o.SetAnnotations(map[string]string{gitopsv1alpha1.AllowFromAnnotation: "shop"})
		}, true},
		"Refresh": {"Argo CD is asked to look, and not we.", argo, func(o client.Object) {
			o.SetAnnotations(map[string]string{"argocd.argoproj.io/refresh": "normal"})
		}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			after := tc.before.DeepCopyObject().(client.Object)
			tc.change(after)
			if got := lendsOtherwise().Update(event.UpdateEvent{ObjectOld: tc.before, ObjectNew: after}); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
	if p := lendsOtherwise(); !p.Create(event.CreateEvent{Object: flux}) || !p.Delete(event.DeleteEvent{Object: flux}) {
		t.Error("nobody is told of what comes and goes")
	}
}
