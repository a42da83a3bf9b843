package forge

import (
	"context"
	"iter"
	"strings"
	"time"
)

const (
	// shownFor is how long a queue takes what it read of all contexts of a commit for what the
	// forge holds. It then is read again, for others may write to a commit as well.
	shownFor = time.Minute
	// maxReadings bounds of how many commits that is kept, and maxShown how much of each, in
	// bytes: together at most 16 MiB for each host.
	maxReadings = 64
	maxShown    = 256 << 10
)

// shown is what a commit shows: what Latest would return of each of its contexts.
type shown = func(context string) (Status, bool)

// A shower is a Reporter that reads all contexts of a commit at once, for the price of one.
type shower interface {
	// Shown returns what the forge holds for the commit. If that is too much to be kept it is
	// not the whole, and true of the one context alone.
	Shown(ctx context.Context, commit, context string) (latest shown, whole bool, err error)
}

var _ shower = reporter{}

// A gathering is the newest status of each context, by name, as far as there is room for it;
// for the one that is asked for there always is.
type gathering struct {
	asked  string
	newest map[string]Status
	size   int
}

// add takes in a status, unless one of its context came before.
func (g *gathering) add(name string, s Status) {
	if _, known := g.newest[name]; known {
		return
	}
	g.size += len(s.Context) + len(s.Description) + len(s.TargetURL)
	if g.whole() || name == g.asked {
		g.newest[name] = s
	}
}

// whole says whether there was room for everything.
func (g *gathering) whole() bool { return g.size <= maxShown }

// A lister is a forge that has the newest statuses of all contexts of a commit in one list.
type lister interface {
	all(ctx context.Context, commit string) iter.Seq2[plainStatus, error]
}

// Shown implements shower. Of a forge that has no such list it is the one context.
func (r reporter) Shown(ctx context.Context, commit, context string) (shown, bool, error) {
	from, ok := r.forge.(lister)
	if !ok {
		s, found, err := r.Latest(ctx, commit, context)
		return func(string) (Status, bool) { return s, found }, false, err
	}
	name := func(context string) string { return r.named(r.row.fit(Status{Context: context}).Context) }
	all := gathering{asked: name(context), newest: map[string]Status{}}
	for s, err := range from.all(ctx, commit) {
		if err != nil {
			return nil, false, r.about("reading", commit, context, unknownCommit(err))
		}
		all.add(r.named(s.Context), s.decode(commit))
	}
	return func(context string) (Status, bool) {
		s, found := all.newest[name(context)]
		return s, found
	}, all.whole(), nil
}

// named is the name of a context: GitHub takes those that differ in case for one.
func (r reporter) named(context string) string {
	if _, folds := r.forge.(github); folds {
		return strings.ToLower(context)
	}
	return context
}

// A reading is what a commit showed at a time.
type reading struct {
	of shown
	at time.Time
}

// latest reads what the forge holds of the context of an entry, and remembers of its other
// contexts what came with it.
func (q *Queue) latest(ctx context.Context, e *entry) (Status, bool, error) {
	s := e.item.Status
	from, ok := e.item.Destination.Reporter.(shower)
	if !ok {
		return e.item.Destination.Latest(ctx, s.Commit, s.Context)
	}
	all, whole, err := from.Shown(ctx, s.Commit, s.Context)
	if err != nil {
		return Status{}, false, err
	}
	if whole {
		q.readings.Add(commitOf(e.item), reading{all, q.clock.Now()})
	}
	latest, found := all(s.Context)
	return latest, found, nil
}

// read returns what the forge held of the context of an entry when its commit was read, if
// that was a moment ago.
func (q *Queue) read(e *entry) (holding, bool) {
	known, ok := q.readings.Get(commitOf(e.item))
	if !ok {
		return holding{}, false
	}
	last := known.(reading) //nolint:forcetypeassert // nothing else is put in
	if q.clock.Now().Sub(last.at) > shownFor {
		return holding{}, false
	}
	if s, found := last.of(e.item.Status.Context); found {
		return holding{status: &s}, true
	}
	return holding{}, true
}

// commitOf is the key of the commit that an item is about.
func commitOf(i Item) key { return key{repository: i.Destination.Repository, commit: i.Status.Commit} }
