package gitsource

import (
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/keptn/gitops/gitsource/internal/packs"
)

// A largeFile is [ErrTooLarge] of one file. Whoever reads a [Tree] can find it by its method.
type largeFile struct{ size, limit int64 }

func (e *largeFile) Error() string {
	if e.size == 0 {
		return fmt.Sprintf("%v: the limit for a file is %d bytes", ErrTooLarge, e.limit)
	}
	return fmt.Sprintf("%v: it has %d bytes, and the limit for a file is %d", ErrTooLarge, e.size, e.limit)
}

// Unwrap returns ErrTooLarge.
func (e *largeFile) Unwrap() error { return ErrTooLarge }

// TooLarge returns how many bytes the file has, 0 if that is not known, and how many are the
// limit.
func (e *largeFile) TooLarge() (size, limit int64) { return e.size, e.limit }

// isLarge tells whether an error is of a file alone that is over the limit.
func isLarge(err error) bool {
	var large *largeFile
	return errors.As(err, &large)
}

// largeBy is the error of a file that was found too large.
func (m *mirror) largeBy(err error) *largeFile {
	e := &largeFile{limit: m.store.maxFileBytes}
	var found *packs.SizeError
	if errors.As(err, &found) {
		e.size = found.Size
	}
	return e
}

// markTooLarge remembers a file not to ask for again; tooLargeBy is why, or nil.
func (m *mirror) markTooLarge(h plumbing.Hash, why *largeFile) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.tooLarge) >= maxRemembered {
		clear(m.tooLarge)
	}
	m.tooLarge[h] = why
}

func (m *mirror) tooLargeBy(h plumbing.Hash) *largeFile {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tooLarge[h]
}
