// Package connect reaches a metrics provider over HTTP: with its credentials, its
// certificates and its limits, and only at addresses that the administrator
// allows. What every HTTP API has in common ends here as an error of package
// metric; what an answer means is the provider's matter.
//
// It follows no redirect, repeats nothing, and shows no credential.
package connect

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"time"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy/metric"
)

// What is accepted of one answer at most.
const (
	// MaxSeries is how many series a result may have.
	MaxSeries = 10_000
	// MaxSamples is how many samples all series of a result may have together.
	MaxSamples = 1_000_000
	// MaxBytes is the size of an answer, once uncompressed.
	MaxBytes = 4 << 20
)

// A Secret is the data of a Kubernetes Secret. It does not show its values.
type Secret map[string][]byte

// Format hides the values, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%d secret values", len(s)) }

// A Server is a provider and all that it takes to reach it.
type Server struct {
	// Spec is the provider as its administrator described it.
	Spec metricsv1.KeptnMetricsProviderSpec
	// Secret is the data of the Secret that Spec.SecretKeyRef names.
	Secret Secret
	// Certificates is the data of the Secret that Spec.CertSecretRef names.
	Certificates Secret
	// Addresses say which addresses may be reached. The zero value refuses what is refused by
	// default.
	Addresses outbound.Addresses
	// Ambient lets a cloud's own client use the identity that the process has in
	// that cloud, where the Secret holds no credentials. By default it may not:
	// the identity is the controller's and not the namespace's.
	Ambient bool
	// MaxSeries and MaxBytes replace the package's constants where they are not 0.
	MaxSeries int
	MaxBytes  int64
	// Now tells the time where a server says by date when to retry. The default is
	// the wall clock.
	Now func() time.Time
}

// Credential is the value at the key that Spec.SecretKeyRef names.
func (s Server) Credential() (string, error) {
	if s.Spec.SecretKeyRef.Key == "" {
		return "", fmt.Errorf("%w: its secretKeyRef names no key", metric.ErrConfig)
	}
	return s.Value(s.Spec.SecretKeyRef.Key)
}

// Value is the value at a key of the Secret, without the line break that a file
// ends with. It is never empty.
func (s Server) Value(key string) (string, error) {
	if s.Secret == nil {
		return "", fmt.Errorf("%w: it needs a Secret: name it in secretKeyRef", metric.ErrConfig)
	}
	value := trimmed(s.Secret[key])
	if value == "" {
		return "", fmt.Errorf("%w: secret %q has no value at key %q", metric.ErrConfig, s.Spec.SecretKeyRef.Name, key)
	}
	return value, nil
}

// URL is where the API begins: Spec.TargetServer, or fallback where that is empty.
func (s Server) URL(fallback string) (*url.URL, error) {
	return s.parseURL("targetServer", cmp.Or(s.Spec.TargetServer, fallback))
}

// parseURL reads the URL in a field. It does not repeat what it refuses, which can
// hold a password.
func (s Server) parseURL(field, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.User == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == ""):
		return nil, fmt.Errorf("%w: its %s is no http or https address: give it as http://host:9090", metric.ErrConfig, field)
	case u.User != nil:
		return nil, fmt.Errorf("%w: its %s has credentials in it: put them in a Secret and name it in secretKeyRef", metric.ErrConfig, field)
	}
	if err := s.Addresses.CheckHost(u.Hostname()); err != nil {
		return nil, err
	}
	return u, nil
}

// Limit is how many series a result may have.
func (s Server) Limit() int {
	if s.MaxSeries > 0 {
		return s.MaxSeries
	}
	return MaxSeries
}

// Client is an HTTP client that adds the credentials to every request, and whose
// errors are those of package metric. It keeps connections, so that it is worth
// keeping itself; CloseIdleConnections ends those that no request uses.
func (s Server) Client(auth Authenticator) (*http.Client, error) {
	base, err := s.transport()
	if err != nil {
		return nil, err
	}
	if auth == nil {
		auth = func(*http.Request) error { return nil }
	}
	now := s.Now
	if now == nil {
		now = time.Now
	}
	return &http.Client{
		Transport: &transport{
			base: s.Addresses.Transport(base), auth: auth, headers: s.Spec.Headers,
			maxBytes: cmp.Or(s.MaxBytes, MaxBytes), now: now,
		},
		CheckRedirect: refuseRedirect,
	}, nil
}

// transport is the connection with the server's certificates.
func (s Server) transport() (*http.Transport, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: s.Spec.InsecureSkipTLSVerify, //nolint:gosec // its administrator asks for it
	}
	if ca, ok := s.Certificates["ca.crt"]; ok {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("%w: key ca.crt of certSecretRef holds no certificate in PEM", metric.ErrConfig)
		}
	}
	cert, hasCert := s.Certificates["tls.crt"]
	key, hasKey := s.Certificates["tls.key"]
	if hasCert != hasKey {
		return nil, fmt.Errorf("%w: certSecretRef needs both of the keys tls.crt and tls.key, or neither", metric.ErrConfig)
	}
	if hasCert {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("%w: keys tls.crt and tls.key of certSecretRef are no pair in PEM", metric.ErrConfig)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,

		MaxResponseHeaderBytes: 1 << 20,
	}, nil
}
