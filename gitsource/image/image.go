// Package image answers which commit an image was built from: by what the image says
// of itself in its registry, the annotations and labels
// org.opencontainers.image.revision and org.opencontainers.image.source
// (https://github.com/opencontainers/image-spec/blob/main/annotations.md), or by a tag
// that holds the commit. It reads manifests and configurations, never a layer; it
// runs nothing, writes nothing, and verifies no signature: what an image says is a
// claim of whoever pushed it.
package image

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	lru "github.com/hashicorp/golang-lru/v2"
)

// Errors of an Origin, told apart by errors.Is. Any other error is of the registry or
// of the way to it, and another attempt may help.
var (
	// ErrReference: the reference is none.
	ErrReference = errors.New("not an image reference")
	// ErrNotFound: the registry has no such image.
	ErrNotFound = errors.New("image not found")
	// ErrUnauthorized: the registry does not let these credentials, or nobody without
	// any, read the image. Some registries say so of images that do not exist.
	ErrUnauthorized = errors.New("not allowed to read the image")
	// ErrNoRevision: neither the image nor its tag names a commit.
	ErrNoRevision = errors.New("the image names no commit")
	// ErrTooLarge: an answer of the registry is larger than what is read.
	ErrTooLarge = errors.New("the registry's answer is too large")
	// ErrPlainHTTP: the registry is to be asked without TLS, and was not allowed to be.
	ErrPlainHTTP = errors.New("the registry may not be asked over plain HTTP")
)

// Place is where an image names its commit.
type Place string

// Places, in the order in which they are looked at.
const (
	// InIndex is an annotation of the index, or of what it says of its first image.
	InIndex Place = "Index"
	// InManifest is an annotation of the manifest.
	InManifest Place = "Manifest"
	// InLabel is a label of the configuration. An image has those of the image that it
	// was built upon as well: without a source they may speak of that one.
	InLabel Place = "Label"
	// InTag is the tag of the reference.
	InTag Place = "Tag"
)

// Origin is what an image says about what it was built from.
type Origin struct {
	// Digest of what the reference names, with its algorithm.
	Digest string
	// Revision as it is written, for example main@sha1:… .
	Revision string
	// Commit that the revision names: in full, or its first seven digits at least.
	Commit string
	// Source is the URL of the repository without credentials; empty where the image
	// does not say.
	Source string
	// Place is where the commit is named.
	Place Place
}

// Limits, for what no image comes close to.
const (
	defaultTimeout = 15 * time.Second
	// defaultMaxBytes is what the distribution specification asks registries to take
	// of a manifest at least
	// (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests).
	defaultMaxBytes = 4 << 20
	defaultCached   = 1024
)

// A Resolver finds the origins of images, and remembers them by digest. It may be
// used by many goroutines at once.
type Resolver struct {
	base      http.RoundTripper
	plainHTTP []string
	timeout   time.Duration
	maxBytes  int64
	cached    int
	known     *lru.Cache[string, Origin]
}

// An Option changes how a Resolver asks.
type Option func(*Resolver)

// WithTransport sets by what registries are asked, for example one that refuses
// addresses. The default is remote.DefaultTransport.
func WithTransport(t http.RoundTripper) Option { return func(r *Resolver) { r.base = t } }

// WithPlainHTTP lets registries be asked without TLS, given as host or host:port.
// Those of this machine (localhost and loopback addresses) always may be.
func WithPlainHTTP(hosts ...string) Option { return func(r *Resolver) { r.plainHTTP = hosts } }

// WithTimeout bounds one answer of Origin; the default is 15 seconds.
func WithTimeout(d time.Duration) Option { return func(r *Resolver) { r.timeout = d } }

// WithMaxBytes bounds what is read of each answer of a registry; the default is 4 MiB.
func WithMaxBytes(n int64) Option { return func(r *Resolver) { r.maxBytes = n } }

// WithCacheSize sets how many origins are remembered, one at least; the default is
// 1024.
func WithCacheSize(n int) Option { return func(r *Resolver) { r.cached = n } }

// New returns a Resolver.
func New(opts ...Option) *Resolver {
	r := &Resolver{
		base:     remote.DefaultTransport,
		timeout:  defaultTimeout,
		maxBytes: defaultMaxBytes,
		cached:   defaultCached,
	}
	for _, o := range opts {
		o(r)
	}
	r.known, _ = lru.New[string, Origin](max(r.cached, 1)) // fails for a size below one only
	return r
}

// Origin is what the image that a reference names was built from. The reference is
// one of a pod (nginx, ghcr.io/acme/shop:1.2, …@sha256:…) or a status' imageID; of an
// index any of its images is as good. A digest is asked for once, a tag each time
// which digest it has. A nil keychain asks as nobody. It returns one of the errors
// above where the image names no commit, and where it could not be looked at.
func (r *Resolver) Origin(ctx context.Context, ref string, keychain authn.Keychain) (Origin, error) {
	image, tag, err := r.parse(ref)
	if err != nil {
		return Origin{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	puller, err := remote.NewPuller(r.options(keychain)...)
	if err != nil {
		return Origin{}, fmt.Errorf("image %s: %w", image, err)
	}
	o, err := r.look(ctx, puller, image)
	if err != nil {
		return Origin{}, fmt.Errorf("image %s: %w", image, classified(err))
	}
	if commit := commitInTag(tag); o.Commit == "" && commit != "" {
		o.Revision, o.Commit, o.Place = tag, commit, InTag
	}
	if o.Commit == "" {
		return Origin{}, fmt.Errorf("image %s: %w: set the annotation or the label %s when it is built (revision is %q)", image, ErrNoRevision, revisionKey, o.Revision)
	}
	return o, nil
}

// parse reads a reference and its tag.
func (r *Resolver) parse(ref string) (image name.Reference, tag string, err error) {
	if _, id, found := strings.Cut(ref, "://"); found { // a status' imageID may begin with its runtime's scheme
		ref = id
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %q: %w", ErrReference, ref, err)
	}
	named = reference.TagNameOnly(named)
	if tagged, ok := named.(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	options := []name.Option{name.WeakValidation}
	if r.plain(reference.Domain(named)) {
		options = append(options, name.Insecure)
	}
	image, err = name.ParseReference(named.String(), options...)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %q: %w", ErrReference, ref, err)
	}
	return image, tag, nil
}

// options are how one image is asked for: once, as what calls knows when it is
// worth another attempt.
func (r *Resolver) options(keychain authn.Keychain) []remote.Option {
	options := []remote.Option{
		remote.WithTransport(&guard{base: r.base, plain: r.plain, maxBytes: r.maxBytes}),
		remote.WithRetryStatusCodes(),
		remote.WithRetryPredicate(func(error) bool { return false }),
	}
	if keychain == nil {
		return options
	}
	return append(options, remote.WithAuthFromKeychain(keychain))
}

// look is what an image says, from memory or from its registry. Only its digest is
// known of one that says nothing.
func (r *Resolver) look(ctx context.Context, puller *remote.Puller, image name.Reference) (Origin, error) {
	if _, ok := image.(name.Digest); !ok {
		// A registry that does not answer HEAD is asked for the manifest.
		if head, err := puller.Head(ctx, image); err == nil {
			image = image.Context().Digest(head.Digest.String())
		}
	}
	if known, ok := r.known.Get(image.Name()); ok {
		return known, nil
	}
	o, err := read(ctx, puller, image)
	if err != nil {
		return Origin{}, err
	}
	r.known.Add(image.Context().Digest(o.Digest).Name(), o)
	return o, nil
}

// classified says which of the errors above a registry's is.
func classified(err error) error {
	var answer *transport.Error
	switch {
	case !errors.As(err, &answer):
		return err
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%w: %w", ErrUnauthorized, err)
	default:
		return err
	}
}
