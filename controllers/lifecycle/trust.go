package lifecycle

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// mayGovern says whether a source may govern a namespace: its own, or one that it
// targets and that agrees.
func mayGovern(ctx context.Context, r client.Reader, source *gitopsv1alpha1.GitSource, namespace string) (bool, error) {
	if namespace == source.Namespace {
		return true, nil
	}
	if !slices.Contains(source.Spec.TargetNamespaces, namespace) {
		return false, nil
	}
	var ns corev1.Namespace
	if err := r.Get(ctx, types.NamespacedName{Name: namespace}, &ns); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	for _, from := range strings.Split(ns.Annotations[gitopsv1alpha1.AllowFromAnnotation], ",") {
		if strings.TrimSpace(from) == source.Namespace {
			return true, nil
		}
	}
	return false, nil
}

// belongs says whether a delivery is a Lifecycle's: what names it but was made by
// somebody else does not count. Owner references do not reach across namespaces;
// there it is the namespace's consent that counts.
func belongs(ctx context.Context, r client.Reader, kav *lifecyclev1.KeptnAppVersion, lc *gitopsv1alpha1.Lifecycle, source *gitopsv1alpha1.GitSource) (bool, error) {
	if kav.Namespace == lc.Namespace {
		return metav1.IsControlledBy(kav, lc), nil
	}
	return mayGovern(ctx, r, source, kav.Namespace)
}
