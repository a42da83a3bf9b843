// Package wire speaks Git's transfer protocol with one remote: it lists refs, receives
// packs and pushes one ref.
//
// It asks for version 2 (gitprotocol-v2(5)), in which a remote lists only the refs asked
// for, and takes version 0 (gitprotocol-pack(5)) from those that answer in it. Over HTTP
// the first request goes through go-git's transport, which knows what redirects may do;
// what a remote said then of itself is a [Known], which spares the request the next time.
// SSH is spoken here because go-git's can neither be cancelled nor be given a deadline. A
// [Session] never stores anything: packs are streamed to a writer of the caller's. Errors
// carry no credentials, and nothing a remote sends is read without a bound.
package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
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

// A Known is what a remote said of itself over HTTP: where it is, which version it speaks
// and what it can do. It does not change, and holds no secret.
type Known struct {
	// At is the URL to which redirects led, and Authorized says whether the credentials
	// may go there with which it was asked.
	At         string `json:"at"`
	Authorized bool   `json:"authorized"`
	// V2 is what a remote of version 2 can do; nil for another.
	V2 *Features `json:"version2,omitempty"`
	v0 *capability.List
}

// Of tells whether it is known of the remote whoever asks, and in later processes too: if
// no redirect led to it, and it speaks version 2.
func (k *Known) Of(t Target) bool { return k != nil && k.V2 != nil && k.At == t.Endpoint.String() }

// A link carries requests to git-upload-pack.
type link interface {
	// ask sends a request, and returns the answer as it comes.
	ask(ctx context.Context, request []byte) (io.ReadCloser, error)
	Close() error
}

// A Session is one conversation with a remote about fetching. It is not safe for
// concurrent use.
type Session struct {
	target Target
	known  *Known
	link   link
	// assumed says that what is known is from an earlier session and yet to be confirmed,
	// spent that nothing can be asked any more.
	assumed, spent bool
	// adv are the refs that a remote of version 0 sends unasked.
	adv *packp.AdvRefs
	// shallow is what the latest answer named as the ends of a shallow history, and
	// partlyShallow says that there may be more of them.
	shallow                []plumbing.Hash
	fetched, partlyShallow bool
}

// Open begins a conversation. Over HTTP nothing is sent if the remote is known, and one
// request else; over SSH it makes a connection. The errors are ErrUnauthorized,
// ErrNotFound, ErrEmpty, ErrUnreachable, ErrTooLarge, ErrObjectFormat, ErrProtocol, or the
// context's.
func Open(ctx context.Context, t Target, known *Known) (*Session, error) {
	s := &Session{target: t}
	if t.SSH == nil && known != nil {
		s.known, s.assumed, s.link = known, true, t.HTTP.link(known)
		return s, nil
	}
	if err := s.discover(ctx); err != nil {
		return nil, classify(ctx, err)
	}
	return s, nil
}

// discover has the remote say what it is. Where it does not, nothing more can be asked.
func (s *Session) discover(ctx context.Context) error {
	if s.target.SSH != nil {
		remote, known, adv, err := s.target.SSH.discover(ctx, s.target.Endpoint)
		if err != nil {
			return err
		}
		s.link, s.known, s.adv = remote, known, adv
	} else {
		known, adv, err := s.target.HTTP.discover(ctx, s.target.Endpoint)
		if err != nil {
			s.spent = true
			return err
		}
		s.link, s.known, s.adv = s.target.HTTP.link(known), known, adv
	}
	s.assumed, s.spent = false, false
	if s.adv != nil {
		s.shallow, s.fetched = s.adv.Shallows, true
	}
	return nil
}

// confirmed runs a request, once more if the remote turns out not to be what is known of
// it.
func (s *Session) confirmed(ctx context.Context, request func() error) error {
	err := request()
	if s.assumed && isChange(classify(ctx, err)) {
		if err := s.discover(ctx); err != nil {
			return err
		}
		err = request()
	}
	s.assumed = s.assumed && err != nil
	return err
}

// Known is what to give to [Open] the next time; nil over SSH.
func (s *Session) Known() *Known {
	if s.target.SSH != nil {
		return nil
	}
	return s.known
}

// Again tells whether the session can go on with another request.
func (s *Session) Again() bool { return !s.spent }

// Filters tells whether the remote offers partial clones.
func (s *Session) Filters() bool {
	if s.known.V2 != nil {
		return s.known.V2.Filter
	}
	return s.known.v0.Supports(capability.Filter)
}

// Shallow returns the commits at which the remote's own history breaks off, of which some
// may have been known before.
func (s *Session) Shallow(before []plumbing.Hash) []plumbing.Hash {
	switch {
	case !s.fetched:
		return before
	case !s.partlyShallow:
		return s.shallow
	}
	all := slices.Clone(before)
	for _, h := range s.shallow {
		if !slices.Contains(all, h) {
			all = append(all, h)
		}
	}
	return all
}

// Close ends the conversation.
func (s *Session) Close() error { return s.link.Close() }

// Refs is where refs of a remote are.
type Refs struct {
	// At maps full names, and HEAD, to object names.
	At map[string]plumbing.Hash
	// Peeled maps the names of annotated tags to what those are about.
	Peeled map[string]plumbing.Hash
	// Head is the full name of the ref that HEAD stands for; "" if it is detached, or the
	// remote does not say.
	Head string
}

func newRefs() Refs {
	return Refs{At: map[string]plumbing.Hash{}, Peeled: map[string]plumbing.Hash{}}
}

// Refs asks where the refs are whose names begin with one of the prefixes; a remote of
// version 0 tells more. It returns ErrEmpty if the remote has no refs at all, and
// otherwise the errors of [Open].
func (s *Session) Refs(ctx context.Context, prefixes ...string) (refs Refs, err error) {
	err = s.confirmed(ctx, func() (err error) {
		refs, err = s.refs(ctx, prefixes)
		return err
	})
	return refs, classify(ctx, err)
}

func (s *Session) refs(ctx context.Context, prefixes []string) (Refs, error) {
	if s.known.V2 == nil && s.adv == nil {
		if err := s.discover(ctx); err != nil {
			return Refs{}, err
		}
	}
	if s.known.V2 == nil {
		return advertised(s.adv), nil
	}
	refs, err := s.listRefs(ctx, math.MaxInt, prefixes)
	if err != nil || len(refs.At) > 0 {
		return refs, err
	}
	one, err := s.listRefs(ctx, 1, nil)
	if err == nil && len(one.At) == 0 {
		err = ErrEmpty
	}
	return refs, err
}

// A Request is what one pack shall hold: all that Wants reach and Haves do not.
type Request struct {
	Wants, Haves []plumbing.Hash
	// Filter leaves objects out, in the syntax of git rev-list --filter; "" leaves
	// out none.
	Filter string
	// Limit is how many bytes the pack may have.
	Limit int64
}

// Fetch requests a pack and copies it to w as it arrives. Besides the errors of
// [Open] it returns ErrRefused if the remote will not send what is wanted, ErrFilter if
// it will not filter so, and ErrTooLarge if the pack exceeds the limit, after which w
// holds its beginning. An error of w is returned as it is.
func (s *Session) Fetch(ctx context.Context, r Request, w io.Writer) (err error) {
	var pack io.ReadCloser
	if err := s.confirmed(ctx, func() (err error) {
		if r.Filter != "" && !s.Filters() {
			return ErrFilter
		}
		if s.known.V2 != nil {
			pack, err = s.askForPack(ctx, r)
			return err
		}
		pack, err = s.uploadPack(ctx, r)
		return err
	}); err != nil {
		s.spent = s.target.SSH != nil
		return classify(ctx, err)
	}
	defer func() { err = errors.Join(err, pack.Close()) }()
	to := &sink{w: w}
	n, err := io.Copy(to, io.LimitReader(pack, r.Limit+1))
	if err == nil && n > r.Limit {
		err = fmt.Errorf("%w: the pack has more than %d bytes", ErrTooLarge, r.Limit)
	}
	s.spent = s.target.SSH != nil && (err != nil || s.known.V2 == nil)
	if to.err != nil {
		return fmt.Errorf("receiving a pack: %w", to.err)
	}
	if err != nil {
		return classify(ctx, fmt.Errorf("receiving a pack: %w", err))
	}
	return nil
}

// A sink remembers why it could not be written to, which is not the remote's fault.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (n int, err error) {
	n, s.err = s.w.Write(p)
	return n, s.err
}
