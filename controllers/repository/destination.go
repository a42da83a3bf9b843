package repository

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
)

// Keys of the Secret for statuses: a forge's token, and the certificates that
// its server is trusted by.
const (
	tokenKey = "token"
	caKey    = "ca.crt"
)

// ErrNoCredentials: the source does not say how to report to its forge.
var ErrNoCredentials = errors.New("no token to report with")

// Destination returns where the statuses of a source's commits go.
func (r *Repositories) Destination(ctx context.Context, source *gitopsv1alpha1.GitSource) (forge.Destination, error) {
	statuses := source.Spec.Statuses
	if statuses == nil {
		statuses = &gitopsv1alpha1.Statuses{}
	}
	target := forge.Target{Repository: source.Spec.URL, API: statuses.APIURL, Cluster: r.cluster}
	var err error
	if source.Spec.Provider == gitopsv1alpha1.GenericProvider || source.Spec.Provider == "" {
		target.Notes, err = r.notes(ctx, source, statuses)
	} else {
		target.Token, target.Client, err = r.token(ctx, source.Namespace, statuses)
	}
	if err != nil {
		return forge.Destination{}, err
	}
	to, err := forge.New(string(source.Spec.Provider), target)
	to.Name = DestinationName(source)
	return to, err
}

// DestinationName tells where the statuses of a source's commits go, as
// "<provider> <url>", with the URL of the forge's API where that is set.
func DestinationName(source *gitopsv1alpha1.GitSource) string {
	url, err := gitsource.PublicURL(source.Spec.URL)
	if err != nil {
		url = "" // it is no destination, which Destination says
	}
	name := string(cmp.Or(source.Spec.Provider, gitopsv1alpha1.GenericProvider)) + " " + url
	if s := source.Spec.Statuses; s != nil && s.APIURL != "" {
		name += " " + s.APIURL
	}
	return name
}

// token reads the forge's token, and the certificates that its server is
// trusted by, from the Secret for statuses.
func (r *Repositories) token(ctx context.Context, namespace string, statuses *gitopsv1alpha1.Statuses) (forge.Token, *http.Client, error) {
	if statuses.SecretRef == nil {
		return "", nil, fmt.Errorf("%w: name a Secret with the key %q in spec.statuses.secretRef", ErrNoCredentials, tokenKey)
	}
	secret, err := r.secret(ctx, namespace, statuses.SecretRef.Name)
	if err != nil {
		return "", nil, err
	}
	token := strings.TrimSpace(string(secret.Data[tokenKey]))
	if token == "" {
		return "", nil, fmt.Errorf("%w: Secret %q has nothing at the key %q", ErrNoCredentials, secret.Name, tokenKey)
	}
	client, err := r.client(secret)
	if err != nil {
		return "", nil, fmt.Errorf("%w: Secret %q, key %q: %w", ErrSecret, secret.Name, caKey, err)
	}
	return forge.Token(token), client, nil
}

// client returns the HTTP client that trusts the Secret's certificates, one for
// all Secrets that hold the same ones.
func (r *Repositories) client(secret *corev1.Secret) (*http.Client, error) {
	ca := secret.Data[caKey]
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.clients[string(ca)]; known != nil {
		return known, nil
	}
	made, err := forge.NewClient(ca)
	if err != nil {
		return nil, err
	}
	r.clients[string(ca)] = made
	return made, nil
}

// notes opens the repository as the place of its own Git notes.
func (r *Repositories) notes(ctx context.Context, source *gitopsv1alpha1.GitSource, statuses *gitopsv1alpha1.Statuses) (forge.NoteStore, error) {
	if statuses.SecretRef == nil {
		return r.Open(ctx, source)
	}
	secret, err := r.secret(ctx, source.Namespace, statuses.SecretRef.Name)
	if err != nil {
		return nil, err
	}
	return r.open(source.Spec.URL, secret)
}

// ContextPrefix is what the contexts of a source's statuses begin with:
// <prefix>/<environment>.
func ContextPrefix(source *gitopsv1alpha1.GitSource) string {
	prefix := "keptn"
	if s := source.Spec.Statuses; s != nil && s.ContextPrefix != "" {
		prefix = s.ContextPrefix
	}
	return prefix + "/" + source.Spec.Environment
}
