// Package promotion brings what an app delivered to its next stage: it changes files in
// a Git repository as the app's lifecycle.yaml says, on a branch of its own, and opens a
// pull request with what was checked. It never merges, and never decides whether to
// promote.
package promotion

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/manifest"
)

// How long a promotion may wait: for Git, unless the GitSource says otherwise, and for
// the forge.
const (
	gitTimeout   = time.Minute
	forgeTimeout = 30 * time.Second
)

// Promoter opens the pull requests of deliveries. It is safe for concurrent use, and
// keeps nothing: what a promotion needs is in the delivery's record and in Git.
type Promoter struct {
	// Client reads Lifecycles, GitSources and Namespaces; it may cache.
	Client client.Reader
	// Repositories opens repositories and forges.
	Repositories *repository.Repositories
	// Traced says that traces are exported: then the commit and the pull request name
	// the delivery's.
	Traced bool
}

// Result is what became of a promotion.
type Result struct {
	// URL of the pull request; empty where there was nothing to change.
	URL string
	// Message for people, in one line.
	Message string
}

// PermanentError is an error that trying again does not mend: the promotion asks for
// something that is not there, not allowed, or not possible, and says so.
type PermanentError struct{ err error }

// Error implements error.
func (e *PermanentError) Error() string { return e.err.Error() }

// Unwrap returns what is permanent.
func (e *PermanentError) Unwrap() error { return e.err }

// permanent returns a PermanentError.
func permanent(format string, args ...any) error {
	return &PermanentError{fmt.Errorf(format, args...)}
}

// finals are the errors of Git, of forges and of Secrets that only a person can mend.
var finals = []error{
	repository.ErrNoCredentials,
	gitsource.ErrUnauthorized, gitsource.ErrNotFound, gitsource.ErrRefNotFound, gitsource.ErrCommitNotFound,
	gitsource.ErrEmptyRepository, gitsource.ErrTooLarge, gitsource.ErrInvalidProposal, gitsource.ErrBranchRejected,
	forge.ErrUnauthorized, forge.ErrNotFound, forge.ErrRejected,
	fs.ErrNotExist, fs.ErrInvalid,
}

// classified makes an error permanent that is of a kind that is.
func classified(err error) error {
	var problems manifest.Problems
	if errors.As(err, &problems) {
		return &PermanentError{err}
	}
	if repository.Problem(err) != "" {
		return &PermanentError{err}
	}
	for _, final := range finals {
		if errors.Is(err, final) {
			return &PermanentError{err}
		}
	}
	return err
}

// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=gitsources;lifecycles,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get

// Promote opens the pull request that spec.pullRequest of a delivery asks for, or brings
// the one up to date that is open, and may be called any number of times. It waits for
// Git and for the forge, each for a bounded time.
//
// A [PermanentError] is for the phase to fail with. Any other error is of the cluster,
// the network, Git or the forge, and the call is to be repeated after a while: after a
// [forge.RateLimitedError] not before the pause that it asks for.
//
// What is read from Git has its limits. The delivery has to be one of the Lifecycle that
// it names. Secrets are read in the namespace of the GitSource: its own are used only for
// repositories at the place of its own URL, and any other has to be in its allowedSecrets.
// No file is promoted onto what the delivery itself was rendered from.
func (p *Promoter) Promote(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) (Result, error) {
	result, err := p.promote(ctx, kav)
	if err != nil {
		return Result{}, fmt.Errorf("promote: %w", classified(err))
	}
	return result, nil
}

func (p *Promoter) promote(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) (Result, error) {
	d, err := p.delivered(ctx, kav)
	if err != nil {
		return Result{}, err
	}
	s, err := p.openStage(ctx, d)
	if err != nil {
		return Result{}, err
	}
	c, changed, err := p.propose(ctx, d, s)
	if err != nil {
		return Result{}, err
	}
	if !changed {
		return Result{Message: fmt.Sprintf("%s of %s has it all: %s", s.base.Name, s.url, c.summary())}, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, forgeTimeout, fmt.Errorf("%w: no answer for %s", forge.ErrTemporary, forgeTimeout))
	defer cancel()
	opened, err := s.pulls.Open(ctx, forge.PullRequest{Head: d.branch(), Base: s.base.Name, Title: d.title(), Body: d.body(c)})
	if err != nil {
		return Result{}, err
	}
	return Result{URL: opened.URL, Message: fmt.Sprintf("pull request %d to %s of %s: %s", opened.Number, s.base.Name, s.url, c.summary())}, nil
}

// propose pushes the branch, and says what is on it.
func (p *Promoter) propose(ctx context.Context, d *delivery, s *stage) (c *change, changed bool, err error) {
	timeout := gitTimeout
	if t := d.source.Spec.Timeout; t != nil && t.Duration > 0 {
		timeout = t.Duration
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w: not done after %s", gitsource.ErrUnreachable, timeout))
	defer cancel()
	if err := s.find(ctx, d); err != nil {
		return nil, false, err
	}
	if c, err = p.change(ctx, d, s); err != nil {
		return nil, false, err
	}
	_, changed, err = s.repo.Propose(ctx, gitsource.Proposal{
		Onto: s.base.Commit, Branch: d.branch(), Files: c.files, Message: d.message(c),
		Author: gitsource.Signature{When: d.when()},
	})
	return c, changed, err
}
