// Package incident takes in incidents that others tell of: alerts of Alertmanager, and
// CloudEvents with the incidents of CDEvents or the problems of Keptn. Each becomes an
// entry in the status of the Lifecycle that it is about before its sender is told that
// it was taken in, and telling of it again changes nothing. What an incident means for
// a delivery is not decided here.
package incident

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/directory"
)

// Incident is an entry of status.incidents of a Lifecycle.
type Incident = gitopsv1alpha1.Incident

// How much of an incident, and how many, a Lifecycle keeps.
const (
	maxKept    = 100
	maxOfKey   = 10
	maxKey     = 200  // bytes, so that an ID has 253 at most
	maxSource  = 512  // bytes
	maxSummary = 1024 // bytes
)

// Report is what a sender says of one incident.
type Report struct {
	// At is where in the body it is said.
	At string
	// Name is the Lifecycle that it is about, as far as the body says.
	Name directory.Name
	// Key is what the source calls the incident, each time that it occurs.
	Key string
	// Source that tells of it.
	Source string
	// Summary in one line.
	Summary string
	// Commit that is held responsible; empty where nothing is said.
	Commit string
	// StartedAt is when it began; zero where nothing is said.
	StartedAt time.Time
	// ResolvedAt is when it ended; zero while it goes on.
	ResolvedAt time.Time
}

// Merge adds what is reported to the incidents that are known, newest first. Of all 100
// are kept. One that is too many takes the place of the oldest of its key, if that has more
// than 10, so that an alert that flaps drives out no other; the oldest resolved ones go first, and of those that go on the oldest only where none is
// resolved. It returns the ID of the incident, which is empty where it is not kept; what
// is known already is returned as it was.
//
// A report is of a known incident if it has its key and their times overlap: sources
// correct the beginning, repeat what they told, and may tell of the end first.
func Merge(known []Incident, r Report) (merged []Incident, id string) {
	merged = slices.Clone(known)
	at := find(merged, r)
	if at < 0 {
		merged = append(merged, newIncident(r))
		at = len(merged) - 1
	} else {
		merged[at] = updated(merged[at], r)
	}
	id = merged[at].ID
	slices.SortStableFunc(merged, func(a, b Incident) int {
		return cmp.Or(b.StartedAt.Compare(a.StartedAt.Time), strings.Compare(a.ID, b.ID))
	})
	if surplus := len(merged) - maxKept; surplus > 0 {
		same := func(i Incident) bool { return keyOf(i) == r.key() }
		merged = pruned(merged, max(maxOfKey, count(merged, same)-surplus), same)
	}
	merged = pruned(merged, maxKept, func(Incident) bool { return true })
	if !slices.ContainsFunc(merged, func(i Incident) bool { return i.ID == id }) {
		return merged, ""
	}
	return merged, id
}

// pruned keeps so many of those incidents, that are newest first, and all others.
func pruned(all []Incident, keep int, those func(Incident) bool) []Incident {
	surplus := count(all, those) - keep
	goes := map[string]bool{}
	for _, open := range []bool{false, true} {
		for _, i := range slices.Backward(all) {
			if len(goes) < surplus && those(i) && (i.ResolvedAt == nil) == open {
				goes[i.ID] = true
			}
		}
	}
	return slices.DeleteFunc(all, func(i Incident) bool { return goes[i.ID] })
}

func count(all []Incident, those func(Incident) bool) int {
	n := 0
	for _, i := range all {
		if those(i) {
			n++
		}
	}
	return n
}

// keyOf is the key that an incident's ID begins with.
func keyOf(i Incident) string { return i.ID[:max(0, strings.LastIndex(i.ID, "@"))] }

// find is which of the incidents, that are newest first, a report is of: the one that
// began with it, else the oldest whose time its own overlaps; -1 where there is none.
func find(all []Incident, r Report) int {
	began, ended := r.span()
	overlapping := -1
	for at, i := range all {
		switch {
		case keyOf(i) != r.key():
		case i.ID == r.id(), i.StartedAt.Equal(&began):
			return at
		case r.StartedAt.IsZero(): // it ends the newest that had begun
			if overlapping < 0 && !i.StartedAt.After(ended) {
				overlapping = at
			}
		case (i.ResolvedAt == nil || began.Before(i.ResolvedAt)) && (r.ResolvedAt.IsZero() || !i.StartedAt.After(ended)):
			overlapping = at
		}
	}
	return overlapping
}

// updated is the incident with what is reported of it. What ended stays so.
func updated(i Incident, r Report) Incident {
	began, ended := r.span()
	if began.Before(&i.StartedAt) && !r.StartedAt.IsZero() {
		i.StartedAt = began
	}
	if i.ResolvedAt == nil && !r.ResolvedAt.IsZero() {
		end := latest(metav1.NewTime(ended), i.StartedAt)
		i.ResolvedAt = &end
	}
	i.Commit = cmp.Or(i.Commit, r.Commit)
	return i
}

func newIncident(r Report) Incident {
	began, ended := r.span()
	i := Incident{
		ID:      r.id(),
		Source:  condition.Bounded(oneLine(r.Source), maxSource),
		Summary: condition.Bounded(oneLine(r.Summary), maxSummary),
		Commit:  r.Commit, StartedAt: began,
	}
	if !r.ResolvedAt.IsZero() {
		end := latest(metav1.NewTime(ended), began)
		i.ResolvedAt = &end
	}
	return i
}

// id is the ID of an incident that begins with the report.
func (r Report) id() string {
	began, _ := r.span()
	return r.key() + "@" + began.UTC().Format(time.RFC3339)
}

// key is the report's key as an ID begins with it: one that is too long is cut, and a
// digest tells it from others.
func (r Report) key() string {
	key := oneLine(r.Key)
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return fmt.Sprintf("%s~%.8x", strings.ToValidUTF8(key[:maxKey-17], ""), sum)
}

// span is when the incident began and ended, to the second, as the API server keeps
// times. One whose beginning nobody told begins when it ends.
func (r Report) span() (began metav1.Time, ended time.Time) {
	ended = r.ResolvedAt.Truncate(time.Second)
	start := r.StartedAt
	if start.IsZero() {
		start = ended
	}
	return metav1.NewTime(start.Truncate(time.Second)), ended
}

func latest(a, b metav1.Time) metav1.Time {
	if a.Before(&b) {
		return b
	}
	return a
}

// oneLine makes one line of a text that may have several.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
