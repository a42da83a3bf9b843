package forge

import (
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// A key is one context of one commit of one repository: what has one newest
// status.
type key struct{ repository, commit, context string }

// keyOf returns the key of an item.
func keyOf(i Item) key {
	return key{i.Destination.Repository, i.Status.Commit, i.Status.Context}
}

// An entry is a status that waits to be sent.
type entry struct {
	item Item
	// expected says that there is no status yet: what the forge holds is read.
	expected bool
	arrived  int64     // the order of arrival, on from which the oldest is told
	first    time.Time // when its context was first tried
	due      time.Time // not before
	backoff  *backoff.ExponentialBackOff
}

// A line is the entries of one repository, first come first served.
type line struct {
	repository string
	entries    []*entry
}

// waiting holds at most one entry per key, and serves the repositories in
// turn, so that one with much to say does not hold up the others.
type waiting struct {
	byKey map[key]*entry
	lines []*line // the next one to serve first
}

// add puts an entry into the line of its repository: at its head if it was
// just taken from there, at its end otherwise.
func (w *waiting) add(e *entry, head bool) {
	w.byKey[keyOf(e.item)] = e
	repository := e.item.Destination.Repository
	at := slices.IndexFunc(w.lines, func(l *line) bool { return l.repository == repository })
	if at < 0 {
		w.lines = append(w.lines, &line{repository: repository})
		at = len(w.lines) - 1
	}
	l := w.lines[at]
	if head {
		l.entries = slices.Insert(l.entries, 0, e)
		return
	}
	l.entries = append(l.entries, e)
}

// next takes the next entry that is due, and for whose destination there is no pause, or
// says when there will be one; the zero time if there is none at all.
func (w *waiting) next(now time.Time, pausedUntil func(Destination) time.Time) (*entry, time.Time) {
	var soonest time.Time
	for i, l := range w.lines {
		for j, e := range l.entries {
			due := e.due
			if until := pausedUntil(e.item.Destination); until.After(due) {
				due = until
			}
			if !due.After(now) {
				w.remove(i, j)
				return e, now
			}
			if soonest.IsZero() || due.Before(soonest) {
				soonest = due
			}
		}
	}
	return nil, soonest
}

// remove takes out entry j of line i, and sends the line to the back.
func (w *waiting) remove(i, j int) {
	l := w.lines[i]
	delete(w.byKey, keyOf(l.entries[j].item))
	l.entries = slices.Delete(l.entries, j, j+1)
	w.lines = slices.Delete(w.lines, i, i+1)
	if len(l.entries) > 0 {
		w.lines = append(w.lines, l)
	}
}

// dropOldest takes out the entry that has waited longest.
func (w *waiting) dropOldest() *entry {
	var oldest *entry
	var at [2]int
	for i, l := range w.lines {
		for j, e := range l.entries {
			if oldest == nil || e.arrived < oldest.arrived {
				oldest, at = e, [2]int{i, j}
			}
		}
	}
	w.remove(at[0], at[1])
	return oldest
}
