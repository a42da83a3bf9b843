package gitsource

import (
	"errors"

	"github.com/keptn/gitops/gitsource/internal/wire"
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
	// ErrTooLarge: a file, a fetch or a repository exceeds its limit; see [Option].
	ErrTooLarge = wire.ErrTooLarge
	// ErrRefNotFound: no branch, tag or other ref fits, or it names no commit.
	ErrRefNotFound = errors.New("ref not found")
	// ErrCommitNotFound: the repository has no such commit, or no longer: its history
	// was rewritten.
	ErrCommitNotFound = errors.New("commit not found")
	// ErrNotesRejected: the remote would not take the notes, although nobody else had
	// changed them in between, or somebody else was always faster.
	ErrNotesRejected = errors.New("notes rejected")
)
