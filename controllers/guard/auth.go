package guard

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/golang-lru/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// SignatureHeader holds the signature of a body, as the provider generic-hmac of
// Flux's notification-controller sends it: sha256=<HMAC-SHA256 in hexadecimal>.
// See https://fluxcd.io/flux/components/notification/providers/#generic-webhook-with-hmac.
const SignatureHeader = "X-Signature"

// Keys of a Secret that says who may call.
const (
	// TokenKey holds what callers show as a bearer token. White space around it does
	// not count.
	TokenKey = "token"
	// HMACKey holds what callers sign bodies with, to the byte.
	HMACKey = "hmac-key"
)

// Credential is what callers have to know: one of both. What is empty lets nobody in.
type Credential struct {
	// Token is shown as a bearer token.
	Token string
	// HMACKey is what the body is signed with.
	HMACKey []byte
}

// Auth returns the credentials that let the caller of a request in, any one of them;
// none lets nobody in. An error means that they cannot be told at the moment.
type Auth func(r *http.Request) ([]Credential, error)

// Scheme is how callers show that they know a Credential. What a header says is
// compared in the same time whatever it is.
type Scheme struct {
	// Signed says whether a request carries a signature of its body. Then that counts
	// alone, whatever else it shows.
	Signed func(header http.Header) bool
	// Signs says whether the signature is that of the body by the key.
	Signs func(header http.Header, body, key []byte) bool
	// Shows says whether a request shows the token.
	Shows func(header http.Header, token string) bool
	// Hint tells who is not let in what to send.
	Hint string
}

// ownScheme is that of routes that name none: a bearer token, or a signature in
// SignatureHeader.
func ownScheme() Scheme {
	return Scheme{
		Signed: func(header http.Header) bool { return header.Get(SignatureHeader) != "" },
		Signs: func(header http.Header, body, key []byte) bool {
			sum, found := strings.CutPrefix(header.Get(SignatureHeader), "sha256=")
			got, err := hex.DecodeString(sum)
			mac := hmac.New(sha256.New, key)
			mac.Write(body)
			return found && err == nil && hmac.Equal(got, mac.Sum(nil))
		},
		Shows: func(header http.Header, token string) bool {
			scheme, shown, _ := strings.Cut(header.Get("Authorization"), " ")
			// Digests are compared, which are of one length.
			got, want := sha256.Sum256([]byte(strings.TrimSpace(shown))), sha256.Sum256([]byte(token))
			return strings.EqualFold(scheme, "Bearer") && hmac.Equal(got[:], want[:])
		},
		Hint: "show the token as a bearer token, or sign the body with the key as " + SignatureHeader + ": sha256=<hex>",
	}
}

// shown says whether a request shows one of the tokens. An empty one would be known to
// all.
func (s Scheme) shown(header http.Header, credentials []Credential) bool {
	return slices.ContainsFunc(credentials, func(c Credential) bool { return c.Token != "" && s.Shows(header, c.Token) })
}

// signedBy says whether a body is signed by one of the keys. An empty one would be known
// to all.
func (s Scheme) signedBy(header http.Header, body []byte, credentials []Credential) bool {
	return slices.ContainsFunc(credentials, func(c Credential) bool { return len(c.HMACKey) > 0 && s.Signs(header, body, c.HMACKey) })
}

const (
	// remembered is how long a Secret is not read again: a new one counts after that.
	remembered = 10 * time.Second
	// maxRemembered is of how many namespaces Secrets are remembered.
	maxRemembered = 1024
)

// Secrets finds who may call in Secrets of one name: that of the namespace in the
// path of the request counts there, and that of Keptn's own namespace everywhere. One
// that does not exist lets nobody in.
type Secrets struct {
	reader    client.Reader
	name, own string
	now       func() time.Time
	known     *lru.Cache[string, knownCredential]
}

// knownCredential is a Secret as it was read.
type knownCredential struct {
	Credential
	until time.Time
}

// NewSecrets returns the Secrets of a name, where own is Keptn's own namespace. The
// reader should not be a cache, which would hold all Secrets there are.
func NewSecrets(reader client.Reader, name, own string, now func() time.Time) (*Secrets, error) {
	known, err := lru.New[string, knownCredential](maxRemembered)
	if err != nil {
		return nil, fmt.Errorf("make the cache of secrets: %w", err)
	}
	return &Secrets{reader: reader, name: name, own: own, now: now, known: known}, nil
}

// +kubebuilder:rbac:groups="",resources=secrets,verbs=get

// Auth is the Auth of routes whose path may have a {namespace}.
func (s *Secrets) Auth(r *http.Request) ([]Credential, error) {
	namespaces := []string{s.own}
	if n := r.PathValue("namespace"); n != s.own && len(validation.IsDNS1123Label(n)) == 0 {
		namespaces = append(namespaces, n)
	}
	credentials := make([]Credential, len(namespaces))
	for i, namespace := range namespaces {
		var err error
		if credentials[i], err = s.in(r.Context(), namespace); err != nil {
			return nil, err
		}
	}
	return credentials, nil
}

// in is the Secret of a namespace, as it was a short while ago at most.
func (s *Secrets) in(ctx context.Context, namespace string) (Credential, error) {
	now := s.now()
	if known, ok := s.known.Get(namespace); ok && now.Before(known.until) {
		return known.Credential, nil
	}
	var secret corev1.Secret
	err := s.reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: s.name}, &secret)
	if client.IgnoreNotFound(err) != nil {
		return Credential{}, fmt.Errorf("read Secret %s/%s: %w", namespace, s.name, err)
	}
	read := Credential{Token: strings.TrimSpace(string(secret.Data[TokenKey])), HMACKey: secret.Data[HMACKey]}
	s.known.Add(namespace, knownCredential{Credential: read, until: now.Add(remembered)})
	return read, nil
}
