package gitsource

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/keptn/gitops/gitsource/internal/packs"
	"github.com/keptn/gitops/gitsource/internal/wire"
	"github.com/keptn/gitops/gitsource/signature"
)

// maxNestedTags is how many tags may be about one another.
const maxNestedTags = 10

// CommitSignature returns a commit as it was signed.
func (r *Repository) CommitSignature(ctx context.Context, sha string) (signature.Signed, error) {
	h, err := parseCommit(sha)
	if err != nil {
		return signature.Signed{}, err
	}
	var raw []byte
	err = r.read(ctx, h, func(db *packs.DB) (err error) {
		raw, err = db.Raw(plumbing.CommitObject, h)
		return err
	})
	return signature.OfCommit(raw), r.explain(err)
}

// TagSignature returns the annotated tag that a revision was found by, its Tag, as it was
// signed. It is fetched if it is not here yet, and lets through what is about the commit
// and has the name of the revision: else the error wraps [signature.ErrBadSignature], for
// whoever signed it did not sign that.
func (r *Repository) TagSignature(ctx context.Context, rev Revision) (signature.Tag, error) {
	tag, err := r.tagSignature(ctx, rev)
	if errors.Is(err, signature.ErrBadSignature) {
		return tag, err
	}
	return tag, r.explain(err)
}

func (r *Repository) tagSignature(ctx context.Context, rev Revision) (signature.Tag, error) {
	root, err := parseCommit(rev.Commit)
	if err != nil {
		return signature.Tag{}, err
	}
	tag, err := r.tag(ctx, root, rev.Tag)
	if err != nil {
		return signature.Tag{}, err
	}
	if name := strings.TrimPrefix(rev.Name, tagPrefix); tag.Name != name {
		return signature.Tag{}, fmt.Errorf("%w: the tag %q calls itself %q", signature.ErrBadSignature, name, tag.Name)
	}
	about := tag
	for range maxNestedTags {
		if about.Type != plumbing.TagObject.String() {
			break
		}
		if about, err = r.tag(ctx, root, about.Object); err != nil {
			return signature.Tag{}, err
		}
	}
	if about.Type != plumbing.CommitObject.String() || about.Object != rev.Commit {
		return signature.Tag{}, fmt.Errorf("%w: the tag %q is about the %s %s, and not about the commit %s", signature.ErrBadSignature, tag.Name, about.Type, about.Object, rev.Commit)
	}
	return tag, nil
}

// tag reads an annotated tag, which is fetched if need be.
func (r *Repository) tag(ctx context.Context, root plumbing.Hash, name string) (signature.Tag, error) {
	h, err := parseCommit(name)
	if err != nil {
		return signature.Tag{}, fmt.Errorf("tag object: %w", err)
	}
	var raw []byte
	err = r.read(ctx, root, func(db *packs.DB) (err error) {
		raw, err = db.Raw(plumbing.TagObject, h)
		if !errors.Is(err, packs.ErrMissing) || r.mirror.local != nil {
			return err
		}
		if err := r.fetchTag(ctx, h, root); err != nil {
			return err
		}
		raw, err = db.Raw(plumbing.TagObject, h)
		return err
	})
	if err != nil {
		return signature.Tag{}, err
	}
	tag, err := signature.OfTag(raw)
	if err != nil {
		return signature.Tag{}, fmt.Errorf("%w: %s: %w", signature.ErrBadSignature, name, err)
	}
	return tag, nil
}

// fetchTag fetches an annotated tag, and the tags that it is about, but nothing of the
// commit that they lead to, which is here.
func (r *Repository) fetchTag(ctx context.Context, tag, commit plumbing.Hash) error {
	ctx, release, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := r.live(ctx); err != nil {
		return err
	}
	req := wire.Request{Wants: []plumbing.Hash{tag}, Haves: []plumbing.Hash{commit}, Limit: r.mirror.store.maxFetchBytes}
	err = r.receive(ctx, req, maxObjectBytes)
	if errors.Is(err, wire.ErrRefused) {
		return fmt.Errorf("%w: the remote does not send the tag object %s any more", ErrRefNotFound, tag)
	}
	return err
}
