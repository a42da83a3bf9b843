// Package githubapp authenticates as an installation of a GitHub App: by the keys of a
// Secret as Flux has them, a JWT that the App's private key signs, and the token of an
// hour that GitHub gives for it
// (https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation).
//
// It makes its requests with the client that it is given, and never sends a key, nor a
// token to a server other than the one that gave it, and never shows either in a text.
package githubapp

import (
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// Keys of the Secret, as of Flux's GitRepository with the provider github
// (https://fluxcd.io/flux/components/source/gitrepositories/#github).
const (
	IDKey             = "githubAppID"
	InstallationIDKey = "githubAppInstallationID"
	OwnerKey          = "githubAppInstallationOwner"
	PrivateKeyKey     = "githubAppPrivateKey"
	BaseURLKey        = "githubAppBaseURL"
)

// User is the user whose password a token is, for Git over HTTP.
const User = "x-access-token"

// App is a GitHub App, and where it is installed. It never shows its key: String says
// only which App it is.
type App struct{ c *config }

type config struct {
	id           string
	installation int64
	owner        string
	key          *rsa.PrivateKey
	fingerprint  [sha256.Size]byte // of the key
	base         *url.URL          // of the API; nil if the Secret does not say
}

// String names the App.
func (a App) String() string {
	if a.c == nil {
		return "no GitHub App"
	}
	return "GitHub App " + a.c.id
}

// GoString is String, so that %#v shows no key either.
func (a App) GoString() string { return "githubapp.App{" + a.String() + "}" }

// ID is the App's ID, or its client ID, as the Secret has it.
func (a App) ID() string { return a.c.id }

// Fingerprint is the same for the same App, installation, key and API, and reveals
// nothing about the key.
func (a App) Fingerprint() string {
	return fmt.Sprintf("%s %d %q %x %v", a.c.id, a.c.installation, a.c.owner, a.c.fingerprint, a.c.base)
}

// Named reports whether a Secret has any key of a GitHub App.
func Named(data map[string][]byte) bool {
	for _, key := range []string{IDKey, InstallationIDKey, OwnerKey, PrivateKeyKey, BaseURLKey} {
		if len(data[key]) > 0 {
			return true
		}
	}
	return false
}

var (
	appID = regexp.MustCompile(`^[A-Za-z0-9.]+$`)
	login = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)
)

// FromSecret reads the keys of a Secret: githubAppID (or the App's client ID there),
// githubAppPrivateKey in PEM, exactly one of githubAppInstallationID and
// githubAppInstallationOwner (an organization or a user), and where the App is not at
// github.com githubAppBaseURL, with /api/v3 or without. An error names the key
// that is wrong, and does not repeat it.
func FromSecret(data map[string][]byte) (App, error) {
	text := func(key string) string { return strings.TrimSpace(string(data[key])) }
	c := &config{id: text(IDKey), owner: text(OwnerKey), fingerprint: sha256.Sum256(data[PrivateKeyKey])}
	if !appID.MatchString(c.id) {
		return App{}, fmt.Errorf("secret key %s: missing, or not an App's ID: it is on the App's page in GitHub's settings", IDKey)
	}
	if err := c.install(text(InstallationIDKey)); err != nil {
		return App{}, err
	}
	if len(data[PrivateKeyKey]) == 0 {
		return App{}, fmt.Errorf("secret key %s: missing: generate one on the App's page in GitHub's settings", PrivateKeyKey)
	}
	var err error
	if c.key, err = jwt.ParseRSAPrivateKeyFromPEM(data[PrivateKeyKey]); err != nil {
		return App{}, fmt.Errorf("secret key %s: not an RSA private key in PEM format", PrivateKeyKey)
	}
	if base := text(BaseURLKey); base != "" {
		if c.base, err = ParseAPI(base); err != nil {
			return App{}, fmt.Errorf("secret key %s: %w", BaseURLKey, err)
		}
	}
	return App{c}, nil
}

// install reads where the App is installed.
func (c *config) install(id string) error {
	switch {
	case id == "" && c.owner == "":
		return fmt.Errorf("secret keys %s and %s: missing: give one of them", InstallationIDKey, OwnerKey)
	case id != "" && c.owner != "":
		return fmt.Errorf("secret keys %s and %s: give one of them, not both", InstallationIDKey, OwnerKey)
	case id == "" && !login.MatchString(c.owner):
		return fmt.Errorf("secret key %s: not the name of an organization or a user", OwnerKey)
	case id == "":
		return nil
	}
	var err error
	if c.installation, err = strconv.ParseInt(id, 10, 64); err != nil || c.installation <= 0 {
		return fmt.Errorf("secret key %s: not a number: it is the end of the address of the installation's page", InstallationIDKey)
	}
	return nil
}

// API is where the App's tokens come from: what the Secret says, else that of github.com,
// as with Flux. The Secret alone decides it, for what the key signs speaks for the App
// wherever it is installed. A repository, given by its URL or that of its API, that is on
// another server is an error: the token must not go there.
func (a App) API(repository url.URL) (url.URL, error) {
	base := url.URL{Scheme: "https", Host: "api.github.com"}
	if a.c.base != nil {
		base = *a.c.base
	}
	here, there := server(base.Hostname()), server(repository.Hostname())
	switch {
	case here == there:
		return base, nil
	case a.c.base == nil:
		return url.URL{}, fmt.Errorf("secret key %s: missing, so that the App is at %s, and the repository is at %s, where its token must not go: give https://%s%s there if the App is at that server", BaseURLKey, here, there, there, versionPath)
	}
	return url.URL{}, fmt.Errorf("secret key %s: the App is at %s and the repository at %s, where its token must not go", BaseURLKey, here, there)
}

// versionPath is where the API of a GitHub Enterprise Server begins.
const versionPath = "/api/v3"

// APIOf is the base URL of the API of the GitHub server that a repository is on:
// https://api.github.com of github.com, https://api.acme.ghe.com of acme.ghe.com, and
// /api/v3 of a GitHub Enterprise Server.
func APIOf(repository url.URL) url.URL {
	host := server(repository.Hostname())
	if cloud(host) {
		return url.URL{Scheme: "https", Host: "api." + host}
	}
	return url.URL{Scheme: repository.Scheme, Host: repository.Host, Path: versionPath}
}

// ParseAPI reads the base URL of the API, or of the server itself.
func ParseAPI(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("it is not a URL; expected something like https://github.example.com/api/v3")
	case u.User != nil:
		return nil, errors.New("leave user and password out of the URL")
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		return nil, errors.New("expected something like https://github.example.com/api/v3")
	}
	if cloud(server(u.Hostname())) {
		api := APIOf(*u)
		return &api, nil
	}
	path := strings.TrimSuffix(strings.TrimRight(u.Path, "/"), versionPath)
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: path + versionPath}, nil
}

// cloud says whether a server is GitHub's own, where the API has a host of its own.
func cloud(host string) bool { return host == "github.com" || strings.HasSuffix(host, ".ghe.com") }

// server is the host of the pages of a GitHub server, whose API, or SSH, is at host.
func server(host string) string {
	host = strings.ToLower(host)
	for _, part := range []string{"api.", "ssh.", "www."} {
		if rest, ok := strings.CutPrefix(host, part); ok && cloud(rest) {
			return rest
		}
	}
	return host
}
