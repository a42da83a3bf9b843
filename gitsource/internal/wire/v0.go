package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
)

// advertised are the refs that a remote of version 0 sends when a session begins.
func advertised(adv *packp.AdvRefs) Refs {
	refs := Refs{At: adv.References, Peeled: adv.Peeled}
	if adv.Head == nil {
		return refs
	}
	refs.At[plumbing.HEAD.String()] = *adv.Head
	for _, usual := range []string{"refs/heads/master", "refs/heads/main"} {
		if refs.At[usual] == *adv.Head { // old servers do not say where HEAD points
			refs.Head = usual
		}
	}
	for _, symref := range adv.Capabilities.Get(capability.SymRef) {
		if target, ok := strings.CutPrefix(symref, "HEAD:"); ok {
			refs.Head = target
		}
	}
	return refs
}

// uploadPack requests a pack, and returns it as it comes.
func (s *Session) uploadPack(ctx context.Context, r Request) (io.ReadCloser, error) {
	req := s.request(r)
	body, err := encodeRequest(req, s.target.SSH != nil)
	if err != nil {
		return nil, err
	}
	answer, err := s.link.ask(ctx, body)
	if err != nil {
		return nil, err
	}
	resp := packp.NewUploadPackResponse(req)
	if err := resp.Decode(answer); err != nil {
		return nil, errors.Join(err, answer.Close())
	}
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		return limitedBody{sideband.NewDemuxer(sideband.Sideband64k, resp), resp}, nil
	case req.Capabilities.Supports(capability.Sideband):
		return limitedBody{sideband.NewDemuxer(sideband.Sideband, resp), resp}, nil
	}
	return resp, nil
}

// encodeRequest writes a request; the remote of a stateful one waits for a flush.
func encodeRequest(req *packp.UploadPackRequest, stateful bool) ([]byte, error) {
	var body bytes.Buffer
	if err := req.UploadRequest.Encode(&body); err != nil {
		return nil, err
	}
	if err := req.UploadHaves.Encode(&body, stateful); err != nil {
		return nil, err
	}
	err := pktline.NewEncoder(&body).EncodeString("done\n")
	return body.Bytes(), err
}

func (s *Session) request(r Request) *packp.UploadPackRequest {
	has := s.known.v0
	req := packp.NewUploadPackRequestFromCapabilities(has)
	req.Wants, req.Haves = r.Wants, r.Haves
	if has.Supports(capability.NoProgress) {
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
