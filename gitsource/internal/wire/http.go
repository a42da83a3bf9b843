package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// Bounds on what a server may send before it sends a pack.
const (
	maxRefsBytes  = 64 << 20 // about a million refs
	maxErrorBytes = 64 << 10
)

// HTTP is how to reach a remote by http or https.
type HTTP struct {
	// Client is made by [NewHTTPClient].
	Client *http.Client
	// Username and Password are sent as basic authentication if there is a
	// Password or a Username; Bearer, if set, is sent instead.
	Username, Password, Bearer string
}

// NewHTTPClient returns a client that trusts the system's certificates and those in
// ca (PEM, may be empty), and shows the client certificate if there is one. It
// follows HTTP_PROXY and its kin.
func NewHTTPClient(ca []byte, certificate *tls.Certificate) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(ca) {
			return nil, errors.New("the CA holds no PEM certificate")
		}
		config.RootCAs = pool
	}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	return &http.Client{Transport: bounded{&http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute, // a server may count objects first
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   2,
		ForceAttemptHTTP2:     true,
	}}}, nil
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

// bounded limits the answers that go-git reads whole: refs and error pages.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode >= http.StatusMultipleChoices:
		resp.Body = limitedBody{io.LimitReader(resp.Body, maxErrorBytes), resp.Body}
	case strings.HasSuffix(req.URL.Path, "/info/refs"):
		resp.Body = limitedBody{&strictReader{resp.Body, maxRefsBytes}, resp.Body}
	}
	return resp, nil
}

type limitedBody struct {
	io.Reader
	io.Closer
}

// strictReader fails where io.LimitReader would pretend an end.
type strictReader struct {
	r    io.Reader
	left int64
}

func (s *strictReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if s.left -= int64(n); s.left < 0 {
		return 0, fmt.Errorf("%w: the refs have more than %d bytes", ErrTooLarge, int64(maxRefsBytes))
	}
	return n, err
}
