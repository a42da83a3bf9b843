// Package wire speaks Git's transfer protocol (gitprotocol-pack(5), version 0) with
// one remote: it lists refs, receives packs and pushes one ref.
//
// HTTP goes through go-git's transport; SSH is spoken here because go-git's can
// neither be cancelled nor be given a deadline. A [Session] never stores anything:
// packs are streamed to a writer of the caller's. Errors carry no credentials, and
// nothing a remote sends is read without a bound.
package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// A Target is one repository and the means to reach it.
type Target struct {
	// Endpoint is the parsed URL without user and password, which are in the
	// credentials below (the user of an SSH URL is in SSH.User).
	Endpoint transport.Endpoint
	// HTTP is used when Endpoint.Protocol is http or https.
	HTTP *HTTP
	// SSH is used when Endpoint.Protocol is ssh.
	SSH *SSH
}

// fetcher and pusher are the parts used of go-git's transport.UploadPackSession and
// transport.ReceivePackSession.
type (
	fetcher interface {
		AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error)
		UploadPack(context.Context, *packp.UploadPackRequest) (*packp.UploadPackResponse, error)
		Close() error
	}
	pusher interface {
		AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error)
		ReceivePack(context.Context, *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error)
		Close() error
	}
)

// A Session is one conversation with a remote about fetching. It is not safe for
// concurrent use.
type Session struct {
	target  Target
	session fetcher
	adv     *packp.AdvRefs
}

// Open connects and asks for the refs: one request over HTTP, one connection over
// SSH. The errors are ErrUnauthorized, ErrNotFound, ErrEmpty, ErrUnreachable,
// ErrTooLarge, the context's, or others for answers that are no Git.
func Open(ctx context.Context, t Target) (*Session, error) {
	up, err := t.uploadPack(ctx)
	if err != nil {
		return nil, classify(ctx, err)
	}
	adv, err := up.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, errors.Join(classify(ctx, err), up.Close())
	}
	return &Session{target: t, session: up, adv: adv}, nil
}

// Refs is what the remote advertised.
func (s *Session) Refs() *packp.AdvRefs { return s.adv }

// Reusable tells whether Fetch may be called more than once, and later: HTTP keeps
// no connection, SSH one that is spent after the first pack.
func (s *Session) Reusable() bool { return s.target.SSH == nil }

// Filters tells whether the remote offers partial clones.
func (s *Session) Filters() bool { return s.adv.Capabilities.Supports(capability.Filter) }

// Close ends the connection.
func (s *Session) Close() error { return s.session.Close() }

// A Request is what one pack shall hold: all that Wants reach and Haves do not.
type Request struct {
	Wants, Haves []plumbing.Hash
	// Filter leaves objects out, in the syntax of git rev-list --filter; "" leaves
	// out none. The remote must offer it.
	Filter string
	// Limit is how many bytes the pack may have.
	Limit int64
}

// Fetch requests a pack and copies it to w as it arrives. Besides the errors of
// [Open] it returns ErrRefused if the remote will not send what is wanted, and
// ErrTooLarge if the pack exceeds the limit, after which w holds its beginning.
func (s *Session) Fetch(ctx context.Context, r Request, w io.Writer) (err error) {
	req := s.request(r)
	resp, err := s.session.UploadPack(ctx, req)
	if err != nil {
		return classify(ctx, err)
	}
	defer func() { err = errors.Join(err, resp.Close()) }()

	pack := io.Reader(resp)
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		pack = sideband.NewDemuxer(sideband.Sideband64k, resp)
	case req.Capabilities.Supports(capability.Sideband):
		pack = sideband.NewDemuxer(sideband.Sideband, resp)
	}
	n, err := io.Copy(w, io.LimitReader(pack, r.Limit+1))
	if err != nil {
		return classify(ctx, fmt.Errorf("receiving a pack: %w", err))
	}
	if n > r.Limit {
		return fmt.Errorf("%w: the pack has more than %d bytes", ErrTooLarge, r.Limit)
	}
	return nil
}

func (s *Session) request(r Request) *packp.UploadPackRequest {
	req := packp.NewUploadPackRequestFromCapabilities(s.adv.Capabilities)
	req.Wants, req.Haves = r.Wants, r.Haves
	if s.adv.Capabilities.Supports(capability.NoProgress) {
		set(req.Capabilities, capability.NoProgress)
	}
	if needsMultiACK(s.target.Endpoint.Host) {
		set(req.Capabilities, capability.MultiACKDetailed)
	}
	if r.Filter != "" {
		set(req.Capabilities, capability.Filter)
		req.Filter = packp.Filter(r.Filter)
	}
	return req
}

// set adds a capability without arguments, which cannot fail.
func set(l *capability.List, c capability.Capability) { _ = l.Set(c) }

// needsMultiACK tells whether the host is Azure DevOps, which refuses requests
// without multi_ack. go-git hides from its callers whether a server offers it.
func needsMultiACK(host string) bool {
	host = strings.ToLower(host)
	return host == "dev.azure.com" || host == "ssh.dev.azure.com" || strings.HasSuffix(host, ".visualstudio.com")
}

// An Update moves one ref of a remote from Old to New: a remote whose ref is not at
// Old rejects it, so that nothing is lost that its sender has not seen.
type Update struct {
	Ref plumbing.ReferenceName
	// Old is the zero hash where the ref does not exist yet.
	Old, New plumbing.Hash
	// Pack holds the objects that New needs and the remote may lack.
	Pack []byte
}

// Push sends an update. It returns ErrRejected with the remote's reason if the
// remote did not move the ref, and otherwise the errors of [Open].
func Push(ctx context.Context, t Target, u Update) (err error) {
	rp, err := t.receivePack(ctx)
	if err != nil {
		return classify(ctx, err)
	}
	defer func() { err = errors.Join(err, rp.Close()) }()

	adv, err := rp.AdvertisedReferencesContext(ctx)
	if err != nil {
		return classify(ctx, err)
	}
	if now := adv.References[u.Ref.String()]; now != u.Old {
		return fmt.Errorf("%w: %s is at %s, not at %s", ErrRejected, u.Ref, now, u.Old)
	}
	req := packp.NewReferenceUpdateRequestFromCapabilities(adv.Capabilities)
	req.Commands = []*packp.Command{{Name: u.Ref, Old: u.Old, New: u.New}}
	req.Packfile = io.NopCloser(bytes.NewReader(u.Pack))
	report, err := rp.ReceivePack(ctx, req)
	if err != nil && report != nil {
		return fmt.Errorf("%w: %w", ErrRejected, err)
	}
	return classify(ctx, err)
}

func (t Target) uploadPack(ctx context.Context) (fetcher, error) {
	ep := t.Endpoint // a session may change it to follow a redirect
	if t.SSH != nil {
		return t.SSH.start(ctx, &ep, transport.UploadPackServiceName)
	}
	return t.HTTP.transport().NewUploadPackSession(&ep, t.HTTP.auth())
}

func (t Target) receivePack(ctx context.Context) (pusher, error) {
	ep := t.Endpoint
	if t.SSH != nil {
		return t.SSH.start(ctx, &ep, transport.ReceivePackServiceName)
	}
	return t.HTTP.transport().NewReceivePackSession(&ep, t.HTTP.auth())
}
