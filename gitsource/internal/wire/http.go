package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/keptn/gitops/outbound"
)

// Bounds on what a server may send before it sends a pack.
const (
	maxRefsBytes  = 64 << 20 // about a million refs
	maxErrorBytes = 64 << 10
)

// Bounds on the connections that one client has: to one host at once, and of those kept
// for the next request. Who finds all in use waits.
const (
	maxConnsPerHost = 32
	maxIdlePerHost  = 8
)

// HTTP is how to reach a remote by http or https.
type HTTP struct {
	// Client is made by [NewHTTPClient].
	Client *http.Client
	// Username and Password are sent as basic authentication if there is a
	// Password or a Username; Bearer, if set, is sent instead.
	Username, Password, Bearer string
}

// Trust returns settings that trust the system's certificates and those in ca (PEM, may be
// empty), as Git and Flux do with one of their own.
func Trust(ca []byte) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) == 0 {
		return config, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(ca) {
		return nil, errors.New("the CA holds no certificate: expected PEM, as in a file ca.crt")
	}
	config.RootCAs = pool
	return config, nil
}

// NewHTTPClient returns a client that trusts what [Trust] says, and shows the client
// certificate if there is one. It goes through the proxy, or follows HTTP_PROXY and its kin
// if that is nil, and reaches the given addresses only.
func NewHTTPClient(ca []byte, certificate *tls.Certificate, proxy *url.URL, addresses outbound.Addresses) (*http.Client, error) {
	config, err := Trust(ca)
	if err != nil {
		return nil, err
	}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	through := http.ProxyFromEnvironment
	if proxy != nil {
		through = http.ProxyURL(proxy)
	}
	return &http.Client{Transport: bounded{addresses.Transport(&http.Transport{
		Proxy:                 through,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute, // a server may count objects first
		IdleConnTimeout:       90 * time.Second,
		MaxConnsPerHost:       maxConnsPerHost,
		MaxIdleConnsPerHost:   maxIdlePerHost,
		MaxIdleConns:          4 * maxIdlePerHost,
		ForceAttemptHTTP2:     true,
	})}}, nil
}

// transport follows a redirect of the first request only, never from https to http,
// and drops the credentials when one leads to another origin: go-git's defaults.
func (h *HTTP) transport() transport.Transport {
	return githttp.NewClient(h.Client)
}

func (h *HTTP) auth() transport.AuthMethod {
	switch {
	case h.Bearer != "":
		return &githttp.TokenAuth{Token: h.Bearer}
	case h.Username != "" || h.Password != "":
		return &githttp.BasicAuth{Username: h.Username, Password: h.Password}
	}
	return nil
}

// bounded limits the answers that go-git reads whole, refs and error pages, and lets a
// [discovery] see the first answer.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	seen, asks := req.Context().Value(discoveryKey{}).(*discovery)
	if asks {
		req = req.Clone(req.Context())
		req.Header.Set(protocolHeader, askForTwo)
	}
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode >= http.StatusMultipleChoices:
		resp.Body = limitedBody{io.LimitReader(resp.Body, maxErrorBytes), resp.Body}
	case strings.HasSuffix(req.URL.Path, "/info/refs"):
		what := fmt.Sprintf("the refs have more than %d bytes", maxRefsBytes)
		resp.Body = limitedBody{&strictReader{resp.Body, maxRefsBytes, what}, resp.Body}
		if !asks {
			break
		}
		if err := seen.see(req, resp); err != nil {
			return nil, err
		}
	}
	return resp, nil
}

type limitedBody struct {
	io.Reader
	io.Closer
}
