package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/keptn/gitops/outbound"
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
	// ErrFilter: the remote offers partial clones, but not with this filter.
	ErrFilter = errors.New("remote does not filter so")
	// ErrObjectFormat: the repository names its objects by another hash than SHA-1.
	ErrObjectFormat = errors.New("the repository's object format is not supported, only sha1 is")
	// ErrProtocol: what the remote answers is not what Git's protocol has, or not what was
	// asked for.
	ErrProtocol = errors.New("the remote does not answer as a Git server does")
	// ErrRejected: the remote did not move the pushed ref.
	ErrRejected = errors.New("push rejected")
)

// refusals are what servers answer to a want they do not serve: Git, then JGit. And
// noFilter is what Git answers to a filter that its administrator does not allow (GitLab
// allows none of trees). The protocol has no code for either (gitprotocol-pack(5),
// "error-line"; die_if_using_banned_filter in Git's upload-pack.c).
var (
	refusals = []string{"not our ref", "not valid"}
	noFilter = regexp.MustCompile(`filter '[^']*' not supported|filter allows max depth|invalid filter-spec`)
)

// kindOf is the kind of an error that the remote puts into words.
func kindOf(said string) error {
	switch {
	case slices.ContainsFunc(refusals, func(text string) bool { return strings.Contains(said, text) }):
		return ErrRefused
	case noFilter.MatchString(said):
		return ErrFilter
	}
	return ErrProtocol
}

// isChange tells whether an error may come of a remote that is no longer what it was.
func isChange(err error) bool {
	return err != nil && (errors.Is(err, ErrProtocol) || errors.Is(err, ErrNotFound) || !isKnown(err) && !errors.Is(err, errInterrupted))
}

// errInterrupted: the context ended.
var errInterrupted = errors.New("interrupted")

// classify gives an error of go-git's, of net's or of ssh's one of the kinds above.
func classify(ctx context.Context, err error) error {
	if err == nil || isKnown(err) {
		return err
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w: %w", errInterrupted, cause)
	}
	var unexpected *plumbing.UnexpectedError
	if errors.As(err, &unexpected) {
		return classify(ctx, unexpected.Err) // it has no Unwrap
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
	}
	return fmt.Errorf("%w: %w", kindOf(err.Error()), err)
}

func classifyStatus(code int) error {
	text := http.StatusText(code)
	switch {
	case code == http.StatusGone:
		return fmt.Errorf("%w: HTTP %d %s", ErrNotFound, code, text)
	case code == http.StatusTooManyRequests, code >= http.StatusInternalServerError:
		return fmt.Errorf("%w: HTTP %d %s", ErrUnreachable, code, text)
	}
	return fmt.Errorf("%w: HTTP %d %s", ErrProtocol, code, text)
}

func isKnown(err error) bool {
	return slices.ContainsFunc([]error{
		ErrUnauthorized, ErrNotFound, ErrEmpty, ErrUnreachable, ErrTooLarge, ErrRefused, ErrFilter,
		ErrObjectFormat, ErrProtocol, ErrRejected, outbound.ErrForbidden,
	}, func(known error) bool { return errors.Is(err, known) })
}
