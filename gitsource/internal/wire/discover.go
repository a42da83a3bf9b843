package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

const (
	// protocolHeader and the environment variable GIT_PROTOCOL say which version is asked for.
	protocolHeader = "Git-Protocol"
	askForTwo      = "version=2"
	// versionTwo is the line that begins an answer in version 2.
	versionTwo = "version 2"
	// sha1Format is the only object format that is supported.
	sha1Format = "sha1"
	// openingBytes is how much of an answer is looked at to see what it is.
	openingBytes = 8 << 10
)

// discover has a remote say what it is: where redirects lead, which version it speaks, and
// in version 0 its refs. What redirects may do is for go-git, whose defaults are to follow
// those of this request only, never from https to http, and to drop the credentials when
// one leads to another origin.
func (h *HTTP) discover(ctx context.Context, ep transport.Endpoint) (*Known, *packp.AdvRefs, error) {
	from := ep.String()
	session, err := h.transport().NewUploadPackSession(&ep, h.auth())
	if err != nil {
		return nil, nil, err
	}
	seen := &discovery{}
	adv, err := session.AdvertisedReferencesContext(context.WithValue(ctx, discoveryKey{}, seen))
	known := &Known{Authorized: seen.authorized, V2: seen.v2}
	if seen.v2 == nil || !errors.Is(err, transport.ErrEmptyRemoteRepository) {
		if err != nil {
			return nil, nil, err
		}
		known.v0 = adv.Capabilities
	}
	known.At = ep.String() // without credentials, and where the redirects led
	if known.At == from {
		known.Authorized = true
	}
	return known, adv, nil
}

// discoveryKey is where the context of a first request has its discovery.
type discoveryKey struct{}

// A discovery is what the first answer of a remote says beyond what go-git reads.
type discovery struct {
	authorized bool
	v2         *Features
}

// see looks at an answer. One of version 2 is taken out of it: to go-git, which does not
// know that version, it looks like the answer of a repository without refs.
func (d *discovery) see(req *http.Request, resp *http.Response) error {
	d.authorized = req.Header.Get("Authorization") != ""
	body := bufio.NewReaderSize(resp.Body, openingBytes)
	two, err := isVersionTwo(body)
	if err == nil && two {
		d.v2, err = readFeatures(body)
	}
	if err != nil {
		return errors.Join(err, resp.Body.Close())
	}
	resp.Body = limitedBody{body, resp.Body}
	if two {
		resp.Body = limitedBody{strings.NewReader("001e# service=git-upload-pack\n0000" + flushPkt), resp.Body}
	}
	return nil
}

// objectFormat finds the object format among the capabilities of version 0.
var objectFormat = regexp.MustCompile(`\x00(?:.* )?object-format=(\S+)`)

// isVersionTwo looks at the beginning of an answer, which it leaves unread. It returns
// ErrObjectFormat for refs that are not named by SHA-1.
func isVersionTwo(r *bufio.Reader) (bool, error) {
	at := 0
	for service := false; ; { // over HTTP the service comes first, and a flush after it
		head, err := r.Peek(at + 4)
		if err != nil {
			return false, nil //nolint:nilerr // whoever reads it meets the error again
		}
		n, err := strconv.ParseUint(string(head[at:]), 16, 16)
		if err != nil || n > 0 && n < 4 {
			return false, nil //nolint:nilerr // as above
		}
		beginning, _ := r.Peek(min(at+int(max(n, 4)), openingBytes))
		line := beginning[min(at+4, len(beginning)):]
		at += int(max(n, 4))
		if bytes.HasPrefix(line, []byte("# service=")) && !service || n == 0 && service {
			service = !service
			continue
		}
		if m := objectFormat.FindSubmatch(line); m != nil && string(m[1]) != sha1Format {
			return false, fmt.Errorf("%w: it is %s", ErrObjectFormat, printable(string(m[1])))
		}
		return strings.TrimSuffix(string(line), "\n") == versionTwo, nil
	}
}

// httpLink asks a remote that is known.
type httpLink struct {
	http  *HTTP
	known *Known
}

func (h *HTTP) link(known *Known) link { return &httpLink{h, known} }

// ask posts a request. It follows no redirect.
func (l *httpLink) ask(ctx context.Context, request []byte) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.known.At+"/"+transport.UploadPackServiceName, bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", capability.DefaultAgent())
	req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
	req.Header.Set("Accept", "application/x-git-upload-pack-result")
	if l.known.V2 != nil {
		req.Header.Set(protocolHeader, askForTwo)
	}
	if auth, ok := l.http.auth().(githttp.AuthMethod); ok && l.known.Authorized {
		auth.SetAuth(req)
	}
	client := *l.http.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if err := githttp.NewErr(resp); err != nil {
		return nil, err
	}
	body := bufio.NewReaderSize(resp.Body, openingBytes)
	if _, err := body.Peek(1); errors.Is(err, io.EOF) {
		return nil, errors.Join(fmt.Errorf("%w: an empty answer", ErrProtocol), resp.Body.Close())
	}
	return answer{body, resp.Body}, nil
}

// An answer is read to its end when it is closed, if that is near, so that the connection
// can be used again.
type answer struct {
	*bufio.Reader
	body io.Closer
}

func (a answer) Close() error {
	_, _ = io.CopyN(io.Discard, a.Reader, openingBytes) // what comes after the end does not matter
	return a.body.Close()
}

// Close does nothing, for there is no connection of its own.
func (l *httpLink) Close() error { return nil }
