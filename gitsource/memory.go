package gitsource

import (
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/keptn/gitops/gitsource/internal/packs"
	"github.com/keptn/gitops/gitsource/internal/recent"
)

// What a mirror remembers of its objects is true for as long as they have their names,
// whatever happens to the refs: it is bounded, and forgotten together with the objects.

const (
	// commitsInMemory and pathsInMemory bound, in bytes, the commits that a mirror
	// remembers, and what it found at paths of trees.
	commitsInMemory = 4 << 20
	pathsInMemory   = 4 << 20
	// costOfCommit and costOfPath are the bytes that one of them takes, its text aside.
	costOfCommit = 350
	costOfPath   = 250
)

// A treePath is a path within a tree.
type treePath struct {
	tree plumbing.Hash
	path string
}

type (
	commitMemory = recent.Cache[plumbing.Hash, *packs.Commit]
	pathMemory   = recent.Cache[treePath, entry]
)

func costOf(c *packs.Commit) int {
	return costOfCommit + len(c.Message) + len(c.Author.Name) + len(c.Author.Email) +
		len(c.Committer.Name) + len(c.Committer.Email) + len(plumbing.ZeroHash)*len(c.Parents)
}

// forget drops what is in memory.
func (m *mirror) forget() {
	m.commits.Clear()
	m.paths.Clear()
}
