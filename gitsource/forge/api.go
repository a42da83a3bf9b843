package forge

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/keptn/gitops/gitsource/internal/wire"
	"github.com/keptn/gitops/outbound"
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

// NewClient returns a client that trusts the certificates of ca (PEM, may be empty) beside
// the system's, and goes through the proxy, or through that of the environment if it is
// nil. It reaches the given addresses only. It keeps connections open: make one per host,
// not per request.
func NewClient(ca []byte, proxy *url.URL, addresses outbound.Addresses) (*http.Client, error) {
	trusted, err := wire.Trust(ca)
	if err != nil {
		return nil, err
	}
	through := http.ProxyFromEnvironment
	if proxy != nil {
		through = http.ProxyURL(proxy)
	}
	transport := &http.Transport{
		Proxy:               through,
		TLSClientConfig:     trusted,
		ForceAttemptHTTP2:   true,
		IdleConnTimeout:     idleConnTimeout,
		TLSHandshakeTimeout: handshakeTimeout,
	}
	return &http.Client{Transport: addresses.Transport(transport)}, nil
}

// A credential adds itself to the header of a request, and returns the secret in it,
// which is never shown. It may have to ask for it first.
type credential func(ctx context.Context, header http.Header) (Token, error)

// inHeader is a token that is sent as it is: in the named header, after what the forge
// expects before it there.
func inHeader(name, before string, token Token) credential {
	return func(_ context.Context, header http.Header) (Token, error) {
		header.Set(name, before+string(token))
		return token, nil
	}
}

// basic is a user and a token, as RFC 7617 says it.
func basic(user string, token Token) credential {
	pair := base64.StdEncoding.EncodeToString([]byte(user + ":" + string(token)))
	return func(_ context.Context, header http.Header) (Token, error) {
		header.Set("Authorization", "Basic "+pair)
		return token, nil
	}
}

// An api speaks JSON over HTTP with one forge.
type api struct {
	client http.Client
	base   url.URL
	// header is sent with every request.
	header http.Header
	// authorize is a function so that a formatted api cannot show the token.
	authorize credential
	// by is whose requests they are, and pauses are when to make none.
	by     asker
	pauses *Pauses
	// refused, if not nil, is told of a secret that was not allowed what it asked for.
	refused func(Token)
	answers *Answers
}

// newAPI returns an api of the target's forge, which is at base.
func newAPI(target Target, base url.URL, authorize credential) api {
	client := target.Client
	if client == nil {
		client = http.DefaultClient
	}
	a := api{
		client: *client, base: base, authorize: authorize, answers: target.Answers, pauses: target.Pauses,
		header: http.Header{"Accept": {"application/json"}},
	}
	if a.answers == nil {
		a.answers = NewAnswers()
	}
	a.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
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
	at, err := a.at(path, query)
	if err != nil {
		return err
	}
	got, err := a.ask(ctx, method, at, body)
	if err != nil {
		return err
	}
	return got.read(out)
}

// at is the address of a resource.
func (a api) at(path string, query url.Values) (*url.URL, error) {
	at, err := url.Parse(a.base.String() + path)
	if err != nil {
		return nil, fmt.Errorf("building the request: %w", err)
	}
	at.RawQuery = query.Encode()
	return at, nil
}

// ask makes a request, and follows a repository that has moved.
func (a api) ask(ctx context.Context, method string, at *url.URL, body []byte) (answer, error) {
	for range maxRedirects {
		got, err := a.once(ctx, method, at, body)
		if err != nil || got.code < 300 || got.code >= 400 {
			return got, err
		}
		if at, err = leads(at, got.header.Get("Location")); err != nil {
			return answer{}, fmt.Errorf("HTTP %d: %w", got.code, err)
		}
	}
	return answer{}, fmt.Errorf("%w: more than %d redirects", ErrRejected, maxRedirects)
}

// An answer is what came back for one request.
type answer struct {
	at     *url.URL // what was asked
	code   int
	header http.Header
	body   []byte
	sent   Token // the secret in the request
	sentAs Token // and how the header Authorization has it
}

// once makes one request, unless the forge has asked for a pause.
func (a api) once(ctx context.Context, method string, at *url.URL, body []byte) (answer, error) {
	if err := a.pauses.heed(a.by); err != nil {
		return answer{}, err
	}
	got, err := a.exchange(ctx, method, at, body)
	if err != nil {
		a.pauses.note(a.by, err)
		return answer{}, err
	}
	said := got.read(nil)
	a.pauses.note(a.by, said)
	if a.refused != nil && errors.Is(said, ErrUnauthorized) {
		a.refused(got.sent)
	}
	return got, nil
}

// exchange makes one request. An answer that was kept, and that is still the forge's, is
// returned in place of one that says so.
func (a api) exchange(ctx context.Context, method string, at *url.URL, body []byte) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, at.String(), bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("building the request: %w", err)
	}
	request.Header = a.header.Clone()
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	sent, err := a.authorize(ctx, request.Header)
	if err != nil {
		return answer{}, err
	}
	_, sentAs, _ := strings.Cut(request.Header.Get("Authorization"), " ")
	kept := a.answers.offer(request, sent)
	response, err := a.client.Do(request)
	if errors.Is(err, outbound.ErrForbidden) {
		return answer{}, fmt.Errorf("%w: %w", ErrRejected, err)
	}
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrTemporary, err)
	}
	defer func() { _ = response.Body.Close() }()
	got := answer{at: at, code: response.StatusCode, header: response.Header, sent: sent, sentAs: Token(sentAs)}
	if got.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer)); err != nil {
		return answer{}, fmt.Errorf("%w: reading the answer: %w", ErrTemporary, err)
	}
	if got.code == http.StatusNotModified && kept != nil {
		return *kept, nil
	}
	a.answers.keep(request, got)
	return got, nil
}

// read decodes an answer, or turns it into an error. An empty one leaves out as
// it is.
func (got answer) read(out any) error {
	if got.code < 200 || got.code >= 300 || got.code == http.StatusNonAuthoritativeInfo {
		return answered(got.code, got.header, got.said())
	}
	if out == nil || len(bytes.TrimSpace(got.body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(got.body, out); err != nil {
		return fmt.Errorf("%w: %w (%w): check the API URL", ErrRejected, errGarbled, err)
	}
	return nil
}

// leads is where an address in an answer leads: a repository that was renamed, or the
// next page. The method of a redirected request stays, other than browsers do it: Gitea
// answers 301 to a POST too, and a GET in its stead would succeed and write nothing. The
// token never goes to another host, nor from https to http.
func leads(from *url.URL, location string) (*url.URL, error) {
	to, err := from.Parse(location)
	if err != nil || location == "" {
		return nil, fmt.Errorf("%w: it leads to no usable address", ErrRejected)
	}
	if to.Host != from.Host || from.Scheme == "https" && to.Scheme != "https" {
		return nil, fmt.Errorf("%w: redirected from %s://%s to %s://%s, where the token must not go: set the API URL", ErrRejected, from.Scheme, from.Host, to.Scheme, to.Host)
	}
	return to, nil
}

// said is what the body of an answer explains, in one bounded line.
func (got answer) said() string {
	var explained struct {
		Message json.RawMessage `json:"message"`
		Error   json.RawMessage `json:"error"`
		Errors  json.RawMessage `json:"errors"`
	}
	text := string(got.body)
	if json.Unmarshal(got.body, &explained) == nil {
		text = ""
		for _, part := range []json.RawMessage{explained.Message, explained.Error, explained.Errors} {
			text += " " + worded(part)
		}
	}
	for _, secret := range []Token{got.sent, got.sentAs} {
		if secret != "" {
			text = strings.ReplaceAll(text, string(secret), redacted)
		}
	}
	return cut(oneLine(text), maxSaid)
}

// worded is a JSON string as it reads, and any other value as JSON.
func worded(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}
