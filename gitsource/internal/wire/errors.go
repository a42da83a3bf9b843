package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// The errors that callers decide on.
var (
	// ErrUnauthorized: the credentials were refused (HTTP 401 or 403, no SSH key
	// accepted), or the host could not prove to be the one in known_hosts.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrNotFound: there is no such repository, or the credentials do not show it.
	ErrNotFound = errors.New("repository not found")
	// ErrEmpty: the repository has no refs yet.
	ErrEmpty = errors.New("repository is empty")
	// ErrUnreachable: no answer, or a temporary one (HTTP 429 or 5xx); try later.
	ErrUnreachable = errors.New("remote unreachable")
	// ErrTooLarge: a limit was exceeded.
	ErrTooLarge = errors.New("too large")
	// ErrRefused: the remote will not send an object, because it has none of that
	// name or because no ref points at it.
	ErrRefused = errors.New("remote does not send the wanted object")
	// ErrRejected: the remote did not move the pushed ref.
	ErrRejected = errors.New("push rejected")
)

// refusals are what servers answer to a want they do not serve: Git, then JGit.
// The protocol has no code for it (gitprotocol-pack(5), "error-line").
var refusals = []string{"not our ref", "not valid"}

// classify gives an error of go-git's, of net's or of ssh's one of the kinds above.
func classify(ctx context.Context, err error) error {
	if err == nil || isKnown(err) {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("interrupted: %w", cause)
	}
	var unexpected *plumbing.UnexpectedError
	if errors.As(err, &unexpected) {
		err = unexpected.Err // it has no Unwrap
	}
	var status *githttp.Err
	var network net.Error
	var request *url.Error
	switch {
	case errors.Is(err, transport.ErrAuthenticationRequired), errors.Is(err, transport.ErrAuthorizationFailed):
		return fmt.Errorf("%w: the remote refused the credentials or wants some", ErrUnauthorized)
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return ErrNotFound
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return ErrEmpty
	case errors.As(err, &status):
		return classifyStatus(status.StatusCode())
	case errors.As(err, &request):
		return fmt.Errorf("%w: %w", ErrUnreachable, request.Err)
	case errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	case isRefusal(err):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

func classifyStatus(code int) error {
	text := http.StatusText(code)
	switch {
	case code == http.StatusGone:
		return fmt.Errorf("%w: HTTP %d %s", ErrNotFound, code, text)
	case code == http.StatusTooManyRequests, code >= http.StatusInternalServerError:
		return fmt.Errorf("%w: HTTP %d %s", ErrUnreachable, code, text)
	}
	return fmt.Errorf("the remote answered HTTP %d %s", code, text)
}

func isKnown(err error) bool {
	for _, known := range []error{ErrUnauthorized, ErrNotFound, ErrEmpty, ErrUnreachable, ErrTooLarge, ErrRefused, ErrRejected} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func isRefusal(err error) bool {
	for _, text := range refusals {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}
