package stage

import (
	"context"
	"fmt"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ArgoNamespace is where Argo CD's Applications are.
const ArgoNamespace = "argocd"

// Flux, Helm and Argo are the part of the testbed that runs an applier, and a kind of it.
var (
	// Flux is there when a cluster knows Kustomizations.
	Flux = Applier{Part: "flux", kind: kustomizev1.GroupVersion.WithKind(kustomizev1.KustomizationKind)}
	// Helm is there when a cluster knows HelmReleases.
	Helm = Applier{Part: "helm", kind: schema.GroupVersionKind{Group: "helm.toolkit.fluxcd.io", Version: "v2", Kind: "HelmRelease"}}
	// Argo is there when a cluster knows Applications.
	Argo = Applier{Part: "argocd", kind: schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Application"}}
)

// Applier is what applies a repository to a cluster.
type Applier struct {
	// Part is what the testbed calls it: `up --with flux`.
	Part string
	kind schema.GroupVersionKind
}

// Has tells whether an applier is in the cluster.
func (c *Cluster) Has(a Applier) bool {
	_, err := c.RESTMapper().RESTMapping(a.kind.GroupKind(), a.kind.Version)
	return err == nil
}

// LookFlux has Flux look at the repository of a GitRepository now, as the webhook of a
// forge would.
func (c *Cluster) LookFlux(ctx context.Context, repository types.NamespacedName, token string) error {
	source := &sourcev1.GitRepository{ObjectMeta: metav1.ObjectMeta{Namespace: repository.Namespace, Name: repository.Name}}
	return c.annotate(ctx, source, meta.ReconcileRequestAnnotation, token)
}

// Suspend has Flux leave a Kustomization alone, or see to it again.
func (c *Cluster) Suspend(ctx context.Context, kustomization types.NamespacedName, suspended bool) error {
	k := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: kustomization.Namespace, Name: kustomization.Name}}
	patch := fmt.Sprintf(`{"spec":{"suspend":%t}}`, suspended)
	if err := c.Patch(ctx, k, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		return fmt.Errorf("suspend %s: %w", kustomization, err)
	}
	return nil
}

// LookArgo has Argo CD look at the repository of an Application now, as the webhook of a
// forge would.
func (c *Cluster) LookArgo(ctx context.Context, application string) error {
	return c.annotate(ctx, named(application), "argocd.argoproj.io/refresh", "normal")
}

// Application reads what Argo CD says of an Application.
func (c *Cluster) Application(ctx context.Context, application string) (*unstructured.Unstructured, error) {
	app := named(application)
	if err := c.Get(ctx, client.ObjectKeyFromObject(app), app); err != nil {
		return nil, fmt.Errorf("read what Argo CD says: %w", err)
	}
	return app, nil
}

// named is an Application that has a name alone.
func named(application string) *unstructured.Unstructured {
	app := &unstructured.Unstructured{}
	app.SetGroupVersionKind(Argo.kind)
	app.SetNamespace(ArgoNamespace)
	app.SetName(application)
	return app
}

func (c *Cluster) annotate(ctx context.Context, obj client.Object, name, value string) error {
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, name, value)
	if err := c.Patch(ctx, obj, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		return fmt.Errorf("ask for a look at %s: %w", obj.GetName(), err)
	}
	return nil
}
