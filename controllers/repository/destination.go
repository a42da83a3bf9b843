package repository

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/githubapp"
)

// Keys of the Secret for statuses: a forge's token, the account that it belongs to, and
// the certificates that the forge's server is trusted by.
const (
	tokenKey    = "token"
	usernameKey = "username"
	caKey       = "ca.crt"
)

// A Destination is a place where the statuses of an origin's commits go.
type Destination struct {
	// Name tells it from others, see [Origin.ForgeName]: what was reported to one is not
	// known to another.
	Name string
	// Notes says that it keeps Git notes, which may hold lines that are no status, see
	// forge.Status.Line.
	Notes bool
	// Open opens the way to it. It reads a Secret, and asks nobody else.
	Open func(context.Context) (forge.Destination, error)
}

// Destinations are the places where the statuses of an origin's commits go: the forge,
// and Git notes where the provider has no statuses or they are asked for as well.
func (r *Repositories) Destinations(o Origin) []Destination {
	notes := Destination{Name: string(gitopsv1alpha1.GenericProvider) + " " + o.PublicURL(), Notes: true}
	notes.Open = func(ctx context.Context) (forge.Destination, error) { return r.openNotes(ctx, o, notes.Name) }
	if o.Provider == gitopsv1alpha1.GenericProvider {
		return []Destination{notes}
	}
	all := []Destination{{Name: o.ForgeName(), Open: func(ctx context.Context) (forge.Destination, error) { return r.Forge(ctx, o) }}}
	if o.Notes {
		all = append(all, notes)
	}
	return all
}

// ForgeName tells the repository at its forge from others, as "<provider> <url>", with the
// URL of the forge's API where that is set.
func (o Origin) ForgeName() string {
	return strings.TrimSuffix(string(o.Provider)+" "+o.PublicURL()+" "+o.APIURL, " ")
}

// Forge opens the forge of an origin: its statuses, and its pull requests. The provider
// generic has none, which is an error.
func (r *Repositories) Forge(ctx context.Context, o Origin) (forge.Destination, error) {
	if err := r.isPrivate(cmp.Or(o.APIURL, o.URL)); err != nil {
		return forge.Destination{}, err
	}
	target, err := r.access(ctx, o)
	if err != nil {
		return forge.Destination{}, err
	}
	target.Repository, target.API = o.URL, o.APIURL
	if o.Deployments {
		target.Deployments = o.Environment
	}
	to, err := forge.New(string(o.Provider), target)
	to.Name = o.ForgeName()
	return to, err
}

// isPrivate refuses the address of a forge where all could read the token on its way.
func (r *Repositories) isPrivate(address string) error {
	if strings.HasPrefix(address, "http://") && !r.store.TakesPlainHTTP() {
		return fmt.Errorf("%w: the forge's token would go over plain http for all to read; use https", ErrAddress)
	}
	return nil
}

// openNotes opens the repository as the place of its own Git notes. They are pushed with
// the Secret that the repository is read with, unless one to report with holds Git's keys.
func (r *Repositories) openNotes(ctx context.Context, o Origin, name string) (forge.Destination, error) {
	if o.Provider == gitopsv1alpha1.GenericProvider && o.Reporting.Name != "" {
		o.Source, o.Secret = types.NamespacedName{}, o.Reporting
	}
	store, err := r.Open(ctx, o)
	if err != nil {
		return forge.Destination{}, err
	}
	to, err := forge.New(forge.Generic, forge.Target{Repository: o.URL, Notes: store, Cluster: r.cluster})
	to.Name, to.Account = name, store.Account()
	return to, err
}

// access reads the forge's token and the account that it belongs to, or at GitHub the keys
// of an App, and the certificates that its server is trusted by, from the Secret for
// statuses.
func (r *Repositories) access(ctx context.Context, o Origin) (forge.Target, error) {
	secret, err := r.reporting(ctx, o)
	if err != nil {
		return forge.Target{}, err
	}
	target := forge.Target{Answers: r.answers, Pauses: r.pauses}
	token := strings.TrimSpace(string(secret.Data[tokenKey]))
	switch {
	case o.Provider == gitopsv1alpha1.GitHubProvider && githubapp.Named(secret.Data):
		app, err := githubapp.FromSecret(secret.Data)
		if err != nil {
			return forge.Target{}, fmt.Errorf("%w: Secret %q: %w", ErrSecret, secret.Name, err)
		}
		if err := r.isPrivate(strings.TrimSpace(string(secret.Data[githubapp.BaseURLKey]))); err != nil {
			return forge.Target{}, err
		}
		target.App, target.Tokens = &app, r.store.Tokens()
	case token == "":
		return forge.Target{}, fmt.Errorf("%w: Secret %q has nothing at the key %q", ErrNoCredentials, secret.Name, tokenKey)
	default:
		target.Token, target.Username = forge.Token(token), strings.TrimSpace(string(secret.Data[usernameKey]))
	}
	target.Client, err = r.client(ctx, secret, o.Proxy)
	return target, err
}

// reporting is the Secret to report to a forge with: the one for statuses, else the one
// that the repository is read with if an App's keys are in it.
func (r *Repositories) reporting(ctx context.Context, o Origin) (*corev1.Secret, error) {
	if o.Reporting.Name != "" {
		return r.secret(ctx, o.Reporting)
	}
	if o.Provider == gitopsv1alpha1.GitHubProvider && o.Secret.Name != "" {
		secret, err := r.secret(ctx, o.Secret)
		if err != nil || githubapp.Named(secret.Data) {
			return secret, err
		}
	}
	return nil, fmt.Errorf("%w: name a Secret with the key %q in spec.statuses.secretRef", ErrNoCredentials, tokenKey)
}

// client returns the HTTP client that trusts the Secret's certificates and goes through
// the proxy, one for all Secrets that hold the same ones.
func (r *Repositories) client(ctx context.Context, secret *corev1.Secret, proxyName types.NamespacedName) (*http.Client, error) {
	proxySecret, err := r.secret(ctx, proxyName)
	if err != nil {
		return nil, err
	}
	proxy, err := proxyOf(proxySecret)
	if err != nil {
		return nil, err
	}
	through, ca := proxy.URL(), secret.Data[caKey]
	key := fmt.Sprintf("%v %s", through, ca)
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.clients[key]; known != nil {
		return known, nil
	}
	made, err := forge.NewClient(ca, through, r.addresses)
	if err != nil {
		return nil, fmt.Errorf("%w: Secret %q, key %q: %w", ErrSecret, secret.Name, caKey, err)
	}
	r.clients[key] = made
	return made, nil
}
