package gitsource

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/keptn/gitops/gitsource/internal/packs"
)

// A Commit is one commit's metadata. Text that is not UTF-8 has U+FFFD in its stead.
type Commit struct {
	// SHA is the full object name, Tree that of its root tree.
	SHA, Tree string
	// Parents are full object names; the first is the branch a merge went into. There
	// are none where a shallow clone breaks off.
	Parents []string
	// Author wrote the change, Committer put it where it is now.
	Author, Committer Signature
	// Message is the whole message.
	Message string
}

// A Signature says who did something to a commit, and when.
type Signature struct {
	Name, Email string
	// When is in the time zone of whoever signed.
	When time.Time
}

// Commit returns a commit, or [ErrCommitNotFound], also where what has the name is a tree,
// a file or a tag.
func (r *Repository) Commit(ctx context.Context, sha string) (*Commit, error) {
	root, err := parseCommit(sha)
	if err != nil {
		return nil, err
	}
	n, err := r.view(ctx, root).commit(root)
	if errors.Is(err, packs.ErrMissing) {
		err = fmt.Errorf("%w: %s", ErrCommitNotFound, sha)
	}
	if err != nil {
		return nil, r.explain(err)
	}
	return n.commit(), nil
}

func (n node) commit() *Commit {
	return &Commit{
		SHA:       n.hash.String(),
		Tree:      n.Tree.String(),
		Parents:   names(n.parents),
		Author:    signatureOf(n.Author),
		Committer: signatureOf(n.Committer),
		Message:   valid(n.Message),
	}
}

func signatureOf(p packs.Person) Signature {
	return Signature{Name: valid(p.Name), Email: valid(p.Email), When: p.When()}
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// Subject is the message up to its first blank line, in one line.
func (c *Commit) Subject() string {
	var lines []string
	for line := range strings.Lines(strings.TrimLeft(c.Message, "\r\n\t ")) {
		line = strings.TrimSpace(line)
		if line == "" {
			break
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, " ")
}
