// Package provider asks the metrics providers of a cluster: it finds a
// KeptnMetricsProvider and its Secrets, and hands the query to the fabric that all
// consumers share. It judges no answer and writes nothing.
package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/fabric"
)

// A NotFoundError is a KeptnMetricsProvider that does not exist.
type NotFoundError struct{ types.NamespacedName }

// Error says where it is missed.
func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no KeptnMetricsProvider %q in namespace %q: create it there", e.Name, e.Namespace)
}

const (
	// secretAge is how long a Secret that was read is taken as current, unless a
	// provider refuses it.
	secretAge = 10 * time.Second
	// refusedAge is how long one is whose credentials a provider refuses, or that was
	// not there.
	refusedAge = time.Second
	// maxSecrets is how many are remembered.
	maxSecrets = 1024
)

// Options say what providers may be reached, and how.
type Options struct {
	// Addresses that providers may have.
	Addresses outbound.Addresses
	// Ambient lets providers of a cloud use the identity of the controller.
	Ambient bool
}

// Providers asks the providers of a cluster. It is safe for concurrent use.
type Providers struct {
	reader  client.Reader
	fabric  *fabric.Fabric
	clock   clock.PassiveClock
	options Options
	secrets *lru.Cache[types.NamespacedName, secret]
}

// A secret is a Secret as it was read, or that it was not there.
type secret struct {
	data    connect.Secret
	missing bool
	read    time.Time
}

// New returns what asks providers through the fabric. The reader should cache
// KeptnMetricsProviders, and never Secrets.
func New(r client.Reader, f *fabric.Fabric, c clock.PassiveClock, o Options) (*Providers, error) {
	secrets, err := lru.New[types.NamespacedName, secret](maxSecrets)
	if err != nil {
		return nil, fmt.Errorf("make the cache of secrets: %w", err)
	}
	return &Providers{reader: r, fabric: f, clock: c, options: o, secrets: secrets}, nil
}

// +kubebuilder:rbac:groups=metrics.keptn.sh,resources=keptnmetricsproviders,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get

// Query asks the named KeptnMetricsProvider. Where it refuses the credentials, and
// others have taken their place in the Secret since, it is asked once more. Errors
// are those of package metric, and *NotFoundError.
func (p *Providers) Query(ctx context.Context, key types.NamespacedName, q metric.Query) (metric.Result, error) {
	server, err := p.server(ctx, key, secretAge)
	if err != nil {
		return metric.Result{}, err
	}
	result, err := p.fabric.Query(ctx, server, q)
	if !errors.Is(err, metric.ErrUnauthorized) {
		return result, err
	}
	fresh, freshErr := p.server(ctx, key, refusedAge)
	if freshErr != nil || equality.Semantic.DeepEqual(server, fresh) {
		return result, err
	}
	return p.fabric.Query(ctx, fresh, q)
}

// Instant is the time to ask about at now, which all share that ask within the
// tolerance of each other.
func (p *Providers) Instant(now time.Time, tolerance time.Duration) time.Time {
	return p.fabric.Instant(now, tolerance)
}

func (p *Providers) find(ctx context.Context, key types.NamespacedName) (*metricsv1.KeptnMetricsProvider, error) {
	var found metricsv1.KeptnMetricsProvider
	err := p.reader.Get(ctx, key, &found)
	if apierrors.IsNotFound(err) {
		return nil, &NotFoundError{key}
	}
	if err != nil {
		return nil, fmt.Errorf("KeptnMetricsProvider %s: %w", key, err)
	}
	return &found, nil
}

// server is the provider with all that it takes to reach it.
func (p *Providers) server(ctx context.Context, key types.NamespacedName, age time.Duration) (connect.Server, error) {
	found, err := p.find(ctx, key)
	if err != nil {
		return connect.Server{}, err
	}
	s := connect.Server{Spec: found.Spec, Addresses: p.options.Addresses, Ambient: p.options.Ambient}
	ref := found.Spec.SecretKeyRef
	optional := ref.Optional != nil && *ref.Optional
	if s.Secret, err = p.secret(ctx, key.Namespace, ref.Name, optional, age); err != nil {
		return s, fmt.Errorf("KeptnMetricsProvider %q: %w", key.Name, err)
	}
	if ref := found.Spec.CertSecretRef; ref != nil {
		if s.Certificates, err = p.secret(ctx, key.Namespace, ref.Name, false, age); err != nil {
			return s, fmt.Errorf("KeptnMetricsProvider %q: %w", key.Name, err)
		}
	}
	return s, nil
}

// secret is the data of a Secret, nil where no name is given or an optional one
// is not there.
func (p *Providers) secret(ctx context.Context, namespace, name string, optional bool, age time.Duration) (connect.Secret, error) {
	if name == "" {
		return nil, nil //nolint:nilnil // no Secret is what the provider is asked with
	}
	key := types.NamespacedName{Namespace: namespace, Name: name}
	now := p.clock.Now()
	known, ok := p.secrets.Get(key)
	if known.missing {
		age = min(age, refusedAge)
	}
	if !ok || now.Sub(known.read) >= age {
		var found corev1.Secret
		// A client that reads its own writes would watch all Secrets for it.
		err := p.reader.Get(ctx, key, &found, client.DisableReadYourWritesConsistency)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("secret %q: %w", name, err)
		}
		known = secret{data: found.Data, missing: err != nil, read: now}
		p.secrets.Add(key, known)
	}
	if known.missing && !optional {
		return nil, fmt.Errorf("%w: no Secret %q in namespace %q: create it there", metric.ErrConfig, name, namespace)
	}
	return known.data, nil
}
