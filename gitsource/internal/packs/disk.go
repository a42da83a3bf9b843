package packs

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
)

// ErrDisk: the disk is full, or the machine does not let this process use it. What is on it
// is sound.
var ErrDisk = errors.New("the disk with the Git store is full or cannot be used")

// troubles are those of the machine, and not of single files.
var troubles = []error{
	syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM,
}

// Fault gives an error about the store's files its kind: ErrDisk if the machine is the
// reason, else ErrCorrupt. One that has a kind keeps it.
func Fault(err error) error {
	switch {
	case err == nil || errors.Is(err, ErrDisk) || errors.Is(err, ErrCorrupt):
		return err
	case slices.ContainsFunc(troubles, func(trouble error) bool { return errors.Is(err, trouble) }):
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}
