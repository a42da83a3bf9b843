package gitsource

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// LogOptions choose commits from a history.
type LogOptions struct {
	// From is the commit to begin with, a full object name.
	From string
	// Until, if set, leaves out this commit and all that it can reach.
	Until string
	// Paths, if any, leaves out commits that do not change one of these files or folders:
	// those that have them as one of their parents has, so that a merge counts only if
	// it differs from all it merged.
	Paths []string
	// Limit, if positive, is how many commits to return at most.
	Limit int
}

// Log returns the commits that From can reach and Until cannot, newest first by commit
// time. With Until, a commit always comes before its parents, whatever the clocks
// said; without, history is read as it is asked for, and commits come in the order of
// their times. The iteration ends after an error.
//
// That nothing which Until can reach is returned is certain if fewer than 1,000
// commits lie below, or if committers' clocks were in order at least roughly.
func (r *Repository) Log(ctx context.Context, o LogOptions) iter.Seq2[*Commit, error] {
	return func(yield func(*Commit, error) bool) {
		left := o.Limit
		if err := r.log(ctx, o, func(c node) bool {
			left--
			return yield(c.commit(), nil) && left != 0
		}); err != nil {
			yield(nil, r.explain(err))
		}
	}
}

func (r *Repository) log(ctx context.Context, o LogOptions, yield func(node) bool) error {
	from, err := parseCommit(o.From)
	if err != nil {
		return err
	}
	w := newWalk(r.view(ctx, from))
	next := w.byTime
	if o.Until != "" {
		until, err := parseCommit(o.Until)
		if err != nil {
			return err
		}
		if _, err := r.view(ctx, until).commit(until); err != nil {
			return err
		}
		if next, err = w.difference(from, until); err != nil {
			return err
		}
	} else if err := w.push(from, false); err != nil {
		return err
	}
	return r.filter(ctx, w.v, o.Paths, next, yield)
}

func (r *Repository) filter(ctx context.Context, v view, paths []string, next func() (*visit, error), yield func(node) bool) error {
	coming := &lookahead{next: next}
	wanted := newPathFilter(v, paths, coming)
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		c, err := coming.pop()
		if err != nil || c == nil {
			return err
		}
		if len(paths) > 0 {
			if changes, err := wanted.changes(c.node); err != nil {
				return err
			} else if !changes {
				continue
			}
		}
		if !yield(c.node) {
			return nil
		}
	}
}

// lookedUp is how far back a commit is looked for whose name is abbreviated.
const lookedUp = 1000

// Lookup is the full name of a commit: of any that the repository has where it is given
// in full, else of the newest of the last 1000 commits up to tip whose name begins so.
// It returns [ErrCommitNotFound] where there is none.
func (r *Repository) Lookup(ctx context.Context, tip, name string) (string, error) {
	if _, err := parseCommit(name); err == nil {
		c, err := r.Commit(ctx, name)
		if err != nil {
			return "", err
		}
		return c.SHA, nil
	}
	for c, err := range r.Log(ctx, LogOptions{From: tip, Limit: lookedUp}) {
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(c.SHA, name) {
			return c.SHA, nil
		}
	}
	return "", fmt.Errorf("%w: %s", ErrCommitNotFound, name)
}

// IsAncestor tells whether descendant can reach ancestor; a commit reaches itself. What
// is said of clocks at [Repository.Log] holds here. An ancestor that the repository
// does not have is [ErrCommitNotFound].
func (r *Repository) IsAncestor(ctx context.Context, ancestor, descendant string) (bool, error) {
	below, err := parseCommit(ancestor)
	if err != nil {
		return false, err
	}
	above, err := parseCommit(descendant)
	if err != nil {
		return false, err
	}
	for _, commit := range []plumbing.Hash{below, above} {
		if _, err := r.view(ctx, commit).commit(commit); err != nil {
			return false, r.explain(err)
		}
	}
	w := newWalk(r.view(ctx, above))
	if err := errors.Join(w.push(below, false), w.push(above, true)); err != nil {
		return false, r.explain(err)
	}
	err = w.paint(func() bool { return w.seen[below].excluded })
	return w.seen[below].excluded, r.explain(err)
}

// slack is how many excluded commits are looked at after the last one that is not, in
// case clocks were wrong. (Git takes 5.)
const slack = 1000

// A walk goes through history from the newest commit to the oldest.
type walk struct {
	v     view
	seen  map[plumbing.Hash]*visit
	queue newestFirst
	// included counts the queued commits that are not excluded.
	included int
}

// A visit is a commit met on a walk.
type visit struct {
	node
	excluded, queued bool
	children         int // among the commits of a difference, those not yet returned
}

func newWalk(v view) *walk { return &walk{v: v, seen: map[plumbing.Hash]*visit{}} }

// push meets a commit. One met before is only marked.
func (w *walk) push(h plumbing.Hash, excluded bool) error {
	if v, ok := w.seen[h]; ok {
		if excluded {
			w.exclude(v)
		}
		return nil
	}
	n, err := w.v.commit(h)
	if err != nil {
		return err
	}
	v := &visit{node: n, excluded: excluded, queued: true}
	w.seen[h] = v
	heap.Push(&w.queue, v)
	if !excluded {
		w.included++
	}
	return nil
}

// exclude marks a commit and all that was met below it.
func (w *walk) exclude(v *visit) {
	for todo := []*visit{v}; len(todo) > 0; {
		v, todo = todo[len(todo)-1], todo[:len(todo)-1]
		if v.excluded {
			continue
		}
		v.excluded = true
		if v.queued {
			w.included--
			continue // its parents are told when it is taken from the queue
		}
		for _, p := range v.parents {
			if parent, ok := w.seen[p]; ok {
				todo = append(todo, parent)
			}
		}
	}
}

// pop takes the newest commit and meets its parents.
func (w *walk) pop() (*visit, error) {
	v, ok := heap.Pop(&w.queue).(*visit)
	if !ok {
		return nil, errors.New("the walk is over")
	}
	v.queued = false
	if !v.excluded {
		w.included--
	}
	for _, p := range v.parents {
		if err := w.push(p, v.excluded); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// byTime returns the next commit, or nil after the last.
func (w *walk) byTime() (*visit, error) {
	if w.queue.Len() == 0 {
		return nil, nil //nolint:nilnil // the end, as the comment says
	}
	return w.pop()
}

// paint walks until all that is excluded is known to be, or done.
func (w *walk) paint(done func() bool) error {
	for left := slack; w.queue.Len() > 0 && left > 0 && !done(); {
		if err := context.Cause(w.v.ctx); err != nil {
			return err
		}
		if _, err := w.pop(); err != nil {
			return err
		}
		if left--; w.included > 0 {
			left = slack
		}
	}
	return nil
}

// difference walks both histories and returns what from alone reaches, children first
// and newer ones before older ones.
func (w *walk) difference(from, until plumbing.Hash) (func() (*visit, error), error) {
	if err := errors.Join(w.push(until, true), w.push(from, false)); err != nil {
		return nil, err
	}
	if err := w.paint(func() bool { return w.seen[from].excluded }); err != nil {
		return nil, err
	}
	for _, v := range w.seen {
		for _, p := range w.within(v) {
			p.children++
		}
	}
	w.queue = nil
	if start := w.seen[from]; !start.excluded {
		w.queue = newestFirst{start}
	}
	return func() (*visit, error) {
		if w.queue.Len() == 0 {
			return nil, nil //nolint:nilnil // the end, as of byTime
		}
		v, ok := heap.Pop(&w.queue).(*visit)
		if !ok {
			return nil, errors.New("the walk is over")
		}
		for _, p := range w.within(v) {
			if p.children--; p.children == 0 {
				heap.Push(&w.queue, p)
			}
		}
		return v, nil
	}, nil
}

// within returns the parents of a commit that are part of the difference, as it is.
func (w *walk) within(v *visit) []*visit {
	if v.excluded {
		return nil
	}
	var parents []*visit
	for _, p := range v.parents {
		if parent, ok := w.seen[p]; ok && !parent.excluded {
			parents = append(parents, parent)
		}
	}
	return parents
}

// newestFirst is a heap by commit time.
type newestFirst []*visit

func (q newestFirst) Len() int { return len(q) }
func (q newestFirst) Less(i, j int) bool {
	return q[i].Committer.Seconds > q[j].Committer.Seconds
}
func (q newestFirst) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push is part of heap.Interface.
func (q *newestFirst) Push(x any) {
	if v, ok := x.(*visit); ok {
		*q = append(*q, v)
	}
}

// Pop is part of heap.Interface.
func (q *newestFirst) Pop() any {
	last := len(*q) - 1
	v := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return v
}
