// Package trust says who may govern what: a GitSource the namespaces that agree to
// it, and a Lifecycle the deliveries that are its own.
package trust

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// MayGovern says whether a source may govern a namespace: its own, or one that it
// targets and that agrees.
func MayGovern(ctx context.Context, r client.Reader, source *gitopsv1alpha1.GitSource, namespace string) (bool, error) {
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

// Belongs says whether a delivery is a Lifecycle's: what names it but was made by
// somebody else does not count. Owner references do not reach across namespaces;
// there it is the namespace's consent that counts.
func Belongs(ctx context.Context, r client.Reader, kav *lifecyclev1.KeptnAppVersion, lc *gitopsv1alpha1.Lifecycle, source *gitopsv1alpha1.GitSource) (bool, error) {
	if kav.Namespace == lc.Namespace {
		return metav1.IsControlledBy(kav, lc), nil
	}
	return MayGovern(ctx, r, source, kav.Namespace)
}

// Standing is what a delivery is to who walks it.
type Standing int

const (
	// Stranger: somebody else made it. It is left alone.
	Stranger Standing = iota
	// Member: it is a Lifecycle's, or a KeptnApp's.
	Member
	// Orphan: its Lifecycle is gone.
	Orphan
)

// StandingOf finds out what a delivery is: one of the Lifecycle that it names, or of
// the KeptnApp that owns it.
func StandingOf(ctx context.Context, r client.Reader, kav *lifecyclev1.KeptnAppVersion) (Standing, error) {
	ref := kav.Spec.Lifecycle
	if ref == nil {
		if owner := metav1.GetControllerOf(kav); owner != nil && owner.Kind == lifecyclev1.KeptnAppKind && kav.Spec.Commit == nil {
			return Member, nil
		}
		return Stranger, nil
	}
	if kav.Spec.Commit == nil {
		return Stranger, nil
	}
	var lc gitopsv1alpha1.Lifecycle
	err := r.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, &lc)
	if apierrors.IsNotFound(err) {
		return Orphan, nil
	}
	if err != nil {
		return Stranger, err
	}
	var source gitopsv1alpha1.GitSource
	err = r.Get(ctx, types.NamespacedName{Namespace: lc.Namespace, Name: lc.Labels[gitopsv1alpha1.SourceLabel]}, &source)
	if err != nil {
		return Stranger, client.IgnoreNotFound(err)
	}
	mine, err := Belongs(ctx, r, kav, &lc, &source)
	if err != nil || !mine {
		return Stranger, err
	}
	return Member, nil
}
