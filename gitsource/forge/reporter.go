package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/keptn/gitops/gitname"
)

// A statusForge is what is particular to a forge in keeping statuses.
type statusForge interface {
	// set makes a status, which any forge could show, the newest of its context.
	set(ctx context.Context, status Status) error
	// latest returns the newest status of the context that fit has made; nil if there is
	// none.
	latest(ctx context.Context, commit, context string) (*Status, error)
	// fit returns the status as latest would return it after set, but for its Time.
	fit(status Status) Status
}

// A reporter implements Reporter for a forge, in the way that forges have in common.
type reporter struct {
	site
	forge statusForge
}

var _ Reporter = reporter{}

// Set implements Reporter.
func (r reporter) Set(ctx context.Context, status Status) error {
	if err := status.checkShown(); err != nil {
		return err
	}
	return r.about("setting", status.Commit, status.Context, r.forge.set(ctx, status))
}

// Latest implements Reporter.
func (r reporter) Latest(ctx context.Context, commit, context string) (Status, bool, error) {
	held, err := r.forge.latest(ctx, commit, r.row.fit(Status{Context: context}).Context)
	if err != nil || held == nil {
		return Status{}, false, r.about("reading", commit, context, err)
	}
	return *held, true, nil
}

// Fit implements Reporter.
func (r reporter) Fit(status Status) Status {
	fit := r.forge.fit(status)
	fit.Time = status.Time
	return fit
}

// about says which status of which repository an error is about; nil without one.
func (r reporter) about(doing, commit, context string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s status %q of commit %s in %s: %w", doing, context, gitname.Short(commit), r.where(), takes("a status", r.row.sets, err))
}

// takes adds to a refusal what a token has to be allowed.
func takes(what, permission string, err error) error {
	if errors.Is(err, ErrUnauthorized) {
		return fmt.Errorf("%w; %s takes %s", err, what, permission)
	}
	return err
}

// say returns the status with its texts cut to the forge's limits, and the forge's word for
// its state.
func (s site) say(words vocabulary, status Status) (said string, fit Status) {
	said, status.Description = words.say(status)
	return said, s.row.fit(status)
}

// within reads what a resource has, and is false where the resource is there and has not.
func (a api) within(ctx context.Context, resource, path string, query url.Values, into any) (found bool, err error) {
	err = a.call(ctx, http.MethodGet, path, query, nil, into)
	if errors.Is(err, ErrNotFound) {
		return false, a.call(ctx, http.MethodGet, resource, nil, nil, new(any))
	}
	return err == nil, err
}

// decoded is what is held of a status, if anything is and could be read.
func decoded[P interface {
	comparable
	decode(commit string) Status
}](held P, commit string, err error) (*Status, error) {
	var none P
	if err != nil || held == none {
		return nil, err
	}
	status := held.decode(commit)
	return &status, nil
}
