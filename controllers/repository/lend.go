package repository

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/gitsource"
)

// A loan is what an object of Flux or Argo CD lends.
type loan struct {
	url    string
	refs   []gitsource.Ref
	secret types.NamespacedName
	proxy  types.NamespacedName
	paths  []string
	verify *gitopsv1alpha1.Verification
}

// Lender is the object that a source borrows from; false if it borrows from none.
func Lender(source *gitopsv1alpha1.GitSource) (kind string, name types.NamespacedName, borrows bool) {
	ref := source.Spec.SourceRef
	if ref == nil {
		return "", types.NamespacedName{}, false
	}
	return ref.Kind, types.NamespacedName{Namespace: cmp.Or(ref.Namespace, source.Namespace), Name: ref.Name}, true
}

// +kubebuilder:rbac:groups=source.toolkit.fluxcd.io,resources=gitrepositories;ocirepositories,verbs=get;list;watch
// +kubebuilder:rbac:groups=argoproj.io,resources=applications,verbs=get;list;watch

// borrow reads what a source borrows.
func (r *Repositories) borrow(ctx context.Context, source *gitopsv1alpha1.GitSource) (loan, error) {
	kind, name, _ := Lender(source)
	var lent loan
	var err error
	switch kind {
	case gitopsv1alpha1.GitRepositoryKind:
		repository := &sourcev1.GitRepository{}
		if err := r.lender(ctx, kind, name, source.Namespace, repository); err != nil {
			return loan{}, err
		}
		lent, err = ofGitRepository(repository, source)
	case gitopsv1alpha1.ApplicationKind:
		application := NewApplication()
		if err := r.lender(ctx, kind, name, source.Namespace, application); err != nil {
			return loan{}, err
		}
		lent, err = ofApplication(application, source)
	default:
		err = fmt.Errorf("%w: the kind %q is neither %s nor %s", ErrUnclear, kind, gitopsv1alpha1.GitRepositoryKind, gitopsv1alpha1.ApplicationKind)
	}
	if err == nil {
		err = checkURL(lent.url)
	}
	if err != nil {
		return loan{}, fmt.Errorf("%s %s: %w", kind, name, err)
	}
	return lent, nil
}

// lender reads the object to borrow from, if it agrees.
func (r *Repositories) lender(ctx context.Context, kind string, name types.NamespacedName, borrower string, obj client.Object) error {
	err := r.lenders.Get(ctx, name, obj)
	switch {
	case apimeta.IsNoMatchError(err):
		return fmt.Errorf("%w: the cluster has no kind %s: install what brings it, or give spec.url instead", ErrNoLender, kind)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%w: no %s %q in namespace %q: create it, or correct the reference", ErrNoLender, kind, name.Name, name.Namespace)
	case err != nil:
		return fmt.Errorf("read %s %s: %w", kind, name, err)
	case !agrees(obj, borrower):
		return fmt.Errorf("%w: %s %s does not agree: annotate it with %s: %s", ErrNotLent, kind, name, gitopsv1alpha1.AllowFromAnnotation, borrower)
	}
	return nil
}

// agrees says whether an object lets sources of a namespace borrow from it.
func agrees(obj client.Object, borrower string) bool {
	if obj.GetNamespace() == borrower {
		return true
	}
	for _, from := range strings.Split(obj.GetAnnotations()[gitopsv1alpha1.AllowFromAnnotation], ",") {
		if strings.TrimSpace(from) == borrower {
			return true
		}
	}
	return false
}

// ofGitRepository is what a GitRepository lends to a source: its Secrets only within the
// namespace, and nothing where the source would lack credentials or keys that are needed.
func ofGitRepository(g *sourcev1.GitRepository, source *gitopsv1alpha1.GitSource) (loan, error) {
	verify, err := ofFlux(g, source)
	if err != nil {
		return loan{}, err
	}
	lent := loan{url: g.Spec.URL, refs: []gitsource.Ref{fluxRef(g.Spec.Reference)}, verify: verify}
	if source.Spec.ProxySecretRef == nil {
		if lent.proxy, err = lendSecret(g, source, g.Spec.ProxySecretRef, "spec.proxySecretRef"); err != nil {
			return loan{}, err
		}
	}
	if source.Spec.SecretRef != nil {
		return lent, nil
	}
	switch g.Spec.Provider {
	case "", sourcev1.GitProviderGeneric, sourcev1.GitProviderGitHub: // all in a Secret
	default:
		return loan{}, fmt.Errorf("%w: the credentials of its provider %q cannot be lent: name a Secret in spec.secretRef", ErrSecret, g.Spec.Provider)
	}
	lent.secret, err = lendSecret(g, source, g.Spec.SecretRef, "spec.secretRef")
	return lent, err
}

// lendSecret is a Secret that a GitRepository lends to a source of its namespace; without
// a name it has none.
func lendSecret(g *sourcev1.GitRepository, source *gitopsv1alpha1.GitSource, ref *meta.LocalObjectReference, field string) (types.NamespacedName, error) {
	switch {
	case ref == nil:
		return types.NamespacedName{}, nil
	case g.Namespace != source.Namespace:
		return types.NamespacedName{}, fmt.Errorf("%w: its own, %q, is not lent to another namespace: name one of this namespace in %s", ErrSecret, ref.Name, field)
	}
	return types.NamespacedName{Namespace: g.Namespace, Name: ref.Name}, nil
}

// fluxRef is what Flux checks out: the branch master where nothing is said
// (https://fluxcd.io/flux/components/source/gitrepositories/#reference).
func fluxRef(ref *sourcev1.GitRepositoryRef) gitsource.Ref {
	if ref == nil || *ref == (sourcev1.GitRepositoryRef{}) {
		return gitsource.Ref{Branch: "master"}
	}
	return gitsource.Ref{Branch: ref.Branch, Tag: ref.Tag, SemVer: ref.SemVer, Name: ref.Name, Commit: ref.Commit}
}
