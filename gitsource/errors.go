package gitsource

import (
	"errors"

	"github.com/keptn/gitops/gitsource/internal/packs"
	"github.com/keptn/gitops/gitsource/internal/wire"
	"github.com/keptn/gitops/outbound"
)

// The errors that callers decide on, for errors.Is.
var (
	// ErrUnauthorized: the remote refused the credentials (HTTP 401 or 403, SSH key),
	// or it is not the host that known_hosts says. Only a change of the secret helps.
	ErrUnauthorized = wire.ErrUnauthorized
	// ErrNotFound: there is no such repository, or the credentials do not show it.
	ErrNotFound = wire.ErrNotFound
	// ErrEmptyRepository: the repository has no commits yet.
	ErrEmptyRepository = wire.ErrEmpty
	// ErrUnreachable: the remote did not answer, or asked to come back later (HTTP
	// 429, 5xx). Trying again may help.
	ErrUnreachable = wire.ErrUnreachable
	// ErrForbidden: the remote is at an address that may not be reached, see [Addresses].
	ErrForbidden = outbound.ErrForbidden
	// ErrLocal: the URL is of a folder of this machine, see [AllowLocalRepositories].
	ErrLocal = errors.New("repositories on the controller's own disk are not read without its flag --allow-local-repositories")
	// ErrObjectFormat: the repository names its objects by SHA-256, which is not supported.
	ErrObjectFormat = wire.ErrObjectFormat
	// ErrProtocol: the remote does not answer as a Git server does, or sends other than
	// what it was asked for.
	ErrProtocol = wire.ErrProtocol
	// ErrTooLarge: a file, a fetch or a repository exceeds its limit; see [Option].
	ErrTooLarge = wire.ErrTooLarge
	// ErrDisk: the disk with the store is full, or this process may not use it. What was
	// fetched before can still be read, and all goes on once there is room.
	ErrDisk = packs.ErrDisk
	// ErrRefNotFound: no branch, tag or other ref fits, or it names no commit.
	ErrRefNotFound = errors.New("ref not found")
	// ErrCommitNotFound: the repository has no such commit, or no longer: its history
	// was rewritten.
	ErrCommitNotFound = errors.New("commit not found")
	// ErrNotesRejected: the remote would not take the notes, although nobody else had
	// changed them in between, or somebody else was always faster.
	ErrNotesRejected = errors.New("notes rejected")
)
