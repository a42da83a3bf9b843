// Package repository opens what a GitSource names: its Git repository with the
// credentials of its Secret, and the forge that its commits are reported to. It
// remembers what commits hold, and decides nothing.
package repository

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/check"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/manifest"
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

// ErrSecret is wrapped by errors about a Secret that is missing or unusable.
var ErrSecret = errors.New("secret cannot be used")

// ErrAddress is wrapped by errors about a URL that cannot be used, or not with
// the credentials there are.
var ErrAddress = errors.New("url cannot be used")

// Repositories opens repositories and forges. It is safe for concurrent use.
type Repositories struct {
	secrets client.Reader
	store   *gitsource.Store
	cluster string

	mu       sync.Mutex
	handles  map[types.NamespacedName]handle
	heads    map[types.NamespacedName]head
	clients  map[string]*http.Client
	found    *lru.Cache
	rendered *lru.Cache
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
	url, secretVersion string
	repository         *gitsource.Repository
}

// New returns Repositories that keep Git's objects in store and read Secrets
// through secrets, which should not cache: a rotated secret counts at once.
// Cluster names this cluster in Git notes.
func New(secrets client.Reader, store *gitsource.Store, cluster string) *Repositories {
	return &Repositories{
		secrets:  secrets,
		store:    store,
		cluster:  cluster,
		handles:  map[types.NamespacedName]handle{},
		heads:    map[types.NamespacedName]head{},
		clients:  map[string]*http.Client{},
		found:    lru.New(rememberedTrees),
		rendered: lru.New(rememberedFolders),
	}
}

// Open returns the repository of a source. It asks nothing of the remote. The
// same handle is returned until the URL or the Secret changes.
func (r *Repositories) Open(ctx context.Context, source *gitopsv1alpha1.GitSource) (*gitsource.Repository, error) {
	var name string
	if source.Spec.SecretRef != nil {
		name = source.Spec.SecretRef.Name
	}
	secret, err := r.secret(ctx, source.Namespace, name)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.handles[client.ObjectKeyFromObject(source)]
	if h.repository != nil && h.url == source.Spec.URL && h.secretVersion == secret.ResourceVersion {
		return h.repository, nil
	}
	opened, err := r.open(source.Spec.URL, secret)
	if err != nil {
		return nil, err
	}
	r.handles[client.ObjectKeyFromObject(source)] = handle{url: source.Spec.URL, secretVersion: secret.ResourceVersion, repository: opened}
	return opened, nil
}

// Forget drops what is kept for a source that is gone.
func (r *Repositories) Forget(source types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.handles, source)
	delete(r.heads, source)
}

func (r *Repositories) open(url string, secret *corev1.Secret) (*gitsource.Repository, error) {
	auth, err := gitsource.AuthFromSecret(url, secret.Data)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSecret, secret.Name, err)
	}
	opened, err := r.store.Repository(gitsource.Remote{URL: url, Auth: auth})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAddress, err)
	}
	return opened, nil
}

// secret reads a Secret; without a name it is empty.
func (r *Repositories) secret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	var secret corev1.Secret
	if name == "" {
		return &secret, nil
	}
	err := r.secrets.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w: no Secret %q in namespace %q: create it, or take the reference away", ErrSecret, name, namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s/%s: %w", namespace, name, err)
	}
	return &secret, nil
}

// Head returns the apps of the newest commit of a source, as far as they are
// below its paths.
func (r *Repositories) Head(ctx context.Context, repo *gitsource.Repository, commit string, source *gitopsv1alpha1.GitSource) (*manifest.Found, error) {
	name, key := client.ObjectKeyFromObject(source), foundKey(commit, source)
	r.mu.Lock()
	known := r.heads[name]
	r.mu.Unlock()
	if known.key == key {
		return known.found, nil
	}
	found, err := r.Found(ctx, repo, commit, source)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.heads[name] = head{key, found}
	r.mu.Unlock()
	return found, nil
}

func foundKey(commit string, source *gitopsv1alpha1.GitSource) string {
	return fmt.Sprintf("%s %s %q", source.Spec.URL, commit, source.Spec.Paths)
}

// Found returns the apps of any commit, as far as they are below the paths of the
// source.
func (r *Repositories) Found(ctx context.Context, repo *gitsource.Repository, commit string, source *gitopsv1alpha1.GitSource) (*manifest.Found, error) {
	key := foundKey(commit, source)
	if found, ok := r.found.Get(key); ok {
		return found.(*manifest.Found), nil //nolint:forcetypeassert // nothing else is put in
	}
	found, err := check.Tree(ctx, repo.Tree(ctx, commit), source.Spec.Paths)
	if err != nil {
		return nil, fmt.Errorf("find lifecycles at %s: %w", commit, err)
	}
	r.found.Add(key, found)
	for i := range found.Apps {
		if app := &found.Apps[i]; !app.Problems.HasErrors() {
			r.rendered.Add(renderKey(source.Spec.URL, commit, app.Path), outcome{rendered: app.Rendered})
		}
	}
	return found, nil
}

// Rendered returns the workloads that a folder renders to at a commit. What the
// author did wrong is an error that wraps manifest.Problems; what it depends on
// is known even then.
func (r *Repositories) Rendered(ctx context.Context, repo *gitsource.Repository, url, commit, folder string) (*manifest.Rendered, error) {
	key := renderKey(url, commit, folder)
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
// whoever applies the same file.
func CopyName(source *gitopsv1alpha1.GitSource, name string) string {
	return source.Name + "-" + name
}
