package dora

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ErrUnknownCommit: the repository does not have the commit, or no longer.
var ErrUnknownCommit = errors.New("unknown commit")

// A Commit is what is needed of a commit.
type Commit struct {
	// SHA is the full object name.
	SHA string
	// Parents are full object names, the first that of the branch a merge went into.
	Parents []string
	// AuthoredAt and CommittedAt are the author's and the committer's time.
	AuthoredAt, CommittedAt time.Time
	// Message is the whole message.
	Message string
}

// A History is what is needed of a repository. Nothing is asked twice in one
// [Evaluate], and all commits that deployed ones can reach are asked for.
type History interface {
	// Commit returns a commit by its full object name, or ErrUnknownCommit. Any other
	// error, and an unknown parent of a known commit, ends the evaluation.
	Commit(ctx context.Context, sha string) (Commit, error)
	// Changes tells whether a commit changes any of these files or folders, compared
	// with its parent; without a parent, whether it has any. It is not asked of merges.
	Changes(ctx context.Context, sha string, paths []string) (bool, error)
}

// A node is a commit in the graph.
type node struct {
	sha     string
	parents []int
	// generation is one more than the highest of its parents', so that a commit has
	// a lower one than all that can reach it.
	generation          int
	authored, committed time.Time
	// undoes are the commits whose change it takes back.
	undoes []string
}

// A graph holds commits with all that they can reach; parents come before children.
type graph struct {
	history History
	index   map[string]int
	nodes   []node
	// sides is room for [graph.apart], all zero between its calls.
	sides []uint8
}

func newGraph(h History) *graph { return &graph{history: h, index: map[string]int{}} }

// load returns the node of a commit. It fails with ErrUnknownCommit only if the commit
// itself is unknown.
func (g *graph) load(ctx context.Context, sha string) (int, error) {
	if i, ok := g.index[sha]; ok {
		return i, nil
	}
	tip, err := g.read(ctx, sha)
	if err != nil {
		return 0, err
	}
	for path := []reading{tip}; len(path) > 0; {
		top := &path[len(path)-1]
		if len(top.left) == 0 {
			g.add(top)
			path = path[:len(path)-1]
			continue
		}
		parent := top.left[0]
		if i, ok := g.index[parent]; ok {
			top.parents, top.left = append(top.parents, i), top.left[1:]
			continue
		}
		next, err := g.read(ctx, parent)
		if err != nil {
			return 0, fmt.Errorf("history of commit %s is incomplete: %w", top.sha, hide(err))
		}
		path = append(path, next)
	}
	return g.index[sha], nil
}

// A reading is a node some of whose parents are left to be read.
type reading struct {
	node
	left []string
}

func (g *graph) read(ctx context.Context, sha string) (reading, error) {
	if err := context.Cause(ctx); err != nil {
		return reading{}, err
	}
	c, err := g.history.Commit(ctx, sha)
	if err != nil {
		return reading{}, err
	}
	return reading{
		node: node{sha: sha, authored: c.AuthoredAt, committed: c.CommittedAt, undoes: reverted(c.Message)},
		left: c.Parents,
	}, nil
}

func (g *graph) add(r *reading) {
	for _, p := range r.parents {
		r.generation = max(r.generation, g.nodes[p].generation+1)
	}
	// Who reverts a revert applies its change again, and takes back nothing.
	r.undoes = slices.DeleteFunc(r.undoes, func(sha string) bool {
		i, known := g.index[sha]
		return known && len(g.nodes[i].undoes) > 0
	})
	g.index[r.sha] = len(g.nodes)
	g.nodes = append(g.nodes, r.node)
	g.sides = append(g.sides, 0)
}

// hide keeps an unknown parent from being taken for an unknown deployment.
func hide(err error) error {
	if errors.Is(err, ErrUnknownCommit) {
		return errors.New(err.Error())
	}
	return err
}

// revertLine is what git revert writes (git-revert(1)).
var revertLine = regexp.MustCompile(`(?m)^This reverts commit ([0-9a-f]{40,64})\b`)

// reverted are the commits that a message says are reverted.
func reverted(message string) []string {
	if !strings.Contains(message, "This reverts commit ") {
		return nil
	}
	var all []string
	for _, m := range revertLine.FindAllStringSubmatch(message, -1) {
		all = append(all, m[1])
	}
	return all
}
