package forge

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// errPullExists says that the pull request that was to be made is open already.
var errPullExists = errors.New("it is open already")

// A heldPull is an open pull request as a forge holds it.
type heldPull struct {
	OpenPullRequest
	title, body string
}

// says tells whether it has the title and the body already.
func (p *heldPull) says(pull PullRequest) bool {
	body := strings.ReplaceAll(p.body, "\r\n", "\n")
	return p.title == pull.Title && strings.TrimSpace(body) == pull.Body
}

// A pullForge is what is particular to a forge in opening a pull request.
type pullForge interface {
	// find returns the open pull request between the branches, of the repository itself
	// and no fork of it; nil if there is none.
	find(ctx context.Context, pull PullRequest) (*heldPull, error)
	// create makes it. Where it is open already that is errPullExists, and a branch that
	// the forge does not have yet is ErrTemporary.
	create(ctx context.Context, pull PullRequest) (*heldPull, error)
	// edit gives an open one the title and the body.
	edit(ctx context.Context, number int64, pull PullRequest) error
}

// An opener implements PullRequests for a forge, in the way that forges have in common.
type opener struct {
	site
	forge pullForge
}

var _ PullRequests = opener{}

// Open implements PullRequests.
func (o opener) Open(ctx context.Context, pull PullRequest) (OpenPullRequest, error) {
	pull.Title, pull.Body = cut(oneLine(pull.Title), o.row.title), strings.TrimSpace(cut(pull.Body, o.row.body))
	held, err := o.forge.find(ctx, pull)
	if err == nil && held == nil {
		held, err = o.create(ctx, pull)
	}
	if err == nil && !held.says(pull) {
		err = o.forge.edit(ctx, held.Number, pull)
	}
	if err != nil {
		return OpenPullRequest{}, fmt.Errorf("opening a pull request from %q to %q in %s: %w", pull.Head, pull.Base, o.where(), takes("a pull request", o.row.opens, err))
	}
	return held.OpenPullRequest, nil
}

// create makes a pull request, unless somebody else has made it meanwhile.
func (o opener) create(ctx context.Context, pull PullRequest) (*heldPull, error) {
	held, err := o.forge.create(ctx, pull)
	switch {
	case errors.Is(err, errPullExists):
		if held, err = o.forge.find(ctx, pull); err == nil && held == nil {
			err = fmt.Errorf("%w: the forge says that it is open, and does not show it", ErrTemporary)
		}
	case err == nil && held.Number == 0:
		err = fmt.Errorf("%w: the answer names no pull request: check the API URL", ErrRejected)
	}
	return held, err
}

// lacksBranch says that a forge does not have a branch yet.
func lacksBranch(said string) error {
	return fmt.Errorf("%w: it does not have one of the branches yet: %q", ErrTemporary, said)
}
