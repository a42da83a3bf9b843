package forge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// maxAnswer bounds how much of an answer is read, in bytes.
	maxAnswer = 16 << 20
	// maxSaid bounds what is quoted of a forge's explanation, in runes.
	maxSaid = 200
	// maxRedirects bounds how often a repository may have moved.
	maxRedirects = 5
	// idleConnTimeout and handshakeTimeout are those of http.DefaultTransport.
	idleConnTimeout  = 90 * time.Second
	handshakeTimeout = 10 * time.Second
)

// NewClient returns a client that trusts the certificates of ca (PEM) instead
// of the system's, or the system's if ca is empty, and takes the proxy from the
// environment. It keeps connections open: make one per host, not per request.
func NewClient(ca []byte) (*http.Client, error) {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		IdleConnTimeout:     idleConnTimeout,
		TLSHandshakeTimeout: handshakeTimeout,
	}
	if len(ca) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(ca) {
			return nil, errors.New("the CA holds no certificate: expected PEM, as in a file ca.crt")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport}, nil
}

// An api speaks JSON over HTTP with one forge.
type api struct {
	client http.Client
	base   url.URL
	// authorize adds the credential; redact takes it out of a text. They are
	// functions so that a formatted api cannot show it.
	authorize func(http.Header)
	redact    func(string) string
}

// newAPI returns an api that sends the token in the Authorization header,
// after the word that the forge expects there.
func newAPI(client *http.Client, base url.URL, word string, token Token) api {
	if client == nil {
		client = http.DefaultClient
	}
	a := api{client: *client, base: base}
	a.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	a.authorize = func(h http.Header) { h.Set("Authorization", word+" "+string(token)) }
	a.redact = func(text string) string { return strings.ReplaceAll(text, string(token), redacted) }
	return a
}

// call sends in as JSON, if not nil, and reads the answer into out. path is
// escaped already.
func (a api) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encoding the request: %w", err)
		}
	}
	at, err := url.Parse(a.base.String() + path)
	if err != nil {
		return fmt.Errorf("building the request: %w", err)
	}
	at.RawQuery = query.Encode()
	for range maxRedirects {
		got, err := a.once(ctx, method, at, body)
		if err != nil {
			return err
		}
		if got.code < 300 || got.code >= 400 {
			return a.read(got, out)
		}
		if at, err = got.redirect(at); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: more than %d redirects", ErrRejected, maxRedirects)
}

// An answer is what came back for one request.
type answer struct {
	code   int
	header http.Header
	body   []byte
}

// once makes one request.
func (a api) once(ctx context.Context, method string, at *url.URL, body []byte) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("building the request: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	a.authorize(request.Header)
	response, err := a.client.Do(request)
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	defer func() { _ = response.Body.Close() }()
	got := answer{code: response.StatusCode, header: response.Header}
	if got.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer)); err != nil {
		return answer{}, fmt.Errorf("%w: reading the answer: %w", ErrTemporary, err)
	}
	return got, nil
}

// read decodes an answer, or turns it into an error. An empty one leaves out as
// it is.
func (a api) read(got answer, out any) error {
	if got.code < 200 || got.code >= 300 {
		return answered(got.code, got.header, a.said(got.body))
	}
	if len(bytes.TrimSpace(got.body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(got.body, out); err != nil {
		return fmt.Errorf("%w: the answer is not what the forge's API would say (%w): check the API URL", ErrRejected, err)
	}
	return nil
}

// redirect follows a repository that was renamed. The method stays, other than
// browsers do it: Gitea answers 301 to a POST too, and a GET in its stead would
// succeed and write nothing. The token never goes to another host, nor from
// https to http.
func (got answer) redirect(from *url.URL) (*url.URL, error) {
	location := got.header.Get("Location")
	to, err := from.Parse(location)
	if err != nil || location == "" {
		return nil, fmt.Errorf("%w: HTTP %d without a usable Location", ErrRejected, got.code)
	}
	if to.Host != from.Host || from.Scheme == "https" && to.Scheme != "https" {
		return nil, fmt.Errorf("%w: redirected from %s://%s to %s://%s, where the token must not go: set the API URL", ErrRejected, from.Scheme, from.Host, to.Scheme, to.Host)
	}
	return to, nil
}

// said is what the body of an answer explains, in one bounded line.
func (a api) said(body []byte) string {
	var explained struct {
		Message string `json:"message"`
	}
	text := string(body)
	if json.Unmarshal(body, &explained) == nil {
		text = explained.Message
	}
	return cut(oneLine(a.redact(text)), maxSaid)
}
