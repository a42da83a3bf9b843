package gitsource

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/keptn/gitops/gitsource/internal/wire"
)

// ErrInvalidProposal: a proposal is one that Git cannot hold, or that does not fit what it
// goes onto, such as a file in the place of a folder.
var ErrInvalidProposal = errors.New("this cannot be proposed")

// ErrBranchRejected: the remote would not take a branch, although it is where it was
// said to be: it is protected, or a hook declined it. Or somebody else was always faster.
var ErrBranchRejected = errors.New("branch rejected")

// proposalAttempts bounds how often a branch is pushed that others push at the same time.
const proposalAttempts = 3

// A Proposal is a change of some files, as a branch of one commit of its own.
type Proposal struct {
	// Onto is the full object name of the commit that is changed: the tip of the branch
	// that the proposal is to be merged into.
	Onto string
	// Branch is the short name of the proposal's own branch. It is made if need be;
	// whatever else is on it is given up.
	Branch string
	// Files are the new contents of files, by clean paths with slashes. A file that is
	// there keeps its mode.
	Files map[string][]byte
	// Message of the commit.
	Message string
	// Author and committer of the commit, and its time: the same proposal is the same
	// commit. Without name and email it is the [Identity] of the Store.
	Author Signature
}

// Propose pushes a proposal, and returns the commit that its branch is at then. Of the
// repository it fetches no more than a reader does, and it sends what is new: the files,
// the folders above them, and the commit.
//
// A branch that changes the same commit to the same files is left alone, whoever made it.
// Any other is replaced, unless it moves in between: then it is looked at again. If there
// is nothing to change, changed is false and no branch is made or looked at.
//
// The error is [ErrInvalidProposal] if it cannot be made, [ErrBranchRejected] if the remote
// does not take the branch, and otherwise one of those of reading.
func (r *Repository) Propose(ctx context.Context, p Proposal) (commit string, changed bool, err error) {
	made, err := r.makeProposal(ctx, p)
	if err != nil || made == nil {
		return "", false, err
	}
	for attempt := 1; ; attempt++ {
		tip, err := r.tipOf(ctx, made.ref)
		if err != nil {
			return "", false, err
		}
		if kept, err := r.isMade(ctx, tip, made); kept || err != nil {
			return tip.String(), kept, r.explain(err)
		}
		err = r.move(ctx, made.ref, tip, made.commit, made.objects, nil)
		if err == nil {
			return made.commit.String(), true, nil
		}
		if !errors.Is(err, wire.ErrRejected) {
			return "", false, r.explain(err)
		}
		if attempt == proposalAttempts {
			return "", false, r.explain(fmt.Errorf("%w: %s, after %d attempts: %w", ErrBranchRejected, p.Branch, attempt, err))
		}
	}
}

// madeProposal is a proposal as Git's objects.
type madeProposal struct {
	ref                plumbing.ReferenceName
	onto, tree, commit plumbing.Hash
	objects            *objectSet
}

// makeProposal makes the objects of a proposal; nil if it changes nothing.
func (r *Repository) makeProposal(ctx context.Context, p Proposal) (*madeProposal, error) {
	onto, err := parseCommit(p.Onto)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidProposal, err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidProposal, err)
	}
	v := r.view(ctx, onto)
	c, err := v.commit(onto)
	if err != nil {
		return nil, r.explain(err)
	}
	made := &madeProposal{ref: plumbing.NewBranchReferenceName(p.Branch), onto: onto, objects: newObjectSet()}
	if made.tree, err = v.rewrite(made.objects, "", entry{mode: filemode.Dir, hash: c.Tree}, p.Files); err != nil {
		return nil, r.explain(err)
	}
	if made.tree == c.Tree {
		return nil, nil //nolint:nilnil // nothing is proposed, and that is no error
	}
	made.commit, err = made.objects.commit(made.tree, onto, r.authorOf(p), strings.TrimRight(p.Message, "\n")+"\n")
	return made, r.explain(err)
}

// isMade says whether a branch at tip holds the proposal: the same files in the end, on
// top of the same commit.
func (r *Repository) isMade(ctx context.Context, tip plumbing.Hash, made *madeProposal) (bool, error) {
	if tip.IsZero() {
		return false, nil
	}
	c, err := r.view(ctx, tip).commit(tip)
	if err != nil {
		return false, err
	}
	return c.Tree == made.tree && slices.Contains(c.Parents, made.onto), nil
}

// authorOf is the proposal's author, without what Git has no place for in a name.
func (r *Repository) authorOf(p Proposal) Signature {
	o, by := r.mirror.store.options, p.Author
	if by.Name == "" && by.Email == "" {
		by.Name, by.Email = o.name, o.email
	}
	clean := strings.NewReplacer("<", "", ">", "", "\n", " ", "\r", " ", "\x00", "")
	by.Name, by.Email = clean.Replace(by.Name), clean.Replace(by.Email)
	return by
}

// check refuses what Git could not hold.
func (p Proposal) check() error {
	if err := plumbing.NewBranchReferenceName(p.Branch).Validate(); err != nil || p.Branch == "" {
		return fmt.Errorf("branch %q: not the name of a branch, such as keptn/promote", p.Branch)
	}
	if strings.TrimSpace(p.Message) == "" || strings.Contains(p.Message, "\x00") {
		return errors.New("the message of the commit is empty, or holds a NUL")
	}
	for name := range p.Files {
		if !fs.ValidPath(name) || name == "." || strings.Contains(name, "\x00") || hasGitFolder(name) {
			return fmt.Errorf("file %q: not a path within a repository, such as apps/shop/values.yaml", name)
		}
	}
	return nil
}

// hasGitFolder says whether a path leads into a .git, where a work tree has its hooks.
func hasGitFolder(name string) bool {
	return slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return strings.EqualFold(part, ".git") })
}
