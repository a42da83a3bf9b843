package gitsource

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/keptn/gitops/gitsource/githubapp"
	"github.com/keptn/gitops/outbound"
)

// asApp sends the token of a GitHub App's installation with every request to one server,
// and to no other, wherever a redirect leads.
type asApp struct {
	next         http.RoundTripper
	installation *githubapp.Installation
	server       string
}

// serverOf is the same for all that is on one server.
func serverOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// RoundTrip implements http.RoundTripper.
func (a asApp) RoundTrip(req *http.Request) (*http.Response, error) {
	if serverOf(req.URL) != a.server {
		return a.next.RoundTrip(req)
	}
	token, err := a.installation.Token(req.Context())
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, appError(err)
	}
	req = req.Clone(req.Context())
	req.SetBasicAuth(githubapp.User, string(token))
	resp, err := a.next.RoundTrip(req)
	if err == nil && (resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden) {
		a.installation.Refused(token)
	}
	return resp, err
}

// appError gives the error of an App that got no token one of the kinds that callers
// decide on.
func appError(err error) error {
	var answer *githubapp.Error
	switch {
	case errors.Is(err, outbound.ErrForbidden):
		return err
	case errors.Is(err, githubapp.ErrNoToken):
		return fmt.Errorf("%w: %w", ErrUnauthorized, err)
	case !errors.As(err, &answer), answer.Code == http.StatusTooManyRequests, answer.Code >= http.StatusInternalServerError, answer.Header.Get("Retry-After") != "":
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return fmt.Errorf("%w: %w", ErrUnauthorized, err)
}

// appClient is the client of those who authenticate as an App, over another that makes
// the connections.
func (s *Store) appClient(l location, app githubapp.App, over *http.Client) (*http.Client, error) {
	repository, err := url.Parse(l.String())
	if err != nil {
		return nil, errors.New("the repository URL cannot be parsed")
	}
	api, err := app.API(*repository)
	switch {
	case err != nil:
		return nil, err
	case api.Scheme == "http" && !s.plainCredentials:
		return nil, fmt.Errorf("secret key %s: credentials would go over plain http for all to read; use https", githubapp.BaseURLKey)
	}
	return &http.Client{Transport: asApp{over.Transport, s.tokens.Installation(app, api, over), serverOf(repository)}}, nil
}
