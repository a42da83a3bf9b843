package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// A pusher is the part used of go-git's transport.ReceivePackSession. Pushing has no
// version 2.
type pusher interface {
	AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error)
	ReceivePack(context.Context, *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error)
	Close() error
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
	if err = classify(ctx, err); errors.Is(err, ErrProtocol) {
		return fmt.Errorf("%w; some servers answer so where the credentials may only read: let them write", err)
	}
	if err != nil {
		return err
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

func (t Target) receivePack(ctx context.Context) (pusher, error) {
	ep := t.Endpoint // a session may change it to follow a redirect
	if t.SSH != nil {
		return t.SSH.start(ctx, &ep, transport.ReceivePackServiceName)
	}
	return t.HTTP.transport().NewReceivePackSession(&ep, t.HTTP.auth())
}
