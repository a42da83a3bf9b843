// Package repository finds out which repository a GitSource means, which may be
// borrowed from an object of Flux or Argo CD, and opens it: Git with the credentials
// of its Secret, and the places that its commits are reported to. It remembers what
// commits hold, and decides nothing about them. It never changes what it borrows from.
package repository

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/check"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/manifest"
	"github.com/keptn/gitops/outbound"
)

// How much of what commits hold is kept in memory, over all sources: trees with
// all their apps, and folders as they render.
const (
	rememberedTrees   = 32
	rememberedFolders = 512
)

// SourceIndex is the field index of what was read from Git by its GitSource, as
// namespace/name.
const SourceIndex = "source"

// A Getter reads one object. A kind that the cluster does not have is an error of
// package k8s.io/apimachinery/pkg/api/meta, see its IsNoMatchError.
type Getter interface {
	Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error
}

// Repositories opens repositories and forges. It is safe for concurrent use.
type Repositories struct {
	secrets Getter
	lenders Getter
	store   *gitsource.Store
	cluster string
	// addresses are those that forges may have.
	addresses outbound.Addresses
	// answers are those of all forges, and pauses those that they have asked for.
	answers *forge.Answers
	pauses  *forge.Pauses

	mu       sync.Mutex
	handles  map[types.NamespacedName]handle
	heads    map[types.NamespacedName]head
	clients  map[string]*http.Client
	found    *lru.Cache
	rendered *lru.Cache
	// keys are those of Secrets, by their versions, and signers are whose signatures count.
	keys    *lru.Cache
	signers *lru.Cache
	now     func() time.Time
}

// head is what was found at the newest commit of a source: it is looked at with
// every poll, and kept as long as the source.
type head struct {
	key   string
	found *manifest.Found
}

// outcome is how rendering went: what was rendered, or the author's mistakes.
type outcome struct {
	rendered *manifest.Rendered
	err      error
}

// handle is an opened repository, and what it was opened with.
type handle struct {
	url, secrets string
	timeout      time.Duration
	repository   *gitsource.Repository
}

// New returns Repositories that keep Git's objects in store and read Secrets
// through secrets, which should not cache: a rotated secret counts at once. Objects of
// Flux and Argo CD are read through lenders. Cluster names this cluster in Git notes; forges are
// reached at the given addresses.
func New(secrets, lenders Getter, store *gitsource.Store, cluster string, addresses outbound.Addresses) *Repositories {
	return &Repositories{
		secrets:   secrets,
		lenders:   lenders,
		store:     store,
		cluster:   cluster,
		addresses: addresses,
		answers:   forge.NewAnswers(),
		pauses:    forge.NewPauses(time.Now),
		handles:   map[types.NamespacedName]handle{},
		heads:     map[types.NamespacedName]head{},
		clients:   map[string]*http.Client{},
		found:     lru.New(rememberedTrees),
		rendered:  lru.New(rememberedFolders),
		keys:      lru.New(rememberedKeys),
		signers:   lru.New(rememberedSignatures),
		now:       time.Now,
	}
}

// Open returns the repository of an origin. It asks nothing of the remote. The same handle
// is returned until the URL, the timeout or a Secret changes; of an origin that is of no
// GitSource nothing is kept.
func (r *Repositories) Open(ctx context.Context, o Origin) (*gitsource.Repository, error) {
	secret, err := r.secret(ctx, o.Secret)
	if err != nil {
		return nil, err
	}
	proxy, err := r.secret(ctx, o.Proxy)
	if err != nil {
		return nil, err
	}
	if o.Source.Name == "" {
		return r.open(o, secret, proxy)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.handles[o.Source]
	secrets := versionOf(secret) + " " + versionOf(proxy)
	if h.repository != nil && h.url == o.URL && h.timeout == o.Timeout && h.secrets == secrets {
		return h.repository, nil
	}
	opened, err := r.open(o, secret, proxy)
	if err != nil {
		return nil, err
	}
	r.handles[o.Source] = handle{url: o.URL, timeout: o.Timeout, secrets: secrets, repository: opened}
	return opened, nil
}

// versionOf tells a Secret from others and from its former self.
func versionOf(secret *corev1.Secret) string { return secret.Name + "/" + secret.ResourceVersion }

// Forget drops what is kept for a source that is gone.
func (r *Repositories) Forget(source types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.handles, source)
	delete(r.heads, source)
}

func (r *Repositories) open(o Origin, secret, proxySecret *corev1.Secret) (*gitsource.Repository, error) {
	auth, err := gitsource.AuthFromSecret(o.URL, secret.Data)
	switch {
	case err != nil && secret.Name == "":
		return nil, fmt.Errorf("%w: %w: name the Secret in spec.secretRef", ErrSecret, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %s: %w", ErrSecret, secret.Name, err)
	}
	proxy, err := proxyOf(proxySecret)
	if err != nil {
		return nil, err
	}
	opened, err := r.store.Repository(gitsource.Remote{URL: o.URL, Auth: auth, Proxy: proxy, Timeout: o.Timeout})
	switch {
	case errors.Is(err, gitsource.ErrDisk):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrAddress, err)
	}
	return opened, nil
}

// proxyOf reads the Secret of a proxy; one without a name is none.
func proxyOf(secret *corev1.Secret) (gitsource.Proxy, error) {
	if secret.Name == "" {
		return gitsource.Proxy{}, nil
	}
	proxy, err := gitsource.ProxyFromSecret(secret.Data)
	if err != nil {
		return gitsource.Proxy{}, fmt.Errorf("%w: %s: %w", ErrSecret, secret.Name, err)
	}
	return proxy, nil
}

// secret reads a Secret; without a name it is empty.
func (r *Repositories) secret(ctx context.Context, name types.NamespacedName) (*corev1.Secret, error) {
	var secret corev1.Secret
	if name.Name == "" {
		return &secret, nil
	}
	err := r.secrets.Get(ctx, name, &secret)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w: no Secret %q in namespace %q: create it, or take the reference away", ErrSecret, name.Name, name.Namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", name, err)
	}
	return &secret, nil
}

// Head returns the apps of the newest commit of an origin, as far as they are below
// its paths, if the commit is verified, see [Repositories.Verify].
func (r *Repositories) Head(ctx context.Context, repo *gitsource.Repository, commit string, o Origin) (*manifest.Found, error) {
	if _, err := r.Verify(ctx, repo, o, commit); err != nil {
		return nil, err
	}
	key := foundKey(commit, o)
	r.mu.Lock()
	known := r.heads[o.Source]
	r.mu.Unlock()
	if known.key == key {
		return known.found, nil
	}
	found, err := r.Found(ctx, repo, commit, o)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.heads[o.Source] = head{key, found}
	r.mu.Unlock()
	return found, nil
}

func foundKey(commit string, o Origin) string {
	return fmt.Sprintf("%s %s %q", o.URL, commit, o.Paths)
}

// Found returns the apps of any commit, as far as they are below the paths of the
// origin, if the commit is verified, see [Repositories.Verify].
func (r *Repositories) Found(ctx context.Context, repo *gitsource.Repository, commit string, o Origin) (*manifest.Found, error) {
	if _, err := r.Verify(ctx, repo, o, commit); err != nil {
		return nil, err
	}
	key := foundKey(commit, o)
	if found, ok := r.found.Get(key); ok {
		return found.(*manifest.Found), nil //nolint:forcetypeassert // nothing else is put in
	}
	found, err := check.Tree(ctx, repo.Tree(ctx, commit), o.Paths)
	if err != nil {
		return nil, fmt.Errorf("find lifecycles at %s: %w", commit, err)
	}
	r.found.Add(key, found)
	for i := range found.Apps {
		if app := &found.Apps[i]; !app.Problems.HasErrors() {
			r.rendered.Add(renderKey(o.URL, commit, app.Path), outcome{rendered: app.Rendered})
		}
	}
	return found, nil
}

// Rendered returns the workloads that a folder renders to at a commit, if the commit is
// verified, see [Repositories.Verify]. What the author did wrong is an error that wraps
// manifest.Problems; what it depends on is known even then.
func (r *Repositories) Rendered(ctx context.Context, repo *gitsource.Repository, o Origin, commit, folder string) (*manifest.Rendered, error) {
	if _, err := r.Verify(ctx, repo, o, commit); err != nil {
		return nil, err
	}
	return r.Recognized(ctx, repo, o, commit, folder)
}

// Recognized is what [Repositories.Rendered] returns, of a commit that need not be
// verified: to recognise by it what runs, and not to do what it says.
func (r *Repositories) Recognized(ctx context.Context, repo *gitsource.Repository, o Origin, commit, folder string) (*manifest.Rendered, error) {
	key := renderKey(o.URL, commit, folder)
	if known, ok := r.rendered.Get(key); ok {
		o := known.(outcome) //nolint:forcetypeassert // nothing else is put in
		return o.rendered, o.err
	}
	rendered, err := manifest.Render(ctx, repo.Tree(ctx, commit), folder, manifest.Limits{})
	var problems manifest.Problems
	if err == nil || errors.As(err, &problems) {
		r.rendered.Add(key, outcome{rendered, err})
	}
	return rendered, err
}

func renderKey(url, commit, folder string) string {
	return fmt.Sprintf("%s %s %q", url, commit, folder)
}

// CopyName is the name of the copy of an object that a source read from Git: two
// sources of one repository do not get in each other's way, nor in that of
// whoever applies the same file. It is not unique: sources shop and shop-eu may both
// have a copy shop-eu-cart. Whoever has it keeps it.
func CopyName(source *gitopsv1alpha1.GitSource, name string) string {
	return source.Name + "-" + name
}
