package repository

import (
	"errors"

	"github.com/fluxcd/pkg/apis/meta"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

// What only a person can mend, and trying again cannot.
var (
	// ErrSecret is wrapped by errors about a Secret that is missing or unusable.
	ErrSecret = errors.New("secret cannot be used")
	// ErrAddress is wrapped by errors about a URL that cannot be used, or not with
	// the credentials there are.
	ErrAddress = errors.New("url cannot be used")
	// ErrNoLender: there is no object to borrow from.
	ErrNoLender = errors.New("nothing to borrow the repository from")
	// ErrNotLent: the object to borrow from does not agree.
	ErrNotLent = errors.New("the repository is not lent")
	// ErrUnclear: the object to borrow from lends no repository, or more than one.
	ErrUnclear = errors.New("no one repository is lent")
)

// ErrNoCredentials: the source does not say how to report to its forge.
var ErrNoCredentials = errors.New("no token to report with")

// Problem returns the reason of a condition that tells of an error by which an Origin,
// the repository at it, or what is in a commit, cannot be had until a person has changed
// something. It is empty for any other error, and without one.
func Problem(err error) (reason string) {
	var refused *Unverified
	if errors.As(err, &refused) {
		return refused.Reason
	}
	for _, known := range []struct {
		err    error
		reason string
	}{
		{ErrSecret, gitopsv1alpha1.AuthenticationFailedReason},
		{ErrAddress, meta.InvalidURLReason},
		{ErrNoLender, gitopsv1alpha1.SourceNotFoundReason},
		{ErrNotLent, gitopsv1alpha1.AccessDeniedReason},
		{ErrUnclear, gitopsv1alpha1.InvalidSourceReason},
	} {
		if errors.Is(err, known.err) {
			return known.reason
		}
	}
	return ""
}
