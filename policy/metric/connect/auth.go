package connect

import (
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/oauth2/clientcredentials"

	"github.com/keptn/gitops/policy/metric"
)

// An Authenticator adds credentials to a request, which it may change.
type Authenticator func(*http.Request) error

// Basic authenticates with a user and a password (RFC 7617).
func Basic(user, password string) Authenticator {
	return func(r *http.Request) error {
		r.SetBasicAuth(user, password)
		return nil
	}
}

// Header authenticates with a header, such as Authorization: Bearer ….
func Header(name, value string) Authenticator {
	return func(r *http.Request) error {
		r.Header.Set(name, value)
		return nil
	}
}

// Auth is how the Secret says to authenticate: nobody without one; by OAuth2
// client credentials with Spec.OAuth2; else with the keys user and password; else
// with the bearer token at the key that Spec.SecretKeyRef names.
func (s Server) Auth() (Authenticator, error) {
	ref := s.Spec.SecretKeyRef
	user, hasUser := s.Secret["user"]
	password, hasPassword := s.Secret["password"]
	token, hasToken := s.Secret[ref.Key]
	switch {
	case s.Spec.OAuth2 != nil:
		return s.clientCredentials()
	case s.Secret == nil && s.needsSecret():
		return nil, fmt.Errorf("%w: secret %q is missing", metric.ErrConfig, ref.Name)
	case s.Secret == nil:
		return nil, nil //nolint:nilnil // no credentials are what it is asked with
	case hasUser && hasPassword:
		return Basic(trimmed(user), trimmed(password)), nil
	case hasToken && trimmed(token) != "":
		return Header("Authorization", "Bearer "+trimmed(token)), nil
	default:
		return nil, fmt.Errorf("%w: secret %q holds neither the keys user and password, nor a token at key %q", metric.ErrConfig, ref.Name, ref.Key)
	}
}

// needsSecret says whether the provider is not to be asked without its Secret.
func (s Server) needsSecret() bool {
	ref := s.Spec.SecretKeyRef
	return ref.Name != "" && (ref.Optional == nil || !*ref.Optional)
}

// clientCredentials authenticates with a token that it asks for, and renews.
func (s Server) clientCredentials() (Authenticator, error) {
	id, err := s.Value("clientID")
	if err != nil {
		return nil, err
	}
	secret, err := s.Value("clientSecret")
	if err != nil {
		return nil, err
	}
	return s.OAuth2(clientcredentials.Config{
		ClientID: id, ClientSecret: secret,
		TokenURL: s.Spec.OAuth2.TokenURL, Scopes: s.Spec.OAuth2.Scopes,
	})
}

// OAuth2 authenticates with a token by client credentials
// (https://www.rfc-editor.org/rfc/rfc6749#section-4.4), which is asked for over a
// connection like the server's: with its certificates and limits, and at allowed
// addresses only. The token is kept until it expires.
func (s Server) OAuth2(config clientcredentials.Config) (Authenticator, error) {
	if _, err := s.parseURL("token URL", config.TokenURL); err != nil {
		return nil, err
	}
	plain := s
	plain.Spec.Headers = nil
	client, err := plain.Client(nil)
	if err != nil {
		return nil, err
	}
	return newTokens(config, client).authenticate, nil
}

// trimmed is a secret's value without the line break that a file ends with.
func trimmed(value []byte) string { return strings.TrimSpace(string(value)) }
