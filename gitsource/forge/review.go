package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// maxHeads is how many pull requests are listed, and maxCommented how many comments of one
// are looked through.
const (
	maxHeads     = 50
	maxCommented = 1000
)

// A Head is what an open pull request asks to merge.
type Head struct {
	// Number of the pull request in its repository.
	Number int64
	// Commit is the newest one, as the forge has it: Bitbucket Cloud abbreviates it.
	Commit string
	// Ref is the full name of a ref of the repository that is at the commit; empty where
	// the forge keeps none.
	Ref string
	// Fork says that it comes from another repository, or from one that is gone.
	Fork bool
}

// A Comment is one that its writer keeps up to date.
type Comment struct {
	// ID is what the forge called it when it was written; empty if that is not known.
	ID string
	// Key tells it from other comments of the writer on the same pull request: letters,
	// digits and any of -._/ are taken.
	Key string
	// Text in Markdown, of at most 30,000 characters, which every forge takes.
	Text string
}

// Reviews are the pull requests of one repository as those see them who look at what is to
// be merged. Its errors are those of a [Reporter]. It may be used by several goroutines at
// once.
type Reviews interface {
	// Heads lists the open pull requests into a branch, by its short name: the 50 that
	// were changed last, or were opened last where the forge knows no better.
	Heads(ctx context.Context, base string) ([]Head, error)
	// Comment sees to it that a pull request has the comment, once: it changes the one of
	// that ID, else the token's own one of that key, else it makes one. Comments of others
	// are never changed, whatever they say. It returns the comment's ID.
	Comment(ctx context.Context, number int64, comment Comment) (id string, err error)
}

// A heldComment is a comment as a forge holds it.
type heldComment struct{ id, text string }

// A commentForge is what is particular to a forge in keeping a comment.
type commentForge interface {
	// own are the comments that the token's account has written; none where the forge does
	// not tell whose the token is.
	own(ctx context.Context, number int64) ([]heldComment, error)
	// write makes a comment and returns its ID.
	write(ctx context.Context, number int64, text string) (string, error)
	// rewrite changes one. One that is gone is ErrNotFound.
	rewrite(ctx context.Context, number int64, id, text string) error
}

// A headForge is what is particular to a forge in listing pull requests.
type headForge interface {
	// heads are the open pull requests into a branch; those beyond maxHeads are left out.
	heads(ctx context.Context, base string) ([]Head, error)
}

// A reviewForge is what is particular to a forge in looking at pull requests.
type reviewForge interface {
	headForge
	commentForge
}

// reviews implements Reviews for a forge, in the way that forges have in common.
type reviews struct {
	site
	forge reviewForge
}

var _ Reviews = reviews{}

// Heads implements Reviews.
func (r reviews) Heads(ctx context.Context, base string) ([]Head, error) {
	heads, err := r.forge.heads(ctx, base)
	if err != nil {
		return nil, fmt.Errorf("listing pull requests of %s: %w", r.where(), takes("a list of them", r.row.lists, err))
	}
	return heads, nil
}

// Comment implements Reviews.
func (r reviews) Comment(ctx context.Context, number int64, comment Comment) (string, error) {
	id, err := r.keep(ctx, number, comment)
	if err != nil {
		return "", fmt.Errorf("commenting on pull request %d in %s: %w", number, r.where(), takes("a comment", r.row.comments, err))
	}
	return id, nil
}

// keep sees to it that the comment is there, once. One that may not be changed is as good
// as one that is gone: it is of another account, which had written it for this one.
func (r reviews) keep(ctx context.Context, number int64, comment Comment) (string, error) {
	marker := markerOf(comment.Key)
	text := strings.TrimSpace(comment.Text) + "\n\n" + marker
	if comment.ID != "" {
		err := r.forge.rewrite(ctx, number, comment.ID, text)
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrUnauthorized) {
			return comment.ID, err
		}
	}
	held, err := r.forge.own(ctx, number)
	if err != nil {
		return "", fmt.Errorf("looking for an earlier comment: %w", err)
	}
	for _, h := range held {
		said := strings.TrimSpace(strings.ReplaceAll(h.text, "\r\n", "\n"))
		switch {
		case h.id == comment.ID || !strings.HasSuffix(said, "\n"+marker):
		case said == text:
			return h.id, nil
		default:
			return h.id, r.forge.rewrite(ctx, number, h.id, text)
		}
	}
	id, err := r.forge.write(ctx, number, text)
	if err == nil && id == "" {
		err = fmt.Errorf("%w: the answer names no comment: check the API URL", ErrRejected)
	}
	return id, err
}

// markerOf is what nobody sees of a comment by which it is found again: the definition of
// a link that nothing leads to (https://spec.commonmark.org/0.31.2/#link-reference-definitions).
// An HTML comment would show on Bitbucket, which escapes HTML.
func markerOf(key string) string {
	kept := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._/", r) {
			return r
		}
		return '-'
	}, key)
	return "[//]: # (keptn " + kept + ")"
}

// account reads whose the token is, by a resource that says so. It is false where the forge
// does not tell, as of a token that is a repository's or an app's, and nobody's.
func (a api) account(ctx context.Context, path string, into any) (known bool, err error) {
	err = a.call(ctx, http.MethodGet, path, nil, nil, into)
	if errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// errDeleted: a comment was deleted, and the forge keeps what is left of it.
var errDeleted = fmt.Errorf("%w: it was deleted", ErrNotFound)

// pullRef is a ref that a forge keeps for a pull request.
func pullRef(folder string, number int64, end string) string {
	return "refs/" + folder + "/" + decimal(number) + "/" + end
}
