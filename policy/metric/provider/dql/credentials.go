package dql

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

const (
	// tokenPrefix is what the token of an OAuth client begins with.
	tokenPrefix = "dt0s08"
	// secretLength is the length of a token's secret part
	// (https://docs.dynatrace.com/docs/dynatrace-api/basics/dynatrace-api-authentication).
	secretLength = 64
	// productionSSO gives the access tokens of Dynatrace's production.
	productionSSO = "https://sso.dynatrace.com/sso/oauth2/token"
)

// credentials are the OAuth client of the Secret. No error repeats any of it.
func credentials(s connect.Server) (clientcredentials.Config, error) {
	text, err := s.Credential()
	if err != nil {
		return clientcredentials.Config{}, err
	}
	var secret struct {
		Token   string `json:"token"`
		AuthURL string `json:"authUrl"`
	}
	where := fmt.Sprintf("key %q of secret %q", s.Spec.SecretKeyRef.Key, s.Spec.SecretKeyRef.Name)
	if json.Unmarshal([]byte(text), &secret) != nil {
		return clientcredentials.Config{}, fmt.Errorf(`%w: %s is no JSON of the form {"token": "…", "authUrl": "…"}`, metric.ErrConfig, where)
	}
	id, err := clientID(secret.Token)
	if err != nil {
		return clientcredentials.Config{}, fmt.Errorf("%w: the token at %s %w", metric.ErrConfig, where, err)
	}
	if secret.AuthURL == "" {
		secret.AuthURL = productionSSO
	}
	return clientcredentials.Config{
		ClientID: id, ClientSecret: secret.Token, TokenURL: secret.AuthURL,
		Scopes:    []string{"storage:metrics:read", "environment:roles:viewer"},
		AuthStyle: oauth2.AuthStyleInParams,
	}, nil
}

// clientID is the public part of a token, which itself is the client's secret.
func clientID(token string) (string, error) {
	parts := strings.Split(token, ".")
	switch {
	case token == "":
		return "", errors.New("is missing")
	case parts[0] != tokenPrefix:
		return "", fmt.Errorf("does not begin with %s.: it has to be that of an OAuth client", tokenPrefix)
	case len(parts) != 3:
		return "", fmt.Errorf("has %d parts: it has to be %s.<id>.<secret>", len(parts), tokenPrefix)
	case parts[1] == "":
		return "", fmt.Errorf("has no ID: it has to be %s.<id>.<secret>", tokenPrefix)
	case len(parts[2]) != secretLength:
		return "", fmt.Errorf("has a secret of %d characters, and it takes %d: is it complete?", len(parts[2]), secretLength)
	default:
		return parts[0] + "." + parts[1], nil
	}
}
