package connect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/keptn/gitops/policy/metric"
)

// tokens remembers a token until it expires. One request at a time asks for it,
// and the others wait.
type tokens struct {
	config clientcredentials.Config
	client *http.Client
	// turn is taken by who reads or renews held.
	turn chan struct{}
	held *oauth2.Token
}

func newTokens(config clientcredentials.Config, client *http.Client) *tokens {
	return &tokens{config: config, client: client, turn: make(chan struct{}, 1)}
}

// authenticate is an Authenticator.
func (t *tokens) authenticate(r *http.Request) error {
	token, err := t.token(r.Context())
	if err != nil {
		return err
	}
	token.SetAuthHeader(r)
	onRefusal(r, func() { t.forget(token) })
	return nil
}

// forget drops a token that a server refuses although it has not expired.
func (t *tokens) forget(refused *oauth2.Token) {
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	if t.held == refused {
		t.held = nil
	}
}

// token is the held token, or one that is asked for where that has expired.
func (t *tokens) token(ctx context.Context) (*oauth2.Token, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if t.held.Valid() {
		return t.held, nil
	}
	fresh, err := t.config.Token(context.WithValue(ctx, oauth2.HTTPClient, t.client))
	if err != nil {
		return nil, tokenError(err)
	}
	t.held = fresh
	return fresh, nil
}

// tokenError says why there is no token. It does not repeat the answer, which can
// hold what was sent.
func tokenError(err error) error {
	var answered *oauth2.RetrieveError
	var failed *url.Error
	switch {
	case errors.As(err, &failed): // its own text repeats the URL
		return fmt.Errorf("asking for a token: %w", failed.Err)
	case !errors.As(err, &answered):
		return fmt.Errorf("%w: the token server's answer holds no token: is the URL that of a token endpoint?", metric.ErrBadResponse)
	case isRefusal(answered.ErrorCode):
		return fmt.Errorf("%w: the token server answers %s: check the client's ID, secret and scopes", metric.ErrUnauthorized, answered.ErrorCode)
	default:
		return fmt.Errorf("%w: the token server answers %d: is the URL that of a token endpoint?", metric.ErrBadResponse, answered.Response.StatusCode)
	}
}

// isRefusal says whether a code is one of those that refuse a client
// (https://www.rfc-editor.org/rfc/rfc6749#section-5.2).
func isRefusal(code string) bool {
	return slices.Contains([]string{
		"invalid_request", "invalid_client", "invalid_grant",
		"unauthorized_client", "unsupported_grant_type", "invalid_scope", "access_denied",
	}, code)
}
