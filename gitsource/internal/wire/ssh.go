package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// SSH is how to reach a remote by ssh.
type SSH struct {
	// User is the login name, usually git.
	User string
	// Signer is the private key.
	Signer ssh.Signer
	// KnownHosts tells whom to trust.
	KnownHosts *knownhosts.HostKeyDB
	// Dialer makes the connection.
	Dialer Dialer
}

// A Dialer makes connections, as [net.Dialer] does.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// start runs a Git service on the remote. The connection ends with ctx at the
// latest, whatever the remote does.
func (s *SSH) start(ctx context.Context, ep *transport.Endpoint, service string) (*sshSession, error) {
	port := ep.Port
	if port == 0 {
		port = 22
	}
	addr := net.JoinHostPort(strings.Trim(ep.Host, "[]"), strconv.Itoa(port))
	conn, err := s.Dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	c, chans, reqs, err := ssh.NewClientConn(conn, addr, &ssh.ClientConfig{
		User:              s.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(s.Signer)},
		HostKeyCallback:   s.KnownHosts.HostKeyCallback(),
		HostKeyAlgorithms: s.KnownHosts.HostKeyAlgorithms(addr),
	})
	if err != nil {
		stop()
		_ = conn.Close()
		if context.Cause(ctx) != nil {
			return nil, err // of the connection we closed ourselves
		}
		return nil, handshakeError(s.User, addr, err)
	}
	session := &sshSession{service: service, client: ssh.NewClient(c, chans, reqs), stop: stop}
	if err := session.run(service + " " + shellQuote(ep.Path)); err != nil {
		return nil, errors.Join(err, session.Close())
	}
	return session, nil
}

func handshakeError(user, addr string, err error) error {
	switch {
	case knownhosts.IsHostKeyChanged(err):
		return fmt.Errorf("%w: the key of %s is not the one in known_hosts", ErrUnauthorized, addr)
	case knownhosts.IsHostUnknown(err):
		return fmt.Errorf("%w: %s is not in known_hosts; add it there", ErrUnauthorized, addr)
	case strings.Contains(err.Error(), "unable to authenticate"): // x/crypto/ssh has no type for it
		return fmt.Errorf("%w: %s does not accept the key in identity for the user %q of the URL", ErrUnauthorized, addr, user)
	}
	return fmt.Errorf("%w: ssh handshake with %s: %w", ErrUnreachable, addr, err)
}

// shellQuote writes a path as one word for the remote's shell, as Git does
// (sq_quote_buf in quote.c).
func shellQuote(path string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
}

// sshSession is one run of git-upload-pack or git-receive-pack.
type sshSession struct {
	service string
	client  *ssh.Client
	stop    func() bool
	stdin   io.WriteCloser
	stdout  *bufio.Reader
	stderr  excerpt
	exited  chan struct{}
}

var (
	_ link   = (*sshSession)(nil)
	_ pusher = (*sshSession)(nil)
)

// discover starts git-upload-pack, and reads what it says first.
func (s *SSH) discover(ctx context.Context, ep transport.Endpoint) (_ link, _ *Known, _ *packp.AdvRefs, err error) {
	session, err := s.start(ctx, &ep, transport.UploadPackServiceName)
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, session.Close())
		}
	}()
	two, err := isVersionTwo(session.stdout)
	if err != nil {
		return nil, nil, nil, err
	}
	if two {
		v2, err := readFeatures(session.stdout)
		return session, &Known{V2: v2}, nil, err
	}
	adv, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	return session, &Known{v0: adv.Capabilities}, adv, nil
}

// ask sends a request to git-upload-pack.
func (s *sshSession) ask(_ context.Context, request []byte) (io.ReadCloser, error) {
	_, err := s.stdin.Write(request)
	return io.NopCloser(s.stdout), err
}

func (s *sshSession) run(command string) error {
	session, err := s.client.NewSession()
	if err != nil {
		return err
	}
	stdin, err := session.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := session.StdoutPipe()
	if err != nil {
		return err
	}
	session.Stderr = &s.stderr
	if s.service == transport.UploadPackServiceName {
		_ = session.Setenv("GIT_PROTOCOL", askForTwo) // a server that does not take it speaks version 0
	}
	s.stdin, s.stdout, s.exited = stdin, bufio.NewReaderSize(stdout, openingBytes), make(chan struct{})
	if err := session.Start(command); err != nil {
		return err
	}
	go func() {
		_ = session.Wait() // ends with the connection; what went wrong is in the streams
		close(s.exited)
	}()
	return nil
}

// AdvertisedReferencesContext reads the refs that the remote sends unasked.
func (s *sshSession) AdvertisedReferencesContext(ctx context.Context) (*packp.AdvRefs, error) {
	adv := packp.NewAdvRefs()
	what := fmt.Sprintf("the refs have more than %d bytes", maxRefsBytes)
	err := adv.Decode(&strictReader{s.stdout, maxRefsBytes, what})
	switch {
	case errors.Is(err, packp.ErrEmptyInput):
		return nil, s.noAnswer(ctx)
	case err != nil && !errors.Is(err, packp.ErrEmptyAdvRefs):
		return nil, err
	case adv.IsEmpty() && s.service == transport.UploadPackServiceName:
		return nil, transport.ErrEmptyRemoteRepository
	}
	transport.FilterUnsupportedCapabilities(adv.Capabilities)
	return adv, nil
}

// noAnswer explains a remote that ended without a word on its standard output.
func (s *sshSession) noAnswer(ctx context.Context) error {
	select {
	case <-s.exited:
	case <-ctx.Done():
		return ctx.Err()
	}
	said := s.stderr.String()
	for _, text := range []string{"not found", "does not exist", "not appear to be a git repository", "not be found", "no such"} {
		if strings.Contains(strings.ToLower(said), text) {
			return ErrNotFound
		}
	}
	return fmt.Errorf("%w: the remote ended the session and said %q", ErrUnreachable, said)
}

// ReceivePack sends an update and the remote's report of it; the session can do so once.
func (s *sshSession) ReceivePack(_ context.Context, req *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error) {
	if err := req.Encode(s.stdin); err != nil {
		return nil, err
	}
	if !req.Capabilities.Supports(capability.ReportStatus) {
		return nil, nil //nolint:nilnil // the remote was not asked for a report, and go-git's interface has it so
	}
	report := packp.NewReportStatus()
	if err := report.Decode(s.stdout); err != nil {
		return nil, err
	}
	return report, report.Error()
}

// Close ends the connection, in the middle of a pack if need be.
func (s *sshSession) Close() error {
	s.stop()
	err := s.client.Close()
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// excerpt keeps the beginning of what is written to it.
type excerpt struct {
	mu   sync.Mutex
	text strings.Builder
}

func (e *excerpt) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	const most = 512
	e.text.Write(p[:min(len(p), max(0, most-e.text.Len()))])
	return len(p), nil
}

func (e *excerpt) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.TrimSpace(e.text.String())
}
