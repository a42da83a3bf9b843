package task

import (
	"errors"
	"fmt"
)

// The reasons of a task that is not run, and of one that failed without its Job
// having done so.
const (
	reasonDefinitionNotFound = "DefinitionNotFound"
	reasonScriptNotFound     = "ScriptNotFound"
	reasonInvalidDefinition  = "InvalidDefinition"
	reasonNotAllowed         = "NotAllowed"
	reasonJobForbidden       = "JobForbidden"
	reasonJobInvalid         = "JobInvalid"
	reasonJobConflict        = "JobConflict"
	reasonJobDeleted         = "JobDeleted"
)

// A problem is why a task cannot be begun.
type problem struct {
	reason, message string
	// final problems fail the task. The others are waited for.
	final bool
	// cause is what is tried again with back-off. Where there is none, a watch tells
	// when the problem is solved.
	cause error
}

// Error implements error.
func (p *problem) Error() string { return p.message }

// Unwrap returns what is tried again.
func (p *problem) Unwrap() error { return p.cause }

// awaited is something that a task needs and that is not there yet.
func awaited(reason, format string, args ...any) *problem {
	return &problem{reason: reason, message: fmt.Sprintf(format, args...)}
}

// refused is why a task can never be run as it is.
func refused(reason, format string, args ...any) *problem {
	return &problem{reason: reason, message: fmt.Sprintf(format, args...), final: true}
}

// problemOf returns the problem that an error is, or nil where the world failed.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	return nil
}
