package gitsource

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"golang.org/x/crypto/ssh"

	"github.com/keptn/gitops/gitsource/githubapp"
)

// Auth is how to prove who we are to a remote, and how the remote proves who it is.
// It never shows its content: String says only of what kind it is.
type Auth struct{ c *credentials }

type credentials struct {
	username, password, bearerToken string
	ca, clientCert, clientKey       []byte
	privateKey, knownHosts          []byte

	signer      ssh.Signer
	certificate *tls.Certificate
	app         *githubapp.App
}

// String names the kind of credentials.
func (a Auth) String() string {
	switch {
	case a.c == nil:
		return "no credentials"
	case a.c.signer != nil:
		return "ssh key"
	case a.c.app != nil:
		return a.c.app.String()
	case a.c.bearerToken != "":
		return "bearer token"
	case a.c.username != "" || a.c.password != "":
		return "username and password"
	case a.c.certificate != nil:
		return "client certificate"
	}
	return "no credentials"
}

// GoString is String, so that %#v shows no secret either.
func (a Auth) GoString() string { return "gitsource.Auth{" + a.String() + "}" }

// identity is the same for the same credentials and reveals nothing about them.
type identity [sha256.Size]byte

func (a Auth) identity() identity {
	var id identity
	if a.c == nil {
		return id
	}
	h := sha256.New()
	for _, part := range [][]byte{
		[]byte(a.c.username), []byte(a.c.password), []byte(a.c.bearerToken),
		a.c.ca, a.c.clientCert, a.c.clientKey, a.c.privateKey, a.c.knownHosts,
	} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	if a.c.app != nil {
		fmt.Fprint(h, a.c.app.Fingerprint())
	}
	copy(id[:], h.Sum(nil))
	return id
}

// AuthFromSecret reads the keys of a Secret as Flux's GitRepository does:
// for http and https username and password (both; the password may be a token), or
// bearerToken, which wins, or those of a GitHub App, which win over both (see
// [githubapp.FromSecret]); ca.crt (or caFile) and tls.crt with tls.key;
// for ssh identity with its passphrase in password, and known_hosts, without which
// no host is trusted. Empty data is right for public repositories. User and password
// in the URL fill in for missing keys. Errors name the key that is wrong.
func AuthFromSecret(repositoryURL string, data map[string][]byte) (Auth, error) {
	l, err := locate(repositoryURL)
	if err != nil {
		return Auth{}, err
	}
	switch {
	case l.local():
		return Auth{}, nil
	case l.ssh():
		return sshAuth(data)
	}
	return httpAuth(l, data)
}

var errIdentity = errors.New("an ssh URL needs the secret keys identity and known_hosts")

func sshAuth(data map[string][]byte) (Auth, error) {
	if len(data) == 0 {
		return Auth{}, errIdentity
	}
	c := &credentials{privateKey: data["identity"], knownHosts: data["known_hosts"]}
	if len(c.privateKey) == 0 && githubapp.Named(data) {
		return Auth{}, errors.New("secret key identity: missing; a GitHub App reads by https URLs, as https://github.com/owner/repository")
	}
	if len(c.privateKey) == 0 {
		return Auth{}, errors.New("secret key identity: missing; an ssh URL needs a private key there")
	}
	if len(c.knownHosts) == 0 {
		return Auth{}, errors.New("secret key known_hosts: missing; fill it with ssh-keyscan after checking the key")
	}
	var err error
	if c.signer, err = parseIdentity(c.privateKey, data["password"]); err != nil {
		return Auth{}, err
	}
	return Auth{c}, checkKnownHosts(c.knownHosts)
}

func parseIdentity(key, passphrase []byte) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(key)
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) {
		if len(passphrase) == 0 {
			return nil, errors.New("secret key identity: the private key has a passphrase; put it into the key password")
		}
		if signer, err = ssh.ParsePrivateKeyWithPassphrase(key, passphrase); err != nil {
			return nil, errors.New("secret key password: it does not open the private key in identity")
		}
	}
	if err != nil {
		return nil, errors.New("secret key identity: not a private key in PEM format")
	}
	return signer, nil
}

func checkKnownHosts(file []byte) error {
	hosts := 0
	for rest := file; ; hosts++ {
		var err error
		_, _, _, _, rest, err = ssh.ParseKnownHosts(rest)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("secret key known_hosts: entry %d is not as in known_hosts(5)", hosts+1)
		}
	}
	if hosts == 0 {
		return errors.New("secret key known_hosts: it names no host")
	}
	return nil
}

func httpAuth(l location, data map[string][]byte) (Auth, error) {
	c := &credentials{ca: data["ca.crt"], clientCert: data["tls.crt"], clientKey: data["tls.key"]}
	if len(c.ca) == 0 {
		c.ca = data["caFile"]
	}
	if githubapp.Named(data) {
		app, err := githubapp.FromSecret(data)
		if err != nil {
			return Auth{}, err
		}
		c.app = &app
		return Auth{c}, c.checkCertificates()
	}
	if token, ok := data["bearerToken"]; ok {
		c.bearerToken = string(bytes.TrimSpace(token))
	} else {
		c.username, c.password = string(data["username"]), string(data["password"])
		if c.username == "" {
			c.username = l.user
		}
		if c.password == "" {
			c.password = l.password
		}
	}
	return Auth{c}, c.checkHTTP(data)
}

// httpKeys are the keys of a Secret that say something about http, beside a GitHub App's.
var httpKeys = []string{"username", "password", "bearerToken", "ca.crt", "caFile", "tls.crt", "tls.key"}

func (c *credentials) checkHTTP(data map[string][]byte) error {
	isKey := func(name string) bool { return slices.Contains(httpKeys, name) }
	if names := slices.Sorted(maps.Keys(data)); len(names) > 0 && !slices.ContainsFunc(names, isKey) {
		return fmt.Errorf("it has the keys %q, and an https URL reads username and password, bearerToken, githubAppID, ca.crt or tls.crt", names)
	}
	if _, ok := data["bearerToken"]; ok && c.bearerToken == "" {
		return errors.New("secret key bearerToken: empty")
	}
	if c.password != "" && c.username == "" {
		return errors.New("secret key username: missing; password needs one (with a token: any, for example git)")
	}
	return c.checkCertificates()
}

func (c *credentials) checkCertificates() error {
	if len(c.ca) > 0 && !x509.NewCertPool().AppendCertsFromPEM(c.ca) {
		return errors.New("secret key ca.crt: no certificate in PEM format")
	}
	if len(c.clientCert) == 0 && len(c.clientKey) == 0 {
		return nil
	}
	pair, err := tls.X509KeyPair(c.clientCert, c.clientKey)
	if err != nil {
		return errors.New("secret keys tls.crt and tls.key: not a certificate with its key in PEM format")
	}
	c.certificate = &pair
	return nil
}
