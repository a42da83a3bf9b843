package googlecloud

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"golang.org/x/oauth2/jwt"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// scope lets a token read metrics, and do nothing else.
const scope = "https://www.googleapis.com/auth/monitoring.read"

// tokens are those of one identity: the last is held until it expires.
type tokens struct {
	// turn is held by the query that asks for a token.
	turn chan struct{}
	held *oauth2.Token
	ask  func(context.Context) (*oauth2.Token, error)
}

// token is the held token, or a new one. Waiting for another query that asks for
// it ends with ctx.
func (t *tokens) token(ctx context.Context) (string, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", connect.Error(ctx, ctx.Err())
	}
	if t.held.Valid() {
		return t.held.AccessToken, nil
	}
	fresh, err := t.ask(ctx)
	if err != nil {
		return "", err
	}
	if fresh.AccessToken == "" {
		return "", fmt.Errorf("%w: the token server answers without a token", metric.ErrBadResponse)
	}
	t.held = fresh
	return fresh.AccessToken, nil
}

// tokensOf are those of the Secret's service account or, where that is allowed, of
// the process. The latter's are shown to Google only: whoever may choose the
// server could read them there.
func tokensOf(s connect.Server, c cloud, base *url.URL) (*tokens, error) {
	held := &tokens{turn: make(chan struct{}, 1), ask: ambient}
	switch {
	case s.Secret != nil:
		ask, err := serviceAccount(s)
		held.ask = ask
		return held, err
	case !s.Ambient:
		return nil, fmt.Errorf("%w: it needs a Secret with a service account's JSON: name it and the key in secretKeyRef; the identity that the controller has in Google Cloud may not be used here", metric.ErrConfig)
	case !c.owns(base), s.Spec.InsecureSkipTLSVerify:
		return nil, fmt.Errorf("%w: the identity that the controller has in Google Cloud is shown to no server but Google's, over verified https: give another targetServer, or a Secret with a service account's JSON", metric.ErrConfig)
	default:
		return held, nil
	}
}

// owns says whether a server is one of the cloud's own.
func (c cloud) owns(server *url.URL) bool {
	host := server.Hostname()
	return server.Scheme == "https" && (host == c.domain || strings.HasSuffix(host, "."+c.domain))
}

// serviceAccount asks for tokens with a service account's key
// (https://developers.google.com/identity/protocols/oauth2/service-account#httprest),
// over a connection like the server's: the key says where, and it is its owner's.
func serviceAccount(s connect.Server) (func(context.Context) (*oauth2.Token, error), error) {
	text, err := s.Credential()
	if err != nil {
		return nil, err
	}
	key := s.Spec.SecretKeyRef.Key
	account, err := google.JWTConfigFromJSON([]byte(text), scope)
	if err != nil || account.Email == "" {
		return nil, fmt.Errorf("%w: key %q of secret %q holds no JSON of type service_account", metric.ErrConfig, key, s.Spec.SecretKeyRef.Name)
	}
	if !isKey(account.PrivateKey) {
		return nil, fmt.Errorf("%w: the service account at key %q of secret %q has no RSA private_key in PEM", metric.ErrConfig, key, s.Spec.SecretKeyRef.Name)
	}
	if u, err := url.Parse(account.TokenURL); err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: the service account at key %q of secret %q has a token_uri that is no http or https address", metric.ErrConfig, key, s.Spec.SecretKeyRef.Name)
	}
	plain := s
	plain.Spec.Headers = nil
	client, err := plain.Client(nil)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (*oauth2.Token, error) { return exchange(ctx, account, client) }, nil
}

// isKey says whether text is a private key that can sign.
func isKey(text []byte) bool {
	block, _ := pem.Decode(text)
	if block == nil {
		return false
	}
	if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return true
	}
	_, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	return err == nil
}

// exchange asks for a token.
func exchange(ctx context.Context, account *jwt.Config, client *http.Client) (*oauth2.Token, error) {
	sent := &bound{ctx: ctx, base: client.Transport}
	once := *client
	once.Transport = sent
	token, err := account.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, &once)).Token()
	if err != nil {
		return nil, tokenError(ctx, err, sent.failure())
	}
	return token, nil
}

// bound lets requests end with ctx, and remembers why one failed: package jwt does
// neither.
type bound struct {
	ctx  context.Context
	base http.RoundTripper
	mu   sync.Mutex
	err  error
}

// RoundTrip implements http.RoundTripper.
func (b *bound) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.base.RoundTrip(r.WithContext(b.ctx))
	if err != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.err = err
	}
	return resp, err
}

// failure is why a request failed, or nil.
func (b *bound) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// errorCode is what a token server calls an error (RFC 6749, section 5.2).
var errorCode = regexp.MustCompile(`^[a-z_]{1,40}$`)

// tokenError says why there is no token. It repeats no more of the answer than its
// error code, since the rest can hold what was sent.
func tokenError(ctx context.Context, err, failure error) error {
	var refused *oauth2.RetrieveError
	switch {
	case failure != nil:
		return fmt.Errorf("asking for a token: %w", connect.Error(ctx, &url.Error{Err: failure}))
	case ctx.Err() != nil:
		return fmt.Errorf("asking for a token: %w", connect.Error(ctx, err))
	case errors.As(err, &refused):
		var said struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(refused.Body, &said) != nil || !errorCode.MatchString(said.Error) {
			said.Error = "without an error code"
		}
		return fmt.Errorf("%w: the token server answers %d %s: check the service account's key", metric.ErrUnauthorized, refused.Response.StatusCode, said.Error)
	default:
		return fmt.Errorf("%w: the token server's is no token: is token_uri of the service account right?", metric.ErrBadResponse)
	}
}

// ambient asks for a token of the identity that the process has in Google Cloud
// (https://cloud.google.com/docs/authentication/application-default-credentials).
// Google hands it out at addresses that a provider may not have, so that it is not
// asked for over the server's connection.
func ambient(ctx context.Context) (*oauth2.Token, error) {
	client := &http.Client{Transport: &bound{ctx: ctx, base: http.DefaultTransport}}
	found, err := google.FindDefaultCredentials(context.WithValue(ctx, oauth2.HTTPClient, client), scope)
	if err != nil {
		return nil, identityError(ctx, err)
	}
	token, err := found.TokenSource.Token()
	if err != nil {
		return nil, identityError(ctx, err)
	}
	return token, nil
}

func identityError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return connect.Error(ctx, err)
	}
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		return fmt.Errorf("%w: the controller's identity in Google Cloud is refused: the token server answers %d", metric.ErrUnauthorized, refused.Response.StatusCode)
	}
	return fmt.Errorf("%w: the controller has no identity in Google Cloud: %w", metric.ErrUnauthorized, err)
}
